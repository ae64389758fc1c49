"""mini-MIAS: 322 mammograms of 161 women (Suckling et al. 1994), from a folder, archive or copy.

Info.txt gives a circle around each abnormality in coordinates whose origin is the bottom left
corner. Odd numbers are right breasts, even numbers left ones, and pairs belong to one woman.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from second_look.catalogue import Catalogue, whole_number, worst
from second_look.decoding.dicom import Header
from second_look.decoding.pixels import read_header
from second_look.errors import DataError
from second_look.files import read_bytes
from second_look.geometry import Box
from second_look.quarantine import Code, Quarantine
from second_look.sources.mias_files import ADDRESS, NAME, open_mias

DATASET = "mias"
PIXEL_SPACING_MM = 0.2
# Coordinates in Info.txt are those of films of so many rows and columns, px.
SIZE = 1024
KIND_OF_CLASS = {
    "CALC": "calcification",
    "CIRC": "mass",
    "SPIC": "mass",
    "MISC": "mass",
    "ARCH": "distortion",
    "ASYM": "asymmetry",
}
PATHOLOGY_OF_SEVERITY = {"B": "benign", "M": "malignant"}
_ROW = re.compile(r"mdb\d+\b")
# A name of an image, also where it is spelled or spaced wrongly, or another word sticks to it.
_ALMOST_NAME = re.compile(r"m\W*d\W*b\W*(\d+)", re.IGNORECASE)
_CLASS = re.compile(r"\b(NORM|" + "|".join(KIND_OF_CLASS) + r")\b")
# No coordinate is larger.
_MAX_PX = 65535


@dataclass
class _Reading:
    """Rows of the catalogue as they are collected."""

    quarantine: Quarantine
    images: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Row:
    """One row of Info.txt: an abnormality of a film, or that it shows none."""

    line: str
    image_id: str
    density: str
    kind: str
    pathology: str
    circle: tuple[float, float, float] | None


def read_mias(location: Path, cache: Path, *, strict: bool = False) -> Catalogue:
    """Read mini-MIAS.

    Args:
        location: The folder with Info.txt and the PGM files, the archive, or a folder that holds
            either.
        cache: Where an archive is unpacked, once.
        strict: Raise at the first thing that would go to the quarantine.

    Raises:
        MissingDataError: There is no such folder or archive; the remedy says how to get it.
        DataError: The archive is broken or unsafe, or Info.txt cannot be read.
    """
    folder, pictures = open_mias(location, cache)
    info = folder / "Info.txt"
    reading = _Reading(Quarantine(DATASET, strict=strict))
    rows_of, doubtful = _rows_of_images(reading.quarantine, info)
    for image_id, rows in sorted(rows_of.items()):
        if image_id in doubtful:
            reading.quarantine.add(
                Code.LABEL_UNKNOWN,
                "another row of this image cannot be used, so its label is unknown",
                effect="image left out",
                file=pictures.get(image_id, folder / f"{image_id}.pgm"),
                row=rows[0].line,
                image_id=image_id,
            )
            continue
        path = pictures.get(image_id, folder / f"{image_id}.pgm")
        _add_image(reading, info, path, image_id, rows)
    for image_id, path in sorted(pictures.items()):
        if image_id not in rows_of:
            reading.quarantine.add(
                Code.FILE_UNDESCRIBED,
                "Info.txt has no usable row for this image",
                effect="image left out",
                file=path,
                image_id=image_id,
            )
    return Catalogue.from_rows(reading.images, reading.lesions, reading.quarantine.rows)


def _rows_of_images(quarantine: Quarantine, info: Path) -> tuple[dict[str, list[_Row]], set[str]]:
    """The usable rows of every image, and the images with an unusable row."""
    rows_of: dict[str, list[_Row]] = {}
    earlier: set[str] = set()
    doubtful: set[str] = set()
    rows = list(_info_rows(info))
    for index, (number, text) in enumerate(rows):
        line = f"line {number}"
        if text in earlier:
            quarantine.add(
                Code.DESCRIPTION_REPEATED,
                f"the row repeats an earlier one: {text!r}",
                effect="kept, corrected",
                file=info,
                row=line,
            )
            continue
        earlier.add(text)
        try:
            row = _parse(text, line)
        except ValueError as error:
            quarantine.add(
                Code.DESCRIPTION_UNUSABLE,
                str(error),
                effect="lesion left out",
                file=info,
                row=line,
            )
            doubtful |= _images_meant(rows, index)
            continue
        rows_of.setdefault(row.image_id, []).append(row)
    if not rows_of and not quarantine.rows:
        raise DataError("no row describes an image.", location=info, remedy=f"Get {ADDRESS}")
    return rows_of, doubtful


def _images_meant(rows: list[tuple[int, str]], index: int) -> set[str]:
    """The images that a row names; where no name can be read, those of the rows around it."""
    around = rows[index : index + 1]
    if not _ALMOST_NAME.search(rows[index][1]):
        around = rows[max(index - 1, 0) : index + 2]
    return {f"mdb{digits}" for _, text in around for digits in _ALMOST_NAME.findall(text)}


def _info_rows(info: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of each line that describes an image, or may be meant to.

    Every line between the first and the last of them does, and others that hold a name or, further
    down, a class; what stands above is prose.
    """
    text = read_bytes(info, f"Get {ADDRESS}").decode("utf-8-sig", errors="replace")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    rows = [index for index, line in enumerate(lines) if _ROW.match(line)]
    first, last = (rows[0], rows[-1]) if rows else (len(lines), len(lines))
    for index, line in enumerate(lines):
        names_class = index > last and _CLASS.search(line)
        between = first <= index <= last and re.search(r"[^\W_]", line)
        if between or names_class or _ALMOST_NAME.search(line):
            yield index + 1, line


