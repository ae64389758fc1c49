"""Picture files to arrays and back: PGM, PNG, BMP, JPEG, LJPEG, TIFF and DICOM, 8 or 16 bit, grey.

The only module that decodes files. What cannot be decoded faithfully raises a DataError that names
the file: a guessed picture is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from skimage.transform import resize

from second_look.decoding import dicom, pgm
from second_look.decoding.dicom import MAX_PIXELS, REPLACE, Header, is_dicom
from second_look.decoding.ljpeg import END, decode, is_lossless, read_frame
from second_look.decoding.wholeness import check_picture_file, check_tiff
from second_look.errors import DataError
from second_look.files import check_regular, open_bounded, written_whole

T = TypeVar("T")
Pixels = npt.NDArray[Any]  # (rows, cols), uint8 or uint16

# The frame header of a lossless JPEG must be within so many bytes.
_JPEG_START = 65536


def read_header(path: Path) -> Header:
    """Size and depth of a picture file; its pixels are not decoded.

    Raises:
        DataError: The file is missing, of no known format, or broken.
    """
    header = _by_format(
        path, pgm.read_header, dicom.read_header, _tiff_header, _lossless_header, _pillow_header
    )
    if not 0 < header.rows * header.cols <= MAX_PIXELS:
        raise DataError(
            f"the header claims {header.rows} x {header.cols} px, more than any film has.",
            location=path,
            remedy=REPLACE,
        )
    return header


def read_pixels(path: Path) -> Pixels:
    """Decode a grey picture.

    Bright tissue is bright, but in a file whose header has `white_is_lowest`: it is read as stored.

    Returns:
        (rows, cols), uint8 up to 8 significant bits, else uint16.

    Raises:
        DataError: Missing, truncated, longer than its header says, of no known format, in colour,
            not finite, negative, or the same value everywhere.
    """
    pixels = _read_grey(path, for_display=True)
    # A few pixels are enough to see that most pictures are not constant.
    if all(part.min() == part.max() for part in (pixels[::64, ::64], pixels)):
        raise DataError(
            f"every pixel has the value {pixels.flat[0]}: there is no picture.",
            location=path,
            remedy=REPLACE,
        )
    return pixels


def read_square(path: Path, rows: int, cols: int) -> Pixels:
    """Decode a grey picture and give it square pixels.

    A file of another size than (rows, cols) was stretched: it is resampled, by area if it
    shrinks and linearly if it grows, and keeps its dtype.
    """
    pixels = read_pixels(path)
    if pixels.shape == (rows, cols):
        return pixels
    square = resize(
        pixels.astype(np.float32), (rows, cols), order=1, anti_aliasing=True, preserve_range=True
    )
    rounded: Pixels = np.rint(square).astype(pixels.dtype)
    return rounded


def read_mask_values(path: Path) -> Pixels:
    """Decode a mask: the values as they are stored, (rows, cols), uint8 or uint16.

    Of a PNG with transparency that varies this is the opacity; of one with a palette of colours,
    the indices.

    Raises:
        DataError: As for `read_pixels`, except that all values may be the same.
    """
    return _read_grey(path, for_display=False)


def is_lossy(path: Path) -> bool:
    """Whether a file is a JPEG that does not keep the values of its pixels."""
    start = _first_bytes(path)
    return start[:3] == b"\xff\xd8\xff" and not is_lossless(start)


def write_pgm(path: Path, pixels: Pixels) -> None:
    """Write a binary PGM (P5), with big-endian values if they have 16 bits."""
    limit = np.iinfo(pixels.dtype).max
    header = f"P5\n{pixels.shape[1]} {pixels.shape[0]}\n{limit}\n".encode()
    with written_whole(path) as draft:
        draft.write_bytes(header + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes())


def write_png(path: Path, pixels: Pixels) -> None:
    """Write a grey PNG of 8 or 16 bit."""
    with written_whole(path) as draft:
        Image.fromarray(pixels).save(draft, "PNG", compress_level=1)


def _read_grey(path: Path, *, for_display: bool) -> Pixels:
    """The picture in a file, with what a DICOM header says about display, or a mask."""
    pixels = _by_format(
        path,
        _of_stated_size(pgm.read_values),
        partial(dicom.read_grey, for_display=for_display),  # checks sizes itself
        _of_stated_size(_tiff_pixels if for_display else _tiff_mask),
        _of_stated_size(_lossless_pixels),
        _of_stated_size(_pillow_pixels if for_display else _pillow_mask, check_picture_file),
    )
    return _grey(np.asarray(pixels), path)


def _of_stated_size(
    read: Callable[[Path], npt.NDArray[Any]], check: Callable[[Path], None] = lambda _: None
) -> Callable[[Path], Pixels]:
    """A reader that raises a DataError if a picture has another size than its header says."""

    def read_checked(path: Path) -> Pixels:
        header = read_header(path)
        check(path)
        pixels = read(path)
        if pixels.shape[:2] != (header.rows, header.cols):
            raise DataError(
                f"the header says {header.rows} x {header.cols} px, the picture has the shape "
                f"{pixels.shape}.",
                location=path,
                remedy=REPLACE,
            )
        return pixels

    return read_checked


def _by_format(
    path: Path,
    pgm: Callable[[Path], T],
    dicom: Callable[[Path], T],
    tiff: Callable[[Path], T],
    lossless: Callable[[Path], T],
    pillow: Callable[[Path], T],
) -> T:
    """Call the reader that fits the first bytes of the file, with its errors made clear."""
    with _clear_errors(path):
        check_regular(path)
        with path.open("rb") as stream:
            start = stream.read(132)
        if start[:2] == b"P5":
            return pgm(path)
        if is_dicom(start):
            return dicom(path)
        if start[:4] in (b"II*\0", b"MM\0*"):
            return tiff(path)
        if start[:3] == b"\xff\xd8\xff" and is_lossless(_first_bytes(path)):
            return lossless(path)
        if start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")):
            return pillow(path)
    content = repr(start[:8]) if start else "an empty file"
    raise DataError(
        f"expected PGM (P5), PNG, BMP, JPEG, TIFF or DICOM. Got {content}.",
        location=path,
        remedy="Convert the file, or take it out of the data set.",
    )


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn whatever a decoder throws at a broken file into a DataError that names it."""
    try:
        yield
    except DataError as error:
        if error.location:
            raise
        raise DataError(error.problem, location=path, remedy=error.remedy) from None
    except FileNotFoundError:
        raise DataError("the file is not there.", location=path, remedy=REPLACE) from None
    except PermissionError:
        raise DataError(
            "the file may not be read.", location=path, remedy="Change its rights."
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise exceptions of all kinds for broken files, struct.error to IndexError.
        raise DataError(
            f"cannot be decoded ({type(error).__name__}: {error}).", location=path, remedy=REPLACE
        ) from error


def _grey(pixels: npt.NDArray[np.generic], path: Path) -> Pixels:
    """(rows, cols) of unsigned integers, or an error."""
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        if (pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 0] != pixels[..., 2]).any():
            raise DataError(
                "expected a grey picture. Got colours.", location=path, remedy="Convert it to grey."
            )
        pixels = pixels[..., 0]
    if pixels.ndim != 2:
        raise DataError(
            f"expected one grey picture. Got an array of shape {pixels.shape}.",
            location=path,
            remedy="Save one frame to a file.",
        )
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError("some pixels are NaN or infinite.", location=path, remedy=REPLACE)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 65535 or (pixels.dtype.kind == "f" and (pixels != np.rint(pixels)).any()):
        raise DataError(
            f"expected whole grey levels from 0 to 65535. Got {low:g} to {high:g}.",
            location=path,
            remedy="Save the picture with 8 or 16 bit.",
        )
    return pixels.astype(np.uint8 if pixels.dtype.itemsize == 1 else np.uint16)


