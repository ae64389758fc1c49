"""Windows that are learnt from and judged, and what is said of them."""

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
def judged(windows):
    return study.sample_windows(windows, split="val", most=60, seed=0)


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
    everything = study.sample_windows(windows, split="test", most=10**6, seed=0)
    usable = windows[(windows["split"] == "test") & (windows["excluded"] == "")]
    pd.testing.assert_frame_equal(everything, usable.reset_index(drop=True))
    some = study.sample_windows(windows, split="test", most=50, seed=0)
    assert len(some) == 50
    assert not some.duplicated(["image_id", "row", "col"]).any()
    pd.testing.assert_frame_equal(
        some, study.sample_windows(windows, split="test", most=50, seed=0)
    )
    assert not some.equals(study.sample_windows(windows, split="test", most=50, seed=1))


def test_samples_of_some_classes_only(windows):
    given = {"split": "test", "most": 10**6, "seed": 0}
    two = study.sample_windows(windows, labels=["normal", "benign"], **given)
    everything = study.sample_windows(windows, **given)
    expected = everything[everything["label"].isin(["normal", "benign"])]
    pd.testing.assert_frame_equal(two, expected.reset_index(drop=True))
    with pytest.raises(DataError, match="no window of split test has a label of unknown"):
        study.sample_windows(windows, labels=["unknown"], **given)


def test_a_split_without_a_labelled_window_says_what_to_do(windows):
    none = windows[windows["split"] != "test"]
    with pytest.raises(DataError, match=r"no window of split test has a label.*smaller stride"):
        study.sample_windows(none, split="test", most=10, seed=0)


def test_training_windows_are_labelled_and_of_training_patients(windows):
    own = study.training_windows(windows)
    expected = windows[(windows["split"] == "train") & (windows["excluded"] == "")]
    pd.testing.assert_frame_equal(own, expected.reset_index(drop=True))
    assert 0 < len(own) < len(windows)


def test_predictions_are_the_networks_for_these_windows(phantom_data, judged, network):
    models = [
        patch_models.PatchModel(network, SimpleNamespace(), start, 512, seed, 32)
        for start, seed in (("random", 0), ("file", 3))
    ]
    found = checked(patch_models.predict_patches(models, phantom_data, judged, size=SIZE))
    assert found["model"].unique().tolist() == [
        "small random, 512 patches",
        "small file, 512 patches",
    ]
    expected = scores_of(network, phantom_data, judged)
    for _, own in found.groupby("model"):
        assert np.allclose(own[list(CLASS_SCORES)], expected, atol=1e-5)
        same = ["dataset", "image_id", "patient_id", "split", "label", "row", "col", "size"]
        pd.testing.assert_frame_equal(own[same].reset_index(drop=True), judged[same])
    assert found[["seed", "start"]].drop_duplicates().to_numpy().tolist() == [
        [0, "random"],
        [3, "file"],
    ]
