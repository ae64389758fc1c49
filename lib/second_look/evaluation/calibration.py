"""Do probabilities mean what they say? Calibration errors, proper scores, reliability.

What is compared depends on the number of classes: for two, the probability of the positive one
with how often it is positive; for more, the probability of the most probable class with how often
it is right (Guo et al. 2017). Predictions are grouped into bins by that probability:

- ECE: mean gap between probability and frequency over the bins (Naeini et al. 2015), in bins of
  equal width or of equal mass (as many predictions each); MCE: the largest gap.
- Every finite sample shows a gap, even that of a perfectly calibrated model. The debiased error
  takes from each squared gap the variance that chance gives it (Bröcker 2012; Ferro & Fricker
  2012; Kumar et al. 2019). The variance is taken over patients, as predictions of one patient err
  together. It is a root of a mean square, so it would exceed an ECE that had no bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.errors import DataError
from second_look.evaluation.intervals import (
    LEVEL,
    Estimate,
    Floats,
    Patients,
    Statistic,
    bootstrap,
    mean,
    point_estimate,
    ratio,
    share,
)
from second_look.evaluation.predictions import SUM_TOLERANCE

# Probabilities are kept this far from 0 where their logarithm is taken.
EPSILON = 1e-12
Kind = Literal["width", "mass"]
# Metrics that grow with noise, so that their draws have to be moved: see intervals.bootstrap.
ERRORS = ("ece", "ece_mass", "debiased", "mce")
MEASURES = (*ERRORS, "nll", "brier")


def checked(
    probabilities: npt.ArrayLike, classes: npt.ArrayLike, source: object = "probabilities"
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Probabilities (n, k) that sum to exactly one, and true classes (n,).

    Raises:
        DataError: They are not probabilities of two or more classes, do not sum to one, or a
            class is out of range; names the row.
    """
    shares, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(classes)
    if shares.ndim != 2 or shares.shape[1] < 2 or truth.shape != shares.shape[:1]:
        raise DataError(
            f"expected probabilities (n, k) and classes (n,). Got {shares.shape}, {truth.shape}.",
            source,
        )
    sums = shares.sum(axis=1)
    wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE) | (shares < 0).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"row {row} holds {shares[row]}, which do not sum to one.", source)
    if truth.size and not 0 <= truth.min() <= truth.max() < shares.shape[1]:
        raise DataError(
            f"classes must lie from 0 to {shares.shape[1] - 1}. Got {truth.min()} to "
            f"{truth.max()}.",
            source,
        )
    return shares / sums[:, None], truth.astype(np.int64)


def two_columns(scores: npt.ArrayLike) -> Floats:
    """Probabilities of negative and positive (n, 2) from those of positive (n,)."""
    positive = np.asarray(scores, dtype=np.float64)
    return np.stack([1 - positive, positive], axis=1)


