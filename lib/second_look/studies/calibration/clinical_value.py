"""What a model's decisions are worth: recall rates, net benefit, average precision.

Thresholds come from validation patients; test patients judge them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from second_look.evaluation.groups import KEYS
from second_look.evaluation.intervals import Estimate, bootstrap
from second_look.evaluation.operating_points import (
    MEASURE_NAMES,
    average_precision_statistic,
    net_benefit_statistic,
    operating_measures,
    threshold_at_recall_rate,
)
from second_look.studies.calibration.decisions import usable
from second_look.studies.calibration.measures import AS_IT_IS, Calibrated

# A decision curve reads scores as risks: after this method where it could be fitted.
RISK = "Platt"
ALL, MODEL = "recall everybody", "the model"
ENDS = ("value", "low", "high")


# Why tables of decisions are empty.
NO_UNITS = (
    "No scores of images, breasts or patients here say “malignant or not” with both answers among "
    "validation and test units."
)
NO_PATIENTS = (
    "No scores of patients here could be given the prevalence of their validation patients."
)


def decision_units(calibrated: Sequence[Calibrated]) -> list[Calibrated]:
    """Groups that a decision can be about: `usable` ones of images, breasts or patients.

    Nobody is recalled for a patch.
    """
    return [model for model in usable(calibrated) if model.group.unit != "patch"]


def by_recall_rate(
    calibrated: Sequence[Calibrated], *, rates: Sequence[float], seed: int, draws: int
) -> pd.DataFrame:
    """What happens on test units if a share of the validation units is recalled.

    Args:
        calibrated: From `decision_units`.
        rates: Largest shares of the validation units that may be recalled, 0 to 1.
        seed: Of the draws.
        draws: Bootstrap samples.

    Returns:
        KEYS, title, rate, threshold, measure (of operating_points.MEASURE_NAMES), value, low,
        high, n (test units), patients, reason (why an interval is missing).
    """
    rows = []
    for model in calibrated:
        held_out = model.probabilities(AS_IT_IS, "val")[:, 1]
        test = model.test
        for rate in rates:
            threshold = threshold_at_recall_rate(held_out, rate)
            estimates = operating_measures(
                test.probabilities[:, 1],
                test.classes == 1,
                test.patients,
                threshold=threshold,
                seed=seed,
                draws=draws,
            )
            for name, estimate in estimates.items():
                head = {**model.group.key, "title": model.group.title, "rate": rate}
                rows.append(head | {"threshold": threshold, "measure": name} | _cells(estimate))
    columns = [*KEYS, "title", "rate", "threshold", "measure", *ENDS, "n", "patients", "reason"]
    return pd.DataFrame(rows, columns=columns)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`by_recall_rate` for people: a row per model and rate, "value [low, high]" in the cells.

    No threshold stands where the scores tie so that none recalls so few units.
    """
    text = [
        str(Estimate(row.value, row.low, row.high, row.n, row.patients, row.reason))
        for row in table.itertuples()
    ]
    index = ["title", "rate", "threshold"]
    wide = table.assign(text=text).pivot(index=index, columns="measure", values="text")
    wide = wide.reindex(columns=list(MEASURE_NAMES)).rename(columns=MEASURE_NAMES)
    wide = wide.rename_axis(columns=None).reset_index()
    return wide.assign(threshold=wide["threshold"].replace(np.inf, np.nan))


def average_precisions(calibrated: Sequence[Calibrated], *, seed: int, draws: int) -> pd.DataFrame:
    """Average precision on test units beside the share of positives, which chance reaches.

    Returns:
        KEYS, title, value, low, high, n, patients, reason, chance.
    """
    rows = []
    for model in calibrated:
        scores, truth = model.test.probabilities[:, 1], model.test.classes == 1
        patients = model.test.patients
        statistic = average_precision_statistic(scores, truth, patients)
        estimate = bootstrap({"ap": statistic}, patients, seed=seed, draws=draws)["ap"]
        head = {**model.group.key, "title": model.group.title}
        rows.append(head | _cells(estimate) | {"chance": float(truth.mean())})
    return pd.DataFrame(rows, columns=[*KEYS, "title", *ENDS, "n", "patients", "reason", "chance"])


def decision_curves(
    calibrated: Sequence[Calibrated], *, thresholds: Sequence[float], seed: int, draws: int
) -> pd.DataFrame:
    """Net benefit on test units by threshold probability: of the model, and of recalling everybody.

    Recalling nobody has net benefit 0. The probabilities are those after RISK, fitted on validation
    units, where that was possible.

    Returns:
        KEYS, title, method (of recalibration), probability, strategy (MODEL or ALL), value, low,
        high, n, patients, reason.
    """
    rows = []
    for model in calibrated:
        method = RISK if RISK in model.methods else AS_IT_IS
        risks, truth = model.probabilities(method)[:, 1], model.test.classes == 1
        patients = model.test.patients
        for probability in thresholds:
            decisions = {MODEL: risks >= probability, ALL: np.ones_like(truth)}
            statistics = {
                name: net_benefit_statistic(recalled, truth, patients, probability)
                for name, recalled in decisions.items()
            }
            estimates = bootstrap(statistics, patients, seed=seed, draws=draws)
            head = {**model.group.key, "title": model.group.title, "method": method}
            rows += [
                head | {"probability": probability, "strategy": name} | _cells(estimate)
                for name, estimate in estimates.items()
            ]
    columns = [*KEYS, "title", "method", "probability", "strategy", *ENDS, "n", "patients"]
    return pd.DataFrame(rows, columns=[*columns, "reason"])


def _cells(estimate: Estimate) -> dict[str, object]:
    names = (*ENDS, "n", "patients", "reason")
    return {name: getattr(estimate, name) for name in names}
