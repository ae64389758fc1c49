"""Published networks on disk: float16 tensors without code, checked against their cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from second_look.errors import CheckpointError, MissingDataError, OutputError
from second_look.files import sha256, write_bytes, write_text
from second_look.models.classifier import Classifier, build_classifier
from second_look.models.mask_rcnn import build_detector
from second_look.models.weights import load_states, reason
from second_look.published.card import DETECTOR, ModelCard, in_markdown, read_card, write_card

FOLDER = "weights"
MOST_BYTES = 12_000_000


@dataclass(frozen=True)
class Published:
    """A model that can be used.

    Attributes:
        card: What it is.
        network: In evaluation mode, on the CPU.
    """

    card: ModelCard
    network: nn.Module

    @property
    def classifier(self) -> Classifier:
        """The network of an image or patch model."""
        assert isinstance(self.network, Classifier)
        return self.network


def build_network(card: ModelCard) -> nn.Module:
    """The network of a card, with random weights, in evaluation mode."""
    if card.kind == DETECTOR:
        return build_detector(
            card.architecture,
            classes=len(card.classes),
            detections=int(card.input["detections"]),
        ).eval()
    return build_classifier(
        card.architecture,
        seed=0,
        classes=len(card.classes),
        channels=card.channels,
        maxima=bool(card.input.get("maxima", 0)),
    ).eval()


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as float16; whole numbers stay, and so does what float16 cannot hold."""
    result = {}
    for name, tensor in state.items():
        half = tensor.detach().cpu().contiguous()
        if half.is_floating_point() and bool(torch.isfinite(half.half()).all()):
            half = half.half()
        result[name] = half.clone()
    return result


def with_half_precision(model: Published) -> Published:
    """The model with the weights that its file will hold: what is measured is what is published."""
    restored = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in halved(model.network.state_dict()).items()
    }
    model.network.load_state_dict(restored)
    return model


def save_model(model: Published, folder: Path, *, most_bytes: int = MOST_BYTES) -> ModelCard:
    """Write a model's weights, its card as JSON, and its card for people.

    Returns:
        The card, with the digest of the file.

    Raises:
        OutputError: The weights are larger than allowed.
    """
    card = model.card
    content = save(halved(model.network.state_dict()), {"architecture": card.architecture})
    path = folder / card.weights
    if len(content) > most_bytes:
        raise OutputError(
            f"{path}: {len(content) / 1e6:.1f} MB of weights, more than the "
            f"{most_bytes / 1e6:.0f} MB that are published. Publish a smaller network."
        )
    write_bytes(path, content)
    card = replace(card, sha256=sha256(path))
    write_card(folder / f"{card.name}.json", card)
    write_text(folder / f"{card.name}.md", in_markdown(card))
    return card


def load_model(path: Path) -> Published:
    """A model from its card; its weights lie beside it.

    Raises:
        DataError: The card cannot be used.
        CheckpointError: The weights are missing, are not those of the card, or do not fit it.
    """
    card = read_card(path)
    file = path.parent / card.weights
    if Path(card.weights).name != card.weights or file.suffix != ".safetensors":
        raise CheckpointError(f"{path}: {card.weights!r} is no .safetensors file beside the card.")
    if not file.is_file():
        raise CheckpointError(f"{file}: there is no such file of weights; {path} needs it.")
    digest = sha256(file)
    if digest != card.sha256:
        raise CheckpointError(
            f"{file}: these are not the weights of {path.name} (sha256 {digest[:12]}…, expected "
            f"{card.sha256[:12]}…). Get both files of one version again."
        )
    try:
        tensors = dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: cannot be read as weights ({reason(error)}).") from None
    network = build_network(card)
    states = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    load_states({card.architecture: network}, {card.architecture: states}, file)
    return Published(card, network)


def load_models(folder: Path) -> dict[str, Published]:
    """The models of a published set, kind → model.

    Args:
        folder: Of the set, such as outputs/reference/cbis_mass, or its folder of weights.

    Raises:
        MissingDataError: There is no card in it.
        DataError, CheckpointError: As `load_model`.
    """
    place_of_cards = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    cards = sorted(place_of_cards.glob("*.json"))
    if not cards:
        raise MissingDataError(
            "there is no card of a model here.",
            place_of_cards,
            "Name the folder of a published set, such as outputs/reference/cbis_mass.",
        )
    models = [load_model(path) for path in cards]
    return {model.card.kind: model for model in models}
