"""mini-MIAS: 322 mammograms of 161 women (Suckling et al. 1994), from a folder or its archive.

Info.txt gives a circle around each abnormality in coordinates whose origin is the bottom left
corner. Odd numbers are right breasts, even numbers left ones, and pairs belong to one woman.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from second_look.catalogue import Catalogue, whole_number, worst
from second_look.decoding.pixels import read_header
from second_look.errors import DataError, MissingDataError
from second_look.files import clear_write_errors, read_bytes
from second_look.geometry import Box

DATASET = "mias"
PIXEL_SPACING_MM = 0.2
ADDRESS = "http://peipa.essex.ac.uk/pix/mias/all-mias.tar.gz"
ARCHIVES = ("all-mias.tar.gz", "all-mias.tar.xz", "all-mias.tar")
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
_NAME = re.compile(r"mdb[0-9]{1,9}")
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
# No coordinate is larger.
_MOST_PX = 65535
# The archive unpacks to 338 MB; far more than that is not mini-MIAS.
_MAX_UNPACKED_BYTES = 4_000_000_000


@dataclass
class _Findings:
    """Rows collected while reading, or the error at the first problem where strict."""

    strict: bool
    images: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)

    def set_aside(self, reason: str, *, effect: str, file: Path, row: str = "", **ids: str) -> None:
        """Put something into the quarantine.

        Raises:
            DataError: The same, where strict.
        """
        if self.strict:
            raise DataError(reason, where=f"{file} {row}".strip(), remedy="Or run without strict.")
        self.quarantine.append(
            {"dataset": DATASET, "file": str(file), "row": row, "effect": effect, "reason": reason}
            | ids
        )


@dataclass(frozen=True)
class _Row:
    """One row of Info.txt: what one abnormality of one film is, or that there is none."""

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
        MissingDataError: Nothing of the kind is there; the remedy says how to get it.
        DataError: The archive is broken or unsafe, or Info.txt cannot be read.
    """
    place = find_mias(location)
    folder = place if place.is_dir() else _unpack(place, cache)
    info = folder / "Info.txt"
    found = _Findings(strict)
    rows_of, doubtful = _rows_of_images(found, info)
    for image_id, rows in sorted(rows_of.items()):
        if image_id in doubtful:
            found.set_aside(
                "another row of this image cannot be used, so its label is unknown",
                effect="image left out",
                file=folder / f"{image_id}.pgm",
                row=rows[0].line,
                image_id=image_id,
            )
            continue
        _add_image(found, folder, image_id, rows)
    for path in sorted(folder.glob("mdb*.pgm")):
        if path.stem not in rows_of:
            found.set_aside(
                "Info.txt has no usable row for this image",
                effect="image left out",
                file=path,
                image_id=path.stem,
            )
    return Catalogue.from_rows(found.images, found.lesions, found.quarantine)


def _rows_of_images(found: _Findings, info: Path) -> tuple[dict[str, list[_Row]], set[str]]:
    """The usable rows of each image, and the images that have an unusable one."""
    rows_of: dict[str, list[_Row]] = {}
    seen: set[str] = set()
    doubtful: set[str] = set()
    for number, text in _info_rows(info):
        line = f"line {number}"
        if text in seen:
            found.set_aside(
                f"the row repeats an earlier one: {text!r}",
                effect="kept, mended",
                file=info,
                row=line,
            )
            continue
        seen.add(text)
        try:
            row = _parse(text, line)
        except ValueError as error:
            found.set_aside(str(error), effect="lesion left out", file=info, row=line)
            doubtful.add(text.split()[0])
            continue
        rows_of.setdefault(row.image_id, []).append(row)
    if not rows_of and not found.quarantine:
        raise DataError("no row describes an image.", where=info, remedy=f"Get {ADDRESS}")
    return rows_of, doubtful


def find_mias(location: Path) -> Path:
    """The folder with Info.txt, or else the archive, at a location that `read_mias` takes.

    Raises:
        MissingDataError: There is neither.
    """
    if location.is_file():
        return location
    for folder in (location, location / "all-mias", location / "mias"):
        if (folder / "Info.txt").is_file():
            return folder
    for name in ARCHIVES:
        if (location / name).is_file():
            return location / name
    raise MissingDataError(
        f"no mini-MIAS here: expected Info.txt and PGM files, or one of {', '.join(ARCHIVES)}.",
        where=location,
        remedy=f"Get it with: curl -L -o {location}/all-mias.tar.gz {ADDRESS}",
    )


def _unpack(archive: Path, cache: Path) -> Path:
    """Unpack an archive into the cache, whole or not at all; done once for each archive."""
    try:
        with archive.open("rb"):
            state = archive.stat()
    except OSError as error:
        remedy = f"Change its rights, or get it anew: {ADDRESS}"
        raise DataError(f"cannot be read ({error.strerror}).", archive, remedy) from None
    mark = hashlib.sha256(f"{archive.name}\0{state.st_size}\0{state.st_mtime_ns}".encode())
    target = cache / f"all-mias-{mark.hexdigest()[:12]}"
    if not target.is_dir():
        if not os.access(archive, os.R_OK):
            raise DataError("the archive may not be read.", archive, "Change its rights.")
        with clear_write_errors(target):
            cache.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=cache))
            try:
                _extract_safely(archive, draft)
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    infos = sorted(target.rglob("Info.txt"))
    if not infos:
        raise DataError("the archive holds no Info.txt.", where=archive, remedy=f"Get {ADDRESS}")
    return infos[0].parent


