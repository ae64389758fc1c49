"""A training of milliseconds, for tests of what starts trainings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from second_look.training.loop import LoopSettings, Trained, seeded, train
from second_look.training.task import Task
from torch import Tensor, nn


class CountedLine(Task):
    """Fits a line, and adds a line to a log file for every step that any process makes."""

    name = "line"

    def __init__(self, log: Path) -> None:
        with seeded(1):
            self.modules = {"net": nn.Linear(1, 1)}
        self.optimizers = {"sgd": torch.optim.SGD(self.modules["net"].parameters(), lr=0.1)}
        self.log = log

    def identity(self) -> Mapping[str, Any]:
        return {}

    def setup(self, fabric: Any, folder: Path) -> None:
        self.fabric = fabric
        self.net, self.sgd = fabric.setup(self.modules["net"], self.optimizers["sgd"])

    def step(self, number: int) -> Mapping[str, Tensor]:
        loss = ((self.net(torch.ones(1, 1)) - number) ** 2).mean()
        self.sgd.zero_grad()
        self.fabric.backward(loss)
        self.sgd.step()
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"step {number} of process {self.fabric.global_rank}\n")
        return {"squared": loss}


def train_line(folder: Path, *, steps: int) -> Trained:
    """Train it in folder/checkpoints, with the log in folder/steps.txt."""
    settings = LoopSettings(steps=steps, seed=0, accelerator="cpu")
    return train(CountedLine(folder / "steps.txt"), settings, folder / "checkpoints")
