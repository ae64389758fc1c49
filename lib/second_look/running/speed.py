"""How fast this machine trains: a few real steps of each network, on pictures of noise.

A step that would take long is timed on fewer or smaller pictures; what is kept is the speed,
floating-point operations per second, by which `costs` turns any amount of work into time. Speeds
are kept for a day in the user's cache, so that only the first plan waits for them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW

from second_look.batches.gan_patches import PatchSet
from second_look.errors import OutputError
from second_look.files import read_object, write_json
from second_look.models import dcgan, progressive
from second_look.models.classifier import Classifier
from second_look.models.mask_rcnn import build_detector
from second_look.running.costs import CLASSIFIER, DCGAN, DETECTOR, PROGRESSIVE, Network, cost
from second_look.training.gan import DcganTask, DcganTraining, ProgressiveTask, ProgressiveTraining

# Work of a timed step: a quarter of a second or less on one CPU core, a tenth on a GPU.
_CPU_FLOPS, _GPU_FLOPS = 4e9, 2e12
# A step that stays so many times larger, such as that of the paper's detector, is not timed.
_UNTIMED = 8
_TIMED_STEPS = 2
_DAY_S = 86_400
# Stop measuring after so long: what is not measured by then has the speed of its kind.
BUDGET_S = 50.0
# Effective speed of one H100 or H200 in bf16, FLOP/s, and the shortest step that launching kernels
# allows, s. No run of this project stands behind them: they are what such networks usually reach
# (ResNet-50, 224 px: 2,500 images/s; Mask R-CNN, 1024 px: about 10 images/s in training).
GPU_SPEEDS = {CLASSIFIER: 60e12, DETECTOR: 20e12, DCGAN: 15e12, PROGRESSIVE: 20e12}
GPU_LEAST_STEP_S = {CLASSIFIER: 0.02, DETECTOR: 0.1, DCGAN: 0.01, PROGRESSIVE: 0.05}
# Where a network could not be timed: FLOP/s of one CPU core that is not busy.
_CORE_SPEED = 2e10
# A network that is always timed, and what the core took on which everything else was measured.
REFERENCE = (Network(CLASSIFIER, "small", 128, 128), 16)
_REFERENCE_S = 16 / 188  # benchmarks/results/speed.csv


@dataclass(frozen=True)
class Machine:
    """What training runs on.

    Attributes:
        name: Of the GPU, or "CPU".
        device: cuda or cpu.
        memory: Bytes of the GPU, or of this machine.
        threads: Of torch on the CPU.
    """

    name: str
    device: str
    memory: int
    threads: int


class Speeds:
    """Speeds of networks on a machine, measured when they are first asked for.

    Args:
        machine: Of `this_machine`.
        cache: File that keeps them.
        measure: Times a step: network, pictures, device -> s; None measures nothing.
    """

    def __init__(
        self, machine: Machine, cache: Path, measure: Callable[[Network, int, str], float] | None
    ) -> None:
        self.machine, self._cache, self._measure = machine, cache, measure
        self._key = f"{machine.name}, {machine.threads} threads, torch {torch.__version__}"
        self._stored: dict[str, dict[str, Any]] = {
            name: {key: entry for key, entry in part.items() if _is_timed(entry)}
            for name, part in read_object(cache).items()
            if isinstance(part, dict)
        }
        self._spent = 0.0

    def seconds(self, network: Network, batch: int) -> float:
        """Of an update of so many pictures."""
        return batch * cost(network).step_flops / self.flops_per_second(network, batch)

    def slowness(self) -> float:
        """How much longer one core takes than that on which `work` was measured, at least 1."""
        network, batch = REFERENCE
        if self.machine.device == "cuda":
            return 1.0
        return max(1.0, self.seconds(network, batch) / _REFERENCE_S)

    def flops_per_second(self, network: Network, batch: int) -> float:
        """Operations per second in training this network."""
        probe, pictures = reduced(network, batch, self.machine.device)
        of_machine = self._stored.setdefault(self._key, {})
        name = f"{probe} × {pictures}"
        entry = of_machine.get(name)
        if entry is None or time.time() - entry["time"] > _DAY_S:
            if self._measure is None or self._spent > BUDGET_S:
                return self._of_kind(network.kind)
            flops = pictures * cost(probe).step_flops
            if flops > _UNTIMED * _limit(self.machine.device):
                return self._of_kind(network.kind)
            started = time.perf_counter()
            seconds = self._measure(probe, pictures, self.machine.device)
            self._spent += time.perf_counter() - started
            entry = {
                "kind": network.kind,
                "flops": flops / seconds,
                "time": time.time(),
            }
            of_machine[name] = entry
            self._save()
        return float(entry["flops"])

    def _of_kind(self, kind: str) -> float:
        """The slowest that was measured of a kind, else that of a core."""
        entries = self._stored.get(self._key, {}).values()
        return min(
            (float(entry["flops"]) for entry in entries if entry["kind"] == kind),
            default=_CORE_SPEED,
        )

    def _save(self) -> None:
        try:
            write_json(self._cache, self._stored)
        except (OutputError, OSError):  # a home that cannot be written: measured again next time
            return


def this_machine() -> Machine:
    """The GPU, where torch finds one, else the CPU."""
    import psutil

    threads = torch.get_num_threads()
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Machine(properties.name, "cuda", properties.total_memory, threads)
    return Machine("CPU", "cpu", psutil.virtual_memory().total, threads)


def cache_file() -> Path:
    """Where measured speeds are kept: in the user's cache, for all sets."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "second_look" / "speeds.json"


