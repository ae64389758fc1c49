"""Classifiers of grey pictures: a backbone, its mean features, one linear layer.

The same network takes patches and whole mammograms of any size. Its feature maps are open, so that
a whole mammogram can be searched in one pass (`inference.windows`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models as zoo

from second_look.catalogue import LABELS
from second_look.errors import CheckpointError
from second_look.files import sha256
from second_look.models.weights import load_states, mismatches, read_tensors

SMALL = "small"
ARCHITECTURES = (
    SMALL,
    "resnet18",
    "resnet50",
    "resnet101",
    "mobilenet_v2",
    "convnext_tiny",
)
RANDOM, IMAGENET = "random", "imagenet"
# Name of the network in the files that trainings of this project leave.
OWN = "network/"
# Mean and standard deviation of ImageNet's colours, as its weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Architecture -> torchvision's weights: url, meta.
IMAGENET_WEIGHTS: Mapping[str, Any] = {
    "resnet18": zoo.ResNet18_Weights.DEFAULT,
    "resnet50": zoo.ResNet50_Weights.DEFAULT,
    "resnet101": zoo.ResNet101_Weights.DEFAULT,
    "mobilenet_v2": zoo.MobileNet_V2_Weights.DEFAULT,
    "convnext_tiny": zoo.ConvNeXt_Tiny_Weights.DEFAULT,
}


class Classifier(nn.Module):
    """Grey picture → logits of the classes.

    With 3 channels, a grey level stands in each of them, normalised as ImageNet's colours are.
    With 1 channel, the first layer's weights are summed over the colours, and grey levels are
    normalised by the mean of the colours' means and deviations: nearly the same, for a third of
    that layer's work.

    Attributes:
        architecture: One of ARCHITECTURES.
        stride: Pixels of the picture between neighbouring cells of the feature maps.
        width: Number of features.
    """

    stride = 32

    def __init__(self, architecture: str, *, classes: int = len(LABELS), channels: int = 3) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {ARCHITECTURES}. Got {architecture!r}.")
        if channels not in (1, 3) or classes < 2:
            raise ValueError(f"channels must be 1 or 3, classes ≥ 2. Got {channels}, {classes}.")
        self.architecture, self.channels = architecture, channels
        self.backbone, self.neck, self.width = _backbone(architecture)
        self.head = nn.Linear(self.width, classes)
        if channels == 1:
            _sum_colours(self.backbone)
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if channels == 1:
            mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("std", std[:, None, None], persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def maps(self, pixels: Tensor) -> Tensor:
        """Feature maps of pictures.

        Args:
            pixels: Grey levels 0 to 1, float (n, 1, rows, cols).

        Returns:
            (n, width, ⌈rows / stride⌉, ⌈cols / stride⌉).
        """
        levels = pixels.expand(-1, self.channels, -1, -1)
        maps: Tensor = self.backbone((levels - self.mean) / self.std)
        return maps

    def score(self, features: Tensor) -> Tensor:
        """Logits (n, classes) of mean features (n, width)."""
        logits: Tensor = self.head(self.neck(features))
        return logits

    def features(self, pixels: Tensor) -> Tensor:
        """Mean features (n, width) of pictures (n, 1, rows, cols)."""
        return self.maps(pixels).mean(dim=(2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (n, classes) of pictures (n, 1, rows, cols)."""
        return self.score(self.features(pixels))


def build_classifier(
    architecture: str, *, seed: int, classes: int = len(LABELS), channels: int = 3
) -> Classifier:
    """A classifier with random weights that follow from the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Classifier(architecture, classes=classes, channels=channels)


def load_imagenet(network: Classifier, path: Path) -> list[str]:
    """Start a classifier from ImageNet weights in torchvision's names; its last layer stays random.

    Args:
        network: Gets them.
        path: .safetensors or a state dict; `find_imagenet` finds it.

    Returns:
        The tensors of the file that are left out: those of ImageNet's own last layer.

    Raises:
        CheckpointError: The file does not fit the architecture; names the tensors.
    """
    tensors = read_tensors(path)
    own_names = dict(_named_like_torchvision(network))
    if not own_names:
        raise CheckpointError(
            f"{path}: the architecture {network.architecture} is this project's own; there are no "
            f"ImageNet weights for it. Choose one of {ARCHITECTURES[1:]}."
        )
    state = {
        own_names[name]: tensor.float() for name, tensor in tensors.items() if name in own_names
    }
    first = next(key for key, value in network.state_dict().items() if value.ndim == 4)
    if network.channels == 1 and first in state:
        state[first] = state[first].sum(dim=1, keepdim=True)
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            state[key] = value
    full_state = {
        **{k: v for k, v in network.state_dict().items() if k.startswith("head.")},
        **state,
    }
    problems = mismatches(network, full_state)
    if problems:
        raise CheckpointError(
            f"{path}: does not fit {network.architecture}: {'; '.join(problems[:3])}. "
            "It is of another architecture."
        )
    load_states({"network": network}, {"network": full_state}, path)
    return sorted(set(tensors) - set(own_names))


def imagenet_url(architecture: str) -> str:
    """Where torchvision's ImageNet weights of an architecture can be had."""
    return str(IMAGENET_WEIGHTS[architecture].url)


