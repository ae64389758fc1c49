"""What a card says in numbers, from a run's tables of predictions.

Calibration and thresholds are fitted on validation patients; results are those of test patients, of
the very training that is published. The tables of a run may hold means over several trainings.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from second_look.batches.sharing import digest
from second_look.catalogue import patient_keys
from second_look.errors import DataError
from second_look.evaluation import calibration as cal
from second_look.evaluation import recalibration as rec
from second_look.evaluation.detection_tables import image_table
from second_look.evaluation.froc import curve, marks, sensitivities
from second_look.evaluation.intervals import Estimate, Floats, Patients
from second_look.evaluation.mean_precision import map50_estimate
from second_look.evaluation.operating_points import operating_measures
from second_look.evaluation.predictions import (
    binary_scores,
    classes,
    combine,
    positive,
    probabilities,
)
from second_look.evaluation.roc import (
    auc_estimate,
    macro_auc_estimate,
    roc_curve,
    threshold_at_sensitivity,
)
from second_look.preparing.dataset import Dataset
from second_look.published.card import DETECTOR, PATCH, Calibration, Result, TrainingData
from second_look.published.data_sets import PHANTOM, terms_of

SENSITIVITY = 0.9
# Names of the thresholds on the score of an image or breast, and on that of a detection.
AT_SENSITIVITY = f"{SENSITIVITY:.0%} sensitivity in validation"
YOUDEN = "Youden's index in validation"
AT_ONE_ALARM = "one false alarm an image"
BINS = 15
RATES = (0.5, 1.0, 2.0)
_IMAGES = "predictions/06_scheme_b"
_PATCHES = "predictions/06_patches"
_DETECTIONS = "predictions/mask_rcnn_detections"


def training_data(data: Dataset) -> TrainingData:
    """What a card says of the data set that a run was made with."""
    images = data.catalogue.images
    terms = terms_of(sorted(images["dataset"].unique()))
    splits = dict(tuple(images.groupby("split")))
    content = images[["image_id", "label", "split"]].merge(
        data.prepared.images[["image_id", "content_hash"]], on="image_id"
    )
    return TrainingData(
        data.name,
        terms.source,
        terms.licence,
        terms.citation,
        PHANTOM if data.synthetic else terms.acquisition,
        {str(name): len(part) for name, part in splits.items()},
        {str(name): int(patient_keys(part).nunique()) for name, part in splits.items()},
        {str(name): float((part["label"] == "malignant").mean()) for name, part in splits.items()},
        digest(content),
    )


def limits(data: Dataset, kind: str) -> tuple[str, ...]:
    """What a model of this data set must not be used for, in words."""
    facts = training_data(data)
    kinds = sorted(data.catalogue.lesions["kind"].unique())
    lines = ["Research only: it has not been tested in any clinic, and no regulator has seen it."]
    if data.synthetic:
        lines.append("It learnt from phantoms, synthetic images: it says nothing about patients.")
    if facts.acquisition == "film":
        lines.append("It learnt from digitised film: expect it to fail on digital mammograms.")
    if kinds == ["mass"]:
        lines.append("Every lesion that it learnt from is a mass: it does not know calcifications.")
    if not (data.catalogue.images["label"] == "normal").any():
        lines.append(
            "Every training image has a lesion: it tells malignant from benign ones, and has not "
            "seen a breast without a finding. It is no screening test."
        )
    lines.append("Whole breasts in standard views only: no magnification, spot or specimen views.")
    if kind == DETECTOR:
        lines.append("A lesion that it does not mark may be there all the same.")
    if kind == PATCH:
        lines.append("Its heat map shows which windows raise the score, not outlines of lesions.")
    return tuple(lines)


def _by_unit(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Scores of malignancy by image, and by breast where the sides are known."""
    tables = {"image": rows.assign(score=binary_scores(rows, "malignant"))}
    if (rows["laterality"] != "").all():
        tables["breast"] = combine(rows, "breast")
    return tables


def calibrations(rows: pd.DataFrame) -> dict[str, Calibration]:
    """Platt scaling and thresholds by image and by breast, from validation patients.

    There is none by breast where these have too few breasts: a model states no chance for them.

    Args:
        rows: Of predictions.SCHEMA, of one model and seed, unit image.

    Raises:
        DataError: There are too few validation images, or none is malignant.
    """
    fitted = {}
    for unit, table in _by_unit(rows).items():
        val = table[table["split"] == "val"]
        truth, scores = positive(val["label"], "malignant"), val["score"].to_numpy(dtype=float)
        if unit != "image" and (len(val) < rec.MIN_UNITS or truth.all() or not truth.any()):
            continue
        platt = rec.fit(
            "Platt", cal.two_columns(scores), truth.astype(np.int64),
            f"validation, by {unit}", ("not malignant", "malignant"),
        )  # fmt: skip
        assert isinstance(platt, rec.Platt)
        fitted[unit] = Calibration(
            float(platt.slopes[0]),
            float(platt.offsets[0]),
            float(truth.mean()),
            len(val),
            int(patient_keys(val).nunique()),
            {
                AT_SENSITIVITY: threshold_at_sensitivity(scores, truth, SENSITIVITY),
                YOUDEN: _youden(scores, truth),
            },
        )
    return fitted


