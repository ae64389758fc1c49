"""Mammograms in the frame of a detector: geometry, variation, and what is refused."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small_mammograms import COLS, ROWS, small_mammograms
from second_look.batches.frames import (
    Frame,
    Framed,
    Frames,
    Variation,
    check_target,
    found_rows,
    target_of,
    varied,
)
from second_look.batches.sampler import NO_AUGMENTATION, Augmentation
from second_look.errors import DataError
from second_look.geometry import Box

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_mammograms(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def frames(dataset):
    return Frames(dataset, Frame(192, 160))


def lesion_box(dataset, image_id):
    """Of the square in the prepared image, from its pixels."""
    return Box.of_mask(np.asarray(dataset.prepared.pixels(image_id)) == 50000)


# ------------------------------------------------------------------ fitted into the frame


def test_a_picture_just_fits_and_lies_at_the_top_left(frames):
    framed = frames.get("i00")
    assert framed.size == (192, 128)
    assert framed.picture.shape == framed.regions.shape == (192, 160)
    assert framed.picture[:, 128:].abs().max() == 0
    assert framed.regions[:, 128:].max() == 0
    assert framed.labels == {2: 3}
    assert frames.get("i01").labels == {}


def test_grey_levels_are_shares_of_what_16_bits_can_hold(dataset, frames):
    framed = frames.get("i02")
    inside = framed.picture[framed.regions == 2].float()
    assert float(inside.median()) == pytest.approx(50000 / 65535, abs=1e-3)
    mean = np.asarray(dataset.prepared.pixels("i01")).mean() / 65535
    assert float(frames.get("i01").picture[:192, :128].float().mean()) == pytest.approx(
        mean, abs=1e-3
    )


@pytest.mark.parametrize("image_id", ["i00", "i02", "i04", "i06"])  # 0 and 6 are flipped
def test_a_box_of_the_frame_goes_back_to_the_film(dataset, frames, image_id):
    framed = frames.get(image_id)
    target = target_of(framed.regions, framed.labels, image_id, 4)
    found = framed.box_to_original(target["boxes"][0].tolist())
    prepared = lesion_box(dataset, image_id)
    top, left = 5 + prepared.row_min * 2, 7 + prepared.col_min * 2
    if int(image_id[1:]) % 3 == 0:
        left = 7 + (COLS - prepared.col_max) * 2
    wanted = Box(top, left, top + 36, left + 28)
    assert found.iou(wanted) > 0.97


def test_a_frame_may_reduce(dataset):
    framed = Frames(dataset, Frame(64, 64)).get("i02")
    assert framed.size == (64, 43)
    assert (framed.regions == 2).any()


def test_a_mammogram_is_made_once_and_kept(frames):
    assert frames.get("i03") is frames.get("i03")


def test_a_picture_that_is_too_small_is_named(tmp_path):
    strip = small_mammograms(tmp_path, 2, rows=96, cols=64)
    with pytest.raises(DataError, match="image i00: 96×64 px, in the frame 32×21: smaller than"):
        Frames(strip, Frame(32, 64)).get("i00")


def test_a_lesion_that_vanishes_is_named(dataset):
    regions = np.asarray(dataset.prepared.regions("i02")).copy()
    regions[regions == 2] = 1
    regions[2, 2] = 2  # one pixel, between those that half the size keeps
    store = copy.copy(dataset.prepared)
    object.__setattr__(store, "regions", lambda image_id: regions)
    data = replace(dataset, prepared=store)
    with pytest.raises(DataError, match="image i02: the box of lesion 0 has zero area at 48×32"):
        Frames(data, Frame(48, 64)).get("i02")


def test_a_lesion_that_another_hides_is_passed_over(dataset):
    regions = np.ones((ROWS, COLS), dtype=np.uint8)
    frames = Frames(dataset, Frame(96, 64))
    assert frames._labels("i02", regions) == {}


# ------------------------------------------------------------------ varied


def test_without_variation_nothing_changes(frames):
    framed = frames.get("i02")
    how = Variation.draw(np.random.default_rng(0), NO_AUGMENTATION)
    pictures, regions = varied([framed], [how], frames.frame, CPU)
    torch.testing.assert_close(pictures[0, 0], framed.picture.float(), atol=1e-5, rtol=0)
    assert torch.equal(regions[0], framed.regions)


def test_flips_mirror_the_mammogram_in_its_place(frames):
    framed = frames.get("i02")
    rows, cols = framed.size
    mirrored, upended = (
        varied([framed], [how], frames.frame, CPU)
        for how in (Variation(mirrored=True), Variation(upended=True))
    )
    source = framed.picture[:rows, :cols].float()
    torch.testing.assert_close(mirrored[0][0, 0, :rows, :cols], source.flip(1), atol=1e-3, rtol=0)
    torch.testing.assert_close(upended[0][0, 0, :rows, :cols], source.flip(0), atol=1e-3, rtol=0)
    assert torch.equal(mirrored[1][0][:rows, :cols], framed.regions[:rows, :cols].flip(1))
    assert mirrored[0][0, 0, :, cols:].max() == 0


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2])
def test_places_go_where_the_matrix_says(angle):
    """A point at p of the source lands at middle + scale · R · (p − middle)."""
    frame, size, scale = Frame(200, 160), (200, 100), 1.1
    point = np.array([70.0, 60.0])  # x, y
    how = Variation(angle=angle, scale=scale)
    matrix = np.array(how.matrix(size, frame))
    middle, half = np.array([50.0, 100.0]), np.array([80.0, 100.0])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    landed = middle + scale * turn @ (point - middle)
    back = (matrix[:, :2] @ (landed / half - 1) + matrix[:, 2] + 1) * half
    np.testing.assert_allclose(back, point)


def test_a_turned_lesion_keeps_its_area_and_lies_where_its_picture_shows_it(frames):
    framed = frames.get("i02")
    pictures, regions = varied([framed], [Variation(angle=0.3, scale=1.0)], frames.frame, CPU)
    lesion = regions[0] == 2
    assert float(lesion.sum()) == pytest.approx(float((framed.regions == 2).sum()), rel=0.05)
    bright = pictures[0, 0] > 0.6
    shared = (lesion & bright).sum() / (lesion | bright).sum()
    assert float(shared) > 0.85


def test_a_gain_brightens_and_stays_in_range(frames):
    framed = frames.get("i02")
    (plain, _), (bright, _) = (
        varied([framed], [Variation(gain=gain)], frames.frame, CPU) for gain in (1.0, 1.5)
    )
    torch.testing.assert_close(bright, (1.5 * plain).clamp(0, 1))


def test_draws_keep_within_their_bounds():
    most = Augmentation(rotation_deg=20, flip=True, scale=1.3, contrast=0.2)
    rng = np.random.default_rng(1)
    drawn = [Variation.draw(rng, most) for _ in range(400)]
    assert max(abs(each.angle) for each in drawn) <= math.radians(20)
    scales = [each.scale for each in drawn]
    assert 1 / 1.3 <= min(scales) < 0.85
    assert 1.2 < max(scales) <= 1.3
    assert 0.4 < np.mean([each.mirrored for each in drawn]) < 0.6
    assert all(0.8 <= each.gain <= 1.2 for each in drawn)


# ------------------------------------------------------------------ what is refused


def good_target():
    masks = torch.zeros((1, 40, 30), dtype=torch.uint8)
    masks[0, 5:10, 5:10] = 1
    boxes, labels = torch.tensor([[5.0, 5.0, 10.0, 10.0]]), torch.tensor([1])
    return {"boxes": boxes, "labels": labels, "masks": masks}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": torch.tensor([[5.0, 5, 5, 10]])}, "the box of lesion 0 has zero area"),
        ({"boxes": torch.tensor([[5.0, 5, 31, 10]])}, "reaches outside the image"),
        ({"boxes": torch.tensor([[-1.0, 5, 9, 10]])}, "reaches outside the image"),
        ({"boxes": torch.tensor([[float("nan"), 5, 9, 10]])}, "has zero area"),
        ({"masks": torch.ones((1, 40, 31))}, r"outside the image: \(1, 40, 31\) for \(40, 30\)"),
        ({"masks": torch.zeros((1, 40, 30))}, "the mask of lesion 0 has no pixel in the image"),
        ({"labels": torch.tensor([4])}, "label 4 is out of range: the network has classes 1 to 3"),
        ({"labels": torch.tensor([0])}, "label 0 is out of range"),
    ],
)
def test_a_bad_target_names_the_image(change, message):
    check_target(good_target(), "i7", (40, 30), 4)
    with pytest.raises(DataError, match=f"image i7: .*{message}"):
        check_target(good_target() | change, "i7", (40, 30), 4)


def test_a_picture_without_lesions_has_an_empty_target(frames):
    framed = frames.get("i01")
    target = target_of(framed.regions, framed.labels, "i01", 4)
    assert {name: tuple(part.shape) for name, part in target.items()} == {
        "boxes": (0, 4),
        "labels": (0,),
        "masks": (0, 192, 160),
    }


# ------------------------------------------------------------------ rows of a table


@pytest.mark.parametrize("image_id", ["i00", "i02"])  # flipped, and not
def test_found_boxes_and_masks_are_those_of_the_film(frames, image_id):
    framed: Framed = frames.get(image_id)
    mask = torch.zeros((1, 1, 28, 28))
    mask[..., :, :7] = 1  # the left quarter of the box, as the network sees it
    found = {
        "boxes": torch.tensor([[16.0, 20, 48, 60]]),
        "labels": torch.tensor([3]),
        "scores": torch.tensor([0.7]),
        "class_scores": torch.tensor([[0.1, 0.15, 0.05, 0.7]]),
        "masks": mask,
    }
    row = found_rows(framed, found).iloc[0]
    box = framed.box_to_original([16, 20, 48, 60])
    assert (row["row_min"], row["col_max"]) == (box.row_min, box.col_max)
    assert row["label"] == "malignant"
    assert row["score"] == row["score_malignant"] == pytest.approx(0.7)
    bits = np.unpackbits(np.frombuffer(row["mask"], np.uint8)).reshape(28, 28)
    quarter = bits[:, 21:] if framed.transform.flipped else bits[:, :7]
    assert framed.transform.flipped == (image_id == "i00")
    assert quarter.all()
    assert bits.sum() == 28 * 7
