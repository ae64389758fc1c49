"""Scores of images and patches, mean average precision, masks, groups: each against an oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.made_detections import (
    disc,
    made_detections,
    made_images,
    made_truths,
    perfect,
    random_detections,
)
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.evaluation.detection import (
    SIZES,
    by_group,
    image_scores,
    mask_agreement,
    mask_table,
    patch_scores,
    roc_table,
)
from second_look.evaluation.detection_tables import (
    BOX,
    DETECTIONS,
    TRUTHS,
    boxes,
    checked,
    overlap,
    pack_mask,
    true_mask,
    unpack_mask,
)
from second_look.evaluation.lesion_types import GIVEN, POOLED, blind, type_table
from second_look.evaluation.mean_precision import average_precision, map50_estimate
from second_look.geometry import Box
from second_look.preparing.patches import HALF_RULE


@pytest.fixture(scope="module")
def images():
    return made_images(60)


@pytest.fixture(scope="module")
def truths(images):
    return made_truths(images, seed=1, lesions_per_image=2)


# ------------------------------------------------------------------ images


def test_perfect_detections_separate_images_perfectly(images, truths):
    scores = image_scores(perfect(images, truths), images, model="perfect", seed=0)
    table = roc_table(scores, seed=0, draws=50).set_index("target")
    assert table["auc"].to_dict() == {"malignant": 1.0, "lesion": 1.0}
    assert table["positives"].to_dict() == {"malignant": 10, "lesion": 30}


def test_an_image_scores_as_its_highest_detection_and_0_without_any(images):
    rows = images.iloc[[0, 0, 1]]
    result = made_detections(rows, np.tile([0, 0, 9, 9], (3, 1)), np.array([0.2, 0.6, 0.4]),
                            ["malignant", "benign", "benign"])  # fmt: skip
    scores = image_scores(result, images, model="made", seed=3)
    selected = scores.set_index(["target", "image_id"])["score"]
    assert selected["malignant", "i00000"] == 0.2
    assert selected["lesion", "i00000"] == 0.6
    assert selected["malignant", "i00001"] == 0
    assert selected["lesion", "i00001"] == 0.4
    assert selected["lesion", "i00002"] == 0
    assert set(scores["unit"]) == {"image"}
    assert set(scores["seed"]) == {3}


def test_an_auc_of_one_class_only_says_why(images, truths):
    positives = images[images["label"] != "normal"]
    scores = image_scores(perfect(images, truths), positives, model="perfect", seed=0)
    selected = roc_table(scores, seed=0, draws=20).set_index("target").loc["lesion"]
    assert np.isnan(selected["auc"])
    assert selected["reason"] == "no negative among them"


# ------------------------------------------------------------------ patches


def windows_of(images, size=500):
    """A grid of windows on every image, all of them labelled normal."""
    starts = np.arange(0, 1000, size)
    corners = [(row, col) for row in starts for col in starts]
    table = images.loc[images.index.repeat(len(corners))].reset_index(drop=True)
    corner = np.array(corners * len(images), dtype=float)
    table[list(BOX)] = np.column_stack([corner, corner + size])
    return table.drop(columns=["density", "unlocated"])


def with_rule(windows, truths, rule):
    """Labels of windows by LabelRule, with loops: the most suspicious lesion that counts."""
    labels = []
    for window in windows.to_dict("records"):
        label, area = "normal", (window["row_max"] - window["row_min"]) ** 2
        for lesion in truths[truths["image_id"] == window["image_id"]].to_dict("records"):
            first_box, second_box = (Box(*(box[name] for name in BOX)) for box in (window, lesion))
            shared = first_box.intersection(second_box).area
            counts = shared > 0 and (
                shared / second_box.area >= rule.min_lesion_share
                or shared / area >= rule.min_window_share
            )
            if counts:
                label = max(label, lesion["pathology"], key=LABELS.index)
        labels.append(label)
    return windows.assign(label=labels)


def test_perfect_detections_separate_patches_perfectly(images, truths):
    rule = HALF_RULE
    windows = with_rule(windows_of(images), truths, rule)
    table, types = patch_scores(perfect(images, truths), windows, rule, model="perfect", seed=0)
    by_type = type_table(types, blind(types, dict.fromkeys(LABELS[1:], 0.1)), seed=0, draws=20)
    aucs = pd.concat([roc_table(table, seed=0, draws=20), by_type]).set_index("target")["auc"]
    assert aucs.to_dict() == dict.fromkeys(
        ["malignant", "lesion", GIVEN, POOLED, *(f"type {label}" for label in LABELS[1:])], 1.0
    )


def test_patch_scores_are_what_a_plain_loop_gives(images):
    rule = replace(HALF_RULE, min_lesion_share=0.4, min_window_share=0.3)
    some = images.iloc[:4]
    result, windows = random_detections(some, seed=2, boxes_per_image=8), windows_of(some)
    table, types = patch_scores(result, windows, rule, model="made", seed=0)
    lesion = table[table["target"] == "lesion"]
    for window, score in zip(windows.to_dict("records"), lesion["score"], strict=True):
        best, first_box = 0.0, Box(*(window[name] for name in BOX))
        for row in result[result["image_id"] == window["image_id"]].to_dict("records"):
            second_box = Box(*(row[name] for name in BOX))
            shared = first_box.intersection(second_box).area
            if shared and (shared / second_box.area >= 0.4 or shared / first_box.area >= 0.3):
                best = max(best, 1 - row["score_normal"])
        assert score == pytest.approx(best)
    assert len(types) == 3 * len(windows)
    by_type = type_table(types, blind(types, dict.fromkeys(LABELS[1:], 0.1)), seed=0, draws=10)
    assert (by_type["n"] == len(windows)).all()


# ------------------------------------------------------------------ average precision


def test_perfect_detections_have_a_mean_average_precision_of_1(images, truths):
    for by_class in (False, True):
        result = average_precision(perfect(images, truths), truths, images, by_class=by_class)
        assert result == {"mAP50": pytest.approx(1), "mAP50-95": pytest.approx(1)}


@pytest.mark.parametrize("by_class", [False, True])
def test_average_precision_is_torchmetrics_own(images, truths, by_class):
    from torchmetrics.detection import MeanAveragePrecision

    # 19 of a class: no recall lies on one of COCO's 101, which torchmetrics rounds to float32.
    truths = truths.groupby("pathology").head(19)
    rng = np.random.default_rng(3)
    exact = perfect(images, truths)
    exact[list(BOX)] += rng.normal(0, 12, (len(exact), 4))
    exact = exact[(exact["row_max"] > exact["row_min"]) & (exact["col_max"] > exact["col_min"])]
    noise = random_detections(images, seed=4, boxes_per_image=3)
    result = pd.concat([exact.sample(frac=0.7, random_state=0), noise], ignore_index=True)
    metric = MeanAveragePrecision(backend="pycocotools")
    metric.warn_on_many_detections = False
    for image in images["image_id"]:
        selected = result[result["image_id"] == image]
        truths_of_image = truths[truths["image_id"] == image]
        chances = selected["score"] if by_class else 1 - selected["score_normal"]
        metric.update(
            [as_torch(selected, "label", chances, by_class=by_class)],
            [as_torch(truths_of_image, "pathology", None, by_class=by_class)],
        )
    reference = metric.compute()
    actual = average_precision(result, truths, images, by_class=by_class)
    assert actual["mAP50"] == pytest.approx(float(reference["map_50"]), abs=1e-6)
    assert actual["mAP50-95"] == pytest.approx(float(reference["map"]), abs=1e-6)
    assert 0.1 < actual["mAP50"] < 0.95
    interval = map50_estimate(result, truths, images, by_class=by_class, seed=0, draws=50)
    assert interval.value == pytest.approx(actual["mAP50"])
    assert interval.low < interval.value < interval.high
    assert interval.n == len(truths)


def as_torch(table, column, scores, *, by_class):
    codes = [LABELS.index(label) if by_class else 1 for label in table[column]]
    places = boxes(table)[:, [1, 0, 3, 2]]
    entry = {"boxes": torch.tensor(places), "labels": torch.tensor(codes, dtype=torch.int64)}
    return entry if scores is None else entry | {"scores": torch.tensor(scores.to_numpy())}


def test_without_lesions_or_detections_average_precision_is_said(images, truths):
    none = average_precision(perfect(images, truths), truths.iloc[:0], images, by_class=False)
    assert np.isnan(none["mAP50"])
    undefined = map50_estimate(
        perfect(images, truths), truths.iloc[:0], images, by_class=True, seed=0
    )
    assert undefined.reason == "no lesion among them"
    empty = perfect(images, truths).iloc[:0]
    assert average_precision(empty, truths, images, by_class=True)["mAP50"] == 0


# ------------------------------------------------------------------ masks


def test_perfect_masks_have_a_dice_of_1(images, truths):
    agreement = mask_agreement(perfect(images, truths), truths)
    assert len(agreement) == len(truths)
    assert agreement["dice"].min() == agreement["iou"].min() == 1
    table = mask_table(agreement, seed=0).set_index("measure")
    patients = agreement["patient_id"].nunique()
    exact = [1, 0.025 ** (1 / patients), 1]  # perfect masks of so many patients are not all masks
    assert table.loc["dice", ["value", "low", "high"]].tolist() == pytest.approx(exact)


def test_dice_of_a_shifted_disc_is_that_of_geometry(images, truths):
    """Two equal discs at a distance d share 2 r² acos(d / 2r) − d/2 √(4r² − d²)."""
    first_box = truths.iloc[:1].assign(row_min=100.0, row_max=300.0, col_min=100.0, col_max=300.0)
    for shift in (0.0, 40.0, 60.0):
        result = perfect(images, first_box).assign(col_min=100 + shift, col_max=300 + shift)
        radius = 100.0
        shared = 2 * radius**2 * np.arccos(shift / 200) - shift / 2 * np.sqrt(200**2 - shift**2)
        dice = shared / (np.pi * radius**2)
        agreement = mask_agreement(result, first_box, min_iou=0.1)
        assert agreement["dice"].item() == pytest.approx(dice, abs=0.01)
        assert agreement["iou"].item() == pytest.approx(dice / (2 - dice), abs=0.015)


def test_a_coarse_mask_agrees_with_a_fine_one(images, truths):
    result = perfect(images, truths).assign(mask=pack_mask(disc(28)))
    assert mask_agreement(result, truths)["dice"].min() > 0.97


def test_no_hit_no_dice(images, truths):
    table = mask_table(mask_agreement(perfect(images, truths).iloc[:0], truths), seed=0)
    assert table["value"].isna().all()
    assert set(table["reason"]) == {"no lesion was hit"}


def test_a_mask_survives_its_bytes():
    mask = np.random.default_rng(0).random((28, 28)) < 0.4
    assert len(pack_mask(mask)) == 98
    np.testing.assert_array_equal(unpack_mask(pack_mask(mask)), mask)
    with pytest.raises(ValueError, match=r"a multiple of 4. Got \(30, 30\)"):
        pack_mask(np.zeros((30, 30), dtype=bool))


def test_the_true_mask_is_the_lesion_over_its_box():
    mask = np.zeros((40, 30), dtype=bool)
    mask[5:25, 10:20] = True
    mask[5:15, 10:15] = False
    box, grid = true_mask(mask, 20)
    assert box == Box(5, 10, 25, 20)
    assert not grid[:10, :10].any()
    assert grid[10:].all()
    assert grid[:, 10:].all()
    assert true_mask(np.zeros((4, 4), dtype=bool)) is None


# ------------------------------------------------------------------ groups and tables


def test_groups_share_the_threshold_of_all_lesions(images, truths):
    """Every mass is found at 0.9, every calcification below the false alarms."""
    result = perfect(images, truths)
    calcified = (truths["kind"] == "calcification").to_numpy()
    result.loc[calcified, list(set(result.columns) & {"score_normal"})] = 0.95
    for label in LABELS[1:]:
        selected = calcified & (result["label"] == label).to_numpy()
        result.loc[selected, f"score_{label}"] = 0.05
    noise = random_detections(images[30:], seed=5, boxes_per_image=4)
    noise[[f"score_{label}" for label in LABELS[1:]]] *= 0
    noise["score_malignant"], noise["score_normal"] = 0.5, 0.5
    table = by_group(pd.concat([result, noise], ignore_index=True), truths, images, seed=0)
    kinds = table[table["group"] == "kind"].set_index("value")
    assert kinds.loc["mass", "sensitivity"] == 1
    assert kinds.loc["calcification", "sensitivity"] == 0
    assert kinds["lesions"].sum() == len(truths)
    assert set(table["group"]) == {"kind", "pathology", "size", "density"}
    sizes = table[table["group"] == "size"].set_index("value")["lesions"]
    assert sizes["below 10 mm"] == (truths["size_mm"] < 10).sum()
    assert list(sizes.index) == [name for name in SIZES if name in sizes.index]  # small ones first
    assert len(sizes) > 1


def test_overlap_is_that_of_boxes():
    rng = np.random.default_rng(6)
    first, second = (np.sort(rng.uniform(0, 9, (50, 2, 2)), axis=1).reshape(50, 4) for _ in "ab")
    reference = [Box(*a).iou(Box(*b)) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(overlap(first, second), reference)


def test_a_wrong_table_names_the_image(images, truths):
    good = perfect(images, truths)
    assert len(checked(good, DETECTIONS, "detections")) == len(good)
    bad = good.copy()
    bad.loc[3, "score"] = 1.5
    with pytest.raises(DataError, match=r"detections: score: .*\(1.5\) of image i00001"):
        checked(bad, DETECTIONS, "detections")
    flat = good.assign(row_max=good["row_max"].where(good.index != 2, good["row_min"]))
    with pytest.raises(DataError, match="a box of image i00001 has no area"):
        checked(flat, DETECTIONS, "detections")
    with pytest.raises(DataError, match="truths: "):
        checked(truths.drop(columns="kind"), TRUTHS, "truths")