def _parse(text: str, line: str) -> _Row:
    """A row such as `mdb005 F CIRC B 477 133 30`; ValueError says what is wrong with it."""
    image_id, *tokens = text.split()
    if not NAME.fullmatch(image_id):
        raise ValueError(f"expected a name such as mdb005. Got {image_id!r}")
    if len(tokens) < 2 or tokens[0] not in tuple("FGD"):
        raise ValueError(f"expected tissue F, G or D and a class. Got {text!r}")
    density, name, *values = tokens
    if name == "NORM":
        if values:
            raise ValueError(f"a normal image has no further values. Got {text!r}")
        return _Row(line, image_id, density, "", "", None)
    if name not in KIND_OF_CLASS:
        raise ValueError(f"unknown class {name!r} in {text!r}: expected {', '.join(KIND_OF_CLASS)}")
    if not values or values[0] not in PATHOLOGY_OF_SEVERITY:
        raise ValueError(f"expected severity B or M. Got {text!r}")
    pathology, numbers = PATHOLOGY_OF_SEVERITY[values[0]], values[1:]
    circle = None
    if numbers and not numbers[0].startswith("*"):
        circle_px = [whole_number(number, _MAX_PX) for number in numbers]
        x, y, radius = circle_px if len(circle_px) == 3 else (None, None, None)
        if x is None or y is None or radius is None:
            raise ValueError(f"expected x, y and radius. Got {text!r}")
        circle = (float(x), float(y), float(radius))
    return _Row(line, image_id, density, KIND_OF_CLASS[name], pathology, circle)


def _add_image(reading: _Reading, info: Path, path: Path, image_id: str, rows: list[_Row]) -> None:
    """Add one image and its lesions, or put it into the quarantine."""
    number = int(image_id.removeprefix("mdb"))
    header, problem = _header(path)
    if header is None:
        reading.quarantine.add(
            Code.IMAGE_UNUSABLE,
            problem,
            effect="image left out",
            file=path,
            row=rows[0].line,
            image_id=image_id,
        )
        return
    pathologies = [row.pathology for row in rows if row.pathology]
    if pathologies and len(pathologies) < len(rows):
        reading.quarantine.add(
            Code.DESCRIPTIONS_DIFFER,
            "one row calls the image normal, another does not; the lesion counts",
            effect="kept, corrected",
            file=info,
            row=rows[0].line,
            image_id=image_id,
        )
    reading.images.append(
        {
            "image_id": image_id,
            "dataset": DATASET,
            "patient_id": f"mias_{(number + 1) // 2:03d}",
            "laterality": "R" if number % 2 else "L",
            "view": "MLO",
            "rows": header.rows,
            "cols": header.cols,
            "bits": header.bits,
            "pixel_spacing_mm": PIXEL_SPACING_MM,
            "density": rows[0].density,
            "label": worst(pathologies),
            "path": str(path),
        }
    )
    _add_lesions(reading, info, [row for row in rows if row.pathology], header)


def _header(path: Path) -> tuple[Header | None, str]:
    """The header of a picture, or why it cannot be used."""
    try:
        header = read_header(path)
    except DataError as error:
        return None, error.problem
    if path.suffix.lower() != ".pgm" and (header.rows, header.cols) != (SIZE, SIZE):
        size = f"the copy has {header.rows} x {header.cols} px"
        return None, f"{size}, but the coordinates in Info.txt are those of {SIZE} x {SIZE} px"
    return header, ""


def _add_lesions(reading: _Reading, info: Path, rows: list[_Row], header: Header) -> None:
    """Add the lesions of one image, numbered from 1."""
    for number, row in enumerate(rows, start=1):
        lesion = {
            "lesion_id": f"{row.image_id}_{number}",
            "image_id": row.image_id,
            "kind": row.kind,
            "pathology": row.pathology,
        }
        location = _location(
            reading.quarantine, info, row, lesion["lesion_id"], header.rows, header.cols
        )
        reading.lesions.append(lesion | location)


def _location(
    quarantine: Quarantine, info: Path, row: _Row, lesion_id: str, rows: int, cols: int
) -> dict[str, float]:
    """Circle and box of a lesion; empty, with a row in the quarantine, where they are unusable."""
    if row.circle is None:
        code = Code.LOCATION_NOT_GIVEN
        reason = "Info.txt gives no coordinates: the finding is widespread, or was not marked"
    else:
        x, y, radius = row.circle
        # The origin (x, y) = (0, 0) is the bottom left pixel, in the last row of the image.
        centre_row, centre_col = rows - 1 - y, x
        box = Box.from_circle(centre_row, centre_col, radius).clipped(rows, cols)
        if 0 <= centre_row < rows and 0 <= centre_col < cols and radius > 0:
            return {
                "circle_row": centre_row,
                "circle_col": centre_col,
                "circle_radius": radius,
                "row_min": box.row_min,
                "col_min": box.col_min,
                "row_max": box.row_max,
                "col_max": box.col_max,
            }
        code = Code.LOCATION_UNUSABLE
        reason = f"the circle x={x:g}, y={y:g}, radius={radius:g} px lies outside the image"
    quarantine.add(
        code,
        reason,
        effect="location unknown",
        file=info,
        row=row.line,
        image_id=row.image_id,
        lesion_id=lesion_id,
    )
    return {}
