"""Estimates with intervals by bootstrap over patients.

Images of one patient resemble each other, so patients are drawn, never images: an interval over
images would be too narrow (Field & Welsh 2007). A draw says how often each patient was drawn.
Metrics are functions of such counts, so that a metric which is made of sums over patients costs one
matrix product for all draws, and the difference of two models, taken draw by draw, is paired over
patients.

The draws give the standard error; `limits` makes the ends of it. Below a least number of patients
there is no interval, but its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.errors import DataError
from second_look.evaluation.limits import p_value, real_limits, share_limits, skewness
from second_look.evaluation.resampling import replicate

Floats = npt.NDArray[np.float64]
# Counts of the patients in each draw, float64 (draws, patients), in; a number a draw, or an array
# (draws, ...), out; NaN where a draw leaves it undefined.
Statistic = Callable[[Floats], Floats]
# Why two models have no interval whose difference is 0 for every patient.
IDENTICAL = "the same answers for every patient"
# Bootstrap samples, of numbers and of whole curves, whose points are read by eye.
DRAWS, CURVE_DRAWS = 2000, 500
# Coverage of the intervals.
LEVEL = 0.95
# An interval is given where at least this share of the draws defines the metric; the others, which
# miss a class, are left out.
MIN_DEFINED = 0.8
# Patients from which on an interval covers what it says, by benchmarks/coverage.py: for shares
# (of the kind that the share is of), for means of skewed quantities, such as areas, and for
# differences and all other measures.
LEAST_FOR_SHARE, LEAST_FOR_MEAN, LEAST_FOR_OTHERS = 3, 25, 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: The estimate on all patients; NaN where it is undefined.
        low, high: Ends of the interval; NaN where there is none, infinite where none was reached.
        n: Observations.
        patients: Patients that they come from.
        reason: Why the value or its interval is undefined; "" where both are there.
        p: Of a difference: two-sided p that it is 0, by the method of the interval; else NaN.
    """

    value: float
    low: float
    high: float
    n: int
    patients: int
    reason: str = ""
    # Not compared: NaN would make equal estimates differ.
    p: float = field(default=float("nan"), compare=False)

    def __str__(self) -> str:
        return in_words(self.value, self.low, self.high, reason=self.reason)

    def mapped(self, function: Callable[[float], float]) -> Estimate:
        """The estimate of an increasing function of the number."""
        value, low, high = (function(number) for number in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high)


@dataclass(frozen=True)
class Patients:
    """Which observation comes from which patient.

    Attributes:
        codes: Place of each observation's patient among the patients, int64 (n,).
        count: Patients.
    """

    codes: npt.NDArray[np.int64]
    count: int

    @classmethod
    def from_ids(cls, ids: npt.ArrayLike) -> Patients:
        """From the patient of each observation, shape (n,)."""
        codes, names = pd.factorize(np.asarray(ids), sort=True)
        return cls(codes.astype(np.int64), len(names))

    def count_with(self, units: npt.NDArray[np.bool_]) -> int:
        """How many patients have one of these units, bool (n,)."""
        return len(np.unique(self.codes[units]))

    def sums(self, values: npt.ArrayLike) -> Floats:
        """Sum of a quantity (n,) over each patient's observations, float64 (patients,)."""
        numbers = np.broadcast_to(np.asarray(values, dtype=np.float64), self.codes.shape)
        sums = np.bincount(self.codes, weights=numbers, minlength=self.count)
        return sums.astype(np.float64)  # without any observation, bincount counts in integers


def in_words(value: float, low: float, high: float, form: str = ".3g", *, reason: str = "") -> str:
    """A number with its interval as people read it; without one, why it has none.

    Args:
        value: The number; NaN or infinite where it is undefined.
        low: Lower end of its interval; NaN where there is none.
        high: Upper end.
        form: How the numbers are written, such as ".1%".
        reason: Why the number or its interval is undefined, or what else is to be said of it.
    """
    if not np.isfinite(value):
        return f"undefined ({reason or 'too few patients'})"
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"{value:{form}} [{reason or 'too few patients for an interval'}]"
    remark = f" ({reason})" if reason else ""
    return f"{value:{form}} [{low:{form}}, {high:{form}}]{remark}"


