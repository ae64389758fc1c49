"""What sources of batches have in common: shares of processes, the next batch ahead, digests."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import pandas as pd
import torch
from torch import Tensor

from second_look.errors import DataError
from second_look.source_code import content_hash


class Makes(Protocol):
    """Makes one process's part of a batch from the number of the batch."""

    def make(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """Pictures and labels of that part."""


class Prefetch:
    """Makes the next batch in a thread while a GPU works on this one; on a CPU, on demand.

    Attributes:
        process: Rank, number of processes and device that it works for.
    """

    def __init__(self, batches: Makes, rank: int, world: int, device: torch.device) -> None:
        self.process = (rank, world, device)
        self._batches, self._rank, self._world = batches, rank, world
        self._pool = ThreadPoolExecutor(1) if device.type != "cpu" else None
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


class PictureBatches:
    """Batches of whole pictures, made on the device that trains; a subclass makes the parts."""

    _prefetch: Prefetch | None = None
    _device = torch.device("cpu")

    def make(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """Pictures and labels of this process's part of batch number `step`, made now."""
        raise NotImplementedError

    def share(
        self, step: int, rank: int, world: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """This process's part of batch number `step`; the next one is begun meanwhile on a GPU."""
        if self._prefetch is None or self._prefetch.process != (rank, world, device):
            self._device = device
            self._prefetch = Prefetch(self, rank, world, device)
        return self._prefetch.get(step)


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
    size = count // world
    return rank * size, (rank + 1) * size


def digest(table: pd.DataFrame) -> str:
    """Changes with the content of a table."""
    hashes = pd.util.hash_pandas_object(table, index=False).to_numpy()
    return content_hash([hashes.tobytes()])[:16]
