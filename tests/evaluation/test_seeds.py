"""Intervals over patients and trainings, against closed forms and simulated coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import t
from second_look.evaluation.comparisons import auc_difference
from second_look.evaluation.intervals import Estimate, Patients, mean
from second_look.evaluation.roc import auc_estimate
from second_look.evaluation.seeds import (
    auc_over_trainings,
    estimate_of,
    interval_words,
    metrics_over_trainings,
    of_trainings,
    over_trainings,
)


def over_patients(value, low, high, patients=1000):
    return Estimate(value, low, high, 5 * patients, patients)


def test_one_training_keeps_the_interval_over_patients():
    alone = over_patients(0.7, 0.6, 0.8)
    over = over_trainings(alone, [0.7], share=True)
    assert over.estimate == alone
    assert over.trainings == 1
    assert np.isnan(over.between_trainings)
    assert over.between_patients == pytest.approx(0.2 / 3.92, rel=1e-3)


def test_both_variances_are_added():
    """Equal distances to both ends, so that the closed form is Satterthwaite's."""
    error, values = 0.03, np.array([-0.1, 0.0, 0.1, 0.2])
    half_width = 1.959964 * error
    over = over_trainings(
        over_patients(0.05, 0.05 - half_width, 0.05 + half_width), values, share=False
    ).estimate
    by_trainings = values.var(ddof=1) / 4
    total = error**2 + by_trainings
    freedom = total**2 / (error**4 / 999 + by_trainings**2 / 3)
    expected = t.ppf(0.975, freedom) * np.sqrt(total)
    assert (over.low, over.high) == pytest.approx((0.05 - expected, 0.05 + expected), rel=1e-6)


def test_shares_stay_between_0_and_1_and_move_on_the_logit_scale():
    low, high = expit(logit(0.9) - 0.5), expit(logit(0.9) + 0.5)
    over = over_trainings(over_patients(0.9, low, high), [0.8, 0.9, 0.95], share=True).estimate
    assert 0 < over.low < low < high < over.high < 1
    distances = logit([over.low, over.high]) - logit(0.9)
    assert distances.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("values", [[0.5, 0.5, 0.5], [0.54, 0.44, 0.55]])
def test_the_interval_is_never_inside_that_over_patients(values):
    over = over_trainings(over_patients(np.mean(values), 0.4, 0.62), values, share=True)
    assert over.estimate.low <= 0.4
    assert over.estimate.high >= 0.62
    perfect = over_trainings(over_patients(1.0, 0.9, 1.0, 30), [1.0, 1.0], share=True).estimate
    assert (perfect.low, perfect.high) == (0.9, 1.0)


def test_differences_of_shares_stay_between_minus_1_and_1():
    over = over_trainings(over_patients(-0.4, -0.5, -0.3), [-0.9, 0.1], share=False).estimate
    assert (over.low, over.high) == (-1, 1)


def test_without_an_interval_over_patients_there_is_none():
    nothing = Estimate(0.5, np.nan, np.nan, 3, 1, "too few")
    over = over_trainings(nothing, [0.4, 0.6], share=True)
    assert np.isnan(over.estimate.low)
    assert over.estimate.reason == "too few"


def test_the_interval_covers_what_another_study_would_find():
    """Truth 0; patients add 0.02, trainings 0.05: over patients alone 55 % are covered."""
    rng = np.random.default_rng(0)
    trainings, covered, alone = 3, 0, 0
    for _ in range(500):
        patients_part, half_width = rng.normal(0, 0.02), 1.96 * 0.02
        values = patients_part + rng.normal(0, 0.05, trainings)
        centre = float(values.mean())
        first = over_patients(centre, centre - half_width, centre + half_width, 100)
        combined = over_trainings(first, values, share=False).estimate
        covered += combined.low <= 0 <= combined.high
        alone += first.low <= 0 <= first.high
    assert 0.92 <= covered / 500 <= 0.995
    assert alone / 500 < 0.85


def test_trainings_alone_are_taken_on_the_log_scale():
    over = of_trainings([2.0, 4.0, 8.0], n=3)
    assert over.estimate.value == pytest.approx(4)
    half_width = np.exp(t.ppf(0.975, 2) * np.log(2) / np.sqrt(3))
    assert (over.estimate.low, over.estimate.high) == pytest.approx(
        (4 / half_width, 4 * half_width)
    )
    lone = of_trainings([2.0], n=1)
    assert np.isnan(lone.estimate.low)
    assert lone.estimate.reason == "one training"


def scored(seeds=3, patients=40):
    rng = np.random.default_rng(1)
    truth = np.arange(2 * patients) % 3 == 0
    index = Patients(np.repeat(np.arange(patients), 2), patients)
    return truth + rng.normal(0, 1, (seeds, 2 * patients)), truth, index


def test_aucs_are_those_of_the_roc_module():
    scores, truth, patients = scored()
    over = auc_over_trainings(scores, truth, patients, seed=0, draws=200)
    expected = auc_estimate(scores, truth, patients, seed=0, draws=200)
    assert over.estimate.value == expected.value
    assert over.estimate.low < expected.low
    assert over.values.mean() == pytest.approx(expected.value)
    worse = scores[:, ::-1].copy()
    gain = auc_over_trainings(scores, truth, patients, seed=0, draws=200, baseline=worse)
    paired = auc_difference(scores, worse, truth, patients, seed=0, draws=200)
    assert gain.estimate.value == paired.value
    assert gain.values.mean() == pytest.approx(paired.value)


def test_metrics_and_rows_of_tables():
    scores, _, patients = scored()
    statistics = {"mean": [mean(row, patients) for row in scores]}
    over = metrics_over_trainings(statistics, patients, seed=0, share=False, draws=200)["mean"]
    assert over.estimate.value == pytest.approx(scores.mean())
    row = pd.DataFrame([over.row]).iloc[0]
    assert estimate_of(row) == over.estimate
    assert (row["trainings"], row["between_trainings"]) == (3, over.between_trainings)


def test_captions_promise_the_intervals_that_are_there():
    """Captions said "with 95 % intervals" of tables that had none."""
    table = pd.DataFrame({"low": [0.1, 0.2], "reason": ["", ""], "trainings": [1, 1]})
    assert interval_words(table) == "95 % intervals over patients"
    several = table.assign(trainings=3)
    assert interval_words(several) == "95 % intervals over patients and trainings"
    table.loc[0, "low"] = np.nan
    assert interval_words(table).endswith("over patients, where there are enough patients")
    none = table.assign(low=np.nan, reason="too few patients: 2, at least 3")
    assert interval_words(none) == "no intervals: too few patients: 2, at least 3"
    assert interval_words(table[["low"]].iloc[:1]) == "no intervals: too few patients"
