"""Estimates with intervals by bootstrap over patients.

Images of one patient resemble each other, so patients are drawn, never images: an interval over
images would be too narrow (Efron & Tibshirani 1993, ch. 8). A draw says how often each patient was
drawn. Metrics are functions of such counts, so that a metric which is made of sums over patients
costs one matrix product for all draws, and the difference of two models, taken draw by draw, is
paired over patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.errors import DataError

Floats = npt.NDArray[np.float64]
# Counts of the patients in each draw, float64 (draws, patients), in; a number a draw, or an array
# (draws, ...), out; NaN where a draw leaves it undefined.
Statistic = Callable[[Floats], Floats]
# Numbers in a block of counts: fits the cache, whatever the number of patients.
BLOCK = 1 << 18
# Bootstrap samples, of numbers and of whole curves, whose points are read by eye.
DRAWS, CURVE_DRAWS = 2000, 500
# Coverage of the intervals.
LEVEL = 0.95
# An interval is given where at least this share of the draws defines the metric.
MIN_DEFINED = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: The estimate on all patients; NaN where it is undefined.
        low, high: Ends of the percentile interval; NaN where there is none.
        n: Observations.
        patients: Patients that they come from.
        reason: Why the value or its interval is undefined; "" where both are there.
    """

    value: float
    low: float
    high: float
    n: int
    patients: int
    reason: str = ""

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
        value: The number; NaN where it is undefined.
        low: Lower end of its interval; NaN where there is none.
        high: Upper end.
        form: How the numbers are written, such as ".1%".
        reason: Why the number or its interval is undefined, or what else is to be said of it.
    """
    if np.isnan(value):
        return f"undefined ({reason or 'too few patients'})"
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"{value:{form}} [{reason or 'too few patients for an interval'}]"
    remark = f" ({reason})" if reason else ""
    return f"{value:{form}} [{low:{form}}, {high:{form}}]{remark}"


def share_estimate(estimate: Estimate, patients: int, level: float = LEVEL) -> Estimate:
    """An estimate of a share, with the exact interval where all units agree.

    There no draw differs from another, and a bootstrap would claim certainty: the interval is that
    of as many independent patients of whom all agree (Clopper & Pearson 1934).

    Args:
        estimate: A share, 0 to 1.
        patients: Whose units it is a share of.
        level: Coverage of the interval.
    """
    if estimate.value not in (0.0, 1.0) or not patients:
        return estimate
    far = ((1 - level) / 2) ** (1 / patients)
    ends = (0.0, 1 - far) if estimate.value == 0.0 else (far, 1.0)
    return replace(estimate, low=ends[0], high=ends[1], reason="")


def undefined(reason: str, patients: Patients) -> Estimate:
    """What a metric is that these observations do not define."""
    nan = float("nan")
    return Estimate(nan, nan, nan, len(patients.codes), patients.count, reason)


def mean(values: npt.ArrayLike, patients: Patients, weights: npt.ArrayLike = 1.0) -> Statistic:
    """Mean of a quantity over all observations, as a statistic.

    Args:
        values: One number an observation, shape (n,).
        patients: Their patients.
        weights: Of the observations, shape (n,), or one for all.
    """
    shares = np.broadcast_to(np.asarray(weights, dtype=np.float64), patients.codes.shape)
    sums, sizes = patients.sums(np.asarray(values) * shares), patients.sums(shares)

    def statistic(counts: Floats) -> Floats:
        return ratio(counts @ sums, counts @ sizes)

    return statistic


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

    return statistic


def average(statistics: Sequence[Statistic]) -> Statistic:
    """Mean of several statistics of the same draws, such as those of a model's seeds."""

    def statistic(counts: Floats) -> Floats:
        if not statistics:
            return np.full(len(counts), np.nan)
        means: Floats = np.mean([statistic(counts) for statistic in statistics], axis=0)
        return means

    return statistic


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
    """Metrics with percentile intervals, all from the same draws of patients.

    Args:
        statistics: Name -> metric, a number a draw.
        patients: Of the observations that the metrics were made from.
        seed: Of the draws.
        draws: Bootstrap samples.
        level: Coverage of the intervals, 0 to 1.
        recentred: Move the draws so that their mean is the estimate. For metrics that grow with
            noise, as every calibration error does: a draw adds the noise a second time.

    Raises:
        DataError: There are no observations.
    """
    replicates = replicate(statistics, patients, seed=seed, draws=draws)
    estimates = {}
    for name, statistic in statistics.items():
        value, drawn = float(point_estimate(statistic, patients)), replicates[name]
        if recentred and np.isfinite(drawn).any():
            drawn = drawn + (value - np.nanmean(drawn))
        estimates[name] = estimate(value, drawn, patients, level)
    return estimates


def estimate(value: float, drawn: Floats, patients: Patients, level: float = LEVEL) -> Estimate:
    """A metric with its percentile interval; the one rule for when there is none.

    Args:
        value: Of all observations.
        drawn: Of each draw of patients, shape (draws,), NaN where it is undefined.
        patients: Of the observations.
        level: Coverage of the interval, 0 to 1.
    """
    if not np.isfinite(value):
        return undefined("too few observations of a kind that it needs", patients)
    size = (len(patients.codes), patients.count)
    defined = drawn[np.isfinite(drawn)]
    if defined.size < MIN_DEFINED * drawn.size:
        reason = f"undefined in {1 - defined.size / drawn.size:.0%} of the draws of patients"
        return Estimate(value, float("nan"), float("nan"), *size, reason)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), *size)


def replicate(
    statistics: Mapping[str, Statistic], patients: Patients, *, seed: int, draws: int
) -> dict[str, Floats]:
    """Name -> the statistic in every draw, float64 (draws, ...).

    Raises:
        DataError: There are no observations.
    """
    if patients.count == 0:
        raise DataError("a bootstrap needs at least one patient. Got none.")
    parts: dict[str, list[Floats]] = {name: [] for name in statistics}
    for counts in _drawn(patients.count, seed, draws):
        for name, statistic in statistics.items():
            parts[name].append(statistic(counts))
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}


def _drawn(count: int, seed: int, draws: int) -> Iterator[Floats]:
    """How often each patient is drawn, float64 (some draws, patients), block after block."""
    rng = np.random.default_rng(seed)
    block_rows = max(1, BLOCK // count)
    for start in range(0, draws, block_rows):
        rows = min(block_rows, draws - start)
        # A multinomial of equal chances, three times sooner than numpy's.
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * count)
        yield counts.reshape(rows, count).astype(np.float64)


def bootstrap_mean(
    values: npt.ArrayLike,
    patients: npt.ArrayLike,
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Estimate:
    """Mean of a quantity over all observations, with its interval over patients.

    Args:
        values: One number an observation, shape (n,).
        patients: The patient of each, shape (n,).
        seed: Of the draws.
        draws: Bootstrap samples.
        level: Coverage of the interval, 0 to 1.

    Raises:
        DataError: There are no values, or one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0 or not np.isfinite(numbers).all():
        raise DataError(f"a mean needs finite values. Got {numbers.size} of them.")
    patient_index = Patients.from_ids(patients)
    estimates = bootstrap(
        {"mean": mean(numbers, patient_index)}, patient_index, seed=seed, draws=draws, level=level
    )
    return estimates["mean"]
