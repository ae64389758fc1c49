"""Chain codes: the outline of a lesion as steps from pixel to pixel, as DDSM stores it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes
from skimage.draw import line

from second_look.errors import DataError

Mask = npt.NDArray[np.bool_]  # (rows, cols)

# Outlines exceed the film by up to 16 px; they are cut at its edge. A larger excess is an error of
# another kind.
EDGE_TOLERANCE_PX = 32
# (row, col) of the steps 0 to 7: up, then clockwise.
_STEPS = np.array([(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)])


@dataclass(frozen=True, slots=True)
class Chain:
    """An outline as a chain of steps from pixel to pixel.

    Attributes:
        row, col: The first pixel.
        steps: Directions 0 to 7: 0 is up, 1 up and right, and so on clockwise.
    """

    row: int
    col: int
    steps: tuple[int, ...]


def chain_pixels(chain: Chain) -> npt.NDArray[np.int64]:
    """The pixels of an outline in order, (steps + 1, 2) as (row, col)."""
    moves = np.vstack([[(chain.row, chain.col)], _STEPS[list(chain.steps)]])
    return np.cumsum(moves, axis=0)


def gap_px(chain: Chain) -> int:
    """Distance from the last pixel of an outline to the first, in steps; 0 or 1 if closed."""
    pixels = chain_pixels(chain)
    return int(np.abs(pixels[-1] - pixels[0]).max())


def overreach_px(chain: Chain, rows: int, cols: int) -> int:
    """How far an outline leaves a film of that size, px; 0 if it does not."""
    pixels = chain_pixels(chain)
    over = np.maximum(-pixels.min(axis=0), pixels.max(axis=0) - (rows - 1, cols - 1))
    return max(0, int(over.max()))


@dataclass(frozen=True)
class Region:
    """A region of a film, cut to its own box.

    Attributes:
        row, col: Of its upper left pixel on the film.
        mask: bool, as large as the box; it has no pixel where all of it is outside of the film.
    """

    row: int
    col: int
    mask: Mask

    def on_film(self, rows: int, cols: int) -> Mask:
        """The region on a film of that size, bool (rows, cols)."""
        film = np.zeros((rows, cols), dtype=np.bool_)
        height, width = self.mask.shape
        film[self.row : self.row + height, self.col : self.col + width] = self.mask
        return film


def chain_region(chain: Chain, rows: int, cols: int) -> Region:
    """The pixels of an outline and all that it encloses.

    An open outline is closed with a straight line. Parts outside of the film are cut off. What an
    outline that crosses or touches itself encloses twice, or between its strands, is inside.

    Raises:
        DataError: The outline leaves the film by more than EDGE_TOLERANCE_PX.
    """
    excess = overreach_px(chain, rows, cols)
    if excess > EDGE_TOLERANCE_PX:
        raise DataError(f"the outline leaves the film of {rows} x {cols} px by {excess} px.")
    pixels = chain_pixels(chain)
    first, last = pixels.min(axis=0), pixels.max(axis=0)
    mask = np.zeros(last - first + 1, dtype=np.bool_)
    for edge in (pixels, np.column_stack(line(*pixels[-1], *pixels[0]))):
        mask[tuple((edge - first).T)] = True
    start = np.maximum(first, 0)
    end = np.maximum(np.minimum(last + 1, (rows, cols)), start)
    within = tuple(slice(*ends) for ends in zip(start - first, end - first, strict=True))
    return Region(int(start[0]), int(start[1]), binary_fill_holes(mask)[within])


def trace(mask: Mask) -> Chain:
    """The outline of a region without holes, clockwise from its first pixel.

    `chain_region` draws the same region again.

    Args:
        mask: bool (rows, cols), one region; pixels that touch at a corner belong together.

    Raises:
        ValueError: The mask is empty or a single pixel, which has no outline.
    """
    padded = np.pad(mask, 1)
    if np.count_nonzero(mask) < 2:
        raise ValueError("expected a region of at least two pixels.")
    first = row, col = tuple(int(index) for index in np.argwhere(padded)[0])
    # The first pixel has nothing above it or to its left: look from the upper left onwards.
    steps: list[int] = []
    direction = 7
    while True:
        # The first neighbour clockwise, seen from where the last step came from.
        for turn in range(8):
            step = (direction + turn) % 8
            if padded[row + _STEPS[step][0], col + _STEPS[step][1]]:
                break
        if (row, col) == first and steps and step == steps[0]:
            return Chain(first[0] - 1, first[1] - 1, tuple(steps))
        steps.append(step)
        row, col = row + int(_STEPS[step][0]), col + int(_STEPS[step][1])
        direction = (step + 6) % 8 if step % 2 == 0 else (step + 5) % 8
