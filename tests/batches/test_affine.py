"""One convention for all that varies pictures: by dots, ramps, NumPy's turns and SciPy's maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import affine_transform
from second_look.batches.affine import NO_AUGMENTATION, Augmentation, Variations
from second_look.batches.frames import Frame, Framed, varied
from second_look.batches.images import vary
from second_look.batches.sampler import Draws, PatchSampler
from second_look.geometry import Transform
from second_look.preparing.store import Prepared

CPU = torch.device("cpu")
SIDE = 32


def variation(count=1, **changes):
    """No variation, with some of it changed."""
    changed = {name: np.array([value] * count) for name, value in changes.items()}
    return replace(Variations.none(count), **changed)


def as_picture(pixels, variations, _folder):
    return vary(torch.from_numpy(pixels)[None, None], variations)[0, 0].numpy()


def as_frame(pixels, variations, _folder):
    """In a frame that it fills."""
    levels = torch.from_numpy(pixels)
    framed = Framed(
        "a", levels, torch.ones(levels.shape), pixels.shape, {}, Transform(0, 0, 1, 1), (1, 1)
    )
    return varied([framed], variations, Frame(*pixels.shape), CPU)[0][0, 0].numpy()


def as_patch(pixels, variations, folder):
    """A window that is the whole of an image of 16 bits."""
    np.save(folder / "a.pixels.npy", (pixels * 65535).round().astype(np.uint16))
    rows, cols = pixels.shape
    images = pd.DataFrame({"image_id": ["a"], "rows": rows, "cols": cols, "bits": 16})
    prepared = Prepared(folder, images, pd.DataFrame(), pd.DataFrame(), np.zeros(0))
    window = {
        "image_id": ["a"],
        "row": 0,
        "col": 0,
        "size": rows,
        "label": "benign",
        "excluded": "",
    }
    sampler = PatchSampler(prepared, pd.DataFrame(window), size=rows, batch_size=1, seed=0)
    return sampler.make(Draws(np.array([0]), variations)).pixels[0, 0].numpy()


PATHS = pytest.mark.parametrize("path", [as_picture, as_frame, as_patch])


def noise(rows=SIDE, cols=SIDE):
    return np.random.default_rng(0).random((rows, cols)).astype(np.float32)


def dot(row, col, rows=SIDE, cols=SIDE):
    picture = np.zeros((rows, cols), dtype=np.float32)
    picture[row, col] = 1
    return picture


def position(picture):
    return tuple(int(index) for index in np.unravel_index(picture.argmax(), picture.shape))


# ------------------------------------------------------------------ the convention


@PATHS
def test_nothing_drawn_changes_nothing(path, tmp_path):
    np.testing.assert_allclose(path(noise(), variation(), tmp_path), noise(), atol=1e-5)


@PATHS
@pytest.mark.parametrize("quarters", [-1, 1, 2, 3])
def test_quarter_turns_are_torch_s_counter_clockwise(path, quarters, tmp_path):
    expected = torch.rot90(torch.from_numpy(noise()), quarters).numpy()
    turned = path(noise(), variation(angles=quarters * np.pi / 2), tmp_path)
    np.testing.assert_allclose(turned, expected, atol=5e-5)


@PATHS
def test_what_lies_right_of_the_middle_is_turned_above_it(path, tmp_path):
    assert position(path(dot(16, 28), variation(angles=np.pi / 2), tmp_path)) == (3, 16)


@PATHS
@pytest.mark.parametrize(("name", "axis"), [("mirrored", 1), ("flipped", 0)])
def test_mirrors_come_after_the_turn(path, name, axis, tmp_path):
    mirrored = path(noise(), variation(**{name: True}), tmp_path)
    np.testing.assert_allclose(mirrored, np.flip(noise(), axis), atol=5e-5)
    turned = path(noise(), variation(angles=np.pi / 2, **{name: True}), tmp_path)
    np.testing.assert_allclose(turned, np.flip(np.rot90(noise()), axis), atol=5e-5)


@PATHS
def test_scale_2_enlarges_what_is_shown(path, tmp_path):
    square = np.zeros((SIDE, SIDE), dtype=np.float32)
    square[12:20, 12:20] = 1
    expected = np.zeros_like(square)
    expected[8:24, 8:24] = 1
    enlarged = path(square, variation(scales=2), tmp_path)
    # Its edges are interpolated.
    assert ((enlarged > 0.5) == (expected > 0.5)).all()
    assert enlarged.sum() == pytest.approx(4 * square.sum(), rel=1e-4)


@PATHS
def test_a_shift_moves_what_is_shown_down_and_right(path, tmp_path):
    shift = (6 / SIDE, -4 / SIDE)
    moved = path(dot(10, 12), variation(shifts=shift), tmp_path)
    assert position(moved) == (16, 8)
    assert moved.max() == pytest.approx(1, abs=1e-4)
    # In px of what is shown, however it is turned and enlarged.
    centred = dot(15, 15) + dot(16, 15) + dot(15, 16) + dot(16, 16)
    moved = path(centred, variation(shifts=shift, scales=2, angles=0.7, mirrored=True), tmp_path)
    middle = (np.argwhere(moved > 0.5).mean(axis=0) + 0.5).round(1)
    assert middle.tolist() == pytest.approx([16 + 6, 16 - 4], abs=0.3)


@PATHS
def test_outside_of_the_source_is_black(path, tmp_path):
    white = np.ones((SIDE, SIDE), dtype=np.float32)
    moved = path(white, variation(shifts=(0, 0.25)), tmp_path)
    assert moved[:, :8].max() == pytest.approx(0, abs=1e-6)
    assert moved[:, 8:].min() == pytest.approx(1, abs=1e-5)


@PATHS
def test_contrast_spreads_grey_levels_about_the_mean(path, tmp_path):
    ramp = np.tile(np.linspace(0.1, 0.9, SIDE, dtype=np.float32), (SIDE, 1))
    for gain in (0.5, 1.5):
        expected = np.clip(0.5 + gain * (ramp - 0.5), 0, 1)
        spread = path(ramp, variation(gains=gain), tmp_path)
        np.testing.assert_allclose(spread, expected, atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_all_paths_give_the_same_picture_and_it_is_scipy_s(seed, tmp_path):
    """What was drawn once means the same for patches, pictures and frames."""
    bounds = Augmentation(
        rotation_deg=180, mirror=True, flip=True, scale=1.4, shift=0.1, contrast=0.3
    )
    drawn = Variations.draw(np.random.default_rng(seed), 1, bounds)
    source = noise()
    matrix, middle = drawn.matrices()[0], (SIDE - 1) / 2
    offset = middle - matrix @ (middle + drawn.shifts[0] * SIDE)
    moved = affine_transform(
        source.astype(float), matrix, offset, order=1, mode="grid-constant", cval=0
    )
    expected = np.clip(moved.mean() + drawn.gains[0] * (moved - moved.mean()), 0, 1)
    for path in (as_picture, as_frame, as_patch):
        np.testing.assert_allclose(path(source, drawn, tmp_path), expected, atol=3e-4)


def test_px_are_square_where_the_picture_is_not():
    # 10.5 px below the middle: after a quarter turn 10.5 px right of it.
    for path in (as_picture, as_frame):
        turned = path(dot(42, 15, 64, 32), variation(angles=np.pi / 2), None)
        row, col = position(turned)
        assert abs(col + 0.5 - 16 - 10.5) <= 0.5
        assert abs(row + 0.5 - 32) <= 1


def test_a_matrix_leads_from_what_is_shown_to_the_source():
    """Turned by 90°, enlarged by 2, mirrored: the source's right is shown above, twice as far."""
    matrix = variation(angles=np.pi / 2, scales=2, mirrored=True).matrices()[0]
    np.testing.assert_allclose(matrix @ [-4, 0], [0, 2], atol=1e-12)
    np.testing.assert_allclose(matrix @ [0, 4], [-2, 0], atol=1e-12)


