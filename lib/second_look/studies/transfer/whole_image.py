"""Models that see a mammogram as a whole: scheme B of the paper, and what was learned since."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.batches.images import ImageBatches
from second_look.batches.pictures import Pictures, make_pictures
from second_look.batches.sharing import digest
from second_look.catalogue import patient_keys
from second_look.evaluation.intervals import DRAWS, Estimate, Floats, Patients
from second_look.evaluation.predictions import binary_scores, combine, from_classes, positive
from second_look.evaluation.roc import auc_difference, auc_estimate
from second_look.inference.images import score_images
from second_look.inference.validation import ImageValidation
from second_look.models.classifier import Classifier
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.field import worse_than_the_field
from second_look.studies.transfer.starts import PATCHES
from second_look.training.classify import (
    ClassifierSettings,
    InitialNetwork,
    Validation,
    fit_classifier,
)
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
        learning_rate: Highest learning rate.
        balance: "natural" or "balanced" (see ImageBatches).
        label_smoothing: Share of the truth spread over all classes.
        patience: Epochs without a better validation AUC before it stops; 0 never stops early.
        channels: Of the network's input, 1 or 3.
        accelerator: As LoopSettings has it.
    """

    architecture: str = "small"
    epochs: int = 8
    batch_size: int = 8
    learning_rate: float = 3e-4
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
        size: Rows and columns of its pictures, px; (0, 0): the images' own.
        network: With the weights of its best epoch on validation patients.
        trained: Record of the training.
        predictions: Of the validation and test images, without and with averaging over mirror
            images ("tta" in the model's name), as `predictions.SCHEMA` has them.
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
    """Train a model on the training images; it keeps the epoch with the best validation AUC.

    Args:
        data: With its splits.
        pictures: All of its images at one size.
        settings: How.
        start: Its name in tables and figures, and "random", "imagenet" or a file of weights, as
            `load_start` takes it.
        seed: Of weights and batches.
        folder: Of all checkpoints.
        weights: Folders where ImageNet weights may lie.
    """
    images = data.catalogue.images
    batches = ImageBatches(
        pictures,
        images[images["split"] == "train"],
        batch_size=settings.batch_size,
        seed=seed,
        balance=settings.balance,
    )
    epoch = max(1, round((images["split"] == "train").sum() / settings.batch_size))
    held = images[images["split"] == "val"]
    checked = ImageValidation(pictures, held)
    rows, cols = pictures.size
    network, trained = fit_classifier(
        f"image-{settings.architecture}-{rows}x{cols}",
        InitialNetwork(settings.architecture, settings.channels, start[1], weights),
        batches,
        ClassifierSettings(
            learning_rate=settings.learning_rate, label_smoothing=settings.label_smoothing
        ),
        LoopSettings(
            steps=epoch * settings.epochs,
            seed=seed,
            validate_every=epoch,
            patience=settings.patience,
            accelerator=settings.accelerator,
        ),
        folder,
        Validation(checked, digest(held[["image_id", "label"]]), "auc" if checked.has_both else ""),
    )
    facts = {
        "architecture": settings.architecture,
        "start": start[0],
        "rows": rows,
        "cols": cols,
    }
    name = f"scheme B, {rows}×{cols}, start {start[0]}"
    predictions = predict(network, pictures, images, name=name, seed=seed, facts=facts)
    return WholeImageModel(name, (rows, cols), network, trained, predictions)


def train_all(
    data: Dataset,
    settings: WholeImageSettings,
    *,
    sizes: Sequence[Sequence[int]],
    starts: Mapping[str, str],
    seeds: Sequence[int],
    folder: Path,
    weights: Sequence[Path] = (),
) -> list[WholeImageModel]:
    """A model for every size, start and seed.

    Args:
        data: With its splits.
        settings: How each is trained.
        sizes: (rows, cols) of the pictures, px; (0, 0) keeps the images' own pixels.
        starts: Name in tables → as `load_start` takes it.
        seeds: Of weights and batches.
        folder: Of the run: checkpoints and pictures go there.
        weights: Folders where ImageNet weights may lie.
    """
    models = []
    for rows, cols in sizes:
        pictures = make_pictures(data.prepared, (rows, cols), folder / "dataset" / "pictures")
        for start in starts.items():
            for seed in seeds:
                model = train_whole_image(
                    data,
                    pictures,
                    settings,
                    start=start,
                    seed=seed,
                    folder=folder / "checkpoints",
                    weights=weights,
                )
                models.append(model)
    return models


def the_papers(models: Sequence[WholeImageModel]) -> str:
    """Name of the model that is closest to the paper's: patch weights at the smallest size."""
    own = [model for model in models if model.name.endswith(f"start {PATCHES}")] or models
    return min(own, key=lambda model: math.prod(model.size) or math.inf).name


def report(run: Run, areas: pd.DataFrame, data: Dataset, model: str) -> None:
    """Put the AUC by image of a model beside the paper's claim on scheme B."""
    own = areas[(areas["model"] == model) & (areas["unit"] == "image")].iloc[0]
    if np.isnan(own["value"]):
        return
    run.result(
        "scheme-b", own["value"], low=own["low"], high=own["high"], n=int(own["n"]),
        how=f"AUC, malignant or not, {model}, {data.name}, test patients",
        figure="whole_image_auc", synthetic=data.synthetic,
        verdict=worse_than_the_field(own["low"], own["high"]),
    )  # fmt: skip


def findings(areas: pd.DataFrame) -> str:
    """What was found on whole mammograms, as sentences made from the run's own numbers."""
    lines = []
    for unit, own in areas.groupby("unit", sort=False):
        known = own.dropna(subset=["value"])
        if known.empty:
            lines.append(f"By {unit} there is no AUC: {own['reason'].iloc[0]}.")
            continue
        best = known.loc[known["value"].idxmax()]
        lines.append(
            f"By {unit}, the highest AUC of {len(known)} models is {best['value']:.2f} "
            f"[{best['low']:.2f}, {best['high']:.2f}] ({best['model']}, n = {best['n']:,}); as the "
            "highest of several it flatters."
        )
    return "\n".join(f"- {line}" for line in lines)


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
            averaged=averaged,
            **facts,
        )
        for averaged in (False, True)
    ]
    return pd.concat(parts, ignore_index=True)


