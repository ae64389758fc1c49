"""The one training loop: devices, checkpoints, resume, validation, progress.

It runs on Lightning Fabric: the same code on a CPU, a GPU, several GPUs and several machines
(started by torchrun or Slurm). Everything random in a step follows from the seed and the step's
number, so a training that was killed and resumed equals an unbroken one, on a CPU bit for bit.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm.auto import tqdm

from second_look.errors import SecondLookError
from second_look.training import checkpoints, tensorboard
from second_look.training.task import Task


class TrainingError(SecondLookError):
    """A training cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class LoopSettings:
    """How long and on what a task is trained.

    Attributes:
        steps: Updates in all.
        seed: Decides everything random, with the number of the step.
        validate_every: Steps between validations; 0 validates at the end only.
        patience: Validations without improvement before it stops; 0 never stops early.
        log_every: Steps that are averaged for a row of the history. Losses are looked at once in
            as many steps, so that a GPU need not wait for the CPU at every one.
        checkpoint_seconds: Between checkpoints; one is written at the end in any case.
        accelerator: "auto", "cpu" or "cuda".
        precision: As Fabric names it; "auto" is bf16-mixed on a GPU that knows it, else 32-true.
    """

    steps: int
    seed: int
    validate_every: int = 0
    patience: int = 0
    log_every: int = 10
    checkpoint_seconds: float = 60.0
    accelerator: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.log_every < 1 or min(self.validate_every, self.patience) < 0:
            raise ValueError(
                "steps and log_every must be positive, validate_every and patience not negative. "
                f"Got {self.steps}, {self.log_every}, {self.validate_every}, {self.patience}."
            )

    def identity(self) -> dict[str, Any]:
        """The settings that decide what comes out, whatever machine it runs on."""
        names = ("steps", "seed", "validate_every", "patience", "precision")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes:
        folder: With its checkpoints.
        weights: File of the weights of all modules (`checkpoints.load_weights` reads it).
        history: One row per number: step (updates before it), name, value. Losses are means over
            the steps since the row before.
        steps: Updates that were made; fewer than asked for where it stopped early.
        best_step: Updates behind the kept weights.
        seconds: Spent in training, over all its parts.
    """

    folder: Path
    weights: Path
    history: pd.DataFrame
    steps: int
    best_step: int
    seconds: float

    def curve(self, name: str) -> pd.DataFrame:
        """The rows of the history of one number: step, value."""
        rows = self.history[self.history["name"] == name]
        return rows[["step", "value"]].reset_index(drop=True)


@dataclass
class Progress:
    """Where a training stands: what a checkpoint keeps besides the networks."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0
    history: list[tuple[int, str, float]] = field(default_factory=list)
    # Losses by name of the steps since the last row of the history.
    pending: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        counts = (self.step, self.best_step, self.waited)
        if not all(isinstance(count, int) and count >= 0 for count in counts):
            raise ValueError(f"expected counts of steps. Got {counts}.")
        if not isinstance(self.history, list) or not isinstance(self.pending, list):
            raise TypeError("expected lists of losses.")
        self.best, self.seconds = float(self.best), float(self.seconds)

    def note(self, numbers: Mapping[str, float]) -> None:
        """Put numbers into the history, at this step."""
        self.history += [(self.step, name, float(value)) for name, value in numbers.items()]

    def note_losses(self) -> dict[str, float]:
        """Put the mean losses since the last call into the history, and return them."""
        means = {
            name: sum(part[name] for part in self.pending) / len(self.pending)
            for name in (self.pending[0] if self.pending else ())
        }
        self.note(means)
        self.pending = []
        return means

    def improved(self, value: float) -> bool:
        """Note a validation; whether it is the best so far."""
        if value > self.best:
            self.best, self.best_step, self.waited = value, self.step, 0
            return True
        self.waited += 1
        return False


