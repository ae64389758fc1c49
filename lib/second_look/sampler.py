"""Batches of augmented patches, cut from prepared images on the training device.

Patches are never written to disk. Each is one resampling of its source: crop, rotation, flip and
scale at once, so that a pixel is interpolated once at most. All randomness is drawn first, from
the seed and the number of the batch, and then applied purely: a batch is the same whatever the
number of workers, and whether images lie in memory or stream from disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import torch
from torch.nn import functional

from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.store import Prepared

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BALANCES = ("natural", "balanced")
MEMORIES = ("auto", "resident", "streamed")
# Patches that a CPU makes at once: with their sources and grids they stay in its cache, which is
# faster by half than a batch of 64 at once (benchmarks/speed.py).
_CACHED_PATCHES = 8


@dataclass(frozen=True)
class Augmentation:
    """How far patches are varied; the label stays that of the window as it was cut.

    Attributes:
        rotation_deg: Turned by up to this angle either way; 180 turns all around.
        flip: Mirrored half of the time (with rotation, that is every mirror image).
        scale: Enlarged or reduced by up to this factor either way; 1 never.
        contrast: Grey levels spread or narrowed around the patch's mean by up to this share.
    """

    rotation_deg: float = 180.0
    flip: bool = True
    scale: float = 1.15
    contrast: float = 0.1

    def __post_init__(self) -> None:
        if not (0 <= self.rotation_deg <= 180 and self.scale >= 1 and 0 <= self.contrast < 1):
            raise ValueError(
                "expected rotation_deg 0 to 180, scale at least 1, contrast 0 to below 1. "
                f"Got {self.rotation_deg}, {self.scale}, {self.contrast}."
            )


NO_AUGMENTATION = Augmentation(rotation_deg=0, flip=False, scale=1, contrast=0)


@dataclass(frozen=True)
class Draws:
    """The random choices behind a batch, each of shape (n,).

    Attributes:
        windows: Row of the window table.
        angles: Rotation, radians.
        flips: Mirrored left-right or not.
        scales: Source pixels for a pixel of the window, around 1.
        gains: Factor on the contrast, around 1.
    """

    windows: IntArray
    angles: FloatArray
    flips: npt.NDArray[np.bool_]
    scales: FloatArray
    gains: FloatArray

    def part(self, first: int, last: int) -> Draws:
        """The draws of some of the patches."""
        return Draws(*(getattr(self, field.name)[first:last] for field in fields(self)))


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
        self._sources = _Sources(prepared, self._windows["image_id"], self.device, memory)

    @property
    def memory(self) -> str:
        """Where the images are: "resident" or "streamed"."""
        return self._sources.memory

    @property
    def memory_bytes(self) -> int:
        """Bytes of the images that are kept on the device; 0 where they are streamed."""
        return sum(int(image.nbytes) for image in self._sources._kept.values())

    @cached_property
    def _by_label(self) -> list[IntArray]:
        """The usable windows of each label that has any."""
        found = [self._usable[self._labels[self._usable] == code] for code in range(len(LABELS))]
        return [rows for rows in found if rows.size]

    def draw(self, step: int) -> Draws:
        """The random choices of batch number `step`."""
        rng = np.random.default_rng([self.seed, step])
        if self.balance == "natural":
            windows = rng.choice(self._usable, self.batch_size)
        else:
            classes = rng.integers(len(self._by_label), size=self.batch_size)
            within = rng.random(self.batch_size)
            windows = np.array(
                [
                    self._by_label[c][int(share * self._by_label[c].size)]
                    for c, share in zip(classes, within, strict=True)
                ]
            )
        return self._vary(windows, rng)

    def batch(self, step: int) -> Batch:
        """Batch number `step` of an endless series, drawn with replacement."""
        return self.make(self.draw(step))

    def batches(self, steps: Sequence[int]) -> Iterator[Batch]:
        """The batches of these numbers in their order, the next ones made while one is used."""
        yield from self._ahead([self.draw(step) for step in steps])

    def epoch(self, number: int) -> Iterator[Batch]:
        """Every usable window once, in an order of its own for each epoch."""
        rng = np.random.default_rng([self.seed, 1 << 32, number])
        order = rng.permutation(self._usable)
        parts = [order[i : i + self.batch_size] for i in range(0, order.size, self.batch_size)]
        yield from self._ahead([self._vary(part, rng) for part in parts])

    def variants(self, window: int, *, count: int, seed: int) -> npt.NDArray[np.float32]:
        """One window augmented `count` times, float32 (count, size, size), to look at."""
        rng = np.random.default_rng([self.seed, seed, window])
        batch = self.make(self._vary(np.full(count, window), rng))
        pixels: npt.NDArray[np.float32] = batch.pixels[:, 0].cpu().numpy()
        return pixels

    def make(self, draws: Draws) -> Batch:
        """Apply the draws: no randomness is left."""
        count = draws.windows.size
        step = _CACHED_PATCHES if self.device.type == "cpu" else count
        parts = [self._pixels(draws.part(first, first + step)) for first in range(0, count, step)]
        labels = torch.as_tensor(self._labels[draws.windows], device=self.device)
        return Batch(torch.cat(parts), labels, draws.windows)

    def _pixels(self, draws: Draws) -> torch.Tensor:
        """The patches of some draws, float32 (n, 1, size, size)."""
        rows = self._windows.iloc[draws.windows]
        lengths = rows["size"].to_numpy(np.float64)
        centres = rows[["row", "col"]].to_numpy(np.float64) + lengths[:, None] / 2
        zooms = draws.scales * lengths / self.size
        # A turned patch reaches half its diagonal from its centre, bilinear taps one px further.
        turned = np.abs(np.cos(draws.angles)) + np.abs(np.sin(draws.angles))
        side = int(np.ceil((zooms * self.size * turned).max())) + 3
        corners = np.floor(centres - side / 2).astype(np.int64)
        sources = self._sources.cut(rows["image_id"].to_numpy(dtype=object), corners, side)
        pixels = resample(
            sources,
            centres=centres - corners,
            angles=draws.angles,
            flips=draws.flips,
            zooms=zooms,
            size=self.size,
        )
        return self._levels(pixels, rows["image_id"], draws.gains)

    def _levels(
        self, pixels: torch.Tensor, image_ids: pd.Series, gains: FloatArray
    ) -> torch.Tensor:
        """Stored grey levels (n, 1, size, size) to 0 to 1, spread around each patch's mean."""
        white = self._sources.white[image_ids].to_numpy()
        levels = torch.as_tensor(np.stack([1 / white, gains]), dtype=torch.float32)
        unit, gain = levels.to(self.device)[:, :, None, None, None]
        mean = pixels.mean(dim=(2, 3), keepdim=True)
        # unit * (mean + gain * (pixels - mean)), in one pass over the pixels and in place.
        return torch.addcmul(unit * (1 - gain) * mean, pixels, unit * gain).clamp_(0, 1)

    def _vary(self, windows: IntArray, rng: np.random.Generator) -> Draws:
        how, count = self.augmentation, windows.size
        limit = np.deg2rad(how.rotation_deg)
        return Draws(
            windows,
            rng.uniform(-limit, limit, count),
            (rng.random(count) < 0.5) & how.flip,
            np.exp(rng.uniform(-1, 1, count) * np.log(how.scale)),
            1 + how.contrast * rng.uniform(-1, 1, count),
        )

    def _ahead(self, draws: Sequence[Draws]) -> Iterator[Batch]:
        """Make batches in threads, a few ahead of the one in use, in order."""
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = [pool.submit(self.make, draw) for draw in draws[: self.workers + 1]]
            for place in range(len(draws)):
                batch = waiting.pop(0).result()
                following = place + self.workers + 1
                if following < len(draws):
                    waiting.append(pool.submit(self.make, draws[following]))
                yield batch


