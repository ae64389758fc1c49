"""The user's mammograms: a table (CSV) beside image files.

One row per image, or one row per lesion with the path of the image repeated. Only `path`, `patient`
and `label` are required; columns with other names are mapped. Several lesions in one cell are
separated by `|` (`benign|malignant`) or another separator, boxes by semicolons.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from second_look.catalogue import KINDS, Catalogue, worst
from second_look.decoding.dicom import MAX_PIXELS, Header
from second_look.decoding.pixels import read_header
from second_look.errors import DataError, first_few
from second_look.quarantine import Code, Quarantine
from second_look.sources import folder_values as cells
from second_look.sources.folder_records import (
    FolderFormat,
    Table,
    check_box_format,
    check_losses,
    drop_incomplete,
)
from second_look.sources.folder_table import read_rows, write_folder_csv
from second_look.sources.folder_values import BOX_FORMATS, Notes, UnusableError

__all__ = ["BOX_FORMATS", "FolderFormat", "read_folder", "write_folder_csv"]

# Largest relative difference between the aspects of a mask and of its image.
MASK_TOLERANCE = 0.03


def read_folder(
    csv_path: Path,
    root: Path,
    *,
    dataset: str,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    box_format: str = "rowcol",
    separator: str = "|",
    kind: str = "mass",
    max_lost: float = 1.0,
    strict: bool = False,
) -> Catalogue:
    """Read a table of mammograms and the headers of their files.

    Args:
        csv_path: The table: UTF-8 or UTF-16, comma or semicolon; or an Excel workbook.
        root: Folder that the paths in the table are relative to; none may lead out of it.
        dataset: Name of the data set.
        columns: Standard column -> its name in this table.
        labels: Spelling of a label in this table -> one of LABELS.
        box_format: One of BOX_FORMATS.
        separator: Between the lesions of one cell.
        kind: Kind of the lesions if the table has no such column, one of KINDS.
        max_lost: Largest share of the images that may be left out, 0 to 1; below 1 no label may
            vanish either.
        strict: Raise at the first row that would go to the quarantine.

    Raises:
        MissingDataError: The table is not there.
        DataError: It is empty or lacks a required column, or its boxes are in another format.
        LostRowsError: More than `max_lost` of the images, or all of a label, cannot be used.
    """
    if box_format not in BOX_FORMATS or kind not in KINDS:
        raise ValueError(
            f"box_format must be one of {BOX_FORMATS}, kind of {KINDS}. Got {box_format}, {kind}."
        )
    form = FolderFormat(dataset, dict(columns or {}), dict(labels or {}), box_format, separator)
    form = replace(form, kind=kind)
    table = Table(csv_path, root.resolve(), form, Quarantine(dataset, strict=strict))
    _add_rows(table, read_rows(csv_path, form.columns))
    check_box_format(table)
    drop_incomplete(table)
    catalogue = Catalogue.from_rows(table.images.values(), table.lesions, table.quarantine.rows)
    if max_lost < 1:
        check_losses(table, max_lost)
    return catalogue


def _add_rows(table: Table, rows: Iterable[tuple[int, dict[str, str]]]) -> None:
    """Every row of the table; a row that repeats another counts once."""
    first_lines: dict[tuple[str, ...], int] = {}
    for line, row in rows:
        image_id = row["image_id"] or _id_of(row["path"])
        first_line = first_lines.setdefault(tuple(row.values()), line)
        if first_line != line:
            table.add_line(
                Code.DESCRIPTION_REPEATED,
                f"the row repeats line {first_line}, and counts once",
                effect="kept, corrected",
                line=line,
                image_id=image_id,
            )
            continue
        table.lines.setdefault(image_id, []).append((line, row["label"]))
        try:
            _add_row(table, line, image_id, row)
        except UnusableError as error:
            table.add_line(
                error.code, str(error), effect="image left out", line=line, image_id=image_id
            )
            if error.code != Code.DESCRIPTIONS_DIFFER:  # that row names another image
                table.failures.setdefault(image_id, (line, str(error)))


def _id_of(path: str) -> str:
    return "_".join(Path(path).with_suffix("").parts) if path else "no path"


def _add_row(table: Table, line: int, image_id: str, row: Mapping[str, str]) -> None:
    """Add an image, or lesions of an image that was added before."""
    notes = Notes()
    path = _below_root(table.root, row["path"], "path")
    header = _header(path, table.root)
    image = _image(table.form, image_id, row, path, header, notes)
    labels = [cells.label(text, table.form.labels) for text in _texts(row["label"], table.form)]
    image["label"] = worst(labels)
    previous = table.images.get(image_id)
    if previous is not None:
        image = _merged(previous, image, notes)
    pathologies = [name for name in labels if name != "normal"]
    mask_path = _mask(table, line, image, header, row)
    if not pathologies and (mask_path or row["boxes"]):
        notes.reasons.append("a normal image has a mask or a box, which is not used")
    lesions = _lesions(table, line, row, pathologies, image, mask_path, header, notes)
    if header.frames > 1 and previous is None:
        frames = f"of the {header.frames} pictures in the file the middle one is used, number "
        table.add_line(
            Code.MIDDLE_FRAME,
            f"{frames}{header.frame + 1}",
            effect="kept, corrected",
            line=line,
            image_id=image_id,
        )
    for reason in notes.reasons:
        table.add_line(
            Code.VALUE_UNKNOWN, reason, effect="kept, corrected", line=line, image_id=image_id
        )
    table.images[image_id] = image
    table.lesions += lesions


def _texts(text: str, form: FolderFormat) -> list[str]:
    """The labels of a cell; a label that the user mapped may hold the separator."""
    return [text] if text in form.labels else text.split(form.separator)


def _header(path: Path, root: Path) -> Header:
    """The header of an image file; names what is there instead of one that is missing."""
    if not _is_file(path):
        raise UnusableError(_what_is_there(path, root), Code.IMAGE_MISSING)
    try:
        return read_header(path)
    except DataError as error:
        raise UnusableError(error.problem, Code.IMAGE_UNUSABLE) from None


def _what_is_there(path: Path, root: Path) -> str:
    """A missing path, and the nearest of its parents that exists with some of its content."""
    folder = next(parent for parent in path.parents if parent.is_dir() or parent == root)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        names = []
    content = f"it holds {first_few(names, 3)}" if names else "it is empty"
    return f"the file {path.relative_to(root).as_posix()!r} is not there; in {folder}: {content}"


def _image(
    form: FolderFormat,
    image_id: str,
    row: Mapping[str, str],
    path: Path,
    header: Header,
    notes: Notes,
) -> dict[str, Any]:
    """A row of the catalogue's images, but for its label."""
    aspect = cells.number(row["aspect"], "aspect") or header.cols / header.rows
    cols = max(1, round(header.rows * aspect))
    if header.rows * cols > MAX_PIXELS:
        raise UnusableError(f"the aspect {aspect:g} makes {header.rows} x {cols} px of it")
    spacing = cells.number(row["pixel_size_mm"], "pixel_size_mm")
    return {
        "image_id": image_id,
        "dataset": form.dataset,
        "patient_id": cells.required(row["patient"], "patient"),
        "laterality": cells.side(row["side"], notes) or header.side,
        "view": row["view"].upper() or header.view,
        "rows": header.rows,
        "cols": cols,
        "bits": header.bits,
        "pixel_spacing_mm": spacing or header.pixel_spacing_mm,
        "density": row["density"] or header.density,
        "split": cells.split(row["split"]),
        "path": str(path),
    }


