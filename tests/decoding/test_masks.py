"""Lesion masks in the forms that annotation tools and image editors save them in."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.small_dicom import file
from PIL import Image
from scipy.ndimage import gaussian_filter
from second_look.decoding.masks import read_lesion_mask, read_mask
from second_look.decoding.pixels import write_png
from second_look.errors import DataError

LESION = np.zeros((40, 30), dtype=bool)
LESION[8:20, 6:18] = True


def read(path):
    return read_lesion_mask(path, *LESION.shape)


@pytest.mark.parametrize("value", [1, 128, 255])
def test_of_two_values_the_higher_one_is_inside(tmp_path, value):
    write_png(tmp_path / "m.png", LESION.astype(np.uint8) * np.uint8(value))
    np.testing.assert_array_equal(read(tmp_path / "m.png").labels, LESION)
    assert read(tmp_path / "m.png").remark == ""


def test_masks_are_resized_and_must_not_be_empty(tmp_path):
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[5:15, 4:12] = 255
    write_png(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", 20, 20), mask > 0)
    small = read_mask(tmp_path / "m.png", 10, 10)
    assert small[4:6, 3:5].all()
    assert abs(small.sum() - 20) <= 6
    write_png(tmp_path / "empty.png", np.zeros((20, 20), dtype=np.uint8))
    with pytest.raises(DataError, match="the mask is empty"):
        read_mask(tmp_path / "empty.png", 20, 20)


def test_a_smooth_edge_is_cut_at_half_level(tmp_path):
    smooth = gaussian_filter(LESION * 255.0, 1.5)
    write_png(tmp_path / "m.png", np.rint(smooth).astype(np.uint8))
    half = np.rint(smooth) >= np.rint(smooth).max() / 2
    np.testing.assert_array_equal(read(tmp_path / "m.png").labels, half)
    # Every pixel above 0 made this lesion twice as large.
    assert (np.rint(smooth) > 0).sum() > 1.8 * half.sum()
    # One level between black and white, in a line around the lesion.
    line = LESION * np.uint8(255)
    line[7, 6:18] = line[20, 6:18] = 127
    write_png(tmp_path / "line.png", line)
    np.testing.assert_array_equal(read(tmp_path / "line.png").labels, LESION)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_dark_lesion_on_white_is_inverted_and_a_white_picture_refused(tmp_path, ending):
    path = tmp_path / f"m.{ending}"
    Image.fromarray(np.where(LESION, 0, 255).astype(np.uint8)).save(path, quality=100)
    np.testing.assert_array_equal(read(path).labels, LESION)
    assert read(path).remark == "most of its border is inside: it is inverted"
    Image.new("L", LESION.shape[::-1], 255).save(path)
    with pytest.raises(DataError, match="all of the mask is inside"):
        read(path)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_in_the_transparency_is_read(tmp_path, mode):
    picture = Image.new(mode, LESION.shape[::-1], "white")
    picture.putalpha(Image.fromarray(LESION * np.uint8(255)))
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(tmp_path / "m.png").labels, LESION)


@pytest.mark.parametrize("form", ["grey", "palette", "dicom"])
def test_every_value_of_a_map_of_labels_is_a_lesion(tmp_path, form):
    labels = LESION.astype(np.uint8)
    labels[25:35, 10:20] = 2
    labels[2:4, 25:26] = 3  # of two pixels
    path = tmp_path / "m"
    if form == "dicom":
        file(path, labels)
    else:
        picture = Image.fromarray(labels)
        if form == "palette":
            picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        picture.save(path, "PNG")
    np.testing.assert_array_equal(read(path).labels, labels)
    doubled = read_lesion_mask(path, 80, 60).labels
    assert [int((doubled == number).sum()) for number in (1, 2)] == [576, 400]
