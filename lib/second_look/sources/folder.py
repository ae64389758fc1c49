"""The user's own mammograms: a table (CSV) beside picture files.

One row an image, or one row a lesion with the image's path repeated. Only `path`, `patient` and
`label` are required; columns with other names are mapped. Several lesions stand in one cell with a
separator between (`benign|malignant`), boxes with a semicolon between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from second_look.catalogue import KINDS, LABELS, SPLITS, Catalogue, whole_number, worst
from second_look.decoding.dicom import MAX_PIXELS, Header
from second_look.decoding.pixels import read_header
from second_look.errors import DataError
from second_look.geometry import Box
from second_look.sources.folder_table import read_rows, write_folder_csv

__all__ = ["BOX_FORMATS", "FolderFormat", "read_folder", "write_folder_csv"]

BOX_FORMATS = ("rowcol", "xywh")
# Drawn boxes reach over the edge by a pixel now and then; such a box is cut, a worse one set aside.
BOX_TOLERANCE_PX = 1.0
# How far the sides of a mask and of its picture may differ in their ratio.
MASK_TOLERANCE = 0.03
_SIDES = {"": "", "l": "L", "left": "L", "r": "R", "right": "R"}
_SPLITS = {"": "", "training": "train", "validation": "val"} | {name: name for name in SPLITS}


@dataclass(frozen=True)
class FolderFormat:
    """How a table is to be read.

    Attributes:
        dataset: Name of the data set in the catalogue.
        columns: Standard column -> its name in this table, where they differ.
        box_format: rowcol (row_min,col_min,row_max,col_max) or xywh (x,y,width,height), in pixels
            of the file.
        separator: Between the lesions of one cell.
        kind: Kind of lesions where the table has no such column.
    """

    dataset: str
    columns: Mapping[str, str] = field(default_factory=dict)
    box_format: str = "rowcol"
    separator: str = "|"
    kind: str = "mass"


class _UnusableError(Exception):
    """Why a row cannot be used."""


@dataclass
class _Table:
    """Rows collected while reading, or the error at the first problem where strict."""

    csv_path: Path
    root: Path
    form: FolderFormat
    strict: bool
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    lesion_count: Counter[str] = field(default_factory=Counter)

    def set_aside(
        self, reason: str, *, effect: str, line: int, image_id: str, lesion_id: str = ""
    ) -> None:
        """Put something into the quarantine.

        Raises:
            DataError: The same, where strict.
        """
        if self.strict:
            raise DataError(
                reason,
                where=f"{self.csv_path} line {line}",
                remedy="Mend it, or run without strict.",
            )
        self.quarantine.append(
            {
                "dataset": self.form.dataset,
                "image_id": image_id,
                "lesion_id": lesion_id,
                "file": str(self.csv_path),
                "row": f"line {line}",
                "effect": effect,
                "reason": reason,
            }
        )


def read_folder(
    csv_path: Path,
    root: Path,
    *,
    dataset: str,
    columns: Mapping[str, str] | None = None,
    box_format: str = "rowcol",
    separator: str = "|",
    kind: str = "mass",
    strict: bool = False,
) -> Catalogue:
    """Read a table of mammograms and the headers of their files.

    Args:
        csv_path: The table: UTF-8 with or without a byte order mark, comma or semicolon.
        root: Folder that the paths in the table start from; none may lead out of it.
        dataset: Name of the data set.
        columns: Standard column -> its name in this table.
        box_format: One of BOX_FORMATS.
        separator: Between the lesions of one cell.
        kind: Kind of lesions where the table has no such column, one of KINDS.
        strict: Raise at the first row that would go to the quarantine.

    Raises:
        MissingDataError: The table is not there.
        DataError: It is empty or lacks a required column.
    """
    if box_format not in BOX_FORMATS or kind not in KINDS:
        raise ValueError(
            f"box_format must be one of {BOX_FORMATS}, kind of {KINDS}. Got {box_format}, {kind}."
        )
    form = FolderFormat(dataset, dict(columns or {}), box_format, separator, kind)
    table = _Table(csv_path, root.resolve(), form, strict)
    for line, row in read_rows(csv_path, form.columns):
        image_id = row["image_id"] or _id_of(row["path"])
        try:
            _add_row(table, line, image_id, row)
        except _UnusableError as problem:
            table.set_aside(str(problem), effect="image left out", line=line, image_id=image_id)
    return Catalogue.from_rows(table.images.values(), table.lesions, table.quarantine)


def _id_of(path: str) -> str:
    return "_".join(Path(path).with_suffix("").parts) if path else "no path"


def _add_row(table: _Table, line: int, image_id: str, row: Mapping[str, str]) -> None:
    """Add an image, or another lesion of one that is there."""
    path = _inside(table.root, row["path"], "path")
    try:
        header = read_header(path)
    except DataError as error:
        raise _UnusableError(error.problem) from None
    aspect = _number(row["aspect"], "aspect") or header.cols / header.rows
    cols = max(1, round(header.rows * aspect))
    if header.rows * cols > MAX_PIXELS:
        raise _UnusableError(f"the aspect {aspect:g} makes {header.rows} x {cols} px of it")
    labels = [_label(text) for text in row["label"].split(table.form.separator)]
    image = {
        "image_id": image_id,
        "dataset": table.form.dataset,
        "patient_id": _required(row["patient"], "patient"),
        "laterality": _one_of(row["side"], _SIDES, "side") or header.side,
        "view": row["view"].upper() or header.view,
        "rows": header.rows,
        "cols": cols,
        "bits": header.bits,
        "pixel_spacing_mm": _number(row["pixel_size_mm"], "pixel_size_mm")
        or header.pixel_spacing_mm,
        "density": row["density"] or header.density,
        "label": worst(labels),
        "split": _one_of(row["split"], _SPLITS, "split"),
        "path": str(path),
    }
    mask_path = _mask(table, row["mask"])
    if image_id in table.images:
        _check_same_image(table.images[image_id], image)
        image["label"] = worst([str(table.images[image_id]["label"]), *labels])
    if mask_path:
        mask_path = _fitting_mask(table, Path(mask_path), line, image, header, row["boxes"])
    found = [label for label in labels if label != "normal"]
    lesions = _lesions(table, line, image_id, row, found, mask_path, header, cols)
    if header.frames > 1 and image_id not in table.images:
        table.set_aside(
            f"of the {header.frames} pictures in the file the middle one is used, number "
            f"{header.frame + 1}",
            effect="kept, mended",
            line=line,
            image_id=image_id,
        )
    table.images[image_id] = image
    table.lesions += lesions


def _lesions(
    table: _Table,
    line: int,
    image_id: str,
    row: Mapping[str, str],
    pathologies: Sequence[str],
    mask_path: str,
    header: Header,
    cols: int,
) -> list[dict[str, Any]]:
    """The lesions of one row; a lesion whose box is unusable has no location."""
    count = len(pathologies)
    separator = table.form.separator
    kinds = _spread(row["kind"], separator, count) or [table.form.kind] * count
    wrong = [kind for kind in kinds if kind.lower() not in KINDS]
    if wrong:
        raise _UnusableError(f"unknown kind {wrong[0]!r}: expected {', '.join(KINDS)}")
    assessments = _spread(row["assessment"], separator, count) or [""] * count
    subtleties = _spread(row["subtlety"], separator, count) or [""] * count
    boxes = _spread(row["boxes"], ";", count) or [""] * count
    first = table.lesion_count[image_id]
    table.lesion_count[image_id] += count
    rows = []
    for place in range(count):
        lesion_id = f"{image_id}_{first + place + 1}"
        lesion: dict[str, Any] = {
            "lesion_id": lesion_id,
            "image_id": image_id,
            "kind": kinds[place].lower(),
            "pathology": pathologies[place],
            "assessment": _whole(assessments[place], "assessment", 6),
            "subtlety": _whole(subtleties[place], "subtlety", 5),
            "mask_path": mask_path,
        }
        try:
            box = _box(boxes[place], table.form.box_format, header, cols)
        except _UnusableError as problem:
            box = None
            lesion["mask_path"] = ""
            table.set_aside(
                str(problem),
                effect="location unknown",
                line=line,
                image_id=image_id,
                lesion_id=lesion_id,
            )
        if box is not None:
            lesion |= {
                "row_min": box.row_min,
                "col_min": box.col_min,
                "row_max": box.row_max,
                "col_max": box.col_max,
            }
        rows.append(lesion)
    return rows


def _inside(root: Path, text: str, what: str) -> Path:
    """The file that a path of the table names, which must lie below the root."""
    try:
        path = (root / _required(text, what)).resolve()
    except (ValueError, OSError) as error:
        raise _UnusableError(f"the {what} {text!r} is no path ({error})") from None
    if not path.is_relative_to(root):
        raise _UnusableError(f"the {what} {text!r} leads out of the data folder")
    return path


def _is_file(path: Path) -> bool:
    """Whether a file is there; one in a folder that may not be entered, or of no name, is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _mask(table: _Table, text: str) -> str:
    if not text:
        return ""
    path = _inside(table.root, text, "mask")
    if not _is_file(path):
        raise _UnusableError(f"the mask {text!r} is not there")
    return str(path)


