"""Learning curves and transfer, where models are made so that the answer is known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import class_predictions
from second_look.catalogue import LABELS
from second_look.evaluation.intervals import Estimate
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.outputs import load_results, open_run
from second_look.paper import NOT_REPRODUCED, REPRODUCED, SYNTHETIC
from second_look.studies.transfer import patch_transfer as study
from second_look.training.loop import Trained
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, roc_auc_score

DRAWS = 200


def model(start="random", patches=512, seed=0, **settings):
    """Predictions of a model; all models see the same windows."""
    facts = {"patients": 40, "units_per_patient": 10, "noise": 1.0, **settings}
    table = class_predictions(model=f"small {start}", model_seed=seed, **facts)
    places = np.arange(len(table)) % facts["units_per_patient"]
    return table.assign(start=start, patches=patches, row=0, col=64 * places, size=64)


def scored(table, right):
    """Sure predictions: the true class where `right` (n,) says so, else the next one."""
    codes = (table["label"].map(LABELS.index) + ~right) % len(LABELS)
    scores = pd.DataFrame(np.eye(len(LABELS))[codes], columns=list(CLASS_SCORES), index=table.index)
    return table.assign(**scores)


def perfect(**settings):
    table = model(**settings)
    return scored(table, np.ones(len(table), dtype=bool))


def by_chance(**settings):
    table = model(**settings)
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(len(LABELS)), len(table))
    return table.assign(**dict(zip(CLASS_SCORES, scores.T, strict=True)))


def together(*tables):
    return pd.concat(tables, ignore_index=True)


def direct(table):
    """The three measures by scikit-learn."""
    truth, scores = table["label"], table[list(CLASS_SCORES)].to_numpy()
    said = np.array(LABELS)[scores.argmax(axis=1)]
    areas = [roc_auc_score(truth == name, scores[:, k]) for k, name in enumerate(LABELS)]
    return {
        "accuracy": accuracy_score(truth, said),
        "balanced_accuracy": balanced_accuracy_score(truth, said),
        "macro_auc": np.mean(areas),
    }


def measured(table, measure, **where):
    rows = table[table["measure"] == measure]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    (row,) = rows.to_dict("records")
    return row


# ------------------------------------------------------------------ curve and transfer


def test_the_curve_holds_the_means_over_seeds():
    tables = {
        (start, patches, seed): model(start, patches, seed, noise=noise)
        for start, patches, noise in (("random", 512, 3), ("random", 2048, 1), ("file", 512, 2))
        for seed in (0, 1)
    }
    shuffled = together(*tables.values()).sample(frac=1, random_state=0)
    curve = study.learning_curve(shuffled, seed=0, draws=DRAWS)
    assert len(curve) == 3 * 3
    for start, patches in {(start, patches) for start, patches, _ in tables}:
        own = [direct(tables[start, patches, seed]) for seed in (0, 1)]
        for measure in study.MEASURES:
            row = measured(curve, measure, start=start, patches=patches)
            assert row["value"] == pytest.approx(np.mean([one[measure] for one in own]))
            assert row["low"] < row["value"] < row["high"]
            assert (row["seeds"], row["n"], row["patients"]) == (2, 400, 40)


def test_identical_models_differ_by_exactly_nothing():
    one = model()
    effect = study.transfer_effect(together(one, one.assign(start="file")), seed=0, draws=DRAWS)
    assert effect["measure"].tolist() == list(study.MEASURES)
    assert (effect[["value", "low", "high"]] == 0).all(axis=None)
    assert set(effect["answer"]) == {"no difference seen"}


def test_a_start_that_knows_everything_helps_and_one_that_knows_nothing_harms():
    effect = study.transfer_effect(
        together(by_chance(), perfect(start="imagenet")), seed=0, draws=DRAWS
    )
    plain, best = direct(by_chance()), direct(perfect())
    for row in effect.to_dict("records"):
        assert row["value"] == pytest.approx(best[row["measure"]] - plain[row["measure"]])
        assert 0 < row["low"] <= row["value"] <= row["high"]
    assert set(effect["answer"]) == {"helps"}
    other = study.transfer_effect(
        together(by_chance(start="imagenet"), perfect()), seed=0, draws=DRAWS
    )
    assert set(other["answer"]) == {"harms"}
    assert other["value"].tolist() == pytest.approx((-effect["value"]).tolist())


def test_differences_are_paired_over_patients():
    """Two models that fail on the same patients: paired, their difference is sure."""
    table = model()
    hard = table["patient_id"].str[-1].astype(int).to_numpy() < 4
    less = hard | (np.arange(len(table)) % 10 == 0)
    predictions = together(scored(table, ~less), scored(table, ~hard).assign(start="imagenet"))
    effect = study.transfer_effect(predictions, seed=0, draws=DRAWS)
    curve = study.learning_curve(predictions, seed=0, draws=DRAWS)
    gain = measured(effect, "accuracy")
    one = measured(curve, "accuracy", start="random")
    assert gain["value"] == pytest.approx(0.06)
    assert gain["answer"] == "helps"
    assert gain["high"] - gain["low"] < (one["high"] - one["low"]) / 4


def test_every_number_of_patches_is_compared_with_its_own_random_start():
    tables = [model(start, patches) for start in ("random", "file") for patches in (512, 2048)]
    lonely = model("other", 9000)
    effect = study.transfer_effect(together(*tables, lonely), seed=0, draws=DRAWS)
    pairs = list(effect[["start", "patches"]].drop_duplicates().itertuples(index=False, name=None))
    assert pairs == [("file", 512), ("file", 2048)]
    nothing = study.transfer_effect(lonely, seed=0)
    assert nothing.empty
    assert list(nothing.columns) == list(effect.columns)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.1, "helps"), (-0.1, -0.01, "harms"), (-0.1, 0.1, "no difference seen")],
)
def test_only_an_interval_beside_zero_is_an_answer(low, high, expected):
    assert study.answer(Estimate(0.0, low, high, 10, 5)) == expected
    assert study.answer(Estimate(0.0, np.nan, np.nan, 10, 5, "reason")) == "undefined"


# ------------------------------------------------------------------ one model


def test_confusion_and_recall_are_scikit_learns():
    table = model()
    table = table[table["label"] != "benign"]
    said = np.array(LABELS)[table[list(CLASS_SCORES)].to_numpy().argmax(axis=1)]
    found = study.confusion_of(table).set_index("class")
    present = [label for label in LABELS if label != "benign"]
    assert found.index.tolist() == present
    expected = confusion_matrix(table["label"], said, labels=LABELS)
    rows = [LABELS.index(label) for label in present]
    assert found["windows"].tolist() == expected[rows].sum(axis=1).tolist()
    shares = expected[rows] / expected[rows].sum(axis=1, keepdims=True)
    assert np.allclose(found[list(LABELS)], shares)
    recalls = study.by_class(table, seed=0).set_index("label")["recall"]
    assert recalls[present].tolist() == pytest.approx(shares[range(3), rows].tolist())
    assert np.isnan(recalls["benign"])


def windows(split, labels, excluded=""):
    return pd.DataFrame({"split": split, "label": labels, "excluded": excluded})


def test_baselines_learn_from_labelled_training_windows():
    table = together(
        windows("train", ["normal"] * 6 + ["benign"] * 2),
        windows("train", ["malignant"] * 50, "partial lesion"),
        windows("val", ["malignant"] * 50),
    )
    found = study.baselines(table, windows("test", ["normal"] * 3 + ["benign"]))
    found = found.set_index("baseline")
    assert found.loc["always the commonest class"].tolist() == pytest.approx([0.75, 0.5])
    by_frequency = found.loc["a guess by frequency", "accuracy"]
    assert by_frequency == pytest.approx(0.75 * 0.75 + 0.25 * 0.25)


def trained(tmp_path, start="random", patches=512, seed=0, history=()):
    table = pd.DataFrame(history, columns=["step", "name", "value"])
    done = Trained(tmp_path, tmp_path / "weights.safetensors", table, 16, 16, 1.0)
    return SimpleNamespace(start=start, patches=patches, seed=seed, batch_size=32, trained=done)


def test_the_best_model_has_most_patches_and_the_first_seed(tmp_path):
    models = [
        trained(tmp_path, *facts)
        for facts in (("random", 512, 0), ("random", 512, 1), ("file", 2048, 1), ("file", 2048, 0))
    ]
    assert study.best_model(models) is models[3]
    assert study.best_model(models, "random") is models[0]


def test_of_models_with_as_many_patches_validation_patients_choose(tmp_path):
    def validated(start, patches, seed, value):
        # After the kept step, 16, nothing counts.
        history = [(8, "macro_auc", 0.5), (16, "macro_auc", value), (24, "macro_auc", 0.99)]
        return trained(tmp_path, start, patches, seed, history)

    models = [
        validated("imagenet", 512, 0, 0.9),
        validated("random", 2048, 0, 0.55),
        validated("imagenet", 2048, 1, 0.7),
        validated("imagenet", 2048, 0, 0.65),
        validated("file", 2048, 0, np.nan),
    ]
    assert study.best_model(models) is models[2]
    assert study.best_model(models, "random") is models[1]


def test_curves_of_training_are_those_of_the_largest_models(tmp_path):
    history = [
        (8, "accuracy", 0.9), (8, "loss", 1.0), (8, "macro_auc", 0.6), (16, "macro_auc", 0.7)
    ]  # fmt: skip
    models = [
        trained(tmp_path, patches=512, history=history),
        trained(tmp_path, patches=64, history=history),
    ]
    found = study.curves_of_training(models)
    assert found["patches"].tolist() == [256, 512]
    assert found["value"].tolist() == [0.6, 0.7]
    assert set(found["measure"]) == {"macro_auc"}
    assert study.curves_of_training([trained(tmp_path)]).empty


# ------------------------------------------------------------------ claims and sentences


def results(tmp_path, data, tables, main="random"):
    run = open_run(tmp_path, notebook="06_patch_transfer_learning")
    curve = study.learning_curve(together(*tables), seed=0, draws=DRAWS)
    effect = study.transfer_effect(together(*tables), seed=0, draws=DRAWS)
    baseline = study.baselines(windows("train", ["normal"]), windows("test", list(LABELS)))
    study.report(run, curve, effect, baseline, data, main)
    return {row["claim"]: row for row in load_results(tmp_path)}


def test_accuracies_stand_beside_those_of_as_many_patches(tmp_path, phantom_data):
    real = replace(phantom_data, synthetic=False)
    right = np.arange(400) % 20 < 13
    near = scored(model(patches=390_000), right)
    rows = results(tmp_path, real, [near, perfect(patches=204_800), perfect(patches=2048)])
    assert rows["patch-accuracy-400k"]["value"] == pytest.approx(65)
    assert rows["patch-accuracy-400k"]["verdict"] == REPRODUCED
    assert rows["patch-accuracy-200k"]["value"] == pytest.approx(100)
    assert rows["patch-accuracy-200k"]["verdict"] == NOT_REPRODUCED
    assert "204,800 patches, start random" in rows["patch-accuracy-200k"]["how"]
    assert set(results(tmp_path / "few", real, [perfect(patches=2048)])) == set()


@pytest.mark.parametrize(
    ("random", "imagenet", "verdict"),
    [
        (model, perfect, NOT_REPRODUCED),
        (by_chance, perfect, study.AT_CHANCE),
        (perfect, by_chance, REPRODUCED),
        (model, model, REPRODUCED),
    ],
)
def test_transfer_is_judged_by_its_answer(tmp_path, phantom_data, random, imagenet, verdict):
    real = replace(phantom_data, synthetic=False)
    tables = [random(), imagenet(start="imagenet"), perfect(start="file")]
    row = results(tmp_path, real, tables)["transfer"]
    assert row["verdict"] == verdict
    assert "a start from imagenet gains" in row["how"]
    assert row["low"] <= row["value"] <= row["high"]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.3, "not reproduced"),
        (-0.3, 0.049, "reproduced"),
        (-0.3, 0.4, "undecided: the gain may reach 40 points"),
        (np.nan, np.nan, "undecided: too few patients"),
    ],
)
def test_no_difference_on_few_patients_decides_nothing(low, high, verdict):
    assert study._verdict(low, high, "imagenet").startswith(verdict)
    assert study._verdict(low, high, "phantom") is None


def test_another_start_does_not_judge_imagenet_and_phantoms_judge_nothing(tmp_path, phantom_data):
    real = replace(phantom_data, synthetic=False)
    row = results(tmp_path / "a", real, [by_chance(), perfect(start="file")])["transfer"]
    assert row["verdict"] not in (REPRODUCED, NOT_REPRODUCED)
    row = results(tmp_path / "b", phantom_data, [by_chance(), perfect(start="imagenet")])
    assert row["transfer"]["verdict"] == SYNTHETIC


def test_findings_hold_the_runs_numbers():
    tables = together(model(noise=3), model(patches=2048), model("file", noise=2))
    curve = study.learning_curve(tables, seed=0, draws=DRAWS)
    effect = study.transfer_effect(tables, seed=0, draws=DRAWS)
    judged = windows("test", ["normal"] * 3 + ["benign"])
    text = study.findings(curve, effect, study.baselines(windows("train", ["normal"]), judged))
    few, many = direct(model(noise=3)), direct(model(patches=2048))
    for name in ("balanced_accuracy", "accuracy"):
        low, high = (f"{one[name]:.0%}" for one in (few, many))
        own = next(x for x in text.splitlines() if f"random: {study.MEASURES[name]} goes" in x)
        assert f"from {low} [" in own
        assert "with 512 patches" in own
        assert f"to {high} [" in own
        assert own.endswith("with 2,048.")
    assert "an accuracy of 75% and a balanced accuracy of 50%" in text
    gain = measured(effect, "balanced_accuracy")
    expected = 100 * (
        direct(model("file", noise=2))["balanced_accuracy"] - few["balanced_accuracy"]
    )
    assert f"file with 512 patches against a random one: {expected:+.1f} % points" in text
    # Of two classes chance is a half, which the random start is below; of all four a quarter.
    still = " (the random one is still at chance there)"
    assert text.splitlines()[-1].endswith(f"balanced accuracy: {gain['answer']}{still}.")
    four = study.baselines(windows("train", ["normal"]), windows("test", list(LABELS)))
    text = study.findings(curve, effect, four)
    assert text.splitlines()[-1].endswith(f"balanced accuracy: {gain['answer']}.")
