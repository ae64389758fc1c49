"""Lossless JPEG (process 14, marker SOF3), as the films of DDSM are stored.

The decoder trusts the headers of a file, and a damaged file can end the whole process. So every
segment is checked here first, and only sound files are decoded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from second_look.errors import DataError

Pixels = npt.NDArray[Any]  # (rows, cols) or (rows, cols, components), uint8 or uint16

_SOF3, _DHT, _SOS, _EOI, _DRI = 0xC3, 0xC4, 0xDA, 0xD9, 0xDD
END = b"\xff\xd9"  # the end marker, with which every JPEG ends
# Application data, comments and quantization tables: nothing that lossless decoding needs.
_SKIPPED = frozenset({0xFE, 0xDB, *range(0xE0, 0xF0)})
# A marker within the scan: 0xFF is followed by 0 where it is data, by 0xFF where it is padding.
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
# Bytes put behind the coded data to see whether the decoder reads them.
_FILLING = 64
# Rows that are enough to recognize the byte order.
_SAMPLE_ROWS = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """What a lossless JPEG says about its picture.

    Attributes:
        rows, cols, components: Its size as stored, which in DDSM is sometimes wrong.
        precision: Bits a value, 2 to 16.
    """

    rows: int
    cols: int
    components: int
    precision: int

    @property
    def values(self) -> int:
        """How many values there are."""
        return self.rows * self.cols * self.components


def is_lossless(content: bytes) -> bool:
    """Whether a file (or its first bytes, down to the frame header) is a lossless JPEG."""
    try:
        return any(marker == _SOF3 for marker, _, _ in _segments(content))
    except DataError:
        return False


def read_frame(content: bytes) -> Frame:
    """The size and depth in a lossless JPEG.

    Args:
        content: The file, or its beginning down to the frame header.

    Raises:
        DataError: There is no sound frame header.
    """
    for marker, start, stop in _segments(content):
        if marker == _SOF3:
            return _frame(content[start:stop])
    raise _broken("there is no frame header of a lossless JPEG")


def decode(content: bytes, bits: int | None = None, *, either_order: bool = True) -> Pixels:
    """Decode a lossless JPEG.

    The two bytes of 16-bit values may be exchanged in the file, since some encoders used the byte
    order of their machine. The order that fits into `bits` is right; if both fit, it is the
    smoother one, since an exchanged low byte turns any picture into noise.

    Args:
        content: The whole file.
        bits: Significant bits that no value may exceed; None: as many as the file says.
        either_order: Find out the order of the bytes; else it is that of the format.

    Returns:
        (rows, cols), or (rows, cols, components) if there are several; uint8 up to a precision of
        8, else uint16.

    Raises:
        DataError: The file is damaged, truncated or of a kind that cannot be decoded, or a value
            needs more than `bits`.
    """
    content += END  # where it is missing, the picture may be whole
    frame, end = _checked(content)
    # The decoder reads beyond data that end too soon: then the result depends on the filling there.
    pixels = _decoded(content[:end] + bytes(_FILLING) + content[end:], frame)
    if not np.array_equal(
        pixels, _decoded(content[:end] + b"\x55" * _FILLING + content[end:], frame)
    ):
        raise _broken("the file is truncated or damaged: the data end before the picture does")
    limit = 1 << (frame.precision if bits is None else bits)
    candidates = [pixels] if pixels.dtype.itemsize == 1 else [pixels, pixels.byteswap()]
    if frame.precision < 16 or not either_order:
        candidates = candidates[:1]
    fitting = [candidate for candidate in candidates if int(candidate.max()) < limit]
    if not fitting:
        raise _broken(f"expected values below {limit}. Got {pixels.max()}")
    return min(fitting, key=_roughness)


def encode(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """A lossless JPEG of grey levels (rows, cols), for test files."""
    return bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=8 * pixels.dtype.itemsize))


def _decoded(content: bytes, frame: Frame) -> Pixels:
    try:
        pixels: Pixels = imagecodecs.ljpeg_decode(content)
    except imagecodecs.LjpegError as error:
        raise _broken(f"the picture is truncated or damaged ({error})") from None
    if pixels.size != frame.values:
        raise _broken(f"expected {frame.values} values. Got {pixels.size}")
    return pixels


def _roughness(pixels: Pixels) -> int:
    """Sum of the steps between neighbours in a row, over some rows of the picture."""
    step = max(1, len(pixels) // _SAMPLE_ROWS)
    return int(np.abs(np.diff(pixels[::step].astype(np.int64), axis=1)).sum())


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, stop) of the contents of each segment, down to the scan header.

    Raises:
        DataError: The bytes are no JPEG, or end within a segment.
    """
    if content[:2] != b"\xff\xd8":
        raise _broken("expected a JPEG")
    position = 2
    while True:
        while content[position : position + 2] == b"\xff\xff":
            position += 1
        head = content[position : position + 4]
        if len(head) < 4 or head[0] != 0xFF:
            raise _broken("the file is truncated or damaged: expected a segment")
        marker, length = head[1], int.from_bytes(head[2:], "big")
        start, stop = position + 4, position + 2 + length
        if length < 2 or stop > len(content):
            raise _broken("the file is truncated or damaged: a segment is too long")
        yield marker, start, stop
        if marker == _SOS:
            return
        position = stop


