"""Probabilities that mean what they say: fitted on validation units, applied to others.

One interface: `fit(method, probabilities, classes)` gives a `Recalibration`, whose `apply` turns
probabilities (n, k) into probabilities (n, k). All work on the logarithms of probabilities, which
are a network's logits up to a constant that softmax takes away:

- temperature: one number for all logits (Guo et al. 2017). Keeps the most probable class, and for
  two classes every rank, so accuracy and AUC stay as they are. With more classes, units may change
  their order within one class, as the other classes share out the rest anew.
- vector scaling: a factor and an offset for each class (Guo et al. 2017); for two classes this is
  beta calibration (Kull et al. 2017).
- Platt: a logistic regression on the log odds of each class against the rest (Platt 1999).
- isotonic: a rising step function of each class's probability (Zadrozny & Elkan 2002).

`PriorShift` moves probabilities to another prevalence; it is not fitted but follows from Bayes'
rule (Saerens et al. 2002; Elkan 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from second_look.errors import DataError
from second_look.evaluation.calibration import EPSILON, checked
from second_look.evaluation.intervals import Floats
from second_look.evaluation.miscalibration import TEMPERATURES
from second_look.evaluation.roc import Bools

Codes = npt.NDArray[np.int64]
# Fewer units than these fit noise.
MIN_UNITS = 10
_OFFSETS = (-20.0, 20.0)


class Recalibration(Protocol):
    """Probabilities in, better ones out."""

    def apply(self, probabilities: Floats) -> Floats:
        """Probabilities (n, k) -> probabilities (n, k)."""
        ...


def logarithms(probabilities: npt.ArrayLike) -> Floats:
    """Logarithms of probabilities, those of 0 at EPSILON."""
    result: Floats = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), EPSILON))
    return result


@dataclass(frozen=True)
class Temperature:
    """softmax(log p / temperature): above 1 the model was overconfident, below 1 underconfident.

    Attributes:
        temperature: Within TEMPERATURES; at an end of it the validation units set no limit.
    """

    temperature: float

    @classmethod
    def fit(cls, probabilities: Floats, classes: Codes) -> Temperature:
        """The temperature with the smallest negative log-likelihood."""
        logits, rows = logarithms(probabilities), np.arange(len(classes))

        def loss(log_temperature: float) -> float:
            scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
            return float(-scaled[rows, classes].mean())

        ends = np.log(TEMPERATURES)
        interior = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-7}).x
        # The ends come first: where classes separate perfectly, every low temperature has no loss.
        return cls(float(np.exp(min([*ends, interior], key=loss))))

    @property
    def at_its_bound(self) -> bool:
        """Whether the fit ran into an end of TEMPERATURES."""
        nearest = min(abs(np.log(self.temperature / end)) for end in TEMPERATURES)
        return bool(nearest < 1e-3)

    def apply(self, probabilities: Floats) -> Floats:
        """Probabilities (n, k) at this temperature."""
        result: Floats = softmax(logarithms(probabilities) / self.temperature, axis=1)
        return result


@dataclass(frozen=True)
class VectorScaling:
    """softmax(factors * log p + offsets), both (k,)."""

    factors: Floats
    offsets: Floats

    @classmethod
    def fit(cls, probabilities: Floats, classes: Codes) -> VectorScaling:
        """Factors and offsets with the smallest negative log-likelihood, within bounds."""
        logits, rows = logarithms(probabilities), np.arange(len(classes))
        count = logits.shape[1]
        truth = np.eye(count)[classes]

        def loss(values: Floats) -> tuple[float, Floats]:
            scaled = log_softmax(logits * values[:count] + values[count:], axis=1)
            missed = (np.exp(scaled) - truth) / len(classes)  # (n, k)
            slopes = np.concatenate([(missed * logits).sum(axis=0), missed.sum(axis=0)])
            return float(-scaled[rows, classes].mean()), slopes

        start = np.concatenate([np.ones(count), np.zeros(count)])
        factors = (1 / TEMPERATURES[1], 1 / TEMPERATURES[0])
        bounds = [factors] * count + [_OFFSETS] * count
        solution = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(solution[:count], solution[count:])

    def apply(self, probabilities: Floats) -> Floats:
        """Probabilities (n, k), each logit scaled and moved."""
        result: Floats = softmax(logarithms(probabilities) * self.factors + self.offsets, axis=1)
        return result


@dataclass(frozen=True)
class Platt:
    """expit(slope * log odds + offset) class by class, brought to a sum of one; both (k,)."""

    slopes: Floats
    offsets: Floats

    @classmethod
    def fit(cls, probabilities: Floats, classes: Codes) -> Platt:
        """Logistic regressions on Platt's softened targets, which keep the slopes finite."""
        lines = [
            _platt_line(scores, members) for scores, members in _one_vs_rest(probabilities, classes)
        ]
        return cls(*np.array(lines, dtype=np.float64).T)

    def apply(self, probabilities: Floats) -> Floats:
        """Probabilities (n, k)."""
        odds = _log_odds(_columns(probabilities))
        return _together(expit(odds * self.slopes + self.offsets))


def _log_odds(probabilities: Floats) -> Floats:
    result: Floats = logit(np.clip(probabilities, EPSILON, 1 - EPSILON))
    return result


