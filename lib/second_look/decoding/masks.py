"""Lesion masks as people save them: black and white, grey, inverted, in alpha, a value a lesion.

And whether a mask lies where boxes say that it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, binary_erosion
from skimage.transform import resize

from second_look.decoding.pixels import Pixels, is_lossy, read_header, read_mask_values
from second_look.errors import DataError
from second_look.geometry import Box

# A mask so many times as long as its image belongs to another one, and is slow to resample.
_MASK_RATIO = 16
# Of the 8 bits of a JPEG. Compression leaves grey levels of a few per cent around every edge.
_HALF_LEVEL = 128
# A map of labels has at most so many values.
_MOST_LABELS = 64
_NEIGHBOURS = np.ones((3, 3), dtype=bool)
# A mask of which less lies in the boxes contradicts them, and by how much boxes are widened at each
# side, as a share of their length and in px. Of 1,592 masks of CBIS-DDSM at least 0.98 does.
AGREEING = 0.5
_SLACK, _SLACK_PX = 0.1, 2.0


@dataclass(frozen=True)
class LesionMask:
    """What a mask file shows.

    Attributes:
        labels: uint8 (rows, cols): 0 outside, 1 inside; in a map of labels 1 to n, from the lowest
            value to the highest.
        remark: What had to be put right; "" if nothing.
    """

    labels: npt.NDArray[np.uint8]
    remark: str = ""


def read_mask(path: Path, rows: int, cols: int) -> npt.NDArray[np.bool_]:
    """All that is inside in `read_lesion_mask`, bool (rows, cols)."""
    return np.asarray(read_lesion_mask(path, rows, cols).labels > 0)


def read_lesion_mask(path: Path, rows: int, cols: int) -> LesionMask:
    """Read a lesion mask.

    Of two values the higher one is inside. Of several, each is a lesion's label, unless some of
    them only lead from one level to the next, as at a smoothed edge: then, and in a JPEG, what has
    at least half of the brightest level is inside. Where most of the picture's border would be
    inside, the mask is inverted. A picture of one colour whose transparency varies has its mask
    there; of a palette with colours the indices count.

    Returns:
        (rows, cols); a mask of another size is resampled, and a pixel of which at least half is
        inside counts.

    Raises:
        DataError: The file cannot be read, or holds no lesion pixel, or nothing else.
    """
    header = read_header(path)
    if max(header.rows / rows, header.cols / cols) > _MASK_RATIO:
        raise DataError(
            f"the mask has {header.rows} x {header.cols} px, the image {rows} x {cols}.",
            location=path,
            remedy="Give the mask of this image.",
        )
    values = read_mask_values(path)
    labels = (values >= _HALF_LEVEL).astype(np.uint8) if is_lossy(path) else _labels(values)
    remark = ""
    if 2 * np.count_nonzero(_border(labels)) > _border(labels).size:
        if labels.all():
            raise DataError(
                "all of the mask is inside.",
                location=path,
                remedy="Give a mask that shows where the lesion ends, or none.",
            )
        remark = "most of its border is inside: it is inverted"
        labels = (labels == 0).astype(np.uint8)
    labels = _resized(labels, rows, cols)
    if not labels.any():
        raise DataError(
            "the mask is empty.",
            location=path,
            remedy="Give a mask with the lesion in it, or none.",
        )
    return LesionMask(labels, remark)


def _labels(values: Pixels) -> npt.NDArray[np.uint8]:
    """0 for the background, then 1 to n for labels, or 1 for all levels above the middle."""
    levels = np.flatnonzero(np.bincount(values.ravel()))
    if len(levels) == 1:
        return np.full(values.shape, int(levels[0] > 0), dtype=np.uint8)
    if len(levels) > _MOST_LABELS or any(_is_edge(values, level) for level in levels[1:-1]):
        bright: npt.NDArray[np.uint8] = (2 * values.astype(np.int64) >= levels[-1]).astype(np.uint8)
        return bright
    return np.searchsorted(levels, values).astype(np.uint8)


def _is_edge(values: Pixels, level: np.intp) -> bool:
    """Whether pixels of a level lie in thin lines beside brighter ones, as at a smoothed edge."""
    pixels = values == level
    if binary_erosion(pixels, _NEIGHBOURS, border_value=1).any():
        return False
    beside = binary_dilation(values > level, _NEIGHBOURS)
    return bool(2 * np.count_nonzero(pixels & beside) > np.count_nonzero(pixels))


def _border(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The outermost pixels of all four sides."""
    return np.asarray(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))


def _resized(labels: npt.NDArray[np.uint8], rows: int, cols: int) -> npt.NDArray[np.uint8]:
    if labels.shape == (rows, cols):
        return labels
    resized = np.zeros((rows, cols), dtype=np.uint8)
    for number in range(1, int(labels.max()) + 1):
        part = (labels == number).astype(np.float32)
        resized[resize(part, (rows, cols), order=1, anti_aliasing=True) >= 0.5] = number
    return resized


def pixels_in(boxes: Iterable[Box], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The pixels of a picture whose centres lie in any of the boxes, (rows, cols)."""
    boxed = np.zeros(shape, dtype=bool)
    for box in boxes:
        # The centre of a pixel lies half a pixel behind its index.
        rows, cols = (
            slice(max(0, int(np.ceil(start - 0.5))), max(0, int(np.ceil(end - 0.5))))
            for start, end in ((box.row_min, box.row_max), (box.col_min, box.col_max))
        )
        boxed[rows, cols] = True
    return boxed


def share_within(mask: npt.NDArray[np.bool_], boxes: Iterable[Box]) -> float:
    """Share of a mask (rows, cols) that lies in boxes, which are often drawn too narrow."""
    wide = []
    for box in boxes:
        rows, cols = _SLACK * box.height + _SLACK_PX, _SLACK * box.width + _SLACK_PX
        wide.append(
            Box(box.row_min - rows, box.col_min - cols, box.row_max + rows, box.col_max + cols)
        )
    within = int(np.count_nonzero(mask & pixels_in(wide, mask.shape)))
    return within / max(int(np.count_nonzero(mask)), 1)


def apart(mask: npt.NDArray[np.bool_], boxes: Sequence[Box]) -> bool:
    """Whether little of a mask lies in boxes, and little of the boxes in it.

    A mask of the whole breast is not apart from the box of a lesion: it only shows no lesion.
    """
    boxed = pixels_in(boxes, mask.shape)
    covered = int(np.count_nonzero(mask & boxed)) / max(int(np.count_nonzero(boxed)), 1)
    return share_within(mask, boxes) < AGREEING and covered < AGREEING
