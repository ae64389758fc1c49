"""What a DICOM header says of the acquisition: pixel size, side, view, density, exposed field."""

from __future__ import annotations

import math
from typing import Any

from pydicom.dataset import Dataset

from second_look.geometry import Box

Polygon = tuple[tuple[float, float], ...]

# Codes of a view and of the composition of the breast, SNOMED CT (context groups 4014, 6000) and
# the older SNOMED RT.
_VIEWS = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399260004": "ML",
    "R-10224": "ML",
    "399352003": "LM",
    "R-10228": "LM",
}
_DENSITIES = {
    "129716005": "1",
    "F-01711": "1",
    "129717001": "2",
    "F-01712": "2",
    "129718006": "3",
    "F-01713": "3",
    "129719003": "4",
    "F-01714": "4",
}


def pixel_spacing(data: Dataset) -> tuple[float | None, float]:
    """Height of a pixel in the plane of the breast, mm, and its width as a share of the height.

    Of several tags the first counts whose values are positive.
    """
    try:
        magnification = float(data.get("EstimatedRadiographicMagnificationFactor") or 1)
    except (TypeError, ValueError):
        magnification = math.nan
    for spacing, enlarged in (
        (data.get("PixelSpacing"), 1.0),
        (_shared(data, "PixelMeasuresSequence", "PixelSpacing"), 1.0),
        # At the detector: the breast is closer to the tube, and smaller by this factor.
        (data.get("ImagerPixelSpacing"), magnification),
        (data.get("NominalScannedPixelSpacing"), 1.0),
    ):
        try:
            height, width = (float(length) / enlarged for length in spacing or ())
        except (TypeError, ValueError, ZeroDivisionError):
            continue
        if 0 < height < math.inf and 0 < width < math.inf:
            return height, width / height
    return None, 1.0


def side_of(data: Dataset) -> str:
    """L or R; "" if the header does not say."""
    frame = _shared(data, "FrameAnatomySequence", "FrameLaterality")
    side = data.get("ImageLaterality") or data.get("Laterality") or frame or ""
    return str(side) if str(side) in ("L", "R") else ""


def view_of(data: Dataset) -> str:
    """Such as CC or MLO; "" if the header does not say."""
    name = str(data.get("ViewPosition") or "").strip().upper()
    return name or next((_VIEWS[code] for code in _codes(data, "ViewCodeSequence", _VIEWS)), "")


def breast_density(data: Dataset) -> str:
    """From the acquisition context, the only sequence in which DICOM gives it for an image."""
    for item in data.get("AcquisitionContextSequence") or ():
        for code in _codes(item, "ConceptCodeSequence", _DENSITIES):
            return _DENSITIES[code]
    return ""


def exposed_polygons(data: Dataset) -> tuple[Polygon, ...]:
    """The outlines that polygonal collimators and shutters leave free, (row, col) of corners, px.

    A list of fewer than three corners, or of an odd length, is a mistake and is passed over.
    """
    polygons = []
    for device in ("Collimator", "Shutter"):
        if "POLYGONAL" not in str(data.get(f"{device}Shape") or ""):
            continue
        try:
            numbers = [float(n) for n in data.get(f"VerticesOfThePolygonal{device}") or ()]
        except (TypeError, ValueError):
            continue
        if len(numbers) >= 6 and len(numbers) % 2 == 0:
            # Rows and columns are numbered from 1.
            corners = zip(numbers[::2], numbers[1::2], strict=True)
            polygons.append(tuple((row - 1, col - 1) for row, col in corners))
    return tuple(polygons)


def exposed_field(data: Dataset) -> Box | None:
    """What rectangular collimators and shutters leave free, px; None if the header does not say.

    PS3.3 C.8.7.3 and C.7.6.11 number rows and columns from 1 and give the first and the last that
    are hidden. A field of no area is a mistake and is passed over.
    """
    rows, cols = float(data.Rows), float(data.Columns)
    field = picture = Box(0.0, 0.0, rows, cols)
    for device in ("Collimator", "Shutter"):
        if "RECTANGULAR" not in str(data.get(f"{device}Shape") or ""):
            continue
        names = ("UpperHorizontal", "LeftVertical", "LowerHorizontal", "RightVertical")
        try:
            top, left, bottom, right = (float(data.get(f"{device}{name}Edge")) for name in names)
        except (TypeError, ValueError):
            continue
        free = field.intersection(Box(top, left, bottom - 1, right - 1))
        field = free if free.height > 0 and free.width > 0 else field
    return None if field == picture else field


def _codes(data: Dataset, sequence: str, meanings: dict[str, str]) -> list[str]:
    """The codes of a sequence that have a meaning here."""
    items = data.get(sequence) or ()
    return [code for item in items if (code := str(item.get("CodeValue", ""))) in meanings]


def _shared(data: Dataset, sequence: str, name: str) -> Any:  # noqa: ANN401
    """A value that all frames share; None if there is none."""
    for group in data.get("SharedFunctionalGroupsSequence") or ():
        for item in group.get(sequence) or ():
            return item.get(name)
    return None
