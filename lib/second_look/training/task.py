"""What the training loop trains: networks, their optimizers, one update, one validation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer


class Task(ABC):
    """What the loop trains: networks, their optimizers, one update, one validation.

    A step may draw from torch's global generator, which the loop seeds before each step, and from
    generators seeded with the step's number; from nothing else.

    Attributes:
        name: Of the folder of its checkpoints: small letters, digits, _ and -.
        modules: Networks by name, as they are saved.
        optimizers: By name.
        watched: Name of the validated number that chooses the best weights and stops early, in
            `validate`; higher is better. Empty: the last weights are kept.
    """

    name: str
    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    watched: str = ""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Plain values that decide what comes out: architecture, classes, settings, data."""

    def parts(self) -> Sequence[object]:
        """Objects and functions besides this task whose code decides what comes out.

        They may have `parts` in turn.
        """
        return ()

    @abstractmethod
    def setup(self, fabric: Fabric, folder: Path) -> None:
        """Let Fabric put modules and optimizers on their device (`fabric.setup`).

        Args:
            fabric: Of the process; its rank and world size say which share of a batch is its own.
            folder: Of the checkpoints, for what a task saves besides weights.
        """

    @abstractmethod
    def step(self, number: int) -> Mapping[str, Tensor]:
        """Update number `number`, from 0; returns its losses, detached scalars, by name."""

    def validate(self, number: int) -> Mapping[str, float]:
        """Numbers by name after `number` updates; every process returns the same."""
        return {}

    def examples(self, number: int) -> str:
        """What a step learnt from, such as its image ids, for messages about that step."""
        return ""
