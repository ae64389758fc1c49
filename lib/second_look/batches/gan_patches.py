"""What a GAN learns from: a fixed set of patches of one class, one scaling for all sets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from second_look.batches.sampler import Draws, PatchSampler, cut
from second_look.batches.sharing import digest, part_of
from second_look.errors import DataError
from second_look.models.generator import Scaling
from second_look.preparing.patches import labelled
from second_look.preparing.store import Prepared

# All classes together: a GAN that is not told what it makes.
ANY_CLASS = "all"
# Patches that the scaling is measured on.
_MEASURED = 256
_QUANTILES = (0.001, 0.999)


def choose_windows(windows: pd.DataFrame, label: str, *, count: int, seed: int) -> pd.DataFrame:
    """The fixed set of one class: windows drawn without replacement, all where there are fewer.

    Args:
        windows: From patches.window_table, of the patients to learn from.
        label: Of catalogue.LABELS, or ANY_CLASS.
        count: Patches wanted.
        seed: Of the draw.

    Raises:
        DataError: The class has no patches.
    """
    used = labelled(windows)
    of_class = used if label == ANY_CLASS else used[used["label"] == label]
    if of_class.empty:
        counts = ", ".join(f"{name} {n}" for name, n in used["label"].value_counts().items())
        raise DataError(
            f"there is no patch of class {label!r} to learn from; there are: {counts or 'none'}.",
            "table of windows",
            "Leave the class out, use a smaller stride, or a more generous label rule.",
        )
    return of_class.sample(n=min(count, len(of_class)), random_state=seed).reset_index(drop=True)


def measure_scaling(prepared: Prepared, windows: pd.DataFrame, *, size: int, seed: int) -> Scaling:
    """The scaling for a set of patches: from its 0.1 % darkest to its 0.1 % brightest pixels.

    Raises:
        DataError: All patches have one grey level.
    """
    some = windows.sample(n=min(_MEASURED, len(windows)), random_state=seed)
    low, high = np.quantile(cut(prepared, some, size=size), _QUANTILES).round(4)
    if not low < high:
        raise DataError(
            f"all patches have the grey level {low:g}.", "table of windows", "Look at the images."
        )
    return Scaling(max(0.0, float(low)), min(1.0, float(high)))


class PatchSet:
    """A fixed set of patches in an order of its own for each epoch; batch k is a function of k.

    On a GPU the set is cut once and stays on the device in half precision. On a CPU each batch is
    cut when it is needed, so that memory does not grow with the number of patches.

    Args:
        prepared: The images.
        windows: From `choose_windows`.
        size: Of a patch, px; windows of another size are resampled to it.
        batch_size: Patches a batch, over all processes; what is left of an epoch is dropped.
        seed: Of the orders.
        scaling: Between grey levels and what networks see.

    Raises:
        DataError: There are fewer patches than a batch has.
    """

    def __init__(
        self,
        prepared: Prepared,
        windows: pd.DataFrame,
        *,
        size: int,
        batch_size: int,
        seed: int,
        scaling: Scaling,
    ) -> None:
        if len(windows) < batch_size:
            raise DataError(
                f"{len(windows)} patches are fewer than a batch of {batch_size}.",
                "table of windows",
                "Use a smaller batch_size or stride, or more images.",
            )
        self.size, self.batch_size, self.seed, self.scaling = size, batch_size, seed, scaling
        self._prepared, self._windows = prepared, windows
        self._sampler: PatchSampler | None = None
        self._resident: Tensor | None = None
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def steps_an_epoch(self) -> int:
        """Batches an epoch."""
        return len(self) // self.batch_size

    def identity(self) -> Mapping[str, Any]:
        """Windows, images, scaling and order."""
        columns = ["image_id", "row", "col", "size"]
        return {
            "patch_size": self.size,
            "patches": len(self),
            "batch_size": self.batch_size,
            "data_seed": self.seed,
            "scaling": [self.scaling.low, self.scaling.high],
            "windows": digest(self._windows[columns]),
            "images": digest(self._prepared.images[["image_id", "content_hash"]]),
        }

    def open(self, device: torch.device) -> None:
        """Say where batches are to be made; on a GPU, cut the whole set."""
        self._sampler = PatchSampler(
            self._prepared,
            self._windows,
            size=self.size,
            batch_size=self.batch_size,
            seed=self.seed,
            device="cpu",
            memory="streamed",
        )
        self._resident = None
        if device.type != "cpu":
            step = 64
            parts = [
                self._cut(np.arange(first, min(first + step, len(self)))).half().to(device)
                for first in range(0, len(self), step)
            ]
            self._resident = torch.cat(parts)

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Tensor:
        """This process's part of batch number `step`, float32 (n, 1, size, size), -1 to 1."""
        epoch, batch_in_epoch = divmod(step, self.steps_an_epoch)
        first, last = part_of(self.batch_size, rank, world)
        start = batch_in_epoch * self.batch_size
        rows = self._order(epoch)[start + first : start + last]
        if self._resident is not None:
            return self._resident[torch.from_numpy(rows).to(self._resident.device)].float()
        return self._cut(rows)

    def images_of(self, step: int) -> list[str]:
        """The images behind batch number `step`."""
        epoch, batch_in_epoch = divmod(step, self.steps_an_epoch)
        rows = self._order(epoch)[
            batch_in_epoch * self.batch_size : (batch_in_epoch + 1) * self.batch_size
        ]
        return sorted(self._windows["image_id"].iloc[rows].unique())

    def _shuffled(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self))

    def _cut(self, rows: npt.NDArray[np.int64]) -> Tensor:
        if self._sampler is None:
            raise ValueError("call open() before the first batch.")
        return self.scaling.scaled(self._sampler.make(Draws.plain(rows)).pixels)
