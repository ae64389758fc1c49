"""Phantoms in the form of raw CBIS-DDSM: DICOM files, the four CSVs, and its known faults.

The CSVs name the files of the classic layout, whatever lies on disk, as the real ones do. Of every
lesion there is a crop (16 bit, small) and a mask (8 bit, 0 and 255, as large as the mammogram), by
default in one series of two files, in no fixed order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from second_look.errors import DataError
from second_look.files import write_bytes, write_text
from second_look.geometry import Box
from second_look.phantoms.cbis_plan import FAULTS, PlannedView, plan_views
from second_look.phantoms.dicom import (
    CROP,
    FULL,
    LAYOUTS,
    MASK,
    CbisFile,
    classic_path,
    path_in_layout,
    uid_of,
    write_dicom,
)
from second_look.phantoms.lesions import Mask
from second_look.phantoms.phantom import (
    PhantomImage,
    PhantomSettings,
    PlannedBreast,
    draw_image,
)

__all__ = ["COLUMNS", "FAULTS", "LAYOUTS", "Planted", "csv_name", "write_cbis_layout"]

_BEFORE = ("left or right breast", "image view", "abnormality id", "abnormality type")
_PATHS = ("image file path", "cropped image file path", "ROI mask file path")
_AFTER = ("assessment", "pathology", "subtlety", *_PATHS)
# The two kinds differ in more than the names of the findings.
COLUMNS = {
    "mass": ("patient_id", "breast_density", *_BEFORE, "mass shape", "mass margins", *_AFTER),
    "calcification": (
        *("patient_id", "breast density", *_BEFORE, "calc type", "calc distribution", *_AFTER),
    ),
}
_FINDINGS = {
    ("mass", "malignant"): ("IRREGULAR", "SPICULATED"),
    ("mass", "benign"): ("OVAL", "CIRCUMSCRIBED"),
    ("mass", "benign_without_callback"): ("LYMPH_NODE", "CIRCUMSCRIBED"),
    ("calcification", "malignant"): ("PLEOMORPHIC", "CLUSTERED"),
    ("calcification", "benign"): ("PUNCTATE", "CLUSTERED"),
    ("calcification", "benign_without_callback"): ("COARSE", "N/A"),
}
# Dates of the real studies: mammogram, lesion.
_STUDY_DATES = {
    ("mass", "train"): ("20160720", "20160721"),
    ("mass", "test"): ("20161004", "20161004"),
    ("calcification", "train"): ("20160807", "20170906"),
    ("calcification", "test"): ("20170829", "20170829"),
}
# Sizes (rows, cols) of P_00145_LEFT_CC and P_00353_LEFT_CC: of the mask, and of the mammogram.
_ODD_SIZES = {
    "CC": ((4386, 1789), (5041, 2056)),
    "MLO": ((4688, 3088), (4624, 3056)),
}


@dataclass(frozen=True)
class Planted:
    """A lesion as it was planted, even where a fault of the files or of the CSV contradicts it.

    Attributes:
        image_key: <patient>_<LEFT|RIGHT>_<CC|MLO>; in both CSVs for the same view.
        kind, pathology, split: As in the catalogue.
        abnormality_id: Of its CSV.
        area_px: Of the mask, px of the mammogram.
        box: Around the mask, px of the mammogram.
        rows, cols: Size of the mammogram, px.
        fault: One of FAULTS, or "".
        breast, view, lesion: `draw_image(settings, breast, view).lesions[lesion].mask` is the mask.
        image_series, crop_series, mask_series: SeriesInstanceUIDs.
    """

    image_key: str
    kind: str
    abnormality_id: int
    pathology: str
    split: str
    area_px: int
    box: Box
    rows: int
    cols: int
    fault: str
    breast: PlannedBreast
    view: str
    lesion: int
    image_series: str
    crop_series: str
    mask_series: str


def write_cbis_layout(
    folder: Path,
    settings: PhantomSettings,
    *,
    layout: str = "classic",
    faults: Sequence[str] = (),
) -> list[Planted]:
    """Write the four CSVs and below them the DICOM files.

    Women without a lesion are left out, for CBIS-DDSM has none; so is the second lesion of a
    breast, unless a fault asks for several. Every fifth woman of a kind is in the test set.

    Args:
        folder: Where to.
        settings: Their bits are ignored: mammograms have 16.
        layout: One of LAYOUTS; only the places of the files depend on it.
        faults: Of FAULTS, each in another breast.

    Returns:
        What was planted, a record a lesion.

    Raises:
        DataError: The layout or a fault is unknown, or there are fewer breasts than faults.
        OutputError: The folder cannot be written.
    """
    settings = replace(settings, bits=16)
    views = plan_views(settings, faults)
    rows: dict[tuple[str, str], list[dict[str, str]]] = {key: [] for key in _STUDY_DATES}
    planted: list[Planted] = []
    for view in tqdm(views, desc="drawing phantoms", unit="image"):
        image = draw_image(settings, view.breast, view.view)
        full = _full_file(settings, view)
        _write_full(folder, layout, view, full, image)
        for number, index in enumerate(view.lesions, start=1):
            crop, mask = _roi_files(settings, view, number)
            if view.fault != "missing_series":
                drawn = image.lesions[index].mask
                cut = _cut(_box_of(drawn), drawn.shape)
                stored = _stored_mask(settings, views, view, drawn, cut)
                write_dicom(folder / path_in_layout(crop, layout), crop, image.pixels[cut])
                write_dicom(folder / path_in_layout(mask, layout), mask, stored)
            if view.fault != "image_without_row":
                cells = _csv_row(view, number, index, (full, crop, mask))
                rows[view.kind, view.split].append(cells)
            planted.append(_planted(view, number, index, image, (full, crop, mask)))
    for (kind, split), records in rows.items():
        _write_csv(folder / csv_name(kind, split), COLUMNS[kind], records)
    return planted


def csv_name(kind: str, split: str) -> str:
    """Such as mass_case_description_train_set.csv."""
    return f"{'mass' if kind == 'mass' else 'calc'}_case_description_{split}_set.csv"


def _planted(
    view: PlannedView,
    number: int,
    index: int,
    image: PhantomImage,
    files: tuple[CbisFile, CbisFile, CbisFile],
) -> Planted:
    mask = image.lesions[index].mask
    full, crop, roi = files
    return Planted(
        image_key=view.key,
        kind=view.kind,
        abnormality_id=number,
        pathology=view.breast.lesions[index].pathology,
        split=view.split,
        area_px=int(mask.sum()),
        box=_box_of(mask),
        rows=mask.shape[0],
        cols=mask.shape[1],
        fault=view.fault,
        breast=view.breast,
        view=view.view,
        lesion=index,
        image_series=full.series_uid,
        crop_series=crop.series_uid,
        mask_series=roi.series_uid,
    )


def _full_file(settings: PhantomSettings, view: PlannedView) -> CbisFile:
    date = _STUDY_DATES[view.kind, view.split][0]
    file = _file(settings, view.subject, "mammogram", FULL, date)
    if view.fault == "no_description":
        odd = f"{view.key}.dcm"
        return replace(
            file,
            description="",
            patient_id=odd,
            listed_description="",
            listed_patient=odd,
            study_date="",
            body_part=f"{view.side.title()} Breast",
        )
    return file


def _roi_files(settings: PhantomSettings, view: PlannedView, number: int) -> tuple[CbisFile, ...]:
    """Crop and mask of the lesion with this abnormality id."""
    subject = f"{view.subject}_{number}"
    date = _STUDY_DATES[view.kind, view.split][1]
    if view.fault == "both_000000":
        crop = _file(settings, subject, "crop", CROP, date)
        return crop, _file(settings, subject, "mask", MASK, date)
    # The real CSVs name the crop of a mass first, and the mask of calcifications.
    order = (0, 1) if view.kind == "mass" else (1, 0)
    crop, mask = (
        replace(
            _file(settings, subject, "lesion", description, date, index), listed_description=MASK
        )
        for description, index in zip((CROP, MASK), order, strict=True)
    )
    if view.fault == "wrong_description":
        return replace(crop, description=MASK), replace(mask, description=CROP)
    if view.fault == "other_patient_id":
        odd = f"{view.key}_{number}.dcm"
        body_part = f"{view.side.title()} Breast"
        return crop, replace(mask, description="", patient_id=odd, body_part=body_part)
    return crop, mask


def _file(
    settings: PhantomSettings,
    subject: str,
    series: str,
    description: str,
    date: str,
    number: int = 0,
) -> CbisFile:
    return CbisFile(
        subject=subject,
        study_uid=uid_of(settings, subject, series, "study"),
        series_uid=uid_of(settings, subject, series, "series"),
        sop_uid=uid_of(settings, subject, series, number),
        number=number,
        description=description,
        patient_id=subject,
        listed_description=description,
        listed_patient=subject,
        study_date=date,
    )


def _write_full(
    folder: Path, layout: str, view: PlannedView, file: CbisFile, image: PhantomImage
) -> None:
    if view.fault == "row_without_image":
        return
    path = folder / path_in_layout(file, layout)
    write_dicom(path, file, image.pixels)
    if view.fault == "duplicate_sop":
        second = replace(file, number=file.number + 1)
        write_bytes(folder / path_in_layout(second, layout), path.read_bytes())
    if view.fault == "truncated_dicom":
        content = path.read_bytes()
        write_bytes(path, content[: len(content) // 2])


def _stored_mask(
    settings: PhantomSettings,
    views: Sequence[PlannedView],
    view: PlannedView,
    mask: Mask,
    cut: tuple[slice, slice],
) -> npt.NDArray[np.uint8]:
    """The pixels of the mask file, 0 and 255: the mask, unless a fault says otherwise."""
    if view.fault == "mask_and_crop_small":
        mask = mask[cut]
    elif view.fault == "mask_of_another_image":
        mask = _mask_of_another(settings, views, view)
    elif view.fault == "mask_other_size":
        odd, usual = _ODD_SIZES[view.view]
        mask = _nearest(
            mask,
            round(mask.shape[0] * odd[0] / usual[0]),
            round(mask.shape[1] * odd[1] / usual[1]),
        )
    return mask.astype(np.uint8) * 255


def _mask_of_another(
    settings: PhantomSettings, views: Sequence[PlannedView], view: PlannedView
) -> Mask:
    """The first lesion of another breast, of the other side if there is one."""
    candidates = [candidate for candidate in views if candidate.patient_id != view.patient_id]
    if not candidates:
        raise DataError(
            "the fault mask_of_another_image needs a second breast with a lesion.",
            location="phantoms in the form of CBIS-DDSM",
            remedy="Draw more patients.",
        )
    donor = next(
        (candidate for candidate in candidates if candidate.side != view.side), candidates[0]
    )
    return draw_image(settings, donor.breast, donor.view).lesions[donor.lesions[0]].mask


def _nearest(mask: Mask, rows: int, cols: int) -> Mask:
    """The mask resampled to another size, each pixel from the nearest one."""
    row_index = ((np.arange(rows) + 0.5) * mask.shape[0] / rows).astype(int)
    col_index = ((np.arange(cols) + 0.5) * mask.shape[1] / cols).astype(int)
    return mask[np.ix_(row_index, col_index)]


def _box_of(mask: Mask) -> Box:
    box = Box.of_mask(mask)
    if box is None:
        raise ValueError("the lesion lies outside the breast: draw it elsewhere.")
    return box


def _cut(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """What the crop shows: the box and a tenth of its size around it."""
    margin = (round(box.height / 10), round(box.width / 10))
    low = (int(box.row_min) - margin[0], int(box.col_min) - margin[1])
    high = (int(box.row_max) + margin[0], int(box.col_max) + margin[1])
    row_slice, col_slice = (
        slice(max(0, start), min(stop, length))
        for start, stop, length in zip(low, high, shape, strict=True)
    )
    return row_slice, col_slice


def _csv_row(
    view: PlannedView, number: int, index: int, files: tuple[CbisFile, CbisFile, CbisFile]
) -> dict[str, str]:
    plan = view.breast.lesions[index]
    columns = COLUMNS[view.kind]
    full, crop, mask = (classic_path(file).as_posix() for file in files)
    if view.fault == "swapped_columns":
        crop, mask = mask, crop
    # The real CSVs end the name of each second file of a series with a newline.
    crop, mask = (crop, mask + "\n") if view.kind == "mass" else (crop + "\n", mask)
    unknown = view.fault == "unknown_pathology"
    cells = (
        view.patient_id,
        str(view.breast.density),
        view.side,
        view.view,
        str(number),
        view.kind,
        *_FINDINGS[view.kind, plan.pathology],
        str(plan.assessment),
        "UNPROVEN" if unknown else plan.pathology.upper(),
        str(plan.subtlety),
        full,
        crop,
        mask,
    )
    return dict(zip(columns, cells, strict=True))


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
