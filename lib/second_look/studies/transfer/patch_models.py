"""Patch classifiers of notebook 06: training from a start on a number of patches, predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    NamedNetwork,
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


@dataclass(frozen=True, kw_only=True)
class PatchSettings:
    """How a patch model is trained.

    Attributes:
        architecture: Of models.classifier.Classifier.
        size: Of a patch, px.
        batch_size: Patches per batch.
        learning_rate: Highest learning rate.
        balance: "balanced" draws every class equally often, "natural" by its frequency.
        label_smoothing: Share of the target distribution spread over all classes.
        patience: Validations without improvement before training stops; 0 never stops early.
        validations: Number of validations, evenly spaced over the training.
        channels: Of the network's input, 1 or 3.
        accelerator, memory: As for LoopSettings and PatchSampler.
    """

    architecture: str
    size: int
    batch_size: int
    learning_rate: float
    balance: str
    label_smoothing: float
    patience: int
    validations: int = 4
    channels: int = 3
    accelerator: str = "auto"
    memory: str = "auto"


@dataclass(frozen=True)
class PatchModel:
    """A trained patch model.

    Attributes:
        network: With its final weights, or the best on validation patients.
        trained: Record of the training.
        start: Its starting weights, as tables name them.
        patches: Budget of different augmented patches, each seen once; early stopping uses fewer.
        seed: Of its weights and batches.
        batch_size: Patches per step.
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
    max_validation: int,
    weights: Sequence[Path] = (),
    shuffled: bool = False,
) -> PatchModel:
    """Train a patch model on training windows; no augmented patch is seen twice.

    Args:
        data: The data set.
        windows: Of all splits, with labels.
        settings: How it is trained.
        patches: Number of augmented patches seen in training; it decides the number of steps.
        start: "random", "imagenet" or a file of weights.
        seed: Of weights and batches.
        folder: Of all checkpoints.
        max_validation: Largest number of validation windows.
        weights: Folders to search for ImageNet weights.
        shuffled: Shuffle the labels of the training windows: a control that must be at chance.
    """
    steps = max(1, round(patches / settings.batch_size))
    network, trained = fit_classifier(
        f"patch-{settings.architecture}{'-shuffled' if shuffled else ''}",
        InitialNetwork(settings.architecture, settings.channels, start, weights),
        _training_batches(data, windows, settings, seed=seed, shuffled=shuffled),
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
        _validation(data, windows, settings, max_windows=max_validation),
    )
    return PatchModel(network, trained, start_name(start), patches, seed, settings.batch_size)


def _training_batches(
    data: Dataset, windows: pd.DataFrame, settings: PatchSettings, *, seed: int, shuffled: bool
) -> PatchBatches:
    training = training_windows(windows)
    if shuffled:
        labels = np.random.default_rng(seed).permutation(training["label"].to_numpy())
        training = training.assign(label=labels)
    return PatchBatches(
        data.prepared,
        training,
        size=settings.size,
        batch_size=settings.batch_size,
        seed=seed,
        balance=settings.balance,
        memory=settings.memory,
    )


def _validation(
    data: Dataset, windows: pd.DataFrame, settings: PatchSettings, *, max_windows: int
) -> Validation:
    """Validation windows; the macro AUC selects the weights only if training can stop early."""
    sample = sample_windows(windows, split="val", max_windows=max_windows, seed=0)
    return Validation(
        WindowValidation(data.prepared, sample, settings.size, ranking),
        digest(sample[WINDOW]),
        "macro_auc" if settings.patience else "",
    )


def train_grid(
    data: Dataset,
    windows: pd.DataFrame,
    settings: PatchSettings,
    *,
    starts: Mapping[str, str],
    patch_counts: Sequence[int],
    seeds: Sequence[int],
    folder: Path,
    weights: Sequence[Path] = (),
    max_validation: int,
) -> list[PatchModel]:
    """Train a model for every start, number of patches and seed.

    Args:
        data: The data set.
        windows: Of all splits, with labels.
        settings: How each model is trained.
        starts: Name in tables → "random", "imagenet" or a file.
        patch_counts: Numbers of patches.
        seeds: Of weights and batches.
        folder: Of all checkpoints.
        weights: Folders to search for ImageNet weights.
        max_validation: Largest number of validation windows.
    """
    models = []
    for name, start in starts.items():
        for patches in patch_counts:
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
                    max_validation=max_validation,
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
    max_validation: int,
) -> list[PatchModel]:
    """Train other architectures from random weights, with one number of patches for all of them.

    Raises:
        ParameterError: The architecture of the settings, which is trained anyway, is among them.
    """
    if settings.architecture in architectures:
        raise ParameterError(
            f"depths are architectures besides {settings.architecture!r}, which is trained anyway. "
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
            max_validation=max_validation,
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
    max_validation: int,
    seed: int,
    rows: int = 512,
) -> Path | None:
    """Weights for the start "phantom" (see `pretrain_on_phantoms`), if it is among the starts."""
    if PHANTOM not in starts:
        return None
    return pretrain_on_phantoms(
        outputs, settings, patients=patients, patches=patches, max_validation=max_validation,
        seed=seed, rows=rows,
    )  # fmt: skip


def concatenate(predictions: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Several tables of predictions as one."""
    return pd.concat(predictions, ignore_index=True)


def pretrain_on_phantoms(
    outputs: Path,
    settings: PatchSettings,
    *,
    patients: int,
    patches: int,
    max_validation: int,
    seed: int,
    rows: int,
) -> Path:
    """Train a patch model on a separate set of phantoms and return its file of weights.

    Args:
        outputs: Folder of the run; phantoms and checkpoints go to its folder `pretraining`.
        settings: As for the models that start from it.
        patients: Phantom patients, four images each.
        patches: Number of augmented patches seen in training.
        max_validation: Largest number of validation windows.
        seed: Of phantoms, weights and batches; the phantoms differ from any data set with that
            seed.
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
        data, windows, settings, patches=patches, start=RANDOM, seed=seed, folder=folder,
        max_validation=max_validation,
    )  # fmt: skip
    return model.trained.weights


def predict_patches(
    models: Sequence[PatchModel], data: Dataset, windows: pd.DataFrame, *, size: int
) -> pd.DataFrame:
    """Predictions of patch models for the same windows (see predictions.SCHEMA).

    Args:
        models: Trained.
        data: The data set.
        windows: From `sample_windows`.
        size: Of a patch, px.

    Returns:
        Columns row, col and size (px) of the window, architecture, start and patches besides.
    """
    networks = [
        NamedNetwork(
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
    return predict_windows(networks, data, windows, size=size)


def patch_scales(windows: pd.DataFrame, data: Dataset, size: int) -> dict[str, float]:
    """Image -> px of a patch per px of the image, as its windows were resampled.

    An image without windows gets the median scale.
    """
    sizes = windows.groupby("image_id")["size"].first()
    median = float(sizes.median())
    return {
        image_id: size / float(sizes.get(image_id, median))
        for image_id in data.prepared.images["image_id"]
    }
