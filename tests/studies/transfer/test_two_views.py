"""Two views and the linear baseline: trained on phantoms, compared on the same breasts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.small_classifiers import small_whole_image_settings
from second_look.evaluation.predictions import CLASS_SCORES, binary_scores, checked, combine
from second_look.models.classifier import build_classifier
from second_look.studies.transfer import linear_probe, two_views, whole_image
from sklearn.metrics import roc_auc_score


@pytest.fixture(scope="module")
def trained(phantom_data, tmp_path_factory):
    folder, settings = tmp_path_factory.mktemp("run"), small_whole_image_settings(epochs=1)
    (single,) = whole_image.train_all(
        phantom_data, settings, sizes=[(64, 64)], starts=["random"], seeds=[0],
        folder=folder,
    )  # fmt: skip
    fused = two_views.train_all(
        phantom_data, [single], settings, epochs=1, learning_rate=1e-4, folder=folder
    )
    return single, checked(fused)


def test_every_breast_of_validation_and_test_is_answered_once(phantom_data, trained):
    _, fused = trained
    images = phantom_data.catalogue.images
    expected = images[images["split"] != "train"][["patient_id", "laterality"]].drop_duplicates()
    for _, of_model in fused.groupby("model"):
        assert len(of_model) == len(expected)
    assert set(fused["unit"]) == {"breast"}
    assert set(fused["model"]) == {
        "two views, 64×64, start random",
        "two views, 64×64, start random tta",
    }


def test_the_gain_is_over_the_mean_of_the_same_breasts(trained):
    single, fused = trained
    table = two_views.gains(fused, single.predictions, seed=0, draws=100)
    assert table["measure"].tolist() == ["AUC", "gain"] * 2
    plain = fused[(fused["split"] == "test") & ~fused["averaged"]]
    of_images = single.predictions[~single.predictions["averaged"]]
    means = combine(of_images[of_images["split"] == "test"], "breast")
    malignant = plain["label"] == "malignant"
    alone = roc_auc_score(malignant, binary_scores(plain, "malignant"))
    mean = roc_auc_score(means["label"] == "malignant", means["score"])
    assert table["value"].iloc[0] == pytest.approx(alone)
    assert table["value"].iloc[1] == pytest.approx(alone - mean)
    assert two_views.best_single([single]) is single
    sentence = two_views.findings(table)
    assert f"an AUC of {alone:.2f} [" in sentence
    assert f"{alone - mean:+.2f} [" in sentence
    assert "Not trained" in two_views.findings(two_views.gains(fused[:0], of_images, seed=0))


def test_the_baseline_is_scikit_learn_s_on_frozen_features(phantom_data, tmp_path):
    path = tmp_path / "other.pt"
    state = build_classifier("small", seed=5).state_dict()
    torch.save({f"network/{key}": value for key, value in state.items()}, path)
    starts = linear_probe.starts_to_probe(["random", "phantom", str(path)], {})
    assert starts == {"other": {0: str(path)}}
    assert linear_probe.starts_to_probe(["random", "patches"], {}) == {}
    of_patches = {"imagenet": {0: "imagenet"}, "patches": {3: str(path)}}
    assert linear_probe.starts_to_probe(["patches", "imagenet"], {3: path}) == of_patches
    arguments = {"architecture": "small", "size": (64, 64), "folder": tmp_path, "weights": []}
    table = linear_probe.linear_probe(phantom_data, starts=starts, **arguments)
    again = linear_probe.linear_probe(phantom_data, starts=starts, **arguments)
    pd.testing.assert_frame_equal(table, again)
    assert np.allclose(checked(table)[list(CLASS_SCORES)].sum(axis=1), 1)
    assert set(table["split"]) == {"val", "test"}
    assert linear_probe.linear_probe(phantom_data, starts={}, **arguments).empty
