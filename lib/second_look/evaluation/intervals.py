"""Estimates with intervals by bootstrap over patients.

Images of one patient resemble each other, so patients are drawn, never images: an interval over
images would be too narrow (Efron & Tibshirani 1993, ch. 8).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.errors import DataError


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: The estimate on all patients.
        low, high: Ends of the percentile interval.
        n: Observations.
        patients: Patients that they come from.
    """

    value: float
    low: float
    high: float
    n: int
    patients: int

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap_mean(
    values: npt.ArrayLike,
    patients: npt.ArrayLike,
    *,
    seed: int,
    draws: int = 2000,
    level: float = 0.95,
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
    grouped = pd.Series(numbers).groupby(np.asarray(patients), sort=True).agg(["sum", "size"])
    count = len(grouped)
    rng = np.random.default_rng(seed)
    # How often each patient is drawn, (draws, patients): the mean of a draw is a ratio of sums.
    weights = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    means = (weights @ grouped["sum"].to_numpy()) / (weights @ grouped["size"].to_numpy())
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(numbers.mean()), float(low), float(high), numbers.size, count)