def gpu_seconds(network: Network, batch: int) -> float:
    """Estimate of an update on one H100 or H200; no measurement stands behind it."""
    seconds = batch * cost(network).step_flops / GPU_SPEEDS[network.kind]
    return max(seconds, GPU_LEAST_STEP_S[network.kind])


def reduced(network: Network, batch: int, device: str) -> tuple[Network, int]:
    """The network on fewer pictures, or smaller ones, so that a step takes about a second."""
    limit, min_batch = _limit(device), 1 if network.kind == DETECTOR else 4
    flops = cost(network).step_flops
    while batch > min_batch and batch * flops > limit:
        batch = max(min_batch, batch // 2)
    while min(network.rows, network.cols) >= 128 and batch * flops > limit:
        network = _halved(network)
        flops /= 4  # near enough
    return network, batch


def _limit(device: str) -> float:
    return _GPU_FLOPS if device == "cuda" else _CPU_FLOPS


def _halved(network: Network) -> Network:
    """The same on pictures of half the height and width; frames stay multiples of 64 px."""
    rows, cols = (max(64, size // 128 * 64) for size in (network.rows, network.cols))
    gan = network.gan
    if isinstance(gan, dcgan.DcganSettings):
        gan = replace(gan, size=gan.size // 2)
    elif gan is not None:
        gan = replace(gan, size=gan.size // 2, start=min(gan.start, gan.size // 2))
    return replace(network, rows=rows, cols=cols, gan=gan)


def time_step(network: Network, batch: int, device: str) -> float:
    """Time a few updates, s, as they would take if nothing else ran.

    The fastest counts, since other work only slows them down; and where a step waited for other
    work, the CPU time that it used.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        update = _UPDATES[network.kind](network, batch, torch.device(device))
        taken = []
        for _ in range(1 + _TIMED_STEPS):
            started, used = time.perf_counter(), time.process_time()
            updates = update()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
            if device == "cpu":
                seconds = min(seconds, time.process_time() - used)
            taken.append(seconds / updates)
    return min(taken[1:])


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _classifier(network: Network, batch: int, device: torch.device) -> Callable[[], int]:
    classifier = Classifier(network.name, channels=network.channels)
    classifier = classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = AdamW(classifier.parameters(), lr=1e-6)
    pictures = torch.rand(batch, 1, network.rows, network.cols, device=device)
    labels = torch.zeros(batch, dtype=torch.int64, device=device)

    def update() -> int:
        with _autocast(device):
            logits = classifier(pictures)
        return _learn(functional.cross_entropy(logits.float(), labels), optimizer)

    return update


def _detector(network: Network, batch: int, device: torch.device) -> Callable[[], int]:
    detector = build_detector(network.name).to(device)
    optimizer = AdamW(detector.parameters(), lr=1e-6)
    rows, cols = network.rows, network.cols
    pictures = torch.rand(batch, 1, rows, cols, device=device)
    mask = torch.zeros(1, rows, cols, dtype=torch.uint8, device=device)
    mask[:, rows // 4 : rows // 2, cols // 4 : cols // 2] = 1
    box = [[cols // 4, rows // 4, cols // 2, rows // 2]]
    target = {
        "boxes": torch.tensor(box, dtype=torch.float32, device=device),
        "labels": torch.ones(1, dtype=torch.int64, device=device),
        "masks": mask,
    }

    def update() -> int:
        with _autocast(device):
            losses = detector(pictures, [(rows, cols)] * batch, [target] * batch)
        return _learn(torch.stack([loss.float() for loss in losses.values()]).sum(), optimizer)

    return update


def _learn(loss: Tensor, optimizer: torch.optim.Optimizer) -> int:
    """One update, the number of which is returned."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return 1


class _NoisePatches(SimpleNamespace):
    """The part of a PatchSet that an update asks for."""

    size: int
    noise: Tensor

    def batch(self, *_: int) -> Tensor:
        return self.noise


def _gan(network: Network, batch: int, device: torch.device) -> Callable[[], int]:
    settings = network.gan
    noise = torch.rand(batch, 1, network.rows, network.cols, device=device) * 2 - 1
    patches = cast(PatchSet, _NoisePatches(size=network.rows, noise=noise))
    task: DcganTask | ProgressiveTask
    if isinstance(settings, dcgan.DcganSettings):
        parts = 1
        task = DcganTask("timed", DcganTraining(settings, 1e-6, 0.5), patches, seed=0)
    else:
        growing = cast(progressive.ProgressiveSettings, settings)
        parts = progressive.parts_of(growing)
        how = ProgressiveTraining(growing, "wgan-gp", 1e-6)
        task = ProgressiveTask("timed", how, patches, seed=0, steps=parts)
    precision: Any = "bf16-mixed" if device.type == "cuda" else "32-true"
    task.use(Fabric(accelerator=device.type, devices=1, precision=precision))

    def updates() -> int:
        for part in range(parts):  # one at each resolution, of which `costs` counts the mean
            task.step(part)
        return parts

    return updates


_UPDATES = {CLASSIFIER: _classifier, DETECTOR: _detector, DCGAN: _gan, PROGRESSIVE: _gan}


def _is_timed(entry: object) -> bool:
    """Whether an entry of the file of speeds is one that this version writes."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
        return False
    return all(isinstance(entry.get(name), int | float) for name in ("flops", "time"))
