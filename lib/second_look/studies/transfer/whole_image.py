"""Classifiers of whole mammograms: scheme B of the paper, at its image size and larger ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from second_look.batches.images import ImageBatches
from second_look.batches.pictures import Pictures, make_pictures
from second_look.batches.sharing import digest
from second_look.evaluation.predictions import (
    from_classes,
)
from second_look.inference.frozen_features import LinearHead
from second_look.inference.images import score_images
from second_look.inference.validation import ImageValidation
from second_look.models.classifier import RANDOM, Classifier
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.starts import PATCHES, resolve_starts
from second_look.training.classify import (
    ClassifierSettings,
    InitialNetwork,
    Validation,
    fit_classifier,
)
from second_look.training.loop import LoopSettings, Trained

# Columns of the catalogue in predictions of images.
UNITS = ["dataset", "image_id", "patient_id", "split", "label", "laterality", "view", "density"]


@dataclass(frozen=True, kw_only=True)
class WholeImageSettings:
    """How a model of whole mammograms is trained.

    Attributes:
        architecture: Of models.classifier.Classifier.
        epochs: Passes over the training images.
        batch_size: Images per batch.
        learning_rate: Highest learning rate.
        balance: "natural" or "balanced" (see ImageBatches).
        label_smoothing: Share of the target distribution spread over all classes.
        patience: Epochs without a better validation AUC before training stops; 0 never stops early.
        channels: Of the network's input, 1 or 3.
        accelerator: As for LoopSettings.
    """

    architecture: str
    epochs: int
    batch_size: int
    learning_rate: float
    balance: str
    label_smoothing: float
    patience: int
    channels: int = 3
    accelerator: str = "auto"


@dataclass(frozen=True)
class WholeImageModel:
    """A trained model.

    Attributes:
        name: In tables and figures.
        size: Rows and columns of its input images, px; (0, 0): those of the originals.
        network: With the weights of its best epoch on validation patients.
        trained: Record of the training.
        predictions: Of the validation and test images, with and without averaging over mirror
            images ("tta" in the model's name); see `predictions.SCHEMA`.
    """

    name: str
    size: tuple[int, int]
    network: Classifier
    trained: Trained
    predictions: pd.DataFrame


def train_whole_image(
    data: Dataset,
    pictures: Pictures,
    settings: WholeImageSettings,
    *,
    start: tuple[str, str],
    seed: int,
    folder: Path,
    weights: Sequence[Path] = (),
) -> WholeImageModel:
    """Train a model on the training images; the epoch with the best validation AUC is kept.

    With weights from elsewhere, training begins with the linear model of their features that fits
    the training images best.

    Args:
        data: With its splits.
        pictures: All of its images at one size.
        settings: How it is trained.
        start: Its name in tables and figures, and "random", "imagenet" or a file of weights, as
            `load_start` takes it.
        seed: Of weights and batches.
        folder: Of all checkpoints.
        weights: Folders to search for ImageNet weights.
    """
    images = data.catalogue.images
    training = images[images["split"] == "train"]
    batches = ImageBatches(
        pictures, training, batch_size=settings.batch_size, seed=seed, balance=settings.balance
    )
    rows, cols = pictures.size
    steps_per_epoch = max(1, round(len(training) / settings.batch_size))
    network, trained = fit_classifier(
        f"image-{settings.architecture}-{rows}x{cols}",
        InitialNetwork(
            settings.architecture,
            settings.channels,
            start[1],
            weights,
            maxima=True,
            head=None if start[1] == RANDOM else LinearHead(pictures, images),
        ),
        batches,
        ClassifierSettings(
            learning_rate=settings.learning_rate, label_smoothing=settings.label_smoothing
        ),
        LoopSettings(
            steps=steps_per_epoch * settings.epochs,
            seed=seed,
            validate_every=steps_per_epoch,
            patience=settings.patience,
            accelerator=settings.accelerator,
        ),
        folder,
        _validation(pictures, images),
    )
    name = f"scheme B, {rows}×{cols}, start {start[0]}"
    facts = {"architecture": settings.architecture, "start": start[0], "rows": rows, "cols": cols}
    predictions = predict(network, pictures, images, name=name, seed=seed, facts=facts)
    return WholeImageModel(name, (rows, cols), network, trained, predictions)


def _validation(pictures: Pictures, images: pd.DataFrame) -> Validation:
    """AUC on validation images; it selects no weights if all of them have the same label."""
    held_out = images[images["split"] == "val"]
    measure = ImageValidation(pictures, held_out)
    watched = "auc" if measure.has_both else ""
    return Validation(measure, digest(held_out[["image_id", "label"]]), watched)


def train_all(
    data: Dataset,
    settings: WholeImageSettings,
    *,
    sizes: Sequence[Sequence[int]],
    starts: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    patch_weights: Mapping[int, Path] | None = None,
    weights: Sequence[Path] = (),
) -> list[WholeImageModel]:
    """Train a model for every image size, start and seed.

    A model that starts from patches takes the patch model of its seed: the trainings then differ
    in all that luck decides.

    Args:
        data: With its splits.
        settings: How each model is trained.
        sizes: (rows, cols) of the input images, px; (0, 0) keeps those of the originals.
        starts: As named in parameters (see `resolve_starts`).
        seeds: Of weights and batches.
        folder: Of the run: checkpoints and resized images go there.
        patch_weights: Seed → weights of the patch model; none without outlines.
        weights: Folders to search for ImageNet weights.
    """
    of_seed = {
        seed: resolve_starts(starts, {PATCHES: (patch_weights or {}).get(seed)}) for seed in seeds
    }
    models = []
    for rows, cols in sizes:
        pictures = make_pictures(data.prepared, (rows, cols), folder / "dataset" / "pictures")
        for name in of_seed[seeds[0]]:
            for seed in seeds:
                model = train_whole_image(
                    data,
                    pictures,
                    settings,
                    start=(name, of_seed[seed][name]),
                    seed=seed,
                    folder=folder / "checkpoints",
                    weights=weights,
                )
                models.append(model)
    return models


def paper_equivalent_model(models: Sequence[WholeImageModel]) -> str:
    """Name of the model that is closest to the paper's: patch weights at the smallest size."""
    from_patches = [model for model in models if model.name.endswith(f"start {PATCHES}")]
    return min(from_patches or models, key=lambda model: math.prod(model.size) or math.inf).name


def predict(
    network: Classifier,
    pictures: Pictures,
    images: pd.DataFrame,
    *,
    name: str,
    seed: int,
    facts: Mapping[str, object],
) -> pd.DataFrame:
    """Predictions of the validation and test images, without and with averaging (tta)."""
    units = images.loc[images["split"] != "train", UNITS]
    image_ids = list(units["image_id"])
    tables = [
        from_classes(
            units,
            score_images(network, pictures, image_ids, averaged=averaged, quiet=False),
            unit="image",
            model=f"{name}{' tta' if averaged else ''}",
            seed=seed,
            averaged=averaged,
            **facts,
        )
        for averaged in (False, True)
    ]
    return pd.concat(tables, ignore_index=True)
