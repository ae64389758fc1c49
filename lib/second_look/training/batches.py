"""What classifiers learn from: patches cut from mammograms, or mammograms as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.pictures import Pictures
from second_look.sampler import Augmentation, PatchSampler
from second_look.source_code import content_hash
from second_look.store import Prepared


class PatchBatches:
    """Augmented patches of labelled windows (see `training.classify.BatchSource`).

    Args:
        prepared: The images.
        windows: Training windows with their labels, from patches.window_table.
        size: Of a patch, px.
        batch_size: Patches a batch, over all processes.
        seed: Of the draws.
        balance: "natural" or "balanced".
        augmentation: How far patches are varied.
        memory: Where images are kept, as in PatchSampler.
    """

    def __init__(
        self,
        prepared: Prepared,
        windows: pd.DataFrame,
        *,
        size: int,
        batch_size: int,
        seed: int,
        balance: str = "balanced",
        augmentation: Augmentation | None = None,
        memory: str = "auto",
    ) -> None:
        self._prepared, self._windows, self._memory = prepared, windows, memory
        self._augmentation = augmentation or Augmentation()
        self.size, self.batch_size, self.seed, self.balance = size, batch_size, seed, balance
        self._sampler: PatchSampler | None = None
        self._ahead: _Ahead | None = None

    def identity(self) -> Mapping[str, Any]:
        """Windows, images, augmentation and draws."""
        columns = ["image_id", "row", "col", "size", "label"]
        return {
            "patch_size": self.size,
            "batch_size": self.batch_size,
            "data_seed": self.seed,
            "balance": self.balance,
            "augmentation": asdict(self._augmentation),
            "windows": digest(self._windows[columns]),
            "images": digest(self._prepared.images[["image_id", "content_hash"]]),
        }

    def share(
        self, step: int, rank: int, world: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """This process's part of batch number `step`; the next one is begun meanwhile on a GPU."""
        if self._ahead is None:
            self._sampler = PatchSampler(
                self._prepared,
                self._windows,
                size=self.size,
                batch_size=self.batch_size,
                seed=self.seed,
                balance=self.balance,
                augmentation=self._augmentation,
                device=device,
                memory=self._memory,
            )
            self._ahead = _Ahead(self, rank, world, ahead=device.type != "cpu")
        return self._ahead.get(step)

    def make(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """That part, made now."""
        assert self._sampler is not None
        first, last = part_of(self.batch_size, rank, world)
        batch = self._sampler.make(self._sampler.draw(step).part(first, last))
        return batch.pixels, batch.labels


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
        self._ahead: _Ahead | None = None
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
        if self._ahead is None:
            self._device = device
            self._ahead = _Ahead(self, rank, world, ahead=device.type != "cpu")
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


class _Ahead:
    """Makes the next batch in a thread while the device works on this one."""

    def __init__(
        self, batches: PatchBatches | ImageBatches, rank: int, world: int, *, ahead: bool
    ) -> None:
        self._batches, self._rank, self._world = batches, rank, world
        self._pool = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future[tuple[Tensor, Tensor]]] | None = None

    def get(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number `step`; the one after it is begun."""
        if self._pool is None:
            return self._batches.make(step, self._rank, self._world)
        waiting, self._next = self._next, None
        batch = (
            waiting[1].result()
            if waiting and waiting[0] == step
            else self._batches.make(step, self._rank, self._world)
        )
        following = self._pool.submit(self._batches.make, step + 1, self._rank, self._world)
        self._next = (step + 1, following)
        return batch


def part_of(count: int, rank: int, world: int) -> tuple[int, int]:
    """First and one past the last of `count` things that process `rank` of `world` takes.

    Raises:
        DataError: They cannot be shared out evenly, which would weigh them differently.
    """
    if count % world:
        raise DataError(
            f"a batch of {count} cannot be shared by {world} processes.",
            remedy=f"Use a batch size that is a multiple of {world}.",
        )
    each = count // world
    return rank * each, (rank + 1) * each


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
        turns: For each picture: angle (radians), mirror (-1 top to bottom, else 1), scale, down
            and right (in half pictures), gain.

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


def digest(table: pd.DataFrame) -> str:
    """Changes with the content of a table."""
    hashes = pd.util.hash_pandas_object(table, index=False).to_numpy()
    return content_hash([hashes.tobytes()])[:16]
