"""Patch models: their starts, and that they learn to recognize lesions of phantoms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small_classifiers import small_patch_settings
from helpers.small_mammograms import small_settings
from second_look.catalogue import LABELS
from second_look.errors import ParameterError
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.models.classifier import build_classifier, load_own
from second_look.preparing.dataset import LAB_SETTINGS, build_dataset, open_dataset
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.studies.transfer import patch_models as study
from second_look.studies.transfer import patch_transfer
from second_look.studies.transfer.starts import PHANTOM, resolve_starts
from second_look.studies.windows import sample_windows
from sklearn.metrics import balanced_accuracy_score

SIZE = 64


@pytest.fixture(scope="module")
def windows(phantom_data):
    return window_table(
        phantom_data.prepared, phantom_data.catalogue, size=SIZE, stride=32, rule=HALF_RULE
    )


def test_scales_are_those_of_the_windows(windows, phantom_data):
    without_first = windows[windows["image_id"] != windows["image_id"].iloc[0]]
    scales = study.patch_scales(without_first.assign(size=128), phantom_data, SIZE)
    assert set(scales) == set(phantom_data.prepared.images["image_id"])
    assert set(scales.values()) == {0.5}


def test_without_the_start_phantom_nothing_is_trained(tmp_path):
    assert study.phantom_start(tmp_path, TINY, starts=["random"], **PRETRAINING) is None
    assert not list(tmp_path.iterdir())


def test_every_start_number_and_seed_is_a_model_and_shuffled_labels_another(
    phantom_data, windows, tmp_path
):
    small = window_table(
        phantom_data.prepared, phantom_data.catalogue, size=32, stride=32, rule=HALF_RULE
    )
    options = {"folder": tmp_path, "max_validation": 8}
    models = study.train_grid(
        phantom_data,
        small,
        TINY,
        starts={"scratch": "random"},
        patch_counts=[4, 8],
        seeds=[0, 1],
        **options,
    )
    assert [(m.start, m.patches, m.seed, m.trained.steps) for m in models] == [
        ("scratch", 4, 0, 1),
        ("scratch", 4, 1, 1),
        ("scratch", 8, 0, 2),
        ("scratch", 8, 1, 2),
    ]
    assert len({model.trained.folder for model in models}) == 4
    shuffled = study.train_patch_model(
        phantom_data, small, TINY, patches=8, start="random", seed=0, shuffled=True, **options
    )
    assert "shuffled" in shuffled.trained.folder.name
    assert not torch.equal(shuffled.network.head.weight, models[2].network.head.weight)


def weights_of(path):
    """Tensors of a trained classifier from its file."""
    network = build_classifier("small", seed=99)
    load_own(network, path)
    return network.state_dict()


def distance(first, second):
    """Largest difference between the convolutions and linear layers of two networks."""
    return max((first[k] - second[k]).abs().max().item() for k in first if k.endswith("weight"))


TINY = small_patch_settings()
PRETRAINING = {"patients": 16, "patches": 8, "max_validation": 8, "seed": 3, "rows": 80}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Folder of a run, and the weights of a model that was trained on phantoms in it."""
    outputs = tmp_path_factory.mktemp("run")
    # The phantoms exist already, so that no processes are started to prepare them.
    phantoms = replace(LAB_SETTINGS, patients=16, image_rows=80, image_cols=65, seed=1_000_003)
    build_dataset(outputs / "pretraining", phantoms, workers=0)
    settings_file = outputs / "pretraining/dataset/settings.json"
    settings = settings_file.read_text()
    path = study.pretrain_on_phantoms(outputs, TINY, **PRETRAINING)
    assert settings_file.read_text() == settings, "the phantoms must be those"
    return outputs, path


def test_pretraining_starts_from_random_weights_on_separate_phantoms(pretrained):
    outputs, path = pretrained
    data = open_dataset(outputs / "pretraining")
    assert data.synthetic
    assert data.catalogue.images["patient_id"].nunique() == 16
    table = window_table(data.prepared, data.catalogue, size=32, stride=8, rule=HALF_RULE)
    written = path.stat().st_mtime_ns
    model = study.train_patch_model(
        data, table, TINY, patches=8, start="random", seed=3, folder=outputs / "pretraining",
        max_validation=8,
    )  # fmt: skip
    assert model.trained.weights == path, "everything that decides the outcome is equal"
    assert model.trained.steps == 2
    assert path.stat().st_mtime_ns == written
    weights = weights_of(path)
    assert distance(weights, model.network.state_dict()) == 0
    # Two steps of AdamW change a weight by at most about twice the learning rate.
    change = distance(weights, build_classifier("small", seed=3).state_dict())
    assert 1e-4 < change < 3e-3


