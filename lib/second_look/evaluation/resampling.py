"""Draws of patients with replacement, as counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from second_look.errors import DataError

Floats = npt.NDArray[np.float64]

# Numbers in a block of counts: fits the cache, whatever the number of patients.
BLOCK = 1 << 18


def drawn_counts(count: int, seed: int, draws: int) -> Iterator[Floats]:
    """How often each patient is drawn, float64 (some draws, patients), block after block."""
    rng = np.random.default_rng(seed)
    block_rows = max(1, BLOCK // count)
    for start in range(0, draws, block_rows):
        rows = min(block_rows, draws - start)
        # A multinomial of equal chances, three times sooner than numpy's.
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * count)
        yield counts.reshape(rows, count).astype(np.float64)


def replicate(
    statistics: Mapping[str, Callable[[Floats], Floats]], count: int, *, seed: int, draws: int
) -> dict[str, Floats]:
    """Name -> the statistic in every draw of so many patients, float64 (draws, ...).

    Raises:
        DataError: There are no patients.
    """
    if count == 0:
        raise DataError("a bootstrap needs at least one patient. Got none.")
    parts: dict[str, list[Floats]] = {name: [] for name in statistics}
    for counts in drawn_counts(count, seed, draws):
        for name, statistic in statistics.items():
            parts[name].append(statistic(counts))
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}
