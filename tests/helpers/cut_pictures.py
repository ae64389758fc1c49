"""Cuts and lies inside sound containers: an error or the very picture, never made-up pixels."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from second_look.decoding.pixels import read_pixels
from second_look.errors import DataError

from helpers import containers as damage
from helpers.small_dicom import JPEG, RLE, file


@dataclass(frozen=True)
class Case:
    """A sound file and the ways to damage the inside of it."""

    name: str
    content: bytes
    changes: tuple[damage.Change, ...]


def _dicom(folder: Path, pixels: np.ndarray, **options: object) -> bytes:
    return file(folder / "sound", pixels, **options).read_bytes()


def _rle(folder: Path) -> bytes:
    data = pydicom.dcmread(file(folder / "sound", damage.noisy(40, 128, 16)))
    data.compress(RLE)
    return damage.saved(data)


def _compressed(
    folder: Path, syntax: str, bits: int, encode: Callable[..., bytes], n: int
) -> bytes:
    frames = [damage.noisy(48, 64, bits, seed) for seed in range(n)]
    pixels = np.stack(frames) if n > 1 else frames[0]
    content = encapsulate([encode(frame) for frame in frames])
    return _dicom(folder, pixels, syntax=f"{JPEG}{syntax}", bits=bits, content=content)


def cases(folder: Path) -> Iterator[Case]:
    """Every container whose inside can be cut while its outer form stays whole."""
    eight, sixteen = damage.noisy(48, 64, 8), damage.noisy(48, 64, 16)
    of_jpeg = (damage.cut_jpeg, damage.resized_jpeg)
    for name, options in (
        ("baseline", {}), ("progressive", {"progressive": True}),
        ("restarts", {"restart_marker_blocks": 5}), ("rows", {"restart_marker_rows": 1}),
        ("best", {"quality": 100}), ("worst", {"quality": 8}),
    ):  # fmt: skip
        yield Case(f"JPEG {name}", damage.pillow_file(eight, "JPEG", **options), of_jpeg)
    for bits, pixels in ((8, eight), (16, sixteen)):
        yield Case(f"PNG {bits}", damage.pillow_file(pixels, "PNG"), (damage.damaged_png,))
        for how in (None, "zlib", "lzw", "packbits"):
            for part in ({"rowsperstrip": 7}, {"tile": (16, 16)}, {}):
                content = damage.tiff_file(pixels, compression=how, **part)
                yield Case(f"TIFF {bits} {how} {part}", content, (damage.damaged_tiff,))
    yield Case("BMP", damage.pillow_file(eight, "BMP"), (damage.resized_bmp,))
    content = damage.tiff_file(eight, compression="jpeg")
    yield Case("TIFF JPEG", content, (damage.cut_tiff_strip, damage.damaged_tiff))
    within = tuple(map(damage.of_frame, of_jpeg))
    for name, syntax, bits, encode, changes in (
        ("JPEG", "50", 8, imagecodecs.jpeg8_encode, within),
        ("12 bit", "51", 12, lambda p: imagecodecs.jpeg8_encode(p, bitspersample=12), within),
        ("lossless", "70", 16, lambda p: imagecodecs.ljpeg_encode(p, bitspersample=16),
         (damage.of_frame(damage.cut_jpeg),)),
        ("JPEG-LS", "80", 16, imagecodecs.jpegls_encode, (damage.of_frame(damage.cut_jpeg),)),
        ("JPEG 2000", "90", 16, damage.j2k, (damage.of_frame(damage.zero_tail),)),
    ):  # fmt: skip
        single = _compressed(folder, syntax, bits, encode, 1)
        yield Case(f"DICOM {name}", single, (*changes, damage.other_size, damage.other_frames))
        several = _compressed(folder, syntax, bits, encode, 3)
        yield Case(f"DICOM {name} x 3", several, (damage.other_frames, damage.without_item))
    changes = (damage.other_size, damage.other_frames, damage.of_frame(damage.cut_run_lengths))
    yield Case("DICOM run lengths", _rle(folder), changes)
    changes = (damage.other_size, damage.other_frames)
    yield Case("DICOM native", _dicom(folder, sixteen), changes)


def findings(folder: Path, count: int, seed: int) -> Iterator[str]:
    """Read `count` damaged files; what is neither refused nor the very picture is yielded."""
    path = folder / "damaged"
    sound = []
    for case in cases(folder):
        path.write_bytes(case.content)
        sound.append((case, read_pixels(path)))
    for number in range(count):
        case, pixels = sound[number % len(sound)]
        rng = random.Random(f"{seed} {number}")
        change = rng.choice(case.changes)
        path.write_bytes(change(case.content, rng))
        try:
            picture = read_pixels(path)
        except DataError:
            continue
        except Exception as error:
            yield f"{case.name} {number}: {type(error).__name__}: {error}"
            continue
        # A header may leave out rows or columns at the end of whole tiles: what it shows is true.
        if not np.array_equal(picture, pixels[: len(picture), : picture.shape[1]]):
            yield f"{case.name} {number} {getattr(change, '__name__', '')}: made-up pixels"
