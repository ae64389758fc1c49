"""Bands, thresholds and prevalence, where the truth behind the predictions is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import binary_predictions
from second_look.evaluation.groups import groups
from second_look.evaluation.intervals import Patients
from second_look.studies.calibration import decisions
from second_look.studies.calibration import measures as study
from second_look.studies.calibration.measures import AS_IT_IS, TEMPERATURE
from sklearn.metrics import confusion_matrix, precision_score


@pytest.fixture(scope="module")
def images():
    """A model whose log odds are twice too large, on 1,200 patients."""
    return study.calibrate(groups({"06": binary_predictions(patients=1200, temperature=2.0)}))


@pytest.fixture(scope="module")
def patients_scored():
    """The same fault, a score per patient."""
    table = binary_predictions(patients=2400, units_per_patient=1, unit="patient", temperature=2.0)
    return study.calibrate(groups({"06": table}))


def balanced_training(prevalence, patients=6000):
    """Scores of a model trained on balanced classes, of patients at natural prevalence."""
    table = binary_predictions(patients=patients, units_per_patient=1, unit="patient", seed=1)
    rng = np.random.default_rng(2)
    ill = rng.random(patients) < prevalence
    # Two normals at a distance: the log odds are linear, and half of the training was ill.
    odds = 1.6 * (rng.normal(size=patients) + 1.6 * ill - 0.8)
    labels = np.where(ill, "malignant", "benign")
    return table.assign(score=1 / (1 + np.exp(-odds)), label=labels)


def test_the_correction_starts_from_the_prior_that_the_probabilities_have():
    """After balanced training that is one half, not the prevalence among validation patients."""
    models = study.calibrate(groups({"06": balanced_training(0.1)}))
    mean_probability = models[0].probabilities(TEMPERATURE)[:, 1].mean()
    assert (
        mean_probability > 2 * models[0].test.classes.mean()
    )  # temperature leaves the prior where it was
    table = decisions.prevalence_shift(models, prevalences=[0.006], bins=15, seed=0, draws=20)
    rows = table.set_index(["corrected", "prevalence"])
    assert rows.loc[("yes", 0.006), "ratio"] == pytest.approx(1, abs=0.2)
    points = decisions.operating_points(
        models, sensitivity=0.8, prevalence=0.006, seed=0, draws=20
    ).set_index("method")
    # At a threshold whose log odds are o after balanced training, they are o + logit(0.006) there.
    odds = np.log(points.loc[AS_IT_IS, "threshold"] / (1 - points.loc[AS_IT_IS, "threshold"]))
    true = 1 / (1 + np.exp(-(odds + np.log(0.006 / 0.994))))
    assert points.loc[AS_IT_IS, "at_screening"] == pytest.approx(true, rel=0.35)


def test_the_sure_are_wrong_more_often_than_promised_until_mended(images):
    table = decisions.bands(images, edges=[0.5, 0.8, 0.95], seed=0, draws=200)
    rows = table.set_index(["method", "from"])
    assert rows.loc[(AS_IT_IS, 0.8), "low"] > rows.loc[(AS_IT_IS, 0.8), "promised"]
    mended = rows.loc[(TEMPERATURE, 0.8)]
    assert mended["low"] < mended["promised"] < mended["high"]


def test_units_of_one_score_count_together_in_whatever_order_they_come():
    rng = np.random.default_rng(0)
    scores = (rng.random(200) < 0.25).astype(float)
    truth = rng.random(200) < 0.2 + 0.3 * scores
    result = set()
    for _ in range(4):
        order = rng.permutation(200)
        patients = Patients.from_ids(order)
        observed = decisions._observed_near(scores[order], truth[order], patients, 1.0, 0, 20)
        result.add(round(observed.value, 12))
    assert len(result) == 1


def test_a_threshold_keeps_its_decisions_and_gets_its_meaning(images):
    points = decisions.operating_points(
        images, sensitivity=0.9, prevalence=0.006, seed=0, draws=200
    ).set_index("method")
    raw, mended = points.loc[AS_IT_IS], points.loc[TEMPERATURE]
    for name in ("sensitivity", "specificity", "ppv", "observed"):
        assert raw[name] == mended[name]
    assert not raw["observed_low"] <= raw["threshold"] <= raw["observed_high"]
    assert mended["observed_low"] <= mended["threshold"] <= mended["observed_high"]
    test = images[0].test
    called = test.probabilities[:, 1] >= raw["threshold"]
    (tn, fp), (fn, tp) = confusion_matrix(test.classes, called)
    assert raw["sensitivity"] == pytest.approx(tp / (tp + fn))
    assert raw["specificity"] == pytest.approx(tn / (tn + fp))
    assert raw["ppv"] == pytest.approx(precision_score(test.classes, called))
    assert raw["sensitivity_low"] <= 0.9 <= raw["sensitivity_high"]
    assert raw["ppv_low"] < raw["ppv"] < raw["ppv_high"]
    # Screening counts patients: images get no number for it.
    assert points[list(decisions.SCREENING)].isna().all(axis=None)


def test_screening_is_for_scores_per_patient(patients_scored):
    assert decisions.per_patient(patients_scored) == patients_scored
    points = decisions.operating_points(
        patients_scored, sensitivity=0.9, prevalence=0.006, seed=0, draws=200
    ).set_index("method")
    mended = points.loc[TEMPERATURE]
    assert mended["at_screening"] < mended["threshold"] / 10
    wrong = 0.994 * (1 - mended["specificity"])
    expected = 0.006 * mended["sensitivity"] / (0.006 * mended["sensitivity"] + wrong)
    assert mended["ppv_screening"] == pytest.approx(expected)
    assert mended["ppv_screening_low"] < expected < mended["ppv_screening_high"] < 0.05
    # The same threshold, as each method writes it, stands for the same risk.
    assert np.ptp(points.loc[[AS_IT_IS, TEMPERATURE, "Platt"], "at_screening"]) < 1e-3


def test_groups_without_scores_per_patient_are_not_moved_to_screening(images):
    assert decisions.per_patient(images) == []
    assert decisions.without_repeats([*images, *images]) == images


def test_on_validation_the_threshold_reaches_what_was_asked(images):
    val = images[0].group.parts["val"]
    points = decisions.operating_points(images, sensitivity=0.9, prevalence=0.006, seed=0, draws=5)
    for row in points.itertuples():
        scores = images[0].probabilities(row.method, "val")[:, 1]
        assert (scores[val.classes == 1] >= row.threshold).mean() >= 0.9


def test_screening_spoils_calibration_and_the_correction_mends_it(patients_scored):
    table = decisions.prevalence_shift(
        patients_scored, prevalences=[0.006, 0.1], bins=15, seed=0, draws=50
    )
    rows = table.set_index(["corrected", "prevalence"])
    prevalence = table["prevalence"].max()
    assert sorted(table["prevalence"].unique()) == [0.006, 0.1, prevalence]
    assert prevalence == pytest.approx(patients_scored[0].test.classes.mean(), abs=1e-6)
    assert rows.loc[("no", 0.006), "ratio"] > 20
    assert rows.loc[("yes", 0.006), "ratio"] == pytest.approx(1, abs=0.25)
    for prevalence in (0.006, 0.1):
        plain, mended = rows.loc[("no", prevalence)], rows.loc[("yes", prevalence)]
        assert mended["high"] < plain["low"]
        assert mended["nll"] < plain["nll"]


def test_roc_curves_carry_their_auc(images):
    table = decisions.roc_curves(images, seed=0, draws=50)
    assert table["name"].iloc[0].startswith(f"{images[0].group.title}: AUC 0.")
    assert (table["low"] <= table["high"]).all()


def test_only_groups_with_both_answers_are_used():
    table = binary_predictions(patients=60)
    benign = table.assign(model="benign", label="benign")
    constant = table.assign(model="constant", score=0.5)
    tested = table[table["split"] == "test"].assign(model="untrained")
    result = study.calibrate(groups({"a": pd.concat([table, benign, constant, tested])}))
    assert [model.group.model for model in decisions.usable(result)] == ["resnet18 scheme-b"]


def test_a_perfect_model_has_intervals_that_admit_more(images):
    table = binary_predictions(patients=60)
    positives = table["label"] == "malignant"
    perfect = study.calibrate(groups({"a": table.assign(score=np.where(positives, 0.9, 0.1))}))
    points = decisions.operating_points(
        perfect, sensitivity=0.9, prevalence=0.006, seed=0, draws=50
    )
    assert (points["sensitivity"] == 1).all()
    assert (points["sensitivity_low"] < 0.95).all()
