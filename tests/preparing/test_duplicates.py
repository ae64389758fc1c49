"""Copies of a picture are found by content; different pictures are not taken for copies."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, rotate
from second_look.catalogue import Catalogue
from second_look.decoding.pixels import read_header, read_pixels, write_png
from second_look.errors import LeakageError
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing import duplicates
from second_look.preparing.duplicates import (
    check_no_content_leak,
    find_duplicates,
    likely_pairs,
    near_copies,
)
from second_look.preparing.fingerprints import (
    SIDE,
    Signature,
    fingerprint,
    from_text,
    likeness,
    to_text,
)
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


@pytest.fixture(scope="module")
def phantom_films():
    settings = PhantomSettings(patients=4, rows=384, cols=312, bits=8, seed=3)
    return [
        draw_image(settings, breast, view).pixels
        for patient in range(settings.patients)
        for breast in plan_patient(settings, patient)
        for view in ("CC", "MLO")
    ]


@pytest.mark.slow
def test_copies_of_a_phantom_are_found_and_other_phantoms_are_not(phantom_films, tmp_path):
    mammograms = [tmp_path / f"{number}.png" for number in range(len(phantom_films))]
    for path, film in zip(mammograms, phantom_films, strict=True):
        write_png(path, film)
    check_copies(mammograms, mammograms[5], tmp_path)


@pytest.mark.real_data
def test_copies_of_a_real_film_are_found_and_other_films_are_not(mias_catalogue, tmp_path):
    images = mias_catalogue.images
    # With the pairs of different images that resemble each other most, seen on all 322.
    similar = {"mdb073", "mdb074", "mdb101", "mdb102", "mdb256", "mdb312", "mdb177", "mdb238"}
    chosen = images[images["image_id"].isin(similar) | (images.index % 40 == 0)]
    mammograms = [Path(path) for path in chosen["path"]]
    check_copies(mammograms, mammograms[3], tmp_path)


def changed_copies(pixels):
    """A mammogram as a data set may hold it a second time: name -> picture."""
    step = round(0.01 * pixels.shape[0])
    shifted = np.zeros_like(pixels)
    shifted[step:, step:] = pixels[:-step, :-step]
    counts = np.bincount(pixels.ravel(), minlength=256).cumsum()
    return {
        "shifted by 1 %": shifted,
        "turned by 2 degrees": rotate(pixels, 2, reshape=False, order=1),
        "logarithm": np.rint(255 * np.log1p(pixels / 5.0) / np.log1p(51)).astype(np.uint8),
        "equalized": (255 * counts[pixels] / counts[-1]).astype(np.uint8),
        "quarter turn": np.rot90(pixels),
        "upside down": pixels[::-1],
        "mirrored": pixels[:, ::-1],
    }


def test_changed_copies_are_found_and_views_of_one_woman_are_no_copies(phantom_films):
    copies = changed_copies(phantom_films[5])
    films = [*phantom_films, *(np.ascontiguousarray(copy) for copy in copies.values())]
    prints = np.stack([fingerprint(film) for film in films])
    copied = near_copies(prints)
    count = len(phantom_films)
    to_the_original = {second - count for first, second in copied if first == 5}
    assert [name for i, name in enumerate(copies) if i not in to_the_original] == []
    assert all(first == 5 or first >= count for first, _ in copied)


def test_a_fingerprint_does_not_depend_on_contrast_or_depth(phantom_films):
    film = phantom_films[0]
    expected = fingerprint(film)
    np.testing.assert_array_equal(fingerprint(film.astype(np.uint16) * 257), expected)
    np.testing.assert_array_equal(from_text(to_text(expected)), expected)
    squared, different = fingerprint(film.astype(np.uint16) ** 2), fingerprint(phantom_films[4])
    assert likeness(Signature(expected), Signature(squared)) > 0.8
    assert likeness(Signature(expected), Signature(different)) < 0.3


def test_likely_copies_of_few_or_blank_pictures():
    blank = np.zeros((3, SIDE, SIDE), dtype=np.uint8)
    assert likely_pairs(blank[:1]) == []
    assert likely_pairs(blank) == [(0, 1), (0, 2), (1, 2)]
    assert near_copies(blank) == {}


def test_copies_are_found_among_many_pictures_without_a_look_at_all_pairs(monkeypatch):
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(300, SIDE, SIDE)), (0, 2, 2))
    ranks = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    prints = np.concatenate([ranks, ranks[:5, ::-1], np.rot90(ranks[5:10], axes=(1, 2))])
    monkeypatch.setattr(duplicates, "_LEAF", 64)
    likely = likely_pairs(prints)
    assert {(index, 300 + index) for index in range(10)} <= set(likely)
    assert len(likely) < 3 * len(prints)


def test_the_index_loses_no_copy_that_a_look_at_all_pairs_finds(monkeypatch):
    rng = np.random.default_rng(1)
    noise = gaussian_filter(rng.normal(size=(40, SIDE, SIDE)), (0, 2, 2))
    films = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    grainy = np.clip(films[:2] + rng.normal(0, 4, films[:2].shape), 0, 255).astype(np.uint8)
    moved = np.roll(films[2:4], (2, 3), axis=(1, 2))
    mirrored, turned = films[4:6, :, ::-1], np.rot90(films[6:8], axes=(1, 2))
    prints = np.concatenate([films, grainy, moved, mirrored, turned])
    among_all = near_copies(prints)  # in one leaf
    monkeypatch.setattr(duplicates, "_LEAF", 16)
    assert near_copies(prints) == among_all
    assert set(among_all) == {(index, 40 + index) for index in range(8)}


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