def auc_table(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """AUC on test patients, malignant or not, by image, breast and patient.

    Args:
        predictions: Of images, with column laterality.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        model, unit, value, low, high (means over the seeds of a model), seeds, n, patients, reason
        (the AUC is undefined, where it is).
    """
    test = predictions[predictions["split"] == "test"]
    units = [test.assign(score=binary_scores(test, "malignant"))]
    units += [combine(test, unit) for unit in ("breast", "patient")]
    rows = []
    for table in units:
        for model, own in table.groupby("model", sort=False):
            scores, truth, patients = _scores(own)
            found = auc_estimate(scores, truth, patients, seed=seed, draws=draws)
            rows.append({"model": model, "unit": own["unit"].iloc[0], **_told(found, len(scores))})
    return pd.DataFrame(rows)


def gains(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """What a start changes: AUC less that of the first start, paired over patients.

    Args:
        predictions: Of all models.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        model, less (the model that it is compared with), value, low, high (means over the seeds),
        seeds, n, patients, reason; by image of the test patients, for pictures of one size. Empty
        where there is one start.
    """
    test = predictions[predictions["split"] == "test"]
    test = test.assign(score=binary_scores(test, "malignant"))
    rows = []
    for _, alike in test.groupby(["rows", "cols", "averaged"], sort=False):
        first, *others = [own for _, own in alike.groupby("model", sort=False)]
        base, truth, patients = _scores(first)
        for own in others:
            scores, _, _ = _scores(own)
            found = auc_difference(scores, base, truth, patients, seed=seed, draws=draws)
            names = {"model": own["model"].iloc[0], "less": first["model"].iloc[0]}
            rows.append({**names, **_told(found, len(scores))})
    return pd.DataFrame(rows, columns=["model", "less", *_TOLD])


def _scores(predictions: pd.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_], Patients]:
    """Scores of the seeds of a model (seeds, n), truth and patients of the n units."""
    by_seed = [own.sort_values("image_id") for _, own in predictions.groupby("seed")]
    first = by_seed[0]
    scores = np.stack([own["score"].to_numpy(dtype=np.float64) for own in by_seed])
    truth = positive(first["label"], "malignant")
    return scores, truth, Patients.from_ids(patient_keys(first))


_TOLD = ("value", "low", "high", "seeds", "n", "patients", "reason")


def _told(found: Estimate, seeds: int) -> dict[str, object]:
    """An estimate as columns of a table."""
    numbers = (found.value, found.low, found.high, seeds, found.n, found.patients, found.reason)
    return dict(zip(_TOLD, numbers, strict=True))
