"""Notebook 05 over several trainings of the detector, and against its baseline, in pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from second_look.catalogue import patient_keys
from second_look.evaluation.comparisons import paired_difference, with_holm
from second_look.evaluation.detection import mask_agreement
from second_look.evaluation.froc import marks, sensitivity_statistic
from second_look.evaluation.intervals import (
    CURVE_DRAWS,
    Floats,
    Patients,
    Statistic,
    difference,
    point_estimate,
    share,
    undefined,
)
from second_look.evaluation.lesion_types import GIVEN, given_questions
from second_look.evaluation.predictions import positive
from second_look.evaluation.roc import auc_estimate, mean_auc_statistic
from second_look.evaluation.seeds import (
    COLUMNS,
    OverTrainings,
    auc_over_trainings,
    metrics_over_trainings,
    over_trainings,
)
from second_look.inference.blobs import NAME as BLOBS
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.preparing.patches import LabelRule
from second_look.studies.detection.results import DetectionResults, chance_notes, detect_all
from second_look.studies.detection.training import Model
from second_look.verdicts import Conditions

# What is measured over trainings -> in words.
IMAGES, PATCHES, LESIONS = "image", "patch", "lesion"
MEASURES = {
    IMAGES: "AUC per image, malignant",
    PATCHES: "AUC per patch, a given type",
    LESIONS: "sensitivity at one false positive per image, by lesion",
}
# The rate of false positives that trainings are compared at.
_RATE = 1.0


def detect_each(
    dataset: Dataset,
    models: Sequence[Model],
    detected: DetectionResults,
    *,
    patch_size: int,
    stride: int,
    rule: LabelRule,
    seeds: Sequence[int],
) -> dict[str, DetectionResults]:
    """Name of a training -> its detections; the first is that of the notebook's figures.

    Args:
        dataset: Prepared mammograms.
        models: Of the first training, then those of `training.train_again`.
        detected: Of the first.
        patch_size: Of the patches of figure 3b, px of the prepared images.
        stride: Between these patches, px.
        rule: When a lesion, or the box of a detection, counts for a patch.
        seeds: Of the trainings.
    """
    results = {models[0].name: detected}
    for model, seed in zip(models[1:], seeds[1:], strict=True):
        results[model.name] = detect_all(
            dataset, [model], patch_size=patch_size, stride=stride, rule=rule, seed=seed
        )
    return results


def over_all(results: Mapping[str, DetectionResults], *, seed: int) -> dict[str, OverTrainings]:
    """Each of MEASURES as the mean over the trainings.

    Args:
        results: Name of a training -> its results on test patients.
        seed: Of the intervals.
    """
    return {
        IMAGES: _images(results, seed),
        PATCHES: _patches(results, seed),
        LESIONS: _sensitivity(results, seed=seed),
    }


def table(over: Mapping[str, OverTrainings]) -> pd.DataFrame:
    """One row per measure: measure, the columns of OverTrainings.row, each (value by training)."""
    return pd.DataFrame(
        {
            "measure": MEASURES[name],
            **measured.row,
            "each": ", ".join(f"{value:.3f}" for value in measured.values),
        }
        for name, measured in over.items()
    )


def report(
    run: Run,
    over: Mapping[str, OverTrainings],
    tables: Mapping[str, pd.DataFrame],
    model: str,
    data: Dataset,
) -> None:
    """Record the AUCs of figures 3a and 3b beside the paper's, where they are defined.

    Args:
        run: Of the notebook.
        over: Of `over_all`.
        tables: IMAGES, PATCHES: results.auc_table of the first training.
        model: Its name.
        data: The data set that it was measured on.
    """
    for claim_id, measure, target, figure in (
        ("fig-3a", IMAGES, "malignant", "roc_images"),
        ("state-of-the-art", IMAGES, "malignant", "roc_images"),
        ("fig-3b", PATCHES, GIVEN, "roc_patches"),
    ):
        measured = over[measure]
        if np.isfinite(measured.estimate.value):
            notes = chance_notes(tables[measure], model, target)
            run.result(
                claim_id, measured.estimate, figure=figure,
                how=f"{model}, {target}, test patients of {data.name}; {notes}",
                conditions=Conditions(measured.trainings), synthetic=data.synthetic,
            )  # fmt: skip


def against_baseline(results: Mapping[str, DetectionResults], *, seed: int) -> pd.DataFrame:
    """The detector less the brightest blobs, on the same patients and lesions.

    Sensitivity is compared draw by draw of patients; masks on the lesions that both hit, of the
    first training.

    Args:
        results: Name of a training -> its results on test patients.
        seed: Of the intervals.

    Returns:
        measure ("auc", "sensitivity", "dice"), value, low, high, n, patients, reason, the columns
        of an estimate over trainings, p, p_holm (Holm's over all rows).
    """
    sensitivity = _sensitivity(results, seed=seed, baseline=BLOBS)
    name, first = next(iter(results.items()))
    masks = mask_agreement(first.detections[name], first.truths)
    blobs = mask_agreement(first.detections[BLOBS], first.truths)
    pairs = masks.merge(blobs[["lesion_id", "dice"]], on="lesion_id", suffixes=("", "_blobs"))
    if pairs.empty:
        dice = undefined("no lesion that both hit", Patients(np.zeros(0, np.int64), 0))
    else:
        patients = Patients.from_ids(pairs["patient_id"])
        first_mean, second_mean = (share(pairs[n], patients) for n in ("dice", "dice_blobs"))
        dice = paired_difference(first_mean, second_mean, patients, seed=seed)
    names = ("value", "low", "high", "n", "patients", "reason")
    row = {name: getattr(dice, name) for name in names}
    further = dict(zip(COLUMNS, (np.nan, np.nan, 1), strict=True))
    area = _images(results, seed, baseline=BLOBS)
    rows = [
        {"measure": "auc", **area.row, "p": area.estimate.p},
        {"measure": "sensitivity", **sensitivity.row, "p": sensitivity.estimate.p},
        {"measure": "dice", **row, **further, "p": dice.p},
    ]
    return with_holm(pd.DataFrame(rows))


def _images(
    results: Mapping[str, DetectionResults], seed: int, *, baseline: str = ""
) -> OverTrainings:
    """AUC per image, malignant, over the trainings, or its difference from a baseline's."""
    tables = [_malignant(part, name) for name, part in results.items()]
    truth = positive(tables[0]["label"], "malignant")
    patients = Patients.from_ids(patient_keys(tables[0]))
    scores = np.stack([rows["score"].to_numpy(np.float64) for rows in tables])
    if not baseline:
        return auc_over_trainings(scores, truth, patients, seed=seed)
    baseline_rows = [_malignant(part, baseline) for part in results.values()]
    against = np.stack([rows["score"].to_numpy(np.float64) for rows in baseline_rows])
    return auc_over_trainings(scores, truth, patients, seed=seed, baseline=against)


def _malignant(results: DetectionResults, name: str) -> pd.DataFrame:
    """Scores of a model, or of the blobs, for "malignant", by image."""
    scores = results.image_scores
    rows = scores[(scores["model"] == name) & (scores["target"] == "malignant")]
    return rows.sort_values("image_id")


def _patches(results: Mapping[str, DetectionResults], seed: int) -> OverTrainings:
    """Mean over the types of the AUC per patch, over the trainings."""
    questions = [given_questions(part.types[PATCHES][name]) for name, part in results.items()]
    patients = questions[0][2]
    scores, truths = (np.concatenate([part[k] for part in questions]) for k in (0, 1))
    means = [mean_auc_statistic(part[0], part[1], patients)[0] for part in questions]
    values = [float(point_estimate(mean, patients)) for mean in means]
    over_patients = auc_estimate(scores, truths.astype(bool), patients, seed=seed)
    return over_trainings(over_patients, values, share=True)


def _sensitivity(
    results: Mapping[str, DetectionResults], *, seed: int, baseline: str = ""
) -> OverTrainings:
    """Sensitivity at one false positive per image, or its difference from a baseline's."""
    statistics = []
    for name, training in results.items():
        statistic, patients = _at_rate(training, name)
        if baseline:
            statistic = difference(statistic, _at_rate(training, baseline)[0])
        statistics.append(statistic)
    over = metrics_over_trainings(
        {LESIONS: statistics}, patients, seed=seed, share=not baseline, draws=CURVE_DRAWS
    )
    return over[LESIONS]


def _at_rate(results: DetectionResults, name: str) -> tuple[Statistic, Patients]:
    marked = marks(results.detections[name], results.truths, results.images)
    sensitivities: Callable[[Floats], Floats] = sensitivity_statistic(marked, (_RATE,))
    patients = marked.everybody
    metric = share(np.isfinite(marked.best), patients, kind="patients with lesions")
    return replace(metric, statistic=lambda counts: sensitivities(counts)[:, 0]), patients