def _merged(previous: Mapping[str, Any], image: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """An image of which two rows speak: the first one's values and the worse label.

    Raises:
        UnusableError: They contradict each other in what decides how the image is used.
    """
    differ = [name for name in image if name != "label" and str(previous[name]) != str(image[name])]
    if "path" in differ:
        raise UnusableError(
            f"another row has this id and a different {', '.join(differ)}; the first is kept",
            Code.DESCRIPTIONS_DIFFER,
        )
    if {"patient_id", "split", "cols"} & set(differ):
        raise UnusableError(f"another row of this image has a different {', '.join(differ)}")
    notes.reasons += [
        f"another row of this image has another {name}: {previous[name]!r} is kept"
        for name in differ
    ]
    return {**previous, "label": worst([str(previous["label"]), str(image["label"])])}


def _lesions(
    table: Table,
    line: int,
    row: Mapping[str, str],
    pathologies: Sequence[str],
    image: Mapping[str, Any],
    mask_path: str,
    header: Header,
    notes: Notes,
) -> list[dict[str, Any]]:
    """The lesions of one row; a lesion whose box is unusable has no location."""
    image_id = str(image["image_id"])
    lesions = []
    values = _lesion_values(row, table.form, pathologies, notes)
    boxes = cells.spread(row["boxes"], ";", len(pathologies))
    if boxes is None:
        boxes = [row["boxes"]] * len(pathologies)  # no box has four numbers then: said below
    for lesion, text in zip(values, boxes, strict=True):
        table.lesion_count[image_id] += 1
        ids = {"image_id": image_id, "lesion_id": f"{image_id}_{table.lesion_count[image_id]}"}
        location: dict[str, Any] = {"mask_path": mask_path}
        if text:
            table.boxes.append((text, header.rows, header.cols))
        try:
            location |= cells.box(text, table.form.box_format, header, int(image["cols"]))
        except UnusableError as error:
            location = {}
            table.add_line(
                Code.LOCATION_UNUSABLE, str(error), effect="location unknown", line=line, **ids
            )
        lesions.append(ids | lesion | location)
    return lesions


def _lesion_values(
    row: Mapping[str, str], form: FolderFormat, pathologies: Sequence[str], notes: Notes
) -> list[dict[str, Any]]:
    """kind, pathology, assessment and subtlety of every lesion of one row."""
    count = len(pathologies)

    def values(column: str, default: str = "") -> list[str]:
        texts = cells.spread(row[column], form.separator, count, default=default)
        if texts is None:
            notes.unknown(column, row[column], f"{count} values with {form.separator!r} between")
        return texts or [default] * count

    columns: dict[str, Sequence[Any]] = {
        "kind": [cells.kind(text, notes) for text in values("kind", form.kind)],
        "pathology": pathologies,
    }
    for name, maximum in (("assessment", 6), ("subtlety", 5)):
        columns[name] = [cells.grade(text, name, maximum, notes) for text in values(name)]
    return [
        dict(zip(columns, lesion, strict=True)) for lesion in zip(*columns.values(), strict=True)
    ]


def _below_root(root: Path, text: str, name: str) -> Path:
    """The file that a path in the table names; the path must stay below the root.

    Links inside the data folder are the user's and are followed; what a table says is not trusted.
    """
    try:
        path = Path(os.path.normpath(root / cells.required(text, name)))
        os.fsencode(path)
    except ValueError as error:
        raise UnusableError(f"the {name} {text!r} is no path ({error})") from None
    if "\0" in text:
        raise UnusableError(f"the {name} {text!r} is no path: it holds a null character")
    if not path.is_relative_to(root):
        raise UnusableError(f"the {name} {text!r} leads out of the data folder")
    return path


def _is_file(path: Path) -> bool:
    """Whether a file exists; False if its folder may not be entered or its name is impossible."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _mask(
    table: Table,
    line: int,
    image: Mapping[str, Any],
    header: Header,
    row: Mapping[str, str],
) -> str:
    """The path of the row's mask; "" where there is none that can be used."""
    if not row["mask"]:
        return ""
    try:
        path = _below_root(table.root, row["mask"], "mask")
        if not _is_file(path):
            raise UnusableError(_what_is_there(path, table.root), Code.MASK_MISSING)
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
