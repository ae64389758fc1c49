"""The numbers of notebook 05: detections in held-out mammograms, ROC, FROC, precision and Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation.detection import (
    by_group,
    image_scores,
    mask_agreement,
    mask_table,
    patch_scores,
    roc_table,
)
from second_look.evaluation.detection_tables import image_table, truth_table
from second_look.evaluation.froc import RULES, curve, froc_table, marks
from second_look.evaluation.intervals import Patients, in_words
from second_look.evaluation.lesion_types import (
    BLIND,
    GIVEN,
    POOLED,
    blind,
    blind_curve,
    image_types,
    type_curve,
    type_table,
    types_of_images,
)
from second_look.evaluation.mean_precision import average_precision, map50_estimate
from second_look.evaluation.predictions import positive
from second_look.evaluation.roc import roc_band, undefined_because
from second_look.inference.blobs import NAME as BLOBS
from second_look.inference.blobs import detect_blobs
from second_look.inference.detections import detect, windows_in_original
from second_look.preparing.dataset import Dataset
from second_look.preparing.patches import LabelRule, window_table
from second_look.studies.detection.training import Model
from second_look.studies.windows import training_windows


@dataclass(frozen=True)
class DetectionResults:
    """Detections and scores of all models.

    Attributes:
        images, truths: Of evaluation.detection_tables, validation and test.
        detections: Model -> its detections in these images; the last model is the baseline.
        image_scores: Of predictions.SCHEMA, unit image, all models.
        patch_scores: The same, unit patch, with the boxes of the patches.
        types: Unit, "image" or "patch" -> model -> lesion_types.type_questions. One more model,
            BLIND, sees no picture.
    """

    images: pd.DataFrame
    truths: pd.DataFrame
    detections: dict[str, pd.DataFrame]
    image_scores: pd.DataFrame
    patch_scores: pd.DataFrame
    types: dict[str, dict[str, pd.DataFrame]]

    @property
    def all_detections(self) -> pd.DataFrame:
        """The detections of all models in one table."""
        return pd.concat(self.detections.values(), ignore_index=True)

    def in_split(self, split: str) -> DetectionResults:
        """The rows of one split."""
        return DetectionResults(
            _in_split(self.images, split),
            _in_split(self.truths, split),
            {name: _in_split(table, split) for name, table in self.detections.items()},
            _in_split(self.image_scores, split),
            _in_split(self.patch_scores, split),
            {
                unit: {name: _in_split(table, split) for name, table in by_model.items()}
                for unit, by_model in self.types.items()
            },
        )


def _in_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    return table[table["split"] == split].reset_index(drop=True)


def detect_all(
    dataset: Dataset,
    models: Sequence[Model],
    *,
    patch_size: int,
    stride: int,
    rule: LabelRule,
    seed: int,
) -> DetectionResults:
    """Run models and baseline on the validation and test images.

    Args:
        dataset: Prepared mammograms.
        models: Trained.
        patch_size: Of the patches of figure 3b, px of the prepared images.
        stride: Between these patches, px.
        rule: When a lesion, or the box of a detection, counts for a patch.
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
        dataset.prepared, dataset.catalogue, size=patch_size, stride=stride, rule=rule
    )
    patches = windows_in_original(windows[windows["image_id"].isin(names)], dataset)
    scores, of_patches = [], []
    types: dict[str, dict[str, pd.DataFrame]] = {"image": {}, "patch": {}}
    for name, rows in detections.items():
        scores.append(image_scores(rows, images, model=name, seed=seed))
        types["image"][name] = image_types(rows, truths, images)
        table, types["patch"][name] = patch_scores(rows, patches, rule, model=name, seed=seed)
        of_patches.append(table)
    for unit, frequencies in _training_frequencies(dataset, windows).items():
        types[unit][BLIND] = blind(types[unit][BLOBS], frequencies)
    return DetectionResults(
        images,
        truths,
        detections,
        pd.concat(scores, ignore_index=True),
        pd.concat(of_patches, ignore_index=True),
        types,
    )