def _platt_line(scores: Floats, members: Bools) -> tuple[float, float]:
    """Slope and offset for one class."""
    positives, negatives = int(members.sum()), int((~members).sum())
    target = np.where(members, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # A target between 0 and 1 is a unit that counts for both classes, in these shares.
    odds = np.tile(_log_odds(scores), 2)[:, None]
    truth = np.repeat([1, 0], len(scores))
    model = LogisticRegression(C=np.inf, max_iter=1000)
    model.fit(odds, truth, sample_weight=np.concatenate([target, 1 - target]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


@dataclass(frozen=True)
class Isotonic:
    """A step function class by class, brought to a sum of one.

    No probability is 0 or 1: what never happened in n validation units may happen yet, so the
    steps end at 1 / (n + 2) from either side.
    """

    curves: tuple[IsotonicRegression, ...]

    @classmethod
    def fit(cls, probabilities: Floats, classes: Codes) -> Isotonic:
        """scikit-learn's isotonic regression for each class."""
        lowest = 1 / (len(classes) + 2)
        curves = []
        for scores, members in _one_vs_rest(probabilities, classes):
            curve = IsotonicRegression(y_min=lowest, y_max=1 - lowest, out_of_bounds="clip")
            curves.append(curve.fit(scores, members.astype(float)))
        return cls(tuple(curves))

    def apply(self, probabilities: Floats) -> Floats:
        """Probabilities (n, k)."""
        columns = _columns(probabilities).T
        steps = [curve.predict(c) for curve, c in zip(self.curves, columns, strict=True)]
        return _together(np.stack(steps, axis=1))


def _columns(probabilities: Floats) -> Floats:
    """What is fitted one by one: each class, or of two classes the positive one only."""
    return probabilities[:, 1:] if probabilities.shape[1] == 2 else probabilities


def _one_vs_rest(probabilities: Floats, classes: Codes) -> list[tuple[Floats, Bools]]:
    count = probabilities.shape[1]
    codes = [1] if count == 2 else range(count)
    return [(probabilities[:, code], classes == code) for code in codes]


def _together(columns: Floats) -> Floats:
    """The probabilities of all classes from those that were fitted one by one."""
    if columns.shape[1] == 1:
        return np.concatenate([1 - columns, columns], axis=1)
    sums = columns.sum(axis=1, keepdims=True)
    result: Floats = columns / np.maximum(sums, EPSILON)
    return result


METHODS: Mapping[str, Callable[[Floats, Codes], Recalibration]] = {
    "temperature": Temperature.fit,
    "vector scaling": VectorScaling.fit,
    "Platt": Platt.fit,
    "isotonic": Isotonic.fit,
}


def fit(
    method: str,
    probabilities: npt.ArrayLike,
    classes: npt.ArrayLike,
    source: object = "validation units",
    names: Sequence[str] = (),
) -> Recalibration:
    """Fit one of METHODS.

    Args:
        method: Its name.
        probabilities: Of the classes, shape (n, k), of validation units only.
        classes: The true ones, shape (n,).
        source: Names the units in errors.
        names: Of the k classes, for errors.

    Raises:
        DataError: There are too few units to fit anything, a class has no example, or the
            probabilities do not sum to one.
    """
    if method not in METHODS:
        raise ValueError(f"a method is one of {', '.join(METHODS)}. Got {method!r}.")
    shares, truth = checked(probabilities, classes, source)
    if len(truth) < MIN_UNITS:
        raise DataError(
            f"{len(truth)} units are too few to fit {method}: at least {MIN_UNITS} are needed.",
            source,
            "Validate on more patients (val_share).",
        )
    per_class = np.bincount(truth, minlength=shares.shape[1])
    # One temperature can do without a class, as long as there are two to tell apart.
    missing = np.flatnonzero(per_class == 0)
    if len(missing) and (method != "temperature" or np.count_nonzero(per_class) < 2):
        name = names[missing[0]] if names else missing[0]
        raise DataError(
            f"class {name} has no example, and {method} needs one.",
            source,
            "Validate on more patients (val_share), or draw the split with another seed.",
        )
    return METHODS[method](shares, truth)


@dataclass(frozen=True)
class PriorShift:
    """Probabilities for a population where the classes are more or less frequent.

    Each probability is multiplied by how much more frequent its class is there, and all are
    brought to a sum of one. Right where the classes look alike in both populations (the pictures
    of a class are the same, only their number differs), and where the probabilities were right in
    the first.

    Attributes:
        was: Frequency of the classes where the probabilities come from, (k,).
        becomes: Their frequency where they are used, (k,).
    """

    was: tuple[float, ...]
    becomes: tuple[float, ...]

    def __post_init__(self) -> None:
        for shares in (self.was, self.becomes):
            if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
                raise DataError(
                    f"the frequencies of classes must be positive and sum to one. Got {shares}.",
                    remedy="Take more patients, so that no class is missing.",
                )

    @classmethod
    def of_positive(cls, was: float, becomes: float) -> PriorShift:
        """For two classes, from the prevalence of the positive one."""
        return cls((1 - was, was), (1 - becomes, becomes))

    def apply(self, probabilities: Floats) -> Floats:
        """Probabilities (n, k) there."""
        moved = probabilities * (np.array(self.becomes) / np.array(self.was))
        result: Floats = moved / moved.sum(axis=1, keepdims=True)
        return result


def prevalence_weights(positive: npt.ArrayLike, prevalence: float) -> Floats:
    """Weights (n,) that make the positive units (n,) that share of all; their sum is n.

    Raises:
        DataError: There is no positive or no negative unit.
    """
    truth = np.asarray(positive, dtype=bool)
    share = float(truth.mean()) if truth.size else 0.0
    if not 0 < share < 1:
        raise DataError(f"weights need positive and negative units. Got {share:.0%} positive.")
    return np.where(truth, prevalence / share, (1 - prevalence) / (1 - share))
