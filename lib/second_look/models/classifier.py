"""Classifiers of grey pictures: a backbone, its features over the picture, one linear layer.

The same network takes patches and whole mammograms of any size. Its feature maps are open, so that
a whole mammogram can be searched in one pass (`inference.windows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torchvision import models as zoo

from second_look.catalogue import LABELS
from second_look.errors import CheckpointError
from second_look.files import sha256
from second_look.models.backbones import MOBILENET, SMALL, STRIDE, build_backbone, colours
from second_look.models.weights import load_states, mismatches, read_tensors

RANDOM, IMAGENET = "random", "imagenet"
# Name of the network in the files that trainings of this project leave.
OWN = "network/"
HEAD = "head.weight"


class Classifier(nn.Module):
    """Grey picture → logits of the classes.

    With 3 channels, a grey level stands in each of them, normalised as the published weights of the
    network expect colours. With 1 channel, the first layer's weights are summed over the colours,
    and grey levels are normalised by the mean of the colours' means and deviations: nearly the
    same, for a third of that layer's work.

    With `maxima`, the last layer gets the maximum of each feature over the picture beside its mean:
    a lesion covers one percent of a whole mammogram, and hardly moves a mean.

    Attributes:
        architecture: `small`, `mobilenet_v2`, or any convolutional network of timm.
        maxima: Whether the last layer sees maxima too.
        stride: Pixels of the picture between neighbouring cells of the feature maps.
        width: Number of features.
    """

    stride = STRIDE

    def __init__(
        self,
        architecture: str,
        *,
        classes: int = len(LABELS),
        channels: int = 3,
        maxima: bool = False,
    ) -> None:
        super().__init__()
        if channels not in (1, 3) or classes < 2:
            raise ValueError(f"channels must be 1 or 3, classes ≥ 2. Got {channels}, {classes}.")
        self.architecture, self.channels, self.maxima = architecture, channels, maxima
        # What a network of timm does with mean features belongs to its backbone: no second module.
        self.backbone, self.finish, self.width, finished = build_backbone(architecture, channels)
        self.head = nn.Linear((1 + maxima) * finished, classes)
        mean, std = (torch.tensor(values) for values in colours(architecture))
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
        """Logits (n, classes) of mean features (n, width), of a network without maxima."""
        logits: Tensor = self.head(self.finish(features))
        return logits

    def features(self, pixels: Tensor) -> Tensor:
        """Mean features (n, width) of pictures (n, 1, rows, cols)."""
        return self.maps(pixels).mean(dim=(2, 3))

    def pooled(self, maps: Tensor) -> Tensor:
        """What the last layer gets (n, features): means over the maps, with `maxima` these too."""
        mean: Tensor = self.finish(maps.mean(dim=(2, 3)))
        if not self.maxima:
            return mean
        return torch.cat([mean, self.finish(maps.amax(dim=(2, 3)))], dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (n, classes) of pictures (n, 1, rows, cols)."""
        logits: Tensor = self.head(self.pooled(self.maps(pixels)))
        return logits


