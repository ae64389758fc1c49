"""A stronger generator: progressive growing (Karras, Aila, Laine, Lehtinen 2018, paper's ref 22).

Both networks begin at a few pixels and grow: each doubling of the resolution is faded in over the
one before it. Weights have one scale whatever the size of their layer (equalised learning rate),
the generator's pixels one length (pixel norm), and the critic sees how much the pictures of a
batch differ (minibatch standard deviation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from second_look.models.generator import PatchGenerator

_SMALLEST = 4
_SLOPE = 0.2
_EPSILON = 1e-8


@dataclass(frozen=True)
class ProgressiveSettings:
    """Both networks; Karras et al. have 512, 512, 8192 and 4 besides the size.

    Attributes:
        size: Of a picture, px: a power of two, 8 to 1024.
        latent_size: Random numbers behind a picture.
        max_channels: Of the widest layers.
        base: Channels times width of a picture in the narrower ones; with 8192, a layer of
            256×256 px has 64 channels behind it (32 of them kept).
        start: Resolution that the training begins with, px.
    """

    size: int
    latent_size: int
    max_channels: int
    base: int
    start: int

    def __post_init__(self) -> None:
        sizes = [_SMALLEST * 2**doublings for doublings in range(1, 9)]
        if self.size not in sizes:
            raise ValueError(f"progressive growing makes patches of {sizes} px. Got {self.size}.")
        if self.start not in [_SMALLEST, *sizes] or self.start > self.size:
            raise ValueError(
                f"start must be a power of two from {_SMALLEST} to size. Got {self.start}."
            )
        if min(self.latent_size, self.max_channels, self.base) < 1:
            raise ValueError("latent_size, max_channels and base must be positive.")

    @property
    def levels(self) -> int:
        """Resolutions: level 0 is 4×4, the last one `size`."""
        return int(math.log2(self.size // _SMALLEST)) + 1

    def channels(self, level: int) -> int:
        """Channels of the layers that work at a level."""
        return max(1, min(self.max_channels, self.base >> (level + 1)))


@dataclass(frozen=True)
class Stage:
    """How far both networks have grown.

    Attributes:
        level: The resolution they work at; 0 is 4×4.
        faded: How far that level is faded in, 0 to 1.
    """

    level: int
    faded: float

    @property
    def size(self) -> int:
        """Of a picture, px."""
        return _SMALLEST << self.level


def parts_of(settings: ProgressiveSettings) -> int:
    """Parts of a training: every resolution after the first is faded in, then trained on."""
    return 1 + 2 * (settings.levels - 1 - int(math.log2(settings.start // _SMALLEST)))


def stage_at(settings: ProgressiveSettings, step: int, steps: int) -> Stage:
    """Where step `step` of `steps` stands: equal parts of fading in and of training faded in."""
    first = int(math.log2(settings.start // _SMALLEST))
    position = min(step, steps - 1) * parts_of(settings) / steps
    part = int(position)
    level = first + (part + 1) // 2
    fading = part % 2 == 1
    return Stage(level, position - part if fading else 1.0)


class ScaledConv(nn.Conv2d):
    """A convolution whose weights are scaled when it runs, so that all learn at one rate."""

    def __init__(
        self, channels_in: int, channels_out: int, side: int, *, gain: float = 2.0
    ) -> None:
        super().__init__(channels_in, channels_out, side, padding=side // 2)
        self.factor = math.sqrt(gain / (channels_in * side**2))
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, rows, cols) to (n, after, rows, cols)."""
        result: Tensor = self._conv_forward(x, self.weight * self.factor, self.bias)
        return result


class ScaledLinear(nn.Linear):
    """A dense layer whose weights are scaled when it runs."""

    def __init__(self, channels_in: int, channels_out: int, *, gain: float = 2.0) -> None:
        super().__init__(channels_in, channels_out)
        self.factor = math.sqrt(gain / channels_in)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before) to (n, after)."""
        return functional.linear(x, self.weight * self.factor, self.bias)


class PixelNorm(nn.Module):
    """Each pixel's channels get the length of a unit normal vector."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; channels are axis 1."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + _EPSILON)


