"""The user's mammograms: a table (CSV) beside image files.

One row per image, or one row per lesion with the path of the image repeated. Only `path`, `patient`
and `label` are required; columns with other names are mapped. Several lesions in one cell are
separated by `|` (`benign|malignant`) or another separator, boxes by semicolons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from second_look.catalogue import KINDS, LABELS, SPLITS, Catalogue, whole_number, worst
from second_look.decoding.dicom import MAX_PIXELS, Header
from second_look.decoding.pixels import read_header
from second_look.errors import DataError
from second_look.geometry import Box
from second_look.quarantine import Code, Quarantine
from second_look.sources.folder_table import read_rows, write_folder_csv

__all__ = ["BOX_FORMATS", "FolderFormat", "read_folder", "write_folder_csv"]

BOX_FORMATS = ("rowcol", "xywh")
# Drawn boxes sometimes exceed the image by a pixel: they are cut. A worse box is unusable.
BOX_TOLERANCE_PX = 1.0
# Largest relative difference between the aspects of a mask and of its image.
MASK_TOLERANCE = 0.03
_SIDES = {"": "", "l": "L", "left": "L", "r": "R", "right": "R"}
_SPLITS = {"": "", "training": "train", "validation": "val"} | {name: name for name in SPLITS}


@dataclass(frozen=True)
class FolderFormat:
    """How to read a table.

    Attributes:
        dataset: Name of the data set in the catalogue.
        columns: Standard column -> its name in this table, where it differs.
        box_format: rowcol (row_min,col_min,row_max,col_max) or xywh (x,y,width,height), in pixels
            of the file.
        separator: Between the lesions of one cell.
        kind: Kind of the lesions if the table has no such column.
    """

    dataset: str
    columns: Mapping[str, str] = field(default_factory=dict)
    box_format: str = "rowcol"
    separator: str = "|"
    kind: str = "mass"


class _UnusableError(Exception):
    """Why a row cannot be used."""

    def __init__(self, reason: str, code: Code = Code.DESCRIPTION_UNUSABLE) -> None:
        super().__init__(reason)
        self.code = code


@dataclass
class _Table:
    """Rows of the catalogue as they are collected."""

    csv_path: Path
    root: Path
    form: FolderFormat
    quarantine: Quarantine
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    lesion_count: Counter[str] = field(default_factory=Counter)

    def add_line(self, code: Code, reason: str, *, effect: str, line: int, **ids: str) -> None:
        """Add a line of the table to the quarantine."""
        self.quarantine.add(
            code, reason, effect=effect, file=self.csv_path, row=f"line {line}", **ids
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
        root: Folder that the paths in the table are relative to; none may lead out of it.
        dataset: Name of the data set.
        columns: Standard column -> its name in this table.
        box_format: One of BOX_FORMATS.
        separator: Between the lesions of one cell.
        kind: Kind of the lesions if the table has no such column, one of KINDS.
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
    table = _Table(csv_path, root.resolve(), form, Quarantine(dataset, strict=strict))
    for line, row in read_rows(csv_path, form.columns):
        image_id = row["image_id"] or _id_of(row["path"])
        try:
            _add_row(table, line, image_id, row)
        except _UnusableError as error:
            table.add_line(
                error.code, str(error), effect="image left out", line=line, image_id=image_id
            )
    return Catalogue.from_rows(table.images.values(), table.lesions, table.quarantine.rows)


def _id_of(path: str) -> str:
    return "_".join(Path(path).with_suffix("").parts) if path else "no path"


def _add_row(table: _Table, line: int, image_id: str, row: Mapping[str, str]) -> None:
    """Add an image, or lesions of an image that was added before."""
    path = _resolve(table.root, row["path"], "path")
    try:
        header = read_header(path)
    except DataError as error:
        raise _UnusableError(error.problem, Code.IMAGE_UNUSABLE) from None
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
    pathologies = [label for label in labels if label != "normal"]
    lesions = _lesions(table, line, row, pathologies, image, mask_path, header)
    if header.frames > 1 and image_id not in table.images:
        table.add_line(
            Code.MIDDLE_FRAME,
            f"of the {header.frames} pictures in the file the middle one is used, number "
            f"{header.frame + 1}",
            effect="kept, corrected",
            line=line,
            image_id=image_id,
        )
    table.images[image_id] = image
    table.lesions += lesions


def _lesions(
    table: _Table,
    line: int,
    row: Mapping[str, str],
    pathologies: Sequence[str],
    image: Mapping[str, Any],
    mask_path: str,
    header: Header,
) -> list[dict[str, Any]]:
    """The lesions of one row; a lesion whose box is unusable has no location."""
    image_id = str(image["image_id"])
    lesions = []
    values = _lesion_values(row, table.form, pathologies)
    boxes = _spread(row["boxes"], ";", len(pathologies))
    for lesion, text in zip(values, boxes, strict=True):
        table.lesion_count[image_id] += 1
        ids = {"image_id": image_id, "lesion_id": f"{image_id}_{table.lesion_count[image_id]}"}
        location: dict[str, Any] = {"mask_path": mask_path}
        try:
            location |= _box(text, table.form.box_format, header, int(image["cols"]))
        except _UnusableError as error:
            location = {}
            table.add_line(
                Code.LOCATION_UNUSABLE, str(error), effect="location unknown", line=line, **ids
            )
        lesions.append(ids | lesion | location)
    return lesions


def _lesion_values(
    row: Mapping[str, str], form: FolderFormat, pathologies: Sequence[str]
) -> list[dict[str, Any]]:
    """kind, pathology, assessment and subtlety of every lesion of one row."""
    count = len(pathologies)
    kinds = _spread(row["kind"], form.separator, count, default=form.kind)
    unknown = [kind for kind in kinds if kind.lower() not in KINDS]
    if unknown:
        raise _UnusableError(f"unknown kind {unknown[0]!r}: expected {', '.join(KINDS)}")
    columns: dict[str, Sequence[Any]] = {
        "kind": [kind.lower() for kind in kinds],
        "pathology": pathologies,
    }
    for name, maximum in (("assessment", 6), ("subtlety", 5)):
        texts = _spread(row[name], form.separator, count)
        columns[name] = [_grade(text, name, maximum) for text in texts]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _resolve(root: Path, text: str, name: str) -> Path:
    """The file that a path in the table names; it must be below the root."""
    try:
        path = (root / _required(text, name)).resolve()
    except (ValueError, OSError) as error:
        raise _UnusableError(f"the {name} {text!r} is no path ({error})") from None
    if not path.is_relative_to(root):
        raise _UnusableError(f"the {name} {text!r} leads out of the data folder")
    return path


def _is_file(path: Path) -> bool:
    """Whether a file exists; False if its folder may not be entered or its name is impossible."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _mask(table: _Table, text: str) -> str:
    if not text:
        return ""
    path = _resolve(table.root, text, "mask")
    if not _is_file(path):
        raise _UnusableError(f"the mask {text!r} is not there", Code.MASK_MISSING)
    return str(path)


