"""Training of a Mask R-CNN: two images at a time, with and without lesions, five losses.

The paper's schedule is Matterport's: SGD with momentum at 0.002, later at 0.0002, gradients
clipped, a small L2 on the mean square of each tensor. Matterport never trains on an image without
a lesion; here it is a choice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from second_look.batches.affine import NO_AUGMENTATION, Augmentation, Variations
from second_look.batches.frames import (
    Frame,
    Framed,
    Frames,
    detection_rows,
    target_of,
    varied,
)
from second_look.batches.sharing import digest, part_of
from second_look.errors import DataError
from second_look.evaluation.detection_tables import image_table, truth_table
from second_look.evaluation.froc import marks, sensitivity_statistic
from second_look.evaluation.intervals import point_estimate
from second_look.files import sha256
from second_look.models.detection_parts import Detector
from second_look.models.mask_rcnn import CLASSES, build_detector
from second_look.training.loop import seeded
from second_look.training.start_weights import start_from
from second_look.training.task import Task

if TYPE_CHECKING:
    from second_look.preparing.dataset import Dataset

# Parameters that L2 leaves alone: scale and shift of normalisations.
_NORMALISED = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Stage:
    """A part of the schedule.

    Attributes:
        steps: Updates.
        learning_rate: Of the optimizer.
        layers: "heads", "upper" or "all" of the network are trained.
    """

    steps: int
    learning_rate: float
    layers: str = "all"


@dataclass(frozen=True)
class DetectSettings:
    """How a detector is trained.

    Attributes:
        model: Name of the network, of models.mask_rcnn.DETECTORS.
        frame: Size of the pictures that it gets.
        stages: The schedule.
        batch_size: Images a step, over all processes.
        optimizer: "sgd" as the paper, or "adamw", with which a small network without start weights
            learns sooner.
        weights: File to start from; empty starts from nothing.
        normal_share: Share of the pictures of a training that have no lesion, 0 (as Matterport) to
            below 1; each of both kinds comes in turn. Without normal images there are none.
        warmup_steps: Steps in which the learning rate rises to that of the schedule.
        momentum, weight_decay, clip: Of the updates, as Matterport sets them.
        augmentation: How far pictures are varied.
        max_detections: Most boxes of an image, those with the highest scores.
        max_validation_images: Most images per validation; 0: all.
        seed: Of start weights, order and variations.
    """

    model: str
    frame: Frame
    stages: tuple[Stage, ...]
    batch_size: int
    optimizer: str
    normal_share: float
    max_detections: int
    seed: int
    weights: str = ""
    warmup_steps: int = 0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 5.0
    augmentation: Augmentation = NO_AUGMENTATION
    max_validation_images: int = 0

    @property
    def steps(self) -> int:
        """Updates in all."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, number: int) -> Stage:
        """The part of the schedule that an update belongs to."""
        for stage in self.stages:
            if number < stage.steps:
                return stage
            number -= stage.steps
        return self.stages[-1]


