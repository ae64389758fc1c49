"""The files that a user's table names: where they are, and whether a mask fits its image."""

from __future__ import annotations

import glob
import os
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from second_look.decoding.dicom import Header
from second_look.decoding.pixels import read_header
from second_look.errors import DataError, first_few
from second_look.quarantine import Code
from second_look.sources import folder_values as cells
from second_look.sources.folder_records import Table
from second_look.sources.folder_values import UnusableError

# Largest relative difference between the aspects of a mask and of its image.
MASK_TOLERANCE = 0.03
# Endings that copies of a data set in another format have.
_ENDINGS = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm")


def find_file(table: Table, text: str, name: str) -> Path:
    """The file that a path in the table names.

    Backslashes count as slashes, and capitals only where they tell two files apart. An asterisk in
    the file's name stands for any characters. A copy of the data set in another format is used: the
    same name with another ending; `table.other_endings` counts these.

    Args:
        table: Its root, and its folder of drawn masks, may not be left.
        text: The cell.
        name: Of the column.

    Raises:
        UnusableError: There is no such file, or there are several.
    """
    path = _below_root(table, text, name)
    if is_file(path):
        return path
    path = _as_spelled(path, table.root)
    if is_file(path):
        return path
    by_pattern = "*" in path.name
    pattern = path.name if by_pattern else f"{glob.escape(path.stem)}.*"
    names = matches(path.parent, pattern)
    if not by_pattern:
        names = [match for match in names if Path(match).suffix.lower() in _ENDINGS]
    if len(names) > 1:
        raise UnusableError(
            f"{len(names)} files are called {path.name!r}: {first_few(names, 3)}",
            Code.IMAGE_MISSING,
        )
    if not names:
        raise UnusableError(_what_is_there(path, table.root), Code.IMAGE_MISSING)
    if not by_pattern:
        table.other_endings[path.suffix, Path(names[0]).suffix] += 1
    return path.with_name(names[0])


def header_of(path: Path) -> Header:
    """The header of an image file.

    Raises:
        UnusableError: It cannot be read.
    """
    try:
        return read_header(path)
    except DataError as error:
        raise UnusableError(error.problem, Code.IMAGE_UNUSABLE) from None


def is_file(path: Path) -> bool:
    """Whether a file exists; False if its folder may not be entered or its name is impossible."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find_masks(
    table: Table, line: int | str, image: Mapping[str, Any], header: Header, row: Mapping[str, str]
) -> list[str]:
    """The paths of a row's masks, "" for those that cannot be used; [] where it names none."""
    texts = [text.strip() for text in row["mask"].split(table.form.separator)]
    return [_mask(table, line, image, header, row, text) for text in texts if text]


def matches(folder: Path, pattern: str) -> list[str]:
    """The names in a folder that a pattern fits; capitals do not matter."""
    try:
        entries = _names(folder, folder.stat().st_mtime_ns)
    except (OSError, ValueError):
        return []
    pattern = pattern.casefold()
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    fitting = []
    for folded, name in entries[bisect_left(entries, (prefix, "")) :]:
        if not folded.startswith(prefix):
            break
        if fnmatchcase(folded, pattern):
            fitting.append(name)
    return fitting


@lru_cache(maxsize=64)
def _names(folder: Path, changed: int) -> Sequence[tuple[str, str]]:
    """Sorted names in a folder, in small letters and as they are; `changed` renews them."""
    return sorted((entry.name.casefold(), entry.name) for entry in folder.iterdir())


def _as_spelled(path: Path, root: Path) -> Path:
    """A path below the root with the capitals of the names on disk, where just one name fits."""
    if not path.is_relative_to(root):
        return path
    spelled = root
    for part in path.relative_to(root).parts:
        names = [part]
        if not (spelled / part).exists():
            names = matches(spelled, glob.escape(part))
        spelled /= names[0] if len(names) == 1 else part
    return spelled


def _what_is_there(path: Path, root: Path) -> str:
    """A missing path, and the nearest of its parents that exists with some of its content."""
    folder = next(parent for parent in path.parents if parent.is_dir() or parent == root)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        names = []
    content = f"it holds {first_few(names, 3)}" if names else "it is empty"
    return f"the file {path.relative_to(root).as_posix()!r} is not there; in {folder}: {content}"


def _below_root(table: Table, text: str, name: str) -> Path:
    """The file that a path in the table names; the path must stay below the root.

    Links to the data folder and inside it are the user's and are followed; what a table says is not
    trusted.
    """
    try:
        path = Path(os.path.normpath(table.root / cells.required(text, name).replace("\\", "/")))
        os.fsencode(path)
        if not path.is_relative_to(table.root):
            path = _by_links(path.parent, table.root) / path.name
    except ValueError as error:
        raise UnusableError(f"the {name} {text!r} is no path ({error})") from None
    if "\0" in text:
        raise UnusableError(f"the {name} {text!r} is no path: it holds a null character")
    drawn = table.drawn is not None and path.is_relative_to(table.drawn)
    if not drawn and not path.is_relative_to(table.root):
        raise UnusableError(f"the {name} {text!r} leads out of the data folder")
    return path


@lru_cache(maxsize=1024)
def _by_links(folder: Path, root: Path) -> Path:
    """The same folder as one below the root, if a link to the root is among its parents."""
    for parent in (folder, *folder.parents):
        if Path(os.path.realpath(parent)) == root:
            return root / folder.relative_to(parent)
    return folder


def _mask(
    table: Table,
    line: int | str,
    image: Mapping[str, Any],
    header: Header,
    row: Mapping[str, str],
    text: str,
) -> str:
    """The path of one mask; "" where it cannot be used."""
    try:
        path = find_file(table, text, "mask")
    except UnusableError as error:
        table.add_line(
            Code.MASK_MISSING,
            str(error),
            effect="kept, corrected" if row["boxes"] else "location unknown",
            line=line,
            image_id=str(image["image_id"]),
        )
        return ""
    return _fitting_mask(table, path, line, image, header, row["boxes"])


def _fitting_mask(
    table: Table,
    path: Path,
    line: int | str,
    image: Mapping[str, Any],
    header: Header,
    boxes: str,
) -> str:
    """The path of the mask, or "" if its shape shows that it belongs to another image.

    A mask must have the shape of the image, as stored or with square pixels. A mask of the same
    aspect in another size is resampled, and listed in the quarantine. An unreadable mask passes:
    `prepare` reads it, and reports the problem.
    """
    image_id, cols = str(image["image_id"]), int(image["cols"])
    try:
        mask = read_header(path)
    except DataError:
        return str(path)
    shape = f"the mask has {mask.rows} x {mask.cols} px, the picture {header.rows} x {header.cols}"
    ratios = [wide / header.rows * mask.rows / mask.cols for wide in (header.cols, cols)]
    if all(abs(ratio - 1) > MASK_TOLERANCE for ratio in ratios):
        ending, effect = "", "location unknown"
        if boxes:
            ending, effect = "; its boxes are used", "kept, corrected"
        reason = f"{shape}: it seems to belong to another picture{ending}"
        table.add_line(
            Code.MASK_OF_ANOTHER_IMAGE, reason, effect=effect, line=line, image_id=image_id
        )
        return ""
    if mask.rows != header.rows or mask.cols not in (header.cols, cols):
        reason = f"{shape}: it is resampled"
        table.add_line(
            Code.MASK_RESAMPLED, reason, effect="kept, corrected", line=line, image_id=image_id
        )
    return str(path)
