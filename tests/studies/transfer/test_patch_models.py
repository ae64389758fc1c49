"""Patch models: what they start from, and that they learn what phantoms show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small_mammograms import small_settings
from second_look.catalogue import LABELS
from second_look.errors import ParameterError
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.models.classifier import build_classifier, load_own
from second_look.preparing.dataset import build_dataset, open_dataset
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
    known = windows[windows["image_id"] != windows["image_id"].iloc[0]]
    resampled = known.assign(size=128)
    found = study.scales(resampled, phantom_data, SIZE)
    assert set(found) == set(phantom_data.prepared.images["image_id"])
    assert set(found.values()) == {0.5}


def test_phantoms_are_learnt_only_where_they_are_asked_for(tmp_path):
    settings = study.PatchSettings()
    more = {"patients": 16, "patches": 1, "seed": 0, "rows": 64}
    assert study.phantom_start(tmp_path, settings, starts=["random"], **more) is None


def test_every_start_size_and_seed_is_a_model_and_shuffled_labels_another(
    phantom_data, windows, tmp_path
):
    settings = study.PatchSettings(size=32, batch_size=4, accelerator="cpu", validations=1)
    small = window_table(
        phantom_data.prepared, phantom_data.catalogue, size=32, stride=32, rule=HALF_RULE
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


def weights_of(path):
    """Tensors of a classifier that a training left."""
    network = build_classifier("small", seed=99)
    load_own(network, path)
    return network.state_dict()


def distance(one, other):
    """Largest difference of two networks' convolutions and last layers."""
    return max((one[k] - other[k]).abs().max().item() for k in one if k.endswith("weight"))


