"""Tables as people and spreadsheets write them: CSV rows under standard column names."""

from __future__ import annotations

import csv
import difflib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from second_look.errors import DataError, MissingDataError


def read_rows(
    path: Path, required: Sequence[str], optional: Sequence[str], columns: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, standard column -> text) of each row; "" where the table lacks a column.

    Args:
        path: UTF-8 with or without a byte order mark, comma or semicolon.
        required: Standard columns that the table must have.
        optional: Those that it may have.
        columns: Standard column -> its name in this table, where they differ.

    Raises:
        MissingDataError: The table is not there.
        DataError: It is empty, no CSV, or lacks a column.
    """
    text = _text(path)
    first = text.split("\n", 1)[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [str(name).strip() for name in reader.fieldnames or []]
        reader.fieldnames = names
        source = _match(path, names, required, [*required, *optional], columns)
        count = 0
        for row in reader:
            count += 1
            if None in row or None in row.values():
                raise DataError(
                    f"expected {len(names)} values.", f"{path} line {reader.line_num}", "Mend it."
                )
            found = {name: row[own].strip() for name, own in source.items()}
            yield reader.line_num, dict.fromkeys([*required, *optional], "") | found
    except csv.Error as error:
        raise DataError(
            f"not valid CSV ({error}).",
            f"{path} line {reader.line_num + 1} or after",
            "Look for a quote that is not closed.",
        ) from None
    if not count:
        raise DataError("the table has no rows.", path, "Add one row an image.")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        problem = "there" if isinstance(error, FileNotFoundError) else "a file, but a folder"
        raise MissingDataError(
            f"the table is not {problem}.", path, "Set data_root and table; see README.md."
        ) from None
    except PermissionError:
        raise DataError("the table may not be read.", path, "Change its rights.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 ({error.reason}).", path, "Save it as UTF-8.") from None


def _match(
    path: Path,
    names: Sequence[str],
    required: Sequence[str],
    known: Sequence[str],
    columns: Mapping[str, str],
) -> dict[str, str]:
    """Standard column -> the table's own name, for those that it has."""
    unknown = set(columns) - set(known)
    if unknown:
        raise DataError(
            f"columns maps {sorted(unknown)}; the standard columns are {', '.join(known)}.", path
        )
    source = {name: str(columns.get(name, name)) for name in known}
    count = Counter(names)
    for name, own in source.items():
        if count[own] > 1:
            raise DataError(f"{count[own]} columns are called {own!r}.", path, "Keep one.")
        if own not in names and (name in required or name in columns):
            near = difflib.get_close_matches(own, names, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"no column {own!r} for {name!r} among {', '.join(names) or 'none'}.{hint}",
                path,
                f"Add the column, or map it: columns: {{{name}: <its name>}}.",
            )
    return {name: own for name, own in source.items() if own in names}
