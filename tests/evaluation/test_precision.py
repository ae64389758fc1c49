"""The intervals to expect, against simulation and published examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from second_look.evaluation import precision


def test_the_standard_error_of_an_auc_is_that_of_simulated_studies():
    rng, auc, positives, negatives = np.random.default_rng(0), 0.85, 40, 60
    shift = np.sqrt(2) * norm.ppf(auc)
    high, low = rng.normal(shift, size=(3000, positives, 1)), rng.normal(size=(3000, 1, negatives))
    simulated = (high > low).mean(axis=(1, 2))
    expected = precision.auc_standard_error(auc, positives, negatives)
    assert np.std(simulated) == pytest.approx(expected, rel=0.1)


def test_hanley_and_mcneil_give_their_published_example():
    # 58 normal and 51 abnormal images, AUC 0.893: standard error 0.032 (Hanley & McNeil 1982).
    assert precision.auc_standard_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.001)


def test_the_interval_of_a_share_is_wilsons():
    expected = binomtest(18, 20).proportion_ci(method="wilson")
    assert precision.share_interval(0.9, 20) == pytest.approx((expected.low, expected.high))


def test_riley_et_al_s_interval_of_observed_over_expected():
    low, high = precision.ratio_interval(0.2, 400)
    assert (low, high) == pytest.approx((np.exp(-1.96 * 0.1), np.exp(1.96 * 0.1)), rel=1e-4)


def test_more_patients_show_smaller_differences():
    few, many = (precision.smallest_auc_difference(0.85, n, n) for n in (20, 200))
    assert many < few / 3
    assert "0.85" in precision.statement(20, 30)


def test_a_test_set_of_one_class_says_so():
    assert "one kind" in precision.statement(0, 10)
    assert precision.table(0, 10).query("quantity == 'AUC'")["low"].isna().all()


def test_patients_are_counted_by_their_worst_unit():
    ids, positive = np.array(["a", "a", "b", "c"]), np.array([False, True, False, False])
    assert precision.patients_by_class(ids, positive) == (1, 2)
