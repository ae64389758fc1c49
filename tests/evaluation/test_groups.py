"""Predictions taken apart: every question of every model, in arrays that are checked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import binary_predictions, class_predictions
from second_look.catalogue import LABELS
from second_look.evaluation.groups import groups
from second_look.evaluation.predictions import CLASS_SCORES, probabilities


@pytest.fixture
def patches() -> pd.DataFrame:
    return class_predictions(patients=40, units_per_patient=5)


def test_probabilities_of_classes_answer_two_questions(patches):
    which, malignant = groups({"06_patches": patches})
    test = patches[patches["split"] == "test"]
    assert which.key == {
        "file": "06_patches", "model": "resnet18 imagenet", "unit": "patch", "target": "label",
        "seed": 0,
    }  # fmt: skip
    assert which.names == LABELS
    assert (which.binary, malignant.binary) == (False, True)
    assert which.architecture == "resnet18"
    np.testing.assert_allclose(which.parts["test"].probabilities, probabilities(test))
    answers = malignant.parts["test"]
    np.testing.assert_allclose(answers.probabilities[:, 1], test["score_malignant"])
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(answers.classes, test["label"] == "malignant")
    assert malignant.title == "resnet18 imagenet, patch: malignant or not"


def test_training_units_are_passed_over(patches):
    found = groups({"a": patches})
    assert set(found[0].parts) == {"val", "test"}
    assert groups({"a": patches[patches["split"] == "train"]}) == []


def test_a_binary_table_answers_its_own_question():
    (found,) = groups({"05": binary_predictions(patients=30, target="lesion")})
    assert (found.target, found.names) == ("lesion", ("not lesion", "lesion"))
    assert found.title.endswith("image: lesion or not")


def test_a_score_of_its_own_goes_before_one_made_from_classes(patches):
    own = binary_predictions(patients=30, unit="patch", model="resnet18 imagenet")
    found = groups({"a": pd.concat([patches, own], ignore_index=True)})
    assert [group.target for group in found] == ["label", "malignant"]
    assert len(found[1].parts["test"].classes) == (own["split"] == "test").sum()


def test_models_seeds_units_and_files_stay_apart(patches):
    more = class_predictions(patients=40, units_per_patient=5, model_seed=1)
    tables = {"a": pd.concat([patches, more], ignore_index=True), "b": patches}
    found = [tuple(group.key.values()) for group in groups(tables)]
    assert len(found) == len(set(found)) == 6


def test_classes_that_nobody_has_are_left_out_and_it_is_said(patches):
    there = patches[patches["label"] != "benign_without_callback"]
    which = groups({"a": there})[0]
    assert which.names == ("normal", "benign", "malignant")
    judged = there[there["split"] != "train"]
    lost = judged["score_benign_without_callback"].mean()
    assert which.left_out == pytest.approx(lost)
    test = there[there["split"] == "test"]
    kept = test[[name for name in CLASS_SCORES if "callback" not in name]].to_numpy()
    expected = kept / kept.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(which.parts["test"].probabilities, expected)
    assert [which.names[code] for code in which.parts["test"].classes] == test["label"].tolist()


def test_one_class_alone_keeps_all_probabilities(patches):
    alone = patches[patches["label"] == "normal"]
    which, malignant = groups({"a": alone})
    assert which.names == LABELS
    assert set(malignant.parts["test"].classes) == {0}


def test_a_model_that_gives_the_classes_there_nothing_does_not_tell_them_apart(patches):
    there = patches[patches["label"].isin(["normal", "malignant"])].copy()
    there[list(CLASS_SCORES)] = [0.0, 1.0, 0.0, 0.0]
    assert (groups({"a": there})[0].parts["val"].probabilities == 0.5).all()


def test_patients_of_different_data_sets_are_different_patients():
    table = binary_predictions(patients=20)
    both = pd.concat([table, table.assign(dataset="other")], ignore_index=True)
    one, two = (groups({"a": rows})[0].parts["test"].patients.count for rows in (table, both))
    assert two == 2 * one


def test_a_table_without_an_architecture_has_none():
    table = binary_predictions(patients=20).drop(columns=["architecture", "start"])
    assert groups({"05": table})[0].architecture == ""
