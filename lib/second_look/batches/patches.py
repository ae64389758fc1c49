"""What patch classifiers learn from: augmented patches, cut when they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from second_look.batches.affine import Augmentation
from second_look.batches.sampler import PATCHES, PatchSampler
from second_look.batches.sharing import Prefetch, digest, part_of
from second_look.preparing.store import Prepared


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
        balance: str,
        augmentation: Augmentation = PATCHES,
        memory: str = "auto",
    ) -> None:
        self._prepared, self._windows, self._memory = prepared, windows, memory
        self._augmentation = augmentation
        self.size, self.batch_size, self.seed, self.balance = size, batch_size, seed, balance
        self._sampler: PatchSampler | None = None
        self._prefetch: Prefetch | None = None

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
        if self._prefetch is None or self._prefetch.process != (rank, world, device):
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
            self._prefetch = Prefetch(self, rank, world, device)
        return self._prefetch.get(step)

    def make(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """That part, made now."""
        assert self._sampler is not None
        first, last = part_of(self.batch_size, rank, world)
        batch = self._sampler.make(self._sampler.draw(step).part(first, last))
        return batch.pixels, batch.labels
