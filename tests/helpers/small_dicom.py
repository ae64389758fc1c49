"""A writer of small DICOM files in every transfer syntax, whole or with a fault."""

from __future__ import annotations

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset

IMPLICIT, EXPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4."


def file(path, pixels, *, syntax=EXPLICIT, content=None, bits=None, without=(), **tags):
    """Write a file; `content` replaces the bytes of the pixels, `without` leaves tags out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = syntax
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Modality = "MG"
    frames = pixels.shape[0] if pixels.ndim == 3 else 1
    data.Rows, data.Columns = pixels.shape[-2:]
    if frames > 1:
        data.NumberOfFrames = frames
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = 8 * pixels.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    order = ">" if syntax == BIG else "<"
    plain = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data.PixelData = plain + b"\0" * (len(plain) % 2) if content is None else content
    data["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"
    if syntax.startswith((JPEG, RLE)):
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    for name, value in tags.items():
        setattr(data, name, value)
    for name in without:
        del data[name]
    form = {"implicit_vr": syntax == IMPLICIT, "little_endian": syntax != BIG}
    pydicom.dcmwrite(path, data, enforce_file_format=True, **form)
    return path
