"""How a picture was acquired, by its DICOM header: digitised film or a digital detector, and whose.

Models see what they were trained on; whoever applies one to another kind of picture must be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from second_look.decoding.dicom import is_dicom
from second_look.errors import DataError

FILM, DIGITAL = "film", "digital"
_TAGS = [
    "Manufacturer", "ManufacturerModelName", "ConversionType", "SOPClassUID",
    "PresentationIntentType", "Modality",
]  # fmt: skip
# Digital mammography for presentation and for processing, and breast tomosynthesis.
_DIGITAL = ("1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.13.1.3")
# Conversion types (PS3.3 C.8.6.1.1.2) of a digitised film and of a scanned document.
_SCANNED = ("DF", "SD")


@dataclass(frozen=True)
class Device:
    """What a header says of the acquisition.

    Attributes:
        kind: FILM, DIGITAL, or "" if the file does not say.
        manufacturer: Manufacturer and model, "" if the file does not say.
        raw: Whether the pixels are the detector's, "for processing", which nobody looks at.
    """

    kind: str = ""
    manufacturer: str = ""
    raw: bool = False


def read_device(path: Path) -> Device:
    """How the picture in a file was acquired; other formats than DICOM do not say.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            if not is_dicom(stream.read(132)):
                return Device()
        data = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
    except (OSError, InvalidDicomError, ValueError, KeyError, NotImplementedError) as error:
        raise DataError(f"the header cannot be read ({error}).", path) from None
    manufacturer = " ".join(
        str(data.get(name) or "").strip() for name in ("Manufacturer", "ManufacturerModelName")
    ).strip()
    kind = ""
    if str(data.get("ConversionType") or "") in _SCANNED:
        kind = FILM
    elif str(data.get("SOPClassUID") or "").startswith(_DIGITAL):
        kind = DIGITAL
    raw = str(data.get("PresentationIntentType") or "").strip().upper() == "FOR PROCESSING"
    return Device(kind, manufacturer, raw)
