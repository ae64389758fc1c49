"""What detectors found in held-out mammograms, measured: the numbers of notebook 05."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from second_look.catalogue import patient_keys
from second_look.evaluation.detection import (
    average_precision,
    by_group,
    image_scores,
    mask_agreement,
    mask_table,
    patch_scores,
    roc_table,
)
from second_look.evaluation.detection_tables import image_table, truth_table
from second_look.evaluation.froc import RULES, curve, froc_table, marks
from second_look.evaluation.intervals import Patients
from second_look.evaluation.predictions import positive
from second_look.evaluation.roc import roc_band
from second_look.inference.blobs import NAME as BLOBS
from second_look.inference.blobs import detect_blobs
from second_look.inference.detections import detect, windows_in_original
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.preparing.patches import LabelRule, window_table
from second_look.studies.detection.training import Model


@dataclass(frozen=True)
class Found:
    """Everything that figures and tables are made of.

    Attributes:
        images, truths: Of evaluation.detection_tables, validation and test.
        detections: Model -> its detections in them; the last one is the baseline.
        image_scores: Of predictions.SCHEMA, unit image, all models.
        patch_scores: The same, unit patch, with their boxes.
        types: Model -> has a patch a given type of lesion or not.
    """

    images: pd.DataFrame
    truths: pd.DataFrame
    detections: dict[str, pd.DataFrame]
    image_scores: pd.DataFrame
    patch_scores: pd.DataFrame
    types: dict[str, pd.DataFrame]

    @property
    def all_detections(self) -> pd.DataFrame:
        """The detections of all models in one table."""
        return pd.concat(self.detections.values(), ignore_index=True)

    def of(self, split: str) -> Found:
        """What belongs to a split."""
        return Found(
            _of(self.images, split),
            _of(self.truths, split),
            {name: _of(own, split) for name, own in self.detections.items()},
            _of(self.image_scores, split),
            _of(self.patch_scores, split),
            {name: _of(own, split) for name, own in self.types.items()},
        )


def _of(table: pd.DataFrame, split: str) -> pd.DataFrame:
    return table[table["split"] == split].reset_index(drop=True)


def find(
    dataset: Dataset,
    models: Sequence[Model],
    *,
    patch_size: int,
    stride: int,
    rule: LabelRule,
    seed: int,
) -> Found:
    """Run models and baseline over the images of validation and test.

    Args:
        dataset: Prepared mammograms.
        models: Trained.
        patch_size: Of the patches that figure 3b asks about, px of the prepared images.
        stride: Between them, px.
        rule: When a lesion, or a detection's box, counts for a patch.
        seed: Of the models.
    """
    splits = ("val", "test")
    images, truths = image_table(dataset, splits=splits), truth_table(dataset, splits=splits)
    names, frames = list(images["image_id"]), models[0].task.frames
    detections = {
        model.name: detect(model.task.detector, frames, names, model=model.name, seed=seed)
        for model in models
    }
    detections[BLOBS] = detect_blobs(frames, names)
    windows = window_table(
        dataset.prepared, dataset.catalogue.without_images(_others(dataset, names)),
        size=patch_size, stride=stride, rule=rule,
    )  # fmt: skip
    patches = windows_in_original(windows, dataset)
    scores, of_patches, types = [], [], {}
    for name, own in detections.items():
        scores.append(image_scores(own, images, model=name, seed=seed))
        table, types[name] = patch_scores(own, patches, rule, model=name, seed=seed)
        of_patches.append(table)
    return Found(
        images,
        truths,
        detections,
        pd.concat(scores, ignore_index=True),
        pd.concat(of_patches, ignore_index=True),
        types,
    )


def _others(dataset: Dataset, names: Sequence[str]) -> set[str]:
    return set(dataset.catalogue.images["image_id"]) - set(names)


def auc_table(found: Found, unit: str, *, seed: int) -> pd.DataFrame:
    """AUC of every model with its interval, by target; for patches also by type.

    Args:
        found: Of one split.
        unit: "image" or "patch".
        seed: Of the intervals.

    Returns:
        model, then the columns of evaluation.detection.roc_table.
    """
    parts = []
    scores = found.image_scores if unit == "image" else found.patch_scores
    for name, own in scores.groupby("model", sort=False):
        types = found.types[str(name)] if unit == "patch" else None
        table = roc_table(own, types, seed=seed)
        table.insert(0, "model", name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def roc_curves(found: Found, unit: str, target: str, *, seed: int) -> dict[str, pd.DataFrame]:
    """Model -> its ROC curve with a band over patients; only where there is one.

    Args:
        found: Of one split.
        unit: "image" or "patch".
        target: "lesion", "malignant", or for patches "a given type".
        seed: Of the intervals.
    """
    curves = {}
    for name in found.detections:
        if target == "a given type":
            own = found.types[name]
            truth, whose = own["positive"].to_numpy(), own["patient_id"]
        else:
            scores = found.image_scores if unit == "image" else found.patch_scores
            own = scores[(scores["model"] == name) & (scores["target"] == target)]
            truth = positive(own["label"], target)
            whose = patient_keys(own)
        if truth.any() and not truth.all() and own["score"].nunique() > 1:
            curves[name] = roc_band(own["score"], truth, Patients.from_ids(whose), seed=seed)
    return curves


def roc_panels(
    found: Found, table: pd.DataFrame, unit: str, *, seed: int
) -> tuple[dict[str, dict[str, pd.DataFrame]], dict[str, dict[str, str]]]:
    """What figures 3a and 3b draw: question -> model -> curve, and its AUC in words.

    Args:
        found: Of one split.
        table: Of `auc_table`, the same unit.
        unit: "image" or "patch".
        seed: Of the bands.
    """
    asked = {"malignant": "malignant?", "lesion": "any lesion?"}
    if unit == "patch":
        asked = {"a given type": "a given type of lesion?", **asked}
    panels, words = {}, {}
    for target, question in asked.items():
        panels[question] = roc_curves(found, unit, target, seed=seed)
        own = table[table["target"] == target].set_index("model")
        words[question] = {str(name): auc_in_words(line, 2) for name, line in own.iterrows()}
    return panels, words


def auc_in_words(line: pd.Series, digits: int) -> str:
    """An AUC with its interval, or what is known of it.

    Args:
        line: A row of `auc_table`.
        digits: After the point.
    """
    if not np.isfinite(line["auc"]):
        return f"none: {line['reason']}"
    value = f"{line['auc']:.{digits}f}"
    if not np.isfinite(line["low"]):
        return f"{value}, no interval"
    return f"{value} [{line['low']:.{digits}f}, {line['high']:.{digits}f}]"


def report_auc(
    run: Run, name: str, table: pd.DataFrame, model: str, target: str, figure: str, data: Dataset
) -> None:
    """Put an AUC beside the paper's, where there is one.

    Args:
        run: Of the notebook.
        name: Of the claim.
        table: Of `auc_table`.
        model: Whose AUC.
        target: Of which question.
        figure: That shows it.
        data: What it was measured on.
    """
    own = row(table, model=model, target=target)
    if np.isfinite(own["auc"]):
        run.result(
            name, own["auc"], low=own["low"], high=own["high"], n=int(own["n"]), figure=figure,
            how=f"{model}, {target}, test patients of {data.name}", synthetic=data.synthetic,
        )  # fmt: skip


def froc_panels(found: Found) -> dict[str, dict[str, pd.DataFrame]]:
    """Hit rule -> model -> its FROC curve for any lesion, counted by lesion."""
    return {
        rule: {
            name: curve(marks(own, found.truths, found.images, rule=rule))
            for name, own in found.detections.items()
        }
        for rule in RULES
    }


def sensitivity_table(found: Found, *, seed: int) -> pd.DataFrame:
    """FROC's usual numbers of every model, of evaluation.froc.froc_table."""
    return froc_table(found.detections, found.truths, found.images, seed=seed)


