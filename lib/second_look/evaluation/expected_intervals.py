"""What a number of patients can show: the intervals to expect before anything is measured.

A study whose intervals are wider than the differences it looks for answers nothing, whatever it
finds. Patients count, not images: images of one patient resemble each other, so that the true
intervals lie between those for as many patients and those for as many images.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

from second_look.evaluation.intervals import LEAST_FOR_OTHERS, LEAST_FOR_SHARE, LEVEL
from second_look.evaluation.roc import LEAST_FOR_AUC

# Values for which the expected intervals are shown.
AUCS = (0.75, 0.85, 0.93)
SHARES = (0.7, 0.9)
# Power of the smallest difference that can be shown, and the correlation of two models' AUCs on the
# same patients that it supposes: an assumption, since nothing has been measured yet.
POWER, CORRELATION = 0.8, 0.5
COLUMNS = ["quantity", "if_truly", "low", "high", "positive_patients", "negative_patients"]


def auc_standard_error(auc: float, positives: int, negatives: int) -> float:
    """Standard error of an AUC (Hanley & McNeil 1982); NaN where it would get no interval."""
    if min(positives, negatives) < LEAST_FOR_AUC:
        return float("nan")
    both_positive, both_negative = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc)
    variance += (positives - 1) * (both_positive - auc**2)
    variance += (negatives - 1) * (both_negative - auc**2)
    return math.sqrt(variance / (positives * negatives))


def auc_interval(
    auc: float, positives: int, negatives: int, level: float = LEVEL
) -> tuple[float, float]:
    """Interval to expect around an AUC, symmetric in its log odds."""
    width = _quantile(level) * auc_standard_error(auc, positives, negatives) / (auc * (1 - auc))
    return float(expit(logit(auc) - width)), float(expit(logit(auc) + width))


def share_interval(share: float, patients: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval to expect around a share of that many patients (Wilson 1927); NaN for too few."""
    if patients < LEAST_FOR_SHARE:
        return float("nan"), float("nan")
    z = _quantile(level)
    centre = (share + z**2 / (2 * patients)) / (1 + z**2 / patients)
    half = z / (1 + z**2 / patients)
    half *= math.sqrt(share * (1 - share) / patients + z**2 / (4 * patients**2))
    return centre - half, centre + half


def ratio_interval(prevalence: float, patients: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval to expect around an observed over expected ratio of 1 (Riley et al. 2021)."""
    if patients < LEAST_FOR_OTHERS or not 0 < prevalence < 1:
        return float("nan"), float("nan")
    width = _quantile(level) * math.sqrt((1 - prevalence) / (patients * prevalence))
    return math.exp(-width), math.exp(width)


def smallest_auc_difference(
    auc: float, positives: int, negatives: int, level: float = LEVEL
) -> float:
    """Smallest true difference of two AUCs on the same patients that is shown with POWER."""
    error = auc_standard_error(auc, positives, negatives) * math.sqrt(2 * (1 - CORRELATION))
    return float((_quantile(level) + norm.ppf(POWER)) * error)


def table(positives: int, negatives: int) -> pd.DataFrame:
    """The intervals to expect from that many patients with and without the disease.

    Returns:
        quantity, if_truly (the true value), low, high (of the interval to expect; of the
        difference: low is the smallest that can be shown, high is NaN), positive_patients,
        negative_patients.
    """
    patients = positives + negatives
    rows: list[tuple[str, float, float, float]] = []
    rows += [("AUC", auc, *auc_interval(auc, positives, negatives)) for auc in AUCS]
    rows += [("sensitivity", share, *share_interval(share, positives)) for share in SHARES]
    rows += [("specificity", share, *share_interval(share, negatives)) for share in SHARES]
    prevalence = positives / patients if patients else float("nan")
    rows.append(("observed over expected", 1.0, *ratio_interval(prevalence, patients)))
    rows += [
        (
            "smallest difference of two AUCs",
            auc,
            smallest_auc_difference(auc, positives, negatives),
            float("nan"),
        )
        for auc in AUCS
    ]
    numbers = pd.DataFrame(rows, columns=COLUMNS[:4])
    return numbers.assign(positive_patients=positives, negative_patients=negatives)


def statement(positives: int, negatives: int) -> str:
    """The table in two sentences."""
    if min(positives, negatives) < LEAST_FOR_AUC:
        return (
            f"Test patients with a malignancy: {positives:,}, without: {negatives:,}. No AUC gets "
            f"an interval, which takes at least {LEAST_FOR_AUC} of each."
        )
    low, high = auc_interval(AUCS[1], positives, negatives)
    gap = smallest_auc_difference(AUCS[1], positives, negatives)
    return (
        f"With {positives:,} test patients with a malignancy and {negatives:,} without, a model "
        f"whose AUC is truly {AUCS[1]:g} is expected to show an interval from {low:.2f} to "
        f"{high:.2f}, and two models on these patients must differ by at least {gap:.2f} to be "
        f"distinguished with {POWER:.0%} power. Smaller differences cannot be shown here."
    )


def _quantile(level: float) -> float:
    return float(norm.ppf((1 + level) / 2))


def patients_by_class(patient_ids: np.ndarray, positive: np.ndarray) -> tuple[int, int]:
    """Patients with a positive unit, and patients without: both as numbers.

    Args:
        patient_ids: Patient of each unit, (n,).
        positive: Which units are positive, bool (n,).
    """
    worst = pd.Series(positive).groupby(np.asarray(patient_ids)).any()
    return int(worst.sum()), int((~worst).sum())
