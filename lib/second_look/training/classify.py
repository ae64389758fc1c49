"""Training of classifiers, for patches and for whole mammograms alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from second_look.models.classifier import (
    RANDOM,
    Classifier,
    build_classifier,
    freeze_statistics,
    load_start,
)
from second_look.models.folded import is_folded, restore_normalisation
from second_look.training.loop import LoopSettings, Trained, train
from second_look.training.task import Task

# Pictures of a batch whose statistics are good enough to learn with.
SOUND_BATCH = 16


class BatchSource(Protocol):
    """Pictures to learn from; batch number `step` is the same whenever it is asked for."""

    def identity(self) -> Mapping[str, Any]:
        """Plain values that decide what the batches hold."""

    def share(
        self, step: int, rank: int, world: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """What process `rank` of `world` gets of batch number `step`.

        Returns:
            Grey levels 0 to 1, float32 (n, 1, rows, cols), and places of the labels in LABELS,
            int64 (n,), on the device.
        """


class FirstHead(Protocol):
    """The last layer that a training begins with, from what the network knows by then."""

    def identity(self) -> Mapping[str, Any]:
        """Plain values that decide it."""

    def __call__(self, network: Classifier) -> dict[str, Tensor]:
        """Its state, for a network in evaluation mode on its device."""


@dataclass(frozen=True)
class ClassifierSettings:
    """How a classifier learns.

    Attributes:
        learning_rate: At its highest; it rises over the first `warmup` share of the steps and
            falls as a cosine to zero (Loshchilov & Hutter 2017).
        weight_decay: Of AdamW; not on norms and biases.
        warmup: Share of the steps.
        label_smoothing: Share of the truth that is spread over all classes, 0 to 1.
        frozen_statistics: Batch normalisation keeps the statistics that it starts with.
        clip: Largest norm of the gradient; 0 leaves it as it is.
    """

    learning_rate: float
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.0
    frozen_statistics: bool = False
    clip: float = 1.0


@dataclass(frozen=True)
class InitialNetwork:
    """The network that a training starts with.

    Attributes:
        architecture: Of models.classifier.Classifier.
        channels: Of its input, 1 or 3.
        start: "random", "imagenet" or a file of weights, as `load_start` takes it.
        folders: Where ImageNet weights may lie.
        maxima: Whether its last layer sees maxima, as Classifier has it.
        head: Of its last layer; None: it stays as the start gives it.
    """

    architecture: str
    channels: int
    start: str = RANDOM
    folders: Sequence[Path] = ()
    maxima: bool = False
    head: FirstHead | None = None


@dataclass(frozen=True)
class Validation:
    """What a classifier is validated on.

    Attributes:
        measure: Network in evaluation mode → numbers by name.
        digest: Of the units that are validated on: part of the training's identity.
        watched: The number that chooses the weights to keep; "" keeps the last.
    """

    measure: Callable[[nn.Module], Mapping[str, float]]
    digest: str
    watched: str = ""


class ClassifierTask(Task):
    """A classifier that learns from a source of batches.

    Args:
        name: Of the training.
        network: With the weights that it starts from.
        start: What these weights are, in words: part of the training's identity.
        source: Of batches.
        settings: How it learns.
        steps: Updates in all, for the schedule of the learning rate.
        validation: None validates nothing.
        head: Put in place of the last layer before the first step; None leaves it.
    """

    def __init__(
        self,
        name: str,
        network: Classifier,
        start: str,
        source: BatchSource,
        settings: ClassifierSettings,
        steps: int,
        validation: Validation | None = None,
        head: FirstHead | None = None,
    ) -> None:
        self.name, self._validation, self._head = name, validation, head
        self.watched = validation.watched if validation else ""
        self._start, self._source, self._settings, self._steps = start, source, settings, steps
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.modules = {"network": self.network}
        optimizer = AdamW(_groups(network, settings.weight_decay), lr=settings.learning_rate)
        self.optimizers = {"adamw": optimizer}

    def identity(self) -> Mapping[str, Any]:
        """Architecture, start, settings and data."""
        return {
            "architecture": self.network.architecture,
            "channels": self.network.channels,
            "maxima": self.network.maxima,
            "classes": self.network.head.out_features,
            "start": self._start,
            "watched": self.watched,
            "validated_on": self._validation.digest if self._validation else "",
            **asdict(self._settings),
            **self._source.identity(),
            **(self._head.identity() if self._head else {}),
        }

    def parts(self) -> Sequence[object]:
        """What it learns from, and what chooses the weights to keep."""
        measures = [self._validation.measure] if self._validation else []
        return (self._source, *measures, *([self._head] if self._head else []))

    def setup(self, fabric: Fabric, folder: Path) -> None:
        """Put the network on its device.

        Several GPUs share the statistics of batch normalisation, so that a batch is one batch
        however it is shared out. Torch cannot do that on CPUs: there, freeze them.
        """
        self._fabric = fabric
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call]
        self._wrapped, self._optimizer = fabric.setup(self.network, self.optimizers["adamw"])

    def step(self, number: int) -> Mapping[str, Tensor]:
        """One update on this process's share of batch `number`."""
        fabric, how = self._fabric, self._settings
        if number == 0 and self._head:
            state = self._head(self.network.eval())
            self.network.head.load_state_dict(fabric.broadcast(state))
        pixels, labels = self._source.share(
            number, fabric.global_rank, fabric.world_size, fabric.device
        )
        learning_rate = how.learning_rate * schedule(number, self._steps, how.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._wrapped.train()
        if how.frozen_statistics:
            freeze_statistics(self.network)
        logits = self._wrapped(pixels.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=how.label_smoothing)
        self._optimizer.zero_grad()
        fabric.backward(loss)
        if how.clip:
            fabric.clip_gradients(
                self._wrapped, self._optimizer, max_norm=how.clip, error_if_nonfinite=False
            )
        self._optimizer.step()
        right = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss": loss.detach(), "accuracy": right.detach()}

    def validate(self, number: int) -> Mapping[str, float]:
        """The numbers of the validation, with the network in evaluation mode."""
        if self._validation is None:
            return {}
        self.network.eval()
        with self._fabric.autocast():
            return self._validation.measure(self.network)


def fit_classifier(
    name: str,
    initial: InitialNetwork,
    source: BatchSource,
    settings: ClassifierSettings,
    loop: LoopSettings,
    folder: Path,
    validation: Validation | None = None,
) -> tuple[Classifier, Trained]:
    """Build a network, load what it starts from and train it; a finished training is only loaded.

    Args:
        name: Of the training.
        initial: The network before its first step; random weights follow from the loop's seed.
        source: Of batches.
        settings: How it learns; whether batch normalisation keeps its statistics is decided here,
            by `keeps_statistics`.
        loop: How long, and on which device.
        folder: Of all checkpoints.
        validation: None validates nothing.

    Returns:
        The network with the kept weights, in evaluation mode, and the record of its training.

    Raises:
        CheckpointError: The start weights are missing or do not fit.
    """
    network = build_classifier(
        initial.architecture, seed=loop.seed, channels=initial.channels, maxima=initial.maxima
    )
    start = load_start(network, initial.start, initial.folders)
    settings = replace(settings, frozen_statistics=keeps_statistics(network, initial.start, source))
    task = ClassifierTask(
        name, network, start, source, settings, loop.steps, validation, initial.head
    )
    return train_classifier(task, loop, folder)


def train_classifier(
    task: ClassifierTask, settings: LoopSettings, folder: Path
) -> tuple[Classifier, Trained]:
    """Train, or load what is trained already.

    Args:
        task: What is trained.
        settings: Of the loop; its steps must be those of the task.
        folder: Of all checkpoints.

    Returns:
        The network with the kept weights, in evaluation mode, and the record of its training.
    """
    done = train(task, settings, folder)
    return task.network.eval(), done


def keeps_statistics(network: Classifier, start: str, source: BatchSource) -> bool:
    """Make a network ready to learn; whether its batch normalisation should keep its statistics.

    Weights from elsewhere come with statistics that small batches only spoil: with fewer than
    SOUND_BATCH pictures they are kept. Where the normalisation was folded away, it is put back with
    the statistics of the first batch, and has to learn like that of a network with random weights.

    Args:
        network: With the weights that it starts from.
        start: What these are: "random", or anything else.
        source: That it will learn from.
    """
    if start == RANDOM:
        return False
    if is_folded(network):
        pixels, _ = source.share(0, 0, 1, network.head.weight.device)
        restore_normalisation(network, pixels)
        return False
    return int(source.identity()["batch_size"]) < SOUND_BATCH


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the highest learning rate in a step: a linear rise, then a cosine to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return 0.5 * (1 + math.cos(math.pi * done))


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters with and without decay: norms and biases have one dimension."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
