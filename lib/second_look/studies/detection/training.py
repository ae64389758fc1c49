"""Mask R-CNN on mammograms: network, settings and training, for notebook 05."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from second_look.batches.affine import Augmentation, Variations
from second_look.batches.frames import Frame, Frames, varied
from second_look.claims import claim
from second_look.errors import ParameterError
from second_look.files import read_object
from second_look.models.classifier import IMAGENET, find_imagenet
from second_look.models.detection_parts import LOSSES
from second_look.models.mask_rcnn import BACKBONES, DETECTORS, build_detector, parameter_table
from second_look.preparing.dataset import Dataset
from second_look.preparing.reading import find_data_root
from second_look.preparing.views import Target
from second_look.training.detect import DetectionTask, DetectSettings, Stage, training_images
from second_look.training.loop import LoopSettings, Trained, train
from second_look.verdicts import Budget, differences

WITHOUT_NORMALS = "trained without normals"
# What figures call the LOSSES, in their order.
LOSS_NAMES = (
    "proposals: object or not", "proposals: box", "heads: class", "heads: box", "heads: mask",
)  # fmt: skip
# The validation measure that training selects weights by.
VALIDATED = "val_froc"


def paper_parameters() -> pd.DataFrame:
    """The parameters of the paper's network by module; its 255 MB of weights are not allocated."""
    with torch.device("meta"):
        return parameter_table(build_detector("paper"))


def schedule(stages: Sequence[Sequence[object]]) -> tuple[Stage, ...]:
    """Stages from lists of steps, learning rate and layers ("heads", "upper", "all").

    Raises:
        ParameterError: A stage is not such a list, or there are no steps.
    """
    parsed = []
    for stage in stages:
        try:
            steps, learning_rate, *layers = stage
            parsed.append(
                Stage(
                    int(str(steps)), float(str(learning_rate)), str(layers[0]) if layers else "all"
                )
            )
        except (TypeError, ValueError):
            raise ParameterError(
                f"a stage must be [steps, learning rate, layers]. Got {stage!r}."
            ) from None
    if not parsed or min(stage.steps for stage in parsed) < 1:
        raise ParameterError(f"a schedule must have steps. Got {stages!r}.")
    return tuple(parsed)


def weights_file(dataset: Dataset, weights: str, model: str) -> str:
    """The path of a file of start weights, given relative to the data root; "" for none.

    "imagenet" is looked for in the folder `weights` of the data root, as in notebook 06.

    Raises:
        MissingDataError: There is no data root.
        CheckpointError: There is no file of ImageNet weights; the message says how to get it.
        ParameterError: The network cannot start from ImageNet weights.
    """
    if not weights or Path(weights).expanduser().is_absolute():
        return weights
    settings = read_object(dataset.folder / "settings.json")
    root = find_data_root(str(settings.get("data_root", "")))
    if weights != IMAGENET:
        return str(root / weights)
    if model in DETECTORS and model not in BACKBONES:
        raise ParameterError(
            f"the network {model!r} does not start from ImageNet weights alone. Name its file."
        )
    return str(find_imagenet(BACKBONES.get(model, model), [root / "weights"]))


def in_words(settings: DetectSettings) -> str:
    """A schedule in words."""
    rates = ", later ".join(f"{stage.learning_rate:g}" for stage in settings.stages)
    start = Path(settings.weights).name if settings.weights else "no start weights"
    return (
        f"{settings.model}: {settings.batch_size} images per step; learning rate {rates}; "
        f"{settings.steps:,} steps; {start}"
    )


def schedule_verdict(settings: DetectSettings) -> str:
    """Whether a schedule is the paper's, field by field, as a verdict.

    It is of one process, so that the images of a step are those of a GPU.
    """
    rates = [stage.learning_rate for stage in settings.stages]
    start = Path(settings.weights).name
    schedule_of_run: Budget = {
        "network": settings.model,
        "images per GPU": settings.batch_size,
        "learning rate": [rates[0], rates[-1]],
        "start": "COCO" if "coco" in start.lower() else start,
    }
    different = differences(claim("mrcnn-schedule").budget, schedule_of_run)
    return f"another schedule: {'; '.join(different)}" if different else "the same schedule"


def settings(
    dataset: Dataset,
    *,
    weights: str,
    frame: tuple[int, int],
    stages: Sequence[Sequence[object]],
    rotation_deg: float,
    scale: float,
    contrast: float,
    **unchanged: Any,  # noqa: ANN401
) -> DetectSettings:
    """The settings of a detector from the parameters of the notebook.

    Args:
        dataset: Its data root is searched for the weights.
        weights: File of start weights, "imagenet", or "".
        frame: Rows and columns.
        stages: Lists of steps, learning rate and layers.
        rotation_deg: Of the augmentation.
        scale: Of the augmentation.
        contrast: Of the augmentation.
        unchanged: Further fields of DetectSettings.
    """
    return DetectSettings(
        weights=weights_file(dataset, weights, str(unchanged.get("model", ""))),
        frame=Frame(*frame),
        stages=schedule(stages),
        augmentation=Augmentation(
            rotation_deg, mirror=True, flip=True, scale=scale, contrast=contrast
        ),
        **unchanged,
    )


