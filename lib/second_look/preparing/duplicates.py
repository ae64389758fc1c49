"""The same picture under two names: found by content, whatever the files are called."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from second_look.errors import LeakageError
from second_look.preparing.fingerprints import (
    Plane,
    Signature,
    descriptor,
    likeness,
    polar_spectrum,
)
from second_look.preparing.store import Prepared

COLUMNS = ["image_a", "image_b", "how", "correlation"]
# Of the textures of two fingerprints. Real films and digital images shifted by 1 or 3 %, turned by
# 2 or 5 degrees or of another contrast stay above 0.71; of different ones the two breasts of one
# woman came to 0.53 at most. benchmarks/duplicates.py measures it.
MIN_CORRELATION = 0.6
# Principal components of the descriptors: more are noise, and of few pictures a quarter of their
# number. Scaled to equal variance, but for those with less than this share of the largest.
_COMPONENTS, _LEAST_VARIANCE = 100, 0.03
# Likely copies are the most alike in the leaves of random projection trees (Dasgupta & Freund 2008,
# STOC): as many comparisons a picture for any number of pictures. The least cosine saves the closer
# look at most pictures; where one leaf holds all, there is time for it.
_TREES, _LEAF, _LIKELY, _LEAST_COSINE = 32, 512, 3, 0.5
# Signatures that are kept for the next comparison, up to 100 KB each.
_CACHED = 4096


def find_duplicates(
    prepared: Prepared, *, min_correlation: float = MIN_CORRELATION
) -> pd.DataFrame:
    """Pairs of images with the same content, or almost.

    Turned, mirrored, slightly shifted, rescaled, recompressed copies are found, and such with any
    other monotone contrast; not those that lost more than 2 % at each side.

    Args:
        prepared: Images with their fingerprints.
        min_correlation: Least correlation of the texture of a near copy.

    Returns:
        image_a, image_b, how (identical or near), correlation; one row per pair, in the order of
        the images.
    """
    images = prepared.images
    identical = set(_of_equal_value(images["content_hash"]))
    correlations = near_copies(prepared.fingerprints, identical, min_correlation=min_correlation)
    ids = images["image_id"].to_numpy(dtype=object)
    rows = [
        (ids[pair[0]], ids[pair[1]], "identical" if pair in identical else "near", correlation)
        for pair, correlation in sorted(correlations.items())
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"correlation": float})


def near_copies(
    fingerprints: npt.NDArray[np.uint8],
    identical: Iterable[tuple[int, int]] = (),
    *,
    min_correlation: float = MIN_CORRELATION,
) -> dict[tuple[int, int], float]:
    """Copies among fingerprints, (n, SIDE, SIDE): positions of a pair -> correlation.

    Args:
        fingerprints: Of all images.
        identical: Pairs that need no comparison; they are in the result.
        min_correlation: Least correlation of a copy.
    """
    copies = dict.fromkeys(identical, 1.0)
    signature = lru_cache(_CACHED)(lambda index: Signature(fingerprints[index]))
    # Of several copies of one picture some are likely only by way of others.
    for candidates in (likely_pairs, lambda _: _joined(copies, len(fingerprints))):
        for first, second in sorted(set(candidates(fingerprints)) - set(copies)):
            correlation = likeness(signature(first), signature(second))
            if correlation >= min_correlation:
                copies[first, second] = correlation
    return copies


def _joined(pairs: Collection[tuple[int, int]], count: int) -> Iterator[tuple[int, int]]:
    """All pairs among images that some pairs join to one group."""
    if pairs:
        first, second = np.transpose(list(pairs))
        graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(count, count))
        yield from _of_equal_value(pd.Series(connected_components(graph, directed=False)[1]))


def _of_equal_value(values: pd.Series) -> Iterator[tuple[int, int]]:
    """Positions of every two images with the same value, the first before the second."""
    positions = pd.Series(np.arange(len(values)))
    for _, group in positions.groupby(values.to_numpy()):
        yield from combinations(group.tolist(), 2)


def likely_pairs(fingerprints: npt.NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Positions of pictures that may be copies, (n, SIDE, SIDE) -> pairs, sorted."""
    rows = _scaled(np.stack([descriptor(polar_spectrum(picture)) for picture in fingerprints]))
    rng = np.random.default_rng(0)
    trees, min_cosine = (1, -1.0) if len(rows) <= _LEAF else (_TREES, _LEAST_COSINE)
    best: npt.NDArray[np.float64] = np.empty((0, 3))
    for _ in range(trees):
        leaves = _leaves(rows, np.arange(len(rows)), rng)
        candidates = np.concatenate(
            [best, *(_most_alike(rows, leaf, min_cosine) for leaf in leaves)]
        )
        # Only the best stay after each tree, so that memory does not grow with the trees.
        pairs = pd.DataFrame(candidates, columns=["image", "other", "cosine"])
        pairs = pairs.drop_duplicates(["image", "other"]).sort_values("cosine", ascending=False)
        best = pairs.groupby("image").head(_LIKELY).to_numpy()
    return sorted({(min(pair), max(pair)) for pair in best[:, :2].astype(int).tolist()})


def _scaled(rows: Plane) -> Plane:
    """Descriptors in their principal components, of even variance, each of length 1."""
    rows = rows - rows.mean(axis=0)
    variance, directions = np.linalg.eigh(rows.T @ rows / len(rows))
    count = min(_COMPONENTS, max(2, len(rows) // 4))
    variance, directions = variance[: -count - 1 : -1], directions[:, : -count - 1 : -1]
    spread = np.sqrt(np.maximum(variance, _LEAST_VARIANCE * variance[0]) + 1e-12)
    scaled: Plane = rows @ directions / spread
    scaled /= np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-9)
    return scaled


def _leaves(
    rows: Plane, members: npt.NDArray[np.int64], rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Halve the members along random directions down to the size of a leaf."""
    if len(members) <= _LEAF:
        yield members
        return
    direction = np.asarray(rng.normal(size=rows.shape[1]), dtype=np.float32)
    position = rows[members] @ direction
    half = len(members) // 2
    order = np.argpartition(position, half)
    for part in (order[:half], order[half:]):
        yield from _leaves(rows, members[part], rng)


def _most_alike(
    rows: Plane, leaf: npt.NDArray[np.int64], min_cosine: float
) -> npt.NDArray[np.float64]:
    """The pictures of a leaf with those most like them: image, other, cosine; (pairs, 3)."""
    cosines = rows[leaf] @ rows[leaf].T
    np.fill_diagonal(cosines, -np.inf)
    neighbours = np.argpartition(-cosines, min(_LIKELY, len(leaf) - 1), axis=1)[:, :_LIKELY]
    best = np.take_along_axis(cosines, neighbours, axis=1)
    image, rank = np.nonzero(best >= min_cosine)
    return np.column_stack([leaf[image], leaf[neighbours[image, rank]], best[image, rank]])


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