def _tiff_header(path: Path) -> Header:
    with _tiff_page(path) as page:
        bits = min(int(page.bitspersample), 16)
        white_is_lowest = _white_is_lowest(page)
        return Header(
            page.imagelength,
            page.imagewidth,
            bits,
            bits_stated=bits < 16,
            photometric_stated=white_is_lowest,
            white_is_lowest=white_is_lowest and bits == 16,
        )


def _white_is_lowest(page: Any) -> bool:  # noqa: ANN401
    return bool(page.photometric == tifffile.PHOTOMETRIC.MINISWHITE)


def _tiff_pixels(path: Path) -> npt.NDArray[np.generic]:
    """Grey levels; bright tissue is bright where the file says which level is black.

    Of 16 bits a scan may use 12: then 65535 is not black, and turned round by it all would be
    white.
    """
    with _tiff_page(path) as page:
        check_tiff(page)
        pixels: npt.NDArray[Any] = page.asarray()
        if not _white_is_lowest(page):
            return pixels
        if pixels.dtype.kind not in "bu":
            raise DataError(
                f"expected whole numbers where the lowest is white. Got {pixels.dtype}.",
                location=path,
                remedy="Save the picture with 8 or 16 bit.",
            )
        if page.bitspersample >= 16:
            return pixels
        white = (1 << int(page.bitspersample)) - 1
        return ~pixels if pixels.dtype.kind == "b" else white - pixels