class DetectionTask(Task):
    """Trains a detector on the images of a split; the best by FROC on validation is kept.

    Args:
        dataset: Prepared mammograms.
        settings: How.
        rows: Report of the start weights, filled in.

    Raises:
        DataError: There is nothing to train on, or the start weights are missing or do not fit.
    """

    name = "mask_rcnn"

    def __init__(self, dataset: Dataset, settings: DetectSettings) -> None:
        self.settings, self.frames = settings, Frames(dataset, settings.frame)
        with seeded(settings.seed):
            self.detector = build_detector(settings.model, detections=settings.max_detections)
            self.start = start_from(self.detector, settings.model, settings.weights)
        if settings.frame.rows % self.detector.multiple or (
            settings.frame.cols % self.detector.multiple
        ):
            raise DataError(
                f"rows and columns must be multiples of {self.detector.multiple}.",
                f"frame {settings.frame.rows}×{settings.frame.cols}",
            )
        self.modules: dict[str, nn.Module] = {"detector": self.detector}
        self.optimizers = {settings.optimizer: _optimizer(self.detector, settings)}
        self.kinds = training_images(dataset, normal_share=settings.normal_share)
        self.watched = ""
        self._prepare_validation(dataset)
        self._orders: dict[tuple[int, int], npt.NDArray[np.int64]] = {}
        self._decayed = _decayed(self.detector)
        self._stage: Stage | None = None

    def _prepare_validation(self, dataset: Dataset) -> None:
        images = image_table(dataset, splits=("val",))
        max_images = self.settings.max_validation_images
        if max_images and len(images) > max_images:
            images = images.sample(n=max_images, random_state=self.settings.seed)
        self.val_images = images.reset_index(drop=True)
        truths = truth_table(dataset, splits=("val",))
        self.val_truths = truths[truths["image_id"].isin(images["image_id"])]
        if len(self.val_truths):
            self.watched = "val_froc"

    def identity(self) -> Mapping[str, Any]:
        """Settings, network, start weights and data."""
        plain = asdict(self.settings)
        weights = plain.pop("weights")
        used = [*itertools.chain(*self.kinds), *self.val_images["image_id"]]
        prepared, catalogue = self.frames.dataset.prepared, self.frames.dataset.catalogue
        hashes = prepared.images.set_index("image_id").loc[used, "content_hash"].reset_index()
        lesions, outlines = (
            table[table["image_id"].isin(used)] for table in (catalogue.lesions, prepared.lesions)
        )
        return {
            **plain,
            "weights": sha256(Path(weights).expanduser())[:12] if weights else "",
            "classes": CLASSES,
            "pictures": digest(hashes),
            "lesions": digest(lesions.drop(columns=["mask_path", "assessment", "subtlety"])),
            "outlines": digest(outlines),
        }

    def parts(self) -> Sequence[object]:
        """The pictures that it learns from."""
        return (self.frames,)

    def setup(self, fabric: Fabric, folder: Path) -> None:
        """Put the network on its device."""
        self.fabric = fabric
        self.frames.keep_on(fabric.device)
        if fabric.device.type == "cuda":
            self.detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = self.optimizers[self.settings.optimizer]
        self.net, self.optimizer = fabric.setup(self.detector, optimizer)
        self.share = slice(
            *part_of(self.settings.batch_size, fabric.global_rank, fabric.world_size)
        )

    def chosen(self, number: int) -> list[str]:
        """The image ids of a step, over all processes: every image once before any one again."""
        size, share = self.settings.batch_size, self.settings.normal_share if self.kinds[1] else 0.0
        image_ids = []
        for position in range(number * size, (number + 1) * size):
            normals, normals_next = math.floor(position * share), math.floor((position + 1) * share)
            kind, turn = (1, normals) if normals_next > normals else (0, position - normals)
            image_ids.append(self._in_turn(kind, turn))
        return image_ids

    def _in_turn(self, kind: int, position: int) -> str:
        """The image at a place of the endless order of one kind, shuffled anew each round."""
        turn, within = divmod(position, len(self.kinds[kind]))
        if (kind, turn) not in self._orders:
            rng = np.random.default_rng([self.settings.seed, 3, kind, turn])
            self._orders[kind, turn] = rng.permutation(len(self.kinds[kind]))
        return self.kinds[kind][int(self._orders[kind, turn][within])]

    def examples(self, number: int) -> str:
        """The image ids of a step."""
        return f"images {', '.join(self.chosen(number))}"

    def step(self, number: int) -> Mapping[str, Tensor]:
        """One update from a batch of images."""
        settings = self.settings
        self._enter(settings.stage(number), number)
        pictures, sizes, targets = self.batch(number)
        losses = self.net(pictures, sizes, targets)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(sum(losses.values()))
        frozen = self.detector.frozen_in(settings.stage(number).layers)
        for name, parameter in self.detector.named_parameters():
            if name.startswith(frozen) if frozen else False:
                parameter.grad = None
            elif parameter.grad is not None and name in self._decayed:
                # The gradient of weight_decay · mean(w²).
                factor = 2 * settings.weight_decay / parameter.numel()
                parameter.grad.add_(parameter.detach(), alpha=factor)
        nn.utils.clip_grad_norm_(self.detector.parameters(), settings.clip)
        self.optimizer.step()
        total = torch.stack([loss.detach() for loss in losses.values()]).sum()
        return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}

    def batch(self, number: int) -> tuple[Tensor, list[tuple[int, int]], list[dict[str, Tensor]]]:
        """The pictures of a step that are this process's, with sizes and targets.

        Raises:
            DataError: An image cannot be learnt from; names it.
        """
        rng = np.random.default_rng([self.settings.seed, 4, number])
        variations = Variations.draw(rng, self.settings.batch_size, self.settings.augmentation)
        framed = [self.frames.get(image_id) for image_id in self.chosen(number)[self.share]]
        frame = self.settings.frame
        pictures, regions = varied(framed, variations[self.share], frame, self.fabric.device)
        targets = [
            target_of(codes, part.labels, part.image_id, CLASSES)
            for codes, part in zip(regions, framed, strict=True)
        ]
        # What is turned may fill the whole frame.
        return pictures, [(frame.rows, frame.cols)] * len(framed), targets

    def _enter(self, stage: Stage, number: int) -> None:
        """Set the learning rate and the trained layers of an update."""
        steps = self.settings.warmup_steps
        warm = min(1.0, (number + 1) / steps) if steps else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = stage.learning_rate * warm
        if stage != self._stage:
            self._stage = stage
            frozen = self.detector.frozen_in(stage.layers)
            if self.fabric.world_size == 1:  # several processes agree on what has a gradient
                for name, parameter in self.detector.named_parameters():
                    parameter.requires_grad_(not (frozen and name.startswith(frozen)))

    def validate(self, number: int) -> Mapping[str, float]:
        """Mean sensitivity of the FROC curve on validation images: any lesion, by its centre."""
        if not self.watched:
            return {}
        parts = [
            detection_rows(framed, detections)
            for framed, detections in detected(
                self.net, self.frames, list(self.val_images["image_id"]), self.fabric.device
            )
        ]
        self.detector.train()
        marked = marks(pd.concat(parts, ignore_index=True), self.val_truths, self.val_images)
        return {
            "val_froc": float(
                point_estimate(sensitivity_statistic(marked), marked.everybody).mean()
            )
        }


