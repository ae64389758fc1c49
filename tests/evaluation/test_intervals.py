"""The patient bootstrap against SciPy's and against the closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap
from second_look.errors import DataError
from second_look.evaluation.intervals import bootstrap_mean


def test_one_value_a_patient_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=80)
    ours = bootstrap_mean(values, np.arange(80), seed=0, draws=20_000)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * values.mean())
    assert ours.high == pytest.approx(theirs.high, abs=0.02 * values.mean())
    assert (ours.n, ours.patients) == (80, 80)


def test_copies_of_a_patients_images_do_not_narrow_the_interval():
    values = np.random.default_rng(2).normal(size=50)
    once = bootstrap_mean(values, np.arange(50), seed=0)
    tenfold = bootstrap_mean(np.repeat(values, 10), np.repeat(np.arange(50), 10), seed=0)
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(200):
        estimate = bootstrap_mean(rng.normal(size=60), np.arange(60), seed=seed, draws=500)
        hits += estimate.low <= 0 <= estimate.high
    assert 0.88 <= hits / 200 <= 0.99


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_values_that_have_no_mean_are_refused(values):
    with pytest.raises(DataError, match="finite"):
        bootstrap_mean(values, np.arange(len(values)), seed=0)


def test_same_seed_same_interval():
    values, patients = np.arange(30.0), np.arange(30) // 3
    assert bootstrap_mean(values, patients, seed=7) == bootstrap_mean(values, patients, seed=7)
    assert str(bootstrap_mean([2.0], ["p"], seed=0)) == "2 [2, 2]"
