"""Batches for a classifier that learns from samples of generators, from original patches, or both.

Nothing is held in memory but the generators: sample k is made when it is needed, from the seed
and k alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from second_look.batches.sampler import Draws, PatchSampler
from second_look.batches.sharing import digest, part_of
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.models.generator import PatchGenerator, Scaling, make_samples
from second_look.preparing.patches import labelled
from second_look.preparing.store import Prepared
from second_look.source_code import content_hash

IntArray = npt.NDArray[np.int64]


class Pool(Protocol):
    """Numbered patches with labels.

    Attributes:
        count: How many.
        size: Of a patch, px.
    """

    count: int
    size: int

    def identity(self) -> Mapping[str, Any]:
        """Plain values that decide what the patches are."""

    def take(self, numbers: IntArray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Grey levels 0 to 1, float32 (n, 1, size, size), and places in LABELS, int64 (n,)."""


class RealPool:
    """Original patches, every class alike: number k is of class k modulo the number of classes.

    A class with fewer windows gives each of them several times.

    Args:
        prepared: The images.
        windows: Of the patients to learn from, from patches.window_table.
        labels: The classes.
        count: Patches.
        size: Of a patch, px.
        seed: Of the order of the windows.

    Raises:
        DataError: A class has no window.
    """

    def __init__(
        self,
        prepared: Prepared,
        windows: pd.DataFrame,
        labels: Sequence[str],
        *,
        count: int,
        size: int,
        seed: int,
    ) -> None:
        self.count, self.size, self._prepared = count, size, prepared
        used = labelled(windows).reset_index(drop=True)
        rng = np.random.default_rng(seed)
        self._rows = []
        for label in labels:
            rows = np.flatnonzero((used["label"] == label).to_numpy())
            if not rows.size:
                raise DataError(
                    f"there is no original patch of class {label!r} to learn from.",
                    "table of windows",
                    "Leave the class out, or use a smaller stride.",
                )
            self._rows.append(rng.permutation(rows))
        self._windows = used
        self._sampler: PatchSampler | None = None

    def identity(self) -> Mapping[str, Any]:
        """Windows in their order, and images."""
        columns = ["image_id", "row", "col", "size", "label"]
        ordered = [digest(self._windows.iloc[rows][columns]) for rows in self._rows]
        images = digest(self._prepared.images[["image_id", "content_hash"]])
        return {"real": self.count, "size": self.size, "windows": ordered, "images": images}

    def take(self, numbers: IntArray, device: torch.device) -> tuple[Tensor, Tensor]:
        """The patches of these numbers."""
        if self._sampler is None:
            self._sampler = PatchSampler(
                self._prepared, self._windows, size=self.size, batch_size=1, seed=0, device=device
            )
        turns, labels = np.divmod(numbers, len(self._rows))
        chosen = [self._rows[k] for k in labels]
        rows = [rows[turn % rows.size] for rows, turn in zip(chosen, turns, strict=True)]
        batch = self._sampler.make(Draws.plain(np.array(rows)))
        return batch.pixels, batch.labels


class GeneratedPool:
    """Samples of generators, every class alike: number k is of class k modulo their number.

    Args:
        generators: Label -> generator and its scaling.
        count: Samples.
        size: Of a patch, px; samples of another size are resampled.
        seed: Of the samples.
    """

    def __init__(
        self,
        generators: Mapping[str, tuple[PatchGenerator, Scaling]],
        *,
        count: int,
        size: int,
        seed: int,
    ) -> None:
        self.count, self.size, self._seed = count, size, seed
        self._labels = list(generators)
        self._generators = [generators[label] for label in self._labels]

    def identity(self) -> Mapping[str, Any]:
        """Weights of the generators, scalings and seed."""
        weights = {
            label: content_hash(
                [
                    value.detach().cpu().numpy().tobytes()
                    for value in generator.state_dict().values()
                ]
            )[:16]
            for label, (generator, _) in zip(self._labels, self._generators, strict=True)
        }
        scalings = [[scaling.low, scaling.high] for _, scaling in self._generators]
        return {
            "generated": self.count,
            "size": self.size,
            "sample_seed": self._seed,
            "generators": weights,
            "scalings": scalings,
        }

    def take(self, numbers: IntArray, device: torch.device) -> tuple[Tensor, Tensor]:
        """The samples of these numbers."""
        pixels = torch.empty((numbers.size, 1, self.size, self.size), device=device)
        labels = numbers % len(self._labels)
        for code, (generator, scaling) in enumerate(self._generators):
            rows = np.flatnonzero(labels == code)
            if rows.size:
                generator.to(device)
                sample_numbers = numbers[rows].tolist()
                samples = make_samples(
                    generator, scaling, sample_numbers, seed=self._seed, size=self.size
                )
                pixels[torch.from_numpy(rows).to(device)] = samples
        codes = np.array([LABELS.index(label) for label in self._labels])[labels]
        return pixels, torch.from_numpy(codes).to(device)


