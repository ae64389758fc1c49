"""Two views of a breast in one model, beside the mean over the views of a model of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from second_look.batches.breasts import BOTH, VIEWS, BreastBatches, pair_views
from second_look.batches.pictures import make_pictures
from second_look.batches.sharing import digest
from second_look.catalogue import patient_keys
from second_look.evaluation.comparisons import with_holm
from second_look.evaluation.intervals import DRAWS, Patients, in_words
from second_look.evaluation.predictions import binary_scores, combine, from_classes, positive
from second_look.evaluation.seeds import auc_over_trainings
from second_look.files import sha256
from second_look.inference.breasts import BreastValidation, score_breasts
from second_look.models.two_views import TwoViewClassifier, from_single_views
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.whole_image import WholeImageModel, WholeImageSettings
from second_look.training.classify import (
    SOUND_BATCH,
    ClassifierSettings,
    ClassifierTask,
    Validation,
    train_classifier,
)
from second_look.training.loop import LoopSettings

NAME = "two views"
# Ending of the names of models whose answers are averaged over mirror images.
_MIRRORED = " tta"
_KEY = ["dataset", "patient_id", "laterality"]


def train_all(
    data: Dataset,
    models: Sequence[WholeImageModel],
    settings: WholeImageSettings,
    *,
    epochs: int,
    learning_rate: float,
    folder: Path,
) -> pd.DataFrame:
    """Predictions of two-view models, one for each training of the best model of single views.

    Args:
        data: With its splits.
        models: Trained models of images, of all seeds.
        settings: Of these models.
        epochs: Passes over the training breasts; 0 trains none.
        learning_rate: Highest learning rate.
        folder: Of the run.

    Returns:
        As `train_two_views`; empty without epochs, and where no breast of a split has both views.
    """
    if not epochs or not has_pairs(data):
        return pd.DataFrame()
    best = best_single(models)
    return pd.concat(
        [
            train_two_views(
                data, model, settings, epochs=epochs, learning_rate=learning_rate, folder=folder
            )
            for model in models
            if model.name == best.name
        ],
        ignore_index=True,
    )


def has_pairs(data: Dataset) -> bool:
    """Whether each split has breasts with both views."""
    images = data.catalogue.images
    if not images["view"].isin(VIEWS).any():
        return False
    breasts = pair_views(images)
    return bool((breasts.groupby("split")["views"].agg(lambda views: (views == BOTH).any())).all())


def train_two_views(
    data: Dataset,
    single: WholeImageModel,
    settings: WholeImageSettings,
    *,
    epochs: int,
    learning_rate: float,
    folder: Path,
) -> pd.DataFrame:
    """Train a model of two views that begins as a model of single views, with the seed of that.

    Args:
        data: With its splits.
        single: The trained model of images that it begins with.
        settings: Of that model; a batch holds half as many breasts.
        epochs: Passes over the training breasts.
        learning_rate: Highest learning rate.
        folder: Of the run.

    Returns:
        Predictions of breasts of the validation and test patients, without and with averaging over
        mirror images ("tta"); see `predictions.SCHEMA`.

    Raises:
        DataError: No image is a CC or MLO view.
    """
    pictures = make_pictures(data.prepared, single.size, folder / "dataset" / "pictures")
    breasts = pair_views(data.catalogue.images)
    seed = int(single.predictions["seed"].iloc[0])
    training, held_out = (breasts[breasts["split"] == name] for name in ("train", "val"))
    batch_size = max(1, settings.batch_size // 2)
    steps_per_epoch = max(1, round(len(training) / batch_size))
    measure = BreastValidation(pictures, held_out)
    task = ClassifierTask(
        f"breast-{settings.architecture}-{single.size[0]}x{single.size[1]}",
        from_single_views(single.network),
        f"single views {sha256(single.trained.weights)[:12]}",
        BreastBatches(pictures, training, batch_size=batch_size, seed=seed),
        ClassifierSettings(
            learning_rate=learning_rate,
            label_smoothing=settings.label_smoothing,
            frozen_statistics=2 * batch_size < SOUND_BATCH,
        ),
        steps_per_epoch * epochs,
        Validation(
            measure,
            digest(held_out[["first", "second", "label"]]),
            "auc" if measure.has_both else "",
        ),
    )
    loop = LoopSettings(
        steps=steps_per_epoch * epochs,
        seed=seed,
        validate_every=steps_per_epoch,
        accelerator=settings.accelerator,
    )
    network, _ = train_classifier(task, loop, folder / "checkpoints")
    assert isinstance(network, TwoViewClassifier)
    units = breasts[breasts["split"] != "train"].assign(image_id=breasts["first"])
    rows, cols = single.size
    facts = {"architecture": settings.architecture, "rows": rows, "cols": cols}
    facts |= {"single_views": single.name}
    name = f"{NAME}, {single.name.removeprefix('scheme B, ')}"
    tables = [
        from_classes(
            units,
            score_breasts(network, pictures, units, averaged=averaged),
            unit="breast",
            model=f"{name}{_MIRRORED if averaged else ''}",
            seed=seed,
            averaged=averaged,
            **facts,
        )
        for averaged in (False, True)
    ]
    return pd.concat(tables, ignore_index=True)


def gains(
    fused: pd.DataFrame, of_images: pd.DataFrame, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """AUC by breast of both views together, and its gain over the mean of their single answers.

    Args:
        fused: Predictions of `train_two_views`.
        of_images: Predictions of the model of images that it began with.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        measure ("AUC", "gain"), model, reference, the columns of OverTrainings.row, p, p_holm: on
        test patients, paired, for the breasts that both tables have. Empty without predictions.
    """
    if fused.empty:
        return fused
    test, rows = fused[fused["split"] == "test"], []
    for averaged, of_model in test.groupby("averaged", sort=False):
        model, single = of_model["model"].iloc[0], of_model["single_views"].iloc[0]
        reference = f"{single}{_MIRRORED if averaged else ''}"
        means = combine(of_images[of_images["model"] == reference], "breast")
        pairs = of_model.assign(score=binary_scores(of_model, "malignant")).merge(
            means[[*_KEY, "seed", "score"]], on=[*_KEY, "seed"], suffixes=("", "_mean")
        )
        by_seed = [rows_of.sort_values(_KEY) for _, rows_of in pairs.groupby("seed")]
        scores, single_scores = (
            np.stack([rows_of[name].to_numpy() for rows_of in by_seed])
            for name in ("score", "score_mean")
        )
        truth = positive(by_seed[0]["label"], "malignant")
        patients = Patients.from_ids(patient_keys(by_seed[0]))
        for measure, baseline in (("AUC", None), ("gain", single_scores)):
            over = auc_over_trainings(
                scores, truth, patients, seed=seed, draws=draws, baseline=baseline
            )
            names = {"measure": measure, "model": model}
            names["reference"] = "" if baseline is None else reference
            rows.append({**names, **over.row, "p": over.estimate.p})
    return with_holm(pd.DataFrame(rows))


def pair_table(data: Dataset) -> pd.DataFrame:
    """Breasts by split and by the views that they have: split, views, breasts, malignant."""
    breasts = pair_views(data.catalogue.images)
    counted = breasts.assign(malignant=breasts["label"] == "malignant")
    return counted.groupby(["split", "views"], as_index=False).agg(
        breasts=("label", "size"), malignant=("malignant", "sum")
    )


def findings(table: pd.DataFrame) -> str:
    """What both views add, as a sentence with the run's numbers."""
    if table.empty:
        return (
            "Not trained: `two_view_epochs` is 0, or no breast has both a CC and an MLO view in "
            "every split."
        )
    rows = table.drop_duplicates("measure").set_index("measure")
    area, gain = (
        in_words(**{name: rows.loc[measure, name] for name in _ENDS}, form=form)
        for measure, form in (("AUC", ".2f"), ("gain", "+.2f"))
    )
    return (
        f"By breast, both views together reach an AUC of {area} (n = {rows.loc['AUC', 'n']:,}), "
        f"{gain} over the mean of the answers to single views."
    )


_ENDS = ("value", "low", "high", "reason")


def best_single(models: Sequence[WholeImageModel]) -> WholeImageModel:
    """The model of images with the highest AUC on validation patients: the one to begin with."""
    return max(models, key=lambda model: model.trained.curve("auc")["value"].max())
