"""Patch classifiers over whole mammograms: window by window, or all windows in one pass.

Neighbouring windows share most of their pixels. Where windows lie on the cells of the network's
feature maps, the maps are computed once for the whole mammogram and averaged over each window
(fully convolutional evaluation, Sermanet et al. 2014): the work grows with the area of the image,
not with the number of windows. What differs from a window that is cut out is its border: there
the network sees the tissue beyond, instead of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from second_look.batches.sampler import Draws, PatchSampler
from second_look.errors import DataError
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.models.classifier import Classifier
from second_look.models.folded import folded
from second_look.preparing.patches import window_sums
from second_look.preparing.store import Prepared

# Pixels beyond a band of the image that the network sees too, so that bands do not show.
HALO = 128
# Most pixels that go through the network at once.
MAX_PIXELS = 1 << 22


@dataclass(frozen=True)
class WindowScores:
    """Probabilities of the windows of one image.

    Attributes:
        tops, lefts: First rows and columns of the windows, px, int64; the last ones may reach
            beyond the image, where it is air.
        size: Of a window, px.
        probabilities: Of the classes, float32 (tops, lefts, classes).
    """

    tops: npt.NDArray[np.int64]
    lefts: npt.NDArray[np.int64]
    size: int
    probabilities: npt.NDArray[np.float32]


def score_windows(
    network: Classifier,
    prepared: Prepared,
    windows: pd.DataFrame,
    *,
    size: int,
    batch_size: int = 64,
    quiet: bool = True,
) -> npt.NDArray[np.float64]:
    """Probabilities of windows that are cut out one by one.

    Args:
        network: In evaluation mode, on its device.
        prepared: The images.
        windows: image_id, row, col, size, label, excluded, as patches.window_table has them.
        size: Of a patch as the network gets it, px; windows of another size are resampled.
        batch_size: Patches at once.
        quiet: Without a progress bar.

    Returns:
        float64 (n, classes), rows sum to 1.
    """
    device = network.head.weight.device
    sampler = PatchSampler(
        prepared, windows, size=size, batch_size=batch_size, seed=0, device=device
    )
    parts = []
    with torch.inference_mode():
        starts = range(0, len(windows), batch_size)
        for first in tqdm(starts, desc="windows", disable=quiet, leave=False):
            rows = np.arange(first, min(first + batch_size, len(windows)))
            pixels = sampler.make(Draws.plain(rows)).pixels
            logits = network(pixels.contiguous(memory_format=torch.channels_last))
            parts.append(logits.double().softmax(1).cpu().numpy())
    scores: npt.NDArray[np.float64] = np.concatenate(parts)
    return scores


def score_densely(network: Classifier, pixels: Tensor, *, size: int, stride: int) -> WindowScores:
    """Probabilities of all windows of an image in one pass.

    Args:
        network: In evaluation mode, on its device.
        pixels: Grey levels 0 to 1, float32 (rows, cols).
        size: Of a window, px: a multiple of the network's stride.
        stride: Between windows, px: a multiple of the network's stride.

    Raises:
        DataError: Size or stride is no such multiple.
    """
    check_dense(network, size, stride)
    tops, lefts = (_dense_starts(length, size, stride) for length in pixels.shape)
    rows, cols = int(tops[-1]) + size, int(lefts[-1]) + size
    padded = functional.pad(pixels, (0, cols - pixels.shape[1], 0, rows - pixels.shape[0]))
    per_band = max(1, (MAX_PIXELS // cols - size) // stride + 1)
    with torch.inference_mode():
        parts = [
            _band(network, padded, tops[first : first + per_band], size, stride)
            for first in range(0, tops.size, per_band)
        ]
    return WindowScores(tops, lefts, size, np.concatenate(parts))


def check_dense(network: Classifier, size: int, stride: int) -> None:
    """Whether windows lie on the cells of the network's feature maps.

    Raises:
        DataError: They do not.
    """
    if size % network.stride or stride % network.stride or min(size, stride) < network.stride:
        raise DataError(
            f"windows of {size} px at a stride of {stride} px do not lie on the cells of "
            f"{network.architecture}, {network.stride} px apart.",
            remedy=f"Use multiples of {network.stride} px.",
        )


def score_image(
    network: Classifier,
    prepared: Prepared,
    image_id: str,
    *,
    size: int,
    stride: int,
    scale: float = 1.0,
) -> pd.DataFrame:
    """All windows of a prepared image in one pass, as a table.

    Args:
        network: In evaluation mode, on its device.
        prepared: The images.
        image_id: Which of them.
        size: Of a patch, px as the network sees them.
        stride: Between patches, px as the network sees them.
        scale: Such px for one px of the prepared image: below 1 where windows were resampled to
            smaller patches in training.

    Returns:
        image_id; row, col, size (px of the prepared image); breast_share of the window; one column
        a class score.
    """
    bits = int(prepared.images.set_index("image_id").loc[image_id, "bits"])
    levels = np.asarray(prepared.pixels(image_id), dtype=np.float32) / np.float32(2**bits - 1)
    scaled = _scaled(torch.from_numpy(levels).to(network.head.weight.device), scale)
    window_scores = score_densely(network, scaled, size=size, stride=stride)
    tops, lefts = (
        np.round(starts / scale).astype(np.int64)
        for starts in (window_scores.tops, window_scores.lefts)
    )
    length = round(size / scale)
    on_breast = window_sums(np.asarray(prepared.regions(image_id)) > 0, tops, lefts, length)
    flat = window_scores.probabilities.reshape(-1, window_scores.probabilities.shape[-1]).astype(
        np.float64
    )
    table = pd.DataFrame(flat, columns=list(CLASS_SCORES))
    table.insert(0, "image_id", image_id)
    table.insert(1, "row", np.repeat(tops, lefts.size))
    table.insert(2, "col", np.tile(lefts, tops.size))
    table.insert(3, "size", length)
    table.insert(4, "breast_share", on_breast.ravel() / length**2)
    return table


def score_all(
    network: Classifier,
    prepared: Prepared,
    image_ids: Sequence[str],
    *,
    size: int,
    stride: int,
    min_breast_share: float,
    scales: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """The windows on the breast of many images, as `score_image` gives them.

    An image without any such window gives the one that holds most of the breast.
    """
    parts, network = [], folded(network)
    for image_id in tqdm(image_ids, desc=f"all windows at stride {stride}", leave=False):
        scale = scales[image_id] if scales else 1.0
        table = score_image(network, prepared, image_id, size=size, stride=stride, scale=scale)
        min_share = min(min_breast_share, table["breast_share"].max())
        parts.append(table[table["breast_share"] >= min_share])
    return pd.concat(parts, ignore_index=True)


def _scaled(levels: Tensor, scale: float) -> Tensor:
    """A picture (rows, cols) enlarged or, averaged, reduced."""
    if scale == 1:
        return levels
    shape = [max(1, round(length * scale)) for length in levels.shape]
    scaled = functional.interpolate(
        levels[None, None], size=shape, mode="bilinear", antialias=True, align_corners=False
    )
    return scaled[0, 0]


def _band(
    network: Classifier, padded: Tensor, tops: npt.NDArray[np.int64], size: int, stride: int
) -> npt.NDArray[np.float32]:
    """Probabilities of the windows that begin in these rows, float32 (tops, lefts, classes)."""
    cell = network.stride
    first, last = int(tops[0]), int(tops[-1]) + size
    rows_above = min(HALO, first)
    rows_below = min(HALO, padded.shape[0] - last)
    band = padded[first - rows_above : last + rows_below][None, None]
    maps = network.maps(band.contiguous(memory_format=torch.channels_last))
    maps = maps[:, :, rows_above // cell : rows_above // cell + (last - first) // cell]
    means = functional.avg_pool2d(maps, size // cell, stride // cell)  # (1, width, tops, lefts)
    features = means[0].permute(1, 2, 0)
    logits = network.score(features.flatten(0, 1)).float().softmax(1)
    scores: npt.NDArray[np.float32] = logits.view(*features.shape[:2], -1).cpu().numpy()
    return scores


def _dense_starts(length: int, size: int, stride: int) -> npt.NDArray[np.int64]:
    """First pixels of the windows that cover [0, length); the last may reach beyond it."""
    count = max(0, -(-(length - size) // stride)) + 1
    return np.arange(count, dtype=np.int64) * stride
