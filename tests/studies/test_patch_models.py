"""Patch models: what they are judged on, and that they learn what phantoms show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.catalogue import LABELS
from second_look.dataset import DataSettings, build_dataset
from second_look.errors import DataError
from second_look.models.classifier import build_classifier
from second_look.patches import LabelRule, window_table
from second_look.predictions import CLASS_SCORES, checked
from second_look.sampler import cut
from second_look.studies import patch_models as study
from second_look.studies import patch_transfer
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

SIZE = 64


@pytest.fixture(scope="module")
def windows(phantom_data):
    return window_table(
        phantom_data.prepared, phantom_data.catalogue, size=SIZE, stride=32, rule=LabelRule()
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


def test_a_split_without_a_labelled_window_says_what_to_do(windows):
    none = windows[windows["split"] != "test"]
    with pytest.raises(DataError, match=r"no window of split test has a label\..*smaller stride"):
        study.sample_windows(none, split="test", most=10, seed=0)


def test_predictions_are_the_networks_for_these_windows(phantom_data, judged, network):
    models = [
        study.PatchModel(network, SimpleNamespace(), start, 512, seed, 32)
        for start, seed in (("random", 0), ("file", 3))
    ]
    found = checked(study.predict_patches(models, phantom_data, judged, size=SIZE))
    assert found["model"].unique().tolist() == [
        "small random, 512 patches",
        "small file, 512 patches",
    ]
    expected = scores_of(network, phantom_data, judged)
    for _, own in found.groupby("model"):
        assert np.allclose(own[list(CLASS_SCORES)], expected, atol=1e-5)
        same = ["image_id", "patient_id", "split", "label", "row", "col", "size"]
        pd.testing.assert_frame_equal(own[same].reset_index(drop=True), judged[same])
    assert found[["seed", "start"]].drop_duplicates().to_numpy().tolist() == [
        [0, "random"],
        [3, "file"],
    ]
    assert set(found["dataset"]) == {"phantom"}


def test_validation_is_what_scikit_learn_says(phantom_data, judged, network):
    found = study.PatchValidation(phantom_data.prepared, judged, SIZE)(network)
    scores = scores_of(network, phantom_data, judged)
    truth = judged["label"].map(LABELS.index).to_numpy()
    present = np.unique(truth)
    areas = [roc_auc_score(truth == code, scores[:, code]) for code in present]
    assert found["macro_auc"] == pytest.approx(np.mean(areas))
    said = scores.argmax(axis=1)
    recalls = [(said[truth == code] == code).mean() for code in present]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_validation_on_one_class_alone_has_no_auc(phantom_data, judged, network):
    normal = judged[judged["label"] == "normal"]
    found = study.PatchValidation(phantom_data.prepared, normal, SIZE)(network)
    assert found["macro_auc"] == 0.5


def test_scales_are_those_of_the_windows(windows, phantom_data):
    known = windows[windows["image_id"] != windows["image_id"].iloc[0]]
    resampled = known.assign(size=128)
    found = study.scales(resampled, phantom_data, SIZE)
    assert set(found) == set(phantom_data.prepared.images["image_id"])
    assert set(found.values()) == {0.5}


def test_starts_and_where_weights_lie(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    assert study.find_starts(["random", "phantom", "a/b.pth"], path) == {
        "random": "random",
        "phantom": str(path),
        "b": "a/b.pth",
    }
    with pytest.raises(DataError, match="start phantom needs a model"):
        study.find_starts(["phantom"], None)
    settings = study.PatchSettings()
    more = {"patients": 16, "patches": 1, "seed": 0, "rows": 64}
    assert study.phantom_start(tmp_path, settings, starts=["random"], **more) is None
    assert study.weights_folders(str(tmp_path), "weights") == [tmp_path / "weights"]
    assert study.weights_folders(str(tmp_path / "none"), "weights") == []


def test_every_start_size_and_seed_is_a_model_and_shuffled_labels_another(
    phantom_data, windows, tmp_path
):
    settings = study.PatchSettings(size=32, batch_size=4, accelerator="cpu", validations=1)
    small = window_table(
        phantom_data.prepared, phantom_data.catalogue, size=32, stride=32, rule=LabelRule()
    )
    more = {"folder": tmp_path, "validation": 8}
    models = study.train_grid(
        phantom_data, small, settings, starts={"own": "random"}, sizes=[4, 8], seeds=[0, 1], **more
    )
    assert [(m.start, m.patches, m.seed, m.trained.steps) for m in models] == [
        ("own", 4, 0, 1),
        ("own", 4, 1, 1),
        ("own", 8, 0, 2),
        ("own", 8, 1, 2),
    ]
    assert len({model.trained.folder for model in models}) == 4
    blind = study.train_patch_model(
        phantom_data, small, settings, patches=8, start="random", seed=0, shuffled=True, **more
    )
    assert "shuffled" in blind.trained.folder.name
    assert not torch.equal(blind.network.head.weight, models[2].network.head.weight)


@pytest.mark.slow
def test_a_patch_model_of_phantoms_beats_what_is_reached_without_looking(tmp_path):
    made = DataSettings(patients=16, image_rows=256, image_cols=208, lesion_contrast=4, seed=2)
    data = build_dataset(tmp_path, made, workers=0)
    table = window_table(data.prepared, data.catalogue, size=32, stride=8, rule=LabelRule())
    settings = study.PatchSettings(size=32, batch_size=64, rate=3e-3, accelerator="cpu")
    model = study.train_patch_model(
        data, table, settings, patches=64 * 120, start="random", seed=0, folder=tmp_path,
        validation=200,
    )  # fmt: skip
    judged = study.sample_windows(table, split="test", most=1500, seed=0)
    found = study.predict_patches([model], data, judged, size=32)
    curve = patch_transfer.learning_curve(found, seed=0, draws=500).set_index("measure")
    said = np.array(LABELS)[found[list(CLASS_SCORES)].to_numpy().argmax(axis=1)]
    balanced = curve.loc["balanced_accuracy"]
    assert balanced["value"] == pytest.approx(balanced_accuracy_score(found["label"], said))
    trivial = patch_transfer.baselines(table, judged)["balanced_accuracy"].max()
    assert trivial == pytest.approx(1 / judged["label"].nunique())
    assert balanced["low"] > trivial
    assert curve.loc["macro_auc", "value"] > 0.7
