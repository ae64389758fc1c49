"""Batches of augmented patches, cut from prepared images on the training device.

Patches are never written to disk. Each is one resampling of its source: crop, rotation, flip and
scale at once, so that a pixel is interpolated once at most. All randomness is drawn first, from
the seed and the number of the batch, and then applied purely: a batch is the same whatever the
number of workers, and whether images lie in memory or stream from disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from second_look.batches.affine import (
    NO_AUGMENTATION,
    Augmentation,
    Grid,
    Variations,
    level_factors,
    spread_levels,
)
from second_look.batches.squares import MEMORIES, IntArray, Squares
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.preparing.store import Prepared

BALANCES = ("natural", "balanced")
# Patches made at once. On a CPU they stay in its cache with their sources and grids, which is
# twice as fast as a batch of 64 at once (benchmarks/speed.py); a GPU wants work for all of it.
_AT_ONCE = {"cpu": 2}
_AT_ONCE_ELSEWHERE = 128


# How far patches are varied in training; the label stays that of the window as it was cut.
PATCHES = Augmentation(rotation_deg=180, mirror=True, scale=1.15, contrast=0.1)


@dataclass(frozen=True)
class Draws:
    """The random choices behind a batch.

    Attributes:
        windows: Row of the window table, int64 (n,).
        variations: Of the patches.
    """

    windows: IntArray
    variations: Variations

    @classmethod
    def plain(cls, windows: IntArray) -> Draws:
        """Draws that cut these windows as they are."""
        return cls(windows, Variations.none(windows.size))

    def part(self, first: int, end: int) -> Draws:
        """The draws of some of the patches."""
        return Draws(self.windows[first:end], self.variations[first:end])


@dataclass(frozen=True)
class Batch:
    """Patches and their labels.

    Attributes:
        pixels: Grey levels 0 to 1, float32 (n, 1, size, size), on the sampler's device.
        labels: Place of the label in catalogue.LABELS, int64 (n,), on the same device.
        windows: Row of the window table that each patch comes from, int64 (n,).
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    windows: IntArray


