"""Is a model miscalibrated, and how: slope, intercept, O:E, and the error that chance alone gives.

A calibration error is above 0 even for a perfect model, so it cannot say that a model is wrong.
What can (Cox 1958; Van Calster et al. 2016, 2019):

- slope of a logistic regression of the truth on the model's log odds, over test units: 1 where
  probabilities spread as they should, below 1 where they are too extreme (overconfident), above 1
  where they are not extreme enough (underconfident);
- intercept of the same regression with the slope held at 1: above 0 where risks are too low;
- O:E, observed over expected number of positives: below 1 where risks are too high.

Their intervals invert the score test. Its variance is taken over patients, since predictions of one
patient err together, or is that of independent units if this is larger: few patients can look alike
by chance. Such intervals hold their level on samples where an estimate with its standard error does
not, and need no draws. Where more than two classes are told apart, a unit is "positive" if the
most probable class is right, and its probability is that class's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri, softmax
from scipy.stats import t as student

from second_look.evaluation.calibration import EPSILON, Kind, bin_edges
from second_look.evaluation.intervals import LEVEL, Estimate, Floats, Patients, undefined
from second_look.evaluation.roc import Bools

# A verdict asks two questions, slope and O:E: each gets half of the error, so that a perfect model
# is called miscalibrated in 5 % of samples.
VERDICT_LEVEL = 1 - (1 - LEVEL) / 2
# Score of each patient, float64 (patients,), and its variance if all units were independent.
Scores = tuple[Floats, float]
# Where the search for numbers and ends stops. What lies at a bound is not known, but for O:E at 0.
SLOPES, INTERCEPTS, RATIOS = (-5.0, 20.0), (-20.0, 20.0), (0.0, 1000.0)
TEMPERATURES = (0.05, 20.0)
# So near to a bound a search has run into it.
_AT_BOUND = 1e-9
# Samples of a perfect model.
SIMULATIONS = 300
# Chance to find a miscalibration that counts as "could have been seen".
POWER = 0.8
NOTHING_SHOWN = "no miscalibration shown at this size"


@dataclass(frozen=True)
class Line:
    """Calibration of some units: each an estimate with its interval at `VERDICT_LEVEL`.

    Attributes:
        slope: Calibration slope.
        intercept: Calibration intercept, the slope held at 1.
        ratio: O:E.
    """

    slope: Estimate
    intercept: Estimate
    ratio: Estimate


def line(
    probability: Floats, true: Bools, patients: Patients, level: float = VERDICT_LEVEL
) -> Line:
    """Slope, intercept and O:E of probabilities (n,) against what came true, bool (n,)."""
    if true.all() or not true.any():
        missing = undefined("all units have one outcome", patients)
        return Line(missing, missing, missing)
    odds = _log_odds(probability)

    def of_intercept(value: float) -> Scores:
        fitted = expit(value + odds)
        return patients.sums(true - fitted), float((fitted * (1 - fitted)).sum())

    def of_ratio(value: float) -> Scores:
        expected = np.minimum(value * probability, 1.0)
        variance = float((expected * (1 - expected)).sum())
        return patients.sums(true - value * probability), variance

    slope = undefined("all probabilities are equal", patients)
    if np.ptp(odds) > 0:
        slope = _estimate(_slope_scores(odds, true, patients), SLOPES, patients, level)
    return Line(
        beyond(slope, SLOPES),
        beyond(_estimate(of_intercept, INTERCEPTS, patients, level), INTERCEPTS),
        beyond(_estimate(of_ratio, RATIOS, patients, level), (-np.inf, RATIOS[1])),
    )


def temperature(
    probabilities: Floats, classes: npt.NDArray[np.int64], patients: Patients, level: float = LEVEL
) -> Estimate:
    """The temperature of probabilities (n, k), with its interval over the n units' patients.

    Guo et al. 2017; its inverse is the slope of a logistic regression without intercept.
    """
    logits = np.log(np.maximum(probabilities, EPSILON))
    true = logits[np.arange(len(classes)), classes]

    def scores(inverse: float) -> Scores:
        fitted = softmax(inverse * logits, axis=1)
        mean = (fitted * logits).sum(axis=1)
        variance = (fitted * (logits - mean[:, None]) ** 2).sum()
        return patients.sums(true - mean), float(variance)

    inverse = _estimate(scores, (1 / TEMPERATURES[1], 1 / TEMPERATURES[0]), patients, level)
    if not np.isfinite(inverse.value):
        return inverse
    value, low, high = (1 / number for number in (inverse.value, inverse.high, inverse.low))
    return beyond(Estimate(value, low, high, inverse.n, inverse.patients), TEMPERATURES)


def beyond(searched: Estimate, bounds: tuple[float, float]) -> Estimate:
    """An estimate with what lies at a bound of the search made infinite, and the bound in words."""
    bottom, top = (number + sign * _AT_BOUND for number, sign in zip(bounds, (1, -1), strict=True))

    def unbounded(number: float) -> float:
        return -np.inf if number <= bottom else np.inf if number >= top else number

    value, low, high = map(unbounded, (searched.value, searched.low, searched.high))
    if np.isfinite([low, high]).all() or np.isnan(searched.low):
        return searched
    texts = {-np.inf: f"below the search's bound, {bounds[0]:g},",
             np.inf: f"beyond the search's bound, {bounds[1]:g}"}  # fmt: skip
    start, end = (texts.get(number, f"{number:.3g}") for number in (low, high))
    reason = start.rstrip(",") if low == high else f"{start} to {end.rstrip(',')}"
    return replace(searched, value=value, low=low, high=high, reason=reason)


def _log_odds(probability: Floats) -> Floats:
    result: Floats = logit(np.clip(probability, EPSILON, 1 - EPSILON))
    return result


def _slope_scores(odds: Floats, true: Bools, patients: Patients) -> Callable[[float], Scores]:
    """Scores for a slope, the intercept fitted to it and taken out."""

    def scores(slope: float) -> Scores:
        fitted = _fitted(slope * odds, true)
        weights = np.maximum(fitted * (1 - fitted), EPSILON)
        centred = odds - np.average(odds, weights=weights)
        return patients.sums(centred * (true - fitted)), float((weights * centred**2).sum())

    return scores


def _fitted(offsets: Floats, true: Bools) -> Floats:
    """Probabilities with the intercept that makes their mean that of the truth."""
    low, high = -offsets.max() - 40, -offsets.min() + 40
    share = float(true.mean())
    intercept = brentq(lambda value: float(expit(value + offsets).mean()) - share, low, high)
    result: Floats = expit(intercept + offsets)
    return result


def _estimate(
    scores: Callable[[float], Scores],
    bounds: tuple[float, float],
    patients: Patients,
    level: float,
) -> Estimate:
    """The number at which the patients' scores sum to 0, and where their test does not reject it.

    Args:
        scores: Of the patients at a number, falling in sum as it rises.
        bounds: Where numbers and ends are cut off: see `beyond`.
        patients: Of the units.
        level: Coverage of the interval.
    """
    if patients.count < 3:
        return undefined("too few patients", patients)
    limit = float(student.ppf((1 + level) / 2, patients.count - 1))

    def total(value: float) -> float:
        return float(scores(value)[0].sum())

    def statistic(value: float) -> float:
        by_patient, of_units = scores(value)
        over_patients = float(np.var(by_patient, ddof=1)) * patients.count
        return float(by_patient.sum() / np.sqrt(max(over_patients, of_units, EPSILON)))

    value = _crossing(total, 0.0, *bounds)
    low = _crossing(statistic, limit, bounds[0], value)
    high = _crossing(statistic, -limit, value, bounds[1])
    return Estimate(value, low, high, len(patients.codes), patients.count)


def _crossing(function: Callable[[float], float], level: float, low: float, high: float) -> float:
    """Where a falling function reaches a level; the end that is nearer to it if it never does."""
    if low >= high or function(low) <= level:
        return low
    if function(high) >= level:
        return high
    return float(brentq(lambda value: function(value) - level, low, high, xtol=1e-5))


def verdict(calibration: Line, *, binary: bool = True) -> str:
    """What the intervals of slope and O:E show of a model, in words.

    Args:
        calibration: Of test units.
        binary: Whether probabilities are risks; else they are those of the most probable class.
    """
    slope, ratio = calibration.slope, calibration.ratio
    if np.isnan(ratio.low):
        return f"not judged: {ratio.reason}"
    quantity = "risks" if binary else "confidence"
    verdicts = {
        "overconfident": slope.high < 1,
        "underconfident": slope.low > 1,
        f"{quantity} too high": ratio.high < 1,
        f"{quantity} too low": ratio.low > 1,
    }
    return ", ".join(name for name, is_shown in verdicts.items() if is_shown) or NOTHING_SHOWN


def detectable(estimate: Estimate, level: float = VERDICT_LEVEL) -> tuple[float, float]:
    """Below and above which numbers a miscalibration would have been found, mostly.

    From the width of the interval: a true number that far from 1 has the chance POWER that its
    interval misses 1.
    """
    power_quantile, half = float(ndtri(POWER)), float(ndtri((1 + level) / 2))
    distance = (estimate.high - estimate.low) / 2 * (1 + power_quantile / half)
    return max(0.0, 1 - distance), 1 + distance


def perfect_errors(
    probability: Floats,
    true: Bools,
    patients: Patients,
    *,
    bins: int,
    kind: Kind,
    seed: int,
    simulations: int = SIMULATIONS,
) -> Floats:
    """ECE that a perfectly calibrated model with these probabilities shows, sample by sample.

    What comes true is drawn from the probabilities themselves: as many units, in the same bins, and
    within patients as alike as they are in the data (a Gaussian copula).

    Args:
        probability: Stated, (n,).
        true: What came true, bool (n,): only for how alike the units of a patient are.
        patients: Of the n units.
        bins: Of the error.
        kind: Of the bins.
        seed: Of the samples.
        simulations: Samples.

    Returns:
        float64 (simulations,).
    """
    edges = bin_edges(probability, kind, bins)
    bin_index = np.clip(np.searchsorted(edges, probability, side="left") - 1, 0, len(edges) - 2)
    order = np.argsort(bin_index, kind="stable")
    starts = np.flatnonzero(np.diff(bin_index[order], prepend=-1))
    sorted_probability, codes = probability[order], patients.codes[order]
    limits = ndtri(np.clip(sorted_probability, EPSILON, 1 - EPSILON))
    shared = latent_correlation(probability, true, patients)
    rng = np.random.default_rng(seed)
    errors = np.empty(simulations)
    for sample in range(simulations):
        noise = np.sqrt(1 - shared) * rng.standard_normal(len(sorted_probability))
        noise += np.sqrt(shared) * rng.standard_normal(patients.count)[codes]
        gaps = np.add.reduceat(sorted_probability - (noise < limits), starts)
        errors[sample] = np.abs(gaps).sum() / len(sorted_probability)
    return errors


def latent_correlation(probability: Floats, true: Bools, patients: Patients) -> float:
    """How alike the units of a patient are beyond their probabilities, 0 to 1.

    The mean product of the residuals of two units of a patient, after recalibration (else every
    miscalibration would look like likeness), as the correlation of normal variables that are cut
    off: sin(π r / 2), exact for probabilities of 0.5 (Sheppard 1899).
    """
    if len(patients.codes) == patients.count or true.all() or not true.any():
        return 0.0
    odds = _log_odds(probability)
    slope = float(np.clip(line(probability, true, patients).slope.value, *SLOPES))
    fitted = _fitted((slope if np.isfinite(slope) else 1.0) * odds, true)
    residuals = (true - fitted) / np.sqrt(np.maximum(fitted * (1 - fitted), 1e-6))
    sizes = patients.sums(1.0)
    pairs = (sizes * (sizes - 1)).sum()
    products = (patients.sums(residuals) ** 2 - patients.sums(residuals**2)).sum()
    return float(np.sin(np.pi / 2 * np.clip(products / pairs, 0.0, 0.95)))