def _fitting_mask(
    table: _Table,
    path: Path,
    line: int,
    image: Mapping[str, Any],
    header: Header,
    boxes: str,
) -> str:
    """The mask's path, or "" where its shape shows that it belongs to another picture.

    A mask must have the shape of the picture, as stored or with square pixels; one of another size
    is resampled, and said so. What cannot be read is left to the preparation, which says why.
    """
    image_id, cols = str(image["image_id"]), int(image["cols"])
    try:
        mask = read_header(path)
    except DataError:
        return str(path)
    shape = f"the mask has {mask.rows} x {mask.cols} px, the picture {header.rows} x {header.cols}"
    ratios = [wide / header.rows * mask.rows / mask.cols for wide in (header.cols, cols)]
    if all(abs(ratio - 1) > MASK_TOLERANCE for ratio in ratios):
        use = ("; its boxes are used", "kept, mended") if boxes else ("", "location unknown")
        reason = f"{shape}: it seems to belong to another picture{use[0]}"
        table.set_aside(reason, effect=use[1], line=line, image_id=image_id)
        return ""
    if mask.rows != header.rows or mask.cols not in (header.cols, cols):
        reason = f"{shape}: it is resampled"
        table.set_aside(reason, effect="kept, mended", line=line, image_id=image_id)
    return str(path)


