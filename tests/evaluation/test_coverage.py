"""Intervals cover a known truth as often as they say, and small samples get honest ones or none."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from second_look.evaluation import classification, roc
from second_look.evaluation.intervals import Patients, bootstrap, bootstrap_mean

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def study():
    """benchmarks/coverage.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("coverage_study", BENCHMARKS / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("measure", "truth", "patients"),
    [("share", 0.8, 4), ("mean Dice", None, 5), ("AUC", 0.9, 16), ("balanced accuracy", None, 28)],
)
def test_intervals_cover_where_percentiles_do_not(study, measure, truth, patients):
    case = next(
        case for case in study.cases() if case.measure == measure and truth in (None, case.truth)
    )
    rows = study.coverage(case, patients, repeats=120, draws=150)
    coverage = {row["method"]: row["coverage"] for row in rows}
    assert coverage["t"] >= 0.93 - 3 * np.sqrt(0.05 * 0.95 / 120)
    assert coverage["t"] > coverage["percentiles"]


def test_every_measured_size_that_gets_an_interval_covers():
    table = pd.read_csv(BENCHMARKS / "results" / "coverage.csv")
    with_interval = table[(table["method"] == "t") & (table["given"] > 0.5)]
    assert (with_interval["coverage"] + 2 * with_interval["error"] >= 0.93).all()
    assert with_interval["coverage"].mean() >= 0.94
    assert set(with_interval["measure"]) == set(table["measure"])


def test_one_patient_has_no_interval():
    """It was [0.5, 0.5]."""
    single = bootstrap_mean([1, 0], ["p", "p"], seed=0, shares=True)
    assert single.reason == "too few patients: 1, at least 3"
    assert str(single) == "0.5 [too few patients: 1, at least 3]"
    assert bootstrap_mean([1, 0], ["p", "p"], seed=0).reason == "too few patients: 1, at least 25"


def test_five_equal_lesions_do_not_make_a_certain_dice():
    """0.68 [0.67, 0.69] by percentiles of the draws, narrower than t by a half."""
    dice = bootstrap_mean([0.67, 0.68, 0.68, 0.69, 0.68], range(5), seed=0, shares=True)
    assert dice.high - dice.low > 1.5 * 0.011
    assert dice.low < 0.68 < dice.high


def test_a_recall_of_none_of_five_reaches_up_to_half():
    truth = np.arange(20) < 5
    rows = classification.by_class(
        np.tile([1.0, 0.0], (20, 1)), truth, Patients.from_ids(range(20)), ("no", "yes"), seed=0
    ).set_index("label")
    assert rows.loc["yes", ["recall", "low"]].tolist() == [0, 0]
    assert rows.loc["yes", "high"] == pytest.approx(1 - 0.025 ** (1 / 5))


def test_an_answer_without_looking_has_a_balanced_accuracy_without_doubt():
    """Of 4 classes always the first: 0.25, whichever classes a draw happens to hold."""
    classes = np.repeat(np.arange(4), [30, 6, 4, 3])
    patients = Patients.from_ids(np.arange(43))
    result = classification.measures(classes, np.zeros(43, int), patients, seed=0)
    balanced = result["balanced_accuracy"]
    assert (balanced.value, balanced.low, balanced.high) == (0.25, 0.25, 0.25)


def test_an_auc_of_1_is_no_certainty():
    """Of pairs of a positive and a negative patient that share none, all are won."""
    truth = np.repeat(np.arange(16) < 6, 3)
    patients = Patients.from_ids(np.arange(48) // 3)
    area = roc.auc_estimate(truth + np.linspace(0, 0.1, 48), truth, patients, seed=0, draws=100)
    assert (area.value, area.high) == (1, 1)
    assert area.low == pytest.approx(0.025 ** (1 / 6))


def test_a_point_lies_inside_its_interval_however_draws_are_skewed():
    rng = np.random.default_rng(0)
    for seed in range(20):
        classes = np.repeat(np.arange(3), [20, 5, 3])
        predicted = np.where(rng.random(28) < 0.6, classes, rng.integers(3, size=28))
        patients = Patients.from_ids(range(28))
        metric = classification.balanced_accuracy_statistic(classes, predicted, patients)
        result = bootstrap({"it": metric}, patients, seed=seed, draws=200)["it"]
        assert result.low < result.value < result.high