def _training_frequencies(dataset: Dataset, windows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Unit -> type of lesion -> share of the training images, or patches, that have it."""
    images = dataset.catalogue.images
    images = images[images["split"] == "train"]
    lesions = dataset.catalogue.lesions
    patches = training_windows(windows)["label"]
    of_images = types_of_images(images, lesions[lesions["image_id"].isin(set(images["image_id"]))])
    return {
        "image": {name: float(truth.mean()) for name, truth in of_images.items()},
        "patch": {name: float((patches == name).mean()) for name in LABELS[1:]},
    }


def auc_table(results: DetectionResults, unit: str, *, seed: int) -> pd.DataFrame:
    """AUC of every model with its interval and its chance level, by target and type of lesion.

    Args:
        results: Of one split.
        unit: "image" or "patch".
        seed: Of the intervals.

    Returns:
        model, then lesion_types.COLUMNS; the last model, BLIND, sees no picture.
    """
    scores = results.image_scores if unit == "image" else results.patch_scores
    by_model, parts = results.types[unit], []
    for name, types in by_model.items():
        rows = scores[scores["model"] == name]
        table = pd.concat(
            [roc_table(rows, seed=seed), type_table(types, by_model[BLIND], seed=seed)],
            ignore_index=True,
        )
        table.insert(0, "model", name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def roc_curves(
    results: DetectionResults, unit: str, target: str, *, seed: int
) -> dict[str, pd.DataFrame]:
    """Model -> its ROC curve with a band over patients, for the models that have a curve.

    Args:
        results: Of one split.
        unit: "image" or "patch".
        target: "lesion", "malignant", GIVEN or POOLED; to the latter two, BLIND has a curve too.
        seed: Of the intervals.
    """
    if target in (GIVEN, POOLED):
        by_model = {
            name: type_curve(results.types[unit][name], target, seed=seed)
            for name in results.detections
        }
        bands = {name: band for name, band in by_model.items() if band is not None}
        return bands | ({BLIND: blind_curve(results.types[unit][BLIND], target)} if bands else {})
    scores = results.image_scores if unit == "image" else results.patch_scores
    curves = {}
    for name in results.detections:
        rows = scores[(scores["model"] == name) & (scores["target"] == target)]
        truth = positive(rows["label"], target)
        if not undefined_because(rows["score"], truth):
            patients = Patients.from_ids(patient_keys(rows))
            curves[name] = roc_band(rows["score"], truth, patients, seed=seed)
    return curves


def roc_panels(
    results: DetectionResults, table: pd.DataFrame, unit: str, *, seed: int
) -> tuple[dict[str, dict[str, pd.DataFrame]], dict[str, dict[str, str]], pd.DataFrame]:
    """The curves of figures 3a and 3b: question -> model -> curve, its AUC in words, all AUCs.

    Args:
        results: Of one split.
        table: Of `auc_table`, for the same unit.
        unit: "image" or "patch".
        seed: Of the bands.

    Returns:
        Curves, words, and the rows of `table` that are drawn, with their `question`.
    """
    asked = {
        GIVEN: "a given type of lesion? Mean over types",
        POOLED: "a given type? Questions of all types pooled",
        "malignant": "malignant?",
        "lesion": "any lesion?",
    }
    panels, words = {}, {}
    for target, question in asked.items():
        panels[question] = roc_curves(results, unit, target, seed=seed)
        rows = table[table["target"] == target].set_index("model")
        words[question] = {str(name): auc_in_words(line, 2) for name, line in rows.iterrows()}
    drawn = pd.concat([table[table["target"] == target] for target in asked])
    return panels, words, drawn.assign(question=drawn["target"].map(asked))


def auc_in_words(line: pd.Series, digits: int) -> str:
    """An AUC with its interval; without one, or the reason why there is no AUC.

    Args:
        line: A row of `auc_table`.
        digits: Decimal places.
    """
    if not np.isfinite(line["auc"]):
        return f"none: {line['reason']}"
    ends = {name: line[name] for name in ("low", "high", "reason")}
    return in_words(line["auc"], **ends, form=f".{digits}f")


def chance_notes(table: pd.DataFrame, model: str, target: str) -> str:
    """The other ways to ask for a type, with their AUC and chance level, in words.

    Args:
        table: Of `auc_table`.
        model: Its name.
        target: Of `auc_table`, that is reported itself.
    """
    notes = []
    for asked in (GIVEN, POOLED):
        if asked != target:
            line = row(table, model=model, target=asked)
            notes.append(f"{asked}: {auc_in_words(line, 2)}, chance {line['chance']:.2f}")
    return "; ".join(notes)


def froc_panels(results: DetectionResults) -> dict[str, dict[str, pd.DataFrame]]:
    """Hit rule -> model -> its FROC curve for any lesion, counted by lesion."""
    return {
        rule: {
            name: curve(marks(detections, results.truths, results.images, rule=rule))
            for name, detections in results.detections.items()
        }
        for rule in RULES
    }


def sensitivity_table(results: DetectionResults, *, seed: int) -> pd.DataFrame:
    """Sensitivity of every model at the usual false positive rates (froc_table)."""
    return froc_table(results.detections, results.truths, results.images, seed=seed)


def precision_table(results: DetectionResults, *, seed: int) -> pd.DataFrame:
    """mAP50 with its interval and mAP50-95 of every model, for any lesion and by class.

    Returns:
        model, of, mAP50, mAP50-95, low, high (of mAP50), n (lesions), reason (why no interval).
    """
    rows = []
    for name, detections in results.detections.items():
        for by_class in (False, True):
            tables = (detections, results.truths, results.images)
            precision = average_precision(*tables, by_class=by_class)
            interval = map50_estimate(*tables, by_class=by_class, seed=seed)
            ends = {key: getattr(interval, key) for key in ("low", "high", "n", "reason")}
            start = {"model": name, "of": "each class" if by_class else "any lesion"}
            rows.append(start | precision | ends)
    return pd.DataFrame(rows)


def group_table(results: DetectionResults, model: str, *, seed: int) -> pd.DataFrame:
    """Sensitivity of a model at one false positive per image, by group of lesions."""
    return by_group(results.detections[model], results.truths, results.images, seed=seed)


def dice_table(results: DetectionResults, *, seed: int) -> pd.DataFrame:
    """Dice and IoU of the masks of hit lesions (IoU of boxes at least 0.5), by model."""
    parts = []
    for name, detections in results.detections.items():
        table = mask_table(mask_agreement(detections, results.truths), seed=seed)
        table.insert(0, "model", name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def row(table: pd.DataFrame, **values: object) -> pd.Series:
    """The first row of a table that has these values.

    Raises:
        KeyError: No row has them.
    """
    rows = table
    for name, value in values.items():
        rows = rows[rows[name] == value]
    if rows.empty:
        raise KeyError(f"no row with {values}")
    return rows.iloc[0]
