"""Boxes, windows and the transform from a mammogram to its prepared crop. Coordinates only.

Everything is (row, col), in pixels, with the origin at the top left corner of the picture and the
centre of the first pixel at (0.5, 0.5), so that a box [0, rows) x [0, cols) is the whole picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box [row_min, row_max) x [col_min, col_max) in pixels."""

    row_min: float
    col_min: float
    row_max: float
    col_max: float

    @classmethod
    def from_xywh(cls, x: float, y: float, width: float, height: float) -> Box:
        """The only conversion from (x, y, width, height) to (row, col)."""
        return cls(y, x, y + height, x + width)

    @classmethod
    def from_circle(cls, row: float, col: float, radius: float) -> Box:
        """The smallest box around the pixels within `radius` of the pixel (row, col)."""
        return cls(row - radius, col - radius, row + radius + 1, col + radius + 1)

    @classmethod
    def of_mask(cls, mask: npt.NDArray[np.bool_]) -> Box | None:
        """The smallest box around the true pixels of a mask (rows, cols); None without any."""
        rows = np.flatnonzero(mask.any(axis=1))
        cols = np.flatnonzero(mask.any(axis=0))
        if rows.size == 0:
            return None
        return cls(float(rows[0]), float(cols[0]), float(rows[-1] + 1), float(cols[-1] + 1))

    @property
    def height(self) -> float:
        """Rows spanned, px."""
        return self.row_max - self.row_min

    @property
    def width(self) -> float:
        """Columns spanned, px."""
        return self.col_max - self.col_min

    @property
    def area(self) -> float:
        """Area, px²; zero for an empty box."""
        return max(self.height, 0.0) * max(self.width, 0.0)

    @property
    def centre(self) -> tuple[float, float]:
        """(row, col) of the middle."""
        return (self.row_min + self.row_max) / 2, (self.col_min + self.col_max) / 2

    def intersection(self, box: Box) -> Box:
        """What both boxes cover; its area is zero if they do not overlap."""
        return Box(
            max(self.row_min, box.row_min),
            max(self.col_min, box.col_min),
            min(self.row_max, box.row_max),
            min(self.col_max, box.col_max),
        )

    def iou(self, box: Box) -> float:
        """Intersection over union, 0 to 1."""
        shared = self.intersection(box).area
        union = self.area + box.area - shared
        return shared / union if union > 0 else 0.0

    def contains(self, row: float, col: float) -> bool:
        """Whether a point is in the box."""
        return self.row_min <= row < self.row_max and self.col_min <= col < self.col_max

    def within(self, rows: int, cols: int) -> bool:
        """Whether the box is completely inside a picture of that size."""
        return (
            self.row_min >= 0
            and self.col_min >= 0
            and self.row_max <= rows
            and self.col_max <= cols
        )

    def clipped(self, rows: int, cols: int) -> Box:
        """The part of the box inside a picture of that size."""
        return self.intersection(Box(0.0, 0.0, float(rows), float(cols)))

    def scaled(self, row_factor: float, col_factor: float) -> Box:
        """The same box in a picture resized by these factors."""
        return Box(
            self.row_min * row_factor,
            self.col_min * col_factor,
            self.row_max * row_factor,
            self.col_max * col_factor,
        )


@dataclass(frozen=True, slots=True)
class Transform:
    """From an original mammogram to its prepared crop: cut, then flip left-right, then scale.

    Attributes:
        row_offset, col_offset: First row and column of the cut, original px.
        rows, cols: Size of the cut, original px.
        flipped: Whether the cut was mirrored left-right.
        scale: Prepared px for one original px.
    """

    row_offset: int
    col_offset: int
    rows: int
    cols: int
    flipped: bool = False
    scale: float = 1.0

    def to_prepared(self, points: npt.ArrayLike) -> FloatArray:
        """Original points (n, 2) as (row, col) -> prepared points (n, 2)."""
        offset = np.array([self.row_offset, self.col_offset])
        moved = np.asarray(points, dtype=np.float64) - offset
        if self.flipped:
            moved[..., 1] = self.cols - moved[..., 1]
        result: FloatArray = moved * self.scale
        return result

    def to_original(self, points: npt.ArrayLike) -> FloatArray:
        """Prepared points (n, 2) as (row, col) -> original points (n, 2)."""
        moved = np.asarray(points, dtype=np.float64) / self.scale
        if self.flipped:
            moved[..., 1] = self.cols - moved[..., 1]
        result: FloatArray = moved + np.array([self.row_offset, self.col_offset])
        return result

    def box_to_original(self, box: Box) -> Box:
        """A box of the prepared picture in original pixels."""
        return _box_of(self.to_original(_corners(box)))


def window_starts(length: int, size: int, stride: int) -> IntArray:
    """First pixels of the windows that cover [0, length), the last one flush with the end.

    Args:
        length: Length of the picture along one axis, px.
        size: Length of a window, px.
        stride: Distance of neighbouring windows, px; the last distance may be shorter.

    Returns:
        Starts in increasing order; empty if the picture is shorter than a window.

    Raises:
        ValueError: Size or stride is below 1 px.
    """
    if size < 1 or stride < 1:
        raise ValueError(
            f"size and stride must be at least 1 px. Got size={size}, stride={stride}."
        )
    if length < size:
        return np.empty(0, dtype=np.int64)
    starts = np.arange(0, length - size + 1, stride, dtype=np.int64)
    if starts[-1] != length - size:
        starts = np.append(starts, length - size)
    return starts


def count_windows(rows: int, cols: int, size: int, stride: int) -> int:
    """Number of windows of `window_starts` on a picture of rows x cols px."""
    return window_starts(rows, size, stride).size * window_starts(cols, size, stride).size


def mm_to_px(length_mm: float, spacing_mm: float) -> int:
    """A length in mm as whole pixels of `spacing_mm` mm each, at least one.

    Raises:
        ValueError: The spacing is not positive.
    """
    if not spacing_mm > 0:
        raise ValueError(f"spacing_mm must be positive. Got {spacing_mm}.")
    return max(1, round(length_mm / spacing_mm))


def _corners(box: Box) -> FloatArray:
    return np.array([[box.row_min, box.col_min], [box.row_max, box.col_max]])


def _box_of(corners: FloatArray) -> Box:
    low, high = corners.min(axis=0), corners.max(axis=0)
    return Box(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
