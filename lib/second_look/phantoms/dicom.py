"""DICOM files like those of CBIS-DDSM, and where each kind of download puts them.

The real files are Secondary Capture images in Implicit VR Little Endian. Their PatientID names a
view (Mass-Training_P_00001_LEFT_CC) or a lesion in it (..._1), never a woman.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from second_look.errors import DataError
from second_look.files import written_whole

# classic: as the CSVs write it. nbia: NBIA Data Retriever; old: its older form. idc: idc-index.
LAYOUTS = ("classic", "nbia", "old", "idc")
FULL, CROP, MASK = "full mammogram images", "cropped images", "ROI mask images"


@dataclass(frozen=True)
class CbisFile:
    """Everything of a file but its pixels.

    Attributes:
        subject: The view, or the lesion in it, as folder names and CSVs call it.
        study_uid, series_uid, sop_uid: Of the DICOM header; the first two stand in the CSVs.
        number: Place in its series, from 0.
        description: SeriesDescription in the header; "" leaves it out.
        patient_id: PatientID in the header.
        listed_description, listed_patient: The same of the whole series, as the archives list it
            and name its folders after it. The files of one series need not agree.
        study_date: YYYYMMDD, or "".
        body_part: BodyPartExamined.
    """

    subject: str
    study_uid: str
    series_uid: str
    sop_uid: str
    number: int
    description: str
    patient_id: str
    listed_description: str
    listed_patient: str
    study_date: str
    body_part: str = "BREAST"


def uid_of(*words: object) -> str:
    """A DICOM UID that is always the same for the same words."""
    return str(generate_uid(entropy_srcs=[repr(words)]))


def classic_path(file: CbisFile) -> Path:
    """Where the CSVs say that a file is: <Subject>/<StudyUID>/<SeriesUID>/00000N.dcm."""
    return Path(file.subject, file.study_uid, file.series_uid, f"{file.number:06d}.dcm")


def path_in_layout(file: CbisFile, layout: str) -> Path:
    """Where a file lies below the folder of the data set.

    Raises:
        DataError: The layout is none of LAYOUTS.
    """
    if layout == "classic":
        return classic_path(file)
    study, series = file.study_uid[-5:], file.series_uid[-5:]
    year, month, day = file.study_date[:4], file.study_date[4:6], file.study_date[6:]
    # What a header lacks is written NA by the new retriever and left out by the old one.
    if layout == "nbia":
        date = f"{month}-{day}-{year}" if year else "NA"
        names = (f"{date}-DDSM-NA-{study}", f"1.000000-{file.listed_description or 'NA'}-{series}")
        return Path("CBIS-DDSM", file.subject, *names, f"1-{file.number + 1}.dcm")
    if layout == "old":
        date = f"{month}-{day}-{year}-" if year else ""
        names = (
            f"{date}DDSM-{study}",
            "-".join(filter(None, ("1", file.listed_description, series))),
        )
        return Path("CBIS-DDSM", file.subject, *names, f"{file.number:06d}.dcm")
    if layout == "idc":
        # PatientID here is the header's, and the file names say nothing.
        name = uuid.uuid5(uuid.NAMESPACE_OID, f"{file.series_uid}.{file.number}")
        folders = (file.listed_patient, file.study_uid, f"MG_{file.series_uid}")
        return Path("cbis_ddsm", *folders, f"{name}.dcm")
    raise DataError(
        f"unknown layout {layout!r}.",
        location="phantoms in the form of CBIS-DDSM",
        remedy=f"Choose one of {', '.join(LAYOUTS)}.",
    )


def write_dicom(path: Path, file: CbisFile, pixels: npt.NDArray[np.unsignedinteger]) -> None:
    """Write one image.

    Args:
        path: Where to.
        file: Its header.
        pixels: (rows, cols), uint8 or uint16; the dtype sets the bits a pixel.

    Raises:
        DataError: The pixels are neither.
        OutputError: The folder cannot be written.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 2:
        raise DataError(
            f"expected (rows, cols) of uint8 or uint16. Got {pixels.shape} of {pixels.dtype}.",
            location=path,
            remedy="Convert the picture first.",
        )
    data = _header(file)
    bits = 8 * pixels.dtype.itemsize
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    content = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()
    data.PixelData = content
    data["PixelData"].VR = "OW"  # in Implicit VR, whatever the depth (PS3.5, 8.1.2)
    with written_whole(path) as draft:
        data.save_as(draft, enforce_file_format=True)


def _header(file: CbisFile) -> Dataset:
    """All that the IOD of Secondary Capture asks for (PS3.3, A.8.1), less the pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = file.sop_uid
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, file.sop_uid
    data.StudyInstanceUID, data.SeriesInstanceUID = file.study_uid, file.series_uid
    data.PatientID = data.PatientName = file.patient_id
    data.PatientBirthDate = data.PatientSex = ""
    data.StudyDate, data.StudyTime, data.StudyID = file.study_date, "", "DDSM"
    data.AccessionNumber = data.ReferringPhysicianName = ""
    data.Modality, data.ConversionType = "MG", "DF"  # digitised film
    data.SeriesNumber, data.InstanceNumber = 1, file.number + 1
    if file.description:
        data.SeriesDescription = file.description
    # Not by attribute: some real files say "Left Breast", which the code string CS forbids.
    data["BodyPartExamined"] = DataElement(
        "BodyPartExamined", "CS", file.body_part, validation_mode=IGNORE
    )
    left, oblique = "_LEFT_" in file.subject, "_MLO" in file.subject
    data.Laterality = "L" if left else "R"
    # Away from the chest wall along a row; along a column towards the middle or the feet.
    data.PatientOrientation = ["A" if left else "P", "F" * oblique + ("R" if left else "L")]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.PixelRepresentation = 0
    return data
