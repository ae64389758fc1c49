"""Tables of public data sets and annotation tools as rows of a user's table.

Each form gives what `read_folder` takes: rows in standard columns, masks that were drawn from
outlines, and remarks for the quarantine. XML and JSON are read as data only: entities of XML are
refused.
"""

from __future__ import annotations

import json
import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

import pandas as pd

from second_look.decoding.pixels import read_header
from second_look.errors import DataError, first_few
from second_look.files import read_bytes
from second_look.quarantine import Code
from second_look.sources.csv_rows import csv_rows
from second_look.sources.drawn_masks import draw_mask, draw_runs, polygon_of
from second_look.sources.folder_files import matches
from second_look.sources.folder_table import read_rows, standard_rows

FORMS = ("table", "coco", "voc", "inbreast", "cesm", "cmmd")
# How the forms write boxes; that of a plain table is a parameter.
BOX_FORMATS = {"coco": "xywh", "voc": "xyxy"}
_KINDS_OF_INBREAST = {
    "mass": "mass",
    "spiculated region": "mass",
    "espiculated region": "mass",
    "calcification": "calcification",
    "calcifications": "calcification",
    "cluster": "calcification",
    "asymmetry": "asymmetry",
    "assymetry": "asymmetry",
    "distortion": "distortion",
}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
Row = tuple[int | str, dict[str, str]]


@dataclass
class Converted:
    """Rows of a table of another form.

    Attributes:
        rows: (line or its name, standard column -> text).
        drawn: Folder of the masks.
        remarks: (code, reason, effect) for the quarantine.
    """

    drawn: Path
    rows: list[Row] = field(default_factory=list)
    remarks: list[tuple[Code, str, str]] = field(default_factory=list)


def convert(form: str, path: Path, columns: Mapping[str, str], drawn: Path) -> Converted:
    """Read a table of one of FORMS but the first.

    Args:
        form: Its name.
        path: The table; for voc, the folder of its XML files. Files are found beside it.
        columns: As for `read_folder`; names are those of the form's table or keys.
        drawn: Folder for masks.

    Raises:
        DataError: A file is missing or broken.
    """
    converted = Converted(drawn)
    readers = {"coco": _coco, "voc": _voc, "inbreast": _inbreast, "cesm": _cesm}
    if form == "cmmd":
        raise ValueError("cmmd is joined with an index of its DICOM files: use join_cmmd.")
    readers[form](path, columns, converted)
    return converted


# ------------------------------------------------------------------ annotation tools


def _coco(path: Path, columns: Mapping[str, str], converted: Converted) -> None:
    """COCO: a row an annotation; an image without any is normal."""
    try:
        content = json.loads(read_bytes(path, "Set data_root and table; see README.md."))
    except ValueError as error:
        raise DataError(f"no COCO annotations ({error}).", path, "Save it as JSON.") from None
    images = _coco_entries(path, content, "images")
    annotations = _coco_entries(path, content, "annotations")
    categories = _coco_entries(path, {"categories": []} | content, "categories")
    of_image: dict[str, list[Mapping[str, Any]]] = {key: [] for key in images}
    for key, item in annotations.items():
        image = _coco_entry(path, images, item, f"annotation {key}", "image_id")
        of_image[str(image["id"])].append(item)
    records: list[tuple[str, dict[str, str]]] = []
    for key, image in images.items():
        for item in of_image[key]:
            category = _coco_entry(
                path, categories, item, f"annotation {item['id']}", "category_id"
            )
            records.append(_coco_record(path, image, category, item, converted))
        if not of_image[key]:
            normal = {"category": "normal"} | _size_cells(image.get("height"), image.get("width"))
            records.append((f"image {key}", _texts(image) | normal))
    if not annotations:
        _say_none(converted)
    defaults = {"path": "file_name", "label": "category", "boxes": "box", "mask": "drawn_mask"}
    defaults["image_id"] = ""  # only annotations have one, and images without any need an id too
    converted.rows += standard_rows(path, records, columns, defaults=defaults)


