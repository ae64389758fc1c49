"""Rows of the table of speeds, and times that are fair on a machine with other work."""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]
OURS = "second_look"


def rate(
    work: Callable[[], int], *, repeats: int = 3, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Items per second, the median of several runs; `work` returns the number of its items."""
    return statistics.median(_rate_of_run(work, clock) for _ in range(repeats))


def side_by_side(
    measure: str, unit: str, candidates: Mapping[str, Callable[[], int]], *, repeats: int = 5
) -> list[Row]:
    """One row per candidate, with the factor by which the first one, ours, is faster.

    All work in this one process, so CPU time is measured: the clock would include other work on the
    machine. They take turns, and only runs of the same turn are compared. Medians over the turns.

    Args:
        measure: What is measured.
        unit: Of the rates.
        candidates: Name -> work, which returns the number of its items; ours comes first.
        repeats: Turns.
    """
    for work in candidates.values():
        work()
    turns = [
        {name: _rate_of_run(work, time.process_time) for name, work in candidates.items()}
        for _ in range(repeats)
    ]
    first = next(iter(candidates))
    return [
        row(
            measure,
            name,
            statistics.median(turn[name] for turn in turns),
            unit,
            statistics.median(turn[first] / turn[name] for turn in turns),
        )
        for name in candidates
    ]


def _rate_of_run(work: Callable[[], int], clock: Callable[[], float]) -> float:
    start = clock()
    count = work()
    return count / (clock() - start)


def row(
    measure: str, implementation: str, value: float, unit: str, speedup: float | None = None
) -> Row:
    """One line of the table; `speedup` is the factor by which ours is faster than this one."""
    return {
        "measure": measure,
        "implementation": f"{implementation} {version(implementation)}".strip(),
        "value": float(f"{value:.3g}"),
        "unit": unit,
        "speedup": None if speedup is None else float(f"{speedup:.2g}"),
    }


def version(implementation: str) -> str:
    """Version of the package that an implementation's name begins with; "" if there is none."""
    try:
        return importlib.metadata.version(implementation.split()[0])
    except importlib.metadata.PackageNotFoundError:
        return ""
