"""Rows of the table, and the fairest time that a shared machine allows: the best of several."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]
OURS = "second_look"


def rate(work: Callable[[], int], *, repeats: int = 3) -> float:
    """Items a second in the best of several runs; `work` returns how many it did."""
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        count = work()
        best = max(best, count / (time.perf_counter() - start))
    return best


def side_by_side(
    what: str, unit: str, works: Mapping[str, Callable[[], int]], *, repeats: int = 3
) -> list[Row]:
    """One row a competitor, with how many times faster ours is; ours comes first."""
    rates = {who: rate(work, repeats=repeats) for who, work in works.items()}
    ours = rates[next(iter(rates))]
    return [row(what, who, value, unit, ours / value) for who, value in rates.items()]


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