def _coco_entries(path: Path, content: object, name: str) -> dict[str, Mapping[str, Any]]:
    """Id as text -> entry of one of the lists of COCO."""
    entries = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(
            f"no COCO annotations: there is no list {name!r}.",
            path,
            "Expected images, annotations and categories.",
        )
    by_id: dict[str, Mapping[str, Any]] = {}
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or "id" not in entry:
            problem = f"no COCO annotations: entry {number} of {name!r} has no 'id'."
            raise DataError(problem, path, "Give each entry an id of its own.")
        if by_id.setdefault(str(entry["id"]), entry) is not entry:
            raise DataError(
                f"two entries of {name!r} have the id {entry['id']}.", path, "Keep one."
            )
    return by_id


def _coco_entry(
    path: Path,
    entries: Mapping[str, Mapping[str, Any]],
    item: Mapping[str, Any],
    item_name: str,
    reference: str,
) -> Mapping[str, Any]:
    """What an annotation refers to."""
    key = str(item.get(reference))
    if key not in entries:
        raise DataError(
            f"{item_name} has the {reference} {key}, which is the id of no entry.",
            path,
            "Add what it refers to, or take the annotation out.",
        )
    return entries[key]


def _coco_record(
    path: Path,
    image: Mapping[str, Any],
    category: Mapping[str, Any],
    item: Mapping[str, Any],
    converted: Converted,
) -> tuple[str, dict[str, str]]:
    name = f"annotation {item['id']}"
    record = _texts(image) | _texts(item.get("attributes") or {}) | _texts(item)
    record |= {"category": str(category.get("name", ""))}
    record |= _size_cells(image.get("height"), image.get("width"))
    segmentation = item.get("segmentation")
    if segmentation and not (image.get("height") and image.get("width")):
        raise DataError(
            f"image {image['id']} has no height and width, which the outline of {name} needs.",
            path,
            "Add them.",
        )
    try:
        if item.get("bbox"):
            record["box"] = ",".join(str(float(number)) for number in item["bbox"])
        if segmentation:
            size = int(image["height"]), int(image["width"])
            draw = draw_runs if isinstance(segmentation, dict) else draw_mask
            shape = segmentation
            if not isinstance(segmentation, dict):
                shape = [list(zip(flat[::2], flat[1::2], strict=True)) for flat in segmentation]
            file_name = f"{path.stem}-{item['id']}"
            record["drawn_mask"] = str(draw(converted.drawn, file_name, size, shape))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{name} has no usable box or outline ({type(error).__name__}: {error})."
        raise DataError(problem, path, "Correct it, or take it out.") from None
    return name, record


def _size_cells(rows: object, cols: object) -> dict[str, str]:
    """The size that annotations give of their picture, px; some tools write 0 for unknown."""
    size = {"stated_rows": rows, "stated_cols": cols}
    return {name: str(value) for name, value in size.items() if value not in (None, "", 0, "0")}


def _say_none(converted: Converted) -> None:
    reason = "not one picture has an annotation: all are normal, unless a column gives the label"
    converted.remarks.append((Code.DESCRIPTIONS_MISSING, reason, "kept, label uncertain"))


def _texts(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: str(value) for key, value in record.items() if isinstance(value, str | int | float)
    }


def _voc(path: Path, columns: Mapping[str, str], converted: Converted) -> None:
    """Pascal VOC: a row an object; a file without any is normal."""
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".xml")
    if not files:
        raise DataError("no XML files here.", path, "Set table to the folder of the XML files.")
    records: list[tuple[str, dict[str, str]]] = []
    for file in files:
        root = _parsed(file)
        values = {element.tag: (element.text or "").strip() for element in root if not len(element)}
        xml_folder = file.parent.relative_to(path.parent).as_posix()
        values |= {"xml_folder": xml_folder, "xml": file.stem}
        values |= _size_cells(root.findtext("size/height"), root.findtext("size/width"))
        for number, element in enumerate(root.iter("object"), start=1):
            record = {child.tag: (child.text or "").strip() for child in element if not len(child)}
            record["box"] = ",".join(
                element.findtext(f"bndbox/{name}", "").strip()
                for name in ("xmin", "ymin", "xmax", "ymax")
            )
            records.append((f"{file.name} object {number}", values | record))
        if root.find("object") is None:
            records.append((file.name, values | {"name": "normal"}))
    if not any("box" in record for _, record in records):
        _say_none(converted)
    defaults = {"path": "{xml_folder}/{filename}", "label": "name", "boxes": "box"}
    converted.rows += standard_rows(path, records, columns, defaults=defaults)


