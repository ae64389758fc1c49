"""What a threshold does for patients: recalls, missed cancers, net benefit; and average precision.

Statistics take the counts of patients in a draw, as `intervals.bootstrap` wants them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from second_look.evaluation.intervals import (
    Estimate,
    Floats,
    Patients,
    Statistic,
    bootstrap,
    ratio,
    share,
)
from second_look.evaluation.roc import checked

# What `operating_measures` returns, as people call it.
MEASURE_NAMES = {
    "recall_rate": "recall rate",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "mcc": "MCC",
}


def threshold_at_recall_rate(scores: npt.ArrayLike, rate: float) -> float:
    """The lowest threshold that recalls no more than a share of the units.

    A unit is recalled where its score reaches the threshold. Units of one score are recalled
    together or not at all: infinity where the highest score alone is already too common.

    Args:
        scores: Of validation units, (n,).
        rate: Largest share that may be recalled, 0 to 1.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64))[::-1]
    allowed = int(np.floor(rate * len(values) + 1e-9))
    if allowed >= len(values):
        return float(values[-1]) if len(values) else float("inf")
    thresholds = values[:allowed][values[:allowed] > values[allowed]]
    return float(thresholds[-1]) if len(thresholds) else float("inf")


def operating_measures(
    scores: npt.ArrayLike,
    positive: npt.ArrayLike,
    patients: Patients,
    *,
    threshold: float,
    seed: int,
    draws: int,
) -> dict[str, Estimate]:
    """What a threshold that was chosen elsewhere does on these units, with intervals.

    Returns:
        recall_rate, sensitivity, specificity, ppv, npv, mcc (Matthews 1975). A value is NaN where
        no unit counts for it, such as the PPV where nobody is recalled.
    """
    values, truth = checked(scores, positive)
    recalled = values >= threshold
    shares = {
        "recall_rate": (recalled, np.ones_like(truth), "patients"),
        "sensitivity": (recalled, truth, "patients with positives"),
        "specificity": (~recalled, ~truth, "patients with negatives"),
        "ppv": (truth, recalled, "patients recalled"),
        "npv": (~truth, ~recalled, "patients not recalled"),
    }
    statistics: dict[str, Statistic] = {
        name: share(part, patients, eligible, kind=kind)
        for name, (part, eligible, kind) in shares.items()
    }
    statistics["mcc"] = mcc_statistic(recalled, truth, patients)
    return bootstrap(statistics, patients, seed=seed, draws=draws)


def mcc_statistic(
    recalled: npt.ArrayLike, positive: npt.ArrayLike, patients: Patients
) -> Statistic:
    """Matthews' correlation of decision and truth; 0 where one of them is constant."""
    called, truth = np.asarray(recalled, dtype=bool), np.asarray(positive, dtype=bool)
    cells = [called & truth, called & ~truth, ~called & truth, ~called & ~truth]
    sums = np.stack([patients.sums(cell) for cell in cells], axis=1)

    def statistic(counts: Floats) -> Floats:
        tp, fp, fn, tn = (counts @ sums).T
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        coefficient: Floats = np.nan_to_num(ratio(tp * tn - fp * fn, np.sqrt(product)))
        return coefficient

    return statistic


def average_precision_statistic(
    scores: npt.ArrayLike, positive: npt.ArrayLike, patients: Patients
) -> Statistic:
    """Area below the precision-recall curve in steps, as scikit-learn's average precision."""
    values, truth = checked(scores, positive)
    order = np.argsort(-values, kind="stable")
    values, truth, codes = values[order], truth[order], patients.codes[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # of each group of ties

    def in_draw(count: Floats) -> float:
        weights = count[codes]
        true_positives = np.cumsum(weights * truth)[ends]
        precision = np.nan_to_num(ratio(true_positives, np.cumsum(weights)[ends]))
        if not true_positives[-1]:
            return float("nan")
        steps = np.diff(true_positives, prepend=0.0)
        return float(steps @ precision / true_positives[-1])

    return lambda counts: np.array([in_draw(count) for count in counts])


def net_benefit_statistic(
    recalled: npt.ArrayLike, positive: npt.ArrayLike, patients: Patients, probability: float
) -> Statistic:
    """Net benefit of a decision per unit (Vickers & Elkin 2006).

    True positives less false ones, the latter weighted by the odds of the threshold probability,
    over all units: what the decision is worth to someone who would accept that many false alarms
    for a cancer.

    Args:
        recalled: The decision about each unit, bool (n,).
        positive: Which units are positive, bool (n,).
        patients: Of the units.
        probability: Threshold probability, above 0 and below 1.
    """
    called, truth = np.asarray(recalled, dtype=bool), np.asarray(positive, dtype=bool)
    odds = probability / (1 - probability)
    benefit = patients.sums(called & truth) - odds * patients.sums(called & ~truth)
    return _share(benefit, patients.sums(np.ones_like(truth)))


def _share(numerators: Floats, denominators: Floats) -> Statistic:
    return lambda counts: ratio(counts @ numerators, counts @ denominators)
