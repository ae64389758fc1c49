"""Paired differences, their p values, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from second_look.evaluation import comparisons
from second_look.evaluation.intervals import Patients, mean, share


def test_holm_is_the_published_procedure():
    """Step down: the smallest of m times m, the next times m - 1, never falling, at most 1."""
    p = [0.01, 0.04, np.nan, 0.03, 0.005]
    assert comparisons.holm(p) == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)
    assert comparisons.holm([0.7, 0.8]).tolist() == [1.0, 1.0]
    assert comparisons.holm([]).size == 0
    table = comparisons.with_holm(pd.DataFrame({"p": [0.04, 0.03]}))
    assert table["p_holm"].tolist() == pytest.approx([0.06, 0.06])


def test_p_is_the_level_at_which_the_interval_ends_at_zero():
    rng = np.random.default_rng(0)
    patients = Patients.from_ids(np.arange(120) // 2)
    first = rng.normal(0.2, 1, size=120)
    metrics = mean(first, patients), mean(np.zeros(120), patients)
    gap = comparisons.paired_difference(*metrics, patients, seed=0)
    at_its_level = comparisons.paired_difference(*metrics, patients, seed=0, level=1 - gap.p)
    assert 0 < gap.p < 1
    assert min(abs(at_its_level.low), abs(at_its_level.high)) == pytest.approx(0, abs=1e-6)


def test_p_is_uniform_where_two_models_are_alike():
    """Hits of 30 patients with three images each, which both models find equally hard."""
    rng = np.random.default_rng(1)
    patients = Patients.from_ids(np.arange(90) // 3)
    p = []
    for seed in range(200):
        hard = rng.normal(size=30)[patients.codes]
        sides = (share(hard + rng.normal(size=90) < 0.7, patients) for _ in range(2))
        p.append(comparisons.paired_difference(*sides, patients, seed=seed, draws=200).p)
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.1
    assert 0.4 <= np.mean(p) <= 0.6


def test_two_perfect_models_may_differ_on_other_patients():
    patients = Patients.from_ids(range(20))
    perfect = share(np.ones(20), patients)
    gap = comparisons.paired_difference(perfect, perfect, patients, seed=0)
    assert (gap.value, gap.p) == (0, 1)
    assert (-gap.low, gap.high) == pytest.approx((1 - 0.025 ** (1 / 20), 1 - 0.025 ** (1 / 20)))


def test_identical_answers_have_neither_interval_nor_p():
    patients = Patients.from_ids(range(20))
    sides = share(np.arange(20) < 15, patients), share(np.arange(20) < 15, patients)
    gap = comparisons.paired_difference(*sides, patients, seed=0)
    assert str(gap) == "0 [the same answers for every patient]"
    assert np.isnan([gap.low, gap.high, gap.p]).all()


def test_few_patients_give_no_difference_an_interval_or_p():
    patients = Patients.from_ids(range(7))
    sides = share(np.arange(7) < 4, patients), share(np.arange(7) < 3, patients)
    gap = comparisons.paired_difference(*sides, patients, seed=0)
    assert gap.reason == "too few patients: 7, at least 8"
    assert np.isnan([gap.low, gap.high, gap.p]).all()