def _parsed(file: Path) -> ElementTree.Element:
    content = read_bytes(file, "")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError("declares XML entities, which are not read.", file, "Remove them.")
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"no valid XML ({error}).", file) from None


# ------------------------------------------------------------------ INbreast


def _inbreast(path: Path, columns: Mapping[str, str], converted: Converted) -> None:
    """INbreast: contours in AllXML/<number>.xml; the patient is the second part of a file's name.

    Single calcifications of an image, mostly points, make one lesion: there are hundreds of them.
    """
    for line, row in read_rows(path, columns):
        file = Path(row["path"])
        names = matches(path.parent / file.parent, file.name)
        if len(names) != 1 or row["label"] == "":
            converted.rows.append((line, row))  # the reader says what is wrong with it
            continue
        image = path.parent / file.with_name(names[0])
        row |= {"path": file.with_name(names[0]).as_posix(), "patient": _patient(image.stem)}
        contours = path.parent / "AllXML" / f"{image.stem.split('_')[0]}.xml"
        lesions = _contours(contours) if contours.is_file() else {}
        if lesions:
            row |= _drawn(lesions, image, converted)
        converted.rows.append((line, row))


def _patient(stem: str) -> str:
    """22678622_61b13c59bcba149e_MG_R_CC_ANON -> 61b13c59bcba149e."""
    return stem.split("_")[1] if "_" in stem else ""


def _contours(file: Path) -> dict[str, tuple[str, list[list[tuple[float, float]]]]]:
    """Lesion -> its kind and contours, (x, y) in px; a point is a contour too."""
    try:
        content = plistlib.loads(read_bytes(file, ""), fmt=plistlib.FMT_XML)
        rois = [roi for image in content["Images"] for roi in image["ROIs"]]
        lesions: dict[str, tuple[str, list[list[tuple[float, float]]]]] = {}
        for number, roi in enumerate(rois, start=1):
            name = str(roi.get("Name", "")).strip().lower()
            pairs = [_NUMBER.findall(text) for text in roi["Point_px"]]
            points = [(float(x), float(y)) for x, y in pairs]
            kind = _KINDS_OF_INBREAST.get(name, "other")
            single = name in ("calcification", "calcifications")
            key = "calcifications" if single else f"{name or 'lesion'}-{number}"
            lesions.setdefault(key, (kind, []))[1].append(points)
        return lesions
    except (ValueError, KeyError, TypeError, ExpatError, plistlib.InvalidFileException) as error:
        raise DataError(f"no contours of INbreast ({error}).", file) from None


def _drawn(
    lesions: Mapping[str, tuple[str, list[list[tuple[float, float]]]]],
    image: Path,
    converted: Converted,
) -> dict[str, str]:
    """Kind and mask of a row with one entry a lesion."""
    header = read_header(image)
    size = header.rows, header.cols
    masks = [
        str(draw_mask(converted.drawn, f"{image.stem}-{name}", size, contours))
        for name, (_, contours) in lesions.items()
    ]
    return {"kind": "|".join(kind for kind, _ in lesions.values()), "mask": "|".join(masks)}


# ------------------------------------------------------------------ CDD-CESM


