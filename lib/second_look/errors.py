"""The errors that a user can mend: what was expected, what came, where, and what to do."""

from __future__ import annotations


class SecondLookError(Exception):
    """Anything wrong that the user can put right; every other exception is a bug of ours."""


class DataError(SecondLookError):
    """A file, a row or a table is not what it has to be.

    Args:
        problem: What was expected and what came.
        where: The file or table, with its row where there is one.
        remedy: What the user can do about it.
    """

    def __init__(self, problem: str, where: object = "", remedy: str = "") -> None:
        self.problem, self.where, self.remedy = problem, str(where), remedy
        super().__init__(problem, self.where, remedy)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" {self.remedy}" if self.remedy else ""
        return f"{place}{self.problem}{advice}"


class MissingDataError(DataError):
    """The data set is not there; the remedy says which command gets it."""


class LeakageError(DataError):
    """A patient, or a picture, stands in more than one split."""


class ParameterError(SecondLookError):
    """A parameter is unknown, of the wrong type or out of range."""


class OutputError(SecondLookError):
    """The outputs cannot be written, or one that was expected is not there."""


class CheckpointError(SecondLookError):
    """A checkpoint or a file of weights does not fit, or cannot be read."""
