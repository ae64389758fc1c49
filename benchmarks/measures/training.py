"""Patches a second in training of a classifier, from images in memory to the updated weights.

Against the same updates on a batch that is on the device already, which nothing that feeds can
beat; and against torchvision's reference loop for classification over PNG files of patches, with
the same network, optimizer, precision and augmentations. On a CPU all is done by one thread, so
that its time is that of all the work, wherever a loader would have it done; on a GPU the loader has
a process a core.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pandas as pd
import torch
from lightning_fabric import Fabric
from PIL import Image
from second_look.batches.patches import PatchBatches
from second_look.batches.sampler import cut
from second_look.models.classifier import build_classifier
from second_look.training.classify import ClassifierSettings, ClassifierTask
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from measures.devices import Pictures, compare, draw_pictures, on_gpu, wait
from measures.timing import OURS, Row, row

EPOCH = 1_200_000
SETTINGS = ClassifierSettings(learning_rate=1e-3)
STEPS_PLANNED = 1_000_000  # for the schedule of the rate: more than are ever made here


@dataclass(frozen=True)
class Scale:
    """How much is measured: `steps` updates a turn, as many as the files fill."""

    architecture: str
    size: int
    batch: int
    steps: int
    images: int
    rows: int
    cols: int


ON_CPU = (
    Scale("small", 128, 16, 4, 2, 1024, 768),
    Scale("resnet18", 128, 16, 2, 2, 1024, 768),
)
ON_GPU = Scale("resnet50", 256, 256, 40, 16, 4096, 3328)


class Ready:
    """One batch on the device, the same at every step."""

    def __init__(self, source: PatchBatches, device: torch.device) -> None:
        self._batch = source.share(0, 0, 1, device)

    def share(
        self, step: int, rank: int, world: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """That batch."""
        return self._batch


def measure() -> list[Row]:
    """Patches a second, one thread of a CPU."""
    return [result for scale in ON_CPU for result in measure_on(torch.device("cpu"), scale)]


def measure_gpu() -> list[Row]:
    """Patches a second on a GPU."""
    return on_gpu(lambda device: measure_on(device, ON_GPU))


def measure_on(device: torch.device, scale: Scale) -> list[Row]:
    """The rows of one device: training, and what feeds it alone."""
    pictures = draw_pictures(scale.images, scale.rows, scale.cols)
    windows = pictures.windows(scale.batch * scale.steps, scale.size)
    source = PatchBatches(
        pictures,
        windows,
        size=scale.size,
        batch_size=scale.batch,
        seed=0,
        balance="balanced",
        memory="resident",
    )
    size_and_batch = f"{scale.size} px, batch {scale.batch}"
    with tempfile.TemporaryDirectory() as folder:
        _write_patches(Path(folder), pictures, windows, scale.size)
        loader = _loader(Path(folder), scale, device)
        training = compare(
            f"training of {scale.architecture}, {size_and_batch}",
            "patches/s",
            {
                OURS: _updates(source, scale, device),
                f"{OURS} without feeding": _updates(Ready(source, device), scale, device),
                "torchvision reference loop, PNG files": _reference(loader, scale, device),
            },
            device,
        )
        feeding = compare(
            f"feed alone, {size_and_batch}",
            "patches/s",
            {
                OURS: _feed(source, scale, device),
                "torchvision transforms in a DataLoader, PNG files": lambda: sum(
                    len(labels.to(device)) for _, labels in loader
                ),
            },
            device,
        )
    return training + feeding + _epoch(training[0], device)


def _epoch(training: Row, device: torch.device) -> list[Row]:
    """How long the paper's number of patches would take on a GPU."""
    if device.type == "cpu":
        return []
    label = f"{training['measure']}: {EPOCH:,} patches"
    return [row(label, OURS, EPOCH / training["value"] / 60, "min, extrapolated")]


def _updates(source: PatchBatches | Ready, scale: Scale, device: torch.device) -> Callable[[], int]:
    """Updates as `training.loop` makes them."""
    network = build_classifier(scale.architecture, seed=0)
    task = ClassifierTask("bench", network, "random", source, SETTINGS, STEPS_PLANNED)
    halved = "bf16-mixed" if device.type == "cuda" else "32-true"
    task.setup(Fabric(accelerator=device.type, devices=1, precision=halved), Path())
    numbers = count()

    def work() -> int:
        for _ in range(scale.steps):
            task.step(next(numbers))
        wait(device)
        return scale.steps * scale.batch

    return work


def _feed(source: PatchBatches, scale: Scale, device: torch.device) -> Callable[[], int]:
    numbers = count()

    def work() -> int:
        for _ in range(scale.steps):
            source.share(next(numbers), 0, 1, device)
        wait(device)
        return scale.steps * scale.batch

    return work


def _write_patches(folder: Path, pictures: Pictures, windows: pd.DataFrame, size: int) -> None:
    """One 8-bit PNG file a window, in a folder a class."""
    patches = (cut(pictures, windows, size=size) * 255).round().astype("uint8")
    for number, (label, patch) in enumerate(zip(windows["label"], patches, strict=True)):
        (folder / label).mkdir(exist_ok=True)
        Image.fromarray(patch).save(folder / label / f"{number}.png")


def _loader(folder: Path, scale: Scale, device: torch.device) -> DataLoader:
    varied = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(0.5),
            transforms.RandomAffine(
                180, scale=(1 / 1.15, 1.15), interpolation=transforms.InterpolationMode.BILINEAR
            ),
            transforms.ColorJitter(contrast=0.1),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
        ]
    )
    with_gpu = device.type == "cuda"
    return DataLoader(
        datasets.ImageFolder(
            str(folder), varied, loader=lambda path: Image.open(path).convert("L")
        ),
        batch_size=scale.batch,
        shuffle=True,
        drop_last=True,
        num_workers=(os.cpu_count() or 1) if with_gpu else 0,
        pin_memory=with_gpu,
        persistent_workers=with_gpu,
    )


def _reference(loader: DataLoader, scale: Scale, device: torch.device) -> Callable[[], int]:
    """An epoch as torchvision's references/classification/train.py makes it."""
    network = build_classifier(scale.architecture, seed=0)
    network = network.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(
        network.parameters(), SETTINGS.learning_rate, weight_decay=SETTINGS.weight_decay
    )

    def work() -> int:
        done = 0
        for pixels, labels in loader:
            pixels = pixels.to(device, memory_format=torch.channels_last)
            labels = labels.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = network(pixels)
                loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            (logits.argmax(dim=1) == labels).float().mean().item()
            loss.item()
            done += len(labels)
        return done

    return work