def find_imagenet(architecture: str, folders: Sequence[Path]) -> Path:
    """The file of an architecture's ImageNet weights.

    Args:
        architecture: One of ARCHITECTURES.
        folders: Where it may lie, under torchvision's name or <architecture>_imagenet.safetensors.

    Raises:
        CheckpointError: It is not there; says how to get it.
    """
    if architecture not in IMAGENET_WEIGHTS:
        raise CheckpointError(
            f"there are no ImageNet weights for {architecture!r}. "
            f"Choose one of {tuple(IMAGENET_WEIGHTS)}."
        )
    url = imagenet_url(architecture)
    names = (f"{architecture}_imagenet.safetensors", url.rsplit("/", 1)[1])
    places = [*folders, Path(torch.hub.get_dir()) / "checkpoints"]
    for folder in places:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise CheckpointError(
        f"the ImageNet weights of {architecture} are not in {' or '.join(map(str, places))}. "
        f"Download {url} into one of them, or leave imagenet out of the starts."
    )


def load_own(network: Classifier, path: Path) -> None:
    """Start a classifier from another one of this project; its last layer comes with it.

    Raises:
        CheckpointError: The file does not fit; names the tensors.
    """
    tensors = {key.removeprefix(OWN): value for key, value in read_tensors(path).items()}
    load_states({network.architecture: network}, {network.architecture: tensors}, path)


def load_start(network: Classifier, start: str, folders: Sequence[Path]) -> str:
    """Give a classifier the weights that it starts from.

    Args:
        network: As it was built, with random weights.
        start: "random", "imagenet", or a file: weights of another classifier of this project, or
            of any model in torchvision's names, such as one trained on other radiographs.
        folders: Where ImageNet weights may lie.

    Returns:
        What it starts from, with the digest of the file: part of a training's identity.

    Raises:
        CheckpointError: The file is missing or does not fit.
    """
    if start == RANDOM:
        return RANDOM
    if start == IMAGENET:
        path = find_imagenet(network.architecture, folders)
        load_imagenet(network, path)
    else:
        path = Path(start).expanduser()
        of_project = any(key.startswith(OWN) for key in read_tensors(path))
        (load_own if of_project else load_imagenet)(network, path)
    return f"{IMAGENET if start == IMAGENET else 'file'} {sha256(path)[:12]}"


def freeze_statistics(network: nn.Module) -> None:
    """Let batch normalisation keep the statistics that it came with, also while training."""
    for module in network.modules():
        # The common kind of those on one device and of those that several GPUs share.
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _backbone(architecture: str) -> tuple[nn.Module, nn.Module, int]:
    """Picture → feature maps; what stands between mean features and the last layer; features."""
    if architecture == SMALL:
        return _small(), nn.Identity(), 128
    network = getattr(zoo, architecture)(weights=None)
    if architecture.startswith("resnet"):
        parts = [(name, part) for name, part in network.named_children() if name != "avgpool"]
        return _Named(dict(parts[:-1])), nn.Identity(), int(network.fc.in_features)
    *neck, last = network.classifier
    if architecture == "convnext_tiny":
        # Its normalisation works over the channels of a map; mean features are a map of one cell.
        neck = [nn.Unflatten(1, (-1, 1, 1)), *neck]
    return network.features, nn.Sequential(*neck), int(last.in_features)


class _Named(nn.Module):
    """Modules one after the other, under their own names."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return x


def _small() -> nn.Module:
    """Five halvings in 0.2 M parameters, for tests and laptops."""
    layers: list[nn.Module] = []
    widths = (3, 16, 32, 64, 96, 128)
    for channels_in, channels_out in pairwise(widths):
        layers += [
            nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _sum_colours(backbone: nn.Module) -> None:
    """Replace the first convolution, of three colours, by one of a single channel."""
    for parent in backbone.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d):
                single = nn.Conv2d(
                    1,
                    child.out_channels,
                    child.kernel_size,  # type: ignore[arg-type]
                    child.stride,  # type: ignore[arg-type]
                    child.padding,  # type: ignore[arg-type]
                    bias=child.bias is not None,
                )
                single.weight.data = child.weight.data.sum(dim=1, keepdim=True)
                if child.bias is not None and single.bias is not None:
                    single.bias.data = child.bias.data
                setattr(parent, name, single)
                return


def _named_like_torchvision(network: Classifier) -> list[tuple[str, str]]:
    """(torchvision's name, ours) of each tensor that ImageNet weights can set."""
    if network.architecture == SMALL:
        return []
    resnet = network.architecture.startswith("resnet")
    pairs = []
    for key in network.state_dict():
        part, _, suffix = key.partition(".")
        if part == "backbone":
            pairs.append((suffix if resnet else f"features.{suffix}", key))
        elif part == "neck":  # its first module was put before torchvision's
            index, _, name = suffix.partition(".")
            pairs.append((f"classifier.{int(index) - 1}.{name}", key))
    return pairs
