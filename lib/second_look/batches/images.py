"""What whole-image classifiers learn from: augmented mammograms of one size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from second_look.batches.pictures import Pictures
from second_look.batches.sharing import Ahead, digest, part_of
from second_look.catalogue import LABELS
from second_look.errors import DataError


@dataclass(frozen=True)
class ImageAugmentation:
    """How far whole mammograms are varied, in one resampling.

    Attributes:
        rotation_deg: Turned by up to this angle either way.
        flip: Mirrored top to bottom half of the time; the chest wall stays at the left.
        scale: Enlarged or reduced by up to this factor either way.
        shift: Moved by up to this share of the picture in each direction.
        contrast: Grey levels spread or narrowed around the mean by up to this share.
    """

    rotation_deg: float = 15.0
    flip: bool = True
    scale: float = 1.15
    shift: float = 0.05
    contrast: float = 0.1


class ImageBatches:
    """Augmented whole mammograms (see `training.classify.BatchSource`).

    Args:
        pictures: All of one size.
        images: Those to learn from: image_id, label.
        batch_size: Pictures a batch, over all processes.
        seed: Of the draws.
        balance: "natural", or "balanced": each label as often as the others.
        augmentation: How far they are varied.
    """

    def __init__(
        self,
        pictures: Pictures,
        images: pd.DataFrame,
        *,
        batch_size: int,
        seed: int,
        balance: str = "natural",
        augmentation: ImageAugmentation | None = None,
    ) -> None:
        if images.empty:
            raise DataError("there are no images to learn from.", "table images")
        self._pictures, self._images = pictures, images.reset_index(drop=True)
        self._places = pictures.places(images["image_id"])
        self._labels = self._images["label"].map(LABELS.index).to_numpy(np.int64)
        self._augmentation = augmentation or ImageAugmentation()
        self.batch_size, self.seed, self.balance = batch_size, seed, balance
        self._ahead: Ahead | None = None
        self._device = torch.device("cpu")

    def identity(self) -> Mapping[str, Any]:
        """Pictures, labels, augmentation and draws."""
        return {
            "picture_size": list(self._pictures.size),
            "batch_size": self.batch_size,
            "data_seed": self.seed,
            "balance": self.balance,
            "augmentation": asdict(self._augmentation),
            "pictures": self._pictures.digest,
            "images": digest(self._images[["image_id", "label"]]),
        }

    def share(
        self, step: int, rank: int, world: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """This process's part of batch number `step`; the next one is begun meanwhile on a GPU."""
        if self._ahead is None or self._ahead.place != (rank, world, device):
            self._device = device
            self._ahead = Ahead(self, rank, world, device)
        return self._ahead.get(step)

    def make(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """That part, made now."""
        rng = np.random.default_rng([self.seed, step])
        rows = self._draw(rng)
        turns = _draw_turns(rng, self.batch_size, self._augmentation)
        first, last = part_of(self.batch_size, rank, world)
        pixels = self._pictures.levels(self._places[rows[first:last]], self._device)
        varied = vary(pixels, {name: value[first:last] for name, value in turns.items()})
        labels = torch.from_numpy(self._labels[rows[first:last]]).to(self._device)
        return varied, labels

    def _draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        if self.balance == "natural":
            return rng.integers(self._labels.size, size=self.batch_size)
        present = np.unique(self._labels)
        classes = rng.choice(present, self.batch_size)
        return np.array([rng.choice(np.flatnonzero(self._labels == code)) for code in classes])


def _draw_turns(
    rng: np.random.Generator, count: int, how: ImageAugmentation
) -> dict[str, npt.NDArray[np.float64]]:
    limit = np.deg2rad(how.rotation_deg)
    flips = (rng.random(count) < 0.5) & how.flip
    return {
        "angle": rng.uniform(-limit, limit, count),
        "mirror": np.where(flips, -1.0, 1.0),
        "scale": np.exp(rng.uniform(-1, 1, count) * np.log(how.scale)),
        "down": rng.uniform(-1, 1, count) * 2 * how.shift,
        "right": rng.uniform(-1, 1, count) * 2 * how.shift,
        "gain": 1 + how.contrast * rng.uniform(-1, 1, count),
    }


def vary(pixels: Tensor, turns: Mapping[str, npt.NDArray[np.float64]]) -> Tensor:
    """Turn, mirror, scale, shift pictures in one bilinear resampling, and spread their levels.

    Args:
        pixels: Grey levels 0 to 1, float32 (n, 1, rows, cols); outside of them is 0.
        turns: For each picture: angle (radians), mirror (-1 top to bottom, else 1), scale (above 1
            more is seen), down and right (in half pictures) by which the frame moves over it, so
            that what it shows moves up and left, gain.

    Returns:
        As `pixels`.
    """
    rows, cols = pixels.shape[2:]
    cos, sin = np.cos(turns["angle"]) * turns["scale"], np.sin(turns["angle"]) * turns["scale"]
    # grid_sample counts (x, y) from -1 to 1 over the picture, whatever its shape.
    shape = rows / cols
    theta = np.stack(
        [
            np.stack([cos, -sin * shape * turns["mirror"], turns["right"]], axis=-1),
            np.stack([sin / shape, cos * turns["mirror"], turns["down"]], axis=-1),
        ],
        axis=1,
    )
    where = torch.as_tensor(theta.astype(np.float32), device=pixels.device)
    grid = functional.affine_grid(where, list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, mode="bilinear", align_corners=False)
    gain = torch.as_tensor(turns["gain"].astype(np.float32), device=pixels.device)
    mean = moved.mean(dim=(2, 3), keepdim=True)
    return torch.lerp(mean, moved, gain[:, None, None, None]).clamp_(0, 1)