@dataclass(frozen=True)
class Metric:
    """A statistic, and what its interval needs to know.

    Attributes:
        statistic: The function of counts.
        clusters: Kind, in words -> patients of that kind that the metric is made from.
        min_patients: Of each kind, for an interval.
        share: Whether it lies between 0 and 1; else it is unbounded.
        compared: The two that it is the difference of, if it is one.
        trials: Independent trials that a share of 0 or 1 is worth; 0 where none is known.
        units: The most independent units that a share can be worth, or a difference of two.
        tailed: Whether a long tail that nothing bounds is to be expected, as in a mean area.
    """

    statistic: Statistic
    clusters: Mapping[str, int]
    min_patients: int
    share: bool = False
    compared: tuple[Statistic, ...] = ()
    trials: int = 0
    units: float = math.inf
    tailed: bool = False

    def __call__(self, counts: Floats) -> Floats:
        """The metric in every draw."""
        return self.statistic(counts)

    @classmethod
    def from_statistic(cls, statistic: Statistic, patients: Patients) -> Metric:
        """A plain function is taken for an unbounded measure of all patients."""
        if isinstance(statistic, Metric):
            return statistic
        return cls(statistic, {"patients": patients.count}, LEAST_FOR_OTHERS)

    @property
    def shortage(self) -> str:
        """Why there is no interval: too few patients of a kind; "" where there are enough."""
        for kind, count in self.clusters.items():
            if count < self.min_patients:
                return f"too few {kind}: {count}, at least {self.min_patients}"
        total = sum(self.clusters.values())
        few = self.compared and total < LEAST_FOR_OTHERS
        return f"too few patients: {total}, at least {LEAST_FOR_OTHERS}" if few else ""


def undefined(reason: str, patients: Patients) -> Estimate:
    """What a metric is that these observations do not define."""
    nan = float("nan")
    return Estimate(nan, nan, nan, len(patients.codes), patients.count, reason)


def mean(values: npt.ArrayLike, patients: Patients, weights: npt.ArrayLike = 1.0) -> Metric:
    """Mean of a quantity over all observations; of one between 0 and 1, `share`.

    Args:
        values: One number an observation, shape (n,).
        patients: Their patients.
        weights: Of the observations, shape (n,), or one for all.
    """
    weight_array = np.broadcast_to(np.asarray(weights, dtype=np.float64), patients.codes.shape)
    sums, sizes = patients.sums(np.asarray(values) * weight_array), patients.sums(weight_array)

    def statistic(counts: Floats) -> Floats:
        return ratio(counts @ sums, counts @ sizes)

    return Metric(statistic, {"patients": int((sizes != 0).sum())}, LEAST_FOR_MEAN, tailed=True)


def share(
    values: npt.ArrayLike,
    patients: Patients,
    weights: npt.ArrayLike = 1.0,
    *,
    kind: str = "patients",
) -> Metric:
    """Mean of a quantity between 0 and 1, such as a share of the units or a mean Dice.

    Args:
        values: One number an observation, 0 to 1, shape (n,).
        patients: Their patients.
        weights: Of the observations, shape (n,), or one for all: those of one class, say.
        kind: What the patients are that have such observations, in words.
    """
    metric = mean(np.asarray(values, dtype=np.float64), patients, weights)
    weight_array = np.broadcast_to(np.asarray(weights, dtype=np.float64), patients.codes.shape)
    agreeing = metric.clusters["patients"]
    # Kish's size of a weighted sample; a mean of other numbers than 0 and 1 may be more certain.
    units = float(ratio(weight_array.sum() ** 2, (weight_array**2).sum()))
    units = units if np.isin(values, (0, 1)).all() else math.inf
    return Metric(
        metric.statistic, {kind: agreeing}, LEAST_FOR_SHARE,
        share=True, trials=agreeing, units=units,
    )  # fmt: skip


