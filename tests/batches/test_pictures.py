"""Whole mammograms at one size: shape kept, at the chest wall, made once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from second_look.batches import pictures as module
from second_look.batches.pictures import WHITE, fit, make_pictures

SIZE = (64, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def pictures(phantom_data, folder):
    return make_pictures(phantom_data.prepared, SIZE, folder)


def grey(rows, cols):
    """A smooth picture, so that ways of resampling differ little."""
    row, col = np.mgrid[:rows, :cols]
    waves = 0.5 + 0.25 * np.sin(row / 17) + 0.25 * np.cos(col / 13)
    return (waves * WHITE).astype(np.uint16)


@pytest.mark.parametrize(
    ("shape", "inner"),
    [((300, 100), (64, 21)), ((100, 300), (16, 48)), ((32, 24), (64, 48)), ((1, 400), (1, 48))],
)
def test_the_shape_is_kept_at_the_left_in_the_middle(shape, inner):
    picture = fit(np.full(shape, 255, dtype=np.uint8), bits=8, size=SIZE)
    assert picture.shape == SIZE
    assert picture.dtype == np.uint16
    rows, cols = np.nonzero(picture)
    assert (picture[rows, cols] == WHITE).all()
    assert (rows.max() - rows.min() + 1, cols.max() + 1) == inner
    assert cols.min() == 0
    rows_above, rows_below = rows.min(), SIZE[0] - 1 - rows.max()
    assert 0 <= rows_below - rows_above <= 1


def test_it_is_a_plain_resize_that_averages():
    picture = grey(256, 192)
    picture = fit(picture, bits=16, size=SIZE)
    levels = Image.fromarray(picture.astype(np.float32))
    expected = np.asarray(levels.resize(SIZE[::-1], Image.Resampling.BILINEAR))
    assert np.abs(picture - expected).max() <= 2


def test_fine_detail_is_averaged_away():
    stripes = np.zeros((256, 192), dtype=np.uint8)
    stripes[:, ::2] = 255
    picture = fit(stripes, bits=8, size=SIZE)
    assert np.abs(picture[:, 2:-2] / WHITE - 0.5).max() < 0.02


def test_levels_are_shares_of_the_brightest_that_the_bits_hold():
    picture = fit(np.full((64, 48), 1023, dtype=np.uint16), bits=12, size=SIZE)
    assert picture[0, 0] == round(1023 / 4095 * WHITE)


def test_own_pixels_are_kept_to_the_bit(phantom_data, tmp_path):
    prepared = phantom_data.prepared
    native = make_pictures(prepared, (0, 0), tmp_path)
    largest = prepared.images[["rows", "cols"]].max().tolist()
    assert native.size == tuple(32 * -(-side // 32) for side in largest)
    image = prepared.images.iloc[5]
    rows, cols = int(image["rows"]), int(image["cols"])
    top = (native.size[0] - rows) // 2
    assert int(image["bits"]) == 16
    pixels = prepared.pixels(image["image_id"])
    assert np.array_equal(native.array[5, top : top + rows, :cols], pixels)
    assert native.array[5].sum() == pixels.sum()


def test_pictures_stand_in_the_order_of_the_images(phantom_data, pictures):
    prepared = phantom_data.prepared
    ids = list(prepared.images["image_id"])
    assert pictures.image_ids == tuple(ids)
    assert pictures.size == SIZE
    image_ids = [ids[7], ids[2]]
    assert pictures.places(image_ids).tolist() == [7, 2]
    levels = pictures.levels(pictures.places(image_ids))
    assert (levels.shape, levels.dtype) == ((2, 1, *SIZE), torch.float32)
    expected = fit(prepared.pixels(ids[7]), bits=16, size=SIZE) / WHITE
    assert np.allclose(levels[0, 0], expected, atol=1e-6)


def test_a_second_call_opens_the_file(phantom_data, pictures, folder, monkeypatch):
    monkeypatch.setattr(module, "_write", None)
    again = make_pictures(phantom_data.prepared, SIZE, folder)
    assert again.digest == pictures.digest
    assert np.array_equal(again.array, pictures.array)


def test_other_images_or_another_size_are_other_pictures(
    phantom_data, pictures, tmp_path, monkeypatch
):
    drawn = []

    def write(prepared, size, native, path):
        drawn.append(size)
        with path.open("wb") as stream:
            np.save(stream, np.zeros((1, *size), dtype=np.uint16))

    monkeypatch.setattr(module, "_write", write)
    prepared = phantom_data.prepared
    changed = prepared.images.copy()
    changed.loc[3, "content_hash"] = "another"
    of_others = make_pictures(replace(prepared, images=changed), SIZE, tmp_path)
    larger = make_pictures(prepared, (96, 64), tmp_path)
    assert len({pictures.digest, of_others.digest, larger.digest}) == 3
    assert drawn == [SIZE, (96, 64)]
