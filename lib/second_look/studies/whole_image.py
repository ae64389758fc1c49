"""Models that see a mammogram as a whole: scheme B of the paper, and what was learned since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import nn

from second_look.dataset import Dataset
from second_look.evaluation.roc import auc
from second_look.inference.images import score_images
from second_look.models.classifier import RANDOM, Classifier, build_classifier, load_start
from second_look.pictures import Pictures
from second_look.predictions import from_classes
from second_look.training.classify import ClassifierSettings, ClassifierTask, train_classifier
from second_look.training.image_batches import ImageBatches
from second_look.training.loop import LoopSettings, Trained

# Columns of the catalogue that predictions of images keep.
UNITS = ["dataset", "image_id", "patient_id", "split", "label", "laterality", "view", "density"]


@dataclass(frozen=True)
class WholeImageSettings:
    """How a model of whole mammograms is trained.

    Attributes:
        architecture: One of models.classifier.ARCHITECTURES.
        epochs: Passes over the training images.
        batch_size: Pictures a batch.
        rate: Highest learning rate.
        balance: "natural" or "balanced" (see ImageBatches).
        label_smoothing: Share of the truth spread over all classes.
        patience: Epochs without a better validation AUC before it stops; 0 never stops early.
        channels: Of the network's input, 1 or 3.
        accelerator: As LoopSettings has it.
    """

    architecture: str = "small"
    epochs: int = 8
    batch_size: int = 8
    rate: float = 3e-4
    balance: str = "natural"
    label_smoothing: float = 0.1
    patience: int = 0
    channels: int = 3
    accelerator: str = "auto"


@dataclass(frozen=True)
class WholeImageModel:
    """A trained model.

    Attributes:
        name: In tables and figures.
        network: With the weights of its best epoch on validation patients.
        trained: Record of the training.
        predictions: Of the validation and test images, without and with averaging over mirror
            images ("tta" in the model's name), as `predictions.SCHEMA` has them.
    """

    name: str
    network: Classifier
    trained: Trained
    predictions: pd.DataFrame


def train_whole_image(
    data: Dataset,
    pictures: Pictures,
    settings: WholeImageSettings,
    *,
    name: str,
    start: str,
    seed: int,
    folder: Path,
    weights: Sequence[Path] = (),
) -> WholeImageModel:
    """Train a model on the training images; it keeps the epoch with the best validation AUC.

    Args:
        data: With its splits.
        pictures: All of its images at one size.
        settings: How.
        name: Of the model in tables and figures.
        start: "random", "imagenet" or a file of weights, as `load_start` takes it.
        seed: Of weights and batches.
        folder: Of all checkpoints.
        weights: Folders where ImageNet weights may lie.
    """
    images = data.catalogue.images
    network = build_classifier(settings.architecture, seed=seed, channels=settings.channels)
    named = load_start(network, start, weights)
    batches = ImageBatches(
        pictures,
        images[images["split"] == "train"],
        batch_size=settings.batch_size,
        seed=seed,
        balance=settings.balance,
    )
    epoch = max(1, round((images["split"] == "train").sum() / settings.batch_size))
    how = ClassifierSettings(
        rate=settings.rate,
        label_smoothing=settings.label_smoothing,
        # Weights from elsewhere come with statistics that small batches only spoil.
        frozen_statistics=start != RANDOM,
    )
    steps = epoch * settings.epochs
    checked = _Validation(pictures, images[images["split"] == "val"])
    rows, cols = pictures.size
    task = ClassifierTask(
        f"image-{settings.architecture}-{rows}x{cols}",
        network,
        named,
        batches,
        how,
        steps,
        checked,
        "auc" if checked.has_both else "",
    )
    loop = LoopSettings(
        steps=steps,
        seed=seed,
        validate_every=epoch,
        patience=settings.patience,
        accelerator=settings.accelerator,
    )
    network, trained = train_classifier(task, loop, folder)
    facts = {"architecture": settings.architecture, "start": start_name(start)}
    predictions = predict(network, pictures, images, name=name, seed=seed, facts=facts)
    return WholeImageModel(name, network, trained, predictions)


def start_name(start: str) -> str:
    """A start as tables name it: random, imagenet, or the name of its file."""
    return start if "/" not in start else Path(start).stem


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
    parts = [
        from_classes(
            units,
            score_images(
                network, pictures, list(units["image_id"]), averaged=averaged, quiet=False
            ),
            unit="image",
            model=f"{name}{' tta' if averaged else ''}",
            seed=seed,
            **facts,
        )
        for averaged in (False, True)
    ]
    return pd.concat(parts, ignore_index=True)


class _Validation:
    """AUC, malignant or not, on validation images."""

    def __init__(self, pictures: Pictures, images: pd.DataFrame) -> None:
        self._pictures, self._ids = pictures, list(images["image_id"])
        self._malignant = (images["label"] == "malignant").to_numpy()
        self.has_both = 0 < self._malignant.sum() < len(self._malignant)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        assert isinstance(network, Classifier)
        scores = score_images(network, self._pictures, self._ids)[:, -1]
        return {"auc": auc(scores, self._malignant)} if self.has_both else {}