def resample(
    sources: torch.Tensor,
    *,
    centres: FloatArray,
    angles: FloatArray,
    flips: npt.NDArray[np.bool_],
    zooms: FloatArray,
    size: int,
) -> torch.Tensor:
    """Crop, turn, mirror and scale in one bilinear resampling; outside of a source is 0.

    Args:
        sources: float32 (n, 1, rows, cols).
        centres: Centre of each patch in its source, (row, col), px, (n, 2).
        angles: Rotation, radians, (n,).
        flips: Mirrored left-right before the rotation, (n,).
        zooms: Source px for one px of the patch, (n,).
        size: Of a patch, px.

    Returns:
        float32 (n, 1, size, size).
    """
    rows, cols = sources.shape[2:]
    cos, sin = np.cos(angles) * zooms, np.sin(angles) * zooms
    mirror = np.where(flips, -1.0, 1.0)
    # Where a patch's pixel (row, col) lies in its source is a sum of two terms, one a row and one
    # a column: source = centre + turn @ (pixel - middle), in px from the first pixel's edge.
    middle = np.arange(size) + 0.5 - size / 2
    along_col = np.stack([-mirror * sin, mirror * cos], axis=-1)[:, None] * middle[:, None]
    along_row = np.stack([cos, sin], axis=-1)[:, None] * middle[:, None] + centres[:, None]
    # grid_sample wants (x, y) from -1 to 1 over the edges of the source.
    scale = 2 / np.array([rows, cols])
    terms = np.stack([along_row * scale - 1, along_col * scale])[..., ::-1]
    by_row, by_col = torch.as_tensor(terms.astype(np.float32), device=sources.device)
    grid = by_row[:, :, None] + by_col[:, None]  # (n, rows, cols, 2)
    return functional.grid_sample(
        sources, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def cut(prepared: Prepared, windows: pd.DataFrame, *, size: int) -> npt.NDArray[np.float32]:
    """Windows as they are, grey levels 0 to 1, float32 (n, size, size).

    A window of `size` px is copied pixel by pixel; another one is resampled to it.
    """
    sampler = PatchSampler(prepared, windows, size=size, batch_size=1, seed=0, memory="streamed")
    pixels = np.empty((len(windows), size, size), dtype=np.float32)
    sources = sampler._sources
    for place, row in enumerate(windows.itertuples()):
        if row.size == size:
            corner = np.array([[row.row, row.col]], dtype=np.int64)
            square = sources.cut(np.array([row.image_id], dtype=object), corner, size)[0, 0]
            pixels[place] = square / sources.white[row.image_id]
        else:
            plain = Draws(np.array([place]), np.zeros(1), np.zeros(1, bool), np.ones(1), np.ones(1))
            pixels[place] = sampler.make(plain).pixels[0, 0]
    return pixels


_LABEL_CODES = {label: code for code, label in enumerate(LABELS)}


class _Sources:
    """Squares of prepared images as float tensors, from memory or from disk."""

    def __init__(
        self, prepared: Prepared, image_ids: pd.Series, device: torch.device, memory: str
    ) -> None:
        self._prepared, self._device = prepared, device
        used = prepared.images[prepared.images["image_id"].isin(set(image_ids))]
        # The brightest grey level that an image's depth can hold.
        self.white = 2.0 ** used.set_index("image_id")["bits"] - 1
        wide = np.where(used["bits"] > 8, 2, 1)
        total = int((used["rows"] * used["cols"] * wide).sum())
        if memory == "auto":
            memory = "resident" if total <= _free_memory(device) / 2 else "streamed"
        self.memory = memory
        self._kept: dict[str, Any] = {}
        if memory == "resident":
            self._kept = {image_id: self._load(image_id) for image_id in used["image_id"]}

    def cut(self, image_ids: npt.NDArray[Any], corners: IntArray, side: int) -> torch.Tensor:
        """Squares with these top left corners (n, 2), as stored, 0 outside.

        Returns:
            float32 (n, 1, side, side).
        """
        squares = torch.zeros((len(image_ids), 1, side, side), device=self._device)
        # numpy converts integers on the way into the square, without a copy in between.
        on_cpu = self._device.type == "cpu"
        targets = squares[:, 0].numpy() if on_cpu else squares[:, 0]
        for target, image_id, (row, col) in zip(targets, image_ids, corners.tolist(), strict=True):
            image = self._kept[image_id] if self._kept else self._prepared.pixels(image_id)
            top, left = max(row, 0), max(col, 0)
            bottom, right = min(row + side, image.shape[0]), min(col + side, image.shape[1])
            if top < bottom and left < right:
                part = image[top:bottom, left:right]
                target[top - row : bottom - row, left - col : right - col] = (
                    part if on_cpu else self._tensor(part)
                )
        return squares

    def _load(self, image_id: str) -> Any:  # noqa: ANN401
        """A whole image: on the CPU as the array that it is, else as a tensor of its own depth."""
        pixels = np.array(self._prepared.pixels(image_id))
        if self._device.type == "cpu":
            return pixels
        return torch.as_tensor(pixels.view(np.int16 if pixels.itemsize == 2 else np.uint8)).to(
            self._device
        )

    def _tensor(self, part: Any) -> torch.Tensor:  # noqa: ANN401
        if isinstance(part, torch.Tensor):
            # 16-bit images lie on the device as int16, the type that every kernel knows.
            return part.to(torch.int32) & 0xFFFF if part.dtype == torch.int16 else part
        return torch.from_numpy(np.array(part, dtype=np.float32)).to(self._device)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
