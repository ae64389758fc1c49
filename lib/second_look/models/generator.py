"""What every generator of patches has: noise by number, grey levels, samples as a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchGenerator(nn.Module, ABC):
    """A network that makes patches of noise.

    Attributes:
        size: Of a patch, px.
        latent_size: Random numbers behind a patch.
        uniform: Whether they are uniform from -1 to 1, or normal.
    """

    size: int
    latent_size: int
    uniform: bool

    @abstractmethod
    def forward(self, noise: Tensor) -> Tensor:
        """Pictures (n, 1, size, size), about -1 to 1, from noise (n, latent_size)."""

    def draw(self, count: int, device: torch.device) -> Tensor:
        """Noise (count, latent_size) from torch's global generator, for training."""
        if self.uniform:
            return torch.rand(count, self.latent_size, device=device) * 2 - 1
        return torch.randn(count, self.latent_size, device=device)

    def noise(self, seed: int, numbers: Sequence[int]) -> Tensor:
        """The noise behind the samples of these numbers, float32 (n, latent_size), on the CPU.

        Each row follows from the seed and its number alone.
        """
        rows = []
        for number in numbers:
            rng = np.random.Generator(np.random.Philox(key=[seed, number]))
            row = (
                rng.random(self.latent_size, np.float32) * 2 - 1
                if self.uniform
                else rng.standard_normal(self.latent_size, np.float32)
            )
            rows.append(row)
        return torch.from_numpy(np.stack(rows))


@dataclass(frozen=True)
class Scaling:
    """The rule between grey levels and what networks see: low is -1, high is 1, the rest clipped.

    One rule for all patches, so that their contrast and brightness stay comparable.

    Attributes:
        low, high: Grey levels, 0 to 1 of what the image's depth can hold.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"expected 0 ≤ low < high ≤ 1. Got {self.low}, {self.high}.")

    def scaled(self, levels: Tensor) -> Tensor:
        """Grey levels 0 to 1 as networks see them, -1 to 1."""
        return ((levels - self.low) * (2 / (self.high - self.low)) - 1).clamp_(-1, 1)

    def undone(self, pictures: Tensor) -> Tensor:
        """What a generator made, as grey levels from `low` to `high`."""
        return (pictures.clamp(-1, 1) + 1) * ((self.high - self.low) / 2) + self.low


@torch.no_grad()
def make_samples(
    generator: PatchGenerator,
    scaling: Scaling,
    numbers: Sequence[int],
    *,
    seed: int,
    size: int | None = None,
) -> Tensor:
    """The samples of these numbers, grey levels 0 to 1, float32 (n, 1, size, size), on its device.

    A sample follows from seed and number, whatever is made beside it (up to rounding, as networks
    add up in another order in a batch of another size).

    Args:
        generator: In evaluation mode afterwards, as it was found.
        scaling: That it was trained with; it is undone.
        numbers: Of the samples, from 0.
        seed: Of all of them.
        size: Reduce or enlarge them to so many px.
    """
    device = next(generator.parameters()).device
    training = generator.training
    generator.eval()
    try:
        pictures = generator(generator.noise(seed, numbers).to(device)).float()
    finally:
        generator.train(training)
    levels = scaling.undone(pictures)
    if size is None or size == generator.size:
        return levels
    return functional.interpolate(
        levels, (size, size), mode="bilinear", antialias=True, align_corners=False
    )


def stream_samples(
    generator: PatchGenerator,
    scaling: Scaling,
    count: int,
    *,
    seed: int,
    batch: int = 32,
    size: int | None = None,
) -> Iterator[Tensor]:
    """The samples 0 to count - 1, a batch at a time: never all of them in memory."""
    for first in range(0, count, batch):
        numbers = range(first, min(first + batch, count))
        yield make_samples(generator, scaling, numbers, seed=seed, size=size)
