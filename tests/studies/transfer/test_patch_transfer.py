"""Learning curves and transfer, with simulated models whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import class_predictions
from second_look.catalogue import LABELS
from second_look.evaluation.intervals import Estimate
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.evaluation.seeds import OverTrainings
from second_look.studies.transfer import patch_transfer as study
from second_look.training.loop import Trained
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, roc_auc_score

DRAWS = 200


def model(start="random", patches=512, seed=0, **settings):
    """Predictions of a model; all models see the same windows."""
    facts = {"patients": 40, "units_per_patient": 10, "noise": 1.0, **settings}
    table = class_predictions(model=f"small {start}", model_seed=seed, **facts)
    columns = np.arange(len(table)) % facts["units_per_patient"]
    return table.assign(start=start, patches=patches, row=0, col=64 * columns, size=64)


def scored(table, correct):
    """Certain predictions: the true class where `correct` (n,) is True, else the next class."""
    codes = (table["label"].map(LABELS.index) + ~correct) % len(LABELS)
    scores = pd.DataFrame(np.eye(len(LABELS))[codes], columns=list(CLASS_SCORES), index=table.index)
    return table.assign(**scores)


def perfect(**settings):
    table = model(**settings)
    return scored(table, np.ones(len(table), dtype=bool))


def random_scores(**settings):
    table = model(**settings)
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(len(LABELS)), len(table))
    return table.assign(**dict(zip(CLASS_SCORES, scores.T, strict=True)))


def concatenate(*tables):
    return pd.concat(tables, ignore_index=True)


def direct(table):
    """The three measures by scikit-learn."""
    truth, scores = table["label"], table[list(CLASS_SCORES)].to_numpy()
    predicted = np.array(LABELS)[scores.argmax(axis=1)]
    areas = [roc_auc_score(truth == name, scores[:, k]) for k, name in enumerate(LABELS)]
    return {
        "accuracy": accuracy_score(truth, predicted),
        "balanced_accuracy": balanced_accuracy_score(truth, predicted),
        "macro_auc": np.mean(areas),
    }


def measured(table, measure, **conditions):
    rows = table[table["measure"] == measure]
    for name, value in conditions.items():
        rows = rows[rows[name] == value]
    (row,) = rows.to_dict("records")
    return row


# ------------------------------------------------------------------ curve and transfer


def test_the_curve_has_the_means_over_seeds():
    tables = {
        (start, patches, seed): model(start, patches, seed, noise=noise)
        for start, patches, noise in (("random", 512, 3), ("random", 2048, 1), ("file", 512, 2))
        for seed in (0, 1)
    }
    shuffled = concatenate(*tables.values()).sample(frac=1, random_state=0)
    curve = study.learning_curve(shuffled, seed=0, draws=DRAWS)
    assert len(curve) == 3 * 3
    for start, patches in {(start, patches) for start, patches, _ in tables}:
        expected = [direct(tables[start, patches, seed]) for seed in (0, 1)]
        for measure in study.MEASURES:
            row = measured(curve, measure, start=start, patches=patches)
            assert row["value"] == pytest.approx(np.mean([values[measure] for values in expected]))
            assert row["low"] < row["value"] < row["high"]
            assert (row["trainings"], row["n"], row["patients"]) == (2, 400, 40)
            assert row["between_trainings"] > 0 < row["between_patients"]


def three(make, **settings):
    """Three trainings of a model."""
    return concatenate(*(make(seed=seed, **settings) for seed in range(3)))


def test_identical_answers_are_called_so_and_have_no_interval():
    """They had the gain 0 [0, 0] with p = 1, as if no other patient could tell the models apart."""
    table = model()
    effect = study.transfer_effect(
        concatenate(table, table.assign(start="file")), seed=0, draws=DRAWS
    )
    assert effect["measure"].tolist() == list(study.MEASURES)
    assert (effect["value"] == 0).all()
    assert effect[["low", "high", "p", "p_holm"]].isna().all(axis=None)
    assert set(effect["reason"]) == {"the same answers for every patient"}
    assert set(effect["answer"]) == {"the answers are identical"}


def test_a_perfect_start_helps_and_one_at_chance_harms():
    effect = study.transfer_effect(
        concatenate(three(random_scores), three(perfect, start="imagenet")), seed=0, draws=DRAWS
    )
    baseline, best = direct(random_scores()), direct(perfect())
    for row in effect.to_dict("records"):
        assert row["value"] == pytest.approx(best[row["measure"]] - baseline[row["measure"]])
        assert 0 < row["low"] <= row["value"] <= row["high"]
    assert set(effect["answer"]) == {"helps"}
    reverse = study.transfer_effect(
        concatenate(three(random_scores, start="imagenet"), three(perfect)), seed=0, draws=DRAWS
    )
    assert set(reverse["answer"]) == {"harms"}
    assert reverse["value"].tolist() == pytest.approx((-effect["value"]).tolist())


@pytest.mark.parametrize(("seeds", "number"), [((0,), "one training"), ((0, 1), "two trainings")])
def test_few_trainings_cannot_separate_a_start_from_luck(seeds, number):
    """One training of each start said "helps", at the chance level of another seed."""
    tables = [make(seed=seed, start=start) for seed in seeds
              for make, start in ((random_scores, "random"), (perfect, "imagenet"))]  # fmt: skip
    effect = study.transfer_effect(concatenate(*tables), seed=0, draws=DRAWS)
    assert (effect["low"] > 0).all()
    luck = f"{number} cannot separate the start from luck"
    assert set(effect["answer"]) == {luck}
    curve = study.learning_curve(concatenate(*tables), seed=0, draws=DRAWS)
    test = windows("test", list(LABELS))
    text = study.findings(curve, effect, study.baselines(windows("train", ["normal"]), test))
    assert text.count(luck) == 1
    assert "helps" not in text


def test_differences_are_paired_over_patients():
    """Two models that fail on the same patients: paired, their difference has a narrow interval."""
    table = model()
    hard = table["patient_id"].str[-1].astype(int).to_numpy() < 4
    failures = hard | (np.arange(len(table)) % 10 == 0)
    predictions = concatenate(
        scored(table, ~failures), scored(table, ~hard).assign(start="imagenet")
    )
    predictions = concatenate(*(predictions.assign(seed=seed) for seed in range(3)))
    effect = study.transfer_effect(predictions, seed=0, draws=DRAWS)
    curve = study.learning_curve(predictions, seed=0, draws=DRAWS)
    gain = measured(effect, "accuracy")
    random = measured(curve, "accuracy", start="random")
    assert gain["value"] == pytest.approx(0.06)
    assert gain["answer"] == "helps"
    assert gain["high"] - gain["low"] < (random["high"] - random["low"]) / 4


def test_more_patches_are_compared_with_fewer_in_pairs():
    tables = [model(patches=patches, seed=s) for patches in (512, 2048) for s in (0, 1, 2)]
    perfect_ones = [perfect(patches=9000, seed=s) for s in (0, 1, 2)]
    growth = study.growth(concatenate(*tables, *perfect_ones), seed=0, draws=DRAWS)
    steps = list(growth[["fewer", "patches"]].drop_duplicates().itertuples(index=False, name=None))
    assert steps == [(512, 2048), (2048, 9000)]
    row = measured(growth, "accuracy", patches=9000)
    accuracies = [direct(table)["accuracy"] for table in tables[3:]]
    assert row["value"] == pytest.approx(1 - np.mean(accuracies))
    assert row["between_trainings"] == pytest.approx(np.std(accuracies, ddof=1))
    assert row["trainings"] == 3
    assert study.growth(model(), seed=0).empty


def test_the_trainings_of_a_model_are_its_other_seeds(tmp_path):
    models = [trained(tmp_path, start, 512, seed) for start in ("a", "b") for seed in (0, 1, 2)]
    assert study.trainings_of(models, models[4]) == [models[4], models[3], models[5]]


def test_each_number_of_patches_is_compared_with_the_random_start_of_that_number():
    tables = [model(start, patches) for start in ("random", "file") for patches in (512, 2048)]
    unpaired = model("other", 9000)
    effect = study.transfer_effect(concatenate(*tables, unpaired), seed=0, draws=DRAWS)
    pairs = list(effect[["start", "patches"]].drop_duplicates().itertuples(index=False, name=None))
    assert pairs == [("file", 512), ("file", 2048)]
    empty = study.transfer_effect(unpaired, seed=0)
    assert empty.empty
    assert list(empty.columns) == list(effect.columns)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.1, "helps"), (-0.1, -0.01, "harms"), (-0.1, 0.1, "no difference seen")],
)
def test_only_an_interval_that_excludes_zero_is_an_answer(low, high, expected):
    of_three = OverTrainings(Estimate(0.0, low, high, 10, 5), 0.1, 0.1, np.zeros(3))
    assert study.answer(of_three) == expected
    nothing = Estimate(0.0, np.nan, np.nan, 10, 5, "reason")
    assert study.answer(OverTrainings(nothing, np.nan, np.nan, np.zeros(3))) == "undefined"


# ------------------------------------------------------------------ one model


def test_confusion_and_recall_agree_with_scikit_learn():
    table = model()
    table = table[table["label"] != "benign"]
    predicted = np.array(LABELS)[table[list(CLASS_SCORES)].to_numpy().argmax(axis=1)]
    confusion = study.confusion_shares(table).set_index("class")
    present = [label for label in LABELS if label != "benign"]
    assert confusion.index.tolist() == present
    expected = confusion_matrix(table["label"], predicted, labels=LABELS)
    rows = [LABELS.index(label) for label in present]
    assert confusion["windows"].tolist() == expected[rows].sum(axis=1).tolist()
    shares = expected[rows] / expected[rows].sum(axis=1, keepdims=True)
    assert np.allclose(confusion[list(LABELS)], shares)
    recalls = study.by_class(table, seed=0).set_index("label")["recall"]
    assert recalls[present].tolist() == pytest.approx(shares[range(3), rows].tolist())
    assert np.isnan(recalls["benign"])


def windows(split, labels, excluded=""):
    return pd.DataFrame({"split": split, "label": labels, "excluded": excluded})


def test_baselines_use_labelled_training_windows():
    table = concatenate(
        windows("train", ["normal"] * 6 + ["benign"] * 2),
        windows("train", ["malignant"] * 50, "partial lesion"),
        windows("val", ["malignant"] * 50),
    )
    baselines = study.baselines(table, windows("test", ["normal"] * 3 + ["benign"]))
    baselines = baselines.set_index("baseline")
    assert baselines.loc["always the commonest class"].tolist() == pytest.approx([0.75, 0.5])
    by_frequency = baselines.loc["a guess by frequency", "accuracy"]
    assert by_frequency == pytest.approx(0.75 * 0.75 + 0.25 * 0.25)


def trained(tmp_path, start="random", patches=512, seed=0, history=()):
    table = pd.DataFrame(history, columns=["step", "name", "value"])
    done = Trained(tmp_path, tmp_path / "weights.safetensors", table, 16, 16, 1.0)
    return SimpleNamespace(start=start, patches=patches, seed=seed, batch_size=32, trained=done)


def test_the_best_model_has_the_most_patches_and_the_first_seed(tmp_path):
    models = [
        trained(tmp_path, *facts)
        for facts in (("random", 512, 0), ("random", 512, 1), ("file", 2048, 1), ("file", 2048, 0))
    ]
    assert study.best_model(models) is models[3]
    assert study.best_model(models, "random") is models[0]


def test_validation_patients_choose_among_models_with_equal_patches(tmp_path):
    def validated(start, patches, seed, value):
        # Values after the best step, 16, do not count.
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


def test_validation_curves_are_those_of_the_models_with_the_most_patches(tmp_path):
    history = [
        (8, "accuracy", 0.9), (8, "loss", 1.0), (8, "macro_auc", 0.6), (16, "macro_auc", 0.7)
    ]  # fmt: skip
    models = [
        trained(tmp_path, patches=512, history=history),
        trained(tmp_path, patches=64, history=history),
    ]
    curves = study.validation_curves(models)
    assert curves["patches"].tolist() == [256, 512]
    assert curves["value"].tolist() == [0.6, 0.7]
    assert set(curves["measure"]) == {"macro_auc"}
    assert study.validation_curves([trained(tmp_path)]).empty


# ------------------------------------------------------------------ sentences


def test_findings_have_the_numbers_of_the_run():
    tables = concatenate(model(noise=3), model(patches=2048), model("file", noise=2))
    curve = study.learning_curve(tables, seed=0, draws=DRAWS)
    effect = study.transfer_effect(tables, seed=0, draws=DRAWS)
    test = windows("test", ["normal"] * 3 + ["benign"])
    text = study.findings(curve, effect, study.baselines(windows("train", ["normal"]), test))
    few, many = direct(model(noise=3)), direct(model(patches=2048))
    for name in ("balanced_accuracy", "accuracy"):
        low, high = (f"{values[name]:.0%}" for values in (few, many))
        line = next(x for x in text.splitlines() if f"random: {study.MEASURES[name]} goes" in x)
        assert f"from {low} [" in line
        assert "with 512 patches" in line
        assert f"to {high} [" in line
        assert line.endswith("with 2,048.")
    assert "an accuracy of 75% and a balanced accuracy of 50%" in text
    gain = measured(effect, "balanced_accuracy")
    expected = 100 * (
        direct(model("file", noise=2))["balanced_accuracy"] - few["balanced_accuracy"]
    )
    assert f"file with 512 patches, compared with a random one: {expected:+.1f} [" in text
    plain = measured(effect, "accuracy")
    natural = f"{100 * plain['value']:+.1f} [{100 * plain['low']:+.1f}, {100 * plain['high']:+.1f}]"
    natural += " percentage points of accuracy at the frequencies of the data set"
    # Chance is 1/2 with two classes, above the random start's interval, and 1/4 with all four.
    at_chance = " (the random one is still at chance there)"
    (line,) = (line for line in text.splitlines() if "compared with" in line)
    assert gain["answer"] == plain["answer"]
    assert f"balanced accuracy{at_chance}; {natural}: {plain['answer']}." in line
    four = study.baselines(windows("train", ["normal"]), windows("test", list(LABELS)))
    text = study.findings(curve, effect, four)
    assert f"balanced accuracy; {natural}" in text
    answered = effect.assign(
        answer=effect["answer"].where(effect["measure"] == "accuracy", "helps")
    )
    assert f"balanced accuracy: helps; {natural}" in study.findings(curve, answered, four)
