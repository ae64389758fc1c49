"""ROC curves, the area below them, and operating points.

A unit is called positive where its score reaches the threshold. An AUC is the chance that a
positive unit has a higher score than a negative one, ties counted half: 0.5 where all scores are
equal. Without positive or without negative units it is NaN, and `undefined_because` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.isotonic import isotonic_regression

from second_look.errors import DataError
from second_look.evaluation.intervals import (
    CURVE_DRAWS,
    DRAWS,
    LEVEL,
    Estimate,
    Floats,
    Metric,
    Patients,
    Statistic,
    average,
    bootstrap,
    estimate,
    point_estimate,
    ratio,
    share,
    undefined,
)
from second_look.evaluation.resampling import replicate

Bools = npt.NDArray[np.bool_]
# Up to so many patients, pairs of patients are counted once instead of units in every draw.
MAX_PAIRED = 2000
# What is said of scores that tell nothing apart.
CONSTANT = "all scores are equal: 0.5"
# Patients with positive, and with negative units, for an interval of an AUC: see intervals.
LEAST_FOR_AUC = 3


def undefined_because(scores: npt.ArrayLike, positive: npt.ArrayLike) -> str:
    """Why scores (n,) have no ROC curve, given which are positive (n,); "" if they do.

    Raises:
        DataError: A score is not finite.
    """
    _, truth = checked(scores, positive)
    if not truth.any():
        return "no positive among them"
    return "no negative among them" if truth.all() else ""


def constant(scores: npt.ArrayLike) -> bool:
    """Whether all scores (n,) are equal."""
    return bool(np.ptp(np.asarray(scores)) == 0)


def checked(scores: npt.ArrayLike, positive: npt.ArrayLike) -> tuple[Floats, Bools]:
    """Scores and truth as arrays (n,).

    Raises:
        DataError: They differ in length, or a score is not finite; names the row.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    if values.ndim != 1 or values.shape != truth.shape:
        raise DataError(f"one score and one truth a unit. Got {values.shape} and {truth.shape}.")
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"scores must be finite. Got {values[bad]} in row {bad}.")
    return values, truth


