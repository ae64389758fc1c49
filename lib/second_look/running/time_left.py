"""How long the rest of a run takes: what was expected, corrected by what has finished."""

from __future__ import annotations

from collections.abc import Mapping

_DAY_S = 86_400
_YEAR_S = 365 * _DAY_S
_UNITS = ((2 * _YEAR_S, _YEAR_S, "years"), (2 * _DAY_S, _DAY_S, "days"))
_SMALL_UNITS = ((3600, 3600, "h"), (60, 60, "min"))


def duration(seconds: float | None) -> str:
    """Seconds as people say them; – for None."""
    if seconds is None:
        return "–"
    for threshold, size, unit in (*_UNITS, *_SMALL_UNITS):
        if seconds >= threshold:
            number = seconds / size
            return f"{number:,.0f} {unit}" if number >= 9.95 else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s"


class TimeLeft:
    """Expected times of the notebooks that are still to run.

    Args:
        expected: Notebook -> s; those without an expectation are not in it.
    """

    def __init__(self, expected: Mapping[str, float]) -> None:
        self._expected = dict(expected)
        self._planned = self._taken = 0.0

    def announce(self, notebook: str) -> str:
        """What follows "running" of a notebook; "" where nothing is known of it."""
        if notebook not in self._expected:
            return ""
        expected = self._corrected(self._expected[notebook])
        return f", about {duration(expected)}; {duration(self.seconds())} to go in all"

    def seconds(self) -> float:
        """Of all that is still to run."""
        return self._corrected(sum(self._expected.values()))

    def finish(self, notebook: str, seconds: float = 0.0) -> None:
        """A notebook took so long; 0: it was up to date."""
        expected = self._expected.pop(notebook, 0.0)
        if seconds and expected:
            self._planned, self._taken = self._planned + expected, self._taken + seconds

    def _corrected(self, seconds: float) -> float:
        """Slower or faster than planned counts by the share of the plan that has shown it."""
        if not self._planned:
            return seconds
        done_share = self._planned / (self._planned + sum(self._expected.values()))
        return seconds * (1 + done_share * (self._taken / self._planned - 1))
