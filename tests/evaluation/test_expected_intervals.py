"""The intervals to expect, against simulation and published examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from second_look.evaluation import expected_intervals
from second_look.evaluation.roc import LEAST_FOR_AUC


def test_the_standard_error_of_an_auc_is_that_of_simulated_studies():
    rng, auc, positives, negatives = np.random.default_rng(0), 0.85, 40, 60
    shift = np.sqrt(2) * norm.ppf(auc)
    high, low = rng.normal(shift, size=(3000, positives, 1)), rng.normal(size=(3000, 1, negatives))
    simulated = (high > low).mean(axis=(1, 2))
    expected = expected_intervals.auc_standard_error(auc, positives, negatives)
    assert np.std(simulated) == pytest.approx(expected, rel=0.1)


def test_hanley_and_mcneil_give_their_published_example():
    # 58 normal and 51 abnormal images, AUC 0.893: standard error 0.032 (Hanley & McNeil 1982).
    assert expected_intervals.auc_standard_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.001)


def test_the_interval_of_a_share_is_wilsons():
    expected = binomtest(18, 20).proportion_ci(method="wilson")
    assert expected_intervals.share_interval(0.9, 20) == pytest.approx(
        (expected.low, expected.high)
    )


def test_riley_et_al_s_interval_of_observed_over_expected():
    low, high = expected_intervals.ratio_interval(0.2, 400)
    assert (low, high) == pytest.approx((np.exp(-1.96 * 0.1), np.exp(1.96 * 0.1)), rel=1e-4)


def test_more_patients_show_smaller_differences():
    few, many = (expected_intervals.smallest_auc_difference(0.85, n, n) for n in (20, 200))
    assert many < few / 3
    assert "0.85" in expected_intervals.statement(20, 30)


@pytest.mark.parametrize("positives", [0, LEAST_FOR_AUC - 1])
def test_no_interval_is_promised_where_none_will_be_given(positives):
    assert "No AUC gets an interval" in expected_intervals.statement(positives, 10)
    table = expected_intervals.table(positives, 10)
    assert table.query("quantity == 'AUC'")["low"].isna().all()
    assert table.query("quantity == 'sensitivity'")["low"].isna().all()
    assert table.query("quantity == 'specificity'")["low"].notna().all()


def test_patients_are_counted_by_their_worst_unit():
    ids, positive = np.array(["a", "a", "b", "c"]), np.array([False, True, False, False])
    assert expected_intervals.patients_by_class(ids, positive) == (1, 2)
