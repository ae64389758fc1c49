"""One augmentation of pictures: what is drawn, the affine map that follows, and the contrast.

Everything that varies pictures (patches, whole mammograms, frames of a detector) draws `Variations`
and applies them by one convention, stated for what is shown, in px (row, col):

    source, as it lies on disk  →  turned  →  enlarged  →  mirrored, flipped  →  shifted  →  shown

- angle: counter-clockwise as displayed. By 90°, what lies right of the
  middle comes to lie above it.
- scale: above 1 enlarges what is shown; the dot moves away from the middle.
- mirrored: left-right; flipped: top-bottom. After the turn.
- shift: moves what is shown down and right, by shares of the picture's rows and columns.
- gain: spreads grey levels about the picture's mean; below 1 narrows them.

Turn, scale and mirrors leave the middle of the picture where it is. For the pixel that is shown at
an offset p from the middle, `Variations.matrices` gives the offset in the source, M (p − shift).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are varied at most; as it stands, not at all.

    Attributes:
        rotation_deg: Turned by up to this angle either way; 180 turns all around.
        mirror: Mirrored left-right half of the time.
        flip: Flipped top-bottom half of the time.
        scale: Enlarged or reduced by up to this factor either way.
        shift: Moved by up to this share of the picture, down or up and right or left.
        contrast: Grey levels spread or narrowed about the mean by up to this share.
    """

    rotation_deg: float = 0.0
    mirror: bool = False
    flip: bool = False
    scale: float = 1.0
    shift: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        shares = min(self.shift, self.contrast) >= 0 and max(self.shift, self.contrast) < 1
        if not (0 <= self.rotation_deg <= 180 and self.scale >= 1 and shares):
            raise ValueError(
                "expected rotation_deg 0 to 180, scale at least 1, shift and contrast 0 to below "
                f"1. Got {self.rotation_deg}, {self.scale}, {self.shift}, {self.contrast}."
            )


NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Variations:
    """What was drawn for n pictures, by the convention of this module.

    Attributes:
        angles: Radians, float64 (n,).
        mirrored, flipped: Bool (n,).
        scales: Around 1, float64 (n,).
        shifts: Down and right, shares of the picture, float64 (n, 2).
        gains: Around 1, float64 (n,).
    """

    angles: FloatArray
    mirrored: BoolArray
    flipped: BoolArray
    scales: FloatArray
    shifts: FloatArray
    gains: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int, bounds: Augmentation) -> Variations:
        """Draw for `count` pictures: angles, mirrors, scales, gains, flips, shifts, in this order.

        All are drawn whatever the bounds, so that one bound changes nothing else.
        """
        limit = np.deg2rad(bounds.rotation_deg)
        angles = -rng.uniform(-limit, limit, count)
        mirrored = (rng.random(count) < 0.5) & bounds.mirror
        scales = np.exp(-rng.uniform(-1, 1, count) * np.log(bounds.scale))
        gains = 1 + bounds.contrast * rng.uniform(-1, 1, count)
        flipped = (rng.random(count) < 0.5) & bounds.flip
        shifts = bounds.shift * rng.uniform(-1, 1, (count, 2))
        return cls(angles, mirrored, flipped, scales, shifts, gains)

    @classmethod
    def none(cls, count: int) -> Variations:
        """Variations that leave `count` pictures as they are."""
        zeros, ones, false = np.zeros(count), np.ones(count), np.zeros(count, dtype=bool)
        return cls(zeros, false, false, ones, np.zeros((count, 2)), ones)

    def __len__(self) -> int:
        return len(self.angles)

    def __getitem__(self, part: slice) -> Variations:
        return Variations(*(getattr(self, field.name)[part] for field in fields(self)))

    def matrices(self) -> FloatArray:
        """From offsets in what is shown to those in the source, (row, col) px, (n, 2, 2)."""
        cos, sin = np.cos(self.angles) / self.scales, np.sin(self.angles) / self.scales
        by_row, by_col = np.where(self.flipped, -1.0, 1.0), np.where(self.mirrored, -1.0, 1.0)
        rows = [[cos * by_row, sin * by_col], [-sin * by_row, cos * by_col]]
        return np.moveaxis(np.array(rows), -1, 0)


