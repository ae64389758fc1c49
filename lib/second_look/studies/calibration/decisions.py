"""What a probability is good for: bands of confidence, thresholds, screening, for notebook 07."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from second_look.evaluation import calibration as cal
from second_look.evaluation import recalibration as rec
from second_look.evaluation.groups import KEYS
from second_look.evaluation.intervals import (
    CURVE_DRAWS,
    Estimate,
    Floats,
    Patients,
    bootstrap,
    mean,
    of_share,
)
from second_look.evaluation.roc import (
    Bools,
    auc_estimate,
    operating_point,
    predictive_value,
    roc_band,
    threshold_at_sensitivity,
    undefined_because,
)
from second_look.studies.calibration.measures import AS_IT_IS, TEMPERATURE, Calibrated

POINTS = [
    *KEYS, "title", "method", "threshold", "observed", "observed_low", "observed_high",
    "at_screening", "sensitivity", "sensitivity_low", "sensitivity_high", "specificity",
    "specificity_low", "specificity_high", "prevalence", "ppv", "ppv_screening",
]  # fmt: skip
# Share of the test units next to a threshold that show what its probability is worth.
NEAR = 0.2


def bands(
    calibrated: Sequence[Calibrated], *, edges: Sequence[float], seed: int, draws: int
) -> pd.DataFrame:
    """How often the models are wrong, by how sure they say they are, before and after temperature.

    Returns:
        title, method, and the columns of `evaluation.calibration.bands`; bands without units are
        left out.
    """
    tables = []
    for one in calibrated:
        part = one.test
        for method in (AS_IT_IS, TEMPERATURE):
            if method in one.methods:
                shares = one.probabilities(method)
                table = cal.bands(
                    shares, part.classes, part.patients, edges=edges, seed=seed, draws=draws
                )
                table.insert(0, "method", method)
                table.insert(0, "title", one.group.title)
                tables.append(table[table["units"] > 0])
    return pd.concat(tables, ignore_index=True)


def usable(calibrated: Sequence[Calibrated]) -> list[Calibrated]:
    """Groups of yes or no with both answers in validation and test, and scores that differ."""
    return [
        one
        for one in calibrated
        if one.group.binary
        and all(
            split in one.group.parts
            and not undefined_because(
                one.group.parts[split].probabilities[:, 1], one.group.parts[split].classes == 1
            )
            for split in ("val", "test")
        )
    ]


def operating_points(
    calibrated: Sequence[Calibrated],
    *,
    sensitivity: float,
    prevalence: float,
    seed: int,
    draws: int,
) -> pd.DataFrame:
    """A threshold for a wanted sensitivity, from validation patients, and what it does on test.

    Args:
        calibrated: Groups that are `usable`.
        sensitivity: Wanted; the threshold is the highest that reaches it on validation units.
        prevalence: Of positives in screening.
        seed: Of the draws.
        draws: Bootstrap samples.

    Returns:
        KEYS, title, method, threshold, observed (how often units next to it are positive, with
        observed_low and observed_high), at_screening (the probability that the threshold stands
        for there), sensitivity and specificity on test (each with _low and _high), prevalence (of
        the test units), ppv (there), ppv_screening.
    """
    rows = []
    for one in calibrated:
        for method in one.methods:
            row = _operating_point(one, method, sensitivity, prevalence, seed, draws)
            rows.append({**one.group.key, "title": one.group.title, "method": method, **row})
    return pd.DataFrame(rows, columns=POINTS)


def _operating_point(
    one: Calibrated, method: str, sensitivity: float, prevalence: float, seed: int, draws: int
) -> dict[str, float]:
    val, test = one.group.parts["val"], one.test
    truth, patients = test.classes == 1, test.patients
    held = one.probabilities(method, "val")[:, 1]
    at = threshold_at_sensitivity(held, val.classes == 1, sensitivity)
    scores = one.probabilities(method)[:, 1]
    point = operating_point(scores, truth, patients, threshold=at, seed=seed, draws=draws)
    caught, spared = point["sensitivity"], point["specificity"]
    shift = rec.PriorShift.of_positive(float((val.classes == 1).mean()), prevalence)
    own = float(truth.mean())
    return {
        "threshold": at,
        **_columns("observed", _near(scores, truth, patients, at, seed, draws)),
        "at_screening": float(shift.apply(cal.two_columns([at]))[0, 1]),
        **_columns("sensitivity", caught),
        **_columns("specificity", spared),
        "prevalence": own,
        "ppv": predictive_value(caught.value, spared.value, own),
        "ppv_screening": predictive_value(caught.value, spared.value, prevalence),
    }


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _near(
    scores: Floats, truth: Bools, patients: Patients, at: float, seed: int, draws: int
) -> Estimate:
    """How often the units are positive whose scores rank next to a threshold, on either side.

    Of units with one score all count, or none.
    """
    rising = np.sort(scores)
    middle = np.count_nonzero(scores < at)
    ranks = np.arange(len(scores)) + 0.5
    window = rising[np.abs(ranks - middle) <= max(1.0, NEAR * len(scores) / 2)]
    near = (scores >= window[0]) & (scores <= window[-1])
    found = bootstrap({"observed": mean(truth, patients, near)}, patients, seed=seed, draws=draws)
    return of_share(found["observed"], patients.having(near))


def roc_curves(calibrated: Sequence[Calibrated], *, seed: int, draws: int) -> pd.DataFrame:
    """ROC curves with point-by-point intervals, and the AUC in their names.

    Returns:
        title, name (title and AUC), specificity, sensitivity, low, high.
    """
    tables = []
    for one in calibrated:
        scores, truth = one.test.probabilities[:, 1], one.test.classes == 1
        patients = one.test.patients
        table = roc_band(scores, truth, patients, seed=seed, draws=min(draws, CURVE_DRAWS))
        area = auc_estimate(scores, truth, patients, seed=seed, draws=draws)
        ends = f" [{area.low:.3f}, {area.high:.3f}]" if np.isfinite(area.low) else ""
        shown = f"AUC {area.value:.3f}{ends}"
        table.insert(0, "name", f"{one.group.title}: {shown}")
        table.insert(0, "title", one.group.title)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def prevalence_shift(
    calibrated: Sequence[Calibrated],
    *,
    prevalences: Sequence[float],
    bins: int,
    seed: int,
    draws: int,
) -> pd.DataFrame:
    """Calibration of the same model where fewer are ill, before and after the correction.

    Test units are weighted so that the positives make up each prevalence; the probabilities are
    those after temperature, where it could be fitted. The correction is told the prevalence among
    validation units, where the model was calibrated, and the new one.

    Returns:
        KEYS, title, prevalence, corrected (no, yes), said (mean probability), observed (the
        prevalence), ratio (said over observed), ece (bins of equal mass) with low and high, nll.
    """
    rows = []
    for one in calibrated:
        method = TEMPERATURE if TEMPERATURE in one.methods else AS_IT_IS
        shares, truth = one.probabilities(method), one.test.classes
        patients, sick = one.test.patients, one.test.classes == 1
        learned = float((one.group.parts["val"].classes == 1).mean())
        for prevalence in sorted({*prevalences, round(float(sick.mean()), 6)}):
            weights = rec.prevalence_weights(sick, prevalence)
            moved = rec.PriorShift.of_positive(learned, prevalence).apply(shares)
            for corrected, found in (("no", shares), ("yes", moved)):
                measured = cal.measures(
                    found, truth, patients, bins=bins, seed=seed, draws=draws, weights=weights
                )
                said = float(np.average(found[:, 1], weights=weights))
                error = measured["ece_mass"]
                rows.append(
                    {
                        **one.group.key,
                        "title": one.group.title,
                        "prevalence": prevalence,
                        "corrected": corrected,
                        "said": said,
                        "observed": prevalence,
                        "ratio": said / prevalence,
                        "ece": error.value,
                        "low": error.low,
                        "high": error.high,
                        "nll": measured["nll"].value,
                    }
                )
    columns = [*KEYS, "title", "prevalence", "corrected", "said", "observed", "ratio"]
    return pd.DataFrame(rows, columns=[*columns, "ece", "low", "high", "nll"])
