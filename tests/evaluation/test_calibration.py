"""Calibration errors against torchmetrics, scores against scikit-learn, bias against simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.made_predictions import class_predictions
from scipy.special import expit, softmax
from second_look.errors import DataError
from second_look.evaluation import calibration as cal
from second_look.evaluation.intervals import Patients, point_estimate
from second_look.evaluation.predictions import classes, probabilities
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

ONES = np.ones((1, 1))
BINS = 15


@pytest.fixture(scope="module")
def patches():
    """Probabilities, classes, patients of a model that is too sure."""
    table = class_predictions(patients=60, units_per_patient=10)
    return probabilities(table), classes(table), Patients.from_ids(table["patient_id"])


@pytest.fixture(scope="module")
def images():
    """The same for two classes."""
    rng = np.random.default_rng(1)
    odds = rng.normal(scale=1.5, size=500)
    truth = (rng.random(500) < expit(odds)).astype(int)
    return cal.two_columns(expit(2 * odds)), truth, Patients.from_ids(np.arange(500) // 4)


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize(("norm", "name"), [("l1", "ece"), ("max", "mce")])
def test_errors_are_those_of_torchmetrics(patches, images, bins, norm, name):
    for (shares, truth, patients), reference in (
        (patches, lambda p, y: multiclass_calibration_error(p, y, 4, n_bins=bins, norm=norm)),
        (images, lambda p, y: binary_calibration_error(p[:, 1].clone(), y, n_bins=bins, norm=norm)),
    ):
        actual = cal.measures(shares, truth, patients, seed=0, draws=2, bins=bins)[name].value
        expected = reference(torch.tensor(shares), torch.tensor(truth)).item()
        assert actual == pytest.approx(expected, abs=1e-6)
    assert cal.ece(*images[:2], bins=BINS) == pytest.approx(
        binary_calibration_error(
            torch.tensor(images[0][:, 1].copy()), torch.tensor(images[1]), n_bins=BINS
        ).item(),
        abs=1e-6,
    )


def test_proper_scores_are_scikit_learns(patches, images):
    for shares, truth, patients in (patches, images):
        result = cal.measures(shares, truth, patients, bins=BINS, seed=0, draws=200)
        assert result["nll"].value == pytest.approx(log_loss(truth, shares))
        forecasts = shares[:, 1] if shares.shape[1] == 2 else shares
        labels = range(shares.shape[1])
        assert result["brier"].value == pytest.approx(
            brier_score_loss(truth, forecasts, labels=labels)
        )
        for name in cal.MEASURES:
            assert 0 <= result[name].low < result[name].value < result[name].high, name


def test_equal_mass_bins_hold_as_many_each(images):
    shares, truth, patients = images
    table = cal.reliability(shares, truth, patients, kind="mass", bins=BINS, seed=0, draws=50)
    assert len(table) == 15
    assert table["units"].max() - table["units"].min() <= 2
    assert table["units"].sum() == 500
    few = cal.two_columns(np.repeat([0.1, 0.9], 250))
    assert len(cal.reliability(few, truth, patients, kind="mass", bins=BINS, seed=0, draws=5)) == 2


def test_reliability_says_what_each_bin_holds():
    shares = cal.two_columns([0.0, 0.1, 0.2, 0.21, 1.0])
    table = cal.reliability(
        shares, [0, 1, 0, 1, 1], Patients.from_ids(["p", "p", "q", "r", "s"]),
        kind="width", seed=0, draws=20, bins=5,
    )  # fmt: skip
    assert table["units"].tolist() == [3, 1, 1]
    assert table["patients"].tolist() == [2, 1, 1]
    assert table["low_edge"].tolist() == pytest.approx([0.0, 0.2, 0.8])
    assert table["probability"].tolist() == pytest.approx([0.1, 0.21, 1.0])
    assert table["frequency"].tolist() == pytest.approx([1 / 3, 1, 1])
    assert table[["low", "high"]].isna().all(axis=None)  # one or two patients a bin


def test_debiased_error_is_kumars_where_each_patient_has_one_prediction():
    """Kumar et al. 2019, definition 5.1, where all predictions of a bin are equal."""
    rng = np.random.default_rng(2)
    forecasts = rng.choice([0.1, 0.5, 0.8], size=300)
    true = rng.random(300) < forecasts + 0.1
    actual = cal.Binned.from_predictions(
        forecasts, true, Patients.from_ids(range(300)), cal.bin_edges(forecasts, "mass", BINS)
    )
    expected = 0.0
    for value in (0.1, 0.5, 0.8):
        selected = forecasts == value
        n, rate = selected.sum(), true[selected].mean()
        expected += n / 300 * ((value - rate) ** 2 - rate * (1 - rate) / (n - 1))
    assert actual.squared_error(np.ones((1, 300)))[0] == pytest.approx(expected)


@pytest.mark.parametrize("units_per_patient", [1, 5])
def test_debiasing_takes_away_what_chance_adds(units_per_patient):
    """A perfectly calibrated model: its squared error is 0, and the plain one says otherwise."""
    rng, plain, debiased = np.random.default_rng(3), [], []
    patients = Patients.from_ids(np.arange(200) // units_per_patient)
    for _ in range(300):
        odds = np.repeat(rng.normal(size=200 // units_per_patient), units_per_patient)
        # All predictions of a patient come true together: worse than independent ones.
        true = np.repeat(rng.random(200 // units_per_patient), units_per_patient) < expit(odds)
        binned = cal.Binned.from_predictions(
            expit(odds), true, patients, cal.bin_edges(expit(odds), "mass", BINS)
        )
        everybody = np.ones((1, patients.count))
        shares, gaps = binned.gaps(everybody)
        plain.append(np.nansum(shares * gaps**2))
        debiased.append(binned.squared_error(everybody)[0])
    error = np.std(debiased) / np.sqrt(300)
    assert np.mean(plain) > 20 * error
    assert abs(np.mean(debiased)) < 4 * error + 0.02 * np.mean(plain)


def test_intervals_of_the_debiased_error_cover_the_true_one():
    """Predictions of a patient err together; the true error is known, 0.1 everywhere."""
    rng, hits = np.random.default_rng(4), 0
    for seed in range(100):
        patients = Patients.from_ids(np.arange(450) // 3)
        forecasts = rng.uniform(0.2, 0.8, size=450)
        shared_draw = np.repeat(rng.random(150), 3)
        true = np.where(rng.random(450) < 0.5, shared_draw, rng.random(450)) < forecasts + 0.1
        shares = cal.two_columns(forecasts)
        result = cal.measures(shares, true.astype(int), patients, bins=BINS, seed=seed, draws=200)[
            "debiased"
        ]
        hits += result.low <= 0.1 <= result.high
    assert 88 <= hits <= 100


def test_weights_are_repetitions(images):
    shares, truth, _ = images
    weights = np.random.default_rng(5).integers(1, 4, len(truth))
    everybody = Patients.from_ids(range(len(truth)))
    again = np.repeat(np.arange(len(truth)), weights)
    repeated = Patients.from_ids(again)
    weighted = cal.statistics(shares, truth, everybody, bins=BINS, weights=weights)
    plain = cal.statistics(shares[again], truth[again], repeated, bins=BINS)
    for name in ("ece", "mce", "nll", "brier"):
        assert point_estimate(weighted[name], everybody) == pytest.approx(
            point_estimate(plain[name], repeated)
        )


def test_bands_say_how_often_the_sure_are_wrong(patches):
    shares, truth, patients = patches
    table = cal.bands(shares, truth, patients, edges=[0.25, 0.5, 0.8, 0.9], seed=0, draws=200)
    sure, wrong = shares.max(axis=1), shares.argmax(axis=1) != truth
    for row in table.itertuples(index=False):
        low, high = row[0], row[1]
        selected = (sure >= low) & ((sure < high) | (high == 1))
        assert row.units == selected.sum()
        assert row.observed == pytest.approx(wrong[selected].mean())
        assert row.promised == pytest.approx(1 - sure[selected].mean())
        assert row.low <= row.observed <= row.high
    assert table["units"].sum() == len(truth)
    # The model is too sure: where it promises less than 10 % wrong, more is.
    assert table["low"].iloc[-1] > table["promised"].iloc[-1]
    shares, patients = cal.two_columns([0.6, 0.7]), Patients.from_ids([0, 1])
    empty = cal.bands(shares, [0, 1], patients, edges=[0.5, 0.9], seed=0, draws=5)
    assert np.isnan(empty["observed"].iloc[1])


@pytest.mark.parametrize(
    ("shares", "truth", "message"),
    [
        ([[0.5, 0.5], [0.9, 0.3]], [0, 1], "some table: row 1 .* do not sum to one"),
        ([[0.5, 0.5], [np.nan, 0.3]], [0, 1], "row 1"),
        ([[1.5, -0.5]], [0], "row 0"),
        ([[0.5, 0.5]], [2], "classes must lie from 0 to 1"),
        ([0.5, 0.5], [0, 1], "expected probabilities"),
        ([[0.5, 0.5]], [0, 1], "expected probabilities"),
    ],
)
def test_what_are_no_probabilities_is_refused(shares, truth, message):
    with pytest.raises(DataError, match=message):
        cal.checked(shares, truth, "some table")


def test_a_perfect_and_a_hopeless_model():
    truth = np.arange(40) % 2
    patients = Patients.from_ids(range(40))
    perfect = cal.measures(cal.two_columns(truth), truth, patients, bins=BINS, seed=0, draws=20)
    assert [perfect[name].value for name in cal.MEASURES] == pytest.approx([0] * 6)
    wrong = cal.measures(cal.two_columns(1 - truth), truth, patients, bins=BINS, seed=0, draws=20)
    assert wrong["ece"].value == wrong["mce"].value == wrong["brier"].value == 1
    assert wrong["nll"].value == pytest.approx(-np.log(cal.EPSILON))


def test_half_precision_is_renormalised():
    shares = softmax(np.random.default_rng(6).normal(size=(20, 4)), axis=1).astype(np.float16)
    again, _ = cal.checked(shares, np.zeros(20, int))
    np.testing.assert_allclose(again.sum(axis=1), 1, atol=1e-15)