def test_pretraining_is_repeated_only_with_other_settings(pretrained):
    outputs, path = pretrained
    written = path.stat().st_mtime_ns
    assert study.phantom_start(outputs, TINY, starts=["phantom"], **PRETRAINING) == path
    assert path.stat().st_mtime_ns == written
    longer = study.pretrain_on_phantoms(outputs, TINY, **{**PRETRAINING, "patches": 12})
    assert longer != path
    assert distance(weights_of(longer), weights_of(path)) > 0
    assert path.stat().st_mtime_ns == written


def test_a_start_from_phantoms_begins_with_their_weights(
    pretrained, phantom_data, windows, tmp_path
):
    _, path = pretrained
    models = study.train_grid(
        phantom_data,
        windows,
        replace(TINY, size=SIZE, learning_rate=1e-6),
        starts=resolve_starts(["random", "phantom"], {PHANTOM: path}),
        patch_counts=[4],
        seeds=[0],
        folder=tmp_path,
        max_validation=8,
    )
    assert [model.start for model in models] == ["random", "phantom"]
    random = build_classifier("small", seed=0).state_dict()
    for model in models:
        for start, weights in {"random": random, "phantom": weights_of(path)}.items():
            change = distance(model.network.state_dict(), weights)
            assert (change < 1e-5) == (start == model.start)


def test_other_validation_windows_are_another_training(phantom_data, windows, tmp_path):
    options = {"patches": 8, "start": "random", "seed": 0, "folder": tmp_path}
    folders = {
        study.train_patch_model(
            phantom_data, windows, TINY, max_validation=max_validation, **options
        ).trained.folder
        for max_validation in (8, 8, 12)
    }
    assert len(folders) == 2


def test_depths_are_models_of_each_architecture_with_one_budget(phantom_data, windows, tmp_path):
    settings = replace(TINY, architecture="resnet101", size=SIZE)
    options = {"patches": 8, "folder": tmp_path, "max_validation": 8}
    models = study.train_depths(
        phantom_data,
        windows,
        settings,
        architectures=["small", "mobilenet_v2"],
        seeds=[0, 1],
        **options,
    )
    assert [(model.network.architecture, model.seed) for model in models] == [
        ("small", 0),
        ("small", 1),
        ("mobilenet_v2", 0),
        ("mobilenet_v2", 1),
    ]
    assert {(m.start, m.patches, m.trained.steps) for m in models} == {("random", 8, 2)}
    assert len({model.trained.folder for model in models}) == 4
    for model in models:
        random = build_classifier(model.network.architecture, seed=model.seed).state_dict()
        assert 1e-4 < distance(random, model.network.state_dict()) < 3e-3
    test = sample_windows(windows, split="test", max_windows=10, seed=0)
    predictions = study.predict_patches(models, phantom_data, test, size=SIZE)
    assert predictions.groupby(["architecture", "seed"]).size().tolist() == [len(test)] * 4
    assert predictions["model"].unique().tolist() == [
        "small random, 8 patches",
        "mobilenet_v2 random, 8 patches",
    ]


def test_without_depths_nothing_is_trained(phantom_data, windows, tmp_path):
    options = {"patches": 8, "seeds": [0], "folder": tmp_path, "max_validation": 8}
    assert study.train_depths(phantom_data, windows, TINY, architectures=[], **options) == []
    assert not list(tmp_path.iterdir())
    with pytest.raises(ParameterError, match="besides 'small', which is trained anyway"):
        study.train_depths(phantom_data, windows, TINY, architectures=["small"], **options)


@pytest.mark.slow
def test_a_patch_model_of_phantoms_is_better_than_a_constant_prediction(tmp_path):
    phantoms = small_settings(lesion_contrast=4)
    data = build_dataset(tmp_path, phantoms, workers=0)
    table = window_table(data.prepared, data.catalogue, size=32, stride=8, rule=HALF_RULE)
    settings = small_patch_settings(batch_size=64, learning_rate=3e-3, validations=4)
    model = study.train_patch_model(
        data, table, settings, patches=64 * 120, start="random", seed=0, folder=tmp_path,
        max_validation=200,
    )  # fmt: skip
    test = sample_windows(table, split="test", max_windows=1500, seed=0)
    predictions = study.predict_patches([model], data, test, size=32)
    curve = patch_transfer.learning_curve(predictions, seed=0, draws=500).set_index("measure")
    predicted = np.array(LABELS)[predictions[list(CLASS_SCORES)].to_numpy().argmax(axis=1)]
    balanced = curve.loc["balanced_accuracy"]
    expected = balanced_accuracy_score(predictions["label"], predicted)
    assert balanced["value"] == pytest.approx(expected)
    trivial = patch_transfer.baselines(table, test)["balanced_accuracy"].max()
    assert trivial == pytest.approx(1 / test["label"].nunique())
    assert balanced["value"] > trivial + 0.1
    assert balanced["reason"].startswith("too few patients of class")
    assert curve.loc["macro_auc", "value"] > 0.7
