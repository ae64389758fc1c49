"""Two runs side by side: which numbers of results.json moved by more than their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from second_look.errors import OutputError
from second_look.files import read_json
from second_look.records import RESULTS, load_results

SAME, WITHIN, MOVED = "the same", "within the intervals", "moved"
ONLY_FIRST, ONLY_SECOND = "only in the first", "only in the second"
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A number in two runs.

    Attributes:
        claim: Its id.
        first: Its row in results.json of the first run; None where it has none.
        second: That of the second run.
        verdict: SAME, WITHIN, MOVED, ONLY_FIRST or ONLY_SECOND.
    """

    claim: str
    first: Result | None
    second: Result | None
    verdict: str


def compare_runs(first: Path, second: Path) -> list[Change]:
    """Every number of two runs.

    A number has moved if either value lies outside the other's interval; without an interval, if
    the values differ.

    Args:
        first: Folder of a set, such as outputs/mias, or its results.json.
        second: Another one.

    Raises:
        OutputError: A folder holds no results.
    """
    rows = [{row["claim"]: row for row in _results(path)} for path in (first, second)]
    claims = list(dict.fromkeys([*rows[0], *rows[1]]))
    return [
        Change(claim, first_row, second_row, _verdict(first_row, second_row))
        for claim, first_row, second_row in (
            (name, rows[0].get(name), rows[1].get(name)) for name in claims
        )
    ]


def describe_changes(changes: list[Change]) -> list[str]:
    """What differs, a line each, and how many numbers do not."""
    lines = [
        f"{change.claim}: {change.verdict}: {_number(change.first)} → {_number(change.second)}"
        for change in changes
        if change.verdict not in (SAME, WITHIN)
    ]
    counts = {
        verdict: sum(change.verdict == verdict for change in changes)
        for verdict in (MOVED, WITHIN, SAME, ONLY_FIRST, ONLY_SECOND)
    }
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return [*lines, f"{len(changes)} numbers: {listed}."]


def _results(path: Path) -> list[dict[str, Any]]:
    folder = path.parent if path.name == RESULTS else path
    results = load_results(folder)
    if (folder / RESULTS).is_file() and read_json(folder / RESULTS) != results:
        raise OutputError(
            f"{folder / RESULTS}: does not hold results as this version writes them. Run "
            "run_all.py with the params file of the set, which makes them again."
        )
    if not results:
        raise OutputError(
            f"{folder} holds no results: expected the folder of a set, such as outputs/smoke, with "
            f"{RESULTS}."
        )
    return results


def _verdict(first: Result | None, second: Result | None) -> str:
    if first is None or second is None:
        return ONLY_SECOND if first is None else ONLY_FIRST
    if first["value"] == second["value"]:
        return SAME
    within = _within_interval(first["value"], second) and _within_interval(second["value"], first)
    return WITHIN if within else MOVED


def _within_interval(value: float | None, result: Result) -> bool:
    """Whether a value lies in the interval of a result; without one, only its own value does."""
    low, high = result.get("low"), result.get("high")
    if value is None or result["value"] is None or low is None or high is None:
        return False
    return bool(low <= value <= high)


def _number(result: Result | None) -> str:
    if result is None or result["value"] is None or math.isnan(result["value"]):
        return "–"
    low, high = result.get("low"), result.get("high")
    interval = "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"
    value = result["value"]
    return f"{value:,}{interval}" if isinstance(value, int) else f"{value:.3g}{interval}"