def _tiff_mask(path: Path) -> npt.NDArray[np.generic]:
    """The values of a mask, of which only the order counts."""
    values: npt.NDArray[Any] = _tiff_pixels(path)
    with _tiff_page(path) as page:
        inverted = _white_is_lowest(page) and page.bitspersample >= 16
    return np.iinfo(values.dtype).max - values if inverted else values


@contextmanager
def _tiff_page(path: Path) -> Iterator[Any]:
    """The only page of a file, with a plausible size."""
    with open_bounded(path) as stream, tifffile.TiffFile(stream) as tiff:
        page = tiff.pages.first
        shape = (page.imagedepth, page.imagelength, page.imagewidth, page.samplesperpixel)
        if len(tiff.pages) > 1 or page.imagedepth != 1 or page.samplesperpixel not in (1, 3, 4):
            raise DataError(
                f"expected one grey picture. Got {len(tiff.pages)} of shape {shape}.",
                location=path,
                remedy="Save one picture to a file.",
            )
        # Damaged tags are lists now and then: int() refuses them.
        if not 0 < math.prod(map(int, shape)) <= MAX_PIXELS or int(page.bitspersample) > 64:
            raise DataError(
                f"expected a picture. Got {shape} of {page.bitspersample} bits.",
                location=path,
                remedy=REPLACE,
            )
        # tifffile fills missing parts with zeros.
        stored = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if len(stored) != math.prod(page.chunked) or any(
            start + length > tiff.filehandle.size for start, length in stored
        ):
            raise DataError(
                "the file is truncated or damaged: parts of the picture are not there.",
                location=path,
                remedy=REPLACE,
            )
        yield page


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_JPEG_START)


def _lossless_header(path: Path) -> Header:
    frame = read_frame(_first_bytes(path))
    return Header(frame.rows, frame.cols, frame.precision)


def _lossless_pixels(path: Path) -> npt.NDArray[np.generic]:
    return decode(path.read_bytes())


def _pillow_header(path: Path) -> Header:
    with open_bounded(path) as stream, Image.open(stream) as picture:
        bits = 1 if picture.mode == "1" else 16 if picture.mode.startswith("I") else 8
        return Header(picture.height, picture.width, bits, bits_stated=bits < 16)


def _pillow_pixels(path: Path) -> npt.NDArray[np.generic]:
    with _decoded(path) as picture:
        if picture.mode in ("P", "LA", "PA"):
            picture = picture.convert("RGB")
        return np.asarray(picture)


def _pillow_mask(path: Path) -> npt.NDArray[np.generic]:
    with _decoded(path) as picture:
        if picture.mode in ("LA", "PA", "RGBA"):
            opacity = np.asarray(picture.convert("RGBA"))[..., 3]
            if opacity.min() != opacity.max():
                return opacity
        if picture.mode == "P":
            colours = np.asarray(picture.convert("RGB"))
            if (colours != colours[..., :1]).any():
                return np.asarray(picture)
    return _pillow_pixels(path)


@contextmanager
def _decoded(path: Path) -> Iterator[Image.Image]:
    with open_bounded(path) as stream, Image.open(stream) as picture:
        try:
            picture.load()
        except OSError:
            completed = _without_end(path) if picture.format == "JPEG" else None
            if completed is None:
                raise
            picture = completed
        yield picture


def _without_end(path: Path) -> Image.Image | None:
    """A sequential JPEG without its end marker, which lacks nothing else: that was checked."""
    picture = Image.open(BytesIO(path.read_bytes().removesuffix(END[:1]) + END))
    return None if "progressive" in picture.info else picture
