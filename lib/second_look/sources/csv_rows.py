"""Rows of a CSV, none of them swallowed: a quote that is not closed hides all that follows it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from second_look.errors import DataError


def csv_rows(
    text: str, path: Path, *, delimiter: str = ",", remedy: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """(number of its last line, values) of each row; a line without anything has no values.

    Args:
        text: The whole file, with its newlines as they are.
        path: For messages.
        delimiter: Between values.
        remedy: What to do where it is broken; "": correct it.

    Raises:
        DataError: A quote is misplaced or not closed, or a cell holds what looks like other rows:
            after a newline in it come as many values as stand before it in its row. Names the line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    last = 0
    try:
        for values in reader:
            last = reader.line_num
            _check_quotes(f"{path} line {last} or before", values, delimiter, remedy)
            yield last, values
    except csv.Error as error:
        raise DataError(
            f"not valid CSV ({error}).",
            f"{path} line {last + 1} or after",
            remedy or "Look for a quote that is not closed.",
        ) from None


def _check_quotes(location: str, values: list[str], delimiter: str, remedy: str) -> None:
    for index, value in enumerate(values):
        parts = re.split("[\r\n]+", value)[1:]
        # The last row that is swallowed may go on behind the cell, so it need not be whole.
        swallowed = [part for part in parts if part.strip() and part.count(delimiter) >= index]
        if swallowed:
            raise DataError(
                f"a cell holds {len(swallowed)} whole rows, such as {swallowed[0][:60]!r}.",
                location,
                remedy
                or "Look for a quote that is not closed; a text of several lines goes in one.",
            )
