"""DICOM files to stored values: every transfer syntax that a maintained library decodes.

A header is trusted only as far as the file can hold what it claims. The values come out as stored;
`greyscale` turns them into grey levels.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from second_look.decoding import jpeg, ljpeg
from second_look.decoding.acquisition import (
    Polygon,
    breast_density,
    exposed_field,
    exposed_polygons,
    pixel_spacing,
    side_of,
    view_of,
)
from second_look.decoding.greyscale import (
    Values,
    add_functional_groups,
    grey_levels,
    is_padding,
)
from second_look.decoding.special_views import special_view
from second_look.decoding.wholeness import check_codestream, check_run_lengths, frame_of
from second_look.errors import DataError
from second_look.files import open_bounded
from second_look.geometry import Box

# More than any film scanner writes (CBIS-DDSM: 7111 x 5431); a header that claims more is broken.
MAX_PIXELS = 200_000_000
_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", _BIG_ENDIAN, _DEFLATED)
_RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."


def _whole_jpeg(frame: bytes) -> Any:  # noqa: ANN401
    jpeg.check_whole(frame, imagecodecs.jpeg8_decode)
    return imagecodecs.jpeg8_decode(frame)


def _whole_jpeg2k(frame: bytes) -> Any:  # noqa: ANN401
    check_codestream(frame)
    return imagecodecs.jpeg2k_decode(frame)


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    f"{_JPEG}{number}": decode
    for decode, numbers in (
        (_whole_jpeg, ("50", "51")),
        (lambda frame: ljpeg.decode(frame, either_order=False), ("57", "70")),
        (imagecodecs.jpegls_decode, ("80", "81")),
        (_whole_jpeg2k, ("90", "91", "201", "202", "203")),
    )
    for number in numbers
}
# An item of compressed pixels, and the end of all items.
_ITEM, _ITEM_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
# What to do about a broken file.
REPLACE = "Get the file again, or take it out of the data set."


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about its picture without being decoded.

    Attributes:
        rows, cols: Size in px, as stored.
        bits: Significant bits a pixel, 1 to 16.
        pixel_spacing_mm: Height of a pixel, None if the file does not say.
        side: L or R; "" if the file does not say, as for the next two.
        view: Such as CC or MLO.
        density: ACR density of the breast, 1 to 4.
        frames: Pictures in the file; the middle one is read.
        special_view: What makes it no whole breast in a standard view; "" if nothing does.
        pixel_aspect: Width of a pixel as a share of its height.
        bits_stated: Whether the file says how many bits are used; PNG and TIFF of 16 bits do not.
        photometric_stated: Whether it says that its lowest level is white, or black; of the formats
            other than DICOM only a TIFF can, whose lowest level is white.
        white_is_lowest: Whether its pixels are read as stored, the lowest level white: those of a
            TIFF that says so but not which level is black, since of 16 bits it may use 12.
        field: What the collimator leaves free, px as stored; None if the file does not say.
        polygons: The same of polygonal ones, (row, col) of the corners.
        unprocessed: Levels of the detector that are not meant to be looked at.
    """

    rows: int
    cols: int
    bits: int
    pixel_spacing_mm: float | None = None
    side: str = ""
    view: str = ""
    density: str = ""
    frames: int = 1
    special_view: str = ""
    pixel_aspect: float = 1.0
    bits_stated: bool = True
    photometric_stated: bool = False
    white_is_lowest: bool = False
    field: Box | None = None
    polygons: tuple[Polygon, ...] = ()
    unprocessed: bool = False

    @property
    def frame(self) -> int:
        """Which of the frames is read, from 0: the middle one."""
        return (self.frames - 1) // 2


def is_dicom(start: bytes) -> bool:
    """Whether a file that begins so is DICOM; without preamble it begins with group 2 or 8."""
    bare = start[:2] in (b"\2\0", b"\x08\0") and start[3:4] == b"\0"
    return start[128:132] == b"DICM" or bare


def read_header(path: Path) -> Header:
    """What the header says; the pixels are not read.

    Raises:
        DataError: A required tag is missing. pydicom raises many other errors for broken files.
    """
    return _header(_read(path, pixels=False))


def read_grey(path: Path, *, for_display: bool) -> npt.NDArray[Any]:
    """Decode a picture, the middle one if there are several.

    Args:
        path: The file.
        for_display: Apply what the header says about display, and make padding black; else keep
            the stored values, with bright tissue bright.

    Returns:
        Unsigned (rows, cols); (rows, cols, 3) of a picture in colour.

    Raises:
        DataError: The pixels are missing, too few, too many, of another size than the header says,
            in palette colours or of a transfer syntax that cannot be decoded.
    """
    data = _read(path, pixels=True)
    header = _header(data)
    values = _stored(data, header)
    if values.ndim == 3:
        return values
    add_functional_groups(data, header.frame)
    levels = grey_levels(values, data, for_display=for_display)
    padding = is_padding(values, data) if for_display else None
    # Padding has no brightness of its own: it may be stored as white.
    return levels if padding is None else np.where(padding, levels.dtype.type(0), levels)