def roc_curve(
    scores: npt.ArrayLike, positive: npt.ArrayLike, weights: npt.ArrayLike = 1.0
) -> pd.DataFrame:
    """Every operating point that the scores allow, from "nothing is positive" to "all are".

    Args:
        scores: One a unit, shape (n,).
        positive: Which units are positive, shape (n,).
        weights: Of the units, shape (n,), or one for all.

    Returns:
        threshold (falling, first inf), sensitivity, specificity; NaN where a kind has no unit.
    """
    values, truth = checked(scores, positive)
    shares = np.broadcast_to(np.asarray(weights, dtype=np.float64), values.shape)
    order = np.argsort(-values, kind="stable")
    values, truth, shares = values[order], truth[order], shares[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # of each group of ties
    true_positives = np.cumsum(shares * truth)[last]
    alarms = np.cumsum(shares * ~truth)[last]
    return pd.DataFrame(
        {
            "threshold": np.append(np.inf, values[last]),
            "sensitivity": ratio(np.append(0.0, true_positives), true_positives[-1]),
            "specificity": 1 - ratio(np.append(0.0, alarms), alarms[-1]),
        }
    )


@dataclass(frozen=True)
class _Sorted:
    """Scores made ready to be weighted anew in every draw: sorted once.

    Attributes:
        negatives: Patients of the negative units by rising score, int64 (negatives,).
        positives: Patients of the positive units by rising score, int64 (positives,).
        lower_negatives, reached: For each positive unit, how many negative ones have lower scores,
            and how many have scores that are not higher, int64 (positives,).
        not_above: For each negative unit, how many positive ones have scores that are not
            higher than its own, int64 (negatives,).
    """

    negatives: npt.NDArray[np.int64]
    positives: npt.NDArray[np.int64]
    lower_negatives: npt.NDArray[np.int64]
    reached: npt.NDArray[np.int64]
    not_above: npt.NDArray[np.int64]

    @classmethod
    def from_scores(cls, scores: Floats, positive: Bools, patients: Patients) -> _Sorted:
        order = np.argsort(scores, kind="stable")
        values, truth, codes = scores[order], positive[order], patients.codes[order]
        low, high = values[~truth], values[truth]
        return cls(
            codes[~truth],
            codes[truth],
            np.searchsorted(low, high, side="left"),
            np.searchsorted(low, high, side="right"),
            np.searchsorted(high, low, side="right"),
        )

    def auc(self, count: Floats) -> float:
        """The AUC with each patient counted that often, shape (patients,)."""
        lower = np.append(0.0, np.cumsum(count[self.negatives]))
        weights = count[self.positives]
        pairs = weights.sum() * lower[-1]
        won = weights @ (lower[self.lower_negatives] + lower[self.reached]) / 2
        return float(won / pairs) if pairs else float("nan")

    def pairs(self, patients: int) -> Floats:
        """Pairs that each patient's positive units win of each one's negative ones, ties half.

        Float64 (patients, patients). Counted so, the pairs won in a draw are a product of this
        with the counts from both sides.
        """
        won = np.zeros((patients, patients))
        tied = not np.array_equal(self.lower_negatives, self.reached)
        for ends in (self.lower_negatives, self.reached) if tied else (self.lower_negatives,):
            lower, done = np.zeros(patients), 0
            for patient, end in zip(self.positives.tolist(), ends.tolist(), strict=True):
                np.add.at(lower, self.negatives[done:end], 1.0)
                won[patient] += lower
                done = end
        return won / 2 if tied else won

    def sensitivity(self, count: Floats, specificity: Floats) -> Floats:
        """The largest sensitivities at no less than those specificities (k,); float64 (k,)."""
        lower = np.cumsum(count[self.negatives])
        cumulative_positives = np.append(0.0, np.cumsum(count[self.positives]))
        if not lower.size or not lower[-1] or not cumulative_positives[-1]:
            return np.full(specificity.shape, np.nan)
        # Tolerance: a share such as 0.9 of 10 patients is no whole number in floating point.
        last = np.searchsorted(lower, specificity * lower[-1] * (1 - 1e-12))
        sensitivities = 1 - cumulative_positives[self.not_above[last]] / cumulative_positives[-1]
        return np.where(specificity <= 0, 1.0, sensitivities)


def auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Area below the ROC curve; NaN where `undefined_because` names a reason."""
    if undefined_because(scores, positive):
        return float("nan")
    values, truth = checked(scores, positive)
    everybody = Patients(np.arange(len(values)), len(values))
    return float(point_estimate(auc_statistic(values, truth, everybody), everybody))


def auc_statistic(scores: npt.ArrayLike, positive: npt.ArrayLike, patients: Patients) -> Metric:
    """The AUC as a metric for `intervals.bootstrap`.

    One of 1 means that all pairs of a positive and a negative patient are won. As many of these
    pairs as share no patient are independent trials.
    """
    values, truth = checked(scores, positive)
    with_positive, with_negative = patients.count_with(truth), patients.count_with(~truth)
    return Metric(
        _auc_of_counts(values, truth, patients),
        {"patients with positives": with_positive, "patients with negatives": with_negative},
        LEAST_FOR_AUC,
        share=True,
        trials=min(with_positive, with_negative, max(1, patients.count // 2)),
        # The variance of an AUC is at most that of as many units as the rarer kind has (Bamber
        # 1975), and hardly ever less than half of that.
        units=2.0 * min(int(truth.sum()), int((~truth).sum())),
    )


def _auc_of_counts(values: Floats, truth: Bools, patients: Patients) -> Statistic:
    """The AUC in every draw; scores are sorted only once."""
    ready = _Sorted.from_scores(values, truth, patients)
    if patients.count > MAX_PAIRED or len(values) < 4 * patients.count:
        return lambda counts: np.array([ready.auc(count) for count in counts])
    won = ready.pairs(patients.count)
    positives, negatives = patients.sums(truth), patients.sums(~truth)

    def statistic(counts: Floats) -> Floats:
        all_pairs = (counts @ positives) * (counts @ negatives)
        return ratio(((counts @ won) * counts).sum(axis=1), all_pairs)

    return statistic


def auc_estimate(
    scores: npt.ArrayLike,
    positive: npt.ArrayLike,
    patients: Patients,
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Estimate:
    """The AUC with its interval over patients; where it is undefined, NaN and the reason.

    Args:
        scores: One a unit, (n,), or those of several trainings, (k, n), whose AUCs are averaged.
            Where all are equal, the reason is CONSTANT and the interval is exact.
        positive: Which units are positive, (n,), or (k, n): k questions, whose AUCs are averaged.
        patients: Of the units.
        seed: Of the draws.
        draws: Bootstrap samples.
        level: Of the interval.
    """
    statistic, reason = mean_auc_statistic(scores, positive, patients)
    if reason:
        return undefined(reason, patients)
    area = bootstrap({"auc": statistic}, patients, seed=seed, draws=draws, level=level)["auc"]
    if area.reason or not all(constant(row) for row in np.atleast_2d(scores)):
        return area
    # No draw differs. At worst, or best, all who may have another score unseen are on one side.
    truths = np.atleast_2d(np.asarray(positive, dtype=bool))
    counts = [(patients.count_with(truth), patients.count_with(~truth)) for truth in truths]
    tied = float(np.mean([((1 - level) / 2) ** (1 / a + 1 / b) / 2 for a, b in counts]))
    return replace(area, low=tied, high=1 - tied, reason=CONSTANT)


def mean_auc_statistic(
    scores: npt.ArrayLike, positive: npt.ArrayLike, patients: Patients
) -> tuple[Statistic, str]:
    """Mean AUC of scores and truths, (k, n) or (n,), as a metric, and why there is none."""
    rows = _rows(scores, positive)
    reasons = (undefined_because(*row) for row in rows)
    areas = [auc_statistic(*row, patients) for row in rows]
    return average(areas, classes=np.ndim(positive) > 1), next(filter(None, reasons), "")


def _rows(scores: npt.ArrayLike, positive: npt.ArrayLike) -> list[tuple[Floats, Bools]]:
    """Scores and truths, each (k, n) or (n,), in pairs of (n,)."""
    truths = np.atleast_2d(positive)
    return [checked(row, truths[i % len(truths)]) for i, row in enumerate(np.atleast_2d(scores))]


def macro_auc_statistic(
    probabilities: npt.ArrayLike, classes: npt.ArrayLike, patients: Patients
) -> Statistic:
    """Mean AUC of each class against all others, as a statistic for `intervals.bootstrap`.

    Over the classes with positives and negatives, or NaN. Of two it is the AUC of the second.

    Args:
        probabilities: Of the classes, shape (n, k).
        classes: The true ones, 0 to k - 1, shape (n,).
        patients: Of the n units.
    """
    scores, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(classes)
    statistics = [
        auc_statistic(scores[:, code], truth == code, patients)
        for code in ([1] if scores.shape[1] == 2 else range(scores.shape[1]))
        if not undefined_because(scores[:, code], truth == code)
    ]
    return average(statistics, classes=True)


def macro_auc(probabilities: npt.ArrayLike, classes: npt.ArrayLike) -> float:
    """Mean AUC of each class against all others; NaN where no class has one."""
    everybody = Patients(np.arange(len(np.asarray(classes))), len(np.asarray(classes)))
    return float(point_estimate(macro_auc_statistic(probabilities, classes, everybody), everybody))


def macro_auc_estimate(
    probabilities: npt.ArrayLike,
    classes: npt.ArrayLike,
    patients: Patients,
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Estimate:
    """The macro AUC with its interval over patients; where no class has an AUC, NaN and why."""
    statistic = macro_auc_statistic(probabilities, classes, patients)
    if np.isnan(point_estimate(statistic, patients)):
        return undefined("no class has an AUC", patients)
    return bootstrap({"auc": statistic}, patients, seed=seed, draws=draws, level=level)["auc"]


def sensitivity_statistic(
    scores: npt.ArrayLike, positive: npt.ArrayLike, patients: Patients, *, specificity: float
) -> Statistic:
    """The largest sensitivity at no less than a specificity; the threshold moves with the draw."""
    ready = _Sorted.from_scores(*checked(scores, positive), patients)
    target = np.array([specificity])

    def statistic(counts: Floats) -> Floats:
        return np.array([ready.sensitivity(count, target)[0] for count in counts])

    return statistic


def threshold_at_sensitivity(
    scores: npt.ArrayLike, positive: npt.ArrayLike, sensitivity: float
) -> float:
    """The highest threshold at which no less than that share of the positive units is caught.

    Raises:
        DataError: There is no positive unit.
    """
    curve = roc_curve(scores, positive)
    if curve["sensitivity"].isna().any():
        raise DataError(f"a threshold at sensitivity {sensitivity:g} needs positive units.")
    enough = curve["sensitivity"] >= sensitivity - 1e-12
    return float(curve.loc[enough, "threshold"].iloc[0])


def operating_point(
    scores: npt.ArrayLike,
    positive: npt.ArrayLike,
    patients: Patients,
    *,
    threshold: float,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Sensitivity and specificity at a threshold that was chosen elsewhere, with intervals."""
    values, truth = checked(scores, positive)
    called = values >= threshold
    metrics = {
        "sensitivity": share(called, patients, truth, kind="patients with positives"),
        "specificity": share(~called, patients, ~truth, kind="patients with negatives"),
    }
    return bootstrap(metrics, patients, seed=seed, draws=draws, level=level)


def roc_band(
    scores: npt.ArrayLike,
    positive: npt.ArrayLike,
    patients: Patients,
    *,
    seed: int,
    draws: int = CURVE_DRAWS,
    level: float = LEVEL,
    points: int = 101,
) -> pd.DataFrame:
    """Sensitivity at evenly spaced specificities with its interval over patients, point by point.

    Of k questions, as `auc_estimate` takes them, the mean. specificity, sensitivity, low, high. The
    ends rise with the curve (isotonic regression): at a step the error of a point is large.
    """
    grid = np.linspace(0, 1, points)
    rows = _rows(scores, positive)
    ready = [_Sorted.from_scores(*row, patients) for row in rows]
    sensitivities = [
        share(truth, patients, truth, kind="patients with positives") for _, truth in rows
    ]
    metric = Metric.from_statistic(average(sensitivities, classes=len(rows) > 1), patients)

    def statistic(counts: Floats) -> Floats:
        means: Floats = np.mean([[r.sensitivity(c, grid) for c in counts] for r in ready], axis=0)
        return means

    drawn = replicate({"roc": statistic}, patients.count, seed=seed, draws=draws)["roc"]
    value = point_estimate(statistic, patients)
    estimates = [
        estimate(float(point), replicates, metric, patients, level)
        for point, replicates in zip(value, drawn.T, strict=True)
    ]
    low, high = (_falling([getattr(e, end) for e in estimates]) for end in ("low", "high"))
    return pd.DataFrame({"specificity": grid, "sensitivity": value, "low": low, "high": high})


def _falling(ends: Sequence[float]) -> Floats:
    """Ends (n,) by rising specificity, where a sensitivity can only fall; all NaN stay so."""
    falling = ends if np.isnan(ends).any() else isotonic_regression(ends, increasing=False)
    return np.array(falling)