def _box(text: str, box_format: str, header: Header, cols: int) -> Box | None:
    """A box of the table, in pixels of the square-pixel image."""
    if not text:
        return None
    try:
        numbers = [float(number) for number in text.split(",")]
        first, second, third, fourth = numbers
    except ValueError:
        raise _UnusableError(f"expected a box of four numbers. Got {text!r}") from None
    box = Box(first, second, third, fourth)
    if box_format == "xywh":
        box = Box.from_xywh(first, second, third, fourth)
    kept = box.clipped(header.rows, header.cols)
    over = max(
        kept.row_min - box.row_min,
        kept.col_min - box.col_min,
        box.row_max - kept.row_max,
        box.col_max - kept.col_max,
    )
    # A NaN fails every comparison, so what is asked for is what is right.
    if not (over <= BOX_TOLERANCE_PX and kept.height > 0 and kept.width > 0):
        raise _UnusableError(
            f"the box {text!r} is empty or outside the {header.rows} x {header.cols} px image"
        )
    return kept.scaled(1.0, cols / header.cols)


def _check_same_image(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Two rows with one id must mean one image; only their lesions may differ."""
    differ = [name for name in old if name != "label" and str(old[name]) != str(new[name])]
    if differ:
        raise _UnusableError(
            f"another row has this id and a different {', '.join(differ)}; the first is kept"
        )


def _label(text: str) -> str:
    label = "_".join(text.strip().lower().replace("-", " ").replace("_", " ").split())
    if label not in LABELS:
        raise _UnusableError(f"unknown label {text!r}: expected {', '.join(LABELS)}")
    return label


def _spread(text: str, separator: str, count: int) -> list[str]:
    """The cell's values, one a lesion; [] where it is empty; a single one serves all lesions."""
    if not text:
        return []
    values = [value.strip() for value in text.split(separator)]
    if len(values) == 1:
        values *= count
    if len(values) != count:
        raise _UnusableError(f"expected {count} values with {separator!r} between. Got {text!r}")
    return values


def _required(text: str, what: str) -> str:
    if not text:
        raise _UnusableError(f"the cell {what} is empty")
    return text


def _one_of(text: str, known: Mapping[str, str], what: str) -> str:
    if text.lower() not in known:
        raise _UnusableError(f"unknown {what} {text!r}: expected {', '.join(filter(None, known))}")
    return known[text.lower()]


def _number(text: str, what: str) -> float | None:
    """A positive number, or None where the cell is empty."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise _UnusableError(f"expected a positive number as {what}. Got {text!r}")
    return number


def _whole(text: str, what: str, most: int) -> int | None:
    if not text:
        return None
    number = whole_number(text, most)
    if number is None:
        raise _UnusableError(f"expected a whole number from 0 to {most} as {what}. Got {text!r}")
    return number
