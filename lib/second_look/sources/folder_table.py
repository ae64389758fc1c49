"""The table of the user's mammograms: CSV or Excel, as people and spreadsheets write it."""

from __future__ import annotations

import csv
import difflib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import ParseError

from second_look.errors import DataError
from second_look.files import read_bytes, write_text
from second_look.sources.csv_rows import csv_rows

Line = TypeVar("Line", int, str)
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
    "bits",
    "photometric",
    "stated_rows",
    "stated_cols",
)
_ALL = (*REQUIRED, *OPTIONAL)
# How tables write that a cell holds nothing.
_EMPTY = ("-", "nan", "n/a", "na", "none", "null")
# {column}, {column|another, where that is empty} or {column:regular expression}.
_FIELD = re.compile(r"\{([^{}:]+)(?::([^{}]+))?\}")


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
        DataError: It has no rows, lacks a required column, or is no CSV; a row has more or fewer
            values than there are columns, or a quote is not closed.
    """
    (_, first), *rows = list(_lines(csv_path)) or [(1, [""])]
    names = [name.strip() for name in first]
    _sources(csv_path, names, columns)
    records = []
    for number, values in rows:
        if len(values) != len(names):
            raise DataError(
                f"expected {len(names)} values. Got {len(values)}.",
                f"{csv_path} line {number}",
                "Correct the row.",
            )
        _check_quotes(csv_path, number, values, len(names))
        records.append((number, dict(zip(names, values, strict=True))))
    yield from standard_rows(csv_path, records, columns, names)


def standard_rows(
    path: Path,
    records: Sequence[tuple[Line, Mapping[str, str]]],
    columns: Mapping[str, str],
    names: Sequence[str] = (),
    defaults: Mapping[str, str] | None = None,
) -> Iterator[tuple[Line, dict[str, str]]]:
    """Records with a table's columns or keys -> rows with the standard columns.

    Args:
        path: Of the table, for messages.
        records: (line or its name, column -> text).
        columns: Standard column -> its name in the table, or a text with names in braces; "" for
            an optional column that is not to be read.
        names: Of all columns; where there are none, the keys of the records.
        defaults: Likewise, for what `columns` leaves out; optional columns may be absent.

    Raises:
        DataError: A required column is not there.
    """
    names = names or list(dict.fromkeys(name for _, record in records for name in record))
    if not records:
        raise DataError("the table has no rows.", path, "Add one row per image.")
    source = _sources(path, names, columns, defaults or {})
    for line, record in records:
        row = {name: record.get(name, "").strip() for name in names}
        contents = {name: "" if value.lower() in _EMPTY else value for name, value in row.items()}
        cells = {name: _cell(column, contents) for name, column in source.items()}
        yield line, cells | {"label": cells["label"] or row.get(source["label"], "")}


def _cell(column: str, row: Mapping[str, str]) -> str:
    """A column of a row, or a text with columns in braces; "" where all of these are empty."""
    if "{" not in column:
        return row.get(column, "")
    parts = [_part(field, row) for field in _FIELD.finditer(column)]
    if not any(parts):
        return ""
    values = iter(parts)
    return _FIELD.sub(lambda _: next(values), column)


def _part(field: re.Match[str], row: Mapping[str, str]) -> str:
    """What stands for one field: the first column with content, or what matches in it."""
    text = next(filter(None, (row.get(name, "") for name in field[1].split("|"))), "")
    if not field[2]:
        return text
    match = re.search(field[2], text)
    return "" if match is None else match[match.re.groups and 1]


def _lines(csv_path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, values) of each line that is not empty."""
    content = read_bytes(csv_path, "Set data_root and table; see README.md.")
    if content.startswith(b"PK\x03\x04"):
        yield from _excel_lines(csv_path, content)
        return
    text = _text(csv_path, content)
    if not text.strip():
        raise DataError("the file is empty.", csv_path, "Add one row per image.")
    first = text.split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=first.count)
    for line, values in csv_rows(text, csv_path, delimiter=delimiter):
        if values:
            yield line, values


def _text(csv_path: Path, content: bytes) -> str:
    """The text of a CSV in UTF-8 or UTF-16, which Excel calls Unicode text."""
    encoding = _encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise DataError(f"not {name} ({error.reason}).", csv_path, "Save it as UTF-8.") from None
    if text.lstrip().startswith(("{", "[")):
        raise DataError(
            "this is JSON, not a table.",
            csv_path,
            "Write a CSV with a row for each image or lesion.",
        )
    return text


