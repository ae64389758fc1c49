"""The same picture under two names: found by content, whatever the files are called."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import gaussian_filter

from second_look.errors import LeakageError
from second_look.preparing.store import Prepared

COLUMNS = ["image_a", "image_b", "how", "correlation"]
# Of the fine structure of 32 x 32 thumbnails. Different images reach 0.964 in mini-MIAS and 0.970
# in CBIS-DDSM; a copy that was saved as JPEG (quality 50), halved, mirrored or darkened by a gamma
# of 1.2 stays above 0.99 (all measured). A copy that was cropped is not recognized.
MIN_CORRELATION = 0.985
_FINE_PX = 1.0


def find_duplicates(
    prepared: Prepared, *, min_correlation: float = MIN_CORRELATION
) -> pd.DataFrame:
    """Pairs of images with the same content, or almost.

    Args:
        prepared: Images, all with the chest wall at the left, so that mirrored copies match.
        min_correlation: Least correlation of the thumbnails' fine structure of a near copy.

    Returns:
        image_a, image_b, how (identical or near), correlation; one row per pair.
    """
    ids = prepared.images["image_id"].to_numpy(dtype=object)
    hashes = prepared.images["content_hash"].to_numpy(dtype=object)
    fine = _fine_structure(prepared.thumbnails)
    rows = []
    for first in range(len(ids) - 1):
        correlation = fine[first + 1 :] @ fine[first]
        identical = hashes[first + 1 :] == hashes[first]
        for offset in np.flatnonzero(identical | (correlation >= min_correlation)):
            how = "identical" if identical[offset] else "near"
            second = first + 1 + int(offset)
            rows.append((ids[first], ids[second], how, float(correlation[offset])))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"correlation": float})


def _fine_structure(thumbnails: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(n, side, side) -> (n, side²), of unit length: all breasts look alike in their coarse shape.

    The square root spreads the dim grey levels, where most of the image is.
    """
    bright = np.sqrt(thumbnails.astype(np.float64))
    fine = bright - gaussian_filter(bright, (0, _FINE_PX, _FINE_PX))
    flat = fine.reshape(len(fine), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = flat / np.maximum(
        np.linalg.norm(flat, axis=1, keepdims=True), 1e-12
    )
    return unit


def check_no_content_leak(duplicates: pd.DataFrame, images: pd.DataFrame) -> None:
    """No picture in two splits under two names.

    Raises:
        LeakageError: Names the pairs.
    """
    split = images.set_index("image_id")["split"]
    first, second = split.reindex(duplicates["image_a"]), split.reindex(duplicates["image_b"])
    leaks = duplicates[(first.to_numpy() != second.to_numpy())]
    if len(leaks):
        named = ", ".join(f"{row.image_a} = {row.image_b}" for row in leaks.head(5).itertuples())
        raise LeakageError(
            f"{len(leaks)} pictures stand in two splits under two names: {named}.",
            "prepared images",
            "Give both the same patient, or take one of each pair out of the data set.",
        )
