"""Classifiers of whole mammograms: scheme B of the paper, at its image size and larger ones."""

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
from second_look.evaluation.classification import accuracy_statistic, balanced_accuracy_statistic
from second_look.evaluation.comparisons import with_holm
from second_look.evaluation.intervals import (
    DRAWS,
    Floats,
    Patients,
    Statistic,
    difference,
    in_words,
)
from second_look.evaluation.predictions import (
    CLASS_SCORES,
    binary_scores,
    classes,
    combine,
    from_classes,
    positive,
)
from second_look.evaluation.seeds import (
    COLUMNS,
    OverTrainings,
    auc_over_trainings,
    metrics_over_trainings,
)
from second_look.inference.frozen_features import LinearHead
from second_look.inference.images import score_images
from second_look.inference.validation import ImageValidation
from second_look.models.classifier import RANDOM, Classifier
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.starts import PATCHES
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
    starts: Mapping[str, str],
    seeds: Sequence[int],
    folder: Path,
    weights: Sequence[Path] = (),
) -> list[WholeImageModel]:
    """Train a model for every image size, start and seed.

    Args:
        data: With its splits.
        settings: How each model is trained.
        sizes: (rows, cols) of the input images, px; (0, 0) keeps those of the originals.
        starts: Name in tables → as `load_start` takes it.
        seeds: Of weights and batches.
        folder: Of the run: checkpoints and resized images go there.
        weights: Folders to search for ImageNet weights.
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


def paper_equivalent_model(models: Sequence[WholeImageModel]) -> str:
    """Name of the model that is closest to the paper's: patch weights at the smallest size."""
    from_patches = [model for model in models if model.name.endswith(f"start {PATCHES}")]
    return min(from_patches or models, key=lambda model: math.prod(model.size) or math.inf).name


def findings(aucs: pd.DataFrame) -> str:
    """The results on whole mammograms as sentences, with the run's numbers."""
    lines = []
    for unit, of_unit in aucs.groupby("unit", sort=False):
        defined = of_unit.dropna(subset=["value"])
        if defined.empty:
            lines.append(f"By {unit}, the AUC is undefined: {of_unit['reason'].iloc[0]}.")
            continue
        best = defined.loc[defined["value"].idxmax()]
        ends = {name: best[name] for name in ("value", "low", "high", "reason")}
        area = in_words(**ends, form=".2f")
        lines.append(
            f"By {unit}, the highest AUC of {len(defined)} models is {area} "
            f"({best['model']}, n = {best['n']:,}); as the highest of several it is optimistic."
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


def auc_table(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """AUC on test patients, malignant or not, by image, breast and patient.

    Args:
        predictions: Of images, with column laterality.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        model, unit, then the columns of OverTrainings.row.
    """
    test = predictions[predictions["split"] == "test"]
    tables = [test.assign(score=binary_scores(test, "malignant"))]
    tables += [combine(test, unit) for unit in ("breast", "patient")]
    rows = []
    for table in tables:
        for model, of_model in table.groupby("model", sort=False):
            scores, truth, patients = _scores(of_model)
            over = auc_over_trainings(scores, truth, patients, seed=seed, draws=draws)
            rows.append({"model": model, "unit": of_model["unit"].iloc[0], **over.row})
    return pd.DataFrame(rows)


def auc_gains(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Gain of each start over the first one, paired over patients.

    In the AUC, malignant or not, and in the accuracy of the classes: balanced, and natural, at the
    frequencies of the data set. A start can gain in one and lose in another.

    Args:
        predictions: Of all models.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        model, reference (the model that it is compared with), measure (AUC, accuracy, balanced
        accuracy), the columns of OverTrainings.row, p, p_holm (Holm's over all rows); by image of
        the test patients, within one image size. Empty if there is only one start.
    """
    rows = []
    for _, of_size in _test_scores(predictions).groupby(["rows", "cols", "averaged"], sort=False):
        (reference, first), *compared = of_size.groupby("model", sort=False)
        for model, of_model in compared:
            gains = {"AUC": _auc_gain(of_model, first, seed, draws)}
            gains |= _accuracy_gains(of_model, first, seed, draws)
            rows += [
                {"model": model, "reference": reference, "measure": measure, **over.row,
                 "p": over.estimate.p}
                for measure, over in gains.items()
            ]  # fmt: skip
    return with_holm(pd.DataFrame(rows, columns=_GAINS))


def size_gains(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Gain in AUC of each larger image size over the smallest, paired over patients.

    Args:
        predictions: Of all models.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        The columns of `auc_gains`, largest size first within a start. Empty with one size.
    """
    test = _test_scores(predictions)
    pixels = (test["rows"] * test["cols"]).replace(0, np.inf)
    rows = []
    for _, of_start in test.assign(pixels=pixels).groupby(["start", "averaged"], sort=False):
        ordered = of_start.sort_values("pixels", ascending=False, kind="stable")
        *compared, (reference, smallest) = ordered.groupby("model", sort=False)
        for model, of_model in compared:
            over = _auc_gain(of_model, smallest, seed, draws)
            names = {"model": model, "reference": reference, "measure": "AUC"}
            rows.append({**names, **over.row, "p": over.estimate.p})
    return with_holm(pd.DataFrame(rows, columns=_GAINS))


_GAINS = [
    "model", "reference", "measure", "value", "low", "high", "n", "patients", "reason", *COLUMNS,
    "p",
]  # fmt: skip


def _test_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    test = predictions[predictions["split"] == "test"]
    return test.assign(score=binary_scores(test, "malignant"))


def _auc_gain(
    compared: pd.DataFrame, reference: pd.DataFrame, seed: int, draws: int
) -> OverTrainings:
    """AUC of one model less that of another on the same images, training by training."""
    scores, truth, patients = _scores(compared)
    baseline, _, _ = _scores(reference)
    return auc_over_trainings(scores, truth, patients, seed=seed, draws=draws, baseline=baseline)


def _accuracy_gains(
    compared: pd.DataFrame, reference: pd.DataFrame, seed: int, draws: int
) -> dict[str, OverTrainings]:
    """Accuracy and balanced accuracy of one model less those of another, training by training."""
    sides: list[dict[str, list[Statistic]]] = []
    for predictions in (compared, reference):
        side: dict[str, list[Statistic]] = {"accuracy": [], "balanced accuracy": []}
        for _, rows in predictions.sort_values("image_id").groupby("seed"):
            patients, truth = Patients.from_ids(patient_keys(rows)), classes(rows)
            answers = rows[list(CLASS_SCORES)].to_numpy().argmax(axis=1)
            side["accuracy"].append(accuracy_statistic(truth == answers, patients))
            side["balanced accuracy"].append(balanced_accuracy_statistic(truth, answers, patients))
        sides.append(side)
    gains = {
        name: [difference(*pair) for pair in zip(sides[0][name], sides[1][name], strict=True)]
        for name in sides[0]
    }
    return metrics_over_trainings(gains, patients, seed=seed, share=False, draws=draws)


def _scores(predictions: pd.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_], Patients]:
    """Scores of the seeds of a model (seeds, n), truth and patients of the n units."""
    by_seed = [of_seed.sort_values("image_id") for _, of_seed in predictions.groupby("seed")]
    first = by_seed[0]
    scores = np.stack([of_seed["score"].to_numpy(dtype=np.float64) for of_seed in by_seed])
    truth = positive(first["label"], "malignant")
    return scores, truth, Patients.from_ids(patient_keys(first))