def precision_table(found: Found) -> pd.DataFrame:
    """mAP50 and mAP50-95 of every model, for any lesion and by class."""
    rows = [
        {"model": name, "of": "each class" if by_class else "any lesion"}
        | average_precision(own, found.truths, found.images, by_class=by_class)
        for name, own in found.detections.items()
        for by_class in (False, True)
    ]
    return pd.DataFrame(rows)


def group_table(found: Found, model: str, *, seed: int) -> pd.DataFrame:
    """Sensitivity of a model at one false positive an image, by group of lesions."""
    return by_group(found.detections[model], found.truths, found.images, seed=seed)


def dice_table(found: Found, *, seed: int) -> pd.DataFrame:
    """Dice and IoU of the masks on hit lesions (boxes share half or more), by model."""
    parts = []
    for name, own in found.detections.items():
        table = mask_table(mask_agreement(own, found.truths), seed=seed)
        table.insert(0, "model", name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def row(table: pd.DataFrame, **wanted: object) -> pd.Series:
    """The first row of a table with these values.

    Raises:
        KeyError: There is none.
    """
    chosen = table
    for name, value in wanted.items():
        chosen = chosen[chosen[name] == value]
    if chosen.empty:
        raise KeyError(f"no row with {wanted}")
    return chosen.iloc[0]
