"""Mammograms in the frame of a detector: geometry, variation, and what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small_mammograms import COLS, ROWS, small_mammograms
from second_look.batches.affine import Variations
from second_look.batches.frames import (
    Frame,
    Framed,
    Frames,
    check_target,
    detection_rows,
    target_of,
    varied,
)
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
    lesion_levels = framed.picture[framed.regions == 2].float()
    assert float(lesion_levels.median()) == pytest.approx(50000 / 65535, abs=1e-3)
    mean = np.asarray(dataset.prepared.pixels("i01")).mean() / 65535
    assert float(frames.get("i01").picture[:192, :128].float().mean()) == pytest.approx(
        mean, abs=1e-3
    )


@pytest.mark.parametrize("image_id", ["i00", "i02", "i04", "i06"])  # 0 and 6 are flipped
def test_a_box_of_the_frame_goes_back_to_the_film(dataset, frames, image_id):
    framed = frames.get(image_id)
    target = target_of(framed.regions, framed.labels, image_id, 4)
    detections = framed.box_to_original(target["boxes"][0].tolist())
    prepared = lesion_box(dataset, image_id)
    top, left = 5 + prepared.row_min * 2, 7 + prepared.col_min * 2
    if int(image_id[1:]) % 3 == 0:
        left = 7 + (COLS - prepared.col_max) * 2
    expected = Box(top, left, top + 36, left + 28)
    assert detections.iou(expected) > 0.97


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


def vary_one(framed, frame, **changes):
    """Picture (rows, cols) and regions of one mammogram, varied."""
    variations = replace(
        Variations.none(1), **{name: np.array([value]) for name, value in changes.items()}
    )
    pictures, regions = varied([framed], variations, frame, CPU)
    return pictures[0, 0], regions[0]


def test_without_variation_nothing_changes(frames):
    framed = frames.get("i02")
    picture, regions = vary_one(framed, frames.frame)
    torch.testing.assert_close(picture, framed.picture.float(), atol=1e-5, rtol=0)
    assert torch.equal(regions, framed.regions)


@pytest.mark.parametrize(("name", "axis"), [("mirrored", 1), ("flipped", 0)])
def test_mirrors_leave_the_mammogram_in_its_place(frames, name, axis):
    framed = frames.get("i02")
    rows, cols = framed.size
    picture, regions = vary_one(framed, frames.frame, **{name: True})
    source = framed.picture[:rows, :cols].float()
    torch.testing.assert_close(picture[:rows, :cols], source.flip(axis), atol=1e-3, rtol=0)
    assert torch.equal(regions[:rows, :cols], framed.regions[:rows, :cols].flip(axis))
    assert picture[:, cols:].max() == 0


def test_a_mammogram_turns_about_its_own_middle(frames):
    framed = frames.get("i02")
    rows, cols = framed.size
    square = replace(framed, picture=torch.zeros_like(framed.picture))
    square.picture[rows // 2 - 2 : rows // 2 + 2, cols // 2 - 2 : cols // 2 + 2] = 1
    picture, _ = vary_one(square, frames.frame, angles=np.pi / 2, scales=2.0)
    expected = torch.zeros_like(picture)
    expected[rows // 2 - 4 : rows // 2 + 4, cols // 2 - 4 : cols // 2 + 4] = 1
    assert float((picture - expected).abs().mean()) < 1e-3


def test_a_turned_lesion_keeps_its_area_and_lies_where_its_picture_shows_it(frames):
    framed = frames.get("i02")
    picture, regions = vary_one(framed, frames.frame, angles=0.3)
    lesion = regions == 2
    assert float(lesion.sum()) == pytest.approx(float((framed.regions == 2).sum()), rel=0.05)
    bright = picture > 0.6
    shared = (lesion & bright).sum() / (lesion | bright).sum()
    assert float(shared) > 0.85


def test_a_gain_spreads_grey_levels_and_leaves_regions(frames):
    framed = frames.get("i02")
    picture, regions = vary_one(framed, frames.frame, gains=1.5)
    source = framed.picture.float()
    expected = (source.mean() + 1.5 * (source - source.mean())).clamp(0, 1)
    torch.testing.assert_close(picture, expected, atol=1e-4, rtol=0)
    assert torch.equal(regions, framed.regions)


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
    detections = {
        "boxes": torch.tensor([[16.0, 20, 48, 60]]),
        "labels": torch.tensor([3]),
        "scores": torch.tensor([0.7]),
        "class_scores": torch.tensor([[0.1, 0.15, 0.05, 0.7]]),
        "masks": mask,
    }
    row = detection_rows(framed, detections).iloc[0]
    box = framed.box_to_original([16, 20, 48, 60])
    assert (row["row_min"], row["col_max"]) == (box.row_min, box.col_max)
    assert row["label"] == "malignant"
    assert row["score"] == row["score_malignant"] == pytest.approx(0.7)
    bits = np.unpackbits(np.frombuffer(row["mask"], np.uint8)).reshape(28, 28)
    quarter = bits[:, 21:] if framed.transform.flipped else bits[:, :7]
    assert framed.transform.flipped == (image_id == "i00")
    assert quarter.all()
    assert bits.sum() == 28 * 7
