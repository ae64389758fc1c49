"""Controls of models that cannot have learnt the task."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import class_predictions
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.studies.transfer import controls
from sklearn.metrics import roc_auc_score


def mixed(shares, patients=300, seed=0):
    """Images of several data sets, each with its share of malignant ones."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "dataset": name,
                "patient_id": [f"p{number}" for number in range(patients)],
                "split": rng.choice(["train", "test"], patients),
                "label": np.where(rng.random(patients) < share, "malignant", "normal"),
            }
        )
        for name, share in shares.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_scores_without_knowledge_end_at_chance():
    table = class_predictions(patients=100, units_per_patient=5)
    rng = np.random.default_rng(0)
    table[list(CLASS_SCORES)] = rng.dirichlet(np.ones(4), len(table))
    (row,) = controls.shuffled(table, seed=0).to_dict("records")
    assert row["expected"] == 0.5
    assert row["low"] < 0.5 < row["high"]
    assert row["n"] == 500
    expected = roc_auc_score(
        table["label"],
        table[sorted(CLASS_SCORES)].to_numpy(),
        multi_class="ovr",
        labels=sorted(label.removeprefix("score_") for label in CLASS_SCORES),
    )
    assert row["value"] == pytest.approx(expected)


def test_a_model_that_knows_something_is_not_taken_for_chance():
    (row,) = controls.shuffled(
        class_predictions(patients=100, units_per_patient=5), seed=0
    ).to_dict("records")
    assert row["low"] > 0.5


def test_what_the_data_set_alone_says():
    images = mixed({"a": 0.7, "b": 0.1})
    (row,) = controls.source_only(images, seed=0).to_dict("records")
    test = images[images["split"] == "test"]
    expected = roc_auc_score(test["label"] == "malignant", test["dataset"] == "a")
    assert row["value"] == pytest.approx(expected)
    assert 0.5 < row["low"] < row["value"] < row["high"]
    assert row["n"] == len(test)
    assert np.isnan(row["expected"])


def test_data_sets_alike_say_nothing():
    (row,) = controls.source_only(mixed({"a": 0.4, "b": 0.4}, 600), seed=0).to_dict("records")
    assert row["low"] < 0.5 < row["high"]


def test_a_data_set_without_training_images_does_not_stop_it():
    images = mixed({"a": 0.7, "b": 0.1, "c": 0.4})
    images.loc[images["dataset"] == "c", "split"] = "test"
    (row,) = controls.source_only(images, seed=0).to_dict("records")
    test = images[images["split"] == "test"]
    order = test["dataset"].map({"a": 2, "c": 1, "b": 0})
    assert row["value"] == pytest.approx(roc_auc_score(test["label"] == "malignant", order))


def test_one_data_set_has_no_such_control():
    images = mixed({"a": 0.4})
    assert controls.source_only(images, seed=0).empty
    known = controls.shuffled(class_predictions(patients=30), seed=0)
    table = controls.table(known, controls.source_only(images, seed=0))
    assert table["control"].tolist() == ["labels shuffled"]
    both = controls.table(known, controls.source_only(mixed({"a": 0.7, "b": 0.1}), seed=0))
    assert both["control"].tolist() == ["labels shuffled", "source only"]
    assert list(both.columns) == controls.COLUMNS
