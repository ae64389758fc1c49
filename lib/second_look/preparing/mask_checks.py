"""What is wrong with a breast mask, or with the picture that it was found in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, uniform_filter

from second_look.decoding.pixels import Pixels
from second_look.preparing.breast import Mask

# Longest side of the copy on which masks are judged, px.
_WORKING_SIZE = 256
# A mask that covers less of its picture is reported. The smallest of mini-MIAS covers 13 %.
_SMALL_SHARE = 0.08
# Grey level just outside the mask, as a share of the way from air to the middle of the breast,
# from which it is tissue, and the share of the edge that may have such a level. On film up to
# 0.08 of the edge has it; where 5 % of a digital breast were lost, 0.12 or more.
_TISSUE, _TISSUE_EDGE = 0.3, 0.12
# A chest wall is at a side of the picture, or it is straight: half of the rows of the tissue end
# within this distance, as a share of the width of the picture or of the tissue.
_NEAR, _STRAIGHT_SHARE = 0.03, 0.5
# Levels this close to the darkest and the brightest, as a share of their distance, count as black
# and as white. Where so much more of the picture is white than black, that is a sign of a negative:
# it holds for none of 2,001 real mammograms (CBIS-DDSM masses, mini-MIAS, CDD-CESM; at most 0.08),
# and for all of their negatives but six, of breasts that fill the picture or films with a wide
# white frame.
_EXTREME, _NEGATIVE = 0.1, 0.12
# Dense tissue that fills the picture is white too, but it has texture and air is even: the other
# sign is a slope of the levels in the white part below this share of that in the grey part, both
# medians, of levels smoothed over some px against noise. In 566 negatives of these mammograms it is
# 0.13 at most; in white tissue about 1.
_EVEN_SLOPE, _SMOOTHED = 0.5, 5
# A collimated field fills a rectangle to this share, touches one side of the picture at most, and
# has tissue along all of its sides: half of each is brighter than this share of bright tissue. A
# film on the padding of its scan is a rectangle too, but has air along its sides.
_FULL, _SIDE_LEVEL = 0.97, 0.2
# Air is black and even on a digital image: so much of it is no brighter than this share of white.
_BLACK, _EVEN_SHARE = 0.01, 0.98


def negative_doubt(pixels: Pixels) -> str:
    """Why a picture looks like a negative, whose air is white; "" if it does not.

    Two signs are needed, since tissue may show either: much white, and white that is even. The side
    of the chest wall is none: a third of the films of CBIS-DDSM show it at the other side than the
    label of the breast suggests.

    Args:
        pixels: Grey levels, (rows, cols).
    """
    small = _averaged(pixels, *_steps(pixels.shape))
    low, high = np.quantile(small, [0.005, 0.995])
    is_black = small < low + _EXTREME * (high - low)
    is_white = small > high - _EXTREME * (high - low)
    black, white = float(np.mean(is_black)), float(np.mean(is_white))
    if white - black <= _NEGATIVE:
        return ""
    slope = np.hypot(*np.gradient(uniform_filter(small, _SMOOTHED)))
    grey = slope[~is_black & ~is_white]
    if grey.size and np.median(slope[is_white]) > _EVEN_SLOPE * np.median(grey):
        return ""
    return (
        f"it looks like a negative: {white:.0%} of the picture is nearly white, and even as air "
        f"is, and {black:.0%} nearly black, but air has to be black"
    )


def mask_doubt(pixels: Pixels, breast: Mask) -> str:
    """Why the mask of a breast looks wrong; "" if it does not.

    Args:
        pixels: Grey levels, (rows, cols).
        breast: The mask, (rows, cols).
    """
    share = np.count_nonzero(breast) / breast.size
    if share < _SMALL_SHARE:
        return f"the breast covers only {share:.1%} of the picture"
    small, mask = _reduced(pixels, breast)
    ring = binary_dilation(mask, iterations=5) & ~binary_dilation(mask, iterations=2)
    if not ring.any():
        return ""
    air = float(np.quantile(small[~mask], 0.1))
    level = (small[ring] - air) / max(float(np.median(small[mask])) - air, 1e-6)
    bright = float(np.mean(level > _TISSUE))
    if bright <= _TISSUE_EDGE:
        return ""
    return f"{bright:.0%} of the edge of the breast runs through tissue"


def special_shape(pixels: Pixels, breast: Mask) -> str:
    """What the shape on black air shows that is no whole breast; "" on film and for a breast.

    A specimen and a spot view with a collimated field can be told. A magnification view cannot: it
    fills the picture, as large breasts do.

    Args:
        pixels: Grey levels, (rows, cols).
        breast: What was taken for the breast, (rows, cols).
    """
    small, mask = _reduced(pixels, breast)
    if _is_field(small):
        return (
            "spot view, by its shape: all that is not black is a rectangle full of tissue, such as "
            "a collimator leaves free"
        )
    if not _black_around(small, mask) or any(map(_has_wall, (mask, mask[:, ::-1]))):
        return ""
    return (
        "specimen or part of a breast, by its shape: the tissue ends at no side of the picture and "
        "at no straight line, as it would at the chest wall"
    )


def _is_field(small: npt.NDArray[np.float32]) -> bool:
    """Whether all that is not black is a rectangle with tissue up to its sides."""
    bright = small > small.min() + _BLACK * float(np.quantile(small, 0.995))
    rows, cols = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return False
    box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    ends = (rows[0], small.shape[0] - 1 - rows[-1], cols[0], small.shape[1] - 1 - cols[-1])
    at_sides = sum(end <= _NEAR * max(small.shape) for end in ends)
    if np.mean(bright[box]) < _FULL or at_sides > 1:
        return False
    field = small[box]
    level = _SIDE_LEVEL * (np.quantile(field, 0.9) - small.min()) + small.min()
    # The outermost pixels are partly black.
    inner = min(2, min(field.shape) // 4)
    return all(np.median(np.rot90(field, turns)[inner]) > level for turns in range(4))


def _has_wall(mask: Mask) -> bool:
    """Whether the tissue ends at a chest wall on its left."""
    rows = np.flatnonzero(mask.any(axis=1))
    ends = np.argmax(mask[rows], axis=1)
    if ends.min() <= _NEAR * mask.shape[1]:
        return True
    width = np.flatnonzero(mask.any(axis=0))[-1] + 1 - ends.min()
    return bool(np.mean(ends <= ends.min() + _NEAR * width) > _STRAIGHT_SHARE)


def _black_around(small: npt.NDArray[np.float32], mask: Mask) -> bool:
    air = small[~binary_dilation(mask, iterations=2)]
    # What is brighter than a tenth of white is a marker or a label.
    white = float(np.quantile(small, 0.995))
    air = air[air <= small.min() + 0.1 * white]
    return bool(air.size and np.mean(air <= small.min() + _BLACK * white) > _EVEN_SHARE)


def _reduced(pixels: Pixels, breast: Mask) -> tuple[npt.NDArray[np.float32], Mask]:
    """Both at about the working size; grey levels are means over a few pixels."""
    half, stride = _steps(pixels.shape)
    return _averaged(pixels, half, stride), breast[::half, ::half][::stride, ::stride]


def _steps(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many px to leave out before averaging, and over how many of the others to average."""
    step = max(1, max(shape) // _WORKING_SIZE)
    half = max(1, step // 2)
    return half, step // half


def _averaged(pixels: Pixels, half: int, stride: int) -> npt.NDArray[np.float32]:
    coarse: npt.NDArray[np.float32] = uniform_filter(
        pixels[::half, ::half].astype(np.float32), stride
    )
    return coarse[::stride, ::stride]