class PatchSampler:
    """Draws batches of patches from a table of windows.

    Args:
        prepared: The images.
        windows: From patches.window_table; rows without a label are never drawn.
        size: Of a patch, px; windows of another size are resampled to it.
        batch_size: Patches a batch.
        seed: With the number of the batch, it decides everything.
        balance: "natural" draws windows alike; "balanced" draws a class first, then its windows.
        augmentation: How far patches are varied.
        device: Where patches are made and images are kept.
        memory: "resident" keeps all images on the device, "streamed" reads what a batch needs from
            disk; "auto" keeps them where they fill at most half of the free memory.
        workers: Threads that make the next batches while one is used, in `batches`.

    Raises:
        DataError: No window has a label.
    """

    def __init__(
        self,
        prepared: Prepared,
        windows: pd.DataFrame,
        *,
        size: int,
        batch_size: int,
        seed: int,
        balance: str = "natural",
        augmentation: Augmentation = NO_AUGMENTATION,
        device: str | torch.device = "cpu",
        memory: str = "auto",
        workers: int = 2,
    ) -> None:
        if balance not in BALANCES or memory not in MEMORIES:
            raise ValueError(
                f"balance must be one of {BALANCES}, memory of {MEMORIES}. Got {balance}, {memory}."
            )
        if size < 1 or batch_size < 1 or workers < 1:
            raise ValueError(
                f"size, batch_size, workers must be positive. Got {size}, {batch_size}, {workers}."
            )
        if windows.empty or (windows["excluded"] != "").all():
            raise DataError(
                f"none of {len(windows)} windows has a label to train on.",
                "table of windows",
                "Use a smaller stride or patch, or a more generous label rule.",
            )
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.balance, self.augmentation, self.workers = balance, augmentation, workers
        self.device = torch.device(device)
        self._windows = windows.reset_index(drop=True)
        self._usable = np.flatnonzero((self._windows["excluded"] == "").to_numpy())
        self._labels = self._windows["label"].map(_LABEL_CODES).fillna(-1).to_numpy(np.int64)
        self._lengths = self._windows["size"].to_numpy(np.float64)
        self._corners = self._windows[["row", "col"]].to_numpy(np.float64)
        self._squares = Squares(prepared, self._windows["image_id"], self.device, memory)

    @property
    def memory(self) -> str:
        """Where the images are: "resident" or "streamed"."""
        return self._squares.memory

    @property
    def memory_bytes(self) -> int:
        """Bytes of the images that are kept on the device; 0 where they are streamed."""
        return self._squares.bytes_kept

    @cached_property
    def _by_label(self) -> tuple[IntArray, IntArray]:
        """The usable windows in order of their labels, and how many each label has, if any."""
        labels = self._labels[self._usable]
        counts = np.bincount(labels, minlength=len(LABELS))
        return self._usable[np.argsort(labels, kind="stable")], counts[counts > 0]

    def draw(self, step: int) -> Draws:
        """The random choices of batch number `step`."""
        rng = np.random.default_rng([self.seed, step])
        if self.balance == "natural":
            windows = rng.choice(self._usable, self.batch_size)
        else:
            ordered, sizes = self._by_label
            classes = rng.integers(sizes.size, size=self.batch_size)
            within = rng.random(self.batch_size) * sizes[classes]
            windows = ordered[(np.cumsum(sizes) - sizes)[classes] + within.astype(np.int64)]
        return self._vary(windows, rng)

    def batch(self, step: int) -> Batch:
        """Batch number `step` of an endless series, drawn with replacement."""
        return self.make(self.draw(step))

    def batches(self, steps: Sequence[int]) -> Iterator[Batch]:
        """The batches of these numbers in their order, the next ones made while one is used."""
        yield from self._prefetch([self.draw(step) for step in steps])

    def epoch(self, number: int) -> Iterator[Batch]:
        """Every usable window once, in an order of its own for each epoch."""
        rng = np.random.default_rng([self.seed, 1 << 32, number])
        order = rng.permutation(self._usable)
        parts = [order[i : i + self.batch_size] for i in range(0, order.size, self.batch_size)]
        yield from self._prefetch([self._vary(part, rng) for part in parts])

    def variants(self, window: int, *, count: int, seed: int) -> npt.NDArray[np.float32]:
        """One window augmented `count` times, float32 (count, size, size), to look at."""
        rng = np.random.default_rng([self.seed, seed, window])
        batch = self.make(self._vary(np.full(count, window), rng))
        pixels: npt.NDArray[np.float32] = batch.pixels[:, 0].cpu().numpy()
        return pixels

    def make(self, draws: Draws) -> Batch:
        """Apply the draws: no randomness is left."""
        lengths, variations = self._lengths[draws.windows], draws.variations
        matrices = variations.matrices()
        moved = np.einsum("nij,nj->ni", matrices, variations.shifts)
        centres = self._corners[draws.windows] + lengths[:, None] * (0.5 - moved)
        # A turned patch reaches half its diagonal from its centre, bilinear taps one px further.
        side = int(np.ceil((np.abs(matrices[:, 0]).sum(axis=1) * lengths).max())) + 3
        corners = np.floor(centres - side / 2).astype(np.int64)
        numbers = self._squares.numbers[draws.windows]
        grid = Grid.from_matrices(
            matrices * (lengths / self.size)[:, None, None],
            centres - corners,
            shape=(self.size, self.size),
            source_shape=(side, side),
            device=self.device,
        )
        factors = level_factors(variations.gains, 1 / self._squares.white[numbers], self.device)
        count, step = draws.windows.size, _AT_ONCE.get(self.device.type, _AT_ONCE_ELSEWHERE)
        pixels = torch.empty((count, 1, self.size, self.size), device=self.device)
        for part in (slice(first, first + step) for first in range(0, count, step)):
            sources = self._squares.cut(numbers[part], corners[part], side)
            spread_levels(grid[part].sample(sources), factors[:, part], out=pixels[part])
        labels = torch.as_tensor(self._labels[draws.windows], device=self.device)
        return Batch(pixels, labels, draws.windows)

    def _vary(self, windows: IntArray, rng: np.random.Generator) -> Draws:
        return Draws(windows, Variations.draw(rng, windows.size, self.augmentation))

    def _prefetch(self, draws: Sequence[Draws]) -> Iterator[Batch]:
        """Make batches in threads, a few ahead of the one in use, in order."""
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = [pool.submit(self.make, draw) for draw in draws[: self.workers + 1]]
            for index in range(len(draws)):
                batch = waiting.pop(0).result()
                following = index + self.workers + 1
                if following < len(draws):
                    waiting.append(pool.submit(self.make, draws[following]))
                yield batch


def cut(prepared: Prepared, windows: pd.DataFrame, *, size: int) -> npt.NDArray[np.float32]:
    """Windows as they are, grey levels 0 to 1, float32 (n, size, size).

    A window of `size` px is copied pixel by pixel; another one is resampled to it.
    """
    sampler = PatchSampler(prepared, windows, size=size, batch_size=1, seed=0, memory="streamed")
    pixels = np.empty((len(windows), size, size), dtype=np.float32)
    squares = sampler._squares
    for index, row in enumerate(windows.itertuples()):
        if row.size == size:
            number, corner = squares.numbers[[index]], np.array([[row.row, row.col]], np.int64)
            pixels[index] = squares.cut(number, corner, size)[0, 0] / squares.white[number[0]]
        else:
            pixels[index] = sampler.make(Draws.plain(np.array([index]))).pixels[0, 0]
    return pixels


_LABEL_CODES = {label: code for code, label in enumerate(LABELS)}
