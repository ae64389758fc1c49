"""Notebook 04 in small: training sets, trainings, and what is said of predictions made to order."""

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
from second_look.paper import REPRODUCED, SYNTHETIC
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.studies.gan import classifiers as study
from second_look.studies.gan import results as check
from second_look.studies.windows import sample_windows, training_windows

CLASSES = ["normal", "benign", "malignant"]
PLAN = study.Plan("small", 32, patches=24, batch_size=8, epochs=2)


@pytest.fixture(scope="module")
def data(phantom_data):
    return phantom_data


@pytest.fixture(scope="module")
def windows(data):
    return window_table(data.prepared, data.catalogue, size=64, stride=32, rule=HALF_RULE)


def generators():
    torch.manual_seed(0)
    made = {label: Generator(small_gan.TINY_DCGAN.network) for label in reversed(CLASSES)}
    return {label: (generator.eval(), small_gan.SCALING) for label, generator in made.items()}


def made_predictions(said: dict[str, dict[str, str]], seeds=(0, 1)) -> pd.DataFrame:
    """Predictions of named models that give each true class one answer; 30 patients, 2 patches."""
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
    for name, answers in said.items():
        amount = {study.GENERATED: (0, 100), study.REAL: (100, 0)}.get(name, (100, 50))
        codes = [LABELS.index(answers[label]) for label in truth]
        for seed in seeds:
            facts = {"real": amount[0], "generated": amount[1]}
            parts.append(
                from_classes(units, np.eye(4)[codes], unit="patch", model=name, seed=seed, **facts)
            )
    return pd.concat(parts, ignore_index=True)


RIGHT = {label: label for label in CLASSES}
ALWAYS_MALIGNANT = dict.fromkeys(CLASSES, "malignant")
SAID = {study.GENERATED: ALWAYS_MALIGNANT, study.REAL: RIGHT, "real + 50% samples": RIGHT}


def test_training_sets_by_name() -> None:
    assert study.mixtures(100, [0, 1.0, 0.25]) == {
        "samples only": (0, 100),
        "real only": (100, 0),
        "real + 25% samples": (100, 25),
        "real + 100% samples": (100, 100),
    }


def test_classes_come_in_the_project_s_order_or_not_at_all() -> None:
    assert study.check_labels(generators()) == CLASSES
    for wrong in ({"all": 1, "benign": 2}, {"benign": 1}):
        with pytest.raises(DataError, match="a generator for each of two classes"):
            study.check_labels(wrong)


def test_all_learn_as_long_and_are_validated_by_epoch(data, windows, tmp_path) -> None:
    training = training_windows(windows)
    validation = sample_windows(windows, labels=CLASSES, split="val", most=30, seed=0)
    sets = study.mixtures(24, [0.5])
    given = (data, training, generators(), PLAN, sets, validation)
    learnt = study.train_all(*given, seeds=[0], folder=tmp_path)
    assert [(one.name, one.real, one.generated) for one in learnt] == [
        ("samples only", 0, 24),
        ("real only", 24, 0),
        ("real + 50% samples", 24, 12),
    ]
    assert {one.record.steps for one in learnt} == {6}
    curve = study.by_epoch(learnt, PLAN)
    assert curve.groupby("name", sort=False)["epoch"].apply(list).tolist() == [[1, 2]] * 3
    assert ((curve["low"] <= curve["accuracy"]) & (curve["accuracy"] <= curve["high"])).all()
    again = study.train_all(*given, seeds=[0], folder=tmp_path)
    pd.testing.assert_frame_equal(study.by_epoch(again, PLAN), curve)
    predictions = study.predict(again, data, validation, size=PLAN.size)
    assert len(predictions) == 3 * len(validation)
    own = predictions[predictions["model"] == "real only"]
    said = own[[f"score_{label}" for label in LABELS]].to_numpy().argmax(axis=1)
    truth = own["label"].map(LABELS.index).to_numpy()
    assert (said == truth).mean() == pytest.approx(
        curve.loc[(curve["name"] == "real only") & (curve["epoch"] == 2), "accuracy"].item()
    )
    table = study.set_table(sets, training, CLASSES)
    usable = int(training["label"].isin(CLASSES).sum())
    assert table["windows"].tolist() == [0, usable, usable]


def test_accuracy_is_counted_over_seeds_and_patients() -> None:
    table = check.summary(made_predictions(SAID), seed=0).set_index(["name", "measure"])
    alone = table.loc[(study.GENERATED, "accuracy")]
    assert alone["value"] == pytest.approx(3 / 60)
    assert alone["low"] <= alone["value"] <= alone["high"]
    assert (alone["n"], alone["patients"], alone["seeds"]) == (60, 30, 2)
    assert table.loc[(study.GENERATED, "balanced_accuracy"), "value"] == pytest.approx(1 / 3)
    assert table.loc[(study.REAL, "accuracy"), ["value", "low", "high"]].tolist() == [1, 1, 1]
    assert table["spread"].abs().max() == 0