def _read(path: Path, *, pixels: bool) -> FileDataset:
    with open_bounded(path) as stream, _quiet():
        _check_inflated(stream.read(1024), path)
        stream.seek(0)
        try:
            return pydicom.dcmread(stream, stop_before_pixels=not pixels, force=True)
        except (EOFError, TypeError):
            # The end is missing; pydicom's error about it fails on a path that is no text.
            stream.seek(0)
            content = BytesIO(stream.read() + _ITEM_END)
    try:
        with _quiet():
            return pydicom.dcmread(content, stop_before_pixels=not pixels, force=True)
    except (EOFError, TypeError):
        raise DataError("the file is truncated.", path, REPLACE) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Pydicom warns about every odd value; those that matter are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_inflated(start: bytes, path: Path) -> None:
    """Refuse a deflated file that would fill the memory."""
    if _DEFLATED.encode() not in start:
        return
    # The group length, first of the file's own tags, leads to where the deflated part begins.
    meta = 132 if start[128:132] == b"DICM" else 0
    begin = meta + 12 + int.from_bytes(start[meta + 8 : meta + 12], "little")
    limit = 2 * MAX_PIXELS + 1_000_000
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as stream:
        stream.seek(begin)
        unpacked, piece = 0, stream.read(1 << 16)
        while piece and not engine.eof:
            unpacked += len(engine.decompress(piece, 1 << 24))
            piece = engine.unconsumed_tail or stream.read(1 << 16)
            if unpacked > limit:
                raise DataError(f"it unpacks to more than {limit} bytes.", path, REPLACE)


def _header(data: Dataset) -> Header:
    missing = [name for name in _NEEDED if data.get(name) in (None, "")]
    if missing:
        raise DataError(f"the header lacks {', '.join(missing)}.", remedy=REPLACE)
    frames = int(data.get("NumberOfFrames") or 1)
    if frames < 1:
        raise DataError(f"expected at least one frame. Got {frames}.", remedy=REPLACE)
    rows, cols, bits = int(data.Rows), int(data.Columns), int(data.BitsStored)
    if not 1 <= bits <= 16:
        raise DataError(f"expected 1 to 16 bits a pixel. Got {bits}.", remedy=REPLACE)
    height_mm, aspect = pixel_spacing(data)
    return Header(
        rows,
        cols,
        bits,
        height_mm,
        side_of(data),
        view_of(data),
        breast_density(data),
        frames,
        special_view(data),
        aspect,
        photometric_stated=True,
        field=exposed_field(data),
        polygons=exposed_polygons(data),
        unprocessed=str(data.get("PresentationIntentType") or "") == "FOR PROCESSING",
    )


def _stored(data: FileDataset, header: Header) -> Values:
    """The values of one frame, (rows, cols), signed if the header says so."""
    kind, samples = str(data.PhotometricInterpretation), int(data.get("SamplesPerPixel") or 1)
    if samples == 1 and kind not in _GREY:
        raise DataError(
            f"expected the photometric interpretation {' or '.join(_GREY)}. Got {kind!r}.",
            remedy="Convert the picture to grey.",
        )
    if "PixelData" not in data:
        raise DataError("there are no pixels in it.", remedy=REPLACE)
    if not 0 < header.rows * header.cols * samples <= MAX_PIXELS:
        raise DataError(
            f"the header claims {header.rows} x {header.cols} px, more than any film has.",
            remedy=REPLACE,
        )
    syntax = _syntax(data)
    if syntax not in _NATIVE:
        _check_whole(data)
    if syntax in _NATIVE:
        values = _native(data, header, samples, syntax)
    elif syntax in _DECODERS:
        values = _decoded(data, header, samples, syntax)
    elif syntax == _RLE:
        check_run_lengths(_frame(data, header), header.rows * header.cols)
        with _quiet():  # by pydicom itself, whatever else is installed
            values = pixel_array(data, index=header.frame, decoding_plugin="pydicom")
    else:
        raise DataError(
            f"its transfer syntax {syntax.name} ({syntax}) cannot be decoded.",
            remedy="Convert it, such as with `gdcmconv --raw`.",
        )
    return values if samples > 1 else _significant(values, data)