def loop_settings(
    settings: DetectSettings, *, validate_every: int, accelerator: str, precision: str
) -> LoopSettings:
    """Settings of the training loop, for the steps of a schedule."""
    return LoopSettings(
        steps=settings.steps,
        seed=settings.seed,
        validate_every=validate_every,
        log_every=max(1, min(50, settings.steps // 20)),
        accelerator=accelerator,
        precision=precision,
    )


def shown_targets(dataset: Dataset, settings: DetectSettings, *, count: int) -> list[Target]:
    """The first `count` training images with lesions, augmented as in training."""
    frames = Frames(dataset, settings.frame)
    names, _ = training_images(dataset, normal_share=0)
    examples = [frames.get(name) for name in names[:count]]
    rng = np.random.default_rng(settings.seed)
    variations = Variations.draw(rng, len(examples), settings.augmentation)
    pictures, regions = varied(examples, variations, settings.frame, torch.device("cpu"))
    return [
        Target(example.image_id, picture, [codes == code for code in example.labels])
        for example, picture, codes in zip(
            examples, pictures[:, 0].numpy(), regions.numpy(), strict=True
        )
    ]


@dataclass(frozen=True)
class Model:
    """A trained detector.

    Attributes:
        name: In tables and figures.
        task: Its network has the selected weights.
        trained: History, steps, seconds.
    """

    name: str
    task: DetectionTask
    trained: Trained


def train_models(
    dataset: Dataset,
    settings: DetectSettings,
    loop: LoopSettings,
    folder: Path,
    *,
    compare_normals: bool,
) -> list[Model]:
    """Train the detector and, to measure the effect of normal images, a second one without them.

    Args:
        dataset: Prepared mammograms.
        settings: Of the detector.
        loop: Of the training.
        folder: Of all checkpoints.
        compare_normals: Whether to train the second one, without normal images as in Matterport.
    """
    settings_of_model = {f"Mask R-CNN ({settings.model})": settings}
    normal = (dataset.catalogue.images["label"] == "normal").any()
    if compare_normals and settings.normal_share and normal:
        settings_of_model[WITHOUT_NORMALS] = replace(settings, normal_share=0.0)
    models = []
    for name, model_settings in settings_of_model.items():
        task = DetectionTask(dataset, model_settings)
        models.append(Model(name, task, train(task, loop, folder)))
    return models


def train_again(
    dataset: Dataset,
    settings: DetectSettings,
    loop: LoopSettings,
    folder: Path,
    *,
    seeds: Sequence[int],
) -> list[Model]:
    """Train the detector once more for every seed but the first, which `train_models` has used.

    Args:
        dataset: Prepared mammograms.
        settings: Of the detector.
        loop: Of the training.
        folder: Of all checkpoints; each seed has its own there.
        seeds: Of start weights, order and augmentation.
    """
    models = []
    for seed in seeds[1:]:
        task = DetectionTask(dataset, replace(settings, seed=seed))
        trained = train(task, replace(loop, seed=seed), folder)
        models.append(Model(f"Mask R-CNN ({settings.model}), seed {seed}", task, trained))
    return models


def training_table(models: Sequence[Model]) -> pd.DataFrame:
    """One row per training: its data, length and network size."""
    return pd.DataFrame(
        {
            "model": model.name,
            "images with lesions": len(model.task.kinds[0]),
            "normal images": len(model.task.kinds[1]),
            "steps": model.trained.steps,
            "kept after": model.trained.best_step,
            "minutes": model.trained.seconds / 60,
            "parameters": sum(p.numel() for p in model.task.detector.parameters()),
        }
        for model in models
    )


def network_sentence(model: Model) -> str:
    """Which network was trained, with the number of its parameters beside the paper's."""
    parameters = sum(p.numel() for p in model.task.detector.parameters())
    paper = claim("mrcnn-params").value
    size = f"**{model.name}** has {parameters:,} parameters"
    if parameters == paper:
        return f"{size}: it is the paper's network."
    return f"{size}, the paper's network {paper:,.0f}: what follows is measured on a stand-in."


def training_curves(models: Sequence[Model]) -> pd.DataFrame:
    """The five losses and the validation against steps.

    Returns:
        model, curve ("validation", or the name of a loss), step, value, kept (the step of the
        selected weights).
    """
    names = dict(zip(LOSSES, LOSS_NAMES, strict=True)) | {VALIDATED: "validation"}
    parts = [
        model.trained.curve(name)[["step", "value"]].assign(
            model=model.name, curve=title, kept=model.trained.best_step
        )
        for model in models
        for name, title in names.items()
    ]
    return pd.concat(parts, ignore_index=True)