def _fitting_mask(
    table: _Table,
    path: Path,
    line: int,
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


def _box(text: str, box_format: str, header: Header, cols: int) -> dict[str, float]:
    """A box of the table as columns of the catalogue, px of the square-pixel image; {} if empty."""
    if not text:
        return {}
    try:
        numbers = [float(number) for number in text.split(",")]
        first, second, third, fourth = numbers
    except ValueError:
        raise _UnusableError(f"expected a box of four numbers. Got {text!r}") from None
    box = Box(first, second, third, fourth)
    if box_format == "xywh":
        box = Box.from_xywh(first, second, third, fourth)
    clipped = box.clipped(header.rows, header.cols)
    excess = max(
        clipped.row_min - box.row_min,
        clipped.col_min - box.col_min,
        box.row_max - clipped.row_max,
        box.col_max - clipped.col_max,
    )
    # Comparisons with NaN are false, so the condition states what a usable box is.
    if not (excess <= BOX_TOLERANCE_PX and clipped.height > 0 and clipped.width > 0):
        raise _UnusableError(
            f"the box {text!r} is empty or outside the {header.rows} x {header.cols} px image"
        )
    return asdict(clipped.scaled(1.0, cols / header.cols))


def _check_same_image(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Two rows with one id must describe one image; only their lesions may differ."""
    differ = [name for name in old if name != "label" and str(old[name]) != str(new[name])]
    if differ:
        raise _UnusableError(
            f"another row has this id and a different {', '.join(differ)}; the first is kept",
            Code.DESCRIPTIONS_DIFFER,
        )


def _label(text: str) -> str:
    label = "_".join(text.strip().lower().replace("-", " ").replace("_", " ").split())
    if label not in LABELS:
        raise _UnusableError(f"unknown label {text!r}: expected {', '.join(LABELS)}")
    return label


def _spread(text: str, separator: str, count: int, *, default: str = "") -> list[str]:
    """The values of a cell for `count` lesions; a single value, or the default, serves all."""
    if not text:
        return [default] * count
    values = [value.strip() for value in text.split(separator)]
    if len(values) == 1:
        values *= count
    if len(values) != count:
        raise _UnusableError(f"expected {count} values with {separator!r} between. Got {text!r}")
    return values


def _required(text: str, column: str) -> str:
    if not text:
        raise _UnusableError(f"the cell {column} is empty")
    return text


def _one_of(text: str, choices: Mapping[str, str], column: str) -> str:
    if text.lower() not in choices:
        expected = ", ".join(filter(None, choices))
        raise _UnusableError(f"unknown {column} {text!r}: expected {expected}")
    return choices[text.lower()]


def _number(text: str, column: str) -> float | None:
    """A positive number; None if the cell is empty."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise _UnusableError(f"expected a positive number as {column}. Got {text!r}")
    return number


def _grade(text: str, column: str, maximum: int) -> int | None:
    """A whole number from 0 to `maximum`; None if the cell is empty."""
    if not text:
        return None
    number = whole_number(text, maximum)
    if number is None:
        raise _UnusableError(
            f"expected a whole number from 0 to {maximum} as {column}. Got {text!r}"
        )
    return number
