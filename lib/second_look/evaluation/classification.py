"""Accuracy, balanced accuracy, recall by class, confusion, and what they are without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.errors import DataError
from second_look.evaluation.intervals import (
    DRAWS,
    LEAST_FOR_SHARE,
    LEVEL,
    Estimate,
    Floats,
    Metric,
    Patients,
    bootstrap,
    ratio,
    share,
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
    truth, answers = np.asarray(classes, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    for codes in (truth, answers):
        if codes.size and not 0 <= codes.min() <= codes.max() < count:
            raise DataError(
                f"classes must lie from 0 to {count - 1}. Got {codes.min()} to {codes.max()}."
            )
    return np.bincount(count * truth + answers, minlength=count**2).reshape(count, count)


def accuracy_statistic(hit: npt.ArrayLike, patients: Patients) -> Metric:
    """Share of the units that are right, for `intervals.bootstrap`; `hit` bool (n,)."""
    return share(hit, patients)


def balanced_accuracy_statistic(
    classes: npt.ArrayLike, predicted: npt.ArrayLike, patients: Patients
) -> Metric:
    """Mean recall over the classes that occur, for `intervals.bootstrap`.

    A draw that misses one of them leaves it undefined: the mean over the others is another number.
    """
    truth, answers = np.asarray(classes), np.asarray(predicted)
    present = np.unique(truth)
    right = np.stack(
        [patients.sums((truth == code) & (answers == code)) for code in present], axis=1
    )
    totals = np.stack([patients.sums(truth == code) for code in present], axis=1)
    held = (totals > 0).sum(axis=0)

    def statistic(counts: Floats) -> Floats:
        recalls: Floats = ratio(counts @ right, counts @ totals).mean(axis=1)
        return recalls

    clusters = {f"patients of class {code}": int(n) for code, n in zip(present, held, strict=True)}
    # A mean of 1 has as many independent trials as the rarest class, once for every class.
    trials = len(present) * int(held.min(initial=patients.count))
    return Metric(statistic, clusters, LEAST_FOR_SHARE, share=True, trials=trials)


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
    return bootstrap(statistics, patients, seed=seed, draws=draws, level=level)


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
    answers = scores.argmax(axis=1)
    statistics = {
        name: share(answers == code, patients, truth == code, kind=f"patients of class {name}")
        for code, name in enumerate(names)
    }
    recalls = bootstrap(statistics, patients, seed=seed, draws=draws, level=level)
    rows = []
    for code, name in enumerate(names):
        members = truth == code
        recall = recalls[name]
        area = auc(scores[:, code], members)
        rows.append(
            (
                name,
                int(members.sum()),
                patients.count_with(members),
                recall.value,
                recall.low,
                recall.high,
                area,
            )
        )
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
    training_counts = np.bincount(np.asarray(training, dtype=np.int64), minlength=count)
    test_counts = np.bincount(np.asarray(classes, dtype=np.int64), minlength=count)
    if not training_counts.sum() or not test_counts.sum():
        raise DataError(
            f"baselines need units. Got {training_counts.sum()} to learn from, {test_counts.sum()}."
        )
    guesses = {
        "always the commonest class": np.eye(count)[training_counts.argmax()],
        "a guess by frequency": training_counts / training_counts.sum(),
        "any class alike": np.full(count, 1 / count),
    }
    present = test_counts > 0
    rows = [
        (name, float(guess @ test_counts / test_counts.sum()), float(guess[present].mean()))
        for name, guess in guesses.items()
    ]
    return pd.DataFrame(rows, columns=["baseline", "accuracy", "balanced_accuracy"])
