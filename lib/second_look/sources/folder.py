"""The user's mammograms: a table (CSV) beside image files.

One row per image, or one row per lesion with the path of the image repeated. Only `path`, `patient`
and `label` are required; columns with other names are mapped. Several lesions in one cell are
separated by `|` (`benign|malignant`) or another separator, boxes by semicolons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from second_look.catalogue import KINDS, PHOTOMETRIC, Catalogue, worst
from second_look.decoding.dicom import MAX_PIXELS, Header
from second_look.quarantine import Code, Quarantine
from second_look.sources import folder_values as cells
from second_look.sources.box_checks import check_boxes, check_stated_sizes, size_drawn_on
from second_look.sources.folder_files import find_file, find_masks, header_of
from second_look.sources.folder_records import (
    DrawnBox,
    FolderFormat,
    Table,
    check_losses,
    drop_incomplete,
    join_patients,
    mark_doubtful,
    say_lost_malignant,
    say_other_endings,
)
from second_look.sources.folder_table import read_rows, write_folder_csv
from second_look.sources.folder_values import BOX_FORMATS, Notes, UnusableError
from second_look.sources.table_forms import Converted

__all__ = ["BOX_FORMATS", "FolderFormat", "read_folder", "write_folder_csv"]

Rows = Iterable[tuple[int | str, dict[str, str]]]


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
    bits: int = 0,
    photometric: str = PHOTOMETRIC[1],
    max_lost: float = 1.0,
    strict: bool = False,
    converted: Converted | None = None,
) -> Catalogue:
    """Read a table of mammograms and the headers of their files.

    Args:
        csv_path: The table: UTF-8 or UTF-16, comma or semicolon; or an Excel workbook.
        root: Folder that the paths in the table are relative to; none may lead out of it.
        dataset: Name of the data set.
        columns: Standard column -> its name in this table, or a text with names in braces:
            `images/{study}/{image}.png`; `{a|b}` is b where a is empty, `{a:expression}` what
            matches a regular expression in a.
        labels: Spelling of a label in this table -> one of LABELS.
        box_format: One of BOX_FORMATS.
        separator: Between the lesions of one cell.
        kind: Kind of the lesions if the table has no such column, one of KINDS.
        bits: Of the grey levels in PNG and TIFF files of 16 bits if the table has no such column;
            0: the values of all of them decide, when they are prepared.
        photometric: One of PHOTOMETRIC, of files that do not say, if the table has no such column:
            whether the lowest level is white or black.
        max_lost: Largest share of the images that may be left out, 0 to 1; below 1 no label may
            vanish either.
        strict: Raise at the first row that would go to the quarantine.
        converted: The table's rows where it is of another form; `columns` is not used then.

    Raises:
        MissingDataError: The table is not there.
        DataError: It is empty or lacks a required column, or its boxes are in another format, of
            images of another size, or elsewhere than the masks beside them.
        LostRowsError: More than `max_lost` of the images, or all of a label, cannot be used.
    """
    choices = {"box_format": BOX_FORMATS, "kind": KINDS, "photometric": PHOTOMETRIC}
    for (name, allowed), value in zip(
        choices.items(), (box_format, kind, photometric), strict=True
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}. Got {value!r}.")
    form = FolderFormat(dataset, dict(columns or {}), dict(labels or {}), box_format, separator)
    form = replace(form, kind=kind, bits=bits, photometric=photometric)
    table = Table(csv_path, root.resolve(), form, Quarantine(dataset, strict=strict))
    if converted is None:
        _add_rows(table, read_rows(csv_path, form.columns))
    else:
        table.drawn = converted.drawn.resolve()
        for code, reason, effect in converted.remarks:
            table.quarantine.add(code, reason, effect=effect, file=csv_path)
        _add_rows(table, converted.rows)
    check_stated_sizes(table)
    check_boxes(table)
    mark_doubtful(table)
    drop_incomplete(table)
    say_lost_malignant(table)
    join_patients(table)
    say_other_endings(table)
    catalogue = Catalogue.from_rows(table.images.values(), table.lesions, table.quarantine.rows)
    if max_lost < 1:
        check_losses(table, max_lost)
    return catalogue


def rows_at_a_glance(
    csv_path: Path, columns: Mapping[str, str], labels: Mapping[str, str]
) -> tuple[dict[str, dict[str, str]], int]:
    """What a table says of its images without a look at their files, but for rows with faults.

    Returns:
        Path in the table -> patient_id, label and split; the number of rows with a mask or box.

    Raises:
        MissingDataError, DataError: As for `read_folder`.
    """
    form = FolderFormat("", dict(columns), dict(labels))
    images: dict[str, dict[str, str]] = {}
    located = 0
    for _, row in read_rows(csv_path, form.columns):
        try:
            names = [cells.label(text, form.labels) for text in form.label_texts(row["label"])]
            image = {
                "patient_id": cells.patient_key(cells.required(row["patient"], "patient")),
                "split": cells.split(row["split"]),
            }
        except UnusableError:
            continue
        earlier = images.get(row["path"], {}).get("label", "normal")
        images[row["path"]] = image | {"label": worst([earlier, *names])}
        located += worst(names) != "normal" and bool(row["mask"] or row["boxes"])
    return images, located


def _add_rows(table: Table, rows: Rows) -> None:
    """Every row of the table; a row that repeats another counts once."""
    first_lines: dict[tuple[str, ...], int | str] = {}
    id_of_path: dict[Path | None, str] = {}
    for line, row in rows:
        path, problem = _path(table, row["path"])
        if path is None:
            table.missing.append((line, row))
        image_id = row["image_id"] or _id_of(path, table.root, row["path"])
        first_line = first_lines.setdefault(tuple(row.values()), line)
        if first_line != line:
            table.add_line(
                Code.DESCRIPTION_REPEATED,
                f"the row repeats {table.line_name(first_line)}, and counts once",
                effect="kept, corrected",
                line=line,
                image_id=image_id,
            )
            continue
        first_id = image_id if path is None else id_of_path.setdefault(path, image_id)
        if first_id != image_id:
            table.add_line(
                Code.DESCRIPTIONS_DIFFER,
                f"the file has the id {first_id!r} in another row: both are one image",
                effect="kept, corrected",
                line=line,
                image_id=(image_id := first_id),
            )
        table.lines.setdefault(image_id, []).append((line, row["label"]))
        try:
            if path is None:
                raise problem
            _add_row(table, line, image_id, path, row)
        except UnusableError as error:
            table.add_line(
                error.code, str(error), effect="image left out", line=line, image_id=image_id
            )
            if error.code == Code.DESCRIPTIONS_DIFFER:  # it names another image, which is lost
                label_line = table.lines[image_id].pop()
                image_id = f"{image_id} of {table.line_name(line)}"
                table.lines[image_id] = [label_line]
            table.failures.setdefault(image_id, (line, str(error)))


def _path(table: Table, text: str) -> tuple[Path | None, UnusableError]:
    """The image of a row, or why there is none."""
    try:
        return find_file(table, text, "path"), UnusableError("")
    except UnusableError as error:
        return None, error


def _id_of(path: Path | None, root: Path, text: str) -> str:
    """The path of an image below the root without its ending, in one word."""
    relative = Path(text.replace("\\", "/")) if path is None else path.relative_to(root)
    return "_".join(relative.with_suffix("").parts) if text else "no path"


def _add_row(
    table: Table, line: int | str, image_id: str, path: Path, row: Mapping[str, str]
) -> None:
    """Add an image, or lesions of an image that was added before."""
    notes = Notes()
    header = header_of(path)
    image = _image(table.form, image_id, row, path, header, notes)
    patient = cells.patient_key(row["patient"])
    table.spellings.setdefault(patient, set()).add(row["patient"])
    image["patient_id"] = patient
    texts = table.form.label_texts(row["label"])
    labels = [cells.label(text, table.form.labels) for text in texts]
    image["label"] = worst(labels)
    previous = table.images.get(image_id)
    if previous is not None:
        image = _merged(previous, image, notes)
    pathologies = [name for name in labels if name != "normal"]
    if not pathologies and (row["mask"] or row["boxes"]):
        notes.reasons.append("a normal image has a mask or a box, which is not used")
    lesions = _lesions(table, line, row, pathologies, image, header, notes)
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


def _image(
    form: FolderFormat,
    image_id: str,
    row: Mapping[str, str],
    path: Path,
    header: Header,
    notes: Notes,
) -> dict[str, Any]:
    """A row of the catalogue's images, but for its label."""
    stored = header.cols * header.pixel_aspect / header.rows
    aspect = cells.number(row["aspect"], "aspect") or stored
    cols = max(1, round(header.rows * aspect))
    if header.rows * cols > MAX_PIXELS:
        raise UnusableError(f"the aspect {aspect:g} makes {header.rows} x {cols} px of it")
    spacing = cells.known_number(row["pixel_size_mm"], "pixel_size_mm", notes)
    bits = header.bits if header.bits_stated else cells.bits(row["bits"]) or form.bits
    photometric = cells.photometric(row["photometric"]) or form.photometric
    white_is_lowest = header.white_is_lowest or (
        photometric == PHOTOMETRIC[0] and not header.photometric_stated
    )
    return {
        "image_id": image_id,
        "dataset": form.dataset,
        "patient_id": cells.required(row["patient"], "patient"),
        "laterality": cells.side(row["side"], notes) or header.side,
        "view": row["view"].upper() or header.view,
        "rows": header.rows,
        "cols": cols,
        "bits": bits,
        "photometric": PHOTOMETRIC[0] if white_is_lowest else "",
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
    line: int | str,
    row: Mapping[str, str],
    pathologies: Sequence[str],
    image: Mapping[str, Any],
    header: Header,
    notes: Notes,
) -> list[dict[str, Any]]:
    """The lesions of one row; one whose box is unusable is where its mask is, or has no location.

    A single label serves all lesions that the masks, boxes or kinds of the row tell apart.
    """
    image_id = str(image["image_id"])
    masks = find_masks(table, line, image, header, row) if pathologies else []
    if len(pathologies) == 1:
        boxes_given = row["boxes"].strip("; ").count(";") + 1
        kinds_given = row["kind"].count(table.form.separator) + 1
        pathologies = list(pathologies) * max(len(masks), boxes_given, kinds_given)
    masks = _masks_of_lesions(masks, len(pathologies), notes)
    boxes = cells.spread(row["boxes"], ";", len(pathologies))
    if boxes is None:
        boxes = [row["boxes"]] * len(pathologies)  # no box has four numbers then: said below
    lesions = []
    drawn_on = size_drawn_on(table, line, row, image, header, notes)
    values = _lesion_values(row, table.form, pathologies, notes)
    for lesion, text, mask_path in zip(values, boxes, masks, strict=True):
        table.lesion_count[image_id] += 1
        ids = {"image_id": image_id, "lesion_id": f"{image_id}_{table.lesion_count[image_id]}"}
        location: dict[str, Any] = {}
        if drawn_on is not None:
            location = {"mask_path": mask_path}
            location |= _boxed(table, line, text, drawn_on, image, mask_path, ids)
        lesions.append(ids | lesion | location)
    return lesions


def _boxed(
    table: Table,
    line: int | str,
    text: str,
    drawn_on: tuple[int, int],
    image: Mapping[str, Any],
    mask_path: str,
    ids: Mapping[str, str],
) -> dict[str, float]:
    """The box of a lesion as columns of the catalogue; {} without one, or if it is unusable."""
    if text:
        table.boxes.append(DrawnBox(text, drawn_on, mask_path))
    try:
        size = int(image["rows"]), int(image["cols"])
        return cells.box(text, table.form.box_format, drawn_on, size)
    except UnusableError as error:
        ending = "; its mask is used" if mask_path else ""
        effect = "kept, corrected" if mask_path else "location unknown"
        reason = f"{error}{ending}"
        table.add_line(Code.LOCATION_UNUSABLE, reason, effect=effect, line=line, **ids)
        return {}


def _masks_of_lesions(masks: list[str], count: int, notes: Notes) -> list[str]:
    """One mask a lesion; a single one holds all of them."""
    if len(masks) in (0, 1):
        return (masks or [""]) * count
    if len(masks) != count:
        notes.reasons.append(f"{len(masks)} masks for {count} lesions: none of them is used")
        return [""] * count
    return masks


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