def _syntax(data: FileDataset) -> UID:
    """The transfer syntax; without preamble and meta data, the one that the file was read by."""
    named = str(data.file_meta.get("TransferSyntaxUID", ""))
    if named or data.file_meta:
        return UID(named)
    implicit, little = data.original_encoding
    return UID(_NATIVE[0] if implicit else _NATIVE[1] if little else _BIG_ENDIAN)


def _check_whole(data: FileDataset) -> None:
    """Refuse compressed pixels that end within an item; a missing end after the last is fine."""
    content, position = data.PixelData, 0
    while content[position : position + 4] == _ITEM:
        position += 8 + int.from_bytes(content[position + 4 : position + 8], "little")
    if position > len(content):
        raise DataError(
            f"the file is truncated: {position - len(content)} bytes of the picture are missing.",
            remedy=REPLACE,
        )


def _native(data: FileDataset, header: Header, samples: int, syntax: UID) -> Values:
    allocated = int(data.BitsAllocated)
    if samples != 1 or allocated not in (8, 16):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as of more bytes than the header says
            return np.asarray(pixel_array(data, index=header.frame))
    size = header.rows * header.cols * allocated // 8
    content, expected = data.PixelData, size * header.frames
    # An odd number of bytes is padded to an even one.
    if not expected <= len(content) <= expected + expected % 2:
        fault = "truncated" if len(content) < expected else "longer than its header says"
        raise DataError(
            f"the picture is {fault}: expected {expected} bytes of pixels. Got {len(content)}.",
            remedy=REPLACE,
        )
    order = ">" if syntax == _BIG_ENDIAN else "<"
    dtype = np.dtype(f"{order}u{allocated // 8}")
    start = header.frame * size
    values = np.frombuffer(content, dtype, header.rows * header.cols, start)
    return values.reshape(header.rows, header.cols).astype(dtype.newbyteorder("="), copy=False)


def _frame(data: FileDataset, header: Header) -> bytes:
    """The compressed frame that is read."""
    offsets = bytes(data.get("ExtendedOffsetTable") or b"")
    return frame_of(data.PixelData, header.frame, header.frames, offsets)


def _decoded(data: FileDataset, header: Header, samples: int, syntax: UID) -> Values:
    """One frame of a compressed file."""
    frame = _frame(data, header)
    shape = (header.rows, header.cols) if samples == 1 else (header.rows, header.cols, samples)
    size = _size_in_stream(frame)
    if size is not None and size != shape[:2]:
        raise DataError(
            f"the header says {header.rows} x {header.cols} px, the compressed picture "
            f"{size[0]} x {size[1]}.",
            remedy=REPLACE,
        )
    values = np.asarray(_DECODERS[syntax](frame))
    if values.shape != shape or values.dtype.kind not in "iu" or values.dtype.itemsize > 2:
        raise DataError(
            f"expected whole numbers of shape {shape}. Got {values.dtype} of {values.shape}.",
            remedy=REPLACE,
        )
    return values


def _size_in_stream(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns by the header of a compressed frame, read before memory is allocated."""
    if frame[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: right, bottom, left and top
        right, bottom, left, top = (
            int.from_bytes(frame[start : start + 4], "big") for start in range(8, 24, 4)
        )
        return bottom - top, right - left
    position = 2
    while frame[:2] == b"\xff\xd8" and position + 9 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            size = frame[position + 5 : position + 9]
            return int.from_bytes(size[:2], "big"), int.from_bytes(size[2:], "big")
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None


def _significant(values: Values, data: FileDataset) -> Values:
    """The bits that belong to the picture, with their sign; the others may hold overlays."""
    stored, signed = int(data.BitsStored), bool(data.get("PixelRepresentation"))
    width, high = 8 * values.dtype.itemsize, int(data.get("HighBit", stored - 1))
    if not stored <= high + 1 <= width:
        raise DataError(f"expected {stored} bits up to bit {high} of {width}.", remedy=REPLACE)
    if not signed:
        values = values.view(f"u{width // 8}")
        if stored < width and not _has_embedded_overlay(data) and int(values.max()) >> (high + 1):
            raise DataError(
                f"the header allows {stored} bits a pixel. Got {values.max()}.", remedy=REPLACE
            )
        return values if stored == width else (values << (width - 1 - high)) >> (width - stored)
    return (values.view(f"i{width // 8}") << (width - 1 - high)) >> (width - stored)


def _has_embedded_overlay(data: Dataset) -> bool:
    """Whether the bits above those of the picture hold an overlay, as in old files."""
    return any(int(_value(data, group, 0x0102) or 0) for group in range(0x6000, 0x6020, 2))


def _value(data: Dataset, group: int, element: int) -> Any:  # noqa: ANN401
    return data[group, element].value if (group, element) in data else None
