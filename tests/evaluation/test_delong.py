"""DeLong's variance against the definition pair by pair, and against the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.delong import delong, delong_test
from second_look.errors import DataError
from second_look.evaluation import comparisons
from second_look.evaluation.intervals import Patients


def two_models(n=150, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    shared = rng.normal(size=n) + 0.8 * truth
    return truth, np.round(shared + rng.normal(size=n), 1), np.round(shared, 1)


def by_pairs(scores, truth):
    """AUCs and covariance from the kernel of every pair, as DeLong et al. 1988 write them."""
    kernels = []
    for values in scores:
        gaps = values[truth][:, None] - values[~truth][None]
        kernels.append((gaps > 0) + (gaps == 0) / 2)
    rows = [kernel.mean(axis=1) for kernel in kernels]
    cols = [kernel.mean(axis=0) for kernel in kernels]
    size = len(scores)
    covariance = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for parts in (rows, cols):
                a, b = parts[i] - parts[i].mean(), parts[j] - parts[j].mean()
                covariance[i, j] += (a * b).sum() / (len(a) - 1) / len(a)
    return np.array([kernel.mean() for kernel in kernels]), covariance


def test_midranks_give_what_the_pairs_give():
    truth, first, second = two_models()
    aucs, covariance = delong([first, second], truth)
    slow_aucs, slow_covariance = by_pairs([first, second], truth)
    np.testing.assert_allclose(aucs, slow_aucs)
    np.testing.assert_allclose(covariance, slow_covariance)


def test_delong_and_the_bootstrap_agree_where_each_patient_has_one_unit():
    truth, first, second = two_models(n=400)
    patients = Patients.from_ids(range(400))
    gap, error, p = delong_test(first, second, truth)
    actual = comparisons.auc_difference(first, second, truth, patients, seed=0)
    assert actual.value == pytest.approx(gap)
    assert (actual.high - actual.low) / (2 * 1.96) == pytest.approx(error, rel=0.1)
    assert (p < 0.05) == (not actual.low <= 0 <= actual.high)


def test_p_is_uniform_where_both_models_are_alike():
    rng, p = np.random.default_rng(1), []
    for _ in range(300):
        truth = np.arange(80) < 30
        first, second = rng.normal(size=(2, 80)) + truth
        p.append(delong_test(first, second, truth)[2])
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09
    assert 0.4 <= np.mean(p) <= 0.6


def test_the_same_ranks_differ_by_nothing():
    truth, first, _ = two_models()
    assert delong_test(first, 2 * first + 1, truth) == (0.0, 0.0, 1.0)
    assert delong([first], truth)[1].shape == (1, 1)


def test_one_unit_of_a_kind_has_no_variance():
    with pytest.raises(DataError, match="1 positive and 2 negative"):
        delong([[0.1, 0.2, 0.3]], [True, False, False])
