"""The table of the user's mammograms: a CSV as people and spreadsheets write it."""

from __future__ import annotations

import csv
import difflib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from second_look.errors import DataError
from second_look.files import read_bytes, write_text

REQUIRED = ("path", "patient", "label")
OPTIONAL = (
    "image_id",
    "side",
    "view",
    "split",
    "density",
    "kind",
    "assessment",
    "subtlety",
    "mask",
    "boxes",
    "pixel_size_mm",
    "aspect",
)
_ALL = (*REQUIRED, *OPTIONAL)


def write_folder_csv(csv_path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write a table that `read_folder` reads without any mapping; boxes in rowcol format."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*REQUIRED, *OPTIONAL], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(csv_path, stream.getvalue())


def read_rows(csv_path: Path, columns: Mapping[str, str]) -> Iterable[tuple[int, dict[str, str]]]:
    """(line number, standard column -> text) of each row.

    Raises:
        MissingDataError: The table is not there.
        DataError: It has no rows, lacks a required column, or is no CSV in UTF-8; or a row has
            more or fewer values than there are columns.
    """
    (_, first), *rows = list(_lines(csv_path)) or [(1, [""])]
    names = [name.strip() for name in first]
    source = _match_columns(csv_path, names, columns)
    for number, values in rows:
        if len(values) != len(names):
            raise DataError(
                f"expected {len(names)} values. Got {len(values)}.",
                f"{csv_path} line {number}",
                "Correct the row.",
            )
        row = dict(zip(names, values, strict=True))
        yield number, {name: row[source[name]].strip() if name in source else "" for name in _ALL}
    if not rows:
        raise DataError("the table has no rows.", csv_path, "Add one row per image.")


def _lines(csv_path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, values) of each line that is not empty."""
    try:
        text = read_bytes(csv_path, "Set data_root and table; see README.md.").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 ({error.reason}).", csv_path, "Save it as UTF-8.") from None
    first = text.split("\n", 1)[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    last = 0
    try:
        for values in reader:
            last = reader.line_num
            if values:
                yield last, values
    except csv.Error as error:
        raise DataError(
            f"not valid CSV ({error}).",
            f"{csv_path} line {last + 1} or after",
            "Look for a quote that is not closed.",
        ) from None


def _match_columns(
    csv_path: Path, names: Sequence[str], columns: Mapping[str, str]
) -> dict[str, str]:
    """Standard column -> its name in the table, for those that the table has."""
    unknown = set(columns) - set(_ALL)
    if unknown:
        raise DataError(
            f"columns maps {sorted(unknown)}; the standard columns are {', '.join(_ALL)}.",
            csv_path,
        )
    source = {name: str(columns.get(name, name)) for name in _ALL}
    count = Counter(names)
    for name, column in source.items():
        if count[column] > 1:
            raise DataError(
                f"{count[column]} columns are called {column!r}.", csv_path, "Keep one."
            )
        if column not in names and (name in REQUIRED or name in columns):
            matches = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
            hint = f" Did you mean {matches[0]!r}?" if matches else ""
            raise DataError(
                f"no column {column!r} for {name!r} among {', '.join(names) or 'none'}.{hint}",
                csv_path,
                f"Add the column, or map it: columns: {{{name}: <its name>}}.",
            )
    return {name: column for name, column in source.items() if column in names}
