"""Patch classifiers of notebook 06: trained from a start on a number of patches, and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from second_look.batches.patches import PatchBatches
from second_look.batches.sharing import digest
from second_look.errors import ParameterError
from second_look.inference.validation import WindowValidation, ranking
from second_look.models.classifier import RANDOM, Classifier
from second_look.preparing.dataset import LAB_SETTINGS, LAB_WORKERS, Dataset, build_dataset
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.studies.transfer.starts import PHANTOM, start_name
from second_look.studies.windows import (
    WINDOW,
    JudgedNetwork,
    predict_windows,
    sample_windows,
    training_windows,
)
from second_look.training.classify import (
    ClassifierSettings,
    InitialNetwork,
    Validation,
    fit_classifier,
)
from second_look.training.loop import LoopSettings, Trained


@dataclass(frozen=True)
class PatchSettings:
    """How a patch model is trained.

    Attributes:
        architecture: One of models.classifier.ARCHITECTURES.
        size: Of a patch, px.
        batch_size: Patches a batch.
        learning_rate: Highest learning rate.
        balance: "balanced" draws the classes alike, "natural" as they come.
        label_smoothing: Share of the truth spread over all classes.
        validations: How often it is validated, evenly over the training.
        patience: Validations without improvement before it stops; 0 never stops early.
        channels: Of the network's input, 1 or 3.
        accelerator, memory: As LoopSettings and PatchSampler have them.
    """

    architecture: str = "small"
    size: int = 256
    batch_size: int = 32
    learning_rate: float = 1e-3
    balance: str = "balanced"
    label_smoothing: float = 0.0
    validations: int = 4
    patience: int = 0
    channels: int = 3
    accelerator: str = "auto"
    memory: str = "auto"


@dataclass(frozen=True)
class PatchModel:
    """A trained patch model.

    Attributes:
        network: With the weights that it ended with, or the best on validation patients.
        trained: Record of the training.
        start: What it started from, as tables name it.
        patches: Different augmented patches that it may see, each once; early stopping sees fewer.
        seed: Of its weights and batches.
        batch_size: Patches a step.
    """

    network: Classifier
    trained: Trained
    start: str
    patches: int
    seed: int
    batch_size: int

    @property
    def name(self) -> str:
        """In tables and figures."""
        return f"{self.network.architecture} {self.start}, {self.patches:,} patches"


def train_patch_model(
    data: Dataset,
    windows: pd.DataFrame,
    settings: PatchSettings,
    *,
    patches: int,
    start: str,
    seed: int,
    folder: Path,
    weights: Sequence[Path] = (),
    shuffled: bool = False,
    validation: int = 1000,
) -> PatchModel:
    """Train a patch model on training windows; each batch holds patches never seen before.

    Args:
        data: The data set.
        windows: Of all splits, with labels.
        settings: How it is trained.
        patches: How many augmented patches it sees; they decide the number of steps.
        start: "random", "imagenet" or a file of weights.
        seed: Of weights and batches.
        folder: Of all checkpoints.
        weights: Folders where ImageNet weights may lie.
        shuffled: Shuffle the labels of the training windows: a control that must end at chance.
        validation: Most validation windows.
    """
    training = training_windows(windows)
    if shuffled:
        labels = np.random.default_rng(seed).permutation(training["label"].to_numpy())
        training = training.assign(label=labels)
    batches = PatchBatches(
        data.prepared,
        training,
        size=settings.size,
        batch_size=settings.batch_size,
        seed=seed,
        balance=settings.balance,
        memory=settings.memory,
    )
    steps = max(1, round(patches / settings.batch_size))
    sample = sample_windows(windows, split="val", most=validation, seed=0)
    network, trained = fit_classifier(
        f"patch-{settings.architecture}{'-shuffled' if shuffled else ''}",
        InitialNetwork(settings.architecture, settings.channels, start, weights),
        batches,
        ClassifierSettings(
            learning_rate=settings.learning_rate, label_smoothing=settings.label_smoothing
        ),
        LoopSettings(
            steps=steps,
            seed=seed,
            validate_every=max(1, steps // max(1, settings.validations)),
            patience=settings.patience,
            accelerator=settings.accelerator,
        ),
        folder,
        Validation(
            WindowValidation(data.prepared, sample, settings.size, ranking),
            digest(sample[WINDOW]),
            "macro_auc" if settings.patience else "",
        ),
    )
    return PatchModel(network, trained, start_name(start), patches, seed, settings.batch_size)


def train_grid(
    data: Dataset,
    windows: pd.DataFrame,
    settings: PatchSettings,
    *,
    starts: dict[str, str],
    sizes: Sequence[int],
    seeds: Sequence[int],
    folder: Path,
    weights: Sequence[Path] = (),
    validation: int = 1000,
) -> list[PatchModel]:
    """A model for every start, number of patches and seed.

    Args:
        data: The data set.
        windows: Of all splits, with labels.
        settings: How each is trained.
        starts: Name in tables → "random", "imagenet" or a file.
        sizes: Numbers of patches.
        seeds: Of weights and batches.
        folder: Of all checkpoints.
        weights: Folders where ImageNet weights may lie.
        validation: Most validation windows.
    """
    models = []
    for name, start in starts.items():
        for patches in sizes:
            for seed in seeds:
                model = train_patch_model(
                    data,
                    windows,
                    settings,
                    patches=patches,
                    start=start,
                    seed=seed,
                    folder=folder,
                    weights=weights,
                    validation=validation,
                )
                models.append(replace(model, start=name))
    return models


def train_depths(
    data: Dataset,
    windows: pd.DataFrame,
    settings: PatchSettings,
    *,
    architectures: Sequence[str],
    patches: int,
    seeds: Sequence[int],
    folder: Path,
    validation: int = 1000,
) -> list[PatchModel]:
    """Models of other architectures, from random weights, with one budget for all of them.

    Raises:
        ParameterError: The one of the settings is among them: its models are trained already.
    """
    if settings.architecture in architectures:
        raise ParameterError(
            f"depths are architectures beside {settings.architecture!r}, which is trained already. "
            "Leave it out."
        )
    return [
        train_patch_model(
            data,
            windows,
            replace(settings, architecture=architecture),
            patches=patches,
            start=RANDOM,
            seed=seed,
            folder=folder,
            validation=validation,
        )
        for architecture in architectures
        for seed in seeds
    ]


def phantom_start(
    outputs: Path,
    settings: PatchSettings,
    *,
    starts: Sequence[str],
    patients: int,
    patches: int,
    seed: int,
    rows: int = 512,
) -> Path | None:
    """Weights for the start phantom (see `pretrain_on_phantoms`), where it is asked for."""
    if PHANTOM not in starts:
        return None
    return pretrain_on_phantoms(
        outputs, settings, patients=patients, patches=patches, seed=seed, rows=rows
    )


def together(*predictions: pd.DataFrame) -> pd.DataFrame:
    """Several tables of predictions as one."""
    return pd.concat(predictions, ignore_index=True)


def pretrain_on_phantoms(
    outputs: Path, settings: PatchSettings, *, patients: int, patches: int, seed: int, rows: int
) -> Path:
    """Weights of a patch model that learnt from phantoms of its own.

    Args:
        outputs: Folder of the run; phantoms and checkpoints go to its folder `pretraining`.
        settings: As the models that start from it have them.
        patients: Phantom patients, four images each.
        patches: Augmented patches that it sees.
        seed: Of phantoms, weights and batches; other phantoms than any data set's of that seed.
        rows: Height of a phantom, px.
    """
    folder = outputs / "pretraining"
    phantoms = replace(
        LAB_SETTINGS,
        patients=patients,
        image_rows=rows,
        image_cols=round(rows * 0.8125),
        seed=seed + 1_000_000,
    )
    data = build_dataset(folder, phantoms, workers=LAB_WORKERS)
    windows = window_table(
        data.prepared,
        data.catalogue,
        size=settings.size,
        stride=max(1, settings.size // 4),
        rule=HALF_RULE,
    )
    model = train_patch_model(
        data, windows, settings, patches=patches, start=RANDOM, seed=seed, folder=folder
    )
    return model.trained.weights


def predict_patches(
    models: Sequence[PatchModel], data: Dataset, windows: pd.DataFrame, *, size: int
) -> pd.DataFrame:
    """Predictions of patch models for the same windows (see predictions.SCHEMA).

    Args:
        models: Trained.
        data: The data set.
        windows: Those to be judged, from `sample_windows`.
        size: Of a patch, px.

    Returns:
        Columns row, col and size (px) of the window, architecture, start and patches besides.
    """
    judged = [
        JudgedNetwork(
            model.name,
            model.network,
            model.seed,
            {
                "architecture": model.network.architecture,
                "start": model.start,
                "patches": model.patches,
            },
        )
        for model in models
    ]
    return predict_windows(judged, data, windows, size=size)


def scales(windows: pd.DataFrame, data: Dataset, size: int) -> dict[str, float]:
    """Image -> px of a patch for one px of the image, as its windows were resampled.

    An image without windows is taken to be like the others.
    """
    own = windows.groupby("image_id")["size"].first()
    usual = float(own.median())
    return {
        image_id: size / float(own.get(image_id, usual))
        for image_id in data.prepared.images["image_id"]
    }
