"""DDSM, the originals (Heath et al. 2001): 2,620 cases, among them 695 of normal mammograms.

A case is a folder with one .ics file, a lossless JPEG of each of its films and an .OVERLAY file
for each film with lesions: <volume>/caseNNNN/{A-0002-1.ics, A_0002_1.LEFT_CC.LJPEG, …}. A film
without outlines counts as normal only in the volumes of normal cases, and in the healthy breast of
a case with lesions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from second_look.catalogue import Catalogue, worst
from second_look.decoding.pixels import read_header, write_png
from second_look.errors import DataError, MissingDataError
from second_look.files import folder_fingerprint
from second_look.geometry import Box
from second_look.quarantine import Code, Quarantine
from second_look.sources.chain_code import chain_region, gap_px, overreach_px
from second_look.sources.ddsm_formats import (
    DARKEST,
    PATHOLOGIES,
    UNPROVEN,
    Abnormality,
    Case,
    View,
    case_name,
    density_levels,
    read_case,
    read_ljpeg,
    read_overlay,
)

DATASET = "ddsm"
KINDS = {"MASS": "mass", "CALCIFICATION": "calcification"}
ADDRESS = "http://www.eng.usf.edu/cvprg/Mammography/Database.html"
# Folder names of the volumes of normal cases: cases/normals/normal_01.
_NORMAL = re.compile(r"normals?(_\d+)?", re.IGNORECASE)
# An outline whose ends are further apart than this is open, px.
_GAP_PX = 2


@dataclass
class _Reading:
    """Rows of the catalogue as they are collected, and how films are wanted."""

    quarantine: Quarantine
    cache: Path
    optical_density: bool
    images: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    used_files: set[Path] = field(default_factory=set)


class _UnusableError(Exception):
    """Why an image cannot be used, and the file that shows it."""

    def __init__(self, code: Code, reason: str, file: Path) -> None:
        super().__init__(reason)
        self.code, self.file = code, file


@dataclass(frozen=True)
class _Folder:
    """Where the files of a case are."""

    case: Case
    ics: Path

    def image_id(self, view: str) -> str:
        return f"{self.case.name}.{view}"

    def file(self, view: str, ending: str) -> Path:
        return self.ics.parent / f"{self.case.name}.{view}.{ending}"

    @property
    def is_normal(self) -> bool:
        """Whether the volume holds normal cases."""
        return any(_NORMAL.fullmatch(part) for part in self.ics.resolve().parts[-4:-2])

    def has_outlines(self, view: View) -> bool:
        """Whether lesions of a film are outlined: the .ics says so, or there is a file of them."""
        return view.overlay or self.file(view.name, "OVERLAY").is_file()


def read_ddsm(
    root: Path, cache: Path, *, strict: bool = False, optical_density: bool = False
) -> Catalogue:
    """Read the cases of DDSM below a folder.

    A film is as suspicious as its worst lesion. A film is left out, because its label is unknown,
    if its outlines are missing, damaged or of an unproven lesion; if it has no outlines, but the
    other view of that breast has some; or if its case has no outlines at all and is not in a volume
    of normal cases. A few files have other rows and columns than the .ics says: such a film is
    written to the cache in the shape that the .ics gives.

    Args:
        root: Folder with the volumes, or one of them; cases are found at any depth.
        cache: Where the masks of the lesions are drawn, once, and converted films are written.
        strict: Raise at the first problem that would go to the quarantine.
        optical_density: Convert to grey levels that are linear in optical density, so that films of
            different scanners are comparable; each is decoded and written once, about 12 MB.

    Raises:
        MissingDataError: There is no .ics file; the remedy says where to get DDSM.
        DataError: With `strict`, the first problem.
    """
    paths = sorted(path for path in root.rglob("*.ics") if path.is_file())
    if not paths:
        raise MissingDataError(
            "no DDSM here: expected cases with an .ics file.",
            location=root,
            remedy=f"Get the volumes, such as cases/normals/normal_01, from {ADDRESS}",
        )
    reading = _Reading(Quarantine(DATASET, strict=strict), cache, optical_density)
    first_path: dict[str, Path] = {}
    for path in tqdm(paths, desc="reading DDSM", unit="case"):
        try:
            folder = _Folder(read_case(path), path)
        except DataError as error:
            code = Code.DESCRIPTION_UNUSABLE
            reading.quarantine.add(code, error.problem, effect="image left out", file=path)
            continue
        first = first_path.setdefault(folder.case.name, path)
        if first != path:
            reading.quarantine.add(
                Code.DESCRIPTION_REPEATED,
                f"the case is in {first.parent} too, and used from there",
                effect="image left out",
                file=path,
            )
            continue
        _add_case(reading, folder)
    _quarantine_undescribed(reading, root)
    return Catalogue.from_rows(reading.images, reading.lesions, reading.quarantine.rows)


def _add_case(reading: _Reading, folder: _Folder) -> None:
    """Add the films of a case, or put them into the quarantine."""
    for line, reason in folder.case.problems:
        row = f"line {line}" if line else ""
        reading.quarantine.add(
            Code.VALUE_UNKNOWN, reason, effect="kept, corrected", file=folder.ics, row=row
        )
    for view in folder.case.views:
        image_id = folder.image_id(view.name)
        reading.used_files.update(folder.file(view.name, ending) for ending in ("LJPEG", "OVERLAY"))
        try:
            lesions = _abnormalities(reading.quarantine, folder, view)
            film, bits = _film(reading, folder, view)
        except _UnusableError as error:
            reading.quarantine.add(
                error.code, str(error), effect="image left out", file=error.file, image_id=image_id
            )
            continue
        reading.images.append(_image(folder, view, lesions, film, bits))
        for number, lesion in enumerate(lesions, start=1):
            reading.lesions.append(_lesion(reading, folder, view, number, lesion))


def _film(reading: _Reading, folder: _Folder, view: View) -> tuple[Path, int]:
    """A file with the film, converted where necessary, and its bits."""
    path = folder.file(view.name, "LJPEG")
    try:
        header = read_header(path)
        sizes = (
            f"the .ics says {view.rows} x {view.cols} px, the film {header.rows} x {header.cols}"
        )
        if header.rows * header.cols != view.rows * view.cols:
            raise _UnusableError(Code.SIZE_DIFFERS, sizes, path)
        if header.bits < view.bits:
            depths = f"the .ics says {view.bits} bits, the film {header.bits}"
            raise _UnusableError(Code.SIZE_DIFFERS, depths, path)
        same_shape = (header.rows, header.cols) == (view.rows, view.cols)
        if same_shape and not reading.optical_density:
            return path, view.bits
        converted = _converted(reading, folder, view)
    except DataError as error:
        raise _UnusableError(Code.IMAGE_UNUSABLE, error.problem, path) from None
    if not same_shape:
        reading.quarantine.add(
            Code.SIZE_DIFFERS,
            f"{sizes}; the .ics counts",
            effect="kept, corrected",
            file=path,
            image_id=folder.image_id(view.name),
        )
    return converted, 16 if reading.optical_density else view.bits


def _converted(reading: _Reading, folder: _Folder, view: View) -> Path:
    """A film as PNG in the shape that its .ics gives, as optical density where asked for."""
    path, case = folder.file(view.name, "LJPEG"), folder.case
    scale = (case.digitizer, DARKEST) if reading.optical_density else ()
    facts = (folder_fingerprint(path), view.rows, view.cols, view.bits, scale)
    mark = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    target = reading.cache / "ddsm-films" / f"{folder.image_id(view.name)}-{mark}.png"
    if not target.is_file():
        pixels = read_ljpeg(path, view.rows, view.cols, view.bits)
        if reading.optical_density:
            pixels = density_levels(pixels, case.digitizer, case.site)
        write_png(target, pixels)
    return target


def _abnormalities(quarantine: Quarantine, folder: _Folder, view: View) -> list[Abnormality]:
    """The lesions of a film; none if it is known to be normal."""
    path = folder.file(view.name, "OVERLAY")
    if not folder.has_outlines(view):
        _check_normal(folder, view)
        return []
    if not view.overlay:
        quarantine.add(
            Code.DESCRIPTIONS_DIFFER,
            "the .ics mentions no outlines, but there is a file of them; it counts",
            effect="kept, corrected",
            file=path,
            image_id=folder.image_id(view.name),
        )
    try:
        lesions = read_overlay(path)
    except DataError as error:
        reason = f"the label is unknown: {error.problem}"
        raise _UnusableError(Code.LABEL_UNKNOWN, reason, path) from None
    if any(lesion.pathology == UNPROVEN for lesion in lesions):
        reason = "the label is unknown: a lesion is unproven"
        raise _UnusableError(Code.LABEL_UNKNOWN, reason, path)
    return lesions


def _check_normal(folder: _Folder, view: View) -> None:
    """Raise unless a film without outlines is known to show a normal breast."""
    outlined = [film.name for film in folder.case.views if folder.has_outlines(film)]
    side = view.name.partition("_")[0]
    if any(name.startswith(side) for name in outlined):
        raise _UnusableError(
            Code.LABEL_UNKNOWN,
            "the label is unknown: only the other view of this breast has outlines",
            folder.ics,
        )
    if not outlined and not folder.is_normal:
        raise _UnusableError(
            Code.LABEL_UNKNOWN,
            "the label is unknown: the case has no outlines and is in no volume of normal cases",
            folder.ics,
        )


def _image(
    folder: _Folder, view: View, lesions: list[Abnormality], film: Path, bits: int
) -> dict[str, Any]:
    side, _, projection = view.name.partition("_")
    return {
        "image_id": folder.image_id(view.name),
        "dataset": DATASET,
        "patient_id": folder.case.patient,
        "laterality": side[0],
        "view": projection,
        "rows": view.rows,
        "cols": view.cols,
        "bits": bits,
        "pixel_spacing_mm": view.resolution_um / 1000,
        "density": folder.case.density,
        "label": worst(PATHOLOGIES[lesion.pathology] for lesion in lesions),
        "path": str(film),
    }


def _lesion(
    reading: _Reading, folder: _Folder, view: View, number: int, lesion: Abnormality
) -> dict[str, Any]:
    """A lesion with its mask; a lesion of several types counts as the first of them."""
    image_id = folder.image_id(view.name)
    ids = {"image_id": image_id, "lesion_id": f"{image_id}_{number}"}
    add = partial(
        reading.quarantine.add,
        file=folder.file(view.name, "OVERLAY"),
        row=f"abnormality {number}",
        image_id=image_id,
        lesion_id=ids["lesion_id"],
    )
    for problem in lesion.problems:
        add(Code.VALUE_UNKNOWN, problem, effect="kept, corrected")
    correct = partial(add, Code.LOCATION_CORRECTED, effect="kept, corrected")
    location: dict[str, Any] = {}
    try:
        location = _location(reading, view, lesion, ids["lesion_id"], correct)
    except DataError as error:
        add(Code.LOCATION_UNUSABLE, error.problem, effect="location unknown")
    grades = {"assessment": lesion.assessment, "subtlety": lesion.subtlety}
    kind = {"kind": KINDS.get(lesion.types[0], "other")}
    return ids | kind | {"pathology": PATHOLOGIES[lesion.pathology]} | grades | location


def _location(
    reading: _Reading,
    view: View,
    lesion: Abnormality,
    lesion_id: str,
    correct: Callable[[str], None],
) -> dict[str, Any]:
    """Mask, box and area of a lesion.

    Raises:
        DataError: The lesion has no usable outline; says why.
    """
    chain = lesion.boundary
    if chain is None:
        raise DataError(lesion.lost)
    region = chain_region(chain, view.rows, view.cols)
    box = Box.of_mask(region.mask)
    if box is None:
        raise DataError("the outline lies outside of the film")
    overreach, gap = overreach_px(chain, view.rows, view.cols), gap_px(chain)
    if overreach:
        correct(f"the outline leaves the film by {overreach} px; it is cut at the edge")
    if gap > _GAP_PX:
        correct(f"the ends of the outline are {gap} px apart; a straight line closes it")
    # Named after its outline, so that a corrected one is drawn again.
    mark = hashlib.sha256(f"{chain}{(view.rows, view.cols)}".encode()).hexdigest()[:12]
    mask_path = reading.cache / "ddsm-masks" / f"{lesion_id}-{mark}.png"
    if not mask_path.is_file():
        write_png(mask_path, region.on_film(view.rows, view.cols).astype(np.uint8) * 255)
    return {
        "row_min": region.row + box.row_min,
        "col_min": region.col + box.col_min,
        "row_max": region.row + box.row_max,
        "col_max": region.col + box.col_max,
        "mask_path": str(mask_path),
        "area_px": float(region.mask.sum()),
    }


def _quarantine_undescribed(reading: _Reading, root: Path) -> None:
    """Put the films and outlines that no .ics describes into the quarantine."""
    for ending, effect in (("LJPEG", "image left out"), ("OVERLAY", "lesion left out")):
        for path in sorted(root.rglob(f"*.{ending}")):
            if path not in reading.used_files:
                reading.quarantine.add(
                    Code.FILE_UNDESCRIBED,
                    "no usable .ics in this folder describes the file",
                    effect=effect,
                    file=path,
                    image_id=path.stem if case_name(path) else "",
                )
