"""Mask R-CNN against torchvision's reference loop with the same network, and the speed of FROC.

The reference is torchvision's MaskRCNN with the very same backbone, proposals and heads in its own
transform, float32, fed by a DataLoader, as its references/detection trains it. On a CPU both take
the small network on pictures of 1024² px, two at a time; on a GPU the paper's.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from second_look.batches.frames import Frame, Frames, target_of
from second_look.evaluation.detection_tables import BOX
from second_look.evaluation.froc import marks, sensitivities
from second_look.models.mask_rcnn import build_detector
from second_look.preparing.dataset import LAB_SETTINGS, Dataset, build_dataset
from second_look.training.detect import DetectionTask, DetectSettings, Stage, detected
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from measures.timing import OURS, Row, row, side_by_side

FRAME, BATCH, STEPS, IMAGES = Frame(1024, 1024), 2, 4, 10_000
REFERENCE = "torchvision reference loop"


def measure() -> list[Row]:
    """Images a second in training and inference, memory, and FROC of 10,000 images."""
    return [*_networks(), *_froc()]


def _networks() -> list[Row]:
    cuda = torch.cuda.is_available()
    model = "paper" if cuda else "small"
    device = torch.device("cuda" if cuda else "cpu")
    device_name = torch.cuda.get_device_name() if cuda else "CPU, one thread"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = build_dataset(folder, replace(LAB_SETTINGS, test_share=0.34), workers=0)
        settings = DetectSettings(
            model=model, frame=FRAME, stages=(Stage(1000, 1e-4),), batch_size=BATCH,
            normal_share=0.5, optimizer="sgd", max_detections=100, seed=0,
        )  # fmt: skip
        task = DetectionTask(dataset, settings)
        precision = "bf16-mixed" if cuda else "32-true"
        task.setup(Fabric(accelerator=device.type, devices=1, precision=precision), folder)  # type: ignore[arg-type]
        names = task.kinds[0][: BATCH * STEPS]
        reference = _Reference(model, dataset, names, device)
        label = f"Mask R-CNN ({model}, 1024×1024, batch {BATCH}, {device_name})"
        training = {OURS: _train(task, device), REFERENCE: reference.train}
        rows = side_by_side(f"{label}: training", "images/s", training)
        rows.append(row(f"{label}: memory of the process", OURS, _peak(device), "MB"))
        finding = {OURS: _detect(task, names, device), REFERENCE: reference.detect}
        return rows + side_by_side(f"{label}: inference", "images/s", finding)


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _done(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _train(task: DetectionTask, device: torch.device) -> Callable[[], int]:
    def work() -> int:
        task.detector.train()
        for number in range(STEPS):
            task.step(number)
        _done(device)
        return STEPS * BATCH

    return work


def _detect(task: DetectionTask, names: list[str], device: torch.device) -> Callable[[], int]:
    def work() -> int:
        count = len(list(detected(task.net, task.frames, names, device, batch_size=BATCH)))
        _done(device)
        return count

    return work


class _Reference:
    """The same parts in torchvision's own detector, loader and loop."""

    def __init__(
        self, model: str, dataset: Dataset, names: list[str], device: torch.device
    ) -> None:
        detector = build_detector(model)
        heads = detector.roi_heads
        # torchvision's own classes hold the same parts; only what differs in ours is gone.
        heads.__class__ = RoIHeads
        detector.rpn.__class__ = RegionProposalNetwork
        transform = GeneralizedRCNNTransform(FRAME.rows, FRAME.rows, [0.5] * 3, [0.25] * 3)
        self.network: nn.Module = GeneralizedRCNN(detector.backbone, detector.rpn, heads, transform)
        self.network.to(device)
        self.device = device
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-4, momentum=0.9)
        self.items = _Pictures(dataset, names)

    def batches(self) -> Iterator[tuple[list[Tensor], list[dict[str, Tensor]]]]:
        loader: Any = DataLoader(
            self.items,
            batch_size=BATCH,
            shuffle=True,
            collate_fn=lambda batch: list(zip(*batch, strict=True)),
        )  # type: ignore[arg-type]
        for pictures, targets in loader:
            yield (
                [picture.to(self.device) for picture in pictures],
                [{k: v.to(self.device) for k, v in target.items()} for target in targets],
            )

    def train(self) -> int:
        self.network.train()
        for pictures, targets in self.batches():
            losses = self.network(pictures, targets)
            self.optimizer.zero_grad()
            total = sum(losses.values())
            total.item()  # the reference logs, and stops on a loss that is not finite
            total.backward()
            self.optimizer.step()
        _done(self.device)
        return len(self.items)

    def detect(self) -> int:
        self.network.eval()
        with torch.inference_mode():
            for pictures, _ in self.batches():
                self.network(pictures)
        _done(self.device)
        return len(self.items)


class _Pictures(torch.utils.data.Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Pictures and targets as a DataLoader of the reference gets them, read from the store."""

    def __init__(self, dataset: Dataset, names: list[str]) -> None:
        self.dataset, self.names = dataset, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        # A new Frames keeps nothing: the reference reads each picture when it is needed.
        framed = Frames(self.dataset, FRAME).get(self.names[index])
        target = target_of(framed.regions, framed.labels, framed.image_id, 4)
        return framed.picture.float().expand(3, -1, -1), target


def _froc() -> list[Row]:
    """FROC with intervals of 10,000 images with 30 detections each."""
    rng = np.random.default_rng(0)
    names = np.array([f"i{index:05d}" for index in range(IMAGES)])
    owners = pd.DataFrame(
        {"dataset": "made", "image_id": names, "patient_id": np.repeat(names[::4], 4),
         "split": "test"}
    )  # fmt: skip
    label = np.where(np.arange(IMAGES) % 2, "malignant", "normal")
    images = owners.assign(label=label, density="", unlocated=0)
    truths = owners[label == "malignant"].assign(pathology="malignant")
    detections = owners.loc[owners.index.repeat(30)].assign(score_malignant=rng.random(30 * IMAGES))
    for table, longest in ((truths, 300), (detections, 300)):
        corner = rng.uniform(0, 900, (len(table), 2))
        table[list(BOX)] = np.column_stack(
            [corner, corner + rng.uniform(30, longest, corner.shape)]
        )
    start = time.perf_counter()
    sensitivities(marks(detections, truths, images, target="malignant"), seed=0, draws=500)
    seconds = time.perf_counter() - start
    return [row("FROC of 10,000 images, 300,000 detections, 500 draws", OURS, seconds, "s")]