def _encoding(content: bytes) -> str:
    """UTF-16 begins with a mark, or every second byte of its plain letters is zero."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = content[:200]
    for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if 2 * zeros.count(0) > max(len(zeros), 1):
            return encoding
    return "utf-8-sig"


def _excel_lines(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """(row number, values) of the rows of the first sheet of a workbook that are not empty.

    Cells behind the last header are passed over where they are empty. Numbers are written without
    needless decimals, as Excel shows them.
    """
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        rows, *more_sheets = [list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets]
    except (zipfile.BadZipFile, KeyError, ValueError, IndexError, ParseError) as error:
        raise DataError(
            f"not a readable Excel workbook ({error}).", path, "Save it as CSV, UTF-8."
        ) from None
    lost = set().union(*(sheet[1:] for sheet in more_sheets if sheet[:1] == rows[:1])) - set(rows)
    if any(map(_width, lost)):
        raise DataError(
            f"the first sheet is read, but {len(lost)} rows stand in other sheets like it.",
            path,
            "Put all rows into the first sheet.",
        )
    width = max((_width(row) for row in rows[:1]), default=0)
    for number, row in enumerate(rows, start=1):
        values = [_cell_text(value) for value in row[: max(width, _width(row))]]
        if any(values):
            yield number, values + [""] * (width - len(values))


def _width(row: Sequence[object]) -> int:
    """Cells up to the last one that is not empty."""
    return max((index for index, value in enumerate(row, start=1) if value is not None), default=0)


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _check_quotes(csv_path: Path, line: int, values: Sequence[str], columns: int) -> None:
    """A cell that holds a whole row has swallowed it: an earlier quote was not closed.

    Raises:
        DataError: Names the line.
    """
    for value in values:
        for delimiter in (",", ";", "\t"):
            swallowed = [
                part for part in value.splitlines()[1:] if part.count(delimiter) >= columns - 1
            ]
            if swallowed and columns > 1:
                raise DataError(
                    f"a cell holds {len(swallowed)} whole rows, such as {swallowed[0][:60]!r}.",
                    f"{csv_path} line {line} or before",
                    "Look for a quote that is not closed.",
                )


def _sources(
    csv_path: Path,
    names: Sequence[str],
    columns: Mapping[str, str],
    defaults: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Standard column -> its name in the table; capitals matter only where they tell two apart.

    Raises:
        DataError: A column that is required, or that the user named, is not there, or stands twice.
    """
    unknown = set(columns) - set(_ALL)
    if unknown:
        raise DataError(
            f"columns maps {sorted(unknown)}; the standard columns are {', '.join(_ALL)}.",
            csv_path,
        )
    by_small_letters = {_small(name): name for name in reversed(names)}
    usual = {
        name: name if name in names else by_small_letters.get(name, name) for name in _ALL
    } | dict(defaults or {})
    source = usual | {name: str(text) for name, text in columns.items()}
    count = Counter(names)
    for name, text in source.items():
        if text == "" and name not in REQUIRED:
            continue
        for column in _columns_in(text, csv_path):
            if count[column] > 1:
                raise DataError(
                    f"{count[column]} columns are called {column!r}.", csv_path, "Keep one."
                )
            if column not in names and (name in REQUIRED or name in columns):
                nearest = difflib.get_close_matches(
                    _small(column), by_small_letters, n=1, cutoff=0.5
                )
                hint = f" Did you mean {by_small_letters[nearest[0]]!r}?" if nearest else ""
                raise DataError(
                    f"no column {column!r} for {name!r} among {', '.join(names) or 'none'}.{hint}",
                    csv_path,
                    f"Add the column, or map it: columns: {{{name}: <its name>}}.",
                )
    return source


def _small(name: str) -> str:
    return name.strip().casefold()


def _columns_in(text: str, csv_path: Path) -> list[str]:
    """The columns that make up a standard column.

    Raises:
        DataError: A brace is not closed, or a regular expression is wrong.
    """
    if "{" not in text:
        return [text]
    fields = list(_FIELD.finditer(text))
    try:
        for field in fields:
            re.compile(field[2] or "")
    except re.error as error:
        raise DataError(f"{text!r} is no regular expression ({error}).", csv_path) from None
    if not fields or set("{}") & set(_FIELD.sub("", text)):
        raise DataError(
            f"cannot read {text!r} in columns.", csv_path, "Write {column} or {column:expression}."
        )
    return [column for field in fields for column in field[1].split("|")]