def _optimizer(detector: Detector, settings: DetectSettings) -> Optimizer:
    parameters, learning_rate = detector.parameters(), settings.stages[0].learning_rate
    if settings.optimizer == "sgd":
        return SGD(parameters, lr=learning_rate, momentum=settings.momentum)
    if settings.optimizer == "adamw":
        return AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    raise ValueError(f"optimizer must be sgd or adamw. Got {settings.optimizer!r}.")


def training_images(dataset: Dataset, *, normal_share: float) -> tuple[list[str], list[str]]:
    """Images of the training split with lesions, and without, in the catalogue's order.

    Those with a lesion of unknown place are left out: the network would learn to overlook it.

    Raises:
        DataError: There is none with a lesion.
    """
    images = image_table(dataset, splits=("train",))
    used = images[images["unlocated"] == 0]
    normal = used["label"] == "normal"
    if normal.all():
        raise DataError("no image with a lesion to train on.", "split train")
    without = used.loc[normal, "image_id"] if normal_share else ()
    return [str(name) for name in used.loc[~normal, "image_id"]], [str(name) for name in without]


def detected(
    network: nn.Module,
    frames: Frames,
    image_ids: Sequence[str],
    device: torch.device,
    *,
    batch_size: int = 4,
) -> Iterator[tuple[Framed, dict[str, Tensor]]]:
    """What a network finds in each image, in its frame, without varying it."""
    network.eval()
    for start in range(0, len(image_ids), batch_size):
        batch = [frames.get(image_id) for image_id in image_ids[start : start + batch_size]]
        pictures = torch.stack([framed.picture for framed in batch]).to(device).float()[:, None]
        with torch.inference_mode():
            detections = network(pictures, [framed.size for framed in batch])
        yield from zip(batch, detections, strict=True)


def _decayed(detector: Detector) -> set[str]:
    """Names of the parameters that L2 acts on: all but scale and shift of normalisations."""
    spared = {
        id(parameter)
        for module in detector.modules()
        if isinstance(module, _NORMALISED) or hasattr(module, "running_var")
        for parameter in module.parameters(recurse=False)
    }
    return {name for name, parameter in detector.named_parameters() if id(parameter) not in spared}