def stated_outcomes(
    probabilities: Floats, classes: npt.NDArray[np.int64]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The probabilities that are judged, and whether each came true, both (n,)."""
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], classes == 1
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == classes


def nll(probabilities: Floats, classes: npt.NDArray[np.int64]) -> Floats:
    """Negative logarithm of the true class's probability, (n,)."""
    true_class = probabilities[np.arange(len(classes)), classes]
    result: Floats = -np.log(np.maximum(true_class, EPSILON))
    return result


def brier(probabilities: Floats, classes: npt.NDArray[np.int64]) -> Floats:
    """Squared distance from the truth (n,): up to 1 for two classes, 2 for more (Brier 1950)."""
    missed = probabilities.copy()
    missed[np.arange(len(classes)), classes] -= 1
    squared: Floats = (missed**2).sum(axis=1)
    return squared / 2 if probabilities.shape[1] == 2 else squared


def bin_edges(stated_probabilities: npt.ArrayLike, kind: Kind, bins: int) -> Floats:
    """Ends of the bins, from 0 to 1: equally wide, or with as many predictions in each.

    Bins of equal mass are fewer where many predictions are equal.
    """
    if kind == "width":
        return np.linspace(0, 1, bins + 1)
    values = np.asarray(stated_probabilities, dtype=np.float64)
    inner = np.quantile(values, np.arange(1, bins) / bins, method="higher")
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


@dataclass(frozen=True)
class Binned:
    """Predictions by patient and bin: what all calibration errors are made of.

    Attributes:
        size: Weight of the predictions, float64 (patients, bins).
        probability: Sum of their probabilities, the same shape.
        true: Sum of those that came true, the same shape.
    """

    size: Floats
    probability: Floats
    true: Floats

    @classmethod
    def from_predictions(
        cls,
        probability: Floats,
        true: npt.NDArray[np.bool_],
        patients: Patients,
        edges: Floats,
        weights: npt.ArrayLike = 1.0,
    ) -> Binned:
        """Sort predictions into the bins (low, high]; 0 goes into the first."""
        bins = len(edges) - 1
        bin_index = np.clip(np.searchsorted(edges, probability, side="left") - 1, 0, bins - 1)
        cells = Patients(patients.codes * bins + bin_index, patients.count * bins)
        shares = np.broadcast_to(np.asarray(weights, dtype=np.float64), probability.shape)
        parts = (shares, shares * probability, shares * true)
        return cls(*(cells.sums(part).reshape(patients.count, bins) for part in parts))

    def gaps(self, counts: Floats) -> tuple[Floats, Floats]:
        """Share of the predictions in each bin, and its gap: both (draws, bins), NaN if empty."""
        size = counts @ self.size
        return ratio(size, size.sum(axis=1, keepdims=True)), ratio(
            counts @ (self.probability - self.true), size
        )

    def ece(self, counts: Floats) -> Floats:
        """Expected calibration error: mean gap, each bin by its share."""
        shares, gaps = self.gaps(counts)
        result: Floats = np.nansum(shares * np.abs(gaps), axis=1)
        return result

    def mce(self, counts: Floats) -> Floats:
        """Maximum calibration error: the largest gap of all bins that are not empty."""
        gaps = np.abs(self.gaps(counts)[1])
        result: Floats = np.where(np.isnan(gaps), 0.0, gaps).max(axis=1)
        return result

    def squared_error(self, counts: Floats) -> Floats:
        """Mean square of the gaps without what chance adds to it; may fall below 0.

        A bin that only one patient is in cannot tell error from chance, and counts 0.
        """
        shares, gaps = self.gaps(counts)
        size, missed = counts @ self.size, self.probability - self.true
        # Sum over patients of (missed - gap * size)², multiplied out: one product for all draws.
        squares = (
            counts @ missed**2
            - 2 * gaps * (counts @ (missed * self.size))
            + gaps**2 * (counts @ self.size**2)
        )
        drawn = counts @ (self.size > 0)
        variance = ratio(drawn, drawn - 1) * ratio(squares, size**2)
        result: Floats = np.nansum(shares * (gaps**2 - variance), axis=1)
        return result


def ece(
    probabilities: npt.ArrayLike, classes: npt.ArrayLike, *, bins: int, kind: Kind = "width"
) -> float:
    """Expected calibration error of probabilities (n, k) against classes (n,)."""
    stated_probabilities, correct = stated_outcomes(*checked(probabilities, classes))
    everybody = Patients(np.arange(len(stated_probabilities)), len(stated_probabilities))
    binned = Binned.from_predictions(
        stated_probabilities, correct, everybody, bin_edges(stated_probabilities, kind, bins)
    )
    return float(point_estimate(binned.ece, everybody))


def statistics(
    probabilities: npt.ArrayLike,
    classes: npt.ArrayLike,
    patients: Patients,
    *,
    weights: npt.ArrayLike = 1.0,
    bins: int,
) -> dict[str, Statistic]:
    """MEASURES as statistics for `intervals.bootstrap`; "debiased" is still squared.

    Args:
        probabilities: Of the classes, shape (n, k).
        classes: The true ones, shape (n,).
        patients: Of the n units.
        weights: Of the units, shape (n,): another prevalence, say.
        bins: Of the calibration errors. Their ends stay where they are in every draw.
    """
    shares, truth = checked(probabilities, classes)
    stated_probabilities, correct = stated_outcomes(shares, truth)
    by_width, by_mass = (
        Binned.from_predictions(
            stated_probabilities,
            correct,
            patients,
            bin_edges(stated_probabilities, kind, bins),
            weights,
        )
        for kind in ("width", "mass")
    )
    return {
        "ece": by_width.ece,
        "ece_mass": by_mass.ece,
        "debiased": by_mass.squared_error,
        "mce": by_width.mce,
        "nll": mean(nll(shares, truth), patients, weights),
        # Of two classes it lies between 0 and 1.
        "brier": (share if shares.shape[1] == 2 else mean)(brier(shares, truth), patients, weights),
    }


def measures(
    probabilities: npt.ArrayLike,
    classes: npt.ArrayLike,
    patients: Patients,
    *,
    seed: int,
    draws: int,
    level: float = LEVEL,
    weights: npt.ArrayLike = 1.0,
    bins: int,
) -> dict[str, Estimate]:
    """Every one of MEASURES with its interval over patients; arguments as of `statistics`.

    Raises:
        DataError: The probabilities do not sum to one, or a class is out of range.
    """
    metrics = statistics(probabilities, classes, patients, weights=weights, bins=bins)
    return estimates(metrics, patients, seed=seed, draws=draws, level=level)


def estimates(
    metrics: dict[str, Statistic],
    patients: Patients,
    *,
    seed: int,
    draws: int,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Intervals of what `statistics` gives: the errors recentred, and none of them below 0."""
    result: dict[str, Estimate] = {}
    for recentred in (True, False):
        chosen = {name: metric for name, metric in metrics.items() if (name in ERRORS) is recentred}
        result |= bootstrap(
            chosen, patients, seed=seed, draws=draws, level=level, recentred=recentred
        )
    for name in set(result) & set(ERRORS):
        result[name] = result[name].mapped(lambda number: max(0.0, number))
    result["debiased"] = result["debiased"].mapped(np.sqrt)
    return {name: result[name] for name in metrics}


def reliability(
    probabilities: npt.ArrayLike,
    classes: npt.ArrayLike,
    patients: Patients,
    *,
    kind: Kind,
    seed: int,
    draws: int,
    level: float = LEVEL,
    bins: int,
) -> pd.DataFrame:
    """What was said against what came true, bin by bin; empty bins are left out.

    Returns:
        low_edge, high_edge, units, patients, probability (mean), frequency (of coming true) with
        its interval over patients: low, high; NaN where more than 5 % of the draws miss the bin.
    """
    stated_probabilities, correct = stated_outcomes(*checked(probabilities, classes))
    edges = bin_edges(stated_probabilities, kind, bins)
    binned = Binned.from_predictions(stated_probabilities, correct, patients, edges)

    bins_of_units = np.clip(
        np.searchsorted(edges, stated_probabilities, side="left") - 1, 0, len(edges) - 2
    )
    metrics = {
        str(index): share(correct, patients, bins_of_units == index, kind="patients in the bin")
        for index in range(len(edges) - 1)
    }
    shares = bootstrap(metrics, patients, seed=seed, draws=draws, level=level).values()
    units, patient_counts = binned.size.sum(axis=0), (binned.size > 0).sum(axis=0)
    table = pd.DataFrame(
        {
            "low_edge": edges[:-1],
            "high_edge": edges[1:],
            "units": units.astype(int),
            "patients": patient_counts,
            "probability": ratio(binned.probability.sum(axis=0), units),
            "frequency": [share.value for share in shares],
            "low": [share.low for share in shares],
            "high": [share.high for share in shares],
        }
    )
    return table[units > 0].reset_index(drop=True)


def bands(
    probabilities: npt.ArrayLike,
    classes: npt.ArrayLike,
    patients: Patients,
    *,
    edges: npt.ArrayLike,
    seed: int,
    draws: int,
    level: float = LEVEL,
) -> pd.DataFrame:
    """How often the most probable class is wrong, by how sure the model is of it.

    Args:
        probabilities: Of the classes, shape (n, k).
        classes: The true ones, shape (n,).
        patients: Of the n units.
        edges: Rising confidences; a band goes from one, included, to the next, and the last to 1.
        seed: Of the draws.
        draws: Bootstrap samples.
        level: Coverage of the intervals.

    Returns:
        from, to, units, confidence (mean), promised (the error it stands for), observed (the
        error found) with its interval: low, high; NaN for a band without units.
    """
    shares, truth = checked(probabilities, classes)
    sure, wrong = shares.max(axis=1), shares.argmax(axis=1) != truth
    starts = np.asarray(edges, dtype=np.float64)
    in_bands = [
        (sure >= start) & ((sure < end) | (end >= 1))
        for start, end in zip(starts, np.append(starts[1:], 1.0), strict=True)
    ]
    errors = bootstrap(
        {str(index): share(wrong, patients, in_band) for index, in_band in enumerate(in_bands)},
        patients,
        seed=seed,
        draws=draws,
        level=level,
    )
    rows = []
    for index, in_band in enumerate(in_bands):
        error = errors[str(index)]
        end = starts[index + 1] if index + 1 < len(starts) else 1.0
        confidence = float(sure[in_band].mean()) if in_band.any() else float("nan")
        ends = (starts[index], end, int(in_band.sum()), confidence, 1 - confidence)
        rows.append((*ends, error.value, error.low, error.high))
    columns = ["from", "to", "units", "confidence", "promised", "observed", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
