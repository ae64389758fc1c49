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
    found = find_duplicates(prepare(catalogue, folder, workers=0))
    return {(pair.image_a, pair.image_b): pair.how for pair in found.itertuples()}


def save_copies(pixels, folder):
    """The same 8-bit film as people pass it on; returns the files."""
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


def check_copies(film_paths, copied, folder):
    """Every copy of one film is found, and no other pair."""
    copies = save_copies(read_pixels(copied), folder)
    found = pairs_of(catalogue_of([*film_paths, *copies]), folder / "prepared")
    same = {copied.stem, *(path.stem for path in copies)}
    assert {name for pair in found for name in pair} == same
    assert len(found) == len(same) * (len(same) - 1) // 2
    assert found[copied.stem, "mirrored"] == "identical"
    assert found[copied.stem, "halved"] == "near"


def test_copies_of_a_phantom_are_found_and_other_phantoms_are_not(tmp_path):
    settings = PhantomSettings(patients=4, rows=512, cols=416, bits=8, seed=3)
    films = []
    for patient in range(settings.patients):
        for breast in plan_patient(settings, patient):
            for view in ("CC", "MLO"):
                films.append(tmp_path / f"{patient}{breast.laterality}{view}.png")
                write_png(films[-1], draw_image(settings, breast, view).pixels)
    check_copies(films, films[5], tmp_path)


@pytest.mark.real_data
def test_copies_of_a_real_film_are_found_and_other_films_are_not(mias_catalogue, tmp_path):
    images = mias_catalogue.images
    # With the pairs of different films that resemble each other most, seen on all 322.
    alike = {"mdb073", "mdb074", "mdb101", "mdb102", "mdb256", "mdb312", "mdb177", "mdb238"}
    chosen = images[images["image_id"].isin(alike) | (images.index % 40 == 0)]
    films = [Path(path) for path in chosen["path"]]
    check_copies(films, films[3], tmp_path)


def test_a_copy_across_splits_is_an_error_that_names_the_pair(tmp_path):
    settings = PhantomSettings(patients=2, rows=256, cols=208, bits=8, seed=0)
    films = []
    for name, patient in (("a", 0), ("b", 1)):
        films.append(tmp_path / f"{name}.png")
        write_png(films[-1], draw_image(settings, plan_patient(settings, patient)[0], "CC").pixels)
    films.append(tmp_path / "copy.png")
    write_png(films[-1], read_pixels(films[0]))
    catalogue = catalogue_of(films)
    found = find_duplicates(prepare(catalogue, tmp_path / "out", workers=0))
    assert [(pair.image_a, pair.image_b) for pair in found.itertuples()] == [("a", "copy")]
    check_no_content_leak(found, catalogue.images.assign(split="train"))
    for first, second in pairwise(("train", "val", "test")):
        with pytest.raises(LeakageError, match="a = copy"):
            check_no_content_leak(found, catalogue.images.assign(split=[first, first, second]))
