"""Whether a JPEG that is not lossless holds the whole of its picture, as its headers describe it.

The decoder fills what is missing with grey, passes over what is left, and only warns, which the
libraries around it swallow. But it reads whatever stands behind data that end too soon: a picture
is whole if it is the same with other bytes there, and does depend on the last of its data. Bytes
lost in the middle of the data show if there are too few or too many data after them; codes that
fall into step again leave no trace in the format.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from second_look.errors import DataError

Decoder = Callable[[bytes], npt.NDArray[Any]]

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_RESTARTS = range(0xD0, 0xD8)
_SOS, _DRI = 0xDA, 0xDD
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
# A marker within coded data: 0xFF is followed by 0 where it is data, by 0xFF where it is padding.
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
# What is put behind the data, or instead of their end. Data may go on in the same way by chance, so
# there are several; a sound picture depends on nearly every bit.
_FILLINGS = [
    b"\x55" * 64,
    *(random.Random(seed).randbytes(64).replace(b"\xff", b"\x7e") for seed in range(5)),
]
# Two bytes hold at least nine bits of the picture.
_LAST_BYTES = 2
_REMEDY = "Get the file again, or take it out of the data set."


@dataclass(frozen=True)
class _Component:
    """A component of the frame: its number and how it is sampled."""

    number: int
    cols: int
    rows: int


@dataclass(frozen=True)
class _Scan:
    """One scan: its header, and where each of its restart intervals lies in the file."""

    body: bytes
    interval: int
    parts: list[tuple[int, int]]

    @property
    def components(self) -> list[int]:
        """Numbers of the components that it codes."""
        return list(self.body[1 : 1 + 2 * self.body[0] : 2])


@dataclass
class _Layout:
    """What the segments of a JPEG say.

    Attributes:
        kind: Marker of the frame; 0 before it is read.
        frame: Where the contents of the frame header begin.
        intervals: Where the contents of segments about restart intervals begin.
    """

    kind: int = 0
    frame: int = 0
    rows: int = 0
    cols: int = 0
    components: list[_Component] = field(default_factory=list)
    intervals: list[int] = field(default_factory=list)
    scans: list[_Scan] = field(default_factory=list)


def check_whole(content: bytes, decode: Decoder) -> None:
    """Refuse a JPEG of which anything is missing, or left.

    Args:
        content: The whole file. The two bytes of its end mark may be missing: they hold no pixels.
        decode: The decoder, whose pictures are compared.

    Raises:
        DataError: Coded data end before the picture does, or go on after it; scans, restart
            intervals or passes are missing; or the segments are damaged.
    """
    layout = _read_layout(content)
    _check_scans(layout)
    if layout.kind == _PROGRESSIVE:
        _check_passes(layout)
    for picture, ends in _pictures(content, layout):
        reference = decode(picture)
        if not np.array_equal(reference, decode(_filled(picture, ends, _FILLINGS[0]))):
            raise _broken("the picture is truncated or damaged: its data end before it does")
        # Of several scans the first holds the means of all blocks, which nobody can miss.
        if not _depends_on_last(picture, ends[0], reference, decode):
            raise _broken("the picture is damaged: its data go on after it")


def _read_layout(content: bytes) -> _Layout:
    """All segments down to the end of the picture."""
    layout, position, interval = _Layout(), 2, 0
    if content[:2] != _SOI:
        raise _broken("expected a JPEG")
    while True:
        match = _MARKER.match(content, position)
        if match is None and content[position:].strip(b"\xff"):
            raise _broken("the file is damaged: expected a segment")
        if match is None or match[1] == _EOI[1:]:
            return layout
        marker, start = match[1][0], match.end() + 2
        position = match.end() + int.from_bytes(content[match.end() : start], "big")
        if position < start or position > len(content) or marker in _RESTARTS:
            raise _broken("the file is truncated or damaged: a segment is too long")
        body = content[start:position]
        if marker == _DRI:
            interval = int.from_bytes(body[:2], "big")
            layout.intervals.append(start)
        elif marker == _SOS:
            parts = _read_parts(content, position)
            layout.scans.append(_Scan(_scan_header(body), interval, parts))
            position = parts[-1][1]
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            _read_frame(layout, marker, start, body)


def _read_parts(content: bytes, start: int) -> list[tuple[int, int]]:
    """(start, stop) of the restart intervals of a scan.

    Raises:
        DataError: One is missing: their marks count up to seven, again and again.
    """
    parts: list[tuple[int, int]] = []
    for match in _MARKER.finditer(content, start):
        parts.append((start, match.start()))
        if match[1][0] not in _RESTARTS:
            return parts
        if match[1][0] & 7 != (len(parts) - 1) % 8:
            raise _broken("the picture is damaged: a restart interval is missing")
        start = match.end()
    stop = len(content)
    while stop > start and content[stop - 1] == 0xFF:
        stop -= 1
    return [*parts, (start, stop)]


def _scan_header(body: bytes) -> bytes:
    if not body or len(body) != 4 + 2 * body[0] or not body[0]:
        raise _broken("a scan header is damaged")
    return body


def _read_frame(layout: _Layout, marker: int, start: int, body: bytes) -> None:
    if layout.kind or len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise _broken("the frame header is damaged")
    if marker not in (*_SEQUENTIAL, _PROGRESSIVE):
        raise _broken(f"a JPEG of the kind 0x{marker:02x} cannot be decoded")
    layout.kind, layout.frame = marker, start
    layout.rows, layout.cols = (int.from_bytes(body[i : i + 2], "big") for i in (1, 3))
    for number, sampling in zip(body[6::3], body[7::3], strict=True):
        layout.components.append(_Component(number, sampling >> 4, sampling & 15))
    sound = all(1 <= size <= 4 for item in layout.components for size in (item.cols, item.rows))
    if not (layout.rows and layout.cols and layout.components and sound):
        raise _broken("the frame header is damaged")


def _units(layout: _Layout, scan: _Scan) -> tuple[int, int, int, int]:
    """Rows and columns of what is coded together, px, and how many of it there are down, across."""
    widest = max(item.cols for item in layout.components)
    highest = max(item.rows for item in layout.components)
    rows, cols, unit = layout.rows, layout.cols, (8 * highest, 8 * widest)
    if len(scan.components) == 1:
        component = next(item for item in layout.components if item.number in scan.components)
        rows, cols = -(-rows * component.rows // highest), -(-cols * component.cols // widest)
        unit = (8, 8)
    return *unit, -(-rows // unit[0]), -(-cols // unit[1])


def _check_scans(layout: _Layout) -> None:
    """Every component is coded, in as many restart intervals as the picture has."""
    coded = {number for scan in layout.scans for number in scan.components}
    if not layout.components or coded != {item.number for item in layout.components}:
        raise _broken("the picture is truncated: components of it are missing")
    for scan in layout.scans:
        _, _, high, wide = _units(layout, scan)
        expected = -(-high * wide // scan.interval) if scan.interval else 1
        if len(scan.parts) != expected:
            raise _broken(
                f"the picture is damaged: expected {expected} restart intervals. "
                f"Got {len(scan.parts)}"
            )


def _check_passes(layout: _Layout) -> None:
    """A progressive picture gets better scan by scan: all its coefficients, to the last bit."""
    lowest_bit = {item.number: [99] * 64 for item in layout.components}
    for scan in layout.scans:
        first, last, bits = scan.body[-3:]
        for number in scan.components:
            for index in range(first, min(last, 63) + 1):
                lowest_bit[number][index] = bits & 15
    if any(bit for bits_of in lowest_bit.values() for bit in bits_of):
        raise _broken("the picture is truncated: its last scans are missing")


def _pictures(content: bytes, layout: _Layout) -> Iterator[tuple[bytes, Sequence[int]]]:
    """Pictures that can be decoded by themselves, and where coded data end in each.

    Where there are restart intervals, each is a picture: the decoder would go on with the next.
    """
    scan = layout.scans[0]
    if len(layout.scans) > 1 or layout.kind == _PROGRESSIVE or not scan.interval:
        ends = [stop for scan in layout.scans for _, stop in scan.parts]
        yield content[: ends[-1]] + _EOI, ends
        return
    unit_rows, unit_cols, units_high, units_wide = _units(layout, scan)
    count = units_high * units_wide
    for number, (start, stop) in enumerate(scan.parts):
        length = min(scan.interval, count - number * scan.interval)
        high = length // units_wide if length % units_wide == 0 else 1
        head = bytearray(content[: scan.parts[0][0]])
        size = (high * unit_rows, length // high * unit_cols)
        if max(size) > 65500:
            raise _broken("a restart interval is too long")
        for offset, value in zip((1, 3), size, strict=True):
            head[layout.frame + offset : layout.frame + offset + 2] = value.to_bytes(2, "big")
        for position in layout.intervals:
            head[position : position + 2] = b"\0\0"
        yield bytes(head) + content[start:stop] + _EOI, [len(head) + stop - start]


def _filled(content: bytes, ends: Sequence[int], filling: bytes) -> bytes:
    """The picture with bytes put in wherever coded data end."""
    starts = [0, *ends]
    pieces = [content[start:stop] for start, stop in zip(starts, [*ends, None], strict=True)]
    return filling.join(pieces)


def _depends_on_last(
    content: bytes, end: int, reference: npt.NDArray[Any], decode: Decoder
) -> bool:
    """Whether other bytes instead of the last ones of the data change the picture."""
    start = end - _LAST_BYTES
    while content[start - 1] == 0xFF:  # half of a pair
        start -= 1
    return any(
        not np.array_equal(reference, decode(content[:start] + filling + content[end:]))
        for filling in _FILLINGS
    )


def _broken(problem: str) -> DataError:
    return DataError(f"{problem}.", remedy=_REMEDY)