def ratio(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> Floats:
    """One over the other, NaN where the lower one is 0."""
    numerator, divisor = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    numerator, divisor = np.broadcast_arrays(numerator, divisor)
    nowhere = np.full(divisor.shape, np.nan)
    result: Floats = np.divide(numerator, divisor, out=nowhere, where=divisor != 0)
    return result


def difference(first: Statistic, second: Statistic) -> Statistic:
    """The first less the second, paired over patients: both see the same draws."""

    def statistic(counts: Floats) -> Floats:
        return first(counts) - second(counts)

    if not (isinstance(first, Metric) and isinstance(second, Metric)):
        return statistic
    mean_of_two = average([first, second])
    assert isinstance(mean_of_two, Metric)
    return replace(mean_of_two, statistic=statistic, share=False, compared=(first, second))


def average(statistics: Sequence[Statistic], *, classes: bool = False) -> Statistic:
    """Mean of several statistics of the same draws, such as those of a model's seeds.

    Args:
        statistics: Of the same patients.
        classes: Whether each is of another class: then each adds trials and units, no fewer than
            the class with the fewest.
    """

    def statistic(counts: Floats) -> Floats:
        if not statistics:
            return np.full(len(counts), np.nan)
        means: Floats = np.mean([statistic(counts) for statistic in statistics], axis=0)
        return means

    metrics = [metric for metric in statistics if isinstance(metric, Metric)]
    if not metrics or len(metrics) < len(statistics):
        return statistic
    parts = len(metrics) if classes else 1
    fewest = pd.DataFrame([metric.clusters for metric in metrics]).min()
    return Metric(
        statistic,
        {str(kind): int(count) for kind, count in fewest.items()},
        max(metric.min_patients for metric in metrics),
        share=all(metric.share for metric in metrics),
        compared=tuple(average(side) for side in zip(*(m.compared for m in metrics), strict=True)),
        trials=parts * min(metric.trials for metric in metrics),
        units=parts * min(metric.units for metric in metrics),
    )


def point_estimate(statistic: Statistic, patients: Patients) -> Floats:
    """A statistic of all observations as they are: a number, or an array."""
    result: Floats = statistic(np.ones((1, patients.count)))[0]
    return result


def bootstrap(
    statistics: Mapping[str, Statistic],
    patients: Patients,
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
    recentred: bool = False,
) -> dict[str, Estimate]:
    """Metrics with intervals, all from the same draws of patients.

    Args:
        statistics: Name -> metric, a number a draw; a plain function counts as a mean.
        patients: Of the observations that the metrics were made from.
        seed: Of the draws.
        draws: Bootstrap samples.
        level: Coverage of the intervals, 0 to 1.
        recentred: For metrics that grow with noise, as every calibration error does, since a draw
            adds the noise a second time: percentiles of the draws, moved so that their mean is the
            estimate.

    Raises:
        DataError: There are no observations.
    """
    replicates = replicate(statistics, patients.count, seed=seed, draws=draws)
    estimates = {}
    for name, statistic in statistics.items():
        value, drawn = float(point_estimate(statistic, patients)), replicates[name]
        metric = Metric.from_statistic(statistic, patients)
        estimates[name] = estimate(value, drawn, metric, patients, level, recentred=recentred)
    return estimates


def estimate(
    value: float,
    drawn: Floats,
    metric: Metric,
    patients: Patients,
    level: float = LEVEL,
    *,
    recentred: bool = False,
) -> Estimate:
    """A metric with its interval; the one rule for when there is none.

    Args:
        value: Of all observations.
        drawn: Of each draw of patients, shape (draws,), NaN where it is undefined.
        metric: What it is made from.
        patients: Of the observations.
        level: Coverage of the interval, 0 to 1.
        recentred: As of `bootstrap`.
    """
    if not np.isfinite(value):
        return undefined("too few observations of a kind that it needs", patients)
    nan, size = float("nan"), (len(patients.codes), patients.count)
    defined = drawn[np.isfinite(drawn)]
    reason = metric.shortage
    if not reason and defined.size < MIN_DEFINED * drawn.size:
        reason = f"undefined in {1 - defined.size / drawn.size:.0%} of the draws of patients"
    if reason:
        return Estimate(value, nan, nan, *size, reason)
    if recentred:
        ends = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) + value - defined.mean()
        return Estimate(value, float(ends[0]), float(ends[1]), *size)
    return _with_ends(Estimate(value, nan, nan, *size), defined, metric, level)


def _with_ends(result: Estimate, drawn: Floats, metric: Metric, level: float) -> Estimate:
    """An estimate with the ends that `limits` gives it, and p if it is a difference."""
    value, fewest = result.value, min(metric.clusters.values())
    # Draws of so few vary too little.
    error = float(drawn.std()) * math.sqrt(fewest / (fewest - 1))
    error = 0.0 if error <= 1e-12 * max(1.0, abs(value)) else error
    freedom = min(result.patients, sum(metric.clusters.values())) - len(metric.clusters)
    if metric.share:
        low, high = share_limits(
            value, error, freedom, trials=metric.trials, units=metric.units, level=level
        )
        return replace(result, low=low, high=high)
    perfect = [part(np.ones((1, result.patients)))[0] in (0, 1) for part in metric.compared]
    if metric.trials and perfect and all(perfect):
        # Nobody differs: at most as many patients do as a share of 0 allows.
        furthest = share_limits(0.0, 0.0, 1, trials=metric.trials, units=1.0, level=level)[1]
        return replace(result, low=value - furthest, high=value + furthest, p=float(value == 0))
    if metric.compared and value == error == 0:
        return replace(result, reason=IDENTICAL)
    skew = skewness(drawn, freedom, tailed=metric.tailed) if error else 0.0
    # As many units at least must differ as the difference is large.
    error = max(error, math.sqrt(abs(value) * max(0.0, 1 - abs(value)) / metric.units))
    low, high = real_limits(value, error, skew, freedom, level=level)
    p = p_value(value, error, skew, freedom) if metric.compared else result.p
    return replace(result, low=low, high=high, p=p)


def bootstrap_mean(
    values: npt.ArrayLike,
    patients: npt.ArrayLike,
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
    shares: bool = False,
) -> Estimate:
    """Mean of a quantity over all observations, with its interval over patients.

    Args:
        values: One number an observation, shape (n,).
        patients: The patient of each, shape (n,).
        seed: Of the draws.
        draws: Bootstrap samples.
        level: Coverage of the interval, 0 to 1.
        shares: Whether the quantity lies between 0 and 1.

    Raises:
        DataError: There are no values, or one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0 or not np.isfinite(numbers).all():
        raise DataError(f"a mean needs finite values. Got {numbers.size} of them.")
    patient_index = Patients.from_ids(patients)
    metric = (share if shares else mean)(numbers, patient_index)
    return bootstrap({"mean": metric}, patient_index, seed=seed, draws=draws, level=level)["mean"]
