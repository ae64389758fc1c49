"""Whether a file holds every row of its picture: what decoders fill in or pass over in silence.

The decoded bytes of each strip, tile and frame are compared with what the header says. The pixels
of a picture that passes are those of the file, none of the decoder's making.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from pydicom.encaps import generate_fragments, parse_basic_offsets

from second_look.decoding import jpeg
from second_look.errors import DataError

_REMEDY = "Get the file again, or take it out of the data set."
_PNG = b"\x89PNG\r\n\x1a\n"
# Colour type of a PNG -> values of a pixel.
_PNG_VALUES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column and row, and their steps, of the seven passes of an interlaced PNG.
_PASSES = [
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
]  # fmt: skip
# Kinds of compression in a TIFF whose decoders give bytes, and those that give a picture.
_OF_BYTES = (5, 8, 32773, 32946, 34925, 50000, 50013)
_OF_PICTURES = (33003, 33004, 33005, 34712, 50001, 50002, 52546)
_JPEG_IN_TIFF = (6, 7, 33007)
# What a compressed frame begins with: JPEG and JPEG-LS, JPEG 2000.
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
# So many bytes of zero end no picture in JPEG 2000, but empty packets of one byte each may.
_ZEROS = 16


def check_picture_file(path: Path) -> None:
    """Refuse a PNG, BMP or JPEG that holds too little, or more, than its header says.

    Raises:
        DataError: Says what is missing.
    """
    content = path.read_bytes()
    if content.startswith(_PNG):
        _check_png(content)
    elif content[:2] == b"BM":
        _check_bmp(content)
    elif content[:2] == b"\xff\xd8":
        jpeg.check_whole(content, imagecodecs.jpeg8_decode)


# ------------------------------------------------------------------ PNG and BMP


def _check_png(content: bytes) -> None:
    header, expected, length = b"", 0, 0
    engine = zlib.decompressobj()
    for name, body, checksum in _png_chunks(content):
        if name in (b"IHDR", b"PLTE", b"IDAT") and zlib.crc32(name + body) != checksum:
            raise _broken(f"the checksum of its part {name.decode()} is wrong")
        if name == b"IHDR":
            header, expected = body, _png_bytes(body)
        elif name == b"IDAT" and header:
            length += _inflated(engine, body, expected - length + 1)
    if length != expected or not engine.eof:
        fault = "truncated" if length <= expected else "longer than its header says"
        raise _broken(f"the picture is {fault}: expected {expected} bytes of pixels. Got {length}")


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """(name, content, checksum) of each part that is there completely."""
    position = len(_PNG)
    while position + 12 <= len(content):
        stop = position + 8 + int.from_bytes(content[position : position + 4], "big")
        if stop + 4 > len(content):
            raise _broken("the file is truncated within one of its parts")
        yield (
            content[position + 4 : position + 8],
            content[position + 8 : stop],
            int.from_bytes(content[stop : stop + 4], "big"),
        )
        position = stop + 4


def _png_bytes(header: bytes) -> int:
    """Bytes of the picture before it is compressed; a row begins with the number of a filter."""
    if len(header) != 13 or header[9] not in _PNG_VALUES:
        raise _broken("the header is damaged")
    cols, rows = (int.from_bytes(header[start : start + 4], "big") for start in (0, 4))
    bits = header[8] * _PNG_VALUES[header[9]]
    passes = _PASSES if header[12] else [(0, 0, 1, 1)]
    sizes = [(-(-(cols - x) // dx), -(-(rows - y) // dy)) for x, y, dx, dy in passes]
    return sum(high * (1 + -(-wide * bits // 8)) for wide, high in sizes if wide > 0 and high > 0)


def _inflated(engine: Any, body: bytes, limit: int) -> int:  # noqa: ANN401
    """How many bytes a part unpacks to; no more than a limit are looked at."""
    length = 0
    try:
        while body and not engine.eof and length < limit:
            length += len(engine.decompress(body, min(1 << 22, limit - length)))
            body = engine.unconsumed_tail
        # The checksum may stand behind the last pixel.
        return length + len(engine.decompress(body, 1)) if not engine.eof else length
    except zlib.error as error:
        raise _broken(f"the picture is damaged ({error})") from None


def _check_bmp(content: bytes) -> None:
    start, size = (int.from_bytes(content[i : i + 4], "little") for i in (10, 14))
    short = size == 12  # of OS/2
    length, positions = (2, (18, 20, 24)) if short else (4, (18, 22, 28))
    cols, rows = (
        int.from_bytes(content[i : i + length], "little", signed=not short) for i in positions[:2]
    )
    bits = int.from_bytes(content[positions[2] : positions[2] + 2], "little")
    if not short and int.from_bytes(content[30:34], "little") not in (0, 3):
        raise DataError(
            "a BMP with run lengths is not read.", remedy="Save it without compression."
        )
    expected, stored = -(-cols * bits // 32) * 4 * abs(rows), len(content) - start
    if not expected <= stored < expected + 4:
        fault = "truncated" if stored < expected else "longer than its header says"
        raise _broken(f"the picture is {fault}: expected {expected} bytes of pixels. Got {stored}")


# ------------------------------------------------------------------ TIFF


def check_tiff(page: Any) -> None:  # noqa: ANN401
    """Refuse a page of a TIFF (of tifffile) whose strips or tiles hold another part of the picture.

    Raises:
        DataError: Names the first part that is not what the header says.
    """
    stored = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if any(start < 8 or length < 1 for start, length in stored):
        raise _broken("parts of the picture are not there: their place or length is 0")
    ordered = sorted(set(stored))
    if any(start + length > later for (start, length), (later, _) in itertools.pairwise(ordered)):
        raise _broken("the file is damaged: parts of the picture lie in each other")
    for number, (start, length) in enumerate(stored):
        page.parent.filehandle.seek(start)
        _check_part(page, number, page.parent.filehandle.read(length))


def _check_part(page: Any, number: int, content: bytes) -> None:  # noqa: ANN401
    rows, whole_rows, cols = _part_size(page, number)
    values = page.samplesperpixel if page.planarconfig == 1 else 1
    allowed = [high * -(-cols * values * page.bitspersample // 8) for high in (rows, whole_rows)]
    size: object
    if page.compression == 1:
        size = len(content)
        allowed.append(allowed[0] + allowed[0] % 2)
    elif page.compression in _OF_BYTES:
        size = len(tifffile.TIFF.DECOMPRESSORS[page.compression](content))
    elif page.compression in _JPEG_IN_TIFF or page.compression in _OF_PICTURES:
        size = _picture_size(page, content)
        if size in ((rows, cols), (whole_rows, cols)):
            return
    else:
        return
    if size not in allowed:
        raise _broken(
            f"part {number + 1} of the picture is damaged: expected {rows} x {cols} px in "
            f"{allowed[0]} bytes. Got {size}"
        )


def _part_size(page: Any, number: int) -> tuple[int, int, int]:  # noqa: ANN401
    """Rows and columns of a strip or tile, px: its own rows, and those of all but the last."""
    if page.is_tiled:
        return page.tilelength, page.tilelength, page.tilewidth
    highest = min(page.rowsperstrip, page.imagelength)
    strips = -(-page.imagelength // highest)
    rows = min(highest, page.imagelength - number % strips * highest)
    return rows, highest, page.imagewidth


def _picture_size(page: Any, content: bytes) -> tuple[int, int]:  # noqa: ANN401
    """Rows and columns of a part that is a picture of its own."""
    if page.compression not in _JPEG_IN_TIFF:
        picture = np.asarray(tifffile.TIFF.DECOMPRESSORS[page.compression](content))
        return picture.shape[0], picture.shape[1]
    if page.jpegtables is not None:
        content = page.jpegtables[:-2] + content[2:]
    # A lossless one is checked by its decoder.
    if not any(content[i : i + 2] == b"\xff\xc3" for i in range(min(len(content), 2000))):
        jpeg.check_whole(content, imagecodecs.jpeg8_decode)
    picture = np.asarray(imagecodecs.jpeg_decode(content))
    return picture.shape[0], picture.shape[1]


# ------------------------------------------------------------------ frames of a DICOM file


def frame_of(content: bytes, index: int, frames: int, extended_offsets: bytes = b"") -> bytes:
    """One frame of compressed pixels.

    Args:
        content: The element: an item of offsets, then items of a frame, or a part of one, each.
        index: Which frame, from 0.
        frames: How many frames the header says there are.
        extended_offsets: The table of long offsets where there is one.

    Raises:
        DataError: The element holds another number of frames.
    """
    stream = BytesIO(content)
    offsets = parse_basic_offsets(stream)
    begin = stream.tell()
    items, starts = [], []
    for item in generate_fragments(stream):
        starts.append(stream.tell() - len(item) - 8 - begin)
        items.append(item)
    if extended_offsets:
        offsets = [
            int.from_bytes(extended_offsets[i : i + 8], "little")
            for i in range(0, len(extended_offsets), 8)
        ]
    firsts = [starts.index(offset) for offset in offsets if offset in starts]
    if not offsets:
        firsts = _first_items(items, frames)
    in_order = firsts == sorted(set(firsts)) and firsts[:1] == [0]
    if not in_order or len(firsts) != frames or len(firsts) < len(offsets):
        raise _broken(
            f"the header says {frames} frames, the compressed pixels hold "
            f"{max(len(firsts), len(offsets))} in {len(items)} items"
        )
    pieces = items[firsts[index] : [*firsts, len(items)][index + 1]]
    if sum(piece.startswith(_STARTS) for piece in pieces) > 1:
        raise _broken(f"the header says {frames} frames, the compressed pixels hold more")
    return b"".join(pieces)


def _first_items(items: Sequence[bytes], frames: int) -> list[int]:
    """Where each frame begins if there is no table of offsets."""
    if frames == 1:
        return [0]
    if len(items) == frames:
        return list(range(frames))
    return [number for number, item in enumerate(items) if item.startswith(_STARTS)]


def check_run_lengths(frame: bytes, pixels: int) -> None:
    """Refuse a frame of run lengths (DICOM PS3.5, annex G) if a segment has another size.

    Args:
        frame: Its header of 64 bytes and its segments, one for each byte of a pixel.
        pixels: How many pixels the header says there are.
    """
    numbers = [int.from_bytes(frame[i : i + 4], "little") for i in range(0, 64, 4)]
    count, offsets = numbers[0], numbers[1:]
    if len(frame) < 64 or not 1 <= count <= 15 or offsets[0] != 64:
        raise _broken("the header of the run lengths is damaged")
    ends = [*offsets[1:count], len(frame)]
    for number, (start, stop) in enumerate(zip(offsets[:count], ends, strict=True), start=1):
        # An odd number of bytes is padded to an even one.
        size, padded = _unpacked(frame[start:stop]), frame[start:stop].removesuffix(b"\0")
        if pixels not in (size, _unpacked(padded)):
            raise _broken(
                f"segment {number} of the run lengths has {size} bytes. Expected {pixels}"
            )


def _unpacked(segment: bytes) -> int:
    """How many bytes a segment unpacks to; 0 if it cannot be unpacked."""
    try:
        return len(imagecodecs.packbits_decode(segment))
    except (imagecodecs.ImcdError, ValueError):
        return 0


def check_codestream(frame: bytes) -> None:
    """Refuse a picture in JPEG 2000 that ends in more zeros than it can have empty packets.

    The decoder itself refuses one that ends too soon, but takes zeros for detail of no contrast.
    """
    start = frame.find(_STARTS[1])
    stop = frame.rfind(b"\xff\xd9")
    if start < 0 or stop < 0:
        return
    zeros = stop - start - len(frame[start:stop].rstrip(b"\0"))
    if zeros > _ZEROS and zeros > _ZEROS + _packets(frame[start:]):
        raise _broken(f"the picture is truncated: {zeros} bytes of zero stand at its end")


def _packets(stream: bytes) -> int:
    """How many packets a codestream may have (ISO 15444-1, A.5.1 and A.6.1)."""
    right, bottom, left, top, wide, high = (
        int.from_bytes(stream[i : i + 4], "big") for i in range(8, 32, 4)
    )
    components = int.from_bytes(stream[40:42], "big")
    begin = stream.find(b"\xff\x52")
    style = stream[begin + 4 : begin + 50]
    if begin < 0 or len(style) < 10 or not wide or not high:
        return 0
    layers, levels = int.from_bytes(style[2:4], "big"), style[5]
    exponents = style[10 : 11 + levels] if style[0] & 1 else b"\xff" * (levels + 1)
    rows, cols = min(high, bottom - top), min(wide, right - left)
    packets = 0
    for level, exponent in enumerate(exponents):
        step = 1 << (levels - level)
        step_rows, step_cols = (-(-size // step) for size in (rows, cols))
        packets += ((step_rows >> (exponent >> 4)) + 2) * ((step_cols >> (exponent & 15)) + 2)
    tiles = -(-bottom // high) * -(-right // wide)
    return packets * tiles * layers * components


def _broken(problem: str) -> DataError:
    return DataError(f"{problem}.", remedy=_REMEDY)
