"""Which file of an ROI of CBIS-DDSM is its mask, and which its crop.

Names, columns of the CSVs, series descriptions and the order of files are all misleading. A mask
has 8 bits, two values and about the size of the mammogram; a crop has 16 bits and is small. Headers
decide; pixels are decoded only if headers leave a doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from second_look.decoding.pixels import is_lossy, read_pixels
from second_look.errors import DataError
from second_look.quarantine import Code

Mask = npt.NDArray[np.bool_]  # (rows, cols)

# Height and width of a mask may differ by factors this far apart: P_00353_LEFT_CC has 0.3 %.
ASPECT_TOLERANCE = 0.03
# A file of 8 bits with so many times the mammogram's size is a mask without a look: 1.149 occurs.
_FULL = (0.8, 1.25)
# Below this share of the mammogram's height or width a file is a crop.
_SMALL = 0.5
# A mask as JPEG: grey levels between these shares of the range, in so small a share of its pixels.
_BETWEEN, _EDGES = (0.2, 0.8), 0.01


@dataclass(frozen=True, slots=True)
class Picture:
    """A file as its header describes it.

    Attributes:
        path: Absolute.
        rows, cols: Size, px.
        bits: Significant bits of a pixel.
        problem: Why it cannot be read; "" if it can.
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
        mask: The file; None if there is none to trust.
        code, reason: For the quarantine: why there is none, or what is unusual about it; None and
            "" if nothing is.
    """

    mask: Picture | None
    code: Code | None = None
    reason: str = ""

    @property
    def effect(self) -> str:
        """For the quarantine."""
        return "kept, corrected" if self.mask else "location unknown"


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
    candidates = clear or [file for file in readable if shapes[file] in ("full", "similar")]
    masks, undecoded = _decode_masks(candidates)
    if not masks:
        return _none(shapes, image, [*problems, *undecoded])
    first, *copies = masks
    if any(not np.array_equal(masks[first], masks[copy]) for copy in copies):
        return Choice(None, Code.MASK_AMBIGUOUS, f"{len(masks)} files are masks, and differ")
    return _chosen(first, image, copies=len(masks))


def _shape(file: Picture, image: Picture) -> str:
    """The size of a file beside the image's: full, similar (same aspect), small or foreign."""
    low, high = sorted((file.rows / image.rows, file.cols / image.cols))
    if low < _SMALL:
        return "small"
    if high / low - 1 > ASPECT_TOLERANCE:
        return "foreign"
    return "full" if _FULL[0] <= low and high <= _FULL[1] else "similar"


def _decode_masks(files: Sequence[Picture]) -> tuple[dict[Picture, Mask], list[str]]:
    """The files of two values with their masks, and why others cannot be decoded."""
    masks: dict[Picture, Mask] = {}
    problems = []
    for file in files:
        try:
            mask = _two_valued(file)
        except DataError as error:
            problems.append(f"{file.path.name}: {error.problem}")
            continue
        if mask is not None:
            masks[file] = mask
    return masks, problems


def _two_valued(file: Picture) -> Mask | None:
    """Where pixels are not 0, bool (rows, cols), if these have one value, about; else None.

    Raises:
        DataError: It cannot be decoded, or has the same value everywhere.
    """
    pixels = read_pixels(file.path)
    if is_lossy(file.path):
        low, high = (share * 255 for share in _BETWEEN)
        blurred = ((pixels > low) & (pixels < high)).mean()
        lesion: Mask = pixels > 127
        return lesion if blurred < _EDGES and lesion.any() else None
    mask: Mask = pixels == pixels.max()
    return mask if bool((mask | (pixels == 0)).all()) else None


def _chosen(mask: Picture, image: Picture, copies: int = 1) -> Choice:
    """This mask, with all that is unusual about it; the first of it gives the code."""
    remarks: dict[Code, str] = {}
    if (mask.rows, mask.cols) != (image.rows, image.cols):
        remarks[Code.MASK_RESAMPLED] = (
            f"the mask has {mask.size}, the image {image.size}: it is resampled"
        )
    if mask.bits > 8:
        remarks[Code.MASK_DEPTH] = (
            f"the mask has {mask.bits} bits instead of 8, but two values only"
        )
    if copies > 1:
        remarks[Code.FILE_REPEATED] = f"{copies} files hold the same mask; one is used"
    return Choice(mask, next(iter(remarks), None), "; ".join(remarks.values()))


def _none(shapes: dict[Picture, str], image: Picture, problems: Sequence[str]) -> Choice:
    """No mask, and why."""
    foreign = [file for file in shapes if shapes[file] == "foreign" and file.bits <= 8]
    sizes = ", ".join(f"{file.size} of {file.bits} bits" for file in shapes)
    code = Code.MASK_MISSING
    if not shapes:
        code, reason = Code.MASK_UNREADABLE, "no file of the lesion can be read"
    elif foreign:
        code = Code.MASK_OF_ANOTHER_IMAGE
        reason = f"mask of another image? It has {foreign[0].size}, the image {image.size}"
    elif set(shapes.values()) == {"small"}:
        reason = f"no mask: every file is as small as a crop ({sizes}; the image has {image.size})"
    else:
        reason = f"no file looks like a mask ({sizes}; the image has {image.size})"
    return Choice(None, code, "; ".join([reason, *problems]))