@dataclass(frozen=True)
class Grid:
    """Where the pixels of pictures lie in their sources: a term for each row plus one for each col.

    Both are in the coordinates of `grid_sample`, from -1 to 1 over the edges of a source, x + iy as
    one complex number: sums of rows and columns need no product for each pixel.

    Attributes:
        by_row: complex64 (n, rows).
        by_col: complex64 (n, cols).
    """

    by_row: Tensor
    by_col: Tensor

    @classmethod
    def from_matrices(
        cls,
        matrices: FloatArray,
        middles: FloatArray,
        *,
        shape: tuple[int, int],
        source_shape: tuple[int, int],
        device: torch.device,
    ) -> Grid:
        """Map pictures of a shape to sources: source = middle + matrix @ (pixel - shape / 2), px.

        Args:
            matrices: (n, 2, 2), (row, col).
            middles: Places in the sources that the middles of the pictures show, (row, col) from
                the outer edge of the first pixel, (n, 2).
            shape: Rows and columns of the pictures.
            source_shape: Rows and columns of the sources.
            device: Of the terms.
        """
        by_y, by_x = 2 / source_shape[0], 2 / source_shape[1]
        steps = by_x * matrices[:, 1] + 1j * by_y * matrices[:, 0]  # (n, 2)
        start = by_x * middles[:, 1] - 1 + 1j * (by_y * middles[:, 0] - 1)
        terms = np.stack([steps[:, 0], steps[:, 1], start]).astype(np.complex64)
        step_row, step_col, first = torch.as_tensor(terms, device=device)[:, :, None]
        row, col = (torch.arange(length, device=device) + (0.5 - length / 2) for length in shape)
        return cls(first + step_row * row, step_col * col)

    def __getitem__(self, part: slice) -> Grid:
        return Grid(self.by_row[part], self.by_col[part])

    def sample(self, sources: Tensor, *, mode: str = "bilinear") -> Tensor:
        """Sources float32 (n, 1, source rows, source cols) as (n, 1, rows, cols); outside is 0."""
        grid = torch.view_as_real(self.by_row[:, :, None] + self.by_col[:, None])
        return functional.grid_sample(
            sources, grid, mode=mode, padding_mode="zeros", align_corners=False
        )


def picture_grid(
    variations: Variations,
    shape: tuple[int, int],
    device: torch.device,
    *,
    filled: FloatArray | None = None,
) -> Grid:
    """The grid that varies pictures within their own frame.

    Args:
        variations: One a picture.
        shape: Rows and columns of the frame.
        device: Of the pictures.
        filled: Rows and columns that each picture fills of the frame from its top left, (n, 2);
            None: all of it. It turns about its own middle.
    """
    size = np.array(shape if filled is None else filled, dtype=np.float64)
    middles, matrices = size / 2, variations.matrices()
    offsets = np.array(shape) / 2 - middles - variations.shifts * size  # (n, 2)
    source_middles = middles + np.einsum("nij,nj->ni", matrices, offsets)
    return Grid.from_matrices(
        matrices, source_middles, shape=shape, source_shape=shape, device=device
    )


def level_factors(gains: FloatArray, units: FloatArray | float, device: torch.device) -> Tensor:
    """Factors from stored grey levels to 0 to 1, without and with the gain, (2, n, 1, 1, 1)."""
    factors = np.stack([np.broadcast_to(units, gains.shape), units * gains]).astype(np.float32)
    return torch.as_tensor(factors, device=device)[:, :, None, None, None]


def spread_levels(pixels: Tensor, factors: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Grey levels spread about each picture's mean, cut to 0 to 1.

    Args:
        pixels: Float32 (n, 1, rows, cols).
        factors: Of `level_factors`.
        out: Where the result goes; None makes a new tensor.
    """
    unit, gain = factors
    mean = pixels.mean(dim=(2, 3), keepdim=True)
    # unit * (mean + gain * (pixels - mean)) with gain / unit, in one pass over the pixels.
    return torch.addcmul((unit - gain) * mean, pixels, gain, out=out).clamp_(0, 1)
