"""The loop on a task small enough to know its outcome: resume, validation, errors, processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from second_look.errors import CheckpointError, OutputError
from second_look.models.weights import read_tensors
from second_look.training import checkpoints
from second_look.training.loop import (
    LoopSettings,
    Task,
    TrainingError,
    _processes,
    seeded,
    train,
)
from torch import nn
from torch.nn import functional

WEIGHTS = torch.tensor([[2.0, -1.0, 0.5]])


class Line(Task):
    """Learns y = WEIGHTS · x from batches that follow from the step's number; with dropout."""

    name = "line"

    def __init__(
        self, *, learning_rate=0.1, watched="", stop_at=None, break_at=None, size=8, dropout=0.2
    ):
        with seeded(1):
            self.modules = {"net": nn.Sequential(nn.Dropout(dropout), nn.Linear(3, 1, bias=False))}
        self.optimizers = {
            "adam": torch.optim.Adam(self.modules["net"].parameters(), lr=learning_rate)
        }
        self.learning_rate, self.watched, self.size = learning_rate, watched, size
        self.stop_at, self.break_at = stop_at, break_at
        self.validated = []

    def identity(self):
        return {"learning_rate": self.learning_rate, "size": self.size}

    def setup(self, fabric, folder):
        self.fabric = fabric
        self.net, self.adam = fabric.setup(self.modules["net"], self.optimizers["adam"])

    def step(self, number):
        if number == self.stop_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(np.random.default_rng(number).normal(size=(self.size, 3))).float()
        x = x[self.fabric.global_rank :: self.fabric.world_size]
        loss = functional.mse_loss(self.net(x), x @ WEIGHTS.T)
        if number == self.break_at:
            loss = loss * float("nan")
        self.adam.zero_grad()
        self.fabric.backward(loss)
        self.adam.step()
        return {"mse": loss, "twice": 2 * loss}

    def validate(self, number):
        self.validated.append(number)
        far = (self.modules["net"][1].weight - WEIGHTS).abs().max()
        return {"near": -float(far), "steps": float(number)}

    def examples(self, number):
        return f"rows of {number}"


def settings(steps=60, **changes):
    return LoopSettings(
        steps=steps, accelerator="cpu", checkpoint_seconds=0, **{"seed": 0, **changes}
    )


def weights(task):
    return task.modules["net"][1].weight.detach().clone()


def test_it_learns_and_tells_how(tmp_path: Path) -> None:
    task = Line(dropout=0)
    done = train(task, settings(300, log_every=50), tmp_path)
    assert torch.allclose(weights(task), WEIGHTS, atol=0.05)
    losses = done.curve("mse")
    assert losses["step"].tolist() == [50, 100, 150, 200, 250, 300]
    assert losses["value"].is_monotonic_decreasing
    assert np.allclose(done.curve("twice")["value"], 2 * losses["value"])
    assert (done.steps, done.best_step) == (300, 300)
    assert done.seconds > 0


@pytest.mark.parametrize("stop_at", [1, 17, 59])
def test_killed_and_resumed_equals_unbroken_bit_for_bit(tmp_path: Path, stop_at: int) -> None:
    unbroken = Line()
    unbroken_run = train(unbroken, settings(log_every=5), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=stop_at), settings(log_every=5), tmp_path / "b")
    resumed = Line()
    parts = train(resumed, settings(log_every=5), tmp_path / "b")
    assert torch.equal(weights(unbroken), weights(resumed))
    assert parts.history.equals(unbroken_run.history)
    a, b = unbroken.optimizers["adam"].state_dict(), resumed.optimizers["adam"].state_dict()
    assert torch.equal(a["state"][0]["exp_avg_sq"], b["state"][0]["exp_avg_sq"])


def test_a_finished_training_is_only_loaded(tmp_path: Path) -> None:
    first = train(Line(), settings(), tmp_path)
    again = Line(stop_at=0)  # a step would raise
    second = train(again, settings(), tmp_path)
    assert second.folder == first.folder
    assert second.history.equals(first.history)
    assert torch.equal(weights(again), read_tensors(first.weights)["net/1.weight"])


def test_other_settings_have_a_folder_of_their_own(tmp_path: Path) -> None:
    folders = {
        train(Line(learning_rate=learning_rate), settings(3, seed=seed), tmp_path).folder
        for learning_rate in (0.1, 0.2)
        for seed in (0, 1)
    }
    assert len(folders) == 4