# ------------------------------------------------------------------ draws


def test_draws_stay_within_their_bounds():
    bounds = Augmentation(rotation_deg=30, mirror=True, scale=1.2, shift=0.1, contrast=0.3)
    drawn = Variations.draw(np.random.default_rng(0), 2000, bounds)
    assert np.abs(np.rad2deg(drawn.angles)).max() == pytest.approx(30, abs=1)
    assert 0.45 < drawn.mirrored.mean() < 0.55
    assert not drawn.flipped.any()
    assert (drawn.scales.min(), drawn.scales.max()) == pytest.approx((1 / 1.2, 1.2), abs=0.01)
    assert (drawn.shifts.min(), drawn.shifts.max()) == pytest.approx((-0.1, 0.1), abs=0.01)
    assert (drawn.gains.min(), drawn.gains.max()) == pytest.approx((0.7, 1.3), abs=0.01)


def test_one_bound_changes_nothing_else():
    bounds = Augmentation(rotation_deg=30, mirror=True, scale=1.2, shift=0.1, contrast=0.3)
    narrow, wide = (
        Variations.draw(np.random.default_rng(1), 50, changed)
        for changed in (bounds, replace(bounds, flip=True, contrast=0.0, rotation_deg=0))
    )
    np.testing.assert_array_equal(narrow.scales, wide.scales)
    np.testing.assert_array_equal(narrow.mirrored, wide.mirrored)
    np.testing.assert_array_equal(narrow.shifts, wide.shifts)
    assert wide.flipped.any()


def test_without_bounds_nothing_is_drawn():
    drawn = Variations.draw(np.random.default_rng(0), 3, NO_AUGMENTATION)
    none = Variations.none(3)
    for name, value in vars(drawn).items():
        np.testing.assert_array_equal(value, getattr(none, name))


def test_parts_are_those_of_the_whole():
    bounds = Augmentation(rotation_deg=30, shift=0.1)
    drawn = Variations.draw(np.random.default_rng(0), 5, bounds)
    assert len(drawn[1:3]) == 2
    np.testing.assert_array_equal(drawn[1:3].matrices(), drawn.matrices()[1:3])
    np.testing.assert_array_equal(drawn[1:3].shifts, drawn.shifts[1:3])


@pytest.mark.parametrize(
    "bounds",
    [{"rotation_deg": 270}, {"scale": 0.9}, {"contrast": 1}, {"shift": -0.1}, {"shift": 1}],
)
def test_bounds_out_of_range_are_refused(bounds):
    with pytest.raises(ValueError, match="expected rotation_deg 0 to 180, scale at least 1"):
        Augmentation(**bounds)
