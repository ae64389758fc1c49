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
    LEAST_FOR_SHARE,
    Estimate,
    Floats,
    Metric,
    Patients,
    bootstrap,
    in_words,
    ratio,
    share,
)
from second_look.evaluation.roc import (
    Bools,
    auc_estimate,
    constant,
    operating_point,
    roc_band,
    threshold_at_sensitivity,
)
from second_look.studies.calibration.measures import AS_IT_IS, TEMPERATURE, Calibrated

SCREENING = ("at_screening", "ppv_screening", "ppv_screening_low", "ppv_screening_high")
POINTS = [
    *KEYS, "title", "method", "threshold", "observed", "observed_low", "observed_high",
    "sensitivity", "sensitivity_low", "sensitivity_high", "specificity", "specificity_low",
    "specificity_high", "prevalence", "ppv", "ppv_low", "ppv_high", *SCREENING,
]  # fmt: skip
# The method that gives probabilities the prior of validation patients.
PRIOR = "Platt"
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
    for model in calibrated:
        part = model.test
        for method in (AS_IT_IS, TEMPERATURE):
            if method in model.methods:
                shares = model.probabilities(method)
                table = cal.bands(
                    shares, part.classes, part.patients, edges=edges, seed=seed, draws=draws
                )
                table.insert(0, "method", method)
                table.insert(0, "title", model.group.title)
                tables.append(table[table["units"] > 0])
    return pd.concat(tables, ignore_index=True)


def usable(calibrated: Sequence[Calibrated]) -> list[Calibrated]:
    """Groups of yes or no with both answers in validation and test, and scores that differ."""
    return [
        model
        for model in calibrated
        if model.group.binary
        and all(
            split in model.group.parts
            and not constant(model.group.parts[split].probabilities[:, 1])
            and len(np.unique(model.group.parts[split].classes)) == 2
            for split in ("val", "test")
        )
    ]


def per_patient(calibrated: Sequence[Calibrated]) -> list[Calibrated]:
    """`usable` groups of patients whose probabilities have the prior of their validation patients.

    Training on balanced classes leaves the probabilities with a prior of one half, whatever the
    prevalence among validation patients. Platt scaling, fitted to those patients, gives them their
    prevalence, so that Bayes' rule knows where it starts from.
    """
    return [
        model
        for model in usable(calibrated)
        if model.group.unit == "patient" and PRIOR in model.methods
    ]


