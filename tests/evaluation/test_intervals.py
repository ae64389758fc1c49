"""The patient bootstrap against SciPy's and against the closed form."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, skew
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import t as student
from scipy.stats import t as t_distribution
from second_look.errors import DataError
from second_look.evaluation import intervals, limits, resampling
from second_look.evaluation.intervals import (
    Estimate,
    Patients,
    bootstrap,
    bootstrap_mean,
    difference,
    in_words,
    mean,
    point_estimate,
    share,
    undefined,
)
from second_look.evaluation.resampling import replicate

ROOT = Path(__file__).resolve().parents[2]


def test_the_level_that_captions_state_is_that_of_the_intervals():
    texts = [path.read_text() for path in sorted((ROOT / "notebooks").glob("*.py"))]
    texts.append((ROOT / "README.md").read_text())
    levels = {int(n) for text in texts for n in re.findall(r"(\d+) %\s+(?:\"\s+\")?interval", text)}
    assert levels == {100 * intervals.LEVEL}


def test_one_value_a_patient_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=80)
    actual = bootstrap_mean(values, np.arange(80), seed=0, draws=20_000)
    reference = scipy_bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert actual.value == pytest.approx(values.mean())
    assert actual.low == pytest.approx(reference.low, abs=0.02 * values.mean())
    assert actual.high == pytest.approx(reference.high, abs=0.02 * values.mean())
    assert (actual.n, actual.patients) == (80, 80)


def test_copies_of_a_patients_images_do_not_narrow_the_interval():
    values = np.random.default_rng(2).normal(size=50)
    single = bootstrap_mean(values, np.arange(50), seed=0)
    tenfold = bootstrap_mean(np.repeat(values, 10), np.repeat(np.arange(50), 10), seed=0)
    assert (tenfold.low, tenfold.high) == pytest.approx((single.low, single.high))


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
    values, patients = np.arange(90.0), np.arange(90) // 3
    assert bootstrap_mean(values, patients, seed=7) == bootstrap_mean(values, patients, seed=7)


def test_a_bootstrap_by_counts_is_scipys_paired_bootstrap():
    rng = np.random.default_rng(4)
    numerators, denominators = rng.gamma(2.0, size=(2, 60))
    patients = Patients.from_ids(range(60))
    actual = bootstrap(
        {"ratio": mean(numerators, patients, denominators)}, patients, seed=0, draws=20_000
    )
    reference = scipy_bootstrap(
        (numerators * denominators, denominators),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    ratio = actual["ratio"]
    assert ratio.value == pytest.approx(np.average(numerators, weights=denominators))
    # Student's t with the error of the draws, which vary too little by (n - 1) / n, and their skew.
    error = reference.standard_error * np.sqrt(60 / 59)
    skewness = skew(reference.bootstrap_distribution)
    low, high = limits.real_limits(ratio.value, error, skewness, 59, level=0.95)
    assert (ratio.low, ratio.high) == pytest.approx((low, high), rel=0.02)
    assert ratio.high - ratio.value > ratio.value - ratio.low, "longer on the side of the skew"
    plain = limits.real_limits(ratio.value, error, 0.0, 59, level=0.95)
    half = student.ppf(0.975, 59) * error
    assert plain == pytest.approx((ratio.value - half, ratio.value + half))


def test_all_draws_have_as_many_patients_whatever_the_block(monkeypatch):
    blocks = np.concatenate(list(resampling.drawn_counts(30, seed=0, draws=50)))
    monkeypatch.setattr(resampling, "BLOCK", 7 * 30)
    parts = list(resampling.drawn_counts(30, seed=0, draws=50))
    assert [len(part) for part in parts] == [7] * 7 + [1]
    np.testing.assert_array_equal(np.concatenate(parts), blocks)
    assert (blocks.sum(axis=1) == 30).all()
    # Of a multinomial: mean 1, variance 1 - 1/30.
    assert blocks.var() == pytest.approx(1 - 1 / 30, abs=0.1)


def test_a_difference_is_paired_over_patients():
    rng = np.random.default_rng(5)
    patients, first = Patients.from_ids(range(80)), rng.normal(size=80)
    second = first - 0.5
    statistics = {"gap": difference(mean(first, patients), mean(second, patients))}
    gap = bootstrap(statistics, patients, seed=0, draws=100)["gap"]
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.5, 0.5, 0.5))


def test_recentred_draws_have_the_estimate_as_their_mean():
    """The squared mean grows with noise: its draws lie above it by the variance of the mean."""
    values = np.random.default_rng(6).normal(size=40)
    patients = Patients.from_ids(range(40))
    average = mean(values, patients)
    squared = {"squared": lambda counts: average(counts) ** 2}
    moved = bootstrap(squared, patients, seed=0, recentred=True)["squared"]
    drawn = replicate(squared, 40, seed=0, draws=intervals.DRAWS)["squared"]
    assert moved.value == pytest.approx(values.mean() ** 2)
    assert drawn.mean() - moved.value == pytest.approx(values.var() / 40, rel=0.2)
    ends = np.quantile(drawn, [0.025, 0.975]) + moved.value - drawn.mean()
    assert (moved.low, moved.high) == pytest.approx(tuple(ends))


def test_what_has_no_value_says_so():
    patients = Patients.from_ids([0, 0, 1])
    result = bootstrap({"none": mean([1.0, 2.0, 3.0], patients, 0.0)}, patients, seed=0)["none"]
    assert np.isnan(result.value)
    assert str(result).startswith("undefined (")
    assert (
        str(undefined("no positive among them", patients)) == "undefined (no positive among them)"
    )
    with pytest.raises(DataError, match="at least one patient"):
        bootstrap({}, Patients.from_ids([]), seed=0)


def test_an_estimate_of_a_function_keeps_its_ends():
    root = Estimate(4.0, 1.0, 9.0, 10, 5).mapped(np.sqrt)
    assert (root.value, root.low, root.high, root.n) == (2.0, 1.0, 3.0, 10)


@pytest.mark.parametrize(("patients", "right"), [(5, 0), (12, 12), (30, 0)])
def test_a_share_on_which_all_agree_has_the_exact_interval(patients, right):
    hits = np.arange(patients) < right
    patient_index = Patients.from_ids(range(patients))
    actual = bootstrap({"share": share(hits, patient_index)}, patient_index, seed=0)["share"]
    exact = binomtest(right, patients).proportion_ci(0.95, method="exact")
    assert (actual.low, actual.high) == pytest.approx((exact.low, exact.high))
    assert patient_index.count_with(hits) == right


def test_sums_over_patients():
    patients = Patients.from_ids(["b", "a", "b"])
    np.testing.assert_array_equal(patients.sums([1, 2, 4]), [2, 5])
    np.testing.assert_array_equal(Patients(np.zeros(0, int), 2).sums([]), [0.0, 0.0])
    np.testing.assert_array_equal(point_estimate(mean([1, 2, 4], patients), patients), 7 / 3)


def test_an_interval_is_never_written_as_nan():
    nan = float("nan")
    assert in_words(0.5, 0.25, 0.75, ".0%") == "50% [25%, 75%]"
    assert in_words(0.5, nan, nan, ".2f") == "0.50 [too few patients for an interval]"
    assert in_words(0.5, nan, 0.9, reason="few draws") == "0.5 [few draws]"
    assert in_words(nan, nan, nan, reason="no positive") == "undefined (no positive)"
    assert in_words(0.5, 0.4, 0.6, reason="all equal") == "0.5 [0.4, 0.6] (all equal)"


@pytest.mark.parametrize("room", ["gan", "detection", "transfer", "calibration"])
def test_studies_leave_the_writing_of_intervals_to_one_function(room):
    """An interval written by hand reads "[nan, nan]" where there is none."""
    folder = Path(intervals.__file__).parents[1] / "studies" / room
    by_hand = [
        f"{path.name}: {line.strip()}"
        for path in sorted(folder.glob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\[\{[^]]*low", line)
    ]
    assert not by_hand


@pytest.mark.parametrize("freedom", [8, 24, 200])
@pytest.mark.parametrize("skewness", [-0.7, -0.45, 0.0, 0.3, 0.6, 3.0])
def test_an_end_stays_within_reach_of_its_error_however_skewed(skewness, freedom):
    """At a skewness of 0.57 on 25 patients one end was 8.5 standard errors away."""
    believed = limits.believable(skewness, freedom)
    low, high = limits.real_limits(0.0, 1.0, believed, freedom, level=0.95)
    plain = t_distribution.ppf(0.975, freedom)
    assert -1.75 * plain < low < -0.7 * plain
    assert 0.7 * plain < high < 1.75 * plain
    for end in (low, high):
        # The p of a number that lies at an end of its own interval around 0 is 5 %.
        assert limits.p_value(-end, 1.0, believed, freedom) == pytest.approx(0.05, abs=1e-6)


def test_a_small_skewness_is_corrected_in_full():
    assert limits.believable(0.2, 24) == 0.2
    assert limits.believable(-0.2, 24) == -0.2
