"""Recalibration: known faults are found and mended, and checked against a search and sklearn."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_predictions import binary_predictions, class_predictions
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.evaluation import calibration as cal
from second_look.evaluation import recalibration as rec
from second_look.evaluation.predictions import classes, probabilities
from second_look.evaluation.roc import auc
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss


@pytest.fixture(scope="module")
def patches():
    """Probabilities and classes of validation and test; the logits are 2.5 times too large."""
    table = class_predictions(patients=300, units_per_patient=20, temperature=2.5)
    parts = (table[table["split"] == split] for split in ("val", "test"))
    return [(probabilities(part), classes(part)) for part in parts]


@pytest.fixture(scope="module")
def images():
    table = binary_predictions(patients=3000, temperature=2.0)
    parts = (table[table["split"] == split] for split in ("val", "test"))
    return [(cal.two_columns(p["score"]), (p["label"] == "malignant").to_numpy(int)) for p in parts]


def test_the_temperature_that_was_put_in_is_found(patches, images):
    for (val, _), true in ((patches, 2.5), (images, 2.0)):
        result = rec.fit("temperature", *val)
        assert isinstance(result, rec.Temperature)
        assert result.temperature == pytest.approx(true, rel=0.1)
        assert not result.at_its_bound


def test_the_temperature_is_that_of_a_search(patches):
    val = patches[0]
    grid = np.geomspace(2, 3.2, 301)
    logits = np.log(val[0])
    losses = [log_loss(val[1], softmax(logits / t, axis=1)) for t in grid]
    result = rec.fit("temperature", *val)
    assert result.temperature == pytest.approx(grid[np.argmin(losses)], rel=2e-3)


@pytest.mark.parametrize("method", rec.METHODS)
def test_every_method_mends_a_model_that_is_too_sure(patches, images, method):
    for val, test in (patches, images):
        mended = rec.fit(method, *val).apply(test[0])
        np.testing.assert_allclose(mended.sum(axis=1), 1)
        assert (mended > 0).all()
        assert cal.ece(mended, test[1], bins=15) < 0.35 * cal.ece(*test, bins=15)
        assert log_loss(test[1], mended) < log_loss(test[1], test[0])


@given(
    st.lists(st.floats(1e-6, 1 - 1e-6), min_size=4, max_size=40, unique=True),
    st.floats(0.3, 10),
)
def test_temperature_keeps_the_auc_of_two_classes(scores, temperature):
    truth = np.arange(len(scores)) % 3 == 0
    mended = rec.Temperature(temperature).apply(cal.two_columns(scores))[:, 1]
    apart = np.diff(np.sort(logit(scores))) > 1e-9  # nearer ones may meet in rounding
    if apart.all():
        assert auc(mended, truth) == auc(scores, truth)


@pytest.mark.parametrize("temperature", [0.3, 0.99, 2.5, 10])
def test_temperature_keeps_the_most_probable_class(patches, temperature):
    shares = patches[1][0]
    mended = rec.Temperature(temperature).apply(shares)
    np.testing.assert_array_equal(mended.argmax(axis=1), shares.argmax(axis=1))


def test_vector_scaling_finds_the_factors_and_offsets_that_were_put_in():
    rng = np.random.default_rng(0)
    forecasts = softmax(rng.normal(scale=1.5, size=(20_000, 3)), axis=1)
    factors, offsets = np.array([2.0, 0.5, 1.0]), np.array([0.4, -0.6, 0.2])
    true = softmax(factors * np.log(forecasts) + offsets, axis=1)
    drawn = (rng.random(20_000)[:, None] > true.cumsum(axis=1)).sum(axis=1)
    result = rec.fit("vector scaling", forecasts, drawn)
    assert isinstance(result, rec.VectorScaling)
    np.testing.assert_allclose(result.factors, factors, atol=0.12)
    np.testing.assert_allclose(result.offsets - result.offsets.mean(), offsets, atol=0.12)
    assert log_loss(drawn, result.apply(forecasts)) < log_loss(drawn, true)


def test_platt_is_scikit_learns(images):
    val, test = images
    odds = logit(val[0][:, 1])[:, None]
    # A model whose decision function is the log odds itself.
    identity = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    identity.coef_, identity.intercept_ = np.array([[1.0]]), np.array([0.0])
    reference = CalibratedClassifierCV(FrozenEstimator(identity), method="sigmoid", ensemble=False)
    reference.fit(odds, val[1])
    expected = reference.predict_proba(logit(test[0][:, 1])[:, None])
    actual = rec.fit("Platt", *val).apply(test[0])
    np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_isotonic_rises_and_is_never_certain(images):
    val, test = images
    mended = rec.fit("isotonic", *val).apply(test[0])[:, 1]
    order = np.argsort(test[0][:, 1])
    assert (np.diff(mended[order]) >= 0).all()
    assert mended.min() >= 1 / (len(val[1]) + 2)
    assert mended.max() <= 1 - 1 / (len(val[1]) + 2)


@pytest.mark.parametrize("method", rec.METHODS)
def test_units_that_can_be_told_apart_leave_finite_probabilities(method):
    truth = np.repeat([0, 1], 10)
    sure = cal.two_columns(np.where(truth == 1, 0.97, 0.02))
    result = rec.fit(method, sure, truth)
    mended = result.apply(cal.two_columns([0.0, 0.02, 0.5, 0.97, 1.0]))
    assert np.isfinite(mended).all()
    assert mended[0, 1] < 0.5 < mended[-1, 1]
    assert method != "temperature" or result.at_its_bound


@pytest.mark.parametrize("method", rec.METHODS)
def test_what_cannot_be_fitted_is_refused(method):
    shares = np.full((9, 4), 0.25)
    with pytest.raises(DataError, match="some split: 9 units are too few to fit"):
        rec.fit(method, shares, np.arange(9) % 4, "some split")
    with pytest.raises(DataError, match="class 1 has no example"):
        rec.fit(method, np.full((20, 4), 0.25), np.zeros(20, int))
    with pytest.raises(DataError, match="do not sum to one"):
        rec.fit(method, np.full((20, 4), 0.3), np.arange(20) % 4)


def test_a_temperature_can_do_without_one_of_four_classes(patches):
    (shares, truth), _ = patches
    present = truth != 1
    assert rec.fit("temperature", shares[present], truth[present]).temperature > 1
    with pytest.raises(DataError, match="class 1 has no example, and Platt needs one"):
        rec.fit("Platt", shares[present], truth[present])


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="'magic'"):
        rec.fit("magic", [[0.5, 0.5]], [0])


# ------------------------------------------------------------------ prevalence


def test_prior_shift_is_bayes_rule():
    """Scores of two normal distributions: the posterior is known at every prevalence."""
    x = np.linspace(-3, 4, 50)

    def posterior(prevalence):
        return expit(x - 0.5 + logit(prevalence))  # of N(1, 1) against N(0, 1)

    moved = rec.PriorShift.of_positive(0.4, 0.006).apply(cal.two_columns(posterior(0.4)))
    np.testing.assert_allclose(moved[:, 1], posterior(0.006))
    back = rec.PriorShift.of_positive(0.006, 0.4).apply(moved)
    np.testing.assert_allclose(back[:, 1], posterior(0.4))


def test_prior_shift_of_four_classes_keeps_the_sum():
    was, becomes = (0.7, 0.1, 0.1, 0.1), (0.97, 0.01, 0.01, 0.01)
    moved = rec.PriorShift(was, becomes).apply(np.full((3, len(LABELS)), 0.25))
    np.testing.assert_allclose(moved[0], np.array(becomes) / was / (np.array(becomes) / was).sum())


def test_screening_shows_the_fault_and_the_correction_mends_it(images):
    """A calibrated model is miscalibrated at another prevalence, until it is told of it."""
    _, (shares, truth) = images
    calibrated = rec.Temperature(2.0).apply(shares)
    weights = rec.prevalence_weights(truth == 1, 0.006)
    assert np.average(truth, weights=weights) == pytest.approx(0.006)
    assert weights.sum() == pytest.approx(len(truth))
    moved = rec.PriorShift.of_positive(truth.mean(), 0.006).apply(calibrated)
    raw_gap, corrected_gap = (
        np.average(result[:, 1] - truth, weights=weights) for result in (calibrated, moved)
    )
    assert raw_gap > 0.2
    assert abs(corrected_gap) < 0.002


def test_frequencies_and_weights_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match="must be positive"):
        rec.PriorShift.of_positive(0.0, 0.5)
    with pytest.raises(DataError, match="sum to one"):
        rec.PriorShift((0.5, 0.6), (0.5, 0.5))
    with pytest.raises(DataError, match="100% positive"):
        rec.prevalence_weights([True, True], 0.1)
