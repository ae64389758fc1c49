"""Damage inside a sound container: pictures cut, headers that lie, parts that are gone.

Each function changes a file so that its outer form stays as it was. What was lost must be reported.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_fragments, parse_basic_offsets

Change = Callable[[bytes, random.Random], bytes]


# ------------------------------------------------------------------ JPEG


def scan_start(content: bytes) -> int:
    """Where the coded data of the first scan begin."""
    start = content.index(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")


def cut_jpeg(content: bytes, rng: random.Random) -> bytes:
    """A JPEG that ends too soon, with its end mark put back."""
    return content[: rng.randrange(scan_start(content), len(content) - 2)] + b"\xff\xd9"


def resized_jpeg(content: bytes, rng: random.Random) -> bytes:
    """A JPEG whose header says other rows or columns than are stored, by a block or more."""
    start = next(
        i for i in range(len(content)) if content[i : i + 1] == b"\xff" and content[i + 1] in
        (0xC0, 0xC1, 0xC2)
    )  # fmt: skip
    offset = start + rng.choice([5, 7])
    size = int.from_bytes(content[offset : offset + 2], "big")
    size = max(8, size + 8 * rng.choice([-2, -1, 1, 2, 20]))
    return content[:offset] + size.to_bytes(2, "big") + content[offset + 2 :]


# ------------------------------------------------------------------ PNG, BMP and TIFF


def png(header: bytes, stream: bytes) -> bytes:
    """A PNG with right checksums."""
    parts = [(b"IHDR", header), (b"IDAT", stream), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def damaged_png(content: bytes, rng: random.Random) -> bytes:
    """A PNG with too few rows, or whose header says other rows than its stream has."""
    rows = int.from_bytes(content[20:24], "big")
    stream = b""
    position = 8
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        if content[position + 4 : position + 8] == b"IDAT":
            stream += content[position + 8 : position + 8 + length]
        position += 12 + length
    header = content[16:29]
    if rng.random() < 0.5:
        other_rows = rng.choice([rows - 1, rows + 1, 25 * rows])
        return png(header[:4] + other_rows.to_bytes(4, "big") + header[8:], stream)
    raw = zlib.decompress(stream)
    return png(header, zlib.compress(raw[: len(raw) // rows * rng.randrange(1, rows)]))


def resized_bmp(content: bytes, rng: random.Random) -> bytes:
    """A BMP whose header says other rows, or columns by a block, than are stored."""
    offset, step = rng.choice([(18, 8), (22, 1)])
    size = int.from_bytes(content[offset : offset + 4], "little")
    return content[:offset] + (size - step).to_bytes(4, "little") + content[offset + 4 :]


def damaged_tiff(content: bytes, rng: random.Random) -> bytes:
    """A TIFF with a part gone, or other rows, columns or bits than are stored."""
    changed = bytearray(content)
    with tifffile.TiffFile(BytesIO(content)) as tiff:
        page = tiff.pages.first
        names = {"offset": (273, 324), "count": (279, 325), "rows": (257,), "cols": (256,)}
        name = rng.choice([*names, "bits"]) if page.compression == 1 else rng.choice([*names])
        tag = next(tag for tag in page.tags.values() if tag.code in names.get(name, (258,)))
        value: tuple[int, ...] = tag.value if isinstance(tag.value, tuple) else (tag.value,)
        if name in ("offset", "count"):
            value = (*value[:-1], 0)
        elif name == "bits":
            value = (8 if value[0] == 16 else 4,)
        else:
            value = (value[0] - rng.choice([1, 2, 5]),)
        form = {3: "H", 4: "I"}[int(tag.dtype)]
        packed = struct.pack(f"{tiff.byteorder}{len(value)}{form}", *value)
        changed[tag.valueoffset : tag.valueoffset + len(packed)] = packed
    return bytes(changed)


def cut_tiff_strip(content: bytes, rng: random.Random) -> bytes:
    """A TIFF of one strip or tile of JPEG that ends too soon, with its end mark put back."""
    with tifffile.TiffFile(BytesIO(content)) as tiff:
        page = tiff.pages.first
        start, length = page.dataoffsets[0], page.databytecounts[0]
        tag = next(tag for tag in page.tags.values() if tag.code in (279, 325))
    strip = cut_jpeg(content[start : start + length], rng)
    changed = bytearray(content)
    changed[start : start + len(strip)] = strip
    if tag.count == 1:
        form = {3: "H", 4: "I"}[int(tag.dtype)]
        packed = struct.pack(f"<{form}", len(strip))
        changed[tag.valueoffset : tag.valueoffset + len(packed)] = packed
    return bytes(changed)


# ------------------------------------------------------------------ DICOM


def of_frame(change: Change) -> Change:
    """The same damage within the compressed frame of a DICOM file."""

    def changed(content: bytes, rng: random.Random) -> bytes:
        data = pydicom.dcmread(BytesIO(content))
        data.PixelData = encapsulate([change(frames_of(data)[0], rng)])
        return saved(data)

    return changed


def frames_of(data: FileDataset) -> list[bytes]:
    """The items of the compressed pixels."""
    stream = BytesIO(data.PixelData)
    parse_basic_offsets(stream)
    return list(generate_fragments(stream))


def saved(data: FileDataset) -> bytes:
    """The bytes of a DICOM file."""
    stream = BytesIO()
    data.save_as(stream)
    return stream.getvalue()


def other_size(content: bytes, rng: random.Random) -> bytes:
    """A DICOM file whose header says other rows or columns than are stored."""
    data = pydicom.dcmread(BytesIO(content))
    name = rng.choice(["Rows", "Columns"])
    setattr(data, name, getattr(data, name) + rng.choice([-2, -1, 1, 2, 30]))
    return saved(data)


def other_frames(content: bytes, rng: random.Random) -> bytes:
    """A DICOM file that says another number of frames than it has."""
    data = pydicom.dcmread(BytesIO(content))
    frames = int(data.get("NumberOfFrames") or 1)
    data.NumberOfFrames = rng.choice([n for n in range(1, frames + 4) if n != frames])
    return saved(data)


def without_item(content: bytes, rng: random.Random) -> bytes:
    """A DICOM file of several frames that has lost one, with or without a table of offsets."""
    data = pydicom.dcmread(BytesIO(content))
    frames = frames_of(data)
    frames.pop(rng.randrange(len(frames)))
    data.PixelData = encapsulate(frames, has_bot=rng.random() < 0.5)
    return saved(data)


def zero_tail(content: bytes, rng: random.Random) -> bytes:
    """A codestream of JPEG 2000 whose end is zeros, before its end mark."""
    start = content.index(b"\xff\x93") + 2
    lost = rng.randrange(150, len(content) - start - 2)
    end = content.rindex(b"\xff\xd9")
    return content[: end - lost] + bytes(lost) + content[end:]


def cut_run_lengths(content: bytes, rng: random.Random) -> bytes:
    """Run lengths that end too soon."""
    return content[: rng.randrange(64, len(content) - 2)]


# ------------------------------------------------------------------ sound files


def noisy(rows: int, cols: int, bits: int, seed: int = 0) -> np.ndarray:
    """A picture with a slope and noise, so that every row and pixel is its own."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(rows), 2 * np.arange(cols)) / (rows + 2 * cols) * 0.7 + 0.1
    levels = (slope + rng.normal(0, 0.02, (rows, cols))).clip(0, 1) * ((1 << bits) - 1)
    return levels.astype(np.uint8 if bits <= 8 else np.uint16)


def pillow_file(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    """A picture as Pillow writes it."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def tiff_file(pixels: np.ndarray, **options: object) -> bytes:
    """A picture as tifffile writes it."""
    stream = BytesIO()
    tifffile.imwrite(stream, pixels, photometric="minisblack", **options)
    return stream.getvalue()


def j2k(pixels: np.ndarray) -> bytes:
    """A codestream without loss."""
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0))
