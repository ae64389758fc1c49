"""Average precision, Matthews' correlation, net benefit and recall rates against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from second_look.evaluation.intervals import Patients, point_estimate
from second_look.evaluation.operating_points import (
    average_precision_statistic,
    mcc_statistic,
    net_benefit_statistic,
    operating_measures,
    threshold_at_recall_rate,
)
from sklearn.metrics import average_precision_score, confusion_matrix, matthews_corrcoef


@pytest.fixture(scope="module")
def units():
    """Scores with ties, truth and patients of 300 units."""
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.3
    scores = np.round(rng.normal(loc=truth.astype(float)), 1)
    return scores, truth, Patients.from_ids(rng.integers(0, 90, 300))


def test_average_precision_is_scikit_learns_in_every_draw(units):
    scores, truth, patients = units
    statistic = average_precision_statistic(scores, truth, patients)
    counts = np.random.default_rng(1).integers(0, 3, (5, patients.count)).astype(float)
    expected = [
        average_precision_score(truth, scores, sample_weight=count[patients.codes])
        for count in counts
    ]
    assert statistic(counts) == pytest.approx(expected)


def test_matthews_correlation_is_scikit_learns_and_0_for_a_constant_decision(units):
    scores, truth, patients = units
    statistic = mcc_statistic(scores > 0.5, truth, patients)
    assert point_estimate(statistic, patients) == pytest.approx(
        matthews_corrcoef(truth, scores > 0.5)
    )
    assert point_estimate(mcc_statistic(np.ones(300), truth, patients), patients) == 0


def test_net_benefit_of_recalling_everybody_is_0_at_the_prevalence(units):
    _, truth, patients = units
    statistic = net_benefit_statistic(np.ones(300), truth, patients, float(truth.mean()))
    assert point_estimate(statistic, patients) == pytest.approx(0)


def test_net_benefit_counts_a_false_alarm_by_the_odds(units):
    scores, truth, patients = units
    recalled = scores >= 0.5
    (_, fp), (_, tp) = confusion_matrix(truth, recalled)
    statistic = net_benefit_statistic(recalled, truth, patients, 0.2)
    assert point_estimate(statistic, patients) == pytest.approx((tp - fp / 4) / 300)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.25, 1.0])
def test_no_more_than_the_rate_is_recalled_and_the_next_score_would_be_too_many(units, rate):
    scores = units[0]
    threshold = threshold_at_recall_rate(scores, rate)
    assert np.mean(scores >= threshold) <= rate
    lower = scores[scores < threshold]
    assert not lower.size or np.mean(scores >= lower.max()) > rate


def test_equal_scores_are_recalled_together_or_not_at_all():
    assert threshold_at_recall_rate(np.full(10, 0.3), 0.5) == np.inf
    assert threshold_at_recall_rate(np.full(10, 0.3), 1.0) == 0.3


def test_operating_measures_are_the_cells_of_the_confusion_matrix(units):
    scores, truth, patients = units
    measured = operating_measures(scores, truth, patients, threshold=0.5, seed=0, draws=200)
    (tn, fp), (fn, tp) = confusion_matrix(truth, scores >= 0.5)
    expected = {
        "recall_rate": (tp + fp) / 300,
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
    }
    for name, value in expected.items():
        assert measured[name].value == pytest.approx(value)
        assert measured[name].low < value < measured[name].high


def test_a_threshold_that_recalls_nobody_has_no_predictive_value(units):
    scores, truth, patients = units
    measured = operating_measures(scores, truth, patients, threshold=np.inf, seed=0, draws=50)
    assert np.isnan(measured["ppv"].value)
    assert measured["ppv"].reason
    assert measured["sensitivity"].value == 0