def _checked(content: bytes) -> tuple[Frame, int]:
    """The frame of a file whose every segment is sound, and where its coded data end."""
    frame: Frame | None = None
    tables: set[int] = set()
    for marker, start, stop in _segments(content):
        body = content[start:stop]
        if marker == _SOF3 and frame is None:
            frame = _frame(body)
        elif marker == _DHT:
            tables |= _check_tables(body)
        elif marker == _SOS and frame is not None:
            _check_scan_header(body, frame, tables)
            return frame, _end_of_scan(content, stop, frame)
        elif marker == _DRI and any(body):
            raise _broken("restart intervals are not supported")
        elif marker not in _SKIPPED and marker != _DRI:
            raise _broken(f"unexpected segment 0x{marker:02x}")
    raise _broken("there is no scan")


def _frame(body: bytes) -> Frame:
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise _broken("the frame header is damaged")
    precision, rows, cols, components = struct.unpack(">BHHB", body[:6])
    sampling = set(body[7::3])
    ids = body[6::3]
    if not (2 <= precision <= 16 and rows and cols and 1 <= components <= 4):
        raise _broken(f"expected 2 to 16 bits and a size. Got {precision}, {rows} x {cols}")
    if sampling != {0x11} or len(set(ids)) != components:
        raise _broken("expected components of one size")
    return Frame(rows, cols, components, precision)


def _check_tables(body: bytes) -> set[int]:
    """Numbers of the Huffman tables of a segment, each of which gives every value one code."""
    numbers = set()
    while body:
        counts = body[1:17]
        symbols = body[17 : 17 + sum(counts)]
        # More codes of a length than are left over by the shorter ones would be ambiguous.
        used = sum(count << (16 - length) for length, count in enumerate(counts, start=1))
        if (
            len(counts) != 16
            or body[0] > 3
            or len(symbols) != sum(counts)
            or len(set(symbols)) != len(symbols)
            or not symbols
            or max(symbols) > 16
            or used > 1 << 16
        ):
            raise _broken("a Huffman table is damaged")
        numbers.add(body[0])
        body = body[17 + len(symbols) :]
    return numbers


def _check_scan_header(body: bytes, frame: Frame, tables: set[int]) -> None:
    if not body or body[0] != frame.components or len(body) != 4 + 2 * frame.components:
        raise _broken("the scan header is damaged")
    used = {table >> 4 for table in body[2:-3:2]}
    predictor, stop, shift = body[-3:]
    if not (used <= tables and 1 <= predictor <= 7 and stop == 0 and shift == 0):
        raise _broken("the scan header is damaged, or the picture is not stored without loss")


def _end_of_scan(content: bytes, start: int, frame: Frame) -> int:
    """Index of the end marker, after enough coded data for the values of the frame."""
    match = _MARKER.search(content, start)
    assert match is not None, "the end marker was appended"
    marker = match[1][0]
    if marker != _EOI:
        raise _broken(f"unexpected marker 0x{marker:02x} within the picture")
    if frame.values > 8 * (match.start() - start):
        size = match.start() - start
        raise _broken(f"the file is truncated: {size} bytes cannot hold {frame.values} values")
    return match.start()


def _broken(problem: str) -> DataError:
    return DataError(f"{problem}.", remedy="Get the file again, or take it out of the data set.")
