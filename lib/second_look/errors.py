"""Errors that a user can correct: what was expected, what came, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class SecondLookError(Exception):
    """A problem that the user can correct; every other exception is a bug of this project."""


class DataError(SecondLookError):
    """A file, a row or a table is not what it has to be.

    Args:
        problem: What was expected and what came.
        location: The file or table, with its row where there is one.
        remedy: What the user can do about it.
    """

    def __init__(self, problem: str, location: object = "", remedy: str = "") -> None:
        self.problem, self.location, self.remedy = problem, str(location), remedy
        super().__init__(problem, self.location, remedy)

    def __str__(self) -> str:
        prefix = f"{self.location}: " if self.location else ""
        advice = f" {self.remedy}" if self.remedy else ""
        return f"{prefix}{self.problem}{advice}"


class LostRowsError(DataError):
    """Too much of a data set cannot be used, or a whole class.

    Attributes:
        rows: The quarantine so far, records that say why.
    """

    def __init__(
        self, problem: str, location: object, remedy: str, rows: Iterable[Mapping[str, str]]
    ) -> None:
        super().__init__(problem, location, remedy)
        self.rows = list(rows)


class NotApplicableError(DataError):
    """A data set does not hold what a notebook is about; others can still work with it.

    `run_all.py` goes on after it, and the report says why the notebook has no results.
    """


class MissingDataError(DataError):
    """The data set does not exist; the remedy names the command that gets it."""


class LeakageError(DataError):
    """A patient, or an image, is in more than one split."""


class ParameterError(SecondLookError):
    """A parameter is unknown, of the wrong type or out of range."""


class OutputError(SecondLookError):
    """The outputs cannot be written, or one that was expected does not exist."""


class NotebookFailedError(SecondLookError):
    """A notebook stopped with an error; its outputs so far are kept."""


class CheckpointError(SecondLookError):
    """A checkpoint or a file of weights does not fit, or cannot be read."""


def first_few(names: Iterable[object], limit: int = 10) -> str:
    """The first names for a message, separated by commas, and the number of the others."""
    texts = [str(name) for name in names]
    ending = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + ending


def nearest(name: str, valid_names: Iterable[str]) -> str:
    """The end of a message: the valid name that was meant, or all of them where none is similar."""
    names = sorted(valid_names)
    matches = difflib.get_close_matches(name, names, n=1)
    return f". Did you mean {matches[0]!r}?" if matches else f". There are: {first_few(names, 40)}."
