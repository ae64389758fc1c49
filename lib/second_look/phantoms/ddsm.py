"""Phantoms in the layout of DDSM, for `sources.ddsm` and its tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_fill_holes, label

from second_look.decoding.ljpeg import encode
from second_look.files import write_bytes, write_text
from second_look.phantoms.phantom import (
    DrawnLesion,
    PhantomImage,
    PhantomSettings,
    PlannedBreast,
    draw_image,
    plan_patient,
)
from second_look.sources.chain_code import Chain, Mask, trace

SIDES = {"L": "LEFT", "R": "RIGHT"}
VOLUMES = {
    "normal": "normals/normal_01",
    "benign_without_callback": "benign_without_callbacks/benign_without_callback_01",
    "benign": "benigns/benign_01",
    "malignant": "cancers/cancer_01",
}
_TYPES = {
    "mass": "MASS SHAPE OVAL MARGINS CIRCUMSCRIBED",
    "calcification": "CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED",
}


def write_ddsm_layout(folder: Path, settings: PhantomSettings, *, letter: str = "B") -> None:
    """Write cases/<volume>/caseNNNN/ with .ics, .LJPEG and .OVERLAY files.

    Args:
        folder: Where to.
        settings: Of the phantoms. Their bits are those of the .ics; the files hold 16, as DDSM's.
        letter: Of the case names; A is a DBA scanner, B and C are LUMISYS, D is HOWTEK.
    """
    for patient in range(settings.patients):
        breasts = plan_patient(settings, patient)
        lesions = [lesion for breast in breasts for lesion in breast.lesions]
        # The first lesion of a patient is the worst one.
        volume = VOLUMES[lesions[0].pathology if lesions else "normal"]
        name = f"{letter}_{patient + 1:04d}_1"
        case = folder / "cases" / volume / f"case{patient + 1:04d}"
        lines = []
        for breast in reversed(breasts):  # the left one comes first
            for projection in ("CC", "MLO"):
                view = f"{SIDES[breast.laterality]}_{projection}"
                image = draw_image(settings, breast, projection)
                lines.append(_view_line(view, settings, image))
                _write_image(case / f"{name}.{view}", image)
        write_text(case / f"{name.replace('_', '-')}.ics", _ics(name, breasts[0], lines))


def outline_of(lesion: DrawnLesion) -> tuple[Chain, Mask]:
    """The outline of a lesion's largest part, and the pixels that it encloses."""
    parts, count = label(lesion.mask, np.ones((3, 3)))
    if count == 0:
        raise ValueError("the lesion lies outside the breast: draw it elsewhere.")
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    region: Mask = binary_fill_holes(parts == largest)
    return trace(region), region


def overlay_text(entries: Iterable[tuple[DrawnLesion, Chain]]) -> str:
    """An .OVERLAY file of lesions with their outlines."""
    blocks = []
    for number, (lesion, chain) in enumerate(entries, start=1):
        steps = " ".join(str(step) for step in chain.steps)
        blocks.append(
            f"ABNORMALITY {number}\n"
            f"LESION_TYPE {_TYPES[lesion.plan.kind]}\n"
            f"ASSESSMENT {lesion.plan.assessment}\n"
            f"SUBTLETY {lesion.plan.subtlety}\n"
            f"PATHOLOGY {lesion.plan.pathology.upper()}\n"
            f"TOTAL_OUTLINES 1\nBOUNDARY\n{chain.col} {chain.row} {steps} #\n"
        )
    return f"TOTAL_ABNORMALITIES {len(blocks)}\n" + "".join(blocks)


def _write_image(stem: Path, image: PhantomImage) -> None:
    pixels = image.pixels.astype(np.uint16)
    write_bytes(stem.with_name(f"{stem.name}.LJPEG"), encode(pixels))
    if image.lesions:
        entries = [(lesion, outline_of(lesion)[0]) for lesion in image.lesions]
        write_text(stem.with_name(f"{stem.name}.OVERLAY"), overlay_text(entries))


def _view_line(view: str, settings: PhantomSettings, image: PhantomImage) -> str:
    overlay = "OVERLAY" if image.lesions else "NON_OVERLAY"
    return (
        f"{view} LINES {settings.rows} PIXELS_PER_LINE {settings.cols} "
        f"BITS_PER_PIXEL {settings.bits} RESOLUTION {settings.spacing_mm * 1000:g} {overlay}"
    )


def _ics(name: str, breast: PlannedBreast, lines: list[str]) -> str:
    scanner = {"A": "DBA 21", "D": "HOWTEK"}.get(name[0], "LUMISYS LASER")
    return (
        f"ics_version 1.0\nfilename {name.replace('_', '-')}\nDATE_OF_STUDY 1 1 1995\n"
        f"PATIENT_AGE 50\nFILM \nFILM_TYPE REGULAR\nDENSITY {breast.density}\n"
        f"DATE_DIGITIZED 1 1 1998 \nDIGITIZER {scanner}\nSEQUENCE\n" + "\n".join(lines) + "\n"
    )
