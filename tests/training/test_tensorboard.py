"""A TensorBoard log is written where it is asked for, and changes nothing of a training."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from lightning_fabric import Fabric
from second_look.training.loop import LoopSettings, train
from second_look.training.task import Task
from second_look.training.tensorboard import VARIABLE, TensorBoardError, open_log
from torch import Tensor, nn

SETTINGS = LoopSettings(steps=20, seed=0, validate_every=10, accelerator="cpu")


class Mean(Task):
    """Learns one number."""

    name, watched = "mean", "near"

    def __init__(self) -> None:
        self.modules = {"net": nn.Linear(1, 1, bias=False)}
        nn.init.zeros_(self.modules["net"].weight)
        self.optimizers = {"sgd": torch.optim.SGD(self.modules["net"].parameters(), lr=0.1)}

    def identity(self) -> dict[str, str]:
        return {}

    def setup(self, fabric: Fabric, folder: Path) -> None:
        self.net, self.sgd = fabric.setup(self.modules["net"], self.optimizers["sgd"])

    def step(self, number: int) -> dict[str, Tensor]:
        loss = (self.net(torch.ones(1, 1)) - 1).square().mean()
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        return {"loss": loss}

    def validate(self, number: int) -> dict[str, float]:
        return {"near": float(self.modules["net"].weight.detach())}


class Writer:
    """What TensorBoard is told."""

    opened: list[Writer]

    def __init__(self, folder: Path, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.scalars: list[tuple[str, float, int]] = []
        Writer.opened.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def flush(self) -> None:
        """As on disk."""


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[Writer]:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    Writer.opened = []
    return Writer.opened


def test_every_number_of_the_history_is_logged_and_the_training_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writers: list[Writer]
) -> None:
    plain = train(Mean(), SETTINGS, tmp_path / "plain")
    assert writers == [], "off unless it is asked for"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "logs"))
    logged = train(Mean(), SETTINGS, tmp_path / "logged")
    assert logged.folder.name == plain.folder.name
    assert logged.weights.read_bytes() == plain.weights.read_bytes()
    (writer,) = writers
    assert writer.folder == tmp_path / "logs" / logged.folder.name
    history = logged.history[["name", "value", "step"]].itertuples(index=False, name=None)
    assert writer.scalars == list(history)
    train(Mean(), SETTINGS, tmp_path / "logged")
    assert len(writers) == 1, "a finished training is only loaded"


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert open_log({}, "a", 0) is None
    with pytest.raises(TensorBoardError, match=r"`python -m pip install tensorboard`, or unset"):
        open_log({VARIABLE: "logs"}, "a", 0)
