"""Picture → feature maps: the part of a network that comes with weights from elsewhere.

Every convolutional network of timm can be had by its name there (Wightman 2019). Two are not
timm's: `small`, for tests and laptops, and torchvision's `mobilenet_v2`, whose published file of
weights has torchvision's names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision import models as zoo
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from second_look.errors import ParameterError, nearest

SMALL, MOBILENET = "small", "mobilenet_v2"
# Mean and standard deviation of ImageNet's colours, as most weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Share of the features that are left out before the last layer in training.
_DROPOUT = 0.2
# Pixels of the picture for a cell of each level of a detector's pyramid.
PYRAMID_STRIDES = (8, 16, 32)
# Pixels of the picture between neighbouring cells of the last feature maps, for all networks.
STRIDE = 32
# Side of the picture that a new network is tried on, px.
_TRIAL = 64

Finish = Callable[[Tensor], Tensor]


class TimmBackbone(nn.Module):
    """A network of timm without its last layer.

    Args:
        name: Of timm, with or without the tag of its weights.
        channels: Of the input; timm sums the weights of the colours for one.

    Raises:
        ParameterError: timm does not know it (names the nearest), or its features are not maps of
            any size, as those of most transformers.
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        check_known(name)
        self.network: Any = timm.create_model(
            name, pretrained=False, num_classes=0, in_chans=channels, drop_rate=_DROPOUT
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Feature maps (n, width, rows / stride, cols / stride)."""
        maps: Tensor = self.network.forward_features(pictures)
        return maps

    def finish(self, features: Tensor) -> Tensor:
        """Mean features (n, width) as the last layer takes them, (n, features)."""
        cells = features[:, :, None, None]  # a map of one cell: timm's own pooling changes nothing
        finished: Tensor = self.network.forward_head(cells, pre_logits=True)
        return finished


def build_backbone(architecture: str, channels: int) -> tuple[nn.Module, Finish, int, int]:
    """A backbone with random weights.

    Args:
        architecture: `small`, `mobilenet_v2`, or a name of timm.
        channels: Of the input, 1 or 3.

    Returns:
        Picture (n, channels, rows, cols) → maps; mean features → features of the last layer; the
        number of features before and after that step.

    Raises:
        ParameterError: There is no such network, or it has no feature maps.
    """
    if architecture == SMALL:
        return _small(channels), nn.Identity(), 128, 128
    if architecture == MOBILENET:
        features = zoo.mobilenet_v2(weights=None).features
        if channels == 1:
            _sum_colours(features)
        return features, nn.Dropout(_DROPOUT), 1280, 1280
    backbone = TimmBackbone(architecture, channels)
    width, finished = _widths(backbone, architecture, channels)
    return backbone, backbone.finish, width, finished


def _widths(backbone: TimmBackbone, name: str, channels: int) -> tuple[int, int]:
    """Number of features before and after `finish`, as a small picture shows them."""
    backbone.eval()
    try:
        with torch.no_grad():
            maps = backbone(torch.zeros(1, channels, _TRIAL, _TRIAL))
            cells = _TRIAL // STRIDE
            if maps.ndim != 4 or tuple(maps.shape[2:]) != (cells, cells):
                raise AssertionError
            finished = backbone.finish(maps.mean((2, 3)))
    except (AssertionError, RuntimeError, ValueError):
        raise ParameterError(
            f"{name} has no feature maps for pictures of any size: choose a convolutional network."
        ) from None
    backbone.train()
    return int(maps.shape[1]), int(finished.shape[1])


def check_known(name: str) -> None:
    """Whether there is a network of that name.

    Raises:
        ParameterError: There is none; names the nearest.
    """
    if name not in (SMALL, MOBILENET) and not timm.is_model(name):
        networks = [SMALL, MOBILENET, *timm.list_models()]
        raise ParameterError(f"there is no network {name!r}{nearest(name, networks)}")


def colours(architecture: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the three channels that the published weights expect."""
    if architecture in (SMALL, MOBILENET):
        return IMAGENET_MEAN, IMAGENET_STD
    published = timm.get_pretrained_cfg(architecture)
    return (IMAGENET_MEAN, IMAGENET_STD) if published is None else (published.mean, published.std)


class TimmPyramid(nn.Module):
    """Feature pyramid (Lin 2017) on a network of timm, from 1/8 to 1/64.

    Its batch normalisation keeps its statistics: a detector sees two pictures at a time.

    Args:
        name: Of timm.
        channels: Of each level.

    Raises:
        ParameterError: timm does not know it, or it has no maps of 1/8, 1/16 and 1/32.
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        check_known(name)
        body = _levels(name)
        self.body: Any = timm.layers.freeze_batch_norm_2d(body)
        self.fpn = FeaturePyramidNetwork(
            body.feature_info.channels(), channels, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, pictures: Tensor) -> OrderedDict[str, Tensor]:
        """Levels "0", "1", "2" and "pool" of pictures (n, 3, rows, cols)."""
        maps = OrderedDict((str(level), part) for level, part in enumerate(self.body(pictures)))
        pyramid: OrderedDict[str, Tensor] = self.fpn(maps)
        return pyramid

    def lower_parts(self) -> tuple[str, ...]:
        """Prefixes of the parameters up to the pyramid's first level."""
        first = str(self.body.feature_info.module_name()[0])
        names = [name for name, _ in self.body.named_parameters()]
        last = max(i for i, name in enumerate(names) if _within(name, first))
        return tuple(f"backbone.body.{name}" for name in names[: last + 1])


def _within(parameter: str, module: str) -> bool:
    return parameter.startswith((f"{module}.", f"{module.replace('.', '_')}."))


def _levels(name: str) -> Any:  # noqa: ANN401
    """The network of timm that gives the maps of PYRAMID_STRIDES."""
    try:
        strides = timm.create_model(name, features_only=True).feature_info.reduction()
        places = [strides.index(stride) for stride in PYRAMID_STRIDES]
        return timm.create_model(name, features_only=True, out_indices=places)
    except (AssertionError, RuntimeError, ValueError, IndexError):
        raise ParameterError(
            f"{name} has no feature maps of {', '.join(f'1/{s}' for s in PYRAMID_STRIDES)} of a "
            "picture. Choose a convolutional network."
        ) from None


def _small(channels: int) -> nn.Module:
    """Five halvings in 0.2 M parameters, for tests and laptops."""
    layers: list[nn.Module] = []
    widths = (3, 16, 32, 64, 96, 128)
    for channels_in, channels_out in pairwise(widths):
        layers += [
            nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]
    network = nn.Sequential(*layers)
    if channels == 1:
        _sum_colours(network)
    return network


def _sum_colours(backbone: nn.Module) -> None:
    """Make the first convolution one of a single channel, its weights summed over the colours."""
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.data.sum(dim=1, keepdim=True))
    first.in_channels = 1
