"""One epoch of the paper's DCGAN on 4000 patches of 256 x 256 px, on this machine's device.

Beside it the loop that one would write first: a DataLoader of PNG patches, eager, float32, with the
same networks and batch size. The work of a step is counted, and set against the time that the
device's memory alone would take for it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from PIL import Image
from second_look.batches.gan_patches import PatchSet
from second_look.models.dcgan import PAPER, Discriminator, Generator
from second_look.models.generator import Scaling
from second_look.preparing.store import Prepared
from second_look.training.gan import DcganTask, DcganTraining
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from measures.timing import OURS, Row, row, side_by_side

EPOCH, SIZE = 4000, 256
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
# Patches and batches that are timed: a CPU needs a second for eight patches.
PATCHES, BATCH, STEPS = (4000, 128, 50) if CUDA else (32, 8, 2)


def measure() -> list[Row]:
    """Epochs a second, ours and plain; FLOPs and bytes of a step; share of the limit reached."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_images(folder)
        task, plain = _task(folder), _plain(folder)
        label = f"DCGAN of the paper, {torch.cuda.get_device_name() if CUDA else 'CPU'}"
        competitors = {OURS: _task_epoch(task), "plain loop over a DataLoader of PNG files": plain}
        rows = side_by_side(label, "epochs/s", competitors)  # type: ignore[arg-type]
        flops, moved = _work(task)
        seconds = BATCH / EPOCH / rows[0]["value"]
        limit = moved / _bandwidth()
    counted = [
        row("work of a step", f"{BATCH} patches", flops / 1e9, "GFLOP"),
        row("work of a step", f"{BATCH} patches, least traffic", moved / 1e9, "GB"),
        row("limit of the memory", "share reached", 100 * limit / seconds, "%"),
    ]
    return rows + counted


def _write_images(folder: Path) -> None:
    """One image to cut from, and the same patches as PNG files."""
    grey = np.random.default_rng(0).integers(0, 256, (2048, 2048)).astype(np.uint8)
    np.save(folder / "a.pixels.npy", grey)
    for number, (top, left) in enumerate(_places()):
        patch = grey[top : top + SIZE, left : left + SIZE]
        Image.fromarray(patch).save(folder / f"{number:05d}.png")


def _places() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2048 - SIZE, (PATCHES, 2))


def _task(folder: Path) -> DcganTask:
    images = {"image_id": ["a"], "rows": [2048], "cols": [2048], "bits": [8]}
    table = pd.DataFrame({**images, "content_hash": "a"})
    prepared = Prepared(folder, table, pd.DataFrame(), pd.DataFrame(), np.zeros(0, np.float32))
    windows = pd.DataFrame(_places(), columns=["row", "col"])
    windows = windows.assign(image_id="a", size=SIZE, label="normal", excluded="")
    patches = PatchSet(
        prepared, windows, size=SIZE, batch_size=BATCH, seed=0, scaling=Scaling(0, 1)
    )
    fabric = Fabric(
        accelerator="cuda" if CUDA else "cpu",
        devices=1,
        precision="bf16-mixed" if CUDA else "32-true",
    )
    task = DcganTask("bench", DcganTraining(PAPER, learning_rate=2e-4, beta1=0.5), patches, seed=0)
    task.setup(fabric, folder)
    return task


def _task_epoch(task: DcganTask) -> Callable[[], float]:
    def work() -> float:
        for number in range(STEPS):
            task.step(number)
        _wait()
        return STEPS * BATCH / EPOCH

    return work


class _Files(Dataset[torch.Tensor]):
    """PNG patches, -1 to 1."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        grey = np.asarray(Image.open(self._paths[index]), dtype=np.float32)
        return torch.from_numpy(grey)[None] / 127.5 - 1


def _plain(folder: Path) -> Callable[[], float]:
    generator, discriminator = Generator(PAPER).to(DEVICE), Discriminator(PAPER).to(DEVICE)
    optimizers = [
        torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999))
        for network in (generator, discriminator)
    ]
    loader = DataLoader(
        _Files(folder), BATCH, shuffle=True, drop_last=True, num_workers=8 if CUDA else 0
    )

    def work() -> float:
        done = 0
        while done < STEPS:
            for real in loader:
                _plain_step(generator, discriminator, optimizers, real.to(DEVICE))
                done += 1
                if done == STEPS:
                    break
        _wait()
        return STEPS * BATCH / EPOCH

    return work


def _plain_step(
    generator: Generator,
    discriminator: nn.Module,
    optimizers: list[torch.optim.Adam],
    real: torch.Tensor,
) -> None:
    fake = generator(generator.draw(len(real), real.device))
    on_real, on_fake = discriminator(real), discriminator(fake.detach())
    ones, zeros = torch.ones_like(on_real), torch.zeros_like(on_fake)
    entropy = functional.binary_cross_entropy_with_logits
    optimizers[1].zero_grad()
    (entropy(on_real, ones) + entropy(on_fake, zeros)).backward()
    optimizers[1].step()
    optimizers[0].zero_grad()
    entropy(discriminator(fake), ones).backward()
    optimizers[0].step()


def _work(task: DcganTask) -> tuple[float, float]:
    """FLOPs of a step, and the bytes that it must move at least.

    Bytes: each layer's output is written and read once on the way there and once on the way back,
    for the generator's pass, two of the discriminator with weights and one without; Adam reads
    weight, gradient and two moments and writes three of them.
    """
    with FlopCounterMode(display=False) as counter:
        task.step(0)
    outputs = [_output_values(task.generator, task.generator.draw(2, DEVICE))]
    pictures = torch.zeros(2, 1, SIZE, SIZE, device=DEVICE)
    outputs += [_output_values(task.discriminator, pictures)] * 3
    wide = 2 if CUDA else 4
    weights = sum(p.numel() for module in task.modules.values() for p in module.parameters())
    return float(counter.get_total_flops()), sum(outputs) * BATCH * wide * 4 + weights * 4 * 7.0


@torch.no_grad()
def _output_values(network: nn.Module, inputs: torch.Tensor) -> float:
    """Numbers that all layers of a network put out for one picture."""
    counts: list[int] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [
        leaf.register_forward_hook(lambda _m, _i, out: counts.append(out[0].numel()))
        for leaf in leaves
    ]
    network(inputs)
    for hook in hooks:
        hook.remove()
    return float(sum(counts))


def _bandwidth() -> float:
    """Bytes a second that a copy moves, reading and writing."""
    values = torch.zeros(1 << 26, device=DEVICE)
    copy = torch.empty_like(values)
    best = 0.0
    for _ in range(5):
        _wait()
        start = time.perf_counter()
        copy.copy_(values)
        _wait()
        best = max(best, 2 * values.nbytes / (time.perf_counter() - start))
    return best


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()