def build_classifier(
    architecture: str,
    *,
    seed: int,
    classes: int = len(LABELS),
    channels: int = 3,
    maxima: bool = False,
) -> Classifier:
    """A classifier with random weights that follow from the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Classifier(architecture, classes=classes, channels=channels, maxima=maxima)


def load_imagenet(network: Classifier, path: Path) -> list[str]:
    """Start a classifier from published weights; its last layer stays random.

    Args:
        network: Gets them.
        path: .safetensors or a state dict, in the names of timm (of torchvision for mobilenet_v2);
            `find_imagenet` finds it.

    Returns:
        The tensors of the file that are left out: those of its own last layer.

    Raises:
        CheckpointError: The file does not fit the architecture; names the tensors.
    """
    tensors = read_tensors(path)
    names = _published_names(network)
    if not names:
        raise CheckpointError(
            f"{path}: the architecture {network.architecture} is this project's own; there are no "
            "ImageNet weights for it. Choose a network of timm."
        )
    last = _last_layer(network.architecture)
    of_backbone = {
        name: tensor for name, tensor in tensors.items() if not name.startswith(f"{last}.")
    }
    state = {names.get(name, name): tensor.float() for name, tensor in of_backbone.items()}
    initial = network.state_dict()
    first = next(key for key, value in initial.items() if value.ndim == 4)
    if network.channels == 1 and first in state:
        state[first] = state[first].sum(dim=1, keepdim=True)
    unpublished = [k for k in initial if k.startswith("head.") or k.endswith("batches_tracked")]
    state |= {key: initial[key] for key in unpublished}
    problems = mismatches(network, state)
    if problems:
        raise CheckpointError(
            f"{path}: does not fit {network.architecture}: {'; '.join(problems[:3])}. "
            "It is of another architecture."
        )
    load_states({"network": network}, {"network": state}, path)
    return sorted(set(tensors) - set(of_backbone))


def imagenet_url(architecture: str) -> str:
    """Where the published ImageNet weights of an architecture can be had; "" for none."""
    if architecture == MOBILENET:
        return str(zoo.MobileNet_V2_Weights.DEFAULT.url)
    published = timm.get_pretrained_cfg(architecture) if timm.is_model(architecture) else None
    if published is None:
        return ""
    if published.hf_hub_id:
        return f"https://huggingface.co/{published.hf_hub_id}/resolve/main/model.safetensors"
    return str(published.url or "")


def imagenet_file(architecture: str) -> str:
    """Name on disk of the published ImageNet weights of an architecture."""
    url = imagenet_url(architecture)
    return url.rpartition("/")[2] if architecture == MOBILENET else f"{architecture}.safetensors"


def find_imagenet(architecture: str, folders: Sequence[Path]) -> Path:
    """The file of an architecture's ImageNet weights.

    Args:
        architecture: Of a Classifier.
        folders: Where it may lie, as <architecture>.safetensors or .pth,
            <architecture>_imagenet.safetensors, or under torchvision's name, <architecture>-….pth.

    Raises:
        CheckpointError: It is not there; says how to get it.
    """
    if architecture == SMALL or not imagenet_url(architecture):
        raise CheckpointError(
            f"there are no ImageNet weights for {architecture!r}. "
            "Choose a network of timm that has some, or leave imagenet out of the starts."
        )
    places = [*folders, Path(torch.hub.get_dir()) / "checkpoints"]
    names = (".safetensors", ".pth", "_imagenet.safetensors", "-????????.pth")
    for folder in places:
        for name in names:
            files = sorted(folder.glob(f"{architecture}{name}"))
            if files:
                return files[0]
    raise CheckpointError(
        f"the ImageNet weights of {architecture} are not in {' or '.join(map(str, places))}. "
        f"Download {imagenet_url(architecture)} into one of them as {imagenet_file(architecture)}, "
        "or leave imagenet out of the starts."
    )


def load_own(network: Classifier, path: Path) -> None:
    """Start a classifier from another one of this project; its last layer comes with it.

    A network with maxima that starts from one without answers as that one does.

    Raises:
        CheckpointError: The file does not fit; names the tensors.
    """
    tensors = {key.removeprefix(OWN): value for key, value in read_tensors(path).items()}
    head = tensors.get(HEAD)
    if network.maxima and head is not None and 2 * head.shape[-1] == network.head.in_features:
        tensors[HEAD] = torch.cat([head, torch.zeros_like(head)], dim=1)
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


def _published_names(network: Classifier) -> dict[str, str]:
    """Name in published files → ours, of each tensor that they can set."""
    if network.architecture == SMALL:
        return {}
    keys = [key for key in network.state_dict() if key.startswith("backbone.")]
    if network.architecture == MOBILENET:
        return {f"features.{key.removeprefix('backbone.')}": key for key in keys}
    return {key.removeprefix("backbone.network."): key for key in keys}


def _last_layer(architecture: str) -> str:
    """Name of the last layer in published files."""
    if architecture == MOBILENET:
        return "classifier"
    published = timm.get_pretrained_cfg(architecture)
    return "fc" if published is None else str(published.classifier)
