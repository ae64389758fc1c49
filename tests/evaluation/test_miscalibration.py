"""Slope, intercept, O:E and the error of a perfect model, on samples whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from second_look.evaluation import miscalibration as mis
from second_look.evaluation.calibration import ece, two_columns
from second_look.evaluation.intervals import Estimate, Patients
from second_look.evaluation.recalibration import Temperature
from sklearn.linear_model import LogisticRegression


def sample(seed, n=361, *, slope=1.0, offset=0.0, per_patient=1, shared=0.0):
    """Probabilities, truth and patients; the true log odds are slope · log odds + offset."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(scale=1.5, size=n) - 0.5
    patients = Patients.from_ids(np.arange(n) // per_patient)
    # Uniform numbers that are alike within a patient keep each unit's probability as it is.
    common = rng.random(patients.count)[patients.codes]
    drawn = np.where(rng.random(n) < shared, common, rng.random(n))
    return expit(odds), drawn < expit(slope * odds + offset), patients


def rejected(number, n, **settings):
    """Share of samples with a verdict, and of those called overconfident."""
    verdicts = [mis.verdict(mis.line(*sample(seed, n, **settings))) for seed in range(number)]
    wrong = np.mean([verdict != mis.NOTHING_SHOWN for verdict in verdicts])
    return wrong, np.mean(["overconfident" in verdict for verdict in verdicts])


@pytest.mark.parametrize("n", [64, 361])
def test_perfect_models_are_seldom_called_miscalibrated(n):
    assert rejected(60, n)[0] <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("per_patient", [1, 2])
@pytest.mark.parametrize("n", [64, 361])
def test_perfect_models_are_called_miscalibrated_in_five_percent_of_samples(n, per_patient):
    settings = {"per_patient": per_patient, "shared": 0.3 * (per_patient > 1)}
    wrong, overconfident = rejected(400, n, **settings)
    assert wrong <= 0.055
    assert overconfident <= 0.025


def test_an_overconfident_model_is_found_out():
    assert rejected(20, 361, slope=0.5)[1] >= 0.9


def test_slope_intercept_and_ratio_are_those_of_a_logistic_regression():
    probability, true, patients = sample(0, 2000, slope=0.7, offset=0.5)
    line = mis.line(probability, true, patients)
    model = LogisticRegression(C=np.inf).fit(logit(probability)[:, None], true)
    assert line.slope.value == pytest.approx(model.coef_[0, 0], abs=1e-3)
    assert line.ratio.value == pytest.approx(true.sum() / probability.sum(), abs=1e-3)
    moved = expit(logit(probability) + line.intercept.value)
    assert moved.sum() == pytest.approx(true.sum(), rel=1e-3)
    for estimate, truth in ((line.slope, 0.7), (line.intercept, line.intercept.value)):
        assert estimate.low < truth < estimate.high
    wider = mis.line(probability, true, patients, level=0.999).slope
    assert wider.low < line.slope.low < line.slope.high < wider.high


def test_units_that_are_alike_within_a_patient_widen_the_intervals():
    probability, true, patients = sample(1, 600, per_patient=6, shared=0.6)
    apart = Patients(np.arange(600), 600)
    clustered, naive = (
        mis.line(probability, true, patients).ratio,
        mis.line(probability, true, apart).ratio,
    )
    assert clustered.value == pytest.approx(naive.value)
    assert clustered.high - clustered.low > 1.2 * (naive.high - naive.low)


def test_verdicts_come_from_the_intervals_alone():
    def line_of(slope, ratio):
        ends = [Estimate(np.mean(pair), *pair, 100, 50) for pair in (slope, ratio)]
        return mis.Line(ends[0], ends[0], ends[1])

    assert mis.verdict(line_of((0.4, 0.9), (0.8, 1.2))) == "overconfident"
    assert mis.verdict(line_of((1.1, 2.0), (0.8, 1.2))) == "underconfident"
    assert mis.verdict(line_of((0.5, 1.5), (0.5, 0.9))) == "risks too high"
    assert mis.verdict(line_of((0.4, 0.9), (1.1, 1.9))) == "overconfident, risks too low"
    assert mis.verdict(line_of((0.4, 0.9), (0.5, 0.9)), binary=False).endswith(
        "confidence too high"
    )
    assert mis.verdict(line_of((0.6, 1.1), (0.9, 1.2))) == mis.NOTHING_SHOWN


def test_what_could_have_been_seen_is_found_that_often():
    """A slope at the limit is found in about the said share of samples."""
    lower, upper = mis.detectable(mis.line(*sample(3)).slope)
    assert 0 < lower < 1 < upper
    hits = [mis.line(*sample(seed, slope=lower)).slope.high < 1 for seed in range(40)]
    assert 0.6 <= np.mean(hits) <= 1.0
    far = replace(mis.line(*sample(3)).slope, low=-1.0, high=3.0)
    assert mis.detectable(far)[0] == 0.0


def test_what_cannot_be_judged_says_why():
    probability, true, patients = sample(0, 50)
    nothing = mis.line(probability, np.zeros(50, bool), patients)
    assert mis.verdict(nothing) == "not judged: all units have one outcome"
    flat = mis.line(np.full(50, 0.3), true, patients)
    assert flat.slope.reason == "all probabilities are equal"
    assert np.isfinite(flat.ratio.low)
    two = mis.line(probability, true, Patients.from_ids(np.arange(50) % 2))
    assert "too few patients" in two.ratio.reason


def test_what_lies_at_a_bound_of_the_search_is_no_number():
    """The bounds were printed as ends of intervals: a slope of 20 [1.3, 20]."""
    probability = np.r_[np.full(20, 0.2), np.full(20, 0.8)]
    line = mis.line(probability, probability > 0.5, Patients(np.arange(40), 40))
    assert line.slope.value == line.slope.high == np.inf
    assert line.slope.low > 1
    assert str(line.slope) == (
        f"undefined ({line.slope.low:.3g} to beyond the search's bound, {mis.SLOPES[1]:g})"
    )
    assert mis.verdict(line) == "underconfident", "what the other end shows holds"
    heat = mis.temperature(
        two_columns(probability), (probability > 0.5).astype(np.int64), Patients(np.arange(40), 40)
    )
    assert heat.low == -np.inf
    assert heat.reason.startswith(f"below the search's bound, {mis.TEMPERATURES[0]:g}, to ")
    bounded = Estimate(2.0, 1.0, 3.0, 9, 9)
    assert mis.beyond(bounded, (0.5, 4.0)) is bounded
    assert str(mis.beyond(bounded, (0.5, 3.0))) == "2 [1 to beyond the search's bound, 3]"
    ends = "2 [below the search's bound, 1, to beyond the search's bound, 3]"
    assert str(mis.beyond(bounded, (1.0, 3.0))) == ends
    assert mis.beyond(Estimate(0.0, 0.0, 3.0, 9, 9), (-np.inf, 9.0)).low == 0, "O:E ends at 0"


def test_the_temperature_is_guos_and_its_interval_holds_the_truth():
    hits = 0
    for seed in range(30):
        probability, true, patients = sample(seed, 400, slope=0.5)
        shares, classes = two_columns(probability), true.astype(np.int64)
        heat = mis.temperature(shares, classes, patients)
        hits += heat.low <= 2.0 <= heat.high
        if not seed:
            fitted = Temperature.fit(shares, classes).temperature
            assert heat.value == pytest.approx(fitted, rel=1e-3)
            assert heat.low < heat.value < heat.high
    # The sample has an intercept of its own, 0 like the model's: the model holds.
    assert hits >= 26


@pytest.mark.parametrize("kind", ["width", "mass"])
def test_the_error_of_a_perfect_model_is_what_such_models_show(kind):
    probability, true, patients = sample(0, 64)
    expected = mis.perfect_errors(probability, true, patients, bins=15, kind=kind, seed=0)
    rng = np.random.default_rng(1)
    drawn = [
        ece(two_columns(probability), rng.random(64) < probability, bins=15, kind=kind)
        for _ in range(200)
    ]
    assert expected.mean() == pytest.approx(np.mean(drawn), rel=0.06)
    assert expected.mean() > 0.08  # far above 0, without any miscalibration
    assert np.std(expected) == pytest.approx(np.std(drawn), rel=0.25)


def test_a_perfect_model_errs_more_where_units_of_a_patient_are_alike():
    probability, true, patients = sample(2, 1200, per_patient=6, shared=0.6)
    assert mis.latent_correlation(probability, true, patients) > 0.3
    apart = Patients(np.arange(1200), 1200)
    assert mis.latent_correlation(probability, true, apart) == 0
    settings = {"bins": 15, "kind": "width", "seed": 0, "simulations": 100}
    order = np.argsort(
        probability
    )  # the units of a patient have similar probabilities, as pictures do
    probability, common = probability[order], np.random.default_rng(0).random(200)[patients.codes]
    true = np.where(np.random.default_rng(1).random(1200) < 0.6, common, true[order]) < probability
    error = mis.perfect_errors(probability, true, patients, **settings).mean()
    assert error > 1.2 * mis.perfect_errors(probability, true, apart, **settings).mean()


def test_a_miscalibrated_model_is_not_taken_for_patients_that_are_alike():
    probability, true, patients = sample(4, 1500, slope=0.4, offset=1.0, per_patient=3)
    assert mis.latent_correlation(probability, true, patients) < 0.12