def train(task: Task, settings: LoopSettings, folder: Path) -> Trained:
    """Train, from the last checkpoint where there is one; a finished training is only loaded.

    The task's modules hold the kept weights afterwards: the best by `task.watched`, else the last.

    Args:
        task: What is trained.
        settings: How long.
        folder: Of all checkpoints; this training has a folder of its own in it, named after the
            task and everything that decides its outcome, so that no other one can take its place.

    Raises:
        TrainingError: A loss is not finite, or the device's memory is full.
        KeyboardInterrupt: A signal asked to stop; a checkpoint was written after the step.
        CheckpointError: The folder holds checkpoints of something else, or none can be read.
    """
    fabric = _fabric(settings)
    identity = checkpoints.full_identity(task, settings.identity())
    training_folder = folder / checkpoints.folder_name(task.name, identity)
    torch.manual_seed(_seed_of(settings.seed, -1, 0))
    task.setup(fabric, training_folder)
    store = checkpoints.Checkpoints(training_folder, identity)
    progress = store.resume(task, Progress)
    _Loop(fabric, task, settings, store, progress).run()
    fabric.barrier()
    if math.isfinite(progress.best):
        store.load_best(task)
    else:
        progress.best_step = progress.step
    history = pd.DataFrame(progress.history, columns=["step", "name", "value"])
    return Trained(
        training_folder, store.best, history, progress.step, progress.best_step, progress.seconds
    )


class _Loop:
    """One call of `train` on one process."""

    def __init__(
        self,
        fabric: Fabric,
        task: Task,
        settings: LoopSettings,
        store: checkpoints.Checkpoints,
        progress: Progress,
    ) -> None:
        self.fabric, self.task, self.settings = fabric, task, settings
        self.store, self.progress = store, progress
        self.waiting: list[tuple[int, dict[str, Tensor]]] = []
        self.log: Any = None

    def run(self) -> None:
        """Make the steps that are still to be made."""
        first, steps = self.progress.step, self.settings.steps
        if self._finished():
            return
        if self.fabric.is_global_zero:
            self.log = tensorboard.open_log(os.environ, self.store.folder.name, first)
        started = saved = time.monotonic()
        earlier_seconds = self.progress.seconds
        bar = tqdm(
            total=steps,
            initial=first,
            desc=self.task.name,
            disable=not self.fabric.is_global_zero,
        )
        with bar, requests_to_stop() as requests:
            while not self._finished():
                self._step(bar)
                now = time.monotonic()
                self.progress.seconds = earlier_seconds + now - started
                due = now - saved >= self.settings.checkpoint_seconds
                if due or requests or self._finished():
                    self._check_losses()
                    self._save()
                    saved = time.monotonic()
                if requests:
                    raise KeyboardInterrupt(f"stopped after step {self.progress.step}", requests[0])

    def _finished(self) -> bool:
        patience = self.settings.patience
        stopped = bool(patience) and self.progress.waited >= patience
        return stopped or self.progress.step >= self.settings.steps

    def _step(self, bar: Any) -> None:  # noqa: ANN401
        """One update, and the validation that may be due after it."""
        number = self.progress.step
        torch.manual_seed(_seed_of(self.settings.seed, number, self.fabric.global_rank))
        try:
            losses = self.task.step(number)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"{self.task.name}: the device's memory is full in step {number} "
                f"({str(error).splitlines()[0]}). Use a smaller batch or smaller images; the last "
                f"checkpoint in {self.store.folder} stands."
            ) from error
        self.waiting.append((number, {name: loss.detach() for name, loss in losses.items()}))
        self.progress.step += 1
        bar.update()
        interval, last = self.settings.validate_every, self.progress.step == self.settings.steps
        due = last or bool(interval and self.progress.step % interval == 0)
        if due or self.progress.step % self.settings.log_every == 0:
            self._check_losses()
            means = self.progress.note_losses()
            self._log(means)
            bar.set_postfix({name: f"{value:.3g}" for name, value in means.items()})
        if due:
            self._validate()

    def _check_losses(self) -> None:
        """Fetch the losses of the steps since the last look from the device; all must be finite."""
        if not self.waiting:
            return
        numbers, losses = zip(*self.waiting, strict=True)
        names = list(losses[0])
        values = torch.stack([torch.stack([part[name] for name in names]) for part in losses])
        table = values.double().cpu().numpy()  # (steps, losses)
        self.waiting = []
        broken = ~np.isfinite(table).all(axis=1)
        if broken.any():
            index = int(np.argmax(broken))
            parts = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, table[index], strict=True))
            examples = self.task.examples(numbers[index])
            raise TrainingError(
                f"{self.task.name}: the loss is not finite in step {numbers[index]}: {parts}"
                f"{f' ({examples})' if examples else ''}. Use a lower learning rate, or look at "
                f"these images; the last checkpoint in {self.store.folder} is from before."
            )
        self.progress.pending += [dict(zip(names, row, strict=True)) for row in table.tolist()]

    def _validate(self) -> None:
        with torch.no_grad():
            measures = self.task.validate(self.progress.step)
        # All processes decide by the numbers of the first: they keep statistics of their own.
        numbers = self.fabric.broadcast({name: float(value) for name, value in measures.items()})
        self.progress.note(numbers)
        self._log(numbers)
        watched = self.task.watched
        if watched and self.progress.improved(numbers[watched]) and self.fabric.is_global_zero:
            self.store.save_weights(self.task)

    def _log(self, numbers: Mapping[str, float]) -> None:
        if self.log is not None:
            for name, value in numbers.items():
                self.log.add_scalar(name, value, self.progress.step)
            self.log.flush()

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            if self._finished() and not math.isfinite(self.progress.best):
                self.store.save_weights(self.task)
            self.store.save(self.task, vars(self.progress))


