"""Accuracy and its kin against scikit-learn, baselines against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from second_look.errors import DataError
from second_look.evaluation import classification as cls
from second_look.evaluation.intervals import Patients
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    recall_score,
    roc_auc_score,
)

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def answers():
    """Probabilities, truth, patients: three units each, the last class rare."""
    rng = np.random.default_rng(0)
    truth = rng.choice(4, size=240, p=[0.6, 0.2, 0.15, 0.05])
    raw = rng.random((240, 4)) + 0.4 * np.eye(4)[truth]
    return raw / raw.sum(axis=1, keepdims=True), truth, Patients.from_ids(np.arange(240) // 3)


def test_confusion_is_sklearns(answers):
    shares, truth, _ = answers
    answers = shares.argmax(axis=1)
    actual = cls.confusion(truth, answers, 4)
    np.testing.assert_array_equal(actual, confusion_matrix(truth, answers, labels=range(4)))
    with pytest.raises(DataError, match="classes must lie from 0 to 2"):
        cls.confusion([0], [3], 3)


def test_accuracies_are_sklearns_in_every_draw(answers):
    shares, truth, patients = answers
    answers = shares.argmax(axis=1)
    result = cls.measures(truth, answers, patients, seed=0, draws=200)
    assert result["accuracy"].value == pytest.approx(accuracy_score(truth, answers))
    assert result["balanced_accuracy"].value == pytest.approx(
        balanced_accuracy_score(truth, answers)
    )
    for estimate in result.values():
        assert estimate.low < estimate.value < estimate.high
    counts = np.random.default_rng(1).multinomial(80, np.full(80, 1 / 80), size=10).astype(float)
    drawn = cls.balanced_accuracy_statistic(truth, answers, patients)(counts)
    for count, actual in zip(counts, drawn, strict=True):
        weights = count[patients.codes]
        reference = balanced_accuracy_score(truth, answers, sample_weight=weights)
        assert actual == pytest.approx(reference)


def test_classes_one_by_one(answers):
    shares, truth, patients = answers
    table = cls.by_class(shares, truth, patients, NAMES, seed=0, draws=200)
    expected = recall_score(truth, shares.argmax(axis=1), average=None)
    np.testing.assert_allclose(table["recall"], expected)
    areas = [roc_auc_score(truth == code, shares[:, code]) for code in range(4)]
    np.testing.assert_allclose(table["auc"], areas)
    assert table["units"].sum() == 240
    assert (table["patients"] <= np.minimum(table["units"], 80)).all()
    assert (table["low"] <= table["recall"]).all()


def test_a_class_without_units_has_no_recall(answers):
    shares, truth, _ = answers
    present = truth != 3
    table = cls.by_class(
        shares[present],
        truth[present],
        Patients.from_ids(range(present.sum())),
        NAMES,
        seed=0,
        draws=20,
    )
    assert table["units"].iloc[3] == 0
    assert table.loc[3, ["recall", "low", "high", "auc"]].isna().all()


def test_baselines_are_what_guessing_reaches():
    rng = np.random.default_rng(2)
    training = rng.choice(3, size=1000, p=[0.2, 0.7, 0.1])
    truth = rng.choice(3, size=20_000, p=[0.5, 0.3, 0.2])
    table = cls.baselines(training, truth, 3).set_index("baseline")
    shares = np.bincount(training) / 1000
    guesses = {
        "always the commonest class": np.ones(20_000, int),
        "a guess by frequency": rng.choice(3, size=20_000, p=shares),
        "any class alike": rng.integers(3, size=20_000),
    }
    for name, answers in guesses.items():
        assert table.loc[name, "accuracy"] == pytest.approx((answers == truth).mean(), abs=0.015)
        expected = balanced_accuracy_score(truth, answers)
        assert table.loc[name, "balanced_accuracy"] == pytest.approx(expected, abs=0.015)


def test_baselines_without_units_are_refused():
    with pytest.raises(DataError, match="Got 0 to learn from, 2"):
        cls.baselines([], [0, 1], 2)
