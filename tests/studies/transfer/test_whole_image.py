"""Models of whole mammograms: AUCs against scikit-learn, and a training from end to end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import binary_predictions
from second_look.catalogue import LABELS
from second_look.evaluation.predictions import CLASS_SCORES, checked, from_classes
from second_look.models.classifier import build_classifier
from second_look.outputs import load_results, open_run
from second_look.paper import SYNTHETIC
from second_look.studies.transfer import whole_image as study
from second_look.studies.transfer.field import worse_than_the_field
from second_look.studies.transfer.starts import PATCHES, resolve_starts
from sklearn.metrics import roc_auc_score

DRAWS = 200


def images(model="b", seed=0, *, patients=40, knows=2.0, **facts):
    """Four views of each test patient, with probabilities that know something of the label."""
    shared = np.random.default_rng(0)
    codes = shared.integers(len(LABELS), size=4 * patients)
    whose = np.repeat(np.arange(patients), 4)
    units = pd.DataFrame(
        {
            "dataset": "d",
            "image_id": [f"i{number}" for number in range(4 * patients)],
            "patient_id": [f"p{number}" for number in whose],
            "split": "test",
            "label": np.array(LABELS)[codes],
            "laterality": ["L", "L", "R", "R"] * patients,
            "view": ["CC", "MLO"] * 2 * patients,
        }
    )
    rng = np.random.default_rng([1, seed])
    logits = rng.normal(size=(len(units), len(LABELS))) + knows * np.eye(len(LABELS))[codes]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return from_classes(units, scores, unit="image", model=model, seed=seed, **facts)


def by_hand(table):
    """AUC by image, breast and patient, with scikit-learn and plain loops."""
    sick, score = table["label"] == "malignant", table["score_malignant"]
    found = {"image": roc_auc_score(sick, score)}
    breasts, women = [], []
    for _, woman in table.groupby("patient_id"):
        own = []
        for _, breast in woman.groupby("laterality"):
            rows = breast.index
            own.append((score[rows].mean(), sick[rows].any()))
        breasts += own
        women.append((max(s for s, _ in own), any(m for _, m in own)))
    for unit, pairs in (("breast", breasts), ("patient", women)):
        scores, truth = zip(*pairs, strict=True)
        found[unit] = roc_auc_score(truth, scores)
    return found


def test_aucs_by_image_breast_and_patient_are_means_over_seeds():
    tables = [images(seed=0), images(seed=1), images("other", knows=0.5)]
    shuffled = pd.concat(tables).sample(frac=1, random_state=0)
    areas = study.auc_table(shuffled, seed=0, draws=DRAWS)
    rows = areas.set_index(["model", "unit"])
    assert len(rows) == 6
    for unit, n in (("image", 160), ("breast", 80), ("patient", 40)):
        expected = np.mean([by_hand(table)[unit] for table in tables[:2]])
        assert rows.loc[("b", unit), "value"] == pytest.approx(expected)
        assert rows.loc[("other", unit), "value"] == pytest.approx(by_hand(tables[2])[unit])
        row = rows.loc[("b", unit)]
        assert (row["seeds"], row["n"], row["patients"], row["reason"]) == (2, n, 40, "")
        assert row["low"] < row["value"] < row["high"]


def test_only_test_patients_count_and_binary_scores_stand_beside_classes():
    other = images().assign(split="val", patient_id=lambda t: "v" + t["patient_id"])
    own = images("a")
    binary = own.assign(target="malignant", score=own["score_malignant"], model="binary")
    binary[list(CLASS_SCORES)] = np.nan
    table = pd.concat([own, other, binary], ignore_index=True)
    areas = study.auc_table(table, seed=0, draws=DRAWS).set_index(["unit", "model"])["value"]
    for unit, value in by_hand(own).items():
        assert areas[unit, "a"] == areas[unit, "binary"] == pytest.approx(value)
    assert ("image", "b") not in areas.index


def test_constant_scores_are_said_to_have_no_auc():
    constant = images("constant")
    constant[list(CLASS_SCORES)] = 0.25
    areas = study.auc_table(pd.concat([constant, images()]), seed=0, draws=DRAWS)
    rows = areas[areas["model"] == "constant"]
    assert rows["value"].isna().all()
    assert set(rows["reason"]) == {"all scores are equal"}
    assert rows["n"].tolist() == [160, 80, 40]
    alone = study.findings(rows)
    assert "By image there is no AUC: all scores are equal." in alone
    best = areas[(areas["unit"] == "breast") & (areas["model"] == "b")].iloc[0]
    said = f"the highest AUC of 1 models is {best['value']:.2f} [{best['low']:.2f}"
    assert said in study.findings(areas).splitlines()[1]


def test_without_a_malignancy_there_is_no_auc_either():
    areas = study.auc_table(images().assign(label="benign"), seed=0, draws=DRAWS)
    assert set(areas["reason"]) == {"no positive among them"}


def test_the_claim_gets_the_auc_by_image(tmp_path, phantom_data):
    areas = study.auc_table(images(), seed=0, draws=DRAWS)
    for data, verdict in (
        (phantom_data, SYNTHETIC),
        (
            replace(phantom_data, synthetic=False),
            worse_than_the_field(*areas.loc[0, ["low", "high"]]),
        ),
    ):
        run = open_run(tmp_path, notebook="06_patch_transfer_learning")
        study.report(run, areas, data, "b")
        (row,) = load_results(tmp_path)
        assert row["value"] == pytest.approx(by_hand(images())["image"])
        assert (row["claim"], row["n"], row["verdict"]) == ("scheme-b", 160, verdict)
    undefined = areas.assign(value=np.nan)
    run = open_run(tmp_path, notebook="06_patch_transfer_learning")
    study.report(run, undefined, phantom_data, "b")
    assert load_results(tmp_path) == []


def test_a_table_of_binary_images_needs_no_classes():
    table = binary_predictions(patients=200).assign(laterality="L")
    areas = study.auc_table(table, seed=0, draws=DRAWS)
    test = table[table["split"] == "test"]
    expected = roc_auc_score(test["label"] == "malignant", test["score"])
    assert areas.set_index("unit").loc["image", "value"] == pytest.approx(expected)


@pytest.fixture(scope="module")
def trained(phantom_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = study.WholeImageSettings(epochs=2, accelerator="cpu")
    models = study.train_all(
        phantom_data,
        settings,
        sizes=[(64, 64)],
        starts={"random": "random"},
        seeds=[0, 1],
        folder=folder,
    )
    return folder, settings, models


def test_the_gain_of_a_start_is_paired_and_within_one_size():
    small, large = ({"rows": side, "cols": side, "averaged": False} for side in (256, 512))
    tables = {
        "imagenet": images("imagenet", knows=1.0, **small),
        "patches": images("patches", seed=1, knows=2.0, **small),
        "other": images("other", seed=2, knows=0.5, **large),
    }
    again = images("patches", seed=3, knows=2.0, **small)
    table = pd.concat([*tables.values(), again, images("imagenet", 3, knows=1.0, **small)])
    found = study.gains(table, seed=0, draws=DRAWS)
    assert found[["model", "less", "seeds"]].to_numpy().tolist() == [["patches", "imagenet", 2]]
    each = {
        name: [by_hand(own)["image"] for own in own_tables]
        for name, own_tables in (
            ("patches", (tables["patches"], again)),
            ("imagenet", (tables["imagenet"], images("imagenet", 3, knows=1.0, **small))),
        )
    }
    expected = np.mean(each["patches"]) - np.mean(each["imagenet"])
    row = found.iloc[0]
    assert row["value"] == pytest.approx(expected)
    assert 0 < row["low"] < row["value"] < row["high"]
    alone = study.gains(tables["other"], seed=0, draws=DRAWS)
    assert alone.empty
    assert list(alone.columns) == list(found.columns)


def test_training_leaves_predictions_of_all_images_but_those_it_learnt_from(phantom_data, trained):
    _, _, models = trained
    table = checked(pd.concat([model.predictions for model in models], ignore_index=True))
    catalogue = phantom_data.catalogue.images
    wanted = catalogue[catalogue["split"] != "train"].set_index("image_id")
    for _, own in table.groupby(["model", "seed"]):
        assert own.set_index("image_id")["label"].to_dict() == wanted["label"].to_dict()
        assert own.set_index("image_id")["split"].to_dict() == wanted["split"].to_dict()
    name = "scheme B, 64×64, start random"
    assert set(table["model"]) == {name, f"{name} tta"}
    assert set(table["seed"]) == {0, 1}
    assert study.the_papers(models) == name
    plain, mirrored = (
        table[table["model"] == model][CLASS_SCORES[-1]] for model in (name, f"{name} tta")
    )
    assert not np.allclose(plain, mirrored)
    areas = study.auc_table(table, seed=0, draws=DRAWS)
    assert (areas["seeds"] == 2).all()


def test_the_epoch_with_the_best_validation_auc_is_kept(trained):
    for model in trained[2]:
        own = model.predictions
        own = own[(own["split"] == "val") & (own["model"] == model.name)]
        found = roc_auc_score(own["label"] == "malignant", own["score_malignant"])
        curve = model.trained.curve("auc")
        assert len(curve) == 2
        assert found == pytest.approx(curve["value"].max())


def test_a_second_call_only_loads(phantom_data, trained, monkeypatch):
    folder, settings, models = trained
    monkeypatch.setattr("second_look.training.classify.ClassifierTask.step", None)
    again = study.train_all(
        phantom_data,
        settings,
        sizes=[(64, 64)],
        starts={"random": "random"},
        seeds=[0],
        folder=folder,
    )
    pd.testing.assert_frame_equal(again[0].predictions, models[0].predictions)


def test_patch_weights_are_where_a_model_begins(phantom_data, tmp_path, trained):
    _, settings, models = trained
    patches = models[0].trained.weights
    (model,) = study.train_all(
        phantom_data,
        replace(settings, epochs=1, learning_rate=1e-12),
        sizes=[(64, 64)],
        starts=resolve_starts(["patches"], {PATCHES: patches}),
        seeds=[7],
        folder=tmp_path,
    )
    own, other = model.network.state_dict(), models[0].network.state_dict()
    fresh = build_classifier("small", seed=7).state_dict()
    for key, value in own.items():
        assert np.allclose(value, other[key], atol=1e-6), key
    assert not np.allclose(own["head.weight"], fresh["head.weight"])
    assert study.the_papers([*models, model]) == "scheme B, 64×64, start patches"
    larger = replace(model, name="scheme B, 96×96, start patches", size=(96, 96))
    native = replace(model, name="scheme B, 0×0, start patches", size=(0, 0))
    assert study.the_papers([native, larger, model]) == "scheme B, 64×64, start patches"
