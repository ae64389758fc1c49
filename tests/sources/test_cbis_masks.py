"""Mask or crop: by header where headers tell, by pixels where they leave a doubt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.small_cbis import drawn, picture, uid, write_dicom
from second_look.sources.cbis_masks import Picture, choose_mask

IMAGE = Picture(Path("/nowhere/image.dcm"), 5041, 2056, 16)


def header(rows, cols, bits, name="file", problem=""):
    """A file that cannot be decoded, since it is not there: only its header can decide."""
    return Picture(Path(f"/nowhere/{name}.dcm"), rows, cols, bits, problem)


@pytest.mark.parametrize(
    ("mask", "image", "resampled"),
    [
        ((5041, 2056), (5041, 2056), False),
        ((4386, 1789), (5041, 2056), True),  # P_00145_LEFT_CC
        ((5041, 2056), (4386, 1789), True),
        ((4688, 3088), (4624, 3056), True),  # P_00353_LEFT_CC
        ((4624, 3056), (4688, 3088), True),
    ],
)
@pytest.mark.parametrize("mask_first", [True, False])
def test_headers_decide_and_a_mask_of_another_size_is_taken(mask, image, resampled, mask_first):
    crop, right = header(312, 289, 16, "crop"), header(*mask, 8, "mask")
    files = [right, crop] if mask_first else [crop, right]
    choice = choose_mask(files, Picture(Path("/nowhere"), *image, 16))
    assert choice.mask == right
    size = f"the mask has {mask[0]} x {mask[1]} px, the image {image[0]} x {image[1]} px"
    assert choice.reason == (f"{size}: it is resampled" if resampled else "")
    assert choice.effect == "kept, corrected"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([header(300, 290, 16), header(310, 200, 8)], "every file is as small as a crop"),
        ([header(300, 290, 16)], "300 x 290 px of 16 bits; the image has 5041 x 2056 px"),
        ([header(300, 290, 16), header(5041, 2600, 8)], "mask of another image? It has 5041 x"),
        # 3.1 % and 2.9 % off in one direction
        ([header(5041, 2120, 8)], "mask of another image? It has 5041 x 2120 px, the image 5041"),
        ([header(3000, 1900, 16)], "no file looks like a mask (3000 x 1900 px of 16 bits"),
        ([header(0, 0, 0, problem="truncated")], "no file of the lesion can be read; file.dcm: tr"),
        ([header(5041, 2056, 8, problem="truncated"), header(9, 9, 16)], "file.dcm: truncated"),
    ],
)
def test_no_mask_is_better_than_a_wrong_one(files, reason):
    choice = choose_mask(files, IMAGE)
    assert choice.mask is None
    assert reason in choice.reason
    assert choice.effect == "location unknown"


def test_the_aspect_may_be_off_by_three_per_cent():
    assert choose_mask([header(5041, 2115, 8)], IMAGE).mask is not None
    assert choose_mask([header(4900, 2056, 8)], IMAGE).mask is not None
    assert choose_mask([header(4890, 2056, 8)], IMAGE).mask is None


@pytest.fixture
def on_disk(tmp_path):
    def write(pixels, name):
        path = write_dicom(tmp_path / f"{name}.dcm", uid(), uid(), pixels)
        return Picture(path, *pixels.shape, pixels.dtype.itemsize * 8)

    return write


def test_of_two_files_that_could_be_the_mask_the_two_valued_one_is(on_disk):
    image = Picture(Path("/nowhere"), 60, 40, 16)
    wrong = on_disk(picture((60, 40), 8), "picture")
    right = on_disk(drawn((58, 39)), "mask")
    for files in ([wrong, right], [right, wrong]):
        choice = choose_mask(files, image)
        assert choice.mask == right
        assert "58 x 39 px" in choice.reason


@pytest.mark.parametrize("factor", [0.6, 2])
def test_a_mask_far_from_the_size_of_the_image_must_have_two_values(on_disk, factor):
    shape = (round(60 * factor), round(40 * factor))
    image = Picture(Path("/nowhere"), 60, 40, 16)
    mask, distinct = on_disk(drawn(shape), "mask"), on_disk(picture(shape, 8), "other")
    assert choose_mask([mask], image).mask == mask
    assert choose_mask([distinct], image).mask is None


def test_a_mask_of_16_bits_is_taken_for_its_two_values(on_disk):
    image = Picture(Path("/nowhere"), 60, 40, 16)
    mask = on_disk(drawn((60, 40)).astype("<u2") * 257, "mask")
    copy = on_disk(picture((60, 40), 16), "copy of the mammogram")
    choice = choose_mask([copy, mask], image)
    assert choice.mask == mask
    assert choice.reason == "the mask has 16 bits instead of 8, but two values only"
    assert choose_mask([copy], image).mask is None


def test_equal_masks_are_one_and_different_ones_none(on_disk):
    image = Picture(Path("/nowhere"), 60, 40, 16)
    first, twin = (on_disk(drawn((60, 40)), name) for name in "ab")
    assert choose_mask([first, twin], image).mask == first
    assert choose_mask([first, twin], image).reason == "2 files hold the same mask; one is used"
    distinct = on_disk(drawn((60, 40), box=(30, 40, 5, 15)), "c")
    assert choose_mask([first, distinct], image).mask is None
    assert choose_mask([first, distinct], image).reason == "2 files are masks, and differ"


def test_a_file_that_cannot_be_decoded_is_named(on_disk):
    image = Picture(Path("/nowhere"), 60, 40, 16)
    empty = on_disk(np.zeros((60, 40), dtype=np.uint8), "empty")
    gone = header(60, 40, 8, "gone")
    choice = choose_mask([empty, gone], image)
    assert choice.mask is None
    assert "empty.dcm: every pixel has the value 0" in choice.reason
    assert "gone.dcm: the file is not there" in choice.reason
    mask = on_disk(drawn((60, 40)), "mask")
    assert choose_mask([empty, gone, mask], image).mask == mask
