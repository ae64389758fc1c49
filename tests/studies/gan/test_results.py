"""Notebook 04 at small size: training sets, training, and results of synthetic predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import small_gan
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.evaluation.predictions import from_classes
from second_look.models.dcgan import Generator
from second_look.outputs import load_results, open_run
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.studies.gan import classifiers, results
from second_look.studies.windows import sample_windows, training_windows
from second_look.verdicts import NO_CONTROL, REPRODUCED, SYNTHETIC, UNDECIDED

CLASSES = ["normal", "benign", "malignant"]
PLAN = classifiers.Plan("small", 32, patches=24, batch_size=8, epochs=2, learning_rate=1e-3)


@pytest.fixture(scope="module")
def data(phantom_data):
    return phantom_data


@pytest.fixture(scope="module")
def windows(data):
    return window_table(data.prepared, data.catalogue, size=64, stride=32, rule=HALF_RULE)


def generators():
    torch.manual_seed(0)
    networks = {label: Generator(small_gan.TINY_DCGAN.network) for label in reversed(CLASSES)}
    return {label: (generator.eval(), small_gan.SCALING) for label, generator in networks.items()}


def made_predictions(answers_of_model: dict[str, dict[str, str]], seeds=(0, 1)) -> pd.DataFrame:
    """Predictions of models that give each true class one answer; 30 patients, 2 patches each."""
    truth = ["normal"] * 48 + ["benign"] * 9 + ["malignant"] * 3
    units = pd.DataFrame(
        {
            "dataset": "made",
            "image_id": [f"i{k}" for k in range(60)],
            "patient_id": [f"p{k // 2}" for k in range(60)],
            "split": "test",
            "label": truth,
            "row": 0,
            "col": 0,
            "size": 64,
        }
    )
    parts = []
    for name, answers in answers_of_model.items():
        amount = {classifiers.GENERATED: (0, 100), classifiers.REAL: (100, 0)}.get(name, (100, 50))
        codes = [LABELS.index(answers[label]) for label in truth]
        for seed in seeds:
            facts = {"real": amount[0], "generated": amount[1]}
            parts.append(
                from_classes(units, np.eye(4)[codes], unit="patch", model=name, seed=seed, **facts)
            )
    return pd.concat(parts, ignore_index=True)


def repeated(predictions: pd.DataFrame) -> pd.DataFrame:
    """Eight times the patients: enough of every class for an interval."""
    names = ("patient_id", "image_id")
    return pd.concat(
        predictions.assign(**{name: f"{n} " + predictions[name] for name in names})
        for n in range(8)
    )


RIGHT = {label: label for label in CLASSES}
ALWAYS_MALIGNANT = dict.fromkeys(CLASSES, "malignant")
ANSWERS = {
    classifiers.GENERATED: ALWAYS_MALIGNANT,
    classifiers.REAL: RIGHT,
    "real + 50% samples": RIGHT,
}


def test_training_sets_by_name() -> None:
    assert classifiers.training_sets(100, [0, 1.0, 0.25]) == {
        "samples only": (0, 100),
        "real only": (100, 0),
        "real + 25% samples": (100, 25),
        "real + 100% samples": (100, 100),
    }


def test_classes_come_in_the_project_s_order_or_not_at_all() -> None:
    assert classifiers.check_labels(generators()) == CLASSES
    for wrong in ({"all": 1, "benign": 2}, {"benign": 1}):
        with pytest.raises(DataError, match="a generator for each of at least two classes"):
            classifiers.check_labels(wrong)


def test_all_get_equal_updates_and_are_validated_by_epoch(data, windows, tmp_path) -> None:
    training = training_windows(windows)
    validation = sample_windows(windows, labels=CLASSES, split="val", max_windows=30, seed=0)
    sets = classifiers.training_sets(24, [0.5])
    arguments = (data, training, generators(), PLAN, sets, validation)
    trained = classifiers.train_all(*arguments, seeds=[0], folder=tmp_path)
    assert [(classifier.name, classifier.real, classifier.generated) for classifier in trained] == [
        ("samples only", 0, 24),
        ("real only", 24, 0),
        ("real + 50% samples", 24, 12),
    ]
    assert {classifier.record.steps for classifier in trained} == {6}
    curve = classifiers.by_epoch(trained, PLAN)
    assert curve.groupby("name", sort=False)["epoch"].apply(list).tolist() == [[1, 2]] * 3
    assert ((curve["low"] <= curve["accuracy"]) & (curve["accuracy"] <= curve["high"])).all()
    again = classifiers.train_all(*arguments, seeds=[0], folder=tmp_path)
    pd.testing.assert_frame_equal(classifiers.by_epoch(again, PLAN), curve)
    predictions = classifiers.predict(again, data, validation, size=PLAN.size)
    assert len(predictions) == 3 * len(validation)
    rows = predictions[predictions["model"] == "real only"]
    predicted = rows[[f"score_{label}" for label in LABELS]].to_numpy().argmax(axis=1)
    truth = rows["label"].map(LABELS.index).to_numpy()
    assert (predicted == truth).mean() == pytest.approx(
        curve.loc[(curve["name"] == "real only") & (curve["epoch"] == 2), "accuracy"].item()
    )
    table = classifiers.set_table(sets, training, CLASSES)
    usable = int(training["label"].isin(CLASSES).sum())
    assert table["windows"].tolist() == [0, usable, usable]


def test_accuracy_is_counted_over_seeds_and_patients() -> None:
    table = results.summary(made_predictions(ANSWERS), seed=0).set_index(["name", "measure"])
    alone = table.loc[(classifiers.GENERATED, "accuracy")]
    assert alone["value"] == pytest.approx(3 / 60)
    assert alone["low"] <= alone["value"] <= alone["high"]
    assert (alone["n"], alone["patients"], alone["trainings"]) == (60, 30, 2)
    assert table.loc[(classifiers.GENERATED, "balanced_accuracy"), "value"] == pytest.approx(1 / 3)
    perfect = [1, 0.025 ** (1 / 30), 1]  # thirty patients of whom all agree
    accuracy = table.loc[(classifiers.REAL, "accuracy"), ["value", "low", "high"]]
    assert accuracy.tolist() == pytest.approx(perfect)
    assert table["between_trainings"].abs().max() == 0


BUDGET = {"samples": 60_000, "epochs": 25, "epochs of the generator": 50}
CHANCE = pd.DataFrame({"baseline": ["a guess"], "balanced_accuracy": [1 / 3]})


@pytest.mark.parametrize(("synthetic", "verdict"), [(True, SYNTHETIC), (False, UNDECIDED)])
def test_the_accuracy_of_samples_only_is_recorded_beside_the_paper_s(
    tmp_path, synthetic, verdict
) -> None:
    table = results.summary(repeated(made_predictions(ANSWERS)), seed=0)
    run = open_run(tmp_path, notebook="04_gan_training_data")
    results.report(run, table, CHANCE, budget=BUDGET, how="100 samples", synthetic=synthetic)
    (row,) = load_results(tmp_path)
    assert (row["claim"], row["n"]) == ("gan-check", 480)
    assert row["how"].startswith("100 samples; mean of 2 trainings; positive control passed: ")
    assert row["value"] == pytest.approx(5)
    assert row["low"] < 5 < row["high"]
    assert row["verdict"].startswith(verdict)


@pytest.mark.parametrize(
    ("budget", "real", "verdict"),
    [
        (BUDGET, RIGHT, REPRODUCED),
        (BUDGET, ALWAYS_MALIGNANT, f"{NO_CONTROL}: balanced accuracy from original patches 33.3%"),
        ({**BUDGET, "samples": 100}, RIGHT, f"{UNDECIDED}: samples 100 (paper: 60,000)"),
    ],
)
def test_an_accuracy_of_5_percent_is_a_failure_only_where_real_patches_teach(
    tmp_path, budget, real, verdict
) -> None:
    answers = {**ANSWERS, classifiers.REAL: real}
    predictions = repeated(made_predictions(answers, seeds=(0, 1, 2)))
    run = open_run(tmp_path, notebook="04_gan_training_data")
    table = results.summary(predictions, seed=0)
    results.report(run, table, CHANCE, budget=budget, how="", synthetic=False)
    assert load_results(tmp_path)[0]["verdict"].startswith(verdict)


def test_samples_are_compared_with_real_patches_in_pairs() -> None:
    rows = results.samples_against_real(repeated(made_predictions(ANSWERS)), seed=0).set_index(
        "measure"
    )
    assert rows.loc["accuracy", "value"] == pytest.approx(3 / 60 - 1)
    assert rows.loc["balanced_accuracy", "value"] == pytest.approx(1 / 3 - 1)
    assert rows.loc["balanced_accuracy", "high"] < 0
    assert rows["trainings"].tolist() == [2, 2]


def test_gains_are_paired_with_real_patches_alone() -> None:
    worse = {**ANSWERS, "real + 50% samples": {**RIGHT, "benign": "normal"}}
    gains = results.gains(made_predictions(worse), seed=0).set_index("measure")
    assert gains.loc["accuracy", "gain"] == pytest.approx(-9 / 60)
    assert gains.loc["balanced_accuracy", "gain"] == pytest.approx(-1 / 3)
    assert gains.loc["accuracy", "high"] < 0
    assert gains["added"].tolist() == [0.5, 0.5]
    unchanged = results.gains(made_predictions(ANSWERS), seed=0).set_index("measure")
    assert (unchanged["gain"] == 0).all()
    # Two models that are always right on thirty patients may yet differ on others.
    assert unchanged.loc["accuracy", "high"] == pytest.approx(1 - 0.025 ** (1 / 30))
    assert np.isnan(unchanged.loc["balanced_accuracy", "low"])  # malignant: two patients


def test_a_shuffled_table_is_paired_all_the_same() -> None:
    predictions = made_predictions(ANSWERS)
    mixed = predictions.sample(frac=1, random_state=0)
    assert (results.gains(mixed, seed=0)["gain"] == 0).all()


def test_trivial_baselines() -> None:
    predictions = made_predictions({classifiers.REAL: RIGHT}, seeds=(0,))
    table = results.trivial_baselines(CLASSES, predictions, predictions)
    assert table["accuracy"].tolist() == pytest.approx([1 / 3, 48 / 60, 3 / 60])
    assert table["balanced_accuracy"].tolist() == pytest.approx([1 / 3] * 3)
    assert table["baseline"].tolist()[1:] == [
        "always normal, the commonest class",
        "always malignant, the rarest class",
    ]


def test_a_guess_spreads_over_classes_that_nobody_has() -> None:
    predictions = made_predictions({classifiers.REAL: RIGHT}, seeds=(0,))
    two = predictions[predictions["label"] != "malignant"]
    table = results.trivial_baselines(CLASSES, two, two)
    assert table["balanced_accuracy"].tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 2])


def test_the_commonest_class_is_that_of_the_training_windows() -> None:
    predictions = made_predictions({classifiers.REAL: RIGHT}, seeds=(0,))
    training_labels = (
        ["benign"] * 5 + ["normal"] * 3 + ["malignant"] * 2 + ["benign_without_callback"] * 9
    )
    training = pd.DataFrame({"label": training_labels})
    table = results.trivial_baselines(CLASSES, training, predictions)
    assert table["baseline"].tolist()[1:] == [
        "always benign, the commonest class",
        "always malignant, the rarest class",
    ]
    assert table["accuracy"].tolist()[1:] == pytest.approx([9 / 60, 3 / 60])
    two = predictions[predictions["label"] != "malignant"]
    rarest = results.trivial_baselines(CLASSES, training, two).iloc[-1]
    assert (rarest["accuracy"], rarest["balanced_accuracy"]) == (0, 0), "no patient has it"


def test_an_accuracy_below_chance_is_explained_from_the_numbers() -> None:
    def explanation(answers):
        predictions = made_predictions({classifiers.GENERATED: answers, classifiers.REAL: RIGHT})
        baselines = results.trivial_baselines(CLASSES, predictions, predictions)
        matrices = results.confusions(predictions, CLASSES, [classifiers.GENERATED])
        table = results.summary(predictions, seed=0)
        return results.below_chance(table, baselines, matrices[classifiers.GENERATED], 0.05)

    low = explanation(ALWAYS_MALIGNANT)
    assert "Accuracy below chance occurs here" in low
    assert "contains the paper's 5%" in low
    assert "commonest answer is “malignant”, for 100% of the patches" in low
    assert "rarest class of the training windows makes up 5.0% of these patches" in low
    high = explanation(dict.fromkeys(CLASSES, "normal"))
    assert "does not occur here" in high
    assert "does not contain" in high


def test_confusion_counts_every_seed() -> None:
    matrix = results.confusions(made_predictions(ANSWERS), CLASSES, [classifiers.GENERATED])[
        classifiers.GENERATED
    ]
    assert matrix["malignant"].tolist() == [96, 18, 6]
    assert matrix.to_numpy().sum() == 120


def test_findings_are_made_from_the_numbers() -> None:
    worse = {**ANSWERS, "real + 50% samples": ALWAYS_MALIGNANT}
    predictions = made_predictions(worse)
    table, gains = results.summary(predictions, seed=0), results.gains(predictions, seed=0)
    text = results.findings(table, gains, synthetic=True)
    # Two patients have a malignant patch.
    assert "33.3% [too few patients for an interval] after training on samples only" in text
    assert "100.0% [too few patients for an interval] after training on as many original" in text
    assert "50% samples added to the original patches, balanced accuracy: -66.7%" in text
    # A few more patients, and the interval is clear of 0: with two trainings it shows nothing yet.
    wide = repeated(predictions)
    two = results.findings(
        results.summary(wide, seed=0), results.gains(wide, seed=0), synthetic=True
    )
    assert "two trainings cannot separate the effect of samples from luck" in two
    trained = repeated(made_predictions(worse, seeds=(0, 1, 2)))
    gains_of_three = results.gains(trained, seed=0)
    assert "]: harms." in results.findings(table, gains_of_three, synthetic=True)
    assert "phantoms" in text
    assert "phantoms" not in results.findings(table, gains, synthetic=False)


def test_without_an_interval_findings_say_so_and_judge_nothing() -> None:
    predictions = made_predictions(ANSWERS)
    table = results.summary(predictions, seed=0).assign(low=np.nan, high=np.nan)
    gains = results.gains(predictions, seed=0).assign(low=np.nan, high=np.nan)
    text = results.findings(table, gains, synthetic=False)
    assert "too few patients for an interval" in text
    assert "nan" not in text