TINY = study.PatchSettings(
    size=32, batch_size=4, learning_rate=1e-3, accelerator="cpu", validations=1
)
PRETRAINING = {"patients": 16, "patches": 8, "seed": 3, "rows": 80}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Folder of a run, and the weights of a model that learnt from phantoms in it."""
    outputs = tmp_path_factory.mktemp("run")
    # The phantoms are there already, so that no processes are started to prepare them.
    made = small_settings(image_rows=80, image_cols=65, seed=1_000_003)
    build_dataset(outputs / "pretraining", made, workers=0)
    before = (outputs / "pretraining/dataset/settings.json").read_text()
    path = study.pretrain_on_phantoms(outputs, TINY, **PRETRAINING)
    assert (outputs / "pretraining/dataset/settings.json").read_text() == before, "other phantoms"
    return outputs, path


def test_pretraining_is_a_training_from_random_weights_on_its_own_phantoms(pretrained):
    outputs, path = pretrained
    data = open_dataset(outputs / "pretraining")
    assert data.synthetic
    assert data.catalogue.images["patient_id"].nunique() == 16
    table = window_table(data.prepared, data.catalogue, size=32, stride=8, rule=HALF_RULE)
    kept = path.stat().st_mtime_ns
    same = study.train_patch_model(
        data, table, TINY, patches=8, start="random", seed=3, folder=outputs / "pretraining"
    )
    assert same.trained.weights == path, "everything that decides the outcome is the same"
    assert same.trained.steps == 2
    assert path.stat().st_mtime_ns == kept
    found = weights_of(path)
    assert distance(found, same.network.state_dict()) == 0
    # Two steps of AdamW move a weight by at most about twice the rate.
    moved = distance(found, build_classifier("small", seed=3).state_dict())
    assert 1e-4 < moved < 3e-3


def test_pretraining_is_done_once_and_anew_where_it_differs(pretrained):
    outputs, path = pretrained
    kept = path.stat().st_mtime_ns
    assert study.phantom_start(outputs, TINY, starts=["phantom"], **PRETRAINING) == path
    assert path.stat().st_mtime_ns == kept
    longer = study.pretrain_on_phantoms(outputs, TINY, **{**PRETRAINING, "patches": 12})
    assert longer != path
    assert distance(weights_of(longer), weights_of(path)) > 0
    assert path.stat().st_mtime_ns == kept


def test_a_start_from_phantoms_begins_with_what_was_learnt_from_them(
    pretrained, phantom_data, windows, tmp_path
):
    _, path = pretrained
    starts = resolve_starts(["random", "phantom"], {PHANTOM: path})
    models = study.train_grid(
        phantom_data,
        windows,
        replace(TINY, size=SIZE, learning_rate=1e-6),
        starts=starts,
        sizes=[4],
        seeds=[0],
        folder=tmp_path,
        validation=8,
    )
    assert [model.start for model in models] == ["random", "phantom"]
    begun = {"random": build_classifier("small", seed=0).state_dict(), "phantom": weights_of(path)}
    for model in models:
        for start, weights in begun.items():
            away = distance(model.network.state_dict(), weights)
            assert (away < 1e-5) == (start == model.start)


def test_other_validation_windows_are_another_training(phantom_data, windows, tmp_path):
    more = {"patches": 8, "start": "random", "seed": 0, "folder": tmp_path}
    folders = {
        study.train_patch_model(
            phantom_data, windows, TINY, validation=validation, **more
        ).trained.folder
        for validation in (8, 8, 12)
    }
    assert len(folders) == 2


def test_depths_are_models_of_each_architecture_with_one_budget(phantom_data, windows, tmp_path):
    settings = replace(TINY, architecture="resnet101", size=SIZE)
    more = {"patches": 8, "folder": tmp_path, "validation": 8}
    models = study.train_depths(
        phantom_data,
        windows,
        settings,
        architectures=["small", "mobilenet_v2"],
        seeds=[0, 1],
        **more,
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
        begun = build_classifier(model.network.architecture, seed=model.seed).state_dict()
        assert 1e-4 < distance(begun, model.network.state_dict()) < 3e-3
    judged = sample_windows(windows, split="test", most=10, seed=0)
    found = study.predict_patches(models, phantom_data, judged, size=SIZE)
    assert found.groupby(["architecture", "seed"]).size().tolist() == [len(judged)] * 4
    assert found["model"].unique().tolist() == [
        "small random, 8 patches",
        "mobilenet_v2 random, 8 patches",
    ]


def test_without_depths_nothing_is_trained(phantom_data, windows, tmp_path):
    more = {"patches": 8, "seeds": [0], "folder": tmp_path}
    assert study.train_depths(phantom_data, windows, TINY, architectures=[], **more) == []
    assert not list(tmp_path.iterdir())
    with pytest.raises(ParameterError, match="beside 'small', which is trained already"):
        study.train_depths(phantom_data, windows, TINY, architectures=["small"], **more)


@pytest.mark.slow
def test_a_patch_model_of_phantoms_beats_what_is_reached_without_looking(tmp_path):
    made = small_settings(lesion_contrast=4)
    data = build_dataset(tmp_path, made, workers=0)
    table = window_table(data.prepared, data.catalogue, size=32, stride=8, rule=HALF_RULE)
    settings = study.PatchSettings(size=32, batch_size=64, learning_rate=3e-3, accelerator="cpu")
    model = study.train_patch_model(
        data, table, settings, patches=64 * 120, start="random", seed=0, folder=tmp_path,
        validation=200,
    )  # fmt: skip
    judged = sample_windows(table, split="test", most=1500, seed=0)
    found = study.predict_patches([model], data, judged, size=32)
    curve = patch_transfer.learning_curve(found, seed=0, draws=500).set_index("measure")
    said = np.array(LABELS)[found[list(CLASS_SCORES)].to_numpy().argmax(axis=1)]
    balanced = curve.loc["balanced_accuracy"]
    assert balanced["value"] == pytest.approx(balanced_accuracy_score(found["label"], said))
    trivial = patch_transfer.baselines(table, judged)["balanced_accuracy"].max()
    assert trivial == pytest.approx(1 / judged["label"].nunique())
    assert balanced["low"] > trivial
    assert curve.loc["macro_auc", "value"] > 0.7