@contextmanager
def requests_to_stop() -> Iterator[list[int]]:
    """Within the block, the first signal to stop is noted instead of raised: a step is finished.

    Ctrl-C, the end of a job (SIGTERM) and a closed terminal (SIGHUP) are such signals; one that is
    ignored, as by nohup, stays ignored. The same one again raises KeyboardInterrupt at once.
    """
    requests: list[int] = []

    def note(number: int, _frame: object) -> None:
        # A cluster stops all processes of a job, and the run then stops its kernel once more.
        if number in requests:
            raise KeyboardInterrupt
        requests.append(number)

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # elsewhere there are no signals
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                previous[number] = signal.signal(number, note)
    try:
        yield requests
    finally:
        for noted, handler in previous.items():
            signal.signal(noted, handler)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch from a seed within the block, as before it afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _fabric(settings: LoopSettings) -> Fabric:
    """Fabric for the processes that torchrun or Slurm started; on its own, for one device."""
    accelerator = settings.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    precision = settings.precision
    if precision == "auto":
        halved = accelerator == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bf16-mixed" if halved else "32-true"
    world, local = _processes(os.environ)
    fabric = Fabric(
        accelerator=accelerator,
        devices=local if world > 1 else 1,
        num_nodes=max(1, world // local) if world > 1 else 1,
        strategy="ddp" if world > 1 else "auto",
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _processes(environ: Mapping[str, str]) -> tuple[int, int]:
    """How many processes torchrun or srun started, in all and on this machine.

    Slurm sets SLURM_NTASKS for a batch script too, which is one process however many tasks it may
    start: it would wait for the others forever. The number of a step is srun's own.
    """
    if "WORLD_SIZE" in environ:
        world = int(environ["WORLD_SIZE"])
        return world, int(environ.get("LOCAL_WORLD_SIZE", world))
    world = int(environ.get("SLURM_STEP_NUM_TASKS", "1"))
    return world, int(environ.get("SLURM_NTASKS_PER_NODE", world)) if world > 1 else 1


def _seed_of(seed: int, step: int, rank: int) -> int:
    """A seed for torch's generator that no other step and process has."""
    return int(np.random.SeedSequence([seed, step + 1, rank]).generate_state(1, np.uint64)[0])
