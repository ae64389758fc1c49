"""DDSM, the originals (Heath et al. 2001): 2,620 cases, among them 695 of normal mammograms.

A case is a folder with one .ics file, a lossless JPEG of each of its films and an .OVERLAY file
for each film with lesions: <volume>/caseNNNN/{A-0002-1.ics, A_0002_1.LEFT_CC.LJPEG, …}. A film
without outlines is normal only where that is known: in the volumes of normal cases, and in the
other breast of a case with lesions.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from second_look.catalogue import Catalogue, worst
from second_look.decoding.pixels import read_header, write_png
from second_look.errors import DataError, MissingDataError
from second_look.files import folder_fingerprint
from second_look.geometry import Box
from second_look.sources.chain_code import chain_mask, gap_px, overreach_px
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
# An outline whose ends lie further apart than this is open, px.
_GAP_PX = 2


@dataclass
class _Findings:
    """Rows collected while reading, or the error at the first problem where strict."""

    cache: Path
    strict: bool
    optical_density: bool
    images: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    used: set[Path] = field(default_factory=set)

    def set_aside(
        self, reason: str, *, effect: str, file: object, row: str = "", **ids: str
    ) -> None:
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


class _UnusableError(Exception):
    """Why an image cannot be used, and the file that says so."""

    def __init__(self, reason: str, file: Path) -> None:
        super().__init__(reason)
        self.file = file


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
        """Whether lesions are outlined in a film, as the .ics says or a file shows."""
        return view.overlay or self.file(view.name, "OVERLAY").is_file()


def read_ddsm(
    root: Path, cache: Path, *, strict: bool = False, optical_density: bool = False
) -> Catalogue:
    """Read the cases of DDSM below a folder.

    A film is as suspicious as its worst lesion. Left out, since nobody can tell its label, is a
    film whose outlines are missing, damaged or of an unproven lesion; one without outlines beside
    another view of that breast that has some; and one of a case without any outlines outside of
    the volumes of normal cases. A film whose own rows and columns are not those of the .ics, as
    some are, is put in order and kept in the cache.

    Args:
        root: Folder with the volumes, or one of them; cases are found at any depth.
        cache: Where the masks of the lesions are drawn, once, and films that their own file does
            not give as they are wanted.
        strict: Raise at the first thing that would go to the quarantine.
        optical_density: Give grey levels that are linear in optical density, so that films of
            different scanners compare; each is decoded and written once, some 12 MB.

    Raises:
        MissingDataError: There is no .ics file; the remedy says where DDSM is.
        DataError: With `strict`, whatever would go to the quarantine.
    """
    paths = sorted(path for path in root.rglob("*.ics") if path.is_file())
    if not paths:
        raise MissingDataError(
            "no DDSM here: expected cases with an .ics file.",
            where=root,
            remedy=f"Get the volumes, such as cases/normals/normal_01, from {ADDRESS}",
        )
    found = _Findings(cache, strict, optical_density)
    seen: dict[str, Path] = {}
    for path in tqdm(paths, desc="reading DDSM", unit="case"):
        try:
            folder = _Folder(read_case(path), path)
        except DataError as error:
            found.set_aside(error.problem, effect="image left out", file=path)
            continue
        first = seen.setdefault(folder.case.name, path)
        if first != path:
            found.set_aside(
                f"the case stands in {first.parent} too; that one is used",
                effect="image left out",
                file=path,
            )
            continue
        _add_case(found, folder)
    _add_strays(found, root)
    return Catalogue.from_rows(found.images, found.lesions, found.quarantine)


def _add_case(found: _Findings, folder: _Folder) -> None:
    """Add the films of a case, or set them aside."""
    for line, reason in folder.case.problems:
        row = f"line {line}" if line else ""
        found.set_aside(reason, effect="kept, mended", file=folder.ics, row=row)
    for view in folder.case.views:
        image_id = folder.image_id(view.name)
        found.used.update(folder.file(view.name, ending) for ending in ("LJPEG", "OVERLAY"))
        try:
            lesions = _abnormalities(found, folder, view)
            film, bits = _film(found, folder, view)
        except _UnusableError as problem:
            found.set_aside(
                str(problem), effect="image left out", file=problem.file, image_id=image_id
            )
            continue
        found.images.append(_image(folder, view, lesions, film, bits))
        for number, lesion in enumerate(lesions, start=1):
            found.lesions.append(_lesion(found, folder, view, number, lesion))


def _film(found: _Findings, folder: _Folder, view: View) -> tuple[Path, int]:
    """The film as it is wanted, and its bits; written anew where its own file will not do."""
    path = folder.file(view.name, "LJPEG")
    try:
        header = read_header(path)
        stated = f"the .ics says {view.rows} x {view.cols} px"
        own = f"the film {header.rows} x {header.cols}"
        if header.rows * header.cols != view.rows * view.cols:
            raise _UnusableError(f"{stated}, {own}", path)
        if header.bits < view.bits:
            raise _UnusableError(f"the .ics says {view.bits} bits, the film {header.bits}", path)
        in_order = (header.rows, header.cols) == (view.rows, view.cols)
        if in_order and not found.optical_density:
            return path, view.bits
        written = _written(found, folder, view)
    except DataError as error:
        raise _UnusableError(error.problem, path) from None
    if not in_order:
        found.set_aside(
            f"{stated}, {own}; the .ics counts",
            effect="kept, mended",
            file=path,
            image_id=folder.image_id(view.name),
        )
    return written, 16 if found.optical_density else view.bits


def _written(found: _Findings, folder: _Folder, view: View) -> Path:
    """A film in the rows of its .ics, as optical density where this is asked for, as PNG."""
    path, case = folder.file(view.name, "LJPEG"), folder.case
    scale = (case.digitizer, DARKEST) if found.optical_density else ()
    facts = (folder_fingerprint(path), view.rows, view.cols, view.bits, scale)
    mark = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    target = found.cache / "ddsm-films" / f"{folder.image_id(view.name)}-{mark}.png"
    if not target.is_file():
        pixels = read_ljpeg(path, view.rows, view.cols, view.bits)
        if found.optical_density:
            pixels = density_levels(pixels, case.digitizer, case.site)
        write_png(target, pixels)
    return target


def _abnormalities(found: _Findings, folder: _Folder, view: View) -> list[Abnormality]:
    """The lesions of a film; none where it is known to be normal."""
    path = folder.file(view.name, "OVERLAY")
    if not folder.has_outlines(view):
        _check_normal(folder, view)
        return []
    if not view.overlay:
        found.set_aside(
            "the .ics knows of no outlines, but here they are; they count",
            effect="kept, mended",
            file=path,
            image_id=folder.image_id(view.name),
        )
    try:
        lesions = read_overlay(path)
    except DataError as error:
        raise _UnusableError(f"the label is unknown: {error.problem}", path) from None
    if any(lesion.pathology == UNPROVEN for lesion in lesions):
        raise _UnusableError("the label is unknown: a lesion is unproven", path)
    return lesions


def _check_normal(folder: _Folder, view: View) -> None:
    """A film without outlines shows a normal breast."""
    outlined = [other.name for other in folder.case.views if folder.has_outlines(other)]
    side = view.name.partition("_")[0]
    if any(name.startswith(side) for name in outlined):
        raise _UnusableError(
            "the label is unknown: only the other view of this breast has outlines", folder.ics
        )
    if not outlined and not folder.is_normal:
        raise _UnusableError(
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
    found: _Findings, folder: _Folder, view: View, number: int, lesion: Abnormality
) -> dict[str, Any]:
    """A lesion with its mask; one of several types counts as the first of them."""
    image_id = folder.image_id(view.name)
    ids = {"image_id": image_id, "lesion_id": f"{image_id}_{number}"}
    path = folder.file(view.name, "OVERLAY")
    row = f"abnormality {number}"
    for problem in lesion.problems:
        found.set_aside(problem, effect="kept, mended", file=path, row=row, **ids)
    location: dict[str, Any] = {}
    try:
        location = _location(found, view, lesion, path, row, ids)
    except DataError as error:
        found.set_aside(error.problem, effect="location unknown", file=path, row=row, **ids)
    grades = {"assessment": lesion.assessment, "subtlety": lesion.subtlety}
    kind = {"kind": KINDS.get(lesion.types[0], "other")}
    return ids | kind | {"pathology": PATHOLOGIES[lesion.pathology]} | grades | location


def _location(
    found: _Findings, view: View, lesion: Abnormality, path: Path, row: str, ids: dict[str, str]
) -> dict[str, Any]:
    """Mask, box and area of a lesion; DataError says why it has none."""
    chain = lesion.boundary
    if chain is None:
        raise DataError(lesion.lost)
    mask = chain_mask(chain, view.rows, view.cols)
    box = Box.of_mask(mask)
    if box is None:
        raise DataError("the outline lies outside of the film")
    over, gap = overreach_px(chain, view.rows, view.cols), gap_px(chain)
    if over:
        reason = f"the outline leaves the film by {over} px; it is cut at the edge"
        found.set_aside(reason, effect="kept, mended", file=path, row=row, **ids)
    if gap > _GAP_PX:
        reason = f"the ends of the outline are {gap} px apart; a straight line closes it"
        found.set_aside(reason, effect="kept, mended", file=path, row=row, **ids)
    # Named after its outline, so that a corrected one is drawn anew.
    mark = hashlib.sha256(f"{chain}{mask.shape}".encode()).hexdigest()[:12]
    mask_path = found.cache / "ddsm-masks" / f"{ids['lesion_id']}-{mark}.png"
    if not mask_path.is_file():
        write_png(mask_path, mask.astype(np.uint8) * 255)
    return {
        "row_min": box.row_min,
        "col_min": box.col_min,
        "row_max": box.row_max,
        "col_max": box.col_max,
        "mask_path": str(mask_path),
        "area_px": float(mask.sum()),
    }


def _add_strays(found: _Findings, root: Path) -> None:
    """Set aside the films and outlines that no .ics describes."""
    for ending, effect in (("LJPEG", "image left out"), ("OVERLAY", "lesion left out")):
        for path in sorted(root.rglob(f"*.{ending}")):
            if path not in found.used:
                found.set_aside(
                    "no usable .ics in this folder describes the file",
                    effect=effect,
                    file=path,
                    image_id=path.stem if case_name(path) else "",
                )
