"""The paper's DCGAN (figures 1a and 1b), to the parameter.

What the figures leave open is a setting; PAPER has the value of the DCGAN paper (Radford, Metz,
Chintala 2016, the paper's ref 14), the "standard GAN baseline" that the paper names.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from second_look.models.generator import PatchGenerator
from second_look.paper import LATENT_SIZE, PATCH_SIZE

# Channels after the first layer and after each doubling, from 8×8; the last one is the picture.
_CHANNELS = (128, 64, 32, 16, 8)
_START = 8
SIZES = tuple(_START * 2**doublings for doublings in range(1, len(_CHANNELS) + 1))
ACTIVATIONS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "linear": nn.Identity}
_SPREAD = 0.02


@dataclass(frozen=True)
class DcganSettings:
    """Both networks; PAPER has the paper's.

    Attributes:
        size: Of a picture, px, one of SIZES; smaller ones have fewer doublings.
        latent_size: Random numbers behind a picture; the paper has 4000, which its first layer's
            parameters show (32,776,192 = 8192 · 4001), and the DCGAN paper 100.
        slope: Of LeakyReLU below zero. Not in the paper; 0.2 in the DCGAN paper.
        dropout: Share of channels' values that the discriminator drops. The paper shows the layers
            and not the rate, the DCGAN paper has none of them; 0.25 leaves most of the signal.
        output_activation: Behind the last layer. Not in the paper; "tanh" in the DCGAN paper, so
            that pictures lie between -1 and 1.
    """

    size: int
    latent_size: int
    slope: float
    dropout: float
    output_activation: str

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"a DCGAN makes patches of {SIZES} px. Got {self.size}.")
        if self.output_activation not in ACTIVATIONS:
            raise ValueError(
                f"output_activation must be one of {tuple(ACTIVATIONS)}. "
                f"Got {self.output_activation!r}."
            )
        if self.latent_size < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                "latent_size must be positive, dropout from 0 to below 1. "
                f"Got {self.latent_size}, {self.dropout}."
            )

    @property
    def doublings(self) -> int:
        """How often 8×8 is doubled."""
        return SIZES.index(self.size) + 1


PAPER = DcganSettings(PATCH_SIZE, LATENT_SIZE, slope=0.2, dropout=0.25, output_activation="tanh")


class Generator(PatchGenerator):
    """Random numbers to pictures: dense, then upsampling and 5×5 convolutions.

    The order is convolution → LeakyReLU → BatchNorm, as figure 1a has it. Noise is uniform, as in
    the DCGAN paper.
    """

    uniform = True

    def __init__(self, settings: DcganSettings) -> None:
        super().__init__()
        self.settings = settings
        self.size, self.latent_size = settings.size, settings.latent_size
        first = _CHANNELS[0] * _START**2
        layers: list[nn.Module] = [
            nn.Linear(settings.latent_size, first),
            nn.LeakyReLU(settings.slope),
            nn.BatchNorm1d(first),
            nn.Unflatten(1, (_CHANNELS[0], _START, _START)),  # (n, 128, 8, 8)
        ]
        for channels_in, channels_out in pairwise(_CHANNELS[: settings.doublings]):
            layers += [
                nn.Upsample(scale_factor=2),
                nn.Conv2d(channels_in, channels_out, 5, padding=2),
                nn.LeakyReLU(settings.slope),
                nn.BatchNorm2d(channels_out),
            ]
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(_CHANNELS[settings.doublings - 1], 1, 5, padding=2),
            ACTIVATIONS[settings.output_activation](),
        ]
        self.layers = nn.Sequential(*layers)
        self.apply(_start)

    def forward(self, noise: Tensor) -> Tensor:
        """Pictures (n, 1, size, size) from noise (n, latent_size)."""
        pictures: Tensor = self.layers(noise)
        return pictures


class Discriminator(nn.Module):
    """Pictures to one logit each: positive for real ones."""

    def __init__(self, settings: DcganSettings) -> None:
        super().__init__()
        self.settings = settings
        flat = 64 * (settings.size // 4) ** 2
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 5, stride=2, padding=2),
            nn.LeakyReLU(settings.slope),
            nn.Dropout(settings.dropout),
            nn.Conv2d(32, 64, 5, stride=2, padding=2),
            nn.LeakyReLU(settings.slope),
            nn.Dropout(settings.dropout),
            nn.Flatten(),
            nn.Linear(flat, 1),
        )
        self.apply(_start)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (n,) of pictures (n, 1, size, size)."""
        logits: Tensor = self.layers(pictures)[:, 0]
        return logits


def _start(module: nn.Module) -> None:
    """Starting weights of the DCGAN paper: normal, spread 0.02; BatchNorm's scale around 1."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, 0, _SPREAD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, _SPREAD)