def test_the_best_weights_are_kept_and_patience_ends_it(tmp_path: Path) -> None:
    task = Line(watched="near", learning_rate=3.0)  # so fast that it jumps about
    done = train(task, settings(200, validate_every=5, patience=4), tmp_path)
    curve = done.curve("near")
    best = curve.loc[curve["value"].idxmax()]
    assert done.best_step == best["step"]
    assert done.steps == min(200, done.best_step + 4 * 5)
    assert -float((weights(task) - WEIGHTS).abs().max()) == pytest.approx(best["value"], abs=1e-6)
    assert task.validated == list(range(5, done.steps + 1, 5))


def test_a_loss_that_is_not_finite_stops_it_and_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 7: mse nan, twice nan \(rows of 7\)"):
        train(Line(break_at=7), settings(60, log_every=50), tmp_path)
    resumed = Line()
    train(resumed, settings(60, log_every=50), tmp_path)
    unbroken = Line()
    train(unbroken, settings(60, log_every=50), tmp_path / "other")
    assert torch.equal(weights(resumed), weights(unbroken))


def test_a_broken_checkpoint_gives_way_to_the_one_before(tmp_path: Path, capsys) -> None:
    unbroken = Line()
    train(unbroken, settings(), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=30), settings(), tmp_path / "b")
    (last,) = (tmp_path / "b").glob("*/last.pt")
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    resumed = Line()
    train(resumed, settings(), tmp_path / "b")
    output = capsys.readouterr().out
    assert "last.pt: cannot be read" in output
    assert "going on from the one before it, previous.pt" in output
    assert torch.equal(weights(unbroken), weights(resumed))


@pytest.mark.parametrize("left", [b"", b"\x80", b"abc", b"\x80\x02"])
def test_what_a_power_cut_leaves_gives_way_too(tmp_path: Path, capsys, left) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=30), settings(), tmp_path)
    (last,) = tmp_path.glob("*/last.pt")
    last.write_bytes(left)
    train(Line(), settings(), tmp_path)
    assert "going on from the one before it, previous.pt" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["last.pt", "weights.safetensors"])
def test_a_full_disk_is_told_plainly(tmp_path: Path, name) -> None:
    store = checkpoints.Checkpoints(tmp_path, {})
    (tmp_path / f".{name}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="no space left on the disk"):
        store.save(Line(), {}) if name == "last.pt" else store.save_weights(Line())


def test_where_no_checkpoint_can_be_read_it_says_what_to_do(tmp_path: Path) -> None:
    done = train(Line(), settings(3), tmp_path)
    for name in ("last.pt", "previous.pt"):
        (done.folder / name).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"Remove .* to train from the start"):
        train(Line(), settings(3), tmp_path)


def test_a_checkpoint_of_another_training_is_named(tmp_path: Path) -> None:
    done = train(Line(learning_rate=0.1), settings(3), tmp_path)
    other_training = train(Line(learning_rate=0.5), settings(3), tmp_path)
    (other_training.folder / "last.pt").write_bytes((done.folder / "last.pt").read_bytes())
    with pytest.raises(CheckpointError, match=r"learning_rate 0\.1 \(wanted: 0\.5\)"):
        train(Line(learning_rate=0.5), settings(3), tmp_path)


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="steps and log_every must be positive"):
        LoopSettings(steps=0, seed=0)


def test_two_processes_train_as_one(tmp_path: Path, two_processes: Path) -> None:
    """Half of each batch in each of two processes (gloo) gives the weights of one process."""
    single = Line(dropout=0)
    train(single, settings(20), tmp_path / "one")
    (folder,) = (two_processes / "line").iterdir()
    shared = read_tensors(folder / "weights.safetensors")["net/1.weight"]
    assert torch.allclose(shared, weights(single), atol=1e-6)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (1, 1)),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, (8, 4)),
        ({"WORLD_SIZE": "2", "SLURM_STEP_NUM_TASKS": "1"}, (2, 2)),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS_PER_NODE": "2"}, (4, 2)),
        ({"SLURM_STEP_NUM_TASKS": "4"}, (4, 4)),
        # A batch script that could start four tasks, and a single one that srun started.
        ({"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4"}, (1, 1)),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS_PER_NODE": "4"}, (1, 1)),
    ],
)
def test_processes_are_those_that_were_started(environ, expected):
    assert _processes(environ) == expected


