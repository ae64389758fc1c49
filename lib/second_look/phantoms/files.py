"""Phantoms as files, in the layouts of real data, for the readers that real data use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from second_look.decoding.pixels import write_pgm, write_png
from second_look.files import write_text
from second_look.geometry import Box
from second_look.phantoms.phantom import (
    DrawnLesion,
    PhantomImage,
    PhantomSettings,
    PlannedBreast,
    draw_image,
    plan_patient,
)
from second_look.sources.folder import write_folder_csv

VIEWS = ("CC", "MLO")
_MIAS_PROSE = """\
              SYNTHETIC MAMMOGRAMS IN THE LAYOUT OF
                  THE MIAS MiniMammographic Database

1st column: reference number.  2nd column: F, G or D.  3rd: class.  4th: B or M.
5th, 6th columns: x, y image-coordinates of centre of abnormality.  7th: radius.
Coordinate system origin is the bottom-left corner.

=================================================================

"""


def write_folder_layout(folder: Path, settings: PhantomSettings) -> None:
    """Write images/, masks/ and images.csv, as `sources.folder` reads them.

    Images that are there already are kept, so that a broken-off run goes on.
    """
    rows = []
    with tqdm(total=settings.patients * 4, desc="drawing phantoms", unit="image") as progress:
        for breast, view in all_views(settings):
            name = f"p{breast.patient:04d}_{breast.laterality}_{view}"
            # Drawn even where the file is there: the table needs the lesions that were drawn.
            image = draw_image(settings, breast, view)
            path = folder / "images" / f"{name}.png"
            if not path.is_file():
                write_png(path, image.pixels)
            rows.append(table_row(folder, settings, name, breast, view, image))
            progress.update()
    write_folder_csv(folder / "images.csv", rows)


def write_mias_layout(
    folder: Path, settings: PhantomSettings, *, without_place: Sequence[str] = ()
) -> None:
    """Write mdbNNN.pgm and Info.txt, as `sources.mias` reads them: one oblique view a breast.

    Args:
        folder: Where to.
        settings: Their bits are ignored (mini-MIAS has 8), and so is benign without callback,
            which mini-MIAS does not know and which becomes benign.
        without_place: Image ids whose lesions get no coordinates.
    """
    settings = replace(settings, bits=8)
    lines = []
    for patient in range(settings.patients):
        for side, breast in enumerate(plan_patient(settings, patient)):
            image_id = f"mdb{2 * patient + side + 1:03d}"
            image = draw_image(settings, breast, "MLO")
            write_pgm(folder / f"{image_id}.pgm", image.pixels)
            density = "FGGD"[breast.density - 1]
            if not image.lesions:
                lines.append(f"{image_id} {density} NORM")
            for lesion in image.lesions:
                location = "*NOTE 3*" if image_id in without_place else _mias_circle(lesion)
                lines.append(f"{image_id} {density} {_mias_class(lesion)} {location}")
    write_text(folder / "Info.txt", _MIAS_PROSE + "\n".join(lines) + "\n")


def mias_circle_of(lesion: DrawnLesion) -> tuple[int, int, int]:
    """Pixel (row, col) in the middle of a lesion's box, and the radius that encloses the lesion."""
    box = Box.of_mask(lesion.mask)
    if box is None:
        raise ValueError("the lesion lies outside the breast: draw it elsewhere.")
    row, col = (int(value) for value in box.centre)
    rows, cols = np.nonzero(lesion.mask)
    return row, col, int(np.ceil(np.hypot(rows - row, cols - col).max()))


def all_views(settings: PhantomSettings) -> Iterator[tuple[PlannedBreast, str]]:
    """Every breast of a set in both views."""
    for patient in range(settings.patients):
        for breast in plan_patient(settings, patient):
            for view in VIEWS:
                yield breast, view


def table_row(
    folder: Path,
    settings: PhantomSettings,
    name: str,
    breast: PlannedBreast,
    view: str,
    image: PhantomImage,
) -> dict[str, str]:
    """The row of one image in the table, whose mask is written."""
    plans = [lesion.plan for lesion in image.lesions]
    row = {
        "path": f"images/{name}.png",
        "image_id": name,
        "patient": f"p{breast.patient:04d}",
        "label": "|".join(plan.pathology for plan in plans) or "normal",
        "side": breast.laterality,
        "view": view,
        "density": str(breast.density),
        "kind": "|".join(plan.kind for plan in plans),
        "assessment": "|".join(str(plan.assessment) for plan in plans),
        "subtlety": "|".join(str(plan.subtlety) for plan in plans),
        "bits": str(settings.bits),
        "pixel_size_mm": repr(settings.spacing_mm),
    }
    if plans:
        union = np.any([lesion.mask for lesion in image.lesions], axis=0)
        write_png(folder / "masks" / f"{name}.png", union.astype(np.uint8) * 255)
        row["mask"] = f"masks/{name}.png"
        row["boxes"] = ";".join(_box_text(lesion) for lesion in image.lesions)
    return row


def _box_text(lesion: DrawnLesion) -> str:
    box = Box.of_mask(lesion.mask)
    if box is None:
        raise ValueError("the lesion lies outside the breast: draw it elsewhere.")
    return f"{box.row_min:g},{box.col_min:g},{box.row_max:g},{box.col_max:g}"


def _mias_class(lesion: DrawnLesion) -> str:
    plan = lesion.plan
    if plan.kind == "calcification":
        name = "CALC"
    else:
        name = "SPIC" if plan.pathology == "malignant" else "CIRC"
    return f"{name} {'M' if plan.pathology == 'malignant' else 'B'}"


def _mias_circle(lesion: DrawnLesion) -> str:
    row, col, radius = mias_circle_of(lesion)
    last_row = lesion.mask.shape[0] - 1
    return f"{col} {last_row - row} {radius}"