class MixedBatches:
    """Pools shuffled together (see `training.classify.BatchSource`).

    An epoch is every patch of every pool once, in an order of its own; half of them are mirrored
    left to right, half top to bottom.

    Args:
        pools: What to mix: their sizes are the proportions.
        batch_size: Patches a batch, over all processes; what is left of an epoch is dropped.
        seed: Of orders and mirrors.

    Raises:
        DataError: There are fewer patches than a batch has.
    """

    def __init__(self, pools: Sequence[Pool], *, batch_size: int, seed: int) -> None:
        self._pools = [pool for pool in pools if pool.count]
        self.count = sum(pool.count for pool in self._pools)
        if self.count < batch_size:
            raise DataError(
                f"{self.count} patches are fewer than a batch of {batch_size}.",
                remedy="Use a smaller batch, or more patches.",
            )
        self.batch_size, self.seed = batch_size, seed
        self._edges = np.cumsum([0, *(pool.count for pool in self._pools)])
        self._order = lru_cache(maxsize=2)(self._shuffled)

    @property
    def steps_an_epoch(self) -> int:
        """Batches an epoch."""
        return self.count // self.batch_size

    def identity(self) -> Mapping[str, Any]:
        """Pools and order."""
        return {
            "pools": [pool.identity() for pool in self._pools],
            "batch_size": self.batch_size,
            "data_seed": self.seed,
        }

    def parts(self) -> Sequence[object]:
        """The pools (see `Task.parts`)."""
        return self._pools

    def share(
        self, step: int, rank: int, world: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """This process's part of batch number `step`."""
        epoch, batch_in_epoch = divmod(step, self.steps_an_epoch)
        first, last = part_of(self.batch_size, rank, world)
        start = batch_in_epoch * self.batch_size
        items = self._order(epoch)[start + first : start + last]
        pool_of_item = np.searchsorted(self._edges, items, side="right") - 1
        parts, order = [], []
        for number, pool in enumerate(self._pools):
            rows = np.flatnonzero(pool_of_item == number)
            if rows.size:
                parts.append(pool.take(items[rows] - self._edges[number], device))
                order.append(rows)
        back = torch.from_numpy(np.argsort(np.concatenate(order))).to(device)
        pixels = torch.cat([part[0] for part in parts])[back]
        labels = torch.cat([part[1] for part in parts])[back]
        mirrors = np.random.default_rng([self.seed, 1, step]).random((self.batch_size, 2)) < 0.5
        return _mirrored(pixels, torch.from_numpy(mirrors[first:last]).to(device)), labels

    def _shuffled(self, epoch: int) -> IntArray:
        return np.random.default_rng([self.seed, 0, epoch]).permutation(self.count)


def _mirrored(pixels: Tensor, mirrors: Tensor) -> Tensor:
    """Pictures (n, 1, rows, cols), mirrored left to right and top to bottom by bool (n, 2)."""
    for axis, column in ((3, 0), (2, 1)):
        chosen = mirrors[:, column, None, None, None]
        pixels = torch.where(chosen, pixels.flip(axis), pixels)
    return pixels
