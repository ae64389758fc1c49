"""Rows of the table of speeds, and times that are fair on a machine with other work."""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

Row = dict[str, Any]
OURS = "second_look"
# Of two candidates side by side: fewer show no range.
TURNS = 7


def rate(
    work: Callable[[], int], *, repeats: int = 3, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Items per second, the median of several runs; `work` returns the number of its items."""
    return statistics.median(_rate_of_run(work, clock) for _ in range(repeats))


def side_by_side(
    measure: str, unit: str, candidates: Mapping[str, Callable[[], int]], *, turns: int = TURNS
) -> list[Row]:
    """One row per candidate, with the factor by which the first one, ours, is faster.

    All work in this one process, so CPU time is measured: the clock would include other work on the
    machine. They take turns, and only runs of the same turn are compared. Medians over the turns,
    and the range of the factor: where it holds 1, none of the two is faster.

    Args:
        measure: What is measured.
        unit: Of the rates.
        candidates: Name -> work, which returns the number of its items; ours comes first.
        turns: At least TURNS.
    """
    for work in candidates.values():
        work()
    rates = pd.DataFrame(
        {name: _rate_of_run(work, time.process_time) for name, work in candidates.items()}
        for _ in range(turns)
    )
    factors = rates[[next(iter(candidates))]].to_numpy() / rates
    return [
        row(measure, name, rates[name].median(), unit, factors[name].median())
        | {
            "lowest": float(f"{factors[name].min():.2g}"),
            "highest": float(f"{factors[name].max():.2g}"),
        }
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
