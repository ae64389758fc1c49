"""Models of whole mammograms: AUCs compared with scikit-learn, and a complete training run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import binary_predictions
from helpers.small_classifiers import small_whole_image_settings
from second_look.catalogue import LABELS
from second_look.evaluation.predictions import CLASS_SCORES, checked, classes, from_classes
from second_look.studies.transfer import image_results as results
from second_look.studies.transfer import linear_probe
from second_look.studies.transfer import whole_image as study
from second_look.studies.transfer.starts import PATCHES
from sklearn.metrics import roc_auc_score

DRAWS = 200


def images(model="b", seed=0, *, patients=40, signal=2.0, **facts):
    """Four views of each test patient; the larger the signal, the better the probabilities."""
    shared = np.random.default_rng(0)
    codes = shared.integers(len(LABELS), size=4 * patients)
    patient_of_image = np.repeat(np.arange(patients), 4)
    units = pd.DataFrame(
        {
            "dataset": "d",
            "image_id": [f"i{number}" for number in range(4 * patients)],
            "patient_id": [f"p{number}" for number in patient_of_image],
            "split": "test",
            "label": np.array(LABELS)[codes],
            "laterality": ["L", "L", "R", "R"] * patients,
            "view": ["CC", "MLO"] * 2 * patients,
        }
    )
    rng = np.random.default_rng([1, seed])
    logits = rng.normal(size=(len(units), len(LABELS))) + signal * np.eye(len(LABELS))[codes]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return from_classes(units, scores, unit="image", model=model, seed=seed, **facts)


def by_hand(table):
    """AUC by image, breast and patient, with scikit-learn and plain loops."""
    malignant, score = table["label"] == "malignant", table["score_malignant"]
    aucs = {"image": roc_auc_score(malignant, score)}
    pairs = {"breast": [], "patient": []}
    for _, patient in table.groupby("patient_id"):
        breasts = [
            (score[breast.index].mean(), malignant[breast.index].any())
            for _, breast in patient.groupby("laterality")
        ]
        pairs["breast"] += breasts
        pairs["patient"].append(tuple(map(max, zip(*breasts, strict=True))))
    for unit, of_unit in pairs.items():
        scores, truth = zip(*of_unit, strict=True)
        aucs[unit] = roc_auc_score(truth, scores)
    return aucs


def test_aucs_by_image_breast_and_patient_are_means_over_seeds():
    tables = [images(seed=0), images(seed=1), images("other", signal=0.5)]
    shuffled = pd.concat(tables).sample(frac=1, random_state=0)
    aucs = results.auc_table(shuffled, seed=0, draws=DRAWS)
    rows = aucs.set_index(["model", "unit"])
    assert len(rows) == 6
    for unit, n in (("image", 160), ("breast", 80), ("patient", 40)):
        expected = np.mean([by_hand(table)[unit] for table in tables[:2]])
        assert rows.loc[("b", unit), "value"] == pytest.approx(expected)
        assert rows.loc[("other", unit), "value"] == pytest.approx(by_hand(tables[2])[unit])
        row = rows.loc[("b", unit)]
        assert (row["trainings"], row["n"], row["patients"], row["reason"]) == (2, n, 40, "")
        assert row["low"] < row["value"] < row["high"]


def test_only_test_patients_count_and_binary_scores_are_accepted_beside_classes():
    validation = images().assign(split="val", patient_id=lambda t: "v" + t["patient_id"])
    by_class = images("a")
    binary = by_class.assign(target="malignant", score=by_class["score_malignant"], model="binary")
    binary[list(CLASS_SCORES)] = np.nan
    table = pd.concat([by_class, validation, binary], ignore_index=True)
    aucs = results.auc_table(table, seed=0, draws=DRAWS).set_index(["unit", "model"])["value"]
    for unit, value in by_hand(by_class).items():
        assert aucs[unit, "a"] == aucs[unit, "binary"] == pytest.approx(value)
    assert ("image", "b") not in aucs.index


def test_constant_scores_have_an_auc_of_a_half_and_the_reason_is_given():
    constant = images("constant")
    constant[list(CLASS_SCORES)] = 0.25
    aucs = results.auc_table(pd.concat([constant, images()]), seed=0, draws=DRAWS)
    rows = aucs[aucs["model"] == "constant"]
    assert (rows["value"] == 0.5).all()
    assert set(rows["reason"]) == {"all scores are equal: 0.5"}
    assert rows["n"].tolist() == [160, 80, 40]
    assert "By image, the highest AUC of 1 models is 0.50 [" in results.findings(rows)
    best = aucs[(aucs["unit"] == "breast") & (aucs["model"] == "b")].iloc[0]
    sentence = f"the highest AUC of 2 models is {best['value']:.2f} [{best['low']:.2f}"
    assert sentence in results.findings(aucs).splitlines()[1]


def test_without_a_malignancy_there_is_no_auc_either():
    aucs = results.auc_table(images().assign(label="benign"), seed=0, draws=DRAWS)
    assert set(aucs["reason"]) == {"no positive among them"}


def test_the_model_that_validation_patients_choose_is_named_not_the_best_on_test():
    parts = []
    for model, on_validation, on_test in (("lucky", 0.5, 4.0), ("chosen", 4.0, 1.0)):
        held_out = images(model, signal=on_validation).assign(split="val")
        held_out["patient_id"] = "v" + held_out["patient_id"]
        parts += [held_out, images(model, signal=on_test)]
    aucs = results.auc_table(pd.concat(parts, ignore_index=True), seed=0, draws=DRAWS)
    rows = aucs[aucs["unit"] == "image"].set_index("model")
    assert rows["value"].idxmax() == "lucky"
    expected = by_hand(parts[2])["image"]
    assert rows.loc["chosen", "validation_auc"] == pytest.approx(expected)
    sentence = results.findings(aucs).splitlines()[0]
    assert f"of 2 models the best on validation patients (chosen, {expected:.2f} there)" in sentence
    assert f"an AUC of {rows.loc['chosen', 'value']:.2f} [" in sentence


def test_means_are_of_the_probabilities_of_trainings_and_of_sizes():
    small, large = ({"rows": rows, "cols": 64, "start": "patches"} for rows in (64, 96))
    tables = [images("scheme B, 64×64", seed, **small) for seed in (0, 1)]
    tables += [images("scheme B, 96×64", 2, **large), images("probe, 64×64", **small)]
    means = checked(results.means(pd.concat(tables, ignore_index=True)))
    over_trainings, over_sizes = (of_model for _, of_model in means.groupby("model", sort=False))
    assert over_trainings["model"].unique() == ["scheme B, 64×64, mean of 2 trainings"]
    assert over_sizes["model"].unique() == ["scheme B, mean of 3 at 2 sizes"]
    for mean, averaged in ((over_trainings, tables[:2]), (over_sizes, tables[:3])):
        expected = sum(table[list(CLASS_SCORES)].to_numpy() for table in averaged) / len(averaged)
        scores = mean.set_index("image_id").loc[tables[0]["image_id"], list(CLASS_SCORES)]
        assert np.allclose(scores, expected)
    assert results.means(tables[0]).empty


def test_larger_images_are_compared_with_the_smallest():
    sizes = ((64, 128, 1.0), (0, 0, 3.0), (64, 64, 0.5))
    tables = [
        images(f"b {rows}×{cols}", seed, signal=signal, rows=rows, cols=cols, start="random",
               averaged=False)
        for rows, cols, signal in sizes for seed in (0, 1, 2)
    ]  # fmt: skip
    gains = results.size_gains(pd.concat(tables, ignore_index=True), seed=0, draws=DRAWS)
    assert list(gains[["model", "reference"]].itertuples(index=False, name=None)) == [
        ("b 0×0", "b 64×64"), ("b 64×128", "b 64×64"),
    ]  # fmt: skip
    assert (gains["value"] > 0).all()
    assert gains["trainings"].tolist() == [3, 3]
    assert results.size_gains(tables[0], seed=0).empty


def test_a_table_of_binary_images_needs_no_classes():
    table = binary_predictions(patients=200).assign(laterality="L")
    aucs = results.auc_table(table, seed=0, draws=DRAWS)
    test = table[table["split"] == "test"]
    expected = roc_auc_score(test["label"] == "malignant", test["score"])
    assert aucs.set_index("unit").loc["image", "value"] == pytest.approx(expected)


@pytest.fixture(scope="module")
def trained(phantom_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = small_whole_image_settings()
    models = study.train_all(
        phantom_data,
        settings,
        sizes=[(64, 64)],
        starts=["random"],
        seeds=[0, 1],
        folder=folder,
    )
    return folder, settings, models


def test_the_gain_of_a_start_is_paired_and_within_one_size():
    small, large = ({"rows": side, "cols": side, "averaged": False} for side in (256, 512))
    by_model = {
        "imagenet": [images("imagenet", seed, signal=1.0, **small) for seed in (0, 3)],
        "patches": [images("patches", seed, signal=2.0, **small) for seed in (1, 3)],
    }
    unpaired = images("other", seed=2, signal=0.5, **large)
    table = pd.concat([*by_model["imagenet"], *by_model["patches"], unpaired])
    gains = results.auc_gains(table, seed=0, draws=DRAWS)
    assert gains[["model", "reference", "measure", "trainings"]].to_numpy().tolist() == [
        ["patches", "imagenet", measure, 2] for measure in ("AUC", "accuracy", "balanced accuracy")
    ]
    means = {
        model: np.mean([by_hand(of_seed)["image"] for of_seed in tables])
        for model, tables in by_model.items()
    }
    row = gains.iloc[0]
    assert row["value"] == pytest.approx(means["patches"] - means["imagenet"])
    assert 0 < row["low"] < row["value"] < row["high"]
    right = {
        model: [
            (rows[list(CLASS_SCORES)].to_numpy().argmax(axis=1) == classes(rows)).mean()
            for rows in tables
        ]
        for model, tables in by_model.items()
    }
    natural = gains.set_index("measure").loc["accuracy"]
    assert natural["value"] == pytest.approx(np.mean(right["patches"]) - np.mean(right["imagenet"]))
    assert natural["low"] <= natural["value"] <= natural["high"]
    empty = results.auc_gains(unpaired, seed=0, draws=DRAWS)
    assert empty.empty
    assert list(empty.columns) == list(gains.columns)


def test_training_gives_predictions_of_all_images_except_the_training_images(phantom_data, trained):
    _, _, models = trained
    table = checked(pd.concat([model.predictions for model in models], ignore_index=True))
    catalogue = phantom_data.catalogue.images
    expected = catalogue[catalogue["split"] != "train"].set_index("image_id")
    for _, of_model in table.groupby(["model", "seed"]):
        rows = of_model.set_index("image_id")
        assert rows["label"].to_dict() == expected["label"].to_dict()
        assert rows["split"].to_dict() == expected["split"].to_dict()
    name = "scheme B, 64×64, start random"
    assert set(table["model"]) == {name, f"{name} tta"}
    assert set(table["seed"]) == {0, 1}
    assert study.paper_equivalent_model(models) == name
    plain, mirrored = (
        table[table["model"] == model][CLASS_SCORES[-1]] for model in (name, f"{name} tta")
    )
    assert not np.allclose(plain, mirrored)
    aucs = results.auc_table(table, seed=0, draws=DRAWS)
    assert (aucs["trainings"] == 2).all()


def test_the_epoch_with_the_best_validation_auc_is_kept(trained):
    for model in trained[2]:
        table = model.predictions
        table = table[(table["split"] == "val") & (table["model"] == model.name)]
        auc = roc_auc_score(table["label"] == "malignant", table["score_malignant"])
        curve = model.trained.curve("auc")
        assert len(curve) == 2
        assert auc == pytest.approx(curve["value"].max())


def test_a_second_call_only_loads(phantom_data, trained, monkeypatch):
    folder, settings, models = trained
    monkeypatch.setattr("second_look.training.classify.ClassifierTask.step", None)
    again = study.train_all(
        phantom_data,
        settings,
        sizes=[(64, 64)],
        starts=["random"],
        seeds=[0],
        folder=folder,
    )
    pd.testing.assert_frame_equal(again[0].predictions, models[0].predictions)


def test_a_model_starts_from_patch_weights(phantom_data, tmp_path, trained):
    _, settings, models = trained
    patches = models[0].trained.weights
    (model,) = study.train_all(
        phantom_data,
        replace(settings, epochs=1, learning_rate=1e-12),
        sizes=[(64, 64)],
        starts=["patches"],
        seeds=[7],
        folder=tmp_path,
        patch_weights={7: patches},
    )
    weights, start = model.network.state_dict(), models[0].network.state_dict()
    for key, value in weights.items():
        assert key.startswith("head.") or np.allclose(value, start[key], atol=1e-6), key
    # The last layer is the linear model of the frozen features, whose table stands beside it.
    probe = linear_probe.linear_probe(
        phantom_data, architecture="small", starts={PATCHES: {7: str(patches)}}, size=(64, 64),
        folder=tmp_path, weights=[],
    )  # fmt: skip
    plain = model.predictions[~model.predictions["averaged"]]
    scores = list(CLASS_SCORES)
    assert np.allclose(plain[scores], probe[scores], atol=1e-3)
    assert probe["model"].unique() == ["linear model of frozen features, 64×64, start patches"]
    assert study.paper_equivalent_model([*models, model]) == "scheme B, 64×64, start patches"
    larger = replace(model, name="scheme B, 96×96, start patches", size=(96, 96))
    native = replace(model, name="scheme B, 0×0, start patches", size=(0, 0))
    assert study.paper_equivalent_model([native, larger, model]) == "scheme B, 64×64, start patches"
