"""Digital phantoms as DICOM files with the headers of digital systems, beside a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
from tqdm.auto import tqdm

from second_look.files import written_whole
from second_look.phantoms.dicom import uid_of
from second_look.phantoms.digital import SPECIAL, draw_digital
from second_look.phantoms.files import all_views, table_row
from second_look.phantoms.phantom import PhantomSettings, PlannedBreast
from second_look.sources.folder import write_folder_csv

BITS = 12
# Width of the strips that the collimator hides at top and bottom, and of the padding beside the
# breast, mm. Both are stored as white: only the header tells what they are.
_HIDDEN_MM, _PADDED_MM = 8.0, 12.0
# What a header says of the special views; a specimen is told by its shape alone.
_TAGS: dict[str, dict[str, Any]] = {
    "magnification": {"EstimatedRadiographicMagnificationFactor": 1.8},
    "spot": {"PaddleDescription": "SPOT"},
    "specimen": {},
}


def write_digital_layout(folder: Path, settings: PhantomSettings) -> None:
    """Write DICOM files to images/, masks/ and images.csv, as `sources.folder` reads them.

    One breast after the other is plain, has the rim of a paddle, a marker or, if it has no lesion,
    an implant. The first patients have a special view each besides.

    Args:
        folder: Where to; images that are there already are kept.
        settings: Their bits are ignored: digital systems give 12.
    """
    settings = replace(settings, bits=BITS)
    rows: list[dict[str, str]] = []
    with tqdm(total=settings.patients * 4, desc="drawing phantoms", unit="image") as progress:
        for number, (breast, view) in enumerate(all_views(settings)):
            choices = ("plain", "paddle", "marker") if breast.lesions else ("implant", "plain")
            rows.append(_write(folder, settings, breast, view, choices[number // 2 % len(choices)]))
            if number % 4 == 0 and breast.patient < len(SPECIAL):
                rows.append(_write(folder, settings, breast, view, SPECIAL[breast.patient]))
            progress.update()
    write_folder_csv(folder / "images.csv", rows)


def _write(
    folder: Path, settings: PhantomSettings, breast: PlannedBreast, view: str, form: str
) -> dict[str, str]:
    """Write one image and its mask; returns its row of the table."""
    name = f"p{breast.patient:04d}_{breast.laterality}_{view}"
    name += f"_{form}" if form in SPECIAL else ""
    image = draw_digital(settings, breast, view, form)
    path = folder / "images" / f"{name}.dcm"
    if not path.is_file():
        header = _header(settings, breast, view, name) | _TAGS.get(form, {})
        _save(path, name, image.pixels, header, padded=form not in SPECIAL)
    row = table_row(folder, settings, name, breast, view, image)
    return row | {"path": f"images/{name}.dcm"}


def _header(
    settings: PhantomSettings, breast: PlannedBreast, view: str, name: str
) -> dict[str, Any]:
    left, oblique = breast.laterality == "L", view == "MLO"
    hidden = max(1, round(_HIDDEN_MM / settings.spacing_mm))
    return {
        "PatientID": f"p{breast.patient:04d}",
        "ImageLaterality": breast.laterality,
        "ViewPosition": view,
        "PatientOrientation": ["A" if left else "P", "F" * oblique + ("R" if left else "L")],
        "PresentationIntentType": "FOR PRESENTATION",
        "DetectorType": "DIRECT",
        "ImagerPixelSpacing": [settings.spacing_mm] * 2,
        "CollimatorShape": "RECTANGULAR",
        # Rows and columns count from 1; these are the first and the last hidden ones.
        "CollimatorUpperHorizontalEdge": hidden,
        "CollimatorLowerHorizontalEdge": settings.rows - hidden + 1,
        "CollimatorLeftVerticalEdge": 0,
        "CollimatorRightVerticalEdge": settings.cols + 1,
        "PixelPaddingValue": (1 << BITS) - 1,
        "StudyInstanceUID": uid_of("digital", breast.patient),
        "SeriesInstanceUID": uid_of("digital", name),
    }


def _save(
    path: Path,
    name: str,
    pixels: npt.NDArray[np.unsignedinteger],
    header: dict[str, Any],
    *,
    padded: bool,
) -> None:
    """Write a file whose hidden rows and padded columns are white."""
    white, hidden = (1 << BITS) - 1, int(header["CollimatorUpperHorizontalEdge"])
    # Only padding has the padding value.
    stored = np.minimum(pixels, white - 1).astype("<u2")
    stored[:hidden] = stored[len(stored) - hidden :] = white - 1
    if padded:
        width = max(1, round(_PADDED_MM / header["ImagerPixelSpacing"][0]))
        side = slice(-width, None) if header["ImageLaterality"] == "L" else slice(width)
        stored[:, side] = white
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    data.SOPInstanceUID = uid_of("digital", name, "image")
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.Modality, data.PixelRepresentation = "MG", 0
    data.Rows, data.Columns = stored.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, BITS, BITS - 1
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    for tag, value in header.items():
        setattr(data, tag, value)
    data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW"
    with written_whole(path) as draft:
        data.save_as(draft, enforce_file_format=True)
