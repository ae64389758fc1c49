"""Controls: models that cannot have learned the task."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import class_predictions
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.studies.transfer import controls
from sklearn.metrics import roc_auc_score


def mixed_data_sets(shares, patients=300, seed=0):
    """Images of several data sets, each with the given share of malignant images."""
    rng = np.random.default_rng(seed)
    tables = [
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
    return pd.concat(tables, ignore_index=True)


def test_random_scores_are_at_chance():
    table = class_predictions(patients=100, units_per_patient=5)
    rng = np.random.default_rng(0)
    table[list(CLASS_SCORES)] = rng.dirichlet(np.ones(4), len(table))
    (row,) = controls.shuffled_labels(table, seed=0).to_dict("records")
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


def test_an_informed_model_is_above_chance():
    (row,) = controls.shuffled_labels(
        class_predictions(patients=100, units_per_patient=5), seed=0
    ).to_dict("records")
    assert row["low"] > 0.5


def test_auc_of_the_data_set_name_alone():
    images = mixed_data_sets({"a": 0.7, "b": 0.1})
    (row,) = controls.source_only(images, seed=0).to_dict("records")
    test = images[images["split"] == "test"]
    expected = roc_auc_score(test["label"] == "malignant", test["dataset"] == "a")
    assert row["value"] == pytest.approx(expected)
    assert 0.5 < row["low"] < row["value"] < row["high"]
    assert row["n"] == len(test)
    assert np.isnan(row["expected"])


def test_data_sets_with_equal_shares_are_at_chance():
    (row,) = controls.source_only(mixed_data_sets({"a": 0.4, "b": 0.4}, 600), seed=0).to_dict(
        "records"
    )
    assert row["low"] < 0.5 < row["high"]


def test_a_data_set_without_training_images_does_not_stop_it():
    images = mixed_data_sets({"a": 0.7, "b": 0.1, "c": 0.4})
    images.loc[images["dataset"] == "c", "split"] = "test"
    (row,) = controls.source_only(images, seed=0).to_dict("records")
    test = images[images["split"] == "test"]
    order = test["dataset"].map({"a": 2, "c": 1, "b": 0})
    assert row["value"] == pytest.approx(roc_auc_score(test["label"] == "malignant", order))


def test_a_single_data_set_has_no_source_control():
    images = mixed_data_sets({"a": 0.4})
    assert controls.source_only(images, seed=0).empty
    shuffled = controls.shuffled_labels(class_predictions(patients=30), seed=0)
    single = controls.concatenate(shuffled, controls.source_only(images, seed=0))
    assert single["control"].tolist() == ["labels shuffled"]
    mixed = mixed_data_sets({"a": 0.7, "b": 0.1})
    table = controls.concatenate(shuffled, controls.source_only(mixed, seed=0))
    assert table["control"].tolist() == ["labels shuffled", "source only"]
    assert list(table.columns) == controls.COLUMNS