def _cesm(path: Path, columns: Mapping[str, str], converted: Converted) -> None:
    """CDD-CESM: low-energy images; outlines in the CSV of the VGG annotator beside the table."""
    tables = matches(path.parent, "*segmentation*.csv")
    outlines = _via_outlines(path.parent / tables[0]) if len(tables) == 1 else {}
    if not outlines:
        reason = f"{len(tables)} files beside the table are called *segmentation*.csv, not 1"
        converted.remarks.append((Code.DESCRIPTIONS_MISSING, reason, "kept, label uncertain"))
    subtracted = 0
    rows = [(line, Path(row["path"]).stem.strip(), row) for line, row in read_rows(path, columns)]
    labels: dict[str, dict[str, int | str]] = {}
    for line, name, row in rows:
        labels.setdefault(name, {}).setdefault(row["label"], line)
    for line, name, row in rows:
        if "_CM_" in name:
            subtracted += 1
            continue
        if labels[name][row["label"]] != line:
            continue  # one row a finding; the outlines give the lesions
        # Outlines do not say which of several labels is theirs.
        shapes = outlines.get(name.casefold(), []) if len(labels[name]) == 1 else []
        row |= {"path": f"{Path(row['path']).parent.as_posix()}/{name}.jpg", "kind": "other"}
        image = path.parent / row["path"]
        if shapes and image.is_file():
            header = read_header(image)
            size = header.rows, header.cols
            masks = [
                draw_mask(converted.drawn, f"{name}-{n}", size, [s]) for n, s in enumerate(shapes)
            ]
            row["mask"] = "|".join(map(str, masks))
        converted.rows.append((line, row))
    several = [name for name in labels if len(labels[name]) > 1 and name.casefold() in outlines]
    if several:
        reason = f"the outlines of images with several labels are not used: {first_few(several, 3)}"
        converted.remarks.append((Code.LOCATION_UNUSABLE, reason, "location unknown"))
    if subtracted:
        reason = f"{subtracted} rows are of subtracted images, which are no mammograms"
        converted.remarks.append((Code.FILE_UNDESCRIBED, reason, "kept, corrected"))


def _via_outlines(path: Path) -> dict[str, list[list[tuple[float, float]]]]:
    """File name without ending -> its outlines, (x, y) in px."""
    outlines: dict[str, list[list[tuple[float, float]]]] = {}
    text = read_bytes(path, "").decode("utf-8-sig", errors="replace")
    (_, names), *lines = [row for row in csv_rows(text, path) if row[1]] or [(1, [])]
    for number, values in lines:
        try:
            row = dict(zip(names, values, strict=True))
            shape = json.loads(row["region_shape_attributes"])
            name = Path((row.get("#filename") or row["filename"]).strip()).stem.strip()
            polygon = polygon_of(shape) if shape else []
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"no outline ({error}).", f"{path} line {number}") from None
        if polygon:
            outlines.setdefault(name.casefold(), []).append(polygon)
    return outlines


# ------------------------------------------------------------------ CMMD


def join_cmmd(
    path: Path, columns: Mapping[str, str], index: pd.DataFrame, drawn: Path
) -> Converted:
    """CMMD: a row a breast; its images are the DICOM files of that patient and side.

    Args:
        path: The table.
        columns: As for `read_folder`; path is not needed.
        index: From `index_files` of the table's folder.
        drawn: Not used.
    """
    converted = Converted(drawn)
    files: dict[tuple[str, str], list[str]] = {}
    described: set[tuple[str, str]] = set()
    for file in index[index["problem"] == ""].itertuples():
        side = read_header(path.parent / str(file.path)).side
        files.setdefault((str(file.patient_id), side), []).append(str(file.path))
    for line, row in read_rows(path, {"path": columns["patient"], **columns}):
        breast = row["patient"], row["side"].upper()[:1]
        names = files.get(breast, [])
        described.add(breast)
        kind = "mass|calcification" if row["kind"].lower() == "both" else row["kind"]
        for name in names or [f"{row['patient']} {row['side']}: no DICOM file of it"]:
            converted.rows.append((line, row | {"path": name, "kind": kind}))
    unlisted = [name for breast in files.keys() - described for name in files[breast]]
    if unlisted:
        reason = (
            f"{len(unlisted)} images are of breasts without a row: {first_few(sorted(unlisted), 3)}"
        )
        converted.remarks.append((Code.FILE_UNDESCRIBED, reason, "image left out"))
    return converted
