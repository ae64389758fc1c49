"""Rows of the table, and times that are fair on a machine with other work."""

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
    """Items a second in the median of several runs; `work` returns how many it did."""
    return statistics.median(_once(work, clock) for _ in range(repeats))


def side_by_side(
    what: str, unit: str, works: Mapping[str, Callable[[], int]], *, repeats: int = 5
) -> list[Row]:
    """One row a competitor, with how many times faster ours is; ours comes first.

    Each works in this one process, so that the CPU's time counts and not the clock's: on a machine
    with other work the clock tells of that. All take turns, and what is compared are runs of one
    turn. Medians over the turns.
    """
    for work in works.values():
        work()
    turns = [
        {who: _once(work, time.process_time) for who, work in works.items()} for _ in range(repeats)
    ]
    ours = next(iter(works))
    return [
        row(
            what,
            who,
            statistics.median(turn[who] for turn in turns),
            unit,
            statistics.median(turn[ours] / turn[who] for turn in turns),
        )
        for who in works
    ]


def _once(work: Callable[[], int], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    count = work()
    return count / (clock() - start)


def row(what: str, who: str, value: float, unit: str, ratio: float | None = None) -> Row:
    """One line of the table; `ratio` is ours over this one's."""
    return {
        "what": what,
        "who": f"{who} {version(who)}".strip(),
        "value": float(f"{value:.3g}"),
        "unit": unit,
        "ours is faster by": None if ratio is None else float(f"{ratio:.2g}"),
    }


def version(who: str) -> str:
    """The version of the package that a competitor's name begins with; "" where it is none."""
    try:
        return importlib.metadata.version(who.split()[0])
    except importlib.metadata.PackageNotFoundError:
        return ""
