"""Small sets in the form of CBIS-DDSM: its four CSVs and DICOM files, classic layout."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

NAMES = {
    (kind, split): f"{kind}_case_description_{split}_set.csv"
    for kind in ("mass", "calc")
    for split in ("train", "test")
}
IMAGE = (60, 40)


def picture(shape, bits, seed=0):
    """A grey picture with many values, as mammograms and crops are."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**bits, shape).astype(f"<u{bits // 8}")


def drawn(shape, box=(10, 20, 5, 15), value=255):
    """A mask, 0 and one other value."""
    mask = np.zeros(shape, dtype=np.uint8)
    mask[box[0] : box[1], box[2] : box[3]] = value
    return mask


def write_dicom(path, series, sop, pixels, patient="anyone", description=""):
    """A file in CBIS-DDSM's form: implicit little endian, secondary capture, MONOCHROME2."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", sop
    data.SeriesInstanceUID, data.PatientID, data.SeriesDescription = series, patient, description
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    bits = pixels.dtype.itemsize * 8
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation, data.PixelData = 0, pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


@dataclass
class Roi:
    """One row of a CSV with the files that belong to it; a series number is drawn for each."""

    patient: str = "P_00001"
    side: str = "LEFT"
    view: str = "CC"
    number: str = "1"
    kind: str = "mass"
    split: str = "train"
    pathology: str = "MALIGNANT"
    density: str = "3"
    assessment: str = "4"
    subtlety: str = "5"
    shape: tuple[int, int] = IMAGE
    image: str = ""  # series
    crop: str = ""
    mask: str = ""
    files: tuple[np.ndarray, ...] | None = None  # of the ROI series; None: a crop and a mask

    def __post_init__(self):
        self.crop = self.crop or uid()
        self.mask = self.mask or self.crop
        self.image = self.image or uid()
        if self.files is None:
            self.files = (picture((9, 8), 16), drawn(self.shape))

    @property
    def key(self):
        return f"{self.patient}_{self.side}_{self.view}"

    def row(self):
        """The CSV's cells; crop and mask always point at 000000.dcm and 000001.dcm."""
        subject = f"{self.kind.title()}-{self.split}_{self.key}"
        crop, mask = (f"{subject}_{self.number}/1.2.1/{s}" for s in (self.crop, self.mask))
        kind = {"mass": "mass", "calc": "calcification"}[self.kind]
        head = [self.patient, self.density, self.side, self.view, self.number, kind]
        body = ["OVAL", "N/A", self.assessment, self.pathology, self.subtlety]
        paths = [f"{subject}/1.2.1/{self.image}/000000.dcm", f"{crop}/000000.dcm"]
        return [*head, *body, *paths, f"{mask}/000001.dcm\n"]


_count = itertools.count(1)


def uid():
    return f"1.3.6.1.4.1.9590.100.1.2.{next(_count)}"


def csv_text(kind, rois, newline="\r\n"):
    columns_of_kind = {
        "mass": ("mass shape", "mass margins"),
        "calc": ("calc type", "calc distribution"),
    }
    names = ["patient_id", "breast_density" if kind == "mass" else "breast density"]
    names += ["left or right breast", "image view", "abnormality id", "abnormality type"]
    names += [*columns_of_kind[kind], "assessment", "pathology", "subtlety"]
    names += ["image file path", "cropped image file path", "ROI mask file path"]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator=newline)
    writer.writerows([names, *(roi.row() for roi in rois)])
    return stream.getvalue()


def write_csvs(root, rois):
    root.mkdir(parents=True, exist_ok=True)
    for (kind, split), name in NAMES.items():
        rows = [roi for roi in rois if (roi.kind, roi.split) == (kind, split)]
        (root / name).write_bytes(csv_text(kind, rows).encode())


def write_set(root, *rois):
    """CSVs and files, in the classic layout; an image that several rows name is written once."""
    write_csvs(root, rois)
    for roi in rois:
        subject = root / f"{roi.kind.title()}-Training_{roi.key}"
        if not (subject / roi.image).exists():
            pixels = picture(roi.shape, 16, seed=next(_count))
            write_dicom(subject / roi.image / "000000.dcm", roi.image, uid(), pixels, subject.name)
        series = [roi.crop, roi.mask] if roi.crop != roi.mask else [roi.crop] * 9
        for index, pixels in enumerate(roi.files):
            folder = subject.with_name(f"{subject.name}_{roi.number}") / series[index]
            path = folder / f"{index if roi.crop == roi.mask else 0:06d}.dcm"
            write_dicom(path, series[index], uid(), pixels, f"{subject.name}_{roi.number}")
    return root
