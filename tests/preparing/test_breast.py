"""The breast mask on drawn images, where the truth is exact, and on all real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.real_cbis import read_cbis_masses
from scipy.ndimage import binary_fill_holes, binary_opening, gaussian_filter
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import read_pixels, read_square
from second_look.errors import DataError
from second_look.phantoms import digital
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing.breast import breast_side, find_breast
from skimage.measure import label


def mammogram(rows=300, cols=240, air=5, breast=120):
    """A half ellipse at the left edge on dark air, and its mask."""
    rows_from_top, cols_from_left = np.ogrid[:rows, :cols]
    breast_mask = ((rows_from_top - rows / 2) / (0.4 * rows)) ** 2 + (
        cols_from_left / (0.6 * cols)
    ) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 2, (rows, cols))
    return np.clip(np.where(breast_mask, breast, air) + noise, 0, 255).astype(np.uint8), breast_mask


def agreement(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize("scale", [1, 16, 257])
def test_a_plain_breast_is_found_at_any_depth(scale):
    pixels, truth = mammogram()
    mask = find_breast(pixels.astype(np.uint16) * scale)
    assert agreement(mask, truth) > 0.97
    assert breast_side(mask) == "left"
    assert breast_side(mask[:, ::-1]) == "right"


def test_labels_tape_and_scan_edges_are_left_out():
    pixels, truth = mammogram()
    pixels[10:30, 170:220] = 250  # a label
    pixels[:, 232:238] = 200  # tape
    pixels[:3] = 255  # a bright edge of the scan
    pixels[60, 160:230] = 255  # a scratch
    mask = find_breast(pixels)
    assert agreement(mask, truth) > 0.95
    assert not mask[10:30, 170:220].any()
    assert not mask[:, 232:238].any()
    assert label(mask).max() == 1


def test_a_breast_goes_on_through_a_bright_edge_at_the_chest_wall():
    pixels, truth = mammogram()
    pixels[:, :4] = 255
    mask = find_breast(pixels)
    assert agreement(mask, truth) > 0.95
    assert mask[150, :4].all()


def lost_share(mask, truth):
    return (truth & ~mask).sum() / truth.sum()


def test_dim_fat_on_black_air_is_breast():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:1024, :832]
    breast = ((y - 512) / 480) ** 2 + (x / 700) ** 2 < 1
    texture = gaussian_filter(rng.normal(size=y.shape), 6)
    core = ((y - 512) / 260) ** 2 + ((x - 420) / 200) ** 2 < 1
    dense = gaussian_filter(core * 190.0, 20)
    fat = np.clip(22 + 9 * texture / texture.std(), 6, None)
    pixels = np.where(breast, fat + dense, 0).clip(0, 255).astype(np.uint8)
    mask = find_breast(pixels)
    # On Otsu's threshold 0.35 of it was found, with the chest wall at the right.
    assert lost_share(mask, breast) < 0.002
    assert agreement(mask, breast) > 0.98
    assert breast_side(mask) == "left"
    # A marker in the air and fat at the chest wall as dark as air change nothing.
    pixels[20:60, 760:800] = 255
    pixels[400:440, :30] = 0
    assert agreement(find_breast(pixels), breast) > 0.98


def test_a_bright_rim_around_dim_tissue_on_black_air_is_not_all_of_the_breast():
    rows, cols = np.mgrid[:1200, :700]
    distance = np.hypot((rows - 600) / 560, cols / 560)
    breast = distance < 1
    pixels = np.where(breast & (distance > 0.45), 190, np.where(breast, 60, 0)).astype(np.uint8)
    mask = find_breast(pixels)
    assert lost_share(mask, breast) < 0.002
    assert agreement(mask, breast) > 0.98


@pytest.mark.parametrize("form", digital.WHOLE)
@pytest.mark.parametrize("bits", [8, 12])
def test_no_breast_of_a_digital_phantom_is_lost(form, bits):
    settings = PhantomSettings(patients=2, rows=512, cols=416, bits=bits, seed=3)
    for patient in range(2):
        for breast, view in zip(plan_patient(settings, patient), ("CC", "MLO"), strict=True):
            image = digital.draw_digital(settings, breast, view, form)
            mask = find_breast(image.pixels)
            assert lost_share(mask, image.breast) < 0.005
            assert agreement(mask, image.breast) > 0.98
            assert breast_side(mask) == {"L": "left", "R": "right"}[breast.laterality]


def test_a_rectangle_of_film_on_black_padding_is_film():
    pixels, truth = mammogram(air=25)
    padded = np.pad(pixels, ((0, 0), (40, 100)))
    assert agreement(find_breast(padded), np.pad(truth, ((0, 0), (40, 100)))) > 0.95


def test_grey_film_beside_black_padding_is_air():
    pixels, truth = mammogram(air=40)
    pixels = np.pad(pixels, ((0, 0), (0, 100)))
    mask = find_breast(pixels)
    assert agreement(mask, np.pad(truth, ((0, 0), (0, 100)))) > 0.95


def test_a_fold_that_takes_the_lower_chest_wall_away_does_not_turn_the_breast():
    rows, cols = np.mgrid[:200, :160]
    # A breast that fills the image: cut at the top by its own outline, below by the fold.
    breast = (cols < 100 + rows) & (rows < 120 + cols)
    assert breast_side(breast) == "left"
    assert breast_side(breast[:, ::-1]) == "right"


def test_a_film_without_a_breast_is_an_error():
    pixels = np.full((200, 200), 3, dtype=np.uint8)
    pixels[20:26, 20:60] = 240
    with pytest.raises(DataError, match="no breast found"):
        find_breast(pixels)


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("bits", [8, 16])
def test_phantoms_agree_with_what_was_drawn(view, bits):
    settings = PhantomSettings(patients=4, rows=512, cols=416, bits=bits, seed=3)
    for patient in range(4):
        for breast in plan_patient(settings, patient):
            image = draw_image(settings, breast, view)
            assert agreement(find_breast(image.pixels), image.breast) > 0.93


@pytest.mark.real_data
@pytest.mark.slow
def test_mini_mias_lesions_lie_inside_but_the_two_that_are_known_to_be_wrong(mias_catalogue):
    centres = mias_catalogue.lesions.dropna(subset=["circle_row"])
    outside, shares, wrong_side = [], [], []
    for image in mias_catalogue.images.itertuples():
        breast = find_breast(read_pixels(Path(image.path)))
        shares.append(breast.mean())
        # Every film of mini-MIAS has the chest wall of a left breast at the left.
        if breast_side(breast) != {"L": "left", "R": "right"}[image.laterality]:
            wrong_side.append(image.image_id)
        assert label(breast).max() == 1, image.image_id
        for lesion in centres[centres["image_id"] == image.image_id].itertuples():
            if not breast[int(lesion.circle_row), int(lesion.circle_col)]:
                outside.append(image.image_id)
    assert outside == ["mdb212", "mdb214"]
    assert wrong_side == []
    # A mask of everything would hold every lesion too.
    assert 0.3 < np.median(shares) < 0.42
    # Two images are filled by one very large breast, seen on the pictures.
    names = mias_catalogue.images["image_id"]
    assert list(names[np.array(shares) > 0.8]) == ["mdb151", "mdb152"]


@pytest.mark.real_data
@pytest.mark.slow
def test_cbis_lesion_pixels_lie_inside(cbis_mass_folder):
    catalogue = read_cbis_masses(cbis_mass_folder)
    masks = catalogue.lesions.groupby("image_id")["mask_path"].first()
    lesion_px = inside_px = 0
    shares = []
    for image in catalogue.images.itertuples():
        breast = find_breast(read_square(Path(image.path), image.rows, image.cols))
        lesions = read_mask(Path(masks[image.image_id]), image.rows, image.cols)
        lesion_px += int(lesions.sum())
        inside_px += int((lesions & breast).sum())
        shares.append(breast.mean())
    assert inside_px / lesion_px >= 0.995
    assert 0.3 < np.median(shares) < 0.5


def above_air(pixels, side):
    """All that hangs together above black air, filled from the chest wall: an independent mask."""
    components = label(binary_opening(pixels > 3, iterations=2))
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    padded = np.pad(components == sizes.argmax(), 1)
    wall = 0 if side == "L" else -1
    rows = np.flatnonzero(padded[:, 1 if side == "L" else -2])
    padded[rows[0] : rows[-1] + 1, wall] = True
    return binary_fill_holes(padded)[1:-1, 1:-1]


@pytest.mark.real_data
@pytest.mark.slow
def test_no_real_digital_mammogram_loses_breast(data_root):
    folder = data_root / "cesm-cc-87" / "images"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    lost = []
    for path in sorted(folder.iterdir()):
        pixels, side = read_pixels(path), path.stem.split("_")[1]
        mask = find_breast(pixels)
        lost.append(lost_share(mask, above_air(pixels, side)))
        assert breast_side(mask) == {"L": "left", "R": "right"}[side], path.name
    assert len(lost) == 87
    # The goal was 2 % on 95 % of them and never 10 %; by the rule for film up to 37 % were lost.
    assert max(lost) < 0.005
