"""The brightest blobs in the breast: what a detector has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import binary_erosion, gaussian_filter, maximum_filter
from tqdm.auto import tqdm

from second_look.batches.frames import Framed, Frames
from second_look.catalogue import LABELS
from second_look.evaluation.detection_tables import pack_mask
from second_look.inference.detections import with_owners

NAME = "brightest blob"
# Radii of the blobs that are looked for, as shares of the frame's rows: 4 to 16 mm of a film.
_RADII = (0.02, 0.035, 0.055, 0.08)
# A disc is darkest around √2 standard deviations from the middle of a Laplacian of Gaussian.
_SIGMA_OF_RADIUS = 2**-0.5
# Blobs of an image that are kept.
_MAX_BLOBS = 30
_SIDE = 28


def detect_blobs(frames: Frames, image_ids: Sequence[str]) -> pd.DataFrame:
    """Places in the breast that are brighter than what surrounds them, at several sizes.

    The score is the contrast between a Gaussian and one 1.6 times as wide, 0 to 1; a blob says
    nothing about the kind of lesion, so all classes share its score.

    Args:
        frames: The images.
        image_ids: Which of them.

    Returns:
        A table of detection_tables.DETECTIONS.
    """
    parts = [
        _rows(frames.get(image_id)) for image_id in tqdm(image_ids, desc=f"detecting ({NAME})")
    ]
    return with_owners(pd.concat(parts, ignore_index=True), frames.dataset, NAME, seed=0)


def _rows(framed: Framed) -> pd.DataFrame:
    rows, cols = framed.size
    picture = framed.picture[:rows, :cols].float().cpu().numpy()
    breast = framed.regions[:rows, :cols].cpu().numpy() > 0
    blobs = _blobs(picture, breast)
    disc = np.hypot(*(np.indices((_SIDE, _SIDE)) + 0.5 - _SIDE / 2)) <= _SIDE / 2
    mask = pack_mask(disc)
    share = 1 / (len(LABELS) - 1)
    records = []
    for row, col, radius, contrast in blobs:
        low = (max(col - radius, 0.0), max(row - radius, 0.0))
        high = (min(col + radius, float(cols)), min(row + radius, float(rows)))
        box = framed.box_to_original((*low, *high))
        records.append(
            {
                "image_id": framed.image_id,
                "label": LABELS[-1],
                "score": contrast * share,
                "score_normal": 1 - contrast,
                **{f"score_{label}": contrast * share for label in LABELS[1:]},
                "row_min": box.row_min,
                "col_min": box.col_min,
                "row_max": box.row_max,
                "col_max": box.col_max,
                "mask": mask,
            }
        )
    return pd.DataFrame(records)


def _blobs(
    picture: npt.NDArray[np.float32], breast: npt.NDArray[np.bool_]
) -> list[tuple[float, float, float, float]]:
    """Row, col, radius and contrast of the blobs, strongest first; they do not overlap."""
    candidates: list[tuple[float, float, float, float]] = []
    inner = breast
    for share in _RADII:
        radius = share * picture.shape[0]
        sigma = radius * _SIGMA_OF_RADIUS
        contrast = _smoothed_in(picture, breast, sigma) - _smoothed_in(picture, breast, 1.6 * sigma)
        # The edge of the breast is no blob.
        inner = binary_erosion(breast, iterations=max(1, round(radius / 2)))
        peaks = (contrast == maximum_filter(contrast, size=max(3, round(radius)))) & inner
        for row, col in np.argwhere(peaks & (contrast > 0)):
            strength = float(contrast[row, col])
            candidates.append((strength, float(row) + 0.5, float(col) + 0.5, radius))
    blobs: list[tuple[float, float, float, float]] = []
    for strength, row, col, radius in sorted(candidates, reverse=True):
        if all(np.hypot(row - r, col - c) > 0.7 * max(radius, far) for r, c, far, _ in blobs):
            blobs.append((row, col, radius, min(1.0, strength)))
        if len(blobs) == _MAX_BLOBS:
            break
    return blobs


def _smoothed_in(
    picture: npt.NDArray[np.float32], breast: npt.NDArray[np.bool_], sigma: float
) -> npt.NDArray[np.float32]:
    """A Gaussian mean over the breast alone: the dark beside it does not count."""
    weight = gaussian_filter(breast.astype(np.float32), sigma)
    smooth: npt.NDArray[np.float32] = gaussian_filter(picture * breast, sigma) / np.maximum(
        weight, 1e-3
    )
    return smooth
