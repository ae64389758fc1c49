"""Geometry by its properties: round trips, coverage, and pixel counts as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from second_look.geometry import Box, Transform, count_windows, mm_to_px, window_starts

SIDE = 40
edges = st.integers(-10, SIDE + 10)


@st.composite
def boxes(draw):
    """Boxes of whole pixels, some of them empty or inside out."""
    return Box(*(float(draw(edges)) for _ in range(4)))


@st.composite
def transforms(draw):
    """Any cut, mirrored or not, at any scale."""
    return Transform(
        draw(st.integers(0, 500)),
        draw(st.integers(0, 500)),
        draw(st.integers(1, 3000)),
        draw(st.integers(1, 3000)),
        draw(st.booleans()),
        draw(st.floats(0.05, 8)),
    )


def painted(box):
    """The pixels (SIDE + 20)² of a box as a mask, shifted so that its coordinates start at -10."""
    mask = np.zeros((SIDE + 20, SIDE + 20), dtype=bool)
    rows = slice(int(box.row_min) + 10, max(int(box.row_max), int(box.row_min)) + 10)
    cols = slice(int(box.col_min) + 10, max(int(box.col_max), int(box.col_min)) + 10)
    mask[rows, cols] = True
    return mask


@given(boxes(), boxes())
def test_area_intersection_and_iou_are_counts_of_pixels(first, second):
    a, b = painted(first), painted(second)
    assert first.area == a.sum()
    assert first.intersection(second).area == (a & b).sum()
    union = (a | b).sum()
    assert first.iou(second) == pytest.approx((a & b).sum() / union if union else 0.0)


@given(boxes())
def test_a_box_is_found_again_in_its_mask(box):
    result = Box.of_mask(painted(box))
    if box.area == 0:
        assert result is None
    else:
        assert result == Box(box.row_min + 10, box.col_min + 10, box.row_max + 10, box.col_max + 10)


@given(boxes())
def test_clipping_keeps_what_lies_in_the_picture(box):
    painted_part = painted(box)[10 : SIDE + 10, 10 : SIDE + 10]
    clipped = box.clipped(SIDE, SIDE)
    assert clipped.area == painted_part.sum()
    if box.area:
        assert box.within(SIDE, SIDE) == (painted_part.sum() == box.area)


def test_centre_contains_and_scaled():
    box = Box.from_xywh(10, 20, 4, 6)
    assert box == Box(20, 10, 26, 14)
    assert box.centre == (23, 12)
    assert (box.height, box.width) == (6, 4)
    # Half open: the first pixel is inside, the one after the last is not.
    assert box.contains(20, 10)
    assert not box.contains(26, 10)
    assert not box.contains(20, 14)
    assert box.scaled(2, 0.5) == Box(40, 5, 52, 7)


@given(st.integers(5, 30), st.integers(5, 30), st.integers(0, 5))
def test_the_box_of_a_circle_is_that_of_its_pixels(row, col, radius):
    row_index, col_index = np.ogrid[:SIDE, :SIDE]
    circle = (row_index - row) ** 2 + (col_index - col) ** 2 <= radius**2
    assert Box.from_circle(row, col, radius) == Box.of_mask(circle)


@given(transforms(), st.lists(st.tuples(st.floats(-99, 4000), st.floats(-99, 4000)), max_size=5))
def test_there_and_back_again(transform, points):
    points = np.array(points).reshape(-1, 2)
    back = transform.to_original(transform.to_prepared(points))
    np.testing.assert_allclose(back, points, atol=1e-6)


@given(transforms())
def test_the_cut_fills_the_prepared_picture(transform):
    cut = Box(
        transform.row_offset,
        transform.col_offset,
        transform.row_offset + transform.rows,
        transform.col_offset + transform.cols,
    )
    corners = np.array([[cut.row_min, cut.col_min], [cut.row_max, cut.col_max]])
    points = transform.to_prepared(corners)
    prepared = Box(*points.min(axis=0), *points.max(axis=0))
    crop = Box(0, 0, transform.rows * transform.scale, transform.cols * transform.scale)
    edges_of = ("row_min", "col_min", "row_max", "col_max")
    for name in edges_of:
        assert getattr(prepared, name) == pytest.approx(getattr(crop, name), abs=1e-6)
        back = transform.box_to_original(prepared)
        assert getattr(back, name) == pytest.approx(getattr(cut, name), abs=1e-6)


@given(st.data())
def test_a_pixel_keeps_its_grey_level(data):
    picture = np.arange(30 * 20).reshape(30, 20)
    transform = Transform(4, 3, 12, 9, data.draw(st.booleans()))
    cut = picture[4:16, 3:12]
    cut = cut[:, ::-1] if transform.flipped else cut
    row, col = data.draw(st.integers(4, 15)), data.draw(st.integers(3, 11))
    # Centres of pixels lie at a half.
    (point,) = transform.to_prepared([[row + 0.5, col + 0.5]])
    assert cut[int(point[0]), int(point[1])] == picture[row, col]


@given(st.integers(0, 300), st.integers(1, 80), st.integers(1, 80))
def test_windows_cover_the_whole_length_and_stay_inside(length, size, stride):
    starts = window_starts(length, size, stride)
    if length < size:
        assert starts.size == 0
        return
    assert starts[0] == 0
    assert starts[-1] + size == length
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps[:-1] == stride).all()
    if stride <= size:
        covered = np.zeros(length, dtype=bool)
        for start in starts:
            covered[start : start + size] = True
        assert covered.all()


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 60), st.integers(1, 60))
def test_windows_are_counted_as_they_are_laid(rows, cols, size, stride):
    laid = [
        (row, col)
        for row in range(rows)
        for col in range(cols)
        if row + size <= rows
        and col + size <= cols
        and (row % stride == 0 or row + size == rows)
        and (col % stride == 0 or col + size == cols)
    ]
    assert count_windows(rows, cols, size, stride) == len(laid)


@pytest.mark.parametrize(("size", "stride"), [(0, 1), (1, 0), (-3, 2)])
def test_windows_need_a_size_and_a_stride(size, stride):
    with pytest.raises(ValueError, match="at least 1 px"):
        window_starts(10, size, stride)


def test_millimetres_are_whole_pixels():
    assert mm_to_px(12.8, 0.05) == 256
    assert mm_to_px(0.01, 0.2) == 1
    for spacing in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            mm_to_px(10, spacing)