class MinibatchStd(nn.Module):
    """One more channel: how much the pictures of a group of up to four differ, on average."""

    group: int = 4

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, rows, cols) to (n, channels + 1, rows, cols)."""
        count, channels, rows, cols = x.shape
        group = math.gcd(count, self.group)
        parts = x.reshape(group, count // group, channels, rows, cols)
        spread = (parts.var(dim=0, unbiased=False) + _EPSILON).sqrt()  # (n / group, c, rows, cols)
        mean = spread.mean(dim=(1, 2, 3)).repeat(group)  # (n,)
        return torch.cat([x, mean[:, None, None, None].expand(count, 1, rows, cols)], dim=1)


class Generator(PatchGenerator):
    """Random numbers to pictures, at the resolution that it has grown to.

    Attributes:
        stage: How far it has grown; a training sets it, and it is saved with the weights.
    """

    uniform = False
    grown: Tensor

    def __init__(self, settings: ProgressiveSettings) -> None:
        super().__init__()
        self.settings = settings
        self.size, self.latent_size = settings.size, settings.latent_size
        first = settings.channels(0)
        self.blocks = nn.ModuleList([_first_block(settings.latent_size, first)])
        for level in range(1, settings.levels):
            channels_in, channels_out = settings.channels(level - 1), settings.channels(level)
            self.blocks.append(
                nn.Sequential(
                    nn.Upsample(scale_factor=2),
                    *_layer(channels_in, channels_out),
                    *_layer(channels_out, channels_out),
                )
            )
        self.to_grey = nn.ModuleList(
            ScaledConv(settings.channels(level), 1, 1, gain=1) for level in range(settings.levels)
        )
        self.register_buffer("grown", torch.tensor([settings.levels - 1, 1.0]))

    @property
    def stage(self) -> Stage:
        """How far it has grown."""
        level, faded = self.grown.tolist()
        return Stage(int(level), float(faded))

    @stage.setter
    def stage(self, stage: Stage) -> None:
        self.grown.copy_(torch.tensor([float(stage.level), stage.faded]))

    def forward_at(self, noise: Tensor, stage: Stage) -> Tensor:
        """Pictures (n, 1, stage.size, stage.size) from noise (n, latent_size)."""
        inner = noise
        previous = inner
        for block in self.blocks[: stage.level + 1]:
            previous, inner = inner, block(inner)
        pictures: Tensor = self.to_grey[stage.level](inner)
        if stage.faded < 1:
            small = self.to_grey[stage.level - 1](previous)
            pictures = torch.lerp(_doubled(small), pictures, stage.faded)
        return pictures

    def forward(self, noise: Tensor) -> Tensor:
        """Pictures (n, 1, size, size), enlarged from the resolution that it has grown to."""
        stage = self.stage
        pictures = self.forward_at(noise, stage)
        factor = self.size // stage.size
        return pictures.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


class Critic(nn.Module):
    """Pictures to one number each: larger for those that look real. The generator's mirror."""

    def __init__(self, settings: ProgressiveSettings) -> None:
        super().__init__()
        self.settings = settings
        first = settings.channels(0)
        self.from_grey = nn.ModuleList(
            nn.Sequential(ScaledConv(1, settings.channels(level), 1), nn.LeakyReLU(_SLOPE))
            for level in range(settings.levels)
        )
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(
                    MinibatchStd(),
                    ScaledConv(first + 1, first, 3),
                    nn.LeakyReLU(_SLOPE),
                    nn.Flatten(),
                    ScaledLinear(first * _SMALLEST**2, first),
                    nn.LeakyReLU(_SLOPE),
                    ScaledLinear(first, 1, gain=1),
                )
            ]
        )
        for level in range(1, settings.levels):
            channels, channels_below = settings.channels(level), settings.channels(level - 1)
            self.blocks.append(
                nn.Sequential(
                    ScaledConv(channels, channels, 3),
                    nn.LeakyReLU(_SLOPE),
                    ScaledConv(channels, channels_below, 3),
                    nn.LeakyReLU(_SLOPE),
                    nn.AvgPool2d(2),
                )
            )

    def forward_at(self, pictures: Tensor, stage: Stage) -> Tensor:
        """Numbers (n,) of pictures (n, 1, stage.size, stage.size)."""
        inner = self.from_grey[stage.level](pictures)
        for level in range(stage.level, -1, -1):
            inner = self.blocks[level](inner)
            if level == stage.level and stage.faded < 1:
                small = self.from_grey[level - 1](functional.avg_pool2d(pictures, 2))
                inner = torch.lerp(small, inner, stage.faded)
        numbers: Tensor = inner[:, 0]
        return numbers

    def forward(self, pictures: Tensor) -> Tensor:
        """Numbers (n,) of pictures (n, 1, size, size), by the whole network."""
        return self.forward_at(pictures, Stage(self.settings.levels - 1, 1.0))


def at_stage(pictures: Tensor, stage: Stage) -> Tensor:
    """Real pictures (n, 1, size, size) as blurred as the generator's are at this stage."""
    small = functional.avg_pool2d(pictures, pictures.shape[-1] // stage.size)
    if stage.faded < 1:
        small = torch.lerp(_doubled(functional.avg_pool2d(small, 2)), small, stage.faded)
    return small


def _first_block(latent_size: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        PixelNorm(),
        # Karras et al. divide the first layer's gain by 4, its picture's width.
        ScaledLinear(latent_size, channels * _SMALLEST**2, gain=2 / 16),
        nn.Unflatten(1, (channels, _SMALLEST, _SMALLEST)),  # (n, channels, 4, 4)
        nn.LeakyReLU(_SLOPE),
        PixelNorm(),
        *_layer(channels, channels),
    )


def _layer(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [ScaledConv(channels_in, channels_out, 3), nn.LeakyReLU(_SLOPE), PixelNorm()]


def _doubled(pictures: Tensor) -> Tensor:
    return pictures.repeat_interleave(2, 2).repeat_interleave(2, 3)
