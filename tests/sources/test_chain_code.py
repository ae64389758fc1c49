"""Chain codes against independent walks, flood fill and the shapes of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.draw
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes, gaussian_filter, label
from second_look.errors import DataError
from second_look.sources.chain_code import (
    Chain,
    chain_region,
    gap_px,
    overreach_px,
    trace,
)
from skimage.draw import ellipse, ellipse_perimeter, polygon, polygon_perimeter


def chain_mask(chain, rows, cols):
    return chain_region(chain, rows, cols).on_film(rows, cols)


class TestChainCode:
    def walk(self, chain, rows, cols):
        """The outline pixel by pixel, filled by flooding: nothing of the code under test."""
        steps = ["up", "up right", "right", "down right", "down", "down left", "left", "up left"]
        filled = np.zeros((rows, cols), dtype=bool)
        row, col = chain.row, chain.col
        filled[row, col] = True
        for step in chain.steps:
            row += ("down" in steps[step]) - ("up" in steps[step])
            col += ("right" in steps[step]) - ("left" in steps[step])
            filled[row, col] = True
        return binary_fill_holes(filled)

    @settings(max_examples=60)
    @given(seed=st.integers(0, 10**6), width=st.sampled_from([0.4, 1.0, 2.0]))
    def test_an_outline_encloses_the_region_that_it_was_traced_around(self, seed, width):
        noise = np.random.default_rng(seed).standard_normal((20, 24))
        parts, count = label(gaussian_filter(noise, width) > 0, np.ones((3, 3)))
        for part in range(1, count + 1):
            region = binary_fill_holes(parts == part)
            if region.sum() > 1:
                chain = trace(region)
                np.testing.assert_array_equal(chain_mask(chain, 20, 24), region)
                np.testing.assert_array_equal(self.walk(chain, 20, 24), region)

    def test_polygons_and_ellipses_of_scikit_image(self):
        corners = [5, 30, 40, 22], [8, 3, 30, 35]
        shapes = [
            (polygon(*corners, (50, 45)), polygon_perimeter(*corners)),
            (ellipse(25, 20, 12.5, 9.5), ellipse_perimeter(25, 20, 12, 9)),
        ]
        for filled_pixels, edge in shapes:
            mask = np.zeros((50, 45), dtype=bool)
            mask[filled_pixels] = mask[edge] = True
            chain = trace(mask)
            np.testing.assert_array_equal(chain_mask(chain, 50, 45), mask)
            assert gap_px(chain) == 0

    def test_a_long_outline_is_filled_in_its_own_box(self, monkeypatch):
        def fail(*args, **kwargs):
            raise AssertionError("point by point, a polygon of 3,000 corners takes seconds")

        monkeypatch.setattr(skimage.draw, "polygon", fail)
        rows, cols = np.ogrid[:900, :900]
        chain = trace((rows - 450) ** 2 + (cols - 450) ** 2 < 440**2)
        region = chain_region(Chain(chain.row + 2000, chain.col + 1000, chain.steps), 5000, 4000)
        assert (region.row, region.col, region.mask.shape) == (2011, 1011, (879, 879))
        assert region.mask.sum() == ((rows - 450) ** 2 + (cols - 450) ** 2 < 440**2).sum()

    def test_what_an_outline_encloses_twice_or_between_its_strands_is_inside(self):
        square = (2,) * 6 + (4,) * 6 + (6,) * 6 + (0,) * 6
        twice = Chain(2, 2, square + square)
        assert chain_mask(twice, 12, 12).sum() == 49
        eight = Chain(2, 2, (2, 2, 2, 2, 5, 5, 5, 5, 2, 2, 2, 2, 7, 7, 7, 7))
        assert chain_mask(eight, 12, 12).sum() == 17

    def test_zero_is_up_and_one_turns_clockwise(self):
        mask = chain_mask(Chain(5, 5, (0, 1, 2, 3, 4, 5, 6, 7)), 12, 12)
        # An octagon: up, up right, right, …; its first row is two steps above the start.
        assert np.argwhere(mask).min(axis=0).tolist() == [3, 5]
        assert np.argwhere(mask).max(axis=0).tolist() == [6, 8]
        assert mask.sum() == 12

    def test_an_open_outline_is_closed_by_a_straight_line(self):
        chain = Chain(2, 2, (2,) * 6 + (4,) * 6)
        mask = chain_mask(chain, 12, 12)
        row_index, col_index = np.indices((12, 12))
        triangle = (col_index >= 2) & (col_index <= 8) & (row_index >= 2) & (row_index <= col_index)
        np.testing.assert_array_equal(mask, triangle)
        assert gap_px(chain) == 6

    def test_what_leaves_the_film_is_cut_or_refused(self):
        square = Chain(5, 5, (2,) * 10 + (4,) * 10 + (6,) * 10 + (0,) * 10)
        assert [overreach_px(square, *size) for size in ((16, 16), (12, 16), (16, 9))] == [0, 4, 7]
        closed_mask = chain_mask(square, 16, 16)
        np.testing.assert_array_equal(chain_mask(square, 12, 9), closed_mask[:12, :9])
        assert overreach_px(Chain(1, 1, (0,) * 5), 9, 9) == 4
        with pytest.raises(DataError, match="leaves the film of 9 x 9 px by 41 px"):
            chain_mask(Chain(5, 5, (2,) * 44), 9, 9)

    def test_nothing_has_no_outline(self):
        with pytest.raises(ValueError, match="at least two pixels"):
            trace(np.zeros((4, 4), dtype=bool))
