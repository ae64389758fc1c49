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
    by_class, malignant = groups({"06_patches": patches})
    test = patches[patches["split"] == "test"]
    assert by_class.key == {
        "file": "06_patches", "model": "resnet18 imagenet", "unit": "patch", "target": "label",
        "seed": 0,
    }  # fmt: skip
    assert by_class.names == LABELS
    assert (by_class.binary, malignant.binary) == (False, True)
    assert by_class.architecture == "resnet18"
    np.testing.assert_allclose(by_class.parts["test"].probabilities, probabilities(test))
    answers = malignant.parts["test"]
    np.testing.assert_allclose(answers.probabilities[:, 1], test["score_malignant"])
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(answers.classes, test["label"] == "malignant")
    assert malignant.title == "resnet18 imagenet, patch: malignant or not"


def test_training_units_are_passed_over(patches):
    result = groups({"a": patches})
    assert set(result[0].parts) == {"val", "test"}
    assert groups({"a": patches[patches["split"] == "train"]}) == []


def test_a_binary_table_answers_its_own_question():
    (result,) = groups({"05": binary_predictions(patients=30, target="lesion")})
    assert (result.target, result.names) == ("lesion", ("not lesion", "lesion"))
    assert result.title.endswith("image: lesion or not")


def test_a_score_of_its_own_goes_before_one_made_from_classes(patches):
    direct = binary_predictions(patients=30, unit="patch", model="resnet18 imagenet")
    result = groups({"a": pd.concat([patches, direct], ignore_index=True)})
    assert [group.target for group in result] == ["label", "malignant"]
    assert len(result[1].parts["test"].classes) == (direct["split"] == "test").sum()


def test_models_seeds_units_and_files_stay_apart(patches):
    second_seed = class_predictions(patients=40, units_per_patient=5, model_seed=1)
    tables = {"a": pd.concat([patches, second_seed], ignore_index=True), "b": patches}
    result = [tuple(group.key.values()) for group in groups(tables)]
    assert len(result) == len(set(result)) == 6


def test_classes_that_nobody_has_are_left_out_and_it_is_said(patches):
    present = patches[patches["label"] != "benign_without_callback"]
    by_class = groups({"a": present})[0]
    assert by_class.names == ("normal", "benign", "malignant")
    held_out = present[present["split"] != "train"]
    lost = held_out["score_benign_without_callback"].mean()
    assert by_class.left_out == pytest.approx(lost)
    test = present[present["split"] == "test"]
    remaining = test[[name for name in CLASS_SCORES if "callback" not in name]].to_numpy()
    expected = remaining / remaining.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(by_class.parts["test"].probabilities, expected)
    assert [by_class.names[code] for code in by_class.parts["test"].classes] == test[
        "label"
    ].tolist()


def test_one_class_alone_keeps_all_probabilities(patches):
    alone = patches[patches["label"] == "normal"]
    by_class, malignant = groups({"a": alone})
    assert by_class.names == LABELS
    assert set(malignant.parts["test"].classes) == {0}


def test_a_model_that_gives_the_classes_there_nothing_does_not_tell_them_apart(patches):
    present = patches[patches["label"].isin(["normal", "malignant"])].copy()
    present[list(CLASS_SCORES)] = [0.0, 1.0, 0.0, 0.0]
    assert (groups({"a": present})[0].parts["val"].probabilities == 0.5).all()


def test_patients_of_different_data_sets_are_different_patients():
    table = binary_predictions(patients=20)
    tables_of_both = pd.concat([table, table.assign(dataset="other")], ignore_index=True)
    single, two = (
        groups({"a": rows})[0].parts["test"].patients.count for rows in (table, tables_of_both)
    )
    assert two == 2 * single


def test_a_table_without_an_architecture_has_none():
    table = binary_predictions(patients=20).drop(columns=["architecture", "start"])
    assert groups({"05": table})[0].architecture == ""
