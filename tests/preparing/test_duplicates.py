"""Copies of a picture are found by content; different pictures are not taken for copies."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from second_look.catalogue import Catalogue
from second_look.decoding.pixels import read_header, read_pixels, write_png
from second_look.errors import LeakageError
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing.duplicates import check_no_content_leak, find_duplicates
from second_look.preparing.prepare import prepare
from skimage.transform import resize


def catalogue_of(paths):
    """One patient a picture, without lesions."""
    rows = []
    for path in paths:
        header = read_header(path)
        rows.append(
            {"image_id": path.stem, "dataset": "d", "patient_id": path.stem, "label": "normal"}
            | {"rows": header.rows, "cols": header.cols, "bits": header.bits, "path": str(path)}
        )
    return Catalogue.from_rows(rows)


def pairs_of(catalogue, folder):
    pairs = find_duplicates(prepare(catalogue, folder, workers=0))
    return {(pair.image_a, pair.image_b): pair.how for pair in pairs.itertuples()}


def save_copies(pixels, folder):
    """One 8-bit mammogram as people pass it on; returns the files."""
    scale = pixels.astype(np.float64) / 255
    half = resize(scale, (pixels.shape[0] // 2, pixels.shape[1] // 2), order=1, anti_aliasing=True)
    pictures = {
        "mirrored": np.ascontiguousarray(pixels[:, ::-1]),
        "halved": np.rint(255 * half).astype(np.uint8),
        "darker": np.rint(255 * scale**1.2).astype(np.uint8),
        "deeper": pixels.astype(np.uint16) * 257,
    }
    for name, picture in pictures.items():
        write_png(folder / f"{name}.png", picture)
    Image.fromarray(pixels).save(folder / "jpeg.jpg", quality=60)
    return [*(folder / f"{name}.png" for name in pictures), folder / "jpeg.jpg"]


def check_copies(paths, copied, folder):
    """Every copy of a mammogram is found, and no other pair."""
    copies = save_copies(read_pixels(copied), folder)
    pairs = pairs_of(catalogue_of([*paths, *copies]), folder / "prepared")
    copies_and_original = {copied.stem, *(path.stem for path in copies)}
    assert {name for pair in pairs for name in pair} == copies_and_original
    assert len(pairs) == len(copies_and_original) * (len(copies_and_original) - 1) // 2
    assert pairs[copied.stem, "mirrored"] == "identical"
    assert pairs[copied.stem, "halved"] == "near"


def test_copies_of_a_phantom_are_found_and_other_phantoms_are_not(tmp_path):
    settings = PhantomSettings(patients=4, rows=512, cols=416, bits=8, seed=3)
    mammograms = []
    for patient in range(settings.patients):
        for breast in plan_patient(settings, patient):
            for view in ("CC", "MLO"):
                mammograms.append(tmp_path / f"{patient}{breast.laterality}{view}.png")
                write_png(mammograms[-1], draw_image(settings, breast, view).pixels)
    check_copies(mammograms, mammograms[5], tmp_path)


@pytest.mark.real_data
def test_copies_of_a_real_film_are_found_and_other_films_are_not(mias_catalogue, tmp_path):
    images = mias_catalogue.images
    # With the pairs of different images that resemble each other most, seen on all 322.
    similar = {"mdb073", "mdb074", "mdb101", "mdb102", "mdb256", "mdb312", "mdb177", "mdb238"}
    chosen = images[images["image_id"].isin(similar) | (images.index % 40 == 0)]
    mammograms = [Path(path) for path in chosen["path"]]
    check_copies(mammograms, mammograms[3], tmp_path)


def test_a_copy_across_splits_is_an_error_that_names_the_pair(tmp_path):
    settings = PhantomSettings(patients=2, rows=256, cols=208, bits=8, seed=0)
    mammograms = []
    for name, patient in (("a", 0), ("b", 1)):
        mammograms.append(tmp_path / f"{name}.png")
        write_png(
            mammograms[-1], draw_image(settings, plan_patient(settings, patient)[0], "CC").pixels
        )
    mammograms.append(tmp_path / "copy.png")
    write_png(mammograms[-1], read_pixels(mammograms[0]))
    catalogue = catalogue_of(mammograms)
    pairs = find_duplicates(prepare(catalogue, tmp_path / "out", workers=0))
    assert [(pair.image_a, pair.image_b) for pair in pairs.itertuples()] == [("a", "copy")]
    check_no_content_leak(pairs, catalogue.images.assign(split="train"))
    for first, second in pairwise(("train", "val", "test")):
        with pytest.raises(LeakageError, match="a = copy"):
            check_no_content_leak(pairs, catalogue.images.assign(split=[first, first, second]))
