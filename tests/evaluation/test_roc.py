"""ROC, AUC and operating points against scikit-learn and against counting pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from second_look.errors import DataError
from second_look.evaluation import comparisons, roc
from second_look.evaluation.intervals import Patients, bootstrap
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_curve

# Scores with many ties, each beside its truth.
TIED = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({positive for _, positive in pairs}) == 2
)


def units(seed=0, n=400, shift=1.0, digits=1):
    """Scores with ties, truth, and the patient of each: three units a patient."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    scores = np.round(rng.normal(size=n) + shift * truth, digits)
    return scores, truth, Patients.from_ids(np.arange(n) // 3)


@given(TIED)
def test_auc_is_sklearns_and_the_share_of_pairs_won(pairs):
    scores, truth = (np.array(column) for column in zip(*pairs, strict=True))
    actual = roc.auc(scores, truth)
    gaps = scores[truth][:, None] - scores[~truth][None]
    assert actual == pytest.approx(roc_auc_score(truth, scores))
    assert actual == pytest.approx((gaps > 0).mean() + (gaps == 0).mean() / 2)


@given(TIED)
def test_curve_is_sklearns(pairs):
    scores, truth = (np.array(column) for column in zip(*pairs, strict=True))
    actual = roc.roc_curve(scores, truth)
    alarms, sensitivity, thresholds = sklearn_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(actual["sensitivity"], sensitivity)
    np.testing.assert_allclose(1 - actual["specificity"], alarms, atol=1e-12)
    np.testing.assert_allclose(actual["threshold"], thresholds)


def test_a_weighted_curve_is_that_of_units_repeated_as_often():
    scores, truth, _ = units(n=50)
    weights = np.random.default_rng(1).integers(1, 4, 50)
    weighted = roc.roc_curve(scores, truth, weights)
    repeated = roc.roc_curve(np.repeat(scores, weights), np.repeat(truth, weights))
    np.testing.assert_allclose(weighted, repeated)


@pytest.mark.parametrize("digits", [1, 9])  # with and without ties
@pytest.mark.parametrize("group_size", [3, 6])  # units a patient: counted by unit, and by patient
def test_every_draw_is_sklearns_auc_of_the_drawn_patients(digits, group_size):
    scores, truth, _ = units(n=180, digits=digits)
    patients = Patients.from_ids(np.arange(180) // group_size)
    rng = np.random.default_rng(2)
    chances = np.full(patients.count, 1 / patients.count)
    counts = rng.multinomial(patients.count, chances, size=20).astype(float)
    actual = roc.auc_statistic(scores, truth, patients)(counts)
    reference = [
        roc_auc_score(truth, scores, sample_weight=count[patients.codes]) for count in counts
    ]
    np.testing.assert_allclose(actual, reference)
    nobody = np.zeros((1, patients.count))
    assert np.isnan(roc.auc_statistic(scores, truth, patients)(nobody)).all()


def test_auc_interval_covers_the_truth_where_patients_have_several_units():
    """Units of a patient share a random effect; an interval over units would be too narrow."""
    rng = np.random.default_rng(3)
    effect, shift, hits, naive = 2.0, 1.8, 0, 0
    true_auc = norm.cdf(shift / np.sqrt(2 * (1 + effect**2)))
    for seed in range(120):
        truth = np.repeat(np.arange(60) < 25, 4)
        shared = np.repeat(rng.normal(size=60), 4) * effect
        scores = rng.normal(size=240) + shared + shift * truth
        by_patient = Patients.from_ids(np.arange(240) // 4)
        by_unit = Patients.from_ids(np.arange(240))
        for patients in (by_patient, by_unit):
            result = roc.auc_estimate(scores, truth, patients, seed=seed, draws=200)
            covered = result.low <= true_auc <= result.high
            hits += covered and patients is by_patient
            naive += covered and patients is by_unit
    assert 0.87 <= hits / 120 <= 1.0
    assert naive / 120 < 0.80


@pytest.mark.parametrize(
    ("scores", "truth", "reason"),
    [
        ([0.1, 0.2], [True, True], "no negative"),
        ([0.1, 0.2], [False, False], "no positive"),
    ],
)
def test_an_undefined_auc_says_why_and_stops_nothing(scores, truth, reason):
    result = roc.auc_estimate(scores, truth, Patients.from_ids([0, 1]), seed=0)
    assert np.isnan([result.value, result.low, result.high, roc.auc(scores, truth)]).all()
    assert reason in result.reason
    assert str(result) == f"undefined ({result.reason})"
    gap = comparisons.auc_difference([0.1, 0.2], scores, truth, Patients.from_ids([0, 1]), seed=0)
    assert reason in gap.reason


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [([0.1, np.nan], [True, False], "row 1"), ([0.1], [True, False], "one score and one truth")],
)
def test_scores_that_cannot_be_ranked_are_refused(scores, truth, message):
    with pytest.raises(DataError, match=message):
        roc.auc(scores, truth)


def test_macro_auc_is_sklearns_one_against_rest():
    rng = np.random.default_rng(4)
    classes = rng.integers(0, 4, 300)
    raw = rng.random((300, 4)) + np.eye(4)[classes] * 0.5
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    patients = Patients.from_ids(np.arange(300) // 2)
    actual = roc.macro_auc_estimate(probabilities, classes, patients, seed=0, draws=50)
    assert actual.value == pytest.approx(
        roc_auc_score(classes, probabilities, multi_class="ovr", average="macro")
    )
    assert actual.low < actual.value < actual.high
    assert roc.macro_auc(probabilities, classes) == pytest.approx(actual.value)


def test_macro_auc_of_two_classes_is_the_auc():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, 50)
    second = rng.random(50).round(1)
    combined = np.stack([1 - second, second], axis=1)
    assert roc.macro_auc(combined, truth) == roc.auc(second, truth == 1)


def test_macro_auc_passes_over_a_class_that_nobody_has():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    result = roc.macro_auc_estimate(
        probabilities, [0, 1, 0], Patients.from_ids([0, 1, 2]), seed=0, draws=9
    )
    assert result.value == 1.0
    nothing = roc.macro_auc_estimate(probabilities, [0, 0, 0], Patients.from_ids([0, 1, 2]), seed=0)
    assert nothing.reason == "no class has an AUC"
    assert np.isnan(roc.macro_auc(probabilities, [0, 0, 0]))


@given(TIED, st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
def test_sensitivity_at_specificity_is_the_best_of_the_curve(pairs, min_specificity):
    scores, truth = (np.array(column) for column in zip(*pairs, strict=True))
    patients = Patients.from_ids(np.arange(len(scores)))
    curve = roc.roc_curve(scores, truth)
    best = curve.loc[curve["specificity"] >= min_specificity - 1e-12, "sensitivity"].max()
    actual = roc.sensitivity_statistic(scores, truth, patients, specificity=min_specificity)
    assert actual(np.ones((1, len(scores))))[0] == pytest.approx(best)


def test_a_draw_moves_the_threshold():
    scores, truth, patients = units(n=120)
    count = np.random.default_rng(5).integers(0, 3, patients.count).astype(float)
    repeats = count[patients.codes].astype(int)
    curve = roc.roc_curve(np.repeat(scores, repeats), np.repeat(truth, repeats))
    best = curve.loc[curve["specificity"] >= 0.8 - 1e-12, "sensitivity"].max()
    actual = roc.sensitivity_statistic(scores, truth, patients, specificity=0.8)(count[None])
    assert actual[0] == pytest.approx(best)
    nobody = roc.sensitivity_statistic(scores, truth, patients, specificity=0.8)(0 * count[None])
    assert np.isnan(nobody[0])


def test_thresholds_and_the_point_where_they_lie():
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    truth = [False, False, True, False, True, True]
    patients = Patients.from_ids(range(6))
    assert roc.threshold_at_sensitivity(scores, truth, 1.0) == 0.3
    assert roc.threshold_at_sensitivity(scores, truth, 0.6) == 0.5
    point = roc.operating_point(scores, truth, patients, threshold=0.3, seed=0)
    assert point["sensitivity"].value == 1.0
    assert point["specificity"].value == pytest.approx(2 / 3)
    assert 0 <= point["specificity"].low < point["specificity"].high <= 1


def test_a_threshold_without_positive_units_is_refused():
    with pytest.raises(DataError, match="needs positive units"):
        roc.threshold_at_sensitivity([0.1, 0.2], [False, False], 0.9)


def test_the_band_holds_the_curve():
    scores, truth, patients = units()
    band = roc.roc_band(scores, truth, patients, seed=0, draws=100, points=11)
    assert (band["low"] <= band["sensitivity"] + 1e-12).all()
    assert (band["sensitivity"] <= band["high"] + 1e-12).all()
    assert band["sensitivity"].iloc[[0, -1]].tolist()[0] == 1.0


def test_the_difference_of_paired_aucs_is_narrower_than_of_strangers():
    scores, truth, patients = units(digits=6)
    nearly = scores + np.random.default_rng(6).normal(size=len(scores)) * 0.1
    gap = comparisons.auc_difference(scores, nearly, truth, patients, seed=0, draws=300)
    single = roc.auc_estimate(scores, truth, patients, seed=0, draws=300)
    assert gap.value == pytest.approx(roc_auc_score(truth, scores) - roc_auc_score(truth, nearly))
    assert gap.high - gap.low < 0.3 * (single.high - single.low)
    tied = comparisons.auc_difference(scores, scores, truth, patients, seed=0, draws=20)
    assert str(tied) == "0 [the same answers for every patient]"
    assert np.isnan([tied.low, tied.high, tied.p]).all()


def test_aucs_of_several_trainings_are_averaged():
    scores, truth, patients = units(digits=6)
    shuffled = np.random.default_rng(7).permutation(scores)
    areas = [roc_auc_score(truth, single) for single in (scores, shuffled)]
    combined = roc.auc_estimate([scores, shuffled], truth, patients, seed=0, draws=50)
    assert combined.value == pytest.approx(np.mean(areas))
    gap = comparisons.auc_difference(
        [scores, shuffled], [shuffled], truth, patients, seed=0, draws=50
    )
    assert gap.value == pytest.approx(np.mean(areas) - areas[1])
    flat = np.zeros_like(scores)
    with_flat = roc.auc_estimate([scores, flat], truth, patients, seed=0, draws=50)
    assert with_flat.value == pytest.approx((areas[0] + 0.5) / 2)
    assert with_flat.reason == ""


def test_constant_scores_have_an_auc_of_a_half_and_it_is_said():
    _, truth, patients = units()
    flat = roc.auc_estimate(np.full(len(truth), 0.3), truth, patients, seed=0, draws=50)
    assert flat.value == roc_auc_score(truth, np.full(len(truth), 0.3)) == 0.5
    assert flat.reason == "all scores are equal: 0.5"
    positives, negatives = patients.count_with(truth), patients.count_with(~truth)
    # With these shares unlike the rest, the chance to meet none is 2.5 % on each side.
    unlike = [1 - 0.025 ** (1 / count) for count in (positives, negatives)]
    assert flat.low == pytest.approx((1 - unlike[0]) * (1 - unlike[1]) / 2)
    assert flat.high == pytest.approx(1 - flat.low)
    scores, _, _ = units(digits=6)
    flat_scores = np.zeros_like(scores)
    gap = comparisons.auc_difference(scores, flat_scores, truth, patients, seed=0, draws=50)
    assert gap.value == pytest.approx(roc_auc_score(truth, scores) - 0.5)
    assert np.isfinite([gap.low, gap.high]).all()


def test_macro_auc_counts_a_half_for_a_class_with_constant_scores():
    """As scikit-learn has it; passing over the class would give more than 0.75."""
    classes = np.array([0, 0, 1, 1, 2, 2])
    probabilities = np.array([[0.6, 0.1, 0.3], [0.1, 0.6, 0.3], [0.35, 0.35, 0.3]])[classes]
    expected = roc_auc_score(classes, probabilities, multi_class="ovr", average="macro")
    assert roc.macro_auc(probabilities, classes) == pytest.approx(expected)
    assert expected == pytest.approx(2.5 / 3)


def test_too_few_patients_of_a_class_leave_the_interval_undefined():
    scores, truth = np.arange(6) / 6, np.arange(6) == 5
    result = bootstrap(
        {"auc": roc.auc_statistic(scores, truth, Patients.from_ids(range(6)))},
        Patients.from_ids(range(6)),
        seed=0,
    )["auc"]
    assert result.value == 1.0
    assert np.isnan([result.low, result.high]).all()
    assert "too few patients with positives: 1, at least 3" in str(result)


def test_a_band_has_no_interval_where_the_area_has_none():
    scores, truth = np.arange(40.0), np.arange(40) == 30
    patients = Patients.from_ids(np.arange(40))
    band = roc.roc_band(scores, truth, patients, seed=0, draws=200)
    assert np.isnan(roc.auc_estimate(scores, truth, patients, seed=0, draws=200).low)
    assert band["low"].isna().all()
    assert band["sensitivity"].notna().all()


def test_a_band_rises_with_its_curve():
    """At a sensitivity just below 1 the interval of a single point reached down to 0.1: a spike."""
    rng = np.random.default_rng(3)
    truth = np.arange(60) % 4 == 0
    scores = 1.2 * truth + rng.normal(size=60)
    for patients in (
        roc.Patients.from_ids(np.arange(60)),
        roc.Patients.from_ids(np.arange(60) // 3),
    ):
        band = roc.roc_band(scores, truth, patients, seed=0, draws=200)
        assert band["specificity"].is_monotonic_increasing
        for end in ("low", "high"):
            assert band[end].is_monotonic_decreasing
        assert (band["low"] <= band["sensitivity"]).all()
        assert (band["sensitivity"] <= band["high"]).all()