def _extract_safely(archive: Path, target: Path) -> None:
    """Extract plain files below `target`; refuse every other kind of member."""
    total = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name)
                plain = member.isfile() or member.isdir()
                if name.is_absolute() or ".." in name.parts or not plain:
                    raise DataError(
                        f"the member {member.name!r} is a link or device, or leads outside.",
                        where=archive,
                        remedy=f"Do not trust this archive; get {ADDRESS}",
                    )
                total += member.size
                if total > _MAX_UNPACKED_BYTES:
                    raise DataError(
                        f"the archive unpacks to more than {_MAX_UNPACKED_BYTES / 1e9:g} GB.",
                        where=archive,
                        remedy=f"Do not trust this archive; get {ADDRESS}",
                    )
                tar.extract(member, target, filter="data")
    except DataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        # tarfile and its decompressors meet broken archives with every exception there is.
        raise DataError(
            f"the archive is broken ({error}).", where=archive, remedy=f"Get it anew: {ADDRESS}"
        ) from error


def _info_rows(info: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of each row that describes an image."""
    text = read_bytes(info, f"Get {ADDRESS}").decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if _ROW.match(line):
            yield number, " ".join(line.split())


def _parse(text: str, line: str) -> _Row:
    """A row such as `mdb005 F CIRC B 477 133 30`; ValueError says what is wrong with it."""
    image_id, *tokens = text.split()
    if not _NAME.fullmatch(image_id):
        raise ValueError(f"expected a name such as mdb005. Got {image_id!r}")
    if len(tokens) < 2 or tokens[0] not in "FGD":
        raise ValueError(f"expected tissue F, G or D and a class. Got {text!r}")
    density, name, *rest = tokens
    if name == "NORM":
        if rest:
            raise ValueError(f"a normal image has no further values. Got {text!r}")
        return _Row(line, image_id, density, "", "", None)
    if name not in KIND_OF_CLASS:
        raise ValueError(f"unknown class {name!r} in {text!r}: expected {', '.join(KIND_OF_CLASS)}")
    if not rest or rest[0] not in PATHOLOGY_OF_SEVERITY:
        raise ValueError(f"expected severity B or M. Got {text!r}")
    pathology, numbers = PATHOLOGY_OF_SEVERITY[rest[0]], rest[1:]
    circle = None
    if numbers and not numbers[0].startswith("*"):
        whole = [whole_number(number, _MOST_PX) for number in numbers]
        x, y, radius = whole if len(whole) == 3 else (None, None, None)
        if x is None or y is None or radius is None:
            raise ValueError(f"expected x, y and radius. Got {text!r}")
        circle = (float(x), float(y), float(radius))
    return _Row(line, image_id, density, KIND_OF_CLASS[name], pathology, circle)


def _add_image(found: _Findings, folder: Path, image_id: str, rows: list[_Row]) -> None:
    """Add one image and its lesions, or set it aside."""
    path = folder / f"{image_id}.pgm"
    number = int(image_id.removeprefix("mdb"))
    try:
        header = read_header(path)
    except DataError as error:
        found.set_aside(
            error.problem, effect="image left out", file=path, row=rows[0].line, image_id=image_id
        )
        return
    pathologies = [row.pathology for row in rows if row.pathology]
    if pathologies and len(pathologies) < len(rows):
        found.set_aside(
            "one row calls the image normal, another does not; the lesion counts",
            effect="kept, mended",
            file=folder / "Info.txt",
            row=rows[0].line,
            image_id=image_id,
        )
    found.images.append(
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
    lesions = [row for row in rows if row.pathology]
    for place, row in enumerate(lesions, start=1):
        lesion_id = f"{image_id}_{place}"
        lesion = {
            "lesion_id": lesion_id,
            "image_id": image_id,
            "kind": row.kind,
            "pathology": row.pathology,
        }
        found.lesions.append(
            lesion | _location(found, folder, row, lesion_id, header.rows, header.cols)
        )


def _location(
    found: _Findings, folder: Path, row: _Row, lesion_id: str, rows: int, cols: int
) -> dict[str, float]:
    """Circle and box of a lesion; empty, and said so, where Info.txt gives no usable one."""
    if row.circle is None:
        reason = "Info.txt gives no coordinates: the finding is spread over the image, or unnoted"
    else:
        x, y, radius = row.circle
        # The origin is the bottom left pixel, (x, y) = (0, 0): the last row of the picture.
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
        reason = f"the circle x={x:g}, y={y:g}, radius={radius:g} px lies outside the image"
    found.set_aside(
        reason,
        effect="location unknown",
        file=folder / "Info.txt",
        row=row.line,
        image_id=row.image_id,
        lesion_id=lesion_id,
    )
    return {}