def rarely_saved():
    return LoopSettings(steps=60, seed=0, accelerator="cpu", checkpoint_seconds=1e9)


@pytest.fixture
def usual_handlers() -> Iterator[None]:
    """Handlers as in a terminal: under nohup, or in a job of a shell, some signals are ignored."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    previous = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("usual_handlers")
@pytest.mark.parametrize(
    "numbers",
    [
        [signal.SIGINT],
        [signal.SIGTERM],
        [signal.SIGHUP],
        [signal.SIGTERM, signal.SIGINT],  # a job is ended, and its run stops the kernel
    ],
)
@pytest.mark.parametrize("stop_at", [3, 59])
def test_a_signal_ends_it_after_the_step_with_a_checkpoint(tmp_path, monkeypatch, numbers, stop_at):
    handlers = [signal.getsignal(number) for number in numbers]
    unbroken = Line()
    train(unbroken, rarely_saved(), tmp_path / "a")
    asked = Line()
    step = asked.step

    def step_and_signal(index):
        if index == stop_at:
            for number in numbers:
                signal.raise_signal(number)
        return step(index)

    asked.step = step_and_signal
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(asked, rarely_saved(), tmp_path / "b")
    assert stopped.value.args[-1] == numbers[0]
    assert [signal.getsignal(number) for number in numbers] == handlers
    resumed = Line(stop_at=stop_at)  # the step that was finished is not made again
    train(resumed, rarely_saved(), tmp_path / "b")
    assert torch.equal(weights(unbroken), weights(resumed))


@pytest.mark.usefixtures("usual_handlers")
def test_a_second_signal_ends_it_at_once(tmp_path):
    task = Line()

    def step(index):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("a step went on")

    task.step = step
    with pytest.raises(KeyboardInterrupt):
        train(task, settings(), tmp_path)
    assert not list(tmp_path.rglob("*.pt"))


def test_an_ignored_signal_stays_ignored(tmp_path):
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        task = Line()
        step = task.step
        task.step = lambda index: (signal.raise_signal(signal.SIGHUP), step(index))[1]
        assert train(task, settings(5), tmp_path).steps == 5
    finally:
        signal.signal(signal.SIGHUP, previous)


def put(*names, value):
    """A change of a checkpoint's content: something at a place of it."""

    def change(content):
        for name in names[:-1]:
            content = content[name]
        content[names[-1]] = value

    return change


PLACE = ("modules", "net", "1.weight")
TAMPERED = {
    "no number": put(*PLACE, value=torch.full((1, 3), float("nan"))),
    "whole numbers": put(*PLACE, value=torch.ones(1, 3, dtype=torch.int64)),
    "shape": put(*PLACE, value=torch.ones(2, 3)),
    "step": put("progress", "step", value="17"),
    "other progress": put("progress", "unknown", value=1),
    "no progress": put("progress", value=[1]),
    "no optimizer": put("optimizers", value={}),
    "optimizer": put("optimizers", "adam", "param_groups", value=[]),
    "no modules": lambda content: content.pop("modules"),
}


def tamper(path, change):
    content = torch.load(path, weights_only=True)
    TAMPERED[change](content)
    torch.save(content, path)


@pytest.mark.parametrize("change", TAMPERED)
def test_a_tampered_checkpoint_gives_way_to_the_one_before_it(tmp_path, capsys, change):
    unbroken = Line()
    train(unbroken, settings(8), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=5), settings(8), tmp_path / "b")
    (last,) = (tmp_path / "b").rglob("last.pt")
    tamper(last, change)
    resumed = Line()
    train(resumed, settings(8), tmp_path / "b")
    assert "going on from the one before it, previous.pt" in capsys.readouterr().out
    assert torch.equal(weights(unbroken), weights(resumed))
    (previous,) = (tmp_path / "b").rglob("previous.pt")
    for path in (last, previous):
        tamper(path, change)
    with pytest.raises(CheckpointError, match=r"Remove .* to train from the start") as error:
        train(Line(), settings(8), tmp_path / "b")
    assert len(str(error.value)) < 1000


def test_kept_weights_that_are_damaged_say_what_to_do(tmp_path):
    done = train(Line(watched="near"), settings(10, validate_every=5), tmp_path)
    done.weights.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"weights.safetensors: .* Remove .* to train again"):
        train(Line(watched="near"), settings(10, validate_every=5), tmp_path)
