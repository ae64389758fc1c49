"""The same picture under two names: found by content, whatever the files are called."""

from __future__ import annotations

import numpy as np
import pandas as pd

from second_look.errors import LeakageError
from second_look.store import Prepared

COLUMNS = ["image_a", "image_b", "how", "correlation"]
# Of 32 x 32 thumbnails. Two films of one breast reach 0.98; a copy that was saved again as JPEG,
# or resampled, stays above this.
NEAR = 0.9995


def find_duplicates(prepared: Prepared, *, near: float = NEAR) -> pd.DataFrame:
    """Pairs of images with the same content, or almost.

    Args:
        prepared: Images, all with the chest wall at the left, so that mirrored copies match.
        near: Least correlation of the thumbnails of a near copy.

    Returns:
        image_a, image_b, how (identical or near), correlation; one row a pair.
    """
    ids = prepared.images["image_id"].to_numpy(dtype=object)
    hashes = prepared.images["content_hash"].to_numpy(dtype=object)
    flat = prepared.thumbnails.reshape(len(ids), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    rows = []
    for first in range(len(ids) - 1):
        correlation = flat[first + 1 :] @ flat[first]
        same = hashes[first + 1 :] == hashes[first]
        for offset in np.flatnonzero(same | (correlation >= near)):
            how = "identical" if same[offset] else "near"
            second = first + 1 + int(offset)
            rows.append((ids[first], ids[second], how, float(correlation[offset])))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"correlation": float})


def check_no_content_leak(duplicates: pd.DataFrame, images: pd.DataFrame) -> None:
    """No picture in two splits under two names.

    Raises:
        LeakageError: Names the pairs.
    """
    split = images.set_index("image_id")["split"]
    first, second = split.reindex(duplicates["image_a"]), split.reindex(duplicates["image_b"])
    across = duplicates[(first.to_numpy() != second.to_numpy())]
    if len(across):
        named = ", ".join(f"{row.image_a} = {row.image_b}" for row in across.head(5).itertuples())
        raise LeakageError(
            f"{len(across)} pictures stand in two splits under two names: {named}.",
            "prepared images",
            "Give both the same patient, or take one of each pair out of the data set.",
        )
