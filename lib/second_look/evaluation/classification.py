"""Accuracy, balanced accuracy, recall by class, confusion, and what they are without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.errors import DataError
from second_look.evaluation.intervals import (
    DRAWS,
    LEVEL,
    Estimate,
    Floats,
    Patients,
    Statistic,
    bootstrap,
    mean,
    of_share,
    ratio,
)
from second_look.evaluation.roc import auc

Codes = npt.NDArray[np.int64]


def confusion(classes: npt.ArrayLike, predicted: npt.ArrayLike, count: int) -> Codes:
    """How often each class (rows) was taken for each (columns), int64 (count, count).

    Args:
        classes: The true ones, 0 to count - 1, shape (n,).
        predicted: What the model says, shape (n,).
        count: Classes.

    Raises:
        DataError: A code is out of range.
    """
    truth, said = np.asarray(classes, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    for codes in (truth, said):
        if codes.size and not 0 <= codes.min() <= codes.max() < count:
            raise DataError(
                f"classes must lie from 0 to {count - 1}. Got {codes.min()} to {codes.max()}."
            )
    return np.bincount(count * truth + said, minlength=count**2).reshape(count, count)


def accuracy_statistic(hit: npt.ArrayLike, patients: Patients) -> Statistic:
    """Share of the units that are right, for `intervals.bootstrap`; `hit` bool (n,)."""
    return mean(np.asarray(hit, dtype=np.float64), patients)


def balanced_accuracy_statistic(
    classes: npt.ArrayLike, predicted: npt.ArrayLike, patients: Patients
) -> Statistic:
    """Mean recall over the classes that a draw holds, for `intervals.bootstrap`."""
    truth, said = np.asarray(classes), np.asarray(predicted)
    present = np.unique(truth)
    right = np.stack([patients.sums((truth == code) & (said == code)) for code in present], axis=1)
    there = np.stack([patients.sums(truth == code) for code in present], axis=1)

    def statistic(counts: Floats) -> Floats:
        recall = ratio(counts @ right, counts @ there)  # (draws, classes present)
        return ratio(np.nansum(recall, axis=1), np.isfinite(recall).sum(axis=1))

    return statistic


def measures(
    classes: npt.ArrayLike,
    predicted: npt.ArrayLike,
    patients: Patients,
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Accuracy and balanced accuracy with their intervals over patients.

    Args:
        classes: The true ones, shape (n,).
        predicted: What the model says, shape (n,).
        patients: Of the n units.
        seed: Of the draws.
        draws: Bootstrap samples.
        level: Coverage of the intervals.
    """
    hit = np.asarray(classes) == np.asarray(predicted)
    statistics = {
        "accuracy": accuracy_statistic(hit, patients),
        "balanced_accuracy": balanced_accuracy_statistic(classes, predicted, patients),
    }
    found = bootstrap(statistics, patients, seed=seed, draws=draws, level=level)
    return {**found, "accuracy": of_share(found["accuracy"], patients.count, level)}


def by_class(
    probabilities: npt.ArrayLike,
    classes: npt.ArrayLike,
    patients: Patients,
    names: Sequence[str],
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Recall of each class with its interval, and its AUC against all others.

    Args:
        probabilities: Of the classes, shape (n, k).
        classes: The true ones, shape (n,).
        patients: Of the n units.
        names: Of the k classes.
        seed: Of the draws.
        draws: Bootstrap samples.
        level: Coverage of the intervals.

    Returns:
        label, units, patients, recall, low, high, auc; NaN for a class without units.
    """
    scores, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(classes)
    said = scores.argmax(axis=1)
    statistics = {
        name: mean((said == code).astype(float), patients, truth == code)
        for code, name in enumerate(names)
    }
    found = bootstrap(statistics, patients, seed=seed, draws=draws, level=level)
    rows = []
    for code, name in enumerate(names):
        own = truth == code
        whose = patients.having(own)
        recall = of_share(found[name], whose, level)
        area = auc(scores[:, code], own)
        rows.append((name, int(own.sum()), whose, recall.value, recall.low, recall.high, area))
    columns = ["label", "units", "patients", "recall", "low", "high", "auc"]
    return pd.DataFrame(rows, columns=columns)


def baselines(training: npt.ArrayLike, classes: npt.ArrayLike, count: int) -> pd.DataFrame:
    """What is reached without looking at a picture.

    Args:
        training: Classes of the training units, shape (m,).
        classes: Classes of the units that are judged, shape (n,).
        count: Classes.

    Returns:
        baseline, accuracy, balanced_accuracy: always the commonest class of the training, a guess
        with the training's frequencies, and any class alike.

    Raises:
        DataError: There are no training units, or none to be judged.
    """
    seen = np.bincount(np.asarray(training, dtype=np.int64), minlength=count)
    judged = np.bincount(np.asarray(classes, dtype=np.int64), minlength=count)
    if not seen.sum() or not judged.sum():
        raise DataError(f"baselines need units. Got {seen.sum()} to learn from, {judged.sum()}.")
    guesses = {
        "always the commonest class": np.eye(count)[seen.argmax()],
        "a guess by frequency": seen / seen.sum(),
        "any class alike": np.full(count, 1 / count),
    }
    present = judged > 0
    rows = [
        (name, float(guess @ judged / judged.sum()), float(guess[present].mean()))
        for name, guess in guesses.items()
    ]
    return pd.DataFrame(rows, columns=["baseline", "accuracy", "balanced_accuracy"])
