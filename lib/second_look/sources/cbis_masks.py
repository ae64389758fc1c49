"""Which file of an ROI of CBIS-DDSM is its mask, and which its crop.

Names, columns of the CSVs, series descriptions and the order of files all mislead. A mask has 8
bits, two values and about the size of the mammogram; a crop has 16 bits and is small. Headers
decide; pixels are decoded only where headers leave a doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from second_look.decoding.pixels import read_pixels
from second_look.errors import DataError

# Height and width of a mask may differ by factors this far apart: P_00353_LEFT_CC has 0.3 %.
ASPECT_TOLERANCE = 0.03
# A mask of that many times the mammogram's size is taken for one without a look: 1.149 occurs.
_FULL = (0.8, 1.25)
# Below this share of the mammogram's height or width a file is a crop.
_SMALL = 0.5


@dataclass(frozen=True, slots=True)
class Picture:
    """A file as its header describes it.

    Attributes:
        path: Where it is, absolute.
        rows, cols: Size, px.
        bits: Significant bits a pixel.
        problem: Why it cannot be read; "" where all is well.
    """

    path: Path
    rows: int
    cols: int
    bits: int
    problem: str = ""

    @property
    def size(self) -> str:
        """Its size in words."""
        return f"{self.rows} x {self.cols} px"


@dataclass(frozen=True, slots=True)
class Choice:
    """The mask of an ROI, or none.

    Attributes:
        mask: The file; None where none can be trusted.
        reason: For the quarantine: why there is none, or what is odd about it; "" where all is
            well.
    """

    mask: Picture | None
    reason: str = ""

    @property
    def effect(self) -> str:
        """For the quarantine."""
        return "kept, mended" if self.mask else "location unknown"


def choose_mask(files: Sequence[Picture], image: Picture) -> Choice:
    """The mask among the files of an ROI.

    Args:
        files: All files of its crop series and its mask series, at least one.
        image: The mammogram.
    """
    readable = [file for file in files if not file.problem]
    problems = [f"{file.path.name}: {file.problem}" for file in files if file.problem]
    shapes = {file: _shape(file, image) for file in readable}
    clear = [file for file in readable if shapes[file] == "full" and file.bits <= 8]
    if len(clear) == 1:
        return _chosen(clear[0], image)
    masks: list[tuple[Picture, npt.NDArray[np.bool_]]] = []
    for file in clear or [file for file in readable if shapes[file] in ("full", "alike")]:
        try:
            inside = _two_valued(file)
        except DataError as error:
            problems.append(f"{file.path.name}: {error.problem}")
            continue
        if inside is not None:
            masks.append((file, inside))
    if masks:
        first, inside = masks[0]
        if all(np.array_equal(inside, other) for _, other in masks[1:]):
            return _chosen(first, image, copies=len(masks))
        return Choice(None, f"{len(masks)} files are masks, and differ")
    return Choice(None, "; ".join([_why_none(shapes, image), *problems]))


def _shape(file: Picture, image: Picture) -> str:
    """The size of a file beside the mammogram's: full, alike (same aspect), small or other."""
    low, high = sorted((file.rows / image.rows, file.cols / image.cols))
    if low < _SMALL:
        return "small"
    if high / low - 1 > ASPECT_TOLERANCE:
        return "other"
    return "full" if _FULL[0] <= low and high <= _FULL[1] else "alike"


def _two_valued(file: Picture) -> npt.NDArray[np.bool_] | None:
    """Where a picture is not 0, bool (rows, cols), if all else has one value; None if not.

    Raises:
        DataError: It cannot be decoded, or has the same value everywhere.
    """
    pixels = read_pixels(file.path)
    inside: npt.NDArray[np.bool_] = pixels == pixels.max()
    return inside if bool((inside | (pixels == 0)).all()) else None


def _chosen(mask: Picture, image: Picture, copies: int = 1) -> Choice:
    reasons = []
    if (mask.rows, mask.cols) != (image.rows, image.cols):
        reasons.append(f"the mask has {mask.size}, the image {image.size}: it is resampled")
    if mask.bits > 8:
        reasons.append(f"the mask has {mask.bits} bits instead of 8, but two values only")
    if copies > 1:
        reasons.append(f"{copies} files hold the same mask; one is used")
    return Choice(mask, "; ".join(reasons))


def _why_none(shapes: dict[Picture, str], image: Picture) -> str:
    if not shapes:
        return "no file of the lesion can be read"
    strangers = [file for file in shapes if shapes[file] == "other" and file.bits <= 8]
    if strangers:
        return f"mask of another image? It has {strangers[0].size}, the image {image.size}"
    sizes = ", ".join(f"{file.size} of {file.bits} bits" for file in shapes)
    if set(shapes.values()) == {"small"}:
        return f"no mask: every file is as small as a crop ({sizes}; the image has {image.size})"
    return f"no file looks like a mask ({sizes}; the image has {image.size})"
