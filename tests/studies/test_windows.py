"""Windows for training and evaluation, and predictions for them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches.sampler import cut
from second_look.errors import DataError
from second_look.evaluation.predictions import CLASS_SCORES, checked
from second_look.models.classifier import build_classifier
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.studies import windows as study
from second_look.studies.transfer import patch_models

SIZE = 64


@pytest.fixture(scope="module")
def windows(phantom_data):
    return window_table(
        phantom_data.prepared, phantom_data.catalogue, size=SIZE, stride=32, rule=HALF_RULE
    )


@pytest.fixture(scope="module")
def sample(windows):
    return study.sample_windows(windows, split="val", max_windows=60, seed=0)


@pytest.fixture(scope="module")
def network():
    network = build_classifier("small", seed=0).eval()
    with torch.no_grad():
        network.head.weight.mul_(30)
    return network


def scores_of(network, data, windows):
    patches = torch.from_numpy(cut(data.prepared, windows, size=SIZE))[:, None]
    with torch.no_grad():
        return network(patches).softmax(1).numpy()


def test_samples_are_labelled_windows_of_a_split_as_they_come(windows):
    everything = study.sample_windows(windows, split="test", max_windows=10**6, seed=0)
    usable = windows[(windows["split"] == "test") & (windows["excluded"] == "")]
    pd.testing.assert_frame_equal(everything, usable.reset_index(drop=True))
    some = study.sample_windows(windows, split="test", max_windows=50, seed=0)
    assert len(some) == 50
    assert not some.duplicated(["image_id", "row", "col"]).any()
    pd.testing.assert_frame_equal(
        some, study.sample_windows(windows, split="test", max_windows=50, seed=0)
    )
    assert not some.equals(study.sample_windows(windows, split="test", max_windows=50, seed=1))


def test_samples_of_some_classes_only(windows):
    options = {"split": "test", "max_windows": 10**6, "seed": 0}
    two = study.sample_windows(windows, labels=["normal", "benign"], **options)
    everything = study.sample_windows(windows, **options)
    expected = everything[everything["label"].isin(["normal", "benign"])]
    pd.testing.assert_frame_equal(two, expected.reset_index(drop=True))
    with pytest.raises(DataError, match="no window of split test has a label of unknown"):
        study.sample_windows(windows, labels=["unknown"], **options)


def test_a_split_without_a_labelled_window_says_what_to_do(windows):
    none = windows[windows["split"] != "test"]
    with pytest.raises(DataError, match=r"no window of split test has a label.*smaller stride"):
        study.sample_windows(none, split="test", max_windows=10, seed=0)


def test_training_windows_are_labelled_and_of_training_patients(windows):
    training = study.training_windows(windows)
    expected = windows[(windows["split"] == "train") & (windows["excluded"] == "")]
    pd.testing.assert_frame_equal(training, expected.reset_index(drop=True))
    assert 0 < len(training) < len(windows)


def test_predictions_are_the_networks_for_these_windows(phantom_data, sample, network):
    models = [
        patch_models.PatchModel(network, SimpleNamespace(), start, 512, seed, 32)
        for start, seed in (("random", 0), ("file", 3))
    ]
    predictions = checked(patch_models.predict_patches(models, phantom_data, sample, size=SIZE))
    assert predictions["model"].unique().tolist() == [
        "small random, 512 patches",
        "small file, 512 patches",
    ]
    expected = scores_of(network, phantom_data, sample)
    for _, table in predictions.groupby("model"):
        assert np.allclose(table[list(CLASS_SCORES)], expected, atol=1e-5)
        columns = ["dataset", "image_id", "patient_id", "split", "label", "row", "col", "size"]
        pd.testing.assert_frame_equal(table[columns].reset_index(drop=True), sample[columns])
    assert predictions[["seed", "start"]].drop_duplicates().to_numpy().tolist() == [
        [0, "random"],
        [3, "file"],
    ]
