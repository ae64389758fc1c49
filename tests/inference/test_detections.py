"""Detections as a table in original coordinates, and the baseline, on squares of known place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.small_mammograms import COLS, small_mammograms
from second_look.batches.frames import Frame, Frames
from second_look.evaluation.detection import mask_agreement
from second_look.evaluation.detection_tables import (
    BOX,
    boxes,
    image_table,
    overlap,
    truth_table,
    unpack_mask,
)
from second_look.evaluation.froc import marks, sensitivity_statistic
from second_look.evaluation.intervals import point_estimate
from second_look.evaluation.mean_precision import average_precision
from second_look.inference.blobs import detect_blobs
from second_look.inference.detections import detect, windows_in_original
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.training.loop import TrainingError
from torch import nn

FRAME = Frame(192, 160)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_mammograms(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def frames(dataset):
    return Frames(dataset, FRAME)


class SeesBright(nn.Module):
    """Finds what is brighter than any tissue, exactly; a network that knows the answer."""

    def forward(self, pictures, sizes):
        assert not self.training
        return [self.look(picture[0]) for picture in pictures]

    def look(self, picture):
        bright = picture > 0.5
        rows, cols = (torch.where(bright.any(dim=d))[0] for d in (1, 0))
        count = int(bool(bright.any()))
        ends = [cols[0], rows[0], cols[-1] + 1, rows[-1] + 1] if count else [0, 0, 0, 0]
        return {
            "boxes": torch.tensor([ends], dtype=torch.float32)[:count],
            "labels": torch.full((count,), 3),
            "scores": torch.full((count,), 0.8),
            "class_scores": torch.tensor([[0.1, 0.05, 0.05, 0.8]])[:count],
            "masks": torch.ones((count, 1, 28, 28)),
        }


def test_a_network_that_knows_the_answer_is_perfect_on_the_films(dataset, frames):
    images, truths = image_table(dataset), truth_table(dataset)
    assert len(truths) == 8
    detections = detect(SeesBright(), frames, list(images["image_id"]), model="bright", seed=4)
    assert len(detections) == len(truths)
    assert set(detections["seed"]) == {4}
    assert overlap(boxes(detections), boxes(truths)).min() > 0.93
    marked = marks(detections, truths, images, rule="iou")
    assert point_estimate(sensitivity_statistic(marked), marked.everybody).tolist() == [1.0] * 6
    assert average_precision(detections, truths, images, by_class=False)["mAP50"] == 1
    assert mask_agreement(detections, truths)["dice"].min() > 0.96


def test_truths_are_the_lesions_of_the_film_in_its_own_pixels(dataset):
    truths = truth_table(dataset).set_index("image_id")
    for image_id, window in truths.iterrows():
        bright = np.asarray(dataset.prepared.pixels(image_id)) == 50000
        rows, cols = np.nonzero(bright)
        left, right = cols.min(), cols.max() + 1
        if dataset.prepared.transform(image_id).flipped:
            left, right = COLS - right, COLS - left
        expected = [5 + 2 * rows.min(), 7 + 2 * left, 5 + 2 * rows.max() + 2, 7 + 2 * right]
        assert window[list(BOX)].tolist() == expected
        assert window["size_mm"] == 18 * 2 * 0.5
        assert unpack_mask(window["mask"]).all()


def test_unlocated_lesions_are_counted_not_drawn(tmp_path):
    hidden = small_mammograms(tmp_path, unlocated=(4,))
    images = image_table(hidden).set_index("image_id")
    assert images["unlocated"].sum() == images.loc["i04", "unlocated"] == 1
    assert "i04" not in set(truth_table(hidden)["image_id"])
    assert set(image_table(hidden, splits=("test",))["split"]) == {"test"}


def test_windows_lie_where_the_film_has_them(dataset):
    rule = replace(HALF_RULE, min_lesion_share=0.9)
    windows = window_table(dataset.prepared, dataset.catalogue, size=32, stride=16, rule=rule)
    placed = windows_in_original(windows, dataset)
    assert len(placed) == (windows["excluded"] == "").sum()
    truths = truth_table(dataset).set_index("image_id")
    with_lesion = placed[placed["label"] != "normal"]
    assert len(with_lesion) > 8
    for window in with_lesion.to_dict("records"):
        lesion = truths.loc[window["image_id"]]
        rows = min(window["row_max"], lesion["row_max"]) - max(window["row_min"], lesion["row_min"])
        cols = min(window["col_max"], lesion["col_max"]) - max(window["col_min"], lesion["col_min"])
        area = (lesion["row_max"] - lesion["row_min"]) * (lesion["col_max"] - lesion["col_min"])
        assert rows * cols >= 0.9 * area
        assert window["row_max"] - window["row_min"] == 64  # 32 px at half the size


def test_the_brightest_blob_is_the_square(dataset, frames):
    images, truths = image_table(dataset), truth_table(dataset)
    detections = detect_blobs(frames, list(images["image_id"]))
    best = detections.sort_values("score_normal").drop_duplicates("image_id")
    hits = marks(best, truths, images)
    assert np.isfinite(hits.best).all()
    scores = 1 - best.set_index("image_id")["score_normal"]
    with_lesion = images.loc[images["label"] != "normal", "image_id"]
    assert scores[with_lesion].min() > 3 * scores.drop(with_lesion).max()


def test_a_full_device_is_said(frames):
    class Full(nn.Module):
        def forward(self, pictures, sizes):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    with pytest.raises(TrainingError, match="Use a batch smaller than 2, or a smaller frame"):
        detect(Full(), frames, ["i00"], model="full", seed=0, batch_size=2)


def test_pictures_without_detections_leave_no_rows(frames):
    detections = detect(SeesBright(), frames, ["i01", "i03"], model="bright", seed=0)
    assert isinstance(detections, pd.DataFrame)
    assert detections.empty