def without_repeats(calibrated: Sequence[Calibrated]) -> list[Calibrated]:
    """Each group once, in the order of its first place."""
    return list({id(model): model for model in calibrated}.values())


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
        prevalence: Of patients with cancer in screening.
        seed: Of the draws.
        draws: Bootstrap samples.

    Returns:
        KEYS, title, method, threshold, observed (how often units next to it are positive), the
        sensitivity, specificity and ppv on test, ppv_screening (each with _low and _high),
        at_screening (the probability that the threshold stands for there), prevalence (of the test
        units). What is of screening is NaN for all groups but those of `per_patient`.
    """
    screened_models = {id(model) for model in per_patient(calibrated)}
    rows = []
    for model in calibrated:
        for method in model.methods:
            row = _operating_point(model, method, sensitivity, seed, draws)
            screened = dict.fromkeys(SCREENING, float("nan"))
            if id(model) in screened_models:
                screened = _at_screening(model, method, row["threshold"], prevalence, seed, draws)
            rows.append({**model.group.key, "title": model.group.title, "method": method,
                         **row, **screened})  # fmt: skip
    return pd.DataFrame(rows, columns=POINTS)


def _operating_point(
    model: Calibrated, method: str, sensitivity: float, seed: int, draws: int
) -> dict[str, float]:
    val, test = model.group.parts["val"], model.test
    truth, patients = test.classes == 1, test.patients
    held = model.probabilities(method, "val")[:, 1]
    threshold = threshold_at_sensitivity(held, val.classes == 1, sensitivity)
    scores = model.probabilities(method)[:, 1]
    point = operating_point(scores, truth, patients, threshold=threshold, seed=seed, draws=draws)
    called = share(truth, patients, scores >= threshold, kind="patients called positive")
    ppv = bootstrap({"ppv": called}, patients, seed=seed, draws=draws)["ppv"]
    return {
        "threshold": threshold,
        **_columns("observed", _observed_near(scores, truth, patients, threshold, seed, draws)),
        **_columns("sensitivity", point["sensitivity"]),
        **_columns("specificity", point["specificity"]),
        "prevalence": float(truth.mean()),
        **_columns("ppv", ppv),
    }


def _at_screening(
    model: Calibrated, method: str, threshold: float, prevalence: float, seed: int, draws: int
) -> dict[str, float]:
    """The probability that a threshold stands for in screening, and the PPV there."""
    val, test = model.group.parts["val"], model.test
    at_validation = rec.fit(PRIOR, model.probabilities(method, "val"), val.classes).apply(
        cal.two_columns([threshold])
    )
    shift = rec.PriorShift.of_positive(float((val.classes == 1).mean()), prevalence)
    called = model.probabilities(method)[:, 1] >= threshold
    truth, patients = test.classes == 1, test.patients
    recalled_positives = share(called, patients, truth, kind="patients with positives")
    recalled_negatives = share(called, patients, ~truth, kind="patients with negatives")

    def predictive_value(counts: Floats) -> Floats:
        right = prevalence * recalled_positives(counts)
        return ratio(right, right + (1 - prevalence) * recalled_negatives(counts))

    clusters = {**recalled_positives.clusters, **recalled_negatives.clusters}
    metric = Metric(predictive_value, clusters, LEAST_FOR_SHARE, share=True)
    ppv = bootstrap({"ppv": metric}, patients, seed=seed, draws=draws)["ppv"]
    return {
        "at_screening": float(shift.apply(at_validation)[0, 1]),
        **_columns("ppv_screening", ppv),
    }


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _observed_near(
    scores: Floats, truth: Bools, patients: Patients, threshold: float, seed: int, draws: int
) -> Estimate:
    """How often the units are positive whose scores rank next to a threshold, on either side.

    Of units with one score all count, or none.
    """
    rising = np.sort(scores)
    middle = np.count_nonzero(scores < threshold)
    ranks = np.arange(len(scores)) + 0.5
    window = rising[np.abs(ranks - middle) <= max(1.0, NEAR * len(scores) / 2)]
    nearest = (scores >= window[0]) & (scores <= window[-1])
    observed = share(truth, patients, nearest)
    return bootstrap({"observed": observed}, patients, seed=seed, draws=draws)["observed"]


def roc_curves(calibrated: Sequence[Calibrated], *, seed: int, draws: int) -> pd.DataFrame:
    """ROC curves with point-by-point intervals, and the AUC in their names.

    Returns:
        title, name (title and AUC), specificity, sensitivity, low, high.
    """
    tables = []
    for model in calibrated:
        scores, truth = model.test.probabilities[:, 1], model.test.classes == 1
        patients = model.test.patients
        table = roc_band(scores, truth, patients, seed=seed, draws=min(draws, CURVE_DRAWS))
        area = auc_estimate(scores, truth, patients, seed=seed, draws=draws)
        label = f"AUC {in_words(area.value, area.low, area.high, '.3f', reason=area.reason)}"
        table.insert(0, "name", f"{model.group.title}: {label}")
        table.insert(0, "title", model.group.title)
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

    Test patients are weighted so that the positives make up each prevalence; the probabilities are
    those after PRIOR, whose prior is the prevalence among validation patients. The correction is
    told this one and the new one.

    Args:
        calibrated: From `per_patient`.
        prevalences: Shares of patients with cancer, besides that of the test patients.
        bins: Of the error.
        seed: Of the draws.
        draws: Bootstrap samples.

    Returns:
        KEYS, title, prevalence, corrected (no, yes), mean_probability (stated), observed (the
        prevalence), ratio (mean_probability over observed), ece (bins of equal mass) with low and
        high, nll.
    """
    rows = []
    for model in calibrated:
        shares, truth = model.probabilities(PRIOR), model.test.classes
        patients, positives = model.test.patients, model.test.classes == 1
        learned = float((model.group.parts["val"].classes == 1).mean())
        for prevalence in sorted({*prevalences, round(float(positives.mean()), 6)}):
            weights = rec.prevalence_weights(positives, prevalence)
            moved = rec.PriorShift.of_positive(learned, prevalence).apply(shares)
            for corrected, probabilities in (("no", shares), ("yes", moved)):
                measured = cal.measures(
                    probabilities,
                    truth,
                    patients,
                    bins=bins,
                    seed=seed,
                    draws=draws,
                    weights=weights,
                )
                mean_probability = float(np.average(probabilities[:, 1], weights=weights))
                error = measured["ece_mass"]
                rows.append(
                    {
                        **model.group.key,
                        "title": model.group.title,
                        "prevalence": prevalence,
                        "corrected": corrected,
                        "mean_probability": mean_probability,
                        "observed": prevalence,
                        "ratio": mean_probability / prevalence,
                        "ece": error.value,
                        "low": error.low,
                        "high": error.high,
                        "nll": measured["nll"].value,
                    }
                )
    columns = [*KEYS, "title", "prevalence", "corrected", "mean_probability", "observed", "ratio"]
    return pd.DataFrame(rows, columns=[*columns, "ece", "low", "high", "nll"])
