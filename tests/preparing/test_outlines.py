"""Outlines against masks that are not what they seem, and against the boxes beside them."""

from __future__ import annotations

import numpy as np
import pytest
from second_look.decoding.pixels import write_png
from second_look.preparing.outlines import draw_outlines
from second_look.quarantine import Code

BREAST = np.zeros((100, 80), dtype=bool)
BREAST[10:90, :60] = True
NAMES = ("row_min", "col_min", "row_max", "col_max")


def lesion(number, mask="", box=None):
    row = dict.fromkeys((*NAMES, "circle_row", "circle_col", "circle_radius"), np.nan)
    row |= dict(zip(NAMES, box or (), strict=bool(box)))
    return row | {"lesion_id": str(number), "pathology": "benign", "mask_path": str(mask)}


@pytest.fixture
def save(tmp_path):
    def saved(mask):
        write_png(tmp_path / "m.png", mask.astype(np.uint8))
        return tmp_path / "m.png"

    return saved


def square(row, col, size=10):
    mask = np.zeros(BREAST.shape, dtype=np.uint8)
    mask[row : row + size, col : col + size] = 1
    return mask


def test_lesions_that_share_a_map_of_labels_have_a_label_each(save):
    path = save(square(20, 20) + 2 * square(30, 20))  # they touch
    first, second = draw_outlines([lesion(1, path), lesion(2, path)], BREAST)
    np.testing.assert_array_equal(first.mask, square(20, 20))
    np.testing.assert_array_equal(second.mask, square(30, 20))


def test_labels_that_touch_go_to_their_boxes(save):
    path = save(square(20, 20) + 2 * square(30, 20))
    lesions = [lesion(1, path, (30, 20, 40, 30)), lesion(2, path, (20, 20, 30, 30))]
    first, second = draw_outlines(lesions, BREAST)
    np.testing.assert_array_equal(first.mask, square(30, 20))
    np.testing.assert_array_equal(second.mask, square(20, 20))


@pytest.mark.parametrize("corner", [(60, 40), None])
def test_a_mask_that_the_box_contradicts_is_not_used_and_it_is_said(save, corner):
    # A mask of another place, or a frame that is no lesion.
    mask = square(*corner) if corner else np.pad(np.zeros((60, 40)), 20, constant_values=1)
    mask[:, 0] = mask[0] = 0
    (outline,) = draw_outlines([lesion(1, save(mask * 255), (22, 22, 31, 31))], BREAST)
    assert outline.code == Code.MASK_CONTRADICTED
    assert "lies in the boxes, which count" in outline.problem
    np.testing.assert_array_equal(outline.mask, square(22, 22, 9))


def test_a_box_that_is_a_little_narrow_contradicts_nothing(save):
    (outline,) = draw_outlines([lesion(1, save(square(20, 20)), (22, 22, 28, 28))], BREAST)
    assert outline.code is None
    assert outline.area_px == 100


def test_an_inverted_mask_is_used_and_said(save):
    (outline,) = draw_outlines([lesion(1, save(1 - square(20, 20)))], BREAST)
    assert (outline.code, outline.area_px) == (Code.MASK_INVERTED, 100)
    assert "inverted" in outline.problem


def test_a_lesion_larger_than_the_breast_has_no_place(save):
    mask = np.zeros(BREAST.shape)
    mask[1:-1, :78] = 255
    (outline,) = draw_outlines([lesion(1, save(mask))], BREAST)
    assert (outline.mask, outline.code) == (None, Code.LOCATION_UNUSABLE)
    assert outline.problem == "the lesion would have 159% of the area of the breast"


@pytest.mark.parametrize("values", [np.zeros(BREAST.shape), np.ones(BREAST.shape), 1 * BREAST])
def test_a_box_beside_an_unusable_mask_is_used_and_it_is_said(save, values):
    (outline,) = draw_outlines([lesion(1, save(values), (20, 20, 30, 30))], BREAST)
    np.testing.assert_array_equal(outline.mask, square(20, 20))
    assert outline.code is not None
    assert "box" in outline.problem


@pytest.mark.parametrize(("labels", "lesions"), [(2, 1), (3, 2), (2, 3)])
def test_a_map_with_another_number_of_labels_than_lesions_gives_no_place(save, labels, lesions):
    path = save(sum(number * square(15 * number, 20) for number in range(1, labels + 1)))
    outlines = draw_outlines([lesion(number, path) for number in range(lesions)], BREAST)
    assert [outline.mask for outline in outlines] == [None] * lesions
    expected = f"labels in it: {labels}, lesions listed: {lesions}"
    assert {outline.problem for outline in outlines} == {f"mask m.png: {expected}"}


def test_of_a_map_with_more_labels_than_boxes_those_in_no_box_are_left_out(save):
    path = save(square(20, 20, 20) + 2 * square(60, 20))
    (outline,) = draw_outlines([lesion(1, path, (20, 20, 40, 40))], BREAST)
    np.testing.assert_array_equal(outline.mask, square(20, 20, 20))
    assert "parts of it that lie in no box and are not used: 1" in outline.problem


def test_a_mask_that_does_not_tell_lesions_apart_is_said(save):
    path = save(square(20, 20) + square(60, 20))
    outlines = draw_outlines([lesion(1, path), lesion(2, path)], BREAST)
    for outline in outlines:
        np.testing.assert_array_equal(outline.mask, square(20, 20) + square(60, 20))
        assert "does not tell its 2 lesions apart" in outline.problem
    first, second = draw_outlines([lesion(1, path, (20, 20, 30, 30)), lesion(2, path)], BREAST)
    assert first.mask is not None
    assert second.mask is None
    assert "other lesions on it have boxes" in second.problem


def test_an_inverted_mask_in_a_frame_is_told_as_that(save):
    breast = np.zeros(BREAST.shape, dtype=bool)
    breast[30:70, :40] = True
    path = save(np.pad(np.ones((94, 74)), 3))
    (outline,) = draw_outlines([lesion(1, path)], breast)
    assert outline.mask is None
    assert "the mask may be inverted, in a frame" in outline.problem
