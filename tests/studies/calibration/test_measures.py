"""The numbers of notebook 07, from predictions of models whose faults are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import binary_predictions, class_predictions, several_depths
from scipy.special import expit, logit
from second_look.errors import OutputError
from second_look.evaluation.groups import groups
from second_look.outputs import load_results, open_run
from second_look.studies.calibration import decisions, findings, network_depth
from second_look.studies.calibration import measures as study
from second_look.studies.calibration.measures import AS_IT_IS, TEMPERATURE
from second_look.verdicts import SYNTHETIC
from sklearn.metrics import log_loss, roc_auc_score

DRAWS = 60


@pytest.fixture(scope="module")
def calibrated():
    """Patches (two questions), images and breasts; all models are too sure."""
    tables = {
        "06_patches": class_predictions(patients=150, units_per_patient=12, temperature=2.5),
        "06_images": pd.concat(
            [
                binary_predictions(patients=1000),
                binary_predictions(
                    patients=2000, units_per_patient=1, unit="breast", target="lesion"
                ),
            ],
            ignore_index=True,
        ),
    }
    return study.calibrate(groups(tables))


@pytest.fixture(scope="module")
def measured(calibrated):
    return study.measure(calibrated, bins=15, seed=0, draws=DRAWS)


def value(measured, model, method, name):
    return findings.cell(measured, model.group, method, name)["value"]


def test_temperatures_are_found_and_lower_every_ece(calibrated, measured):
    for model, true in zip(calibrated, (2.5, None, 2.0, 2.0), strict=True):
        assert model.methods == [AS_IT_IS, "temperature", "vector scaling", "Platt", "isotonic"]
        if true:
            assert model.temperature == pytest.approx(true, rel=0.2)
        raw, scaled = (value(measured, model, method, "ece") for method in (AS_IT_IS, TEMPERATURE))
        change = findings.cell(measured, model.group, TEMPERATURE, "ece_change")
        assert change["value"] == pytest.approx(scaled - raw)
        assert change["low"] <= change["value"] <= change["high"] < 0


def test_temperature_moves_no_auc_of_two_classes_and_no_accuracy(calibrated, measured):
    for model in calibrated:
        names = ("auc", "accuracy") if model.group.binary else ("accuracy",)
        for name in names:
            raw, scaled = (value(measured, model, m, name) for m in (AS_IT_IS, TEMPERATURE))
            assert raw == scaled
    test = calibrated[2].test
    expected = roc_auc_score(test.classes, test.probabilities[:, 1])
    assert value(measured, calibrated[2], AS_IT_IS, "auc") == pytest.approx(expected)


def test_the_table_for_people_has_a_row_a_model_and_method(calibrated, measured):
    table = study.readable(measured)
    assert len(table) == 5 * len(calibrated)
    assert table["method"].iloc[:2].tolist() == [AS_IT_IS, TEMPERATURE]
    first = findings.cell(measured, calibrated[0].group, AS_IT_IS, "ece")
    assert table["ECE"].iloc[0] == f"{first['value']:.3f} [{first['low']:.3f}, {first['high']:.3f}]"
    assert table["change of ECE"].iloc[0] == "–"
    area = findings.cell(measured, calibrated[0].group, AS_IT_IS, "auc")
    assert area["low"] < area["value"] < area["high"]
    assert table["AUC"].iloc[0] == f"{area['value']:.3f} [{area['low']:.3f}, {area['high']:.3f}]"


def test_the_overview_counts_units_and_patients(calibrated):
    table = study.overview([model.group for model in calibrated])
    assert table["test_units"].tolist()[0] == len(calibrated[0].test.classes)
    assert (table["test_patients"] < table["test_units"]).tolist() == [True, True, False, True]
    assert table["commonest_class"].between(0.25, 1).all()


def test_validation_chooses_what_the_figures_show():
    good = binary_predictions(model="good")
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, len(good))
    bad = good.assign(model="bad", score=(good["score"] + noise).clip(0, 1))
    patches = class_predictions(patients=40, units_per_patient=4)
    all_of_them = study.calibrate(groups({"b": pd.concat([bad, good]), "a": patches}))
    chosen = study.choose(all_of_them, max_groups=9)
    assert [(model.group.unit, model.group.model) for model in chosen] == [
        ("patch", "resnet18 imagenet"), ("patch", "resnet18 imagenet"), ("image", "good"),
    ]  # fmt: skip
    assert len(study.choose(all_of_them, max_groups=1)) == 1


def sharpened(table, *, factor, offset):
    """The same ranking with other log odds."""
    odds = logit(table["score"]) * factor + offset
    return table.assign(score=expit(odds))


def test_captions_say_how_models_are_chosen():
    """Highest macro AUC on validation: not likelihood, not accuracy, not the test patients."""
    best = binary_predictions(patients=400, temperature=1.0)
    noise = np.random.default_rng(0).normal(size=len(best))
    worse = best.assign(score=expit(logit(best["score"]) + noise))
    val = best["split"] == "val"
    models = {
        "ranks": sharpened(best, factor=1.0, offset=4.0),  # nearly all called positive
        "likely": worse,
        "test": worse.assign(score=best["score"].where(~val, worse["score"])),
    }
    table = pd.concat([rows.assign(model=name) for name, rows in models.items()])
    truth = (best["label"] == "malignant")[val]
    scores = {name: rows["score"][val] for name, rows in models.items()}
    areas = {name: roc_auc_score(truth, score) for name, score in scores.items()}
    losses = {name: log_loss(truth, score) for name, score in scores.items()}
    accuracies = {name: ((score > 0.5) == truth).mean() for name, score in scores.items()}
    assert max(areas, key=areas.get) == "ranks"
    assert max(losses, key=losses.get) == min(accuracies, key=accuracies.get) == "ranks"
    for order in (table, table.iloc[::-1]):
        (chosen,) = study.choose(study.calibrate(groups({"a": order})), max_groups=9)
        assert chosen.group.model == "ranks"
    assert study.CHOICE == "the model with the highest macro AUC on validation patients"


def test_ranking_comes_before_likelihood():
    right = binary_predictions(temperature=1.0, patients=400, model="ranks")
    odds = right["score"] / (1 - right["score"]) * 30  # the same ranking, with many false alarms
    shifted = right.assign(score=odds / (1 + odds))
    base = (right["label"] == "malignant").mean()
    constant = right.assign(score=base, model="constant")
    candidates = groups({"a": pd.concat([constant, shifted])})
    by_model = {group.model: group for group in candidates}
    val = right[right["split"] == "val"]
    positives = val["label"] == "malignant"
    likelihoods = [
        log_loss(positives, rows["score"])
        for rows in (val.assign(score=base), shifted.loc[val.index])
    ]
    assert likelihoods[0] < likelihoods[1]
    expected = roc_auc_score(positives, val["score"])
    assert study.separation(by_model["ranks"]) == pytest.approx(expected)
    assert study.separation(by_model["constant"]) == pytest.approx(0.5)
    assert study.choose(study.calibrate(candidates), max_groups=1)[0].group.model == "ranks"
    unseen = groups({"a": right[right["split"] == "test"]})[0]
    assert study.separation(unseen) == -np.inf


# ------------------------------------------------------------------ what cannot be done


def test_without_validation_patients_nothing_is_fitted_and_the_report_goes_on():
    table = binary_predictions(patients=60)
    (model,) = study.calibrate(groups({"05": table[table["split"] == "test"]}))
    assert model.methods == [AS_IT_IS]
    assert np.isnan(model.temperature)
    assert study.notes([model])["reason"].str.contains("no predictions of validation").all()
    measured = study.measure([model], bins=15, seed=0, draws=5)
    assert decisions.usable([model]) == []
    empty = decisions.operating_points([], sensitivity=0.9, prevalence=0.006, seed=0, draws=5)
    shifted = decisions.prevalence_shift([], prevalences=[0.1], bins=15, seed=0, draws=5)
    tables = {
        "bands": decisions.bands([model], edges=[0.5, 0.8], seed=0, draws=5),
        "depth": network_depth.depth_effect([model], bins=15, seed=0, draws=5),
        "points": empty,
        "prevalence": shifted,
    }
    text = findings.findings([model], measured, tables, synthetic=True)
    assert "no temperature: there are no predictions of validation patients" in text
    assert "No temperature could be fitted to any model" in text
    assert "no family of ResNets with two depths" in text
    assert "Phantoms" in text


def test_faults_of_the_data_are_notes_and_no_errors():
    table = class_predictions(patients=30, units_per_patient=4)
    table = table[(table["label"] != "benign") | (table["split"] == "train")]
    benign = binary_predictions(patients=30, model="all benign").assign(label="benign")
    constant = binary_predictions(patients=30, model="constant").assign(score=0.3)
    found_groups = groups({"a": pd.concat([table, benign, constant], ignore_index=True)})
    calibrated = study.calibrate(found_groups)
    notes = study.notes(calibrated)
    lines = (notes["model"] + ": " + notes["item"] + ": " + notes["reason"]).tolist()
    assert any("classes without units got" in line for line in lines)
    assert any("all benign: AUC: undefined: all test units are not mal" in line for line in lines)
    assert any("all benign: Platt: class malignant has no example" in line for line in lines)
    assert "constant: AUC: all scores are equal: 0.5" in lines
    measured = study.measure(calibrated, bins=15, seed=0, draws=5)
    areas = measured[measured["measure"] == "auc"].groupby("model")["value"].max()
    assert np.isnan(areas["all benign"])
    assert areas["constant"] == 0.5
    assert "–" in set(study.readable(measured)["AUC"])


def test_predictions_of_a_run_are_read_and_remembered(tmp_path):
    run = open_run(tmp_path, notebook="07_calibration")
    with pytest.raises(OutputError, match="06_patch_transfer_learning first"):
        study.load_groups(run)
    name = "predictions/06_images.parquet"
    transfer = open_run(tmp_path, notebook="06_patch_transfer_learning")
    transfer.parquet(binary_predictions(patients=30), name)
    found_groups, synthetic = study.load_groups(run)
    assert (len(found_groups), synthetic) == (1, False)
    transfer.parquet(binary_predictions(patients=30).assign(dataset="phantom"), name)
    assert study.load_groups(run)[1]
    reads = json.loads((tmp_path / "manifests" / "07_calibration.json").read_text())["reads"]
    assert list(reads) == ["predictions", name]  # a table that is added later counts as well


@pytest.mark.parametrize(
    ("synthetic", "verdict"), [(False, "now measured: overconfident"), (True, SYNTHETIC)]
)
def test_the_claim_gets_a_verdict_in_words_but_none_from_phantoms(
    calibrated, measured, tmp_path, synthetic, verdict
):
    run = open_run(tmp_path, notebook="07_calibration")
    findings.report(run, calibrated[:1], measured, synthetic=synthetic)
    (row,) = load_results(tmp_path)
    assert row["verdict"].startswith(verdict)
    debiased = value(measured, calibrated[0], AS_IT_IS, "debiased")
    assert row["value"] == pytest.approx(100 * debiased)
    assert row["low"] < row["value"] < row["high"]
    assert row["n"] == len(calibrated[0].test.classes)


def test_a_perfect_model_is_not_called_overconfident_and_what_could_be_seen_is_said():
    """Its ECE is far above 0, and so is its temperature from 1, by chance alone."""
    table = binary_predictions(patients=200, units_per_patient=1, temperature=1.0, seed=3)
    models = study.calibrate(groups({"a": table}))
    measured = study.measure(models, bins=15, seed=0, draws=DRAWS)
    text = findings._recalibrated(models[0], measured)
    assert "no miscalibration shown at this size" in text
    assert "would have been found" in text
    assert "confident" not in text
    ece, perfect = (value(measured, models[0], AS_IT_IS, name) for name in ("ece", "ece_perfect"))
    assert perfect > 0.05
    assert f"where a perfect model of this size shows {perfect:.3f} on average" in text
    assert ece < findings.cell(measured, models[0].group, AS_IT_IS, "ece_perfect")["high"]
    heat = findings.cell(measured, models[0].group, TEMPERATURE, "temperature")
    assert heat["low"] < 1 < heat["high"]


def test_scores_per_patient_are_made_from_those_of_images():
    images = binary_predictions(patients=30)
    images["laterality"] = images["image_id"].str[-1].map({"0": "left", "1": "right"})
    tables = study.with_patients({"06_images": images, "05": binary_predictions(patients=5)})
    assert list(tables) == ["06_images", "05", "06_images, by patient"]
    by_patient = tables["06_images, by patient"]
    assert (by_patient["unit"] == "patient").all()
    worst = images.groupby("patient_id")["score"].max()
    assert by_patient.set_index("patient_id")["score"].to_dict() == pytest.approx(worst.to_dict())
    assert list(study.with_patients(tables)) == list(tables)


def test_a_band_of_few_patients_is_said_to_have_no_interval():
    row = {"title": "m", "method": AS_IT_IS, "from": 0.8, "to": 0.9, "units": 2, "confidence": 0.81,
           "promised": 0.19, "observed": 0.5, "low": np.nan, "high": np.nan}  # fmt: skip
    (line,) = findings._bands(pd.DataFrame([row]))
    assert "50.0% [too few patients for an interval] were wrong; 19.0% were promised" in line


# ------------------------------------------------------------------ depth


@pytest.fixture(scope="module")
def by_depth():
    table = several_depths(
        {"resnet18": 1.3, "resnet50": 2.0, "resnet101": 3.0}, patients=150, units_per_patient=15
    )
    return study.calibrate(groups({"06_patches": table, "05": binary_predictions(patients=40)}))


def test_the_deeper_network_is_found_to_be_worse(by_depth):
    measured = study.measure(by_depth, bins=15, seed=0, draws=DRAWS)
    table = network_depth.depths(by_depth, measured)
    assert table.groupby("depth").size().to_dict() == {18: 5, 50: 4, 101: 4}
    by_depth_ece = table[table["target"] == "label"].groupby("depth")["ece"].mean()
    assert by_depth_ece.is_monotonic_increasing
    deep = table[table["depth"] > 18]
    assert (deep["ece_recalibrated"] < deep["ece"]).all()
    effect = network_depth.depth_effect(by_depth, bins=15, seed=0, draws=DRAWS)
    row = effect.set_index("target").loc["label"]
    assert (row["shallow"], row["deep"], row["seeds"], row["family"]) == (18, 101, 2, "imagenet")
    assert row["difference"] == pytest.approx(by_depth_ece[101] - by_depth_ece[18])
    assert 0 < row["low"] < row["difference"] < row["high"]


def test_equal_networks_of_two_depths_show_no_difference():
    shallow = class_predictions(patients=60, units_per_patient=6, model="resnet18 x")
    deep = class_predictions(patients=60, units_per_patient=6, model="resnet50 x")
    models = study.calibrate(groups({"a": pd.concat([shallow, deep])}))
    effect = network_depth.depth_effect(models, bins=15, seed=0, draws=DRAWS)
    np.testing.assert_allclose(effect[["difference", "low", "high"]], 0, atol=1e-12)
