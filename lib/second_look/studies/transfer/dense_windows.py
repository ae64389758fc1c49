"""Scoring all windows of a mammogram in one pass, compared with cropping them one by one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.evaluation.predictions import CLASS_SCORES
from second_look.inference.windows import score_image, score_windows
from second_look.models.classifier import Classifier
from second_look.models.folded import folded
from second_look.preparing.dataset import Dataset

# Columns that are NaN if there is no window to compare.
MEASURES = (
    "mean_difference",
    "largest_difference",
    "agreement",
    "seconds_cut",
    "seconds_dense",
    "ratio",
)


def compare_with_crops(
    network: Classifier,
    data: Dataset,
    image_ids: Sequence[str],
    *,
    size: int,
    stride: int,
    scales: Mapping[str, float],
) -> pd.DataFrame:
    """How much the two methods differ, and how long each takes.

    Windows that extend beyond the image cannot be cropped and are not compared.

    Args:
        network: A patch model, in evaluation mode.
        data: The data set.
        image_ids: Images to compare on.
        size: Of a patch as the network gets it, px.
        stride: Between windows, px of a patch.
        scales: Image -> px of a patch per px of the image.

    Returns:
        One row: windows (compared), mean_difference and largest_difference of a probability,
        agreement (share of windows that get the same class), seconds_cut, seconds_dense, ratio;
        NaN if there is no window to compare.
    """
    fast = folded(network)
    dense_seconds, crop_seconds = 0.0, 0.0
    differences, same_class = [], []
    for image_id in image_ids:
        start = time.perf_counter()
        scale = scales[image_id]
        dense = score_image(fast, data.prepared, image_id, size=size, stride=stride, scale=scale)
        elapsed = time.perf_counter() - start
        windows = _windows_within(dense, data.prepared.pixels(image_id).shape)
        if windows.empty:
            continue
        dense_seconds += elapsed
        start = time.perf_counter()
        crop_scores = score_windows(network, data.prepared, windows, size=size)
        # Scaled up to all windows of the pass, so that both times are for the same work.
        crop_seconds += (time.perf_counter() - start) * len(dense) / len(windows)
        dense_scores = windows[list(CLASS_SCORES)].to_numpy()
        differences.append(np.abs(dense_scores - crop_scores))
        same_class.append(dense_scores.argmax(axis=1) == crop_scores.argmax(axis=1))
    if not differences:
        return pd.DataFrame([{"windows": 0, **dict.fromkeys(MEASURES, np.nan)}])
    return _summary(
        np.concatenate(differences), np.concatenate(same_class), crop_seconds, dense_seconds
    )


def _windows_within(dense: pd.DataFrame, shape: tuple[int, ...]) -> pd.DataFrame:
    """The windows that are completely inside an image of `shape` (rows, cols)."""
    fits = (dense["row"] + dense["size"] <= shape[0]) & (dense["col"] + dense["size"] <= shape[1])
    return dense[fits].assign(label="normal", excluded="")


def _summary(
    differences: npt.NDArray[np.floating],
    same_class: npt.NDArray[np.bool_],
    crop_seconds: float,
    dense_seconds: float,
) -> pd.DataFrame:
    row = {
        "windows": len(same_class),
        "mean_difference": float(differences.mean()),
        "largest_difference": float(differences.max()),
        "agreement": float(same_class.mean()),
        "seconds_cut": crop_seconds,
        "seconds_dense": dense_seconds,
        "ratio": crop_seconds / dense_seconds,
    }
    return pd.DataFrame([row])
