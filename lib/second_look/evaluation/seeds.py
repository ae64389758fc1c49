"""The luck of a training: an estimate over several trainings whose interval holds their spread.

An interval over patients takes the weights as they are, and says nothing of those that another seed
would have given. Here the estimate is the mean over k trainings, and its variance the sum of two
parts: that of the mean over patients, and that between trainings divided by k. The first is
recovered from the distance of each end of the interval over patients (Zou & Donner 2008), which
keeps its asymmetry; the quantile is that of t with the degrees of freedom of Satterthwaite (1946)
for such a sum. Shares and AUCs are taken on the logit scale, where they stay between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm, t

from second_look.evaluation.comparisons import auc_difference
from second_look.evaluation.intervals import (
    DRAWS,
    LEVEL,
    Estimate,
    Floats,
    Patients,
    Statistic,
    average,
    bootstrap,
    point_estimate,
)
from second_look.evaluation.roc import auc_estimate, auc_statistic

# Columns that every table of estimates over trainings has.
COLUMNS = ("between_patients", "between_trainings", "trainings")
_ESTIMATE = ("value", "low", "high", "n", "patients", "reason")


@dataclass(frozen=True)
class OverTrainings:
    """An estimate over trainings, and what its interval is made of.

    Attributes:
        estimate: Mean over the trainings; with one training its interval is over patients only.
        between_patients: Standard error of the mean over patients, from its interval.
        between_trainings: Standard deviation of the trainings' values; NaN for one training.
        values: Of each training, (k,).
    """

    estimate: Estimate
    between_patients: float
    between_trainings: float
    values: Floats

    @property
    def trainings(self) -> int:
        """How many there are."""
        return len(self.values)

    @property
    def row(self) -> dict[str, object]:
        """The estimate and the parts of its interval as columns of a table."""
        parts = (self.between_patients, self.between_trainings, self.trainings)
        numbers = {name: getattr(self.estimate, name) for name in _ESTIMATE}
        return {**numbers, **dict(zip(COLUMNS, parts, strict=True))}


def interval_words(table: pd.DataFrame, low: str = "low") -> str:
    """What a caption can promise of the intervals of a table: over what, some only, or none.

    Args:
        table: With a column of lower ends, and trainings and reason where it has them.
        low: That column.
    """
    present = table[low].notna()
    if not present.any():
        reasons = table.get("reason", pd.Series(dtype=str)).replace("", np.nan).dropna()
        return f"no intervals: {reasons.mode()[0] if len(reasons) else 'too few patients'}"
    several = "trainings" in table and bool((table["trainings"] > 1).any())
    over = f"{100 * LEVEL:g} % intervals over patients{' and trainings' if several else ''}"
    return over if present.all() else f"{over}, where there are enough patients"


def estimate_of(row: pd.Series) -> Estimate:
    """The estimate that a row of a table holds, with columns as OverTrainings.row names them."""
    return Estimate(
        float(row["value"]), float(row["low"]), float(row["high"]),
        int(row["n"]), int(row["patients"]), str(row["reason"]),
    )  # fmt: skip


def over_trainings(
    over_patients: Estimate, values: npt.ArrayLike, *, share: bool, level: float = LEVEL
) -> OverTrainings:
    """Add the spread of the trainings to the interval of their mean.

    Args:
        over_patients: The mean over the trainings with its interval over patients.
        values: Of each training, (k,).
        share: Whether they lie from 0 to 1, so that the logit scale is taken; else they are
            differences of such, and no end lies beyond -1 or 1.
        level: Coverage of the interval, 0 to 1.
    """
    numbers = np.asarray(values, dtype=np.float64)
    half_width = 2 * norm.ppf((1 + level) / 2)
    between_patients = float((over_patients.high - over_patients.low) / half_width)
    if len(numbers) < 2:
        return OverTrainings(over_patients, between_patients, np.nan, numbers)
    spread = float(numbers.std(ddof=1))
    if not np.isfinite(over_patients.low) or spread == 0:
        return OverTrainings(over_patients, between_patients, spread, numbers)
    low, high = (
        _end(over_patients, end, numbers, level, share=share)
        for end in (over_patients.low, over_patients.high)
    )
    # Never inside the interval over patients, whose ends may be exactly 0 or 1.
    p = over_patients.p if share else _p(over_patients, numbers, level)
    combined = replace(
        over_patients, low=min(low, over_patients.low), high=max(high, over_patients.high), p=p
    )
    return OverTrainings(combined, between_patients, spread, numbers)


def metrics_over_trainings(
    statistics: Mapping[str, Sequence[Statistic]],
    patients: Patients,
    *,
    seed: int,
    share: bool,
    draws: int = DRAWS,
) -> dict[str, OverTrainings]:
    """Metrics as means over trainings, all from the same draws of patients.

    Args:
        statistics: Name -> the metric of each training, all on the same units.
        patients: Of the units.
        seed: Of the draws of patients.
        share: Whether the metrics lie from 0 to 1.
        draws: Bootstrap samples.
    """
    means = {name: average(by_training) for name, by_training in statistics.items()}
    estimates = bootstrap(means, patients, seed=seed, draws=draws)
    return {
        name: over_trainings(
            estimates[name],
            [float(point_estimate(statistic, patients)) for statistic in by_training],
            share=share,
        )
        for name, by_training in statistics.items()
    }


def auc_over_trainings(
    scores: Floats,
    positive: npt.ArrayLike,
    patients: Patients,
    *,
    seed: int,
    draws: int = DRAWS,
    baseline: Floats | None = None,
) -> OverTrainings:
    """The mean AUC over trainings, or its difference from a baseline's, paired by training.

    Args:
        scores: Of each training, (k, n).
        positive: Which units are positive, (n,).
        patients: Of the units.
        seed: Of the draws.
        draws: Bootstrap samples.
        baseline: Scores of another model for the same units, (k, n); None: no difference.
    """
    if baseline is None:
        mean = auc_estimate(scores, positive, patients, seed=seed, draws=draws)
        values = _aucs(scores, positive, patients)
    else:
        mean = auc_difference(scores, baseline, positive, patients, seed=seed, draws=draws)
        values = _aucs(scores, positive, patients) - _aucs(baseline, positive, patients)
    return over_trainings(mean, values, share=baseline is None)


def of_trainings(values: npt.ArrayLike, *, n: int, level: float = LEVEL) -> OverTrainings:
    """The mean of positive values over trainings alone, on the log scale; no patients are drawn.

    Args:
        values: One a training, above 0, shape (k,).
        n: Observations, for the table.
        level: Coverage of the interval, 0 to 1.
    """
    numbers = np.asarray(values, dtype=np.float64)
    count, mean = len(numbers), float(np.exp(np.log(numbers).mean()))
    if count < 2:
        alone = Estimate(mean, np.nan, np.nan, n, 0, "one training")
        return OverTrainings(alone, np.nan, np.nan, numbers)
    error = np.log(numbers).std(ddof=1) / np.sqrt(count)
    half_width = float(np.exp(t.ppf((1 + level) / 2, count - 1) * error))
    spread = float(numbers.std(ddof=1))
    return OverTrainings(
        Estimate(mean, mean / half_width, mean * half_width, n, 0), np.nan, spread, numbers
    )


def _aucs(scores: Floats, positive: npt.ArrayLike, patients: Patients) -> Floats:
    statistics = [auc_statistic(row, positive, patients) for row in scores]
    return np.array([float(point_estimate(statistic, patients)) for statistic in statistics])


def _end(
    over_patients: Estimate, end: float, values: Floats, level: float, *, share: bool
) -> float:
    """An end of the interval over patients, moved out by the spread of the trainings.

    Args:
        over_patients: Mean over the trainings, with its patients.
        end: Lower or upper one.
        values: Of each training, (k,).
        level: Of the interval.
        share: Whether to work on the logit scale.
    """
    middle, limit = over_patients.value, end
    if share:  # half a patient away from 0 and 1, where the logit is infinite
        edge = 0.5 / (over_patients.patients + 1)
        values = logit(np.clip(values, edge, 1 - edge))
        middle, limit = logit(np.clip([middle, limit], edge, 1 - edge))
    total, freedom = _variance(over_patients, limit - middle, values, level)
    if total == 0:
        return end
    side = 1 if end >= over_patients.value else -1
    moved = middle + side * t.ppf((1 + level) / 2, freedom) * np.sqrt(total)
    return float(expit(moved)) if share else float(np.clip(moved, -1, 1))


def _variance(
    over_patients: Estimate, half_width: float, values: Floats, level: float
) -> tuple[float, float]:
    """Variance of the mean, over patients and trainings, and its degrees of freedom.

    Args:
        over_patients: Mean over the trainings, with its patients.
        half_width: From the mean to an end of its interval over patients.
        values: Of each training, (k,), on the scale of the half width.
        level: Of the interval.
    """
    by_patients = (half_width / norm.ppf((1 + level) / 2)) ** 2
    by_trainings = float(values.var(ddof=1)) / len(values)
    total = by_patients + by_trainings
    if total == 0:
        return 0.0, np.inf
    patients_part = by_patients**2 / max(1, over_patients.patients - 1)
    return total, total**2 / (patients_part + by_trainings**2 / (len(values) - 1))


def _p(over_patients: Estimate, values: Floats, level: float) -> float:
    """Two-sided p that a difference is 0: where its interval, trainings included, ends at 0."""
    value = over_patients.value
    end = over_patients.low if value > 0 else over_patients.high
    total, freedom = _variance(over_patients, end - value, values, level)
    if total == 0:
        return over_patients.p
    p = float(2 * t.sf(abs(value) / np.sqrt(total), freedom))
    return max(p, over_patients.p)
