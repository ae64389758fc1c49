"""Binary PGM files: grey levels of 8 bits, or of 16 with the high byte first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from second_look.decoding.dicom import REPLACE, Header
from second_look.errors import DataError

_HEADER = re.compile(
    rb"P5(?:\s+|\s*#[^\n]*\n)+(\d+)(?:\s+|\s*#[^\n]*\n)+(\d+)(?:\s+|\s*#[^\n]*\n)+(\d+)\s"
)


def read_header(path: Path) -> Header:
    """Size and depth.

    Raises:
        DataError: The header is broken.
    """
    cols, rows, limit, _ = _parts(path)
    return Header(rows, cols, limit.bit_length())


def read_values(path: Path) -> npt.NDArray[Any]:
    """Grey levels, (rows, cols), uint8 or uint16; white space after them is passed over.

    Raises:
        DataError: The file is truncated, or longer than its header says, or a level is beyond the
            largest that the header allows.
    """
    cols, rows, limit, start = _parts(path)
    dtype = np.dtype(np.uint8 if limit < 256 else ">u2")
    expected = rows * cols * dtype.itemsize
    with path.open("rb") as stream:
        stream.seek(start)
        content = stream.read()
    size, excess = len(content), content[expected:]
    if len(excess) == 1 and content[:1] == b"\n":
        # A second newline of the header. With one at the end too, either may be a pixel.
        content, excess = (content, b"?") if excess == b"\n" else (content[1:], b"")
    if size < expected or excess.strip():
        hint = ""
        if size == 2 * expected:
            hint = " It seems to hold 16-bit values under an 8-bit header."
        fault = "truncated" if size < expected else "longer than its header says"
        raise DataError(
            f"the file is {fault}: expected {expected} bytes of pixels. Got {size}.{hint}",
            location=path,
            remedy=REPLACE,
        )
    pixels = np.frombuffer(content, dtype, rows * cols).reshape(rows, cols)
    if pixels.max() > limit:
        raise DataError(
            f"the header allows values up to {limit}. Got {pixels.max()}.",
            location=path,
            remedy=REPLACE,
        )
    return pixels.astype(dtype.newbyteorder("="))


def _parts(path: Path) -> tuple[int, int, int, int]:
    """Columns, rows, largest value and where the pixels start."""
    with path.open("rb") as stream:
        match = _HEADER.match(stream.read(1000))
    if match is None:
        raise DataError("the PGM header is broken.", location=path, remedy=REPLACE)
    cols, rows, limit = (int(number) for number in match.groups())
    if not 0 < limit < 65536:
        raise DataError(
            f"expected a largest value of 1 to 65535. Got {limit}.", location=path, remedy=REPLACE
        )
    return cols, rows, limit, match.end()
