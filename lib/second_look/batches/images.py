"""What whole-image classifiers learn from: augmented mammograms of one size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from second_look.batches.affine import (
    Augmentation,
    Variations,
    level_factors,
    picture_grid,
    spread_levels,
)
from second_look.batches.pictures import Pictures
from second_look.batches.sharing import PictureBatches, digest, part_of
from second_look.catalogue import LABELS
from second_look.errors import DataError

# How far whole mammograms are varied; never left-right: the chest wall stays at the left.
MAMMOGRAMS = Augmentation(rotation_deg=15, flip=True, scale=1.15, shift=0.05, contrast=0.1)


class ImageBatches(PictureBatches):
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
        balance: str,
        augmentation: Augmentation = MAMMOGRAMS,
    ) -> None:
        if images.empty:
            raise DataError("there are no images to learn from.", "table images")
        self._pictures, self._images = pictures, images.reset_index(drop=True)
        self._places = pictures.places(images["image_id"])
        self._labels = self._images["label"].map(LABELS.index).to_numpy(np.int64)
        self._augmentation = augmentation
        self.batch_size, self.seed, self.balance = batch_size, seed, balance

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

    def make(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """That part, made now."""
        rng = np.random.default_rng([self.seed, step])
        rows = self._draw(rng)
        variations = Variations.draw(rng, self.batch_size, self._augmentation)
        first, last = part_of(self.batch_size, rank, world)
        pixels = self._pictures.levels(self._places[rows[first:last]], self._device)
        varied = vary(pixels, variations[first:last])
        labels = torch.from_numpy(self._labels[rows[first:last]]).to(self._device)
        return varied, labels

    def _draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        if self.balance == "natural":
            return rng.integers(self._labels.size, size=self.batch_size)
        present = np.unique(self._labels)
        classes = rng.choice(present, self.batch_size)
        return np.array([rng.choice(np.flatnonzero(self._labels == code)) for code in classes])


def vary(pixels: Tensor, variations: Variations) -> Tensor:
    """Pictures varied in one bilinear resampling.

    Args:
        pixels: Grey levels 0 to 1, float32 (n, 1, rows, cols); outside of them is 0.
        variations: One a picture.

    Returns:
        As `pixels`.
    """
    rows, cols = pixels.shape[2:]
    grid = picture_grid(variations, (rows, cols), pixels.device)
    return spread_levels(grid.sample(pixels), level_factors(variations.gains, 1.0, pixels.device))
