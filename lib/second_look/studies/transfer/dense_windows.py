"""All windows of a mammogram in one pass, against windows that are cut out one by one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from second_look.evaluation.predictions import CLASS_SCORES
from second_look.inference.windows import score_image, score_windows
from second_look.models.classifier import Classifier
from second_look.models.folded import folded
from second_look.preparing.dataset import Dataset

# What is measured on the windows that are compared.
MEASURED = (
    "mean_difference",
    "largest_difference",
    "agreement",
    "seconds_cut",
    "seconds_dense",
    "ratio",
)


def against_cut(
    network: Classifier,
    data: Dataset,
    image_ids: Sequence[str],
    *,
    size: int,
    stride: int,
    scales: Mapping[str, float],
) -> pd.DataFrame:
    """How far both ways differ, and how long they take, on some images.

    Windows that reach beyond the image are left out: they cannot be cut. So is an image that is
    smaller than a window.

    Returns:
        windows (compared), mean_difference and largest_difference of a probability, agreement
        (share of windows that get the same class), seconds_cut, seconds_dense, ratio; NaN where
        there is no window to compare.
    """
    quick = folded(network)
    dense_seconds, cut_seconds = 0.0, 0.0
    apart, same = [], []
    for image_id in image_ids:
        scale = scales[image_id]
        begun = time.perf_counter()
        dense = score_image(quick, data.prepared, image_id, size=size, stride=stride, scale=scale)
        taken = time.perf_counter() - begun
        rows, cols = data.prepared.pixels(image_id).shape
        inside = (dense["row"] + dense["size"] <= rows) & (dense["col"] + dense["size"] <= cols)
        windows = dense[inside].assign(label="normal", excluded="")
        if windows.empty:
            continue
        dense_seconds += taken
        begun = time.perf_counter()
        scores = score_windows(network, data.prepared, windows, size=size)
        # Every window of the pass counts, so that both times are for the same work.
        cut_seconds += (time.perf_counter() - begun) * len(dense) / len(windows)
        whole = windows[list(CLASS_SCORES)].to_numpy()
        apart.append(np.abs(whole - scores))
        same.append(whole.argmax(axis=1) == scores.argmax(axis=1))
    if not same:
        return pd.DataFrame([{"windows": 0, **dict.fromkeys(MEASURED, np.nan)}])
    differences, agree = np.concatenate(apart), np.concatenate(same)
    row = {
        "windows": len(agree),
        "mean_difference": float(differences.mean()),
        "largest_difference": float(differences.max()),
        "agreement": float(agree.mean()),
        "seconds_cut": cut_seconds,
        "seconds_dense": dense_seconds,
        "ratio": cut_seconds / dense_seconds,
    }
    return pd.DataFrame([row])