def _youden(scores: Floats, truth: np.ndarray) -> float:
    """The threshold with the largest sum of sensitivity and specificity (Youden 1950)."""
    points = roc_curve(scores, truth)
    index = points["sensitivity"] + points["specificity"]
    return float(points.loc[index.idxmax(), "threshold"])


def image_results(
    rows: pd.DataFrame, fitted: Mapping[str, Calibration], *, seed: int, draws: int
) -> list[Result]:
    """AUC, calibration, and what the thresholds do on test patients, by image and breast."""
    results = []
    tables = _by_unit(rows[rows["split"] == "test"])
    if "breast" in tables:
        tables["patient"] = combine(rows[rows["split"] == "test"], "patient")
    for unit, table in tables.items():
        results += unit_results(
            table, fitted.get(unit), unit=unit, source=_IMAGES, seed=seed, draws=draws
        )
    return results


def unit_results(
    table: pd.DataFrame,
    fitted: Calibration | None,
    *,
    unit: str,
    source: str,
    seed: int,
    draws: int,
) -> list[Result]:
    """AUC of units, and with a calibration: ECE as it is and calibrated, sensitivities.

    Args:
        table: score (of malignancy), label, dataset, patient_id.
        fitted: Elsewhere; None: AUC only.
        unit: What a row is.
        source: Of the table.
        seed: Of the intervals.
        draws: Bootstrap samples.
    """
    scores, truth = table["score"].to_numpy(dtype=float), positive(table["label"], "malignant")
    patients = Patients.from_ids(patient_keys(table))
    area = auc_estimate(scores, truth, patients, seed=seed, draws=draws)
    results = [_result("AUC", unit, area, source)]
    if fitted is None:
        return results
    shares = {"as it is": scores, "calibrated": fitted.probability(scores)}
    for name, share in shares.items():
        metrics = cal.statistics(
            cal.two_columns(share), truth.astype(np.int64), patients, bins=BINS
        )
        error = cal.estimates(metrics, patients, seed=seed, draws=draws)["ece"]
        results.append(_result(f"ECE {name}", unit, error, source))
    for name, threshold in fitted.thresholds.items():
        points = operating_measures(
            scores, truth, patients, threshold=threshold, seed=seed, draws=draws
        )
        results += [
            _result(f"{measure} at {name}", unit, points[measure], source)
            for measure in ("sensitivity", "specificity")
        ]
    return results


def patch_results(rows: pd.DataFrame, *, seed: int, draws: int) -> list[Result]:
    """Mean AUC of the classes, and AUC of malignant, on test windows."""
    test = rows[rows["split"] == "test"]
    patients = Patients.from_ids(patient_keys(test))
    macro = macro_auc_estimate(probabilities(test), classes(test), patients, seed=seed, draws=draws)
    malignant = auc_estimate(
        binary_scores(test, "malignant"), positive(test["label"], "malignant"), patients,
        seed=seed, draws=draws,
    )  # fmt: skip
    return [
        _result("mean AUC of the classes", "patch", macro, _PATCHES),
        _result("AUC", "patch", malignant, _PATCHES),
    ]


def detector_results(
    detections: pd.DataFrame, truths: pd.DataFrame, data: Dataset, *, seed: int
) -> tuple[list[Result], dict[str, float]]:
    """Sensitivity by false alarms and mAP50 on test patients; the threshold of one alarm an image.

    The threshold is that of validation patients.

    Raises:
        DataError: There are no validation images to fix it.
    """
    parts = {}
    for split in ("val", "test"):
        tables = (part[part["split"] == split].reset_index(drop=True)
                  for part in (detections, truths))  # fmt: skip
        parts[split] = (*tables, image_table(data, splits=(split,)))
    points = curve(marks(*parts["val"]))
    if points.empty or parts["val"][2].empty:
        raise DataError("no validation image fixes the threshold of the detector.", _DETECTIONS)
    allowed = points[points["false_positives"] <= 1]
    threshold = float(allowed["threshold"].iloc[-1])
    froc = sensitivities(marks(*parts["test"]), RATES, seed=seed)
    results = [
        _result(f"sensitivity at {rate:g} false alarms an image", "lesion", froc[f"{rate:g}"],
                _DETECTIONS)
        for rate in RATES
    ]  # fmt: skip
    precision = map50_estimate(*parts["test"], by_class=False, seed=seed)
    results.append(_result("mAP50", "lesion", precision, _DETECTIONS))
    return results, {AT_ONE_ALARM: min(threshold, 1.0)}


def _result(measure: str, unit: str, estimate: Estimate, source: str) -> Result:
    value, low, high = (
        float(number) if np.isfinite(number) else None
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return Result(measure, unit, value, low, high, estimate.n, estimate.patients, source)