@pytest.mark.parametrize(("synthetic", "verdict"), [(True, SYNTHETIC), (False, REPRODUCED)])
def test_the_paper_s_accuracy_stands_beside_that_of_samples_only(
    tmp_path, synthetic, verdict
) -> None:
    table = check.summary(made_predictions(SAID), seed=0)
    run = open_run(tmp_path, notebook="04_gan_training_data")
    check.report(run, table, how="100 samples", synthetic=synthetic)
    (row,) = load_results(tmp_path)
    assert (row["claim"], row["n"], row["how"]) == ("gan-check", 60, "100 samples")
    assert row["value"] == pytest.approx(5)
    assert row["low"] < 5 < row["high"]
    assert row["verdict"] == verdict


def test_gains_are_paired_with_real_patches_alone() -> None:
    worse = {**SAID, "real + 50% samples": {**RIGHT, "benign": "normal"}}
    gained = check.gains(made_predictions(worse), seed=0).set_index("measure")
    assert gained.loc["accuracy", "gain"] == pytest.approx(-9 / 60)
    assert gained.loc["balanced_accuracy", "gain"] == pytest.approx(-1 / 3)
    assert gained.loc["accuracy", "high"] < 0
    assert gained["added"].tolist() == [0.5, 0.5]
    same = check.gains(made_predictions(SAID), seed=0)
    assert (same[["gain", "low", "high"]] == 0).all(axis=None)


def test_a_shuffled_table_is_paired_all_the_same() -> None:
    predictions = made_predictions(SAID)
    mixed = predictions.sample(frac=1, random_state=0)
    assert (check.gains(mixed, seed=0)["gain"] == 0).all()


def test_what_is_reached_without_looking() -> None:
    judged = made_predictions({study.REAL: RIGHT}, seeds=(0,))
    table = check.without_looking(CLASSES, judged, judged)
    assert table["accuracy"].tolist() == pytest.approx([1 / 3, 48 / 60, 3 / 60])
    assert table["balanced_accuracy"].tolist() == pytest.approx([1 / 3] * 3)
    assert table["baseline"].tolist()[1:] == [
        "always normal, the commonest class",
        "always malignant, the rarest class",
    ]


def test_a_guess_spreads_over_classes_that_nobody_has() -> None:
    judged = made_predictions({study.REAL: RIGHT}, seeds=(0,))
    two = judged[judged["label"] != "malignant"]
    table = check.without_looking(CLASSES, two, two)
    assert table["balanced_accuracy"].tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 2])


def test_the_commonest_class_is_that_of_the_training_windows() -> None:
    judged = made_predictions({study.REAL: RIGHT}, seeds=(0,))
    other = ["benign"] * 5 + ["normal"] * 3 + ["malignant"] * 2 + ["benign_without_callback"] * 9
    training = pd.DataFrame({"label": other})
    table = check.without_looking(CLASSES, training, judged)
    assert table["baseline"].tolist()[1:] == [
        "always benign, the commonest class",
        "always malignant, the rarest class",
    ]
    assert table["accuracy"].tolist()[1:] == pytest.approx([9 / 60, 3 / 60])
    two = judged[judged["label"] != "malignant"]
    rarest = check.without_looking(CLASSES, training, two).iloc[-1]
    assert (rarest["accuracy"], rarest["balanced_accuracy"]) == (0, 0), "nobody has it"


def test_an_accuracy_below_chance_is_explained_from_the_numbers() -> None:
    def said(answers):
        predictions = made_predictions({study.GENERATED: answers, study.REAL: RIGHT})
        baselines = check.without_looking(CLASSES, predictions, predictions)
        matrices = check.confusions(predictions, CLASSES, [study.GENERATED])
        table = check.summary(predictions, seed=0)
        return check.below_chance(table, baselines, matrices[study.GENERATED], 0.05)

    low = said(ALWAYS_MALIGNANT)
    assert "Accuracy below chance is seen here" in low
    assert "contains the paper's 5%" in low
    assert "commonest answer is “malignant”, for 100% of the patches" in low
    assert "rarest of the training windows makes up 5.0% of these patches" in low
    high = said(dict.fromkeys(CLASSES, "normal"))
    assert "is not seen here" in high
    assert "does not contain" in high


def test_confusion_counts_every_seed() -> None:
    matrix = check.confusions(made_predictions(SAID), CLASSES, [study.GENERATED])[study.GENERATED]
    assert matrix["malignant"].tolist() == [96, 18, 6]
    assert matrix.to_numpy().sum() == 120


def test_findings_are_made_from_the_numbers() -> None:
    worse = {**SAID, "real + 50% samples": ALWAYS_MALIGNANT}
    predictions = made_predictions(worse)
    table, gained = check.summary(predictions, seed=0), check.gains(predictions, seed=0)
    text = check.findings(table, gained, synthetic=True)
    assert "33.3% [0.0%, 33.3%] from samples only" in text  # some draws hold no malignant patch
    assert "100.0% [100.0%, 100.0%] from as many real patches" in text
    assert "50% samples added to the real patches: -66.7%" in text
    assert "harms" in text
    assert "phantoms" in text
    assert "phantoms" not in check.findings(table, gained, synthetic=False)
