"""The linear model of frozen features, and the last layer that it gives a network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.catalogue import LABELS
from second_look.inference.frozen_features import fit_linear, linear_layer, probabilities
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def images_of(labels: list[str], rng: np.random.Generator) -> pd.DataFrame:
    split = rng.permutation(["train", "train", "val"] * (len(labels) // 3))
    return pd.DataFrame({"image_id": range(len(labels)), "label": labels, "split": split})


@pytest.mark.parametrize("present", [["benign", "malignant"], ["normal", "benign", "malignant"]])
def test_the_layer_answers_as_the_linear_model_of_the_labels_that_occur(present):
    rng = np.random.default_rng(0)
    images = images_of(list(rng.permutation(present * (180 // len(present)))), rng)
    features = rng.normal(3, 2, (180, 12))
    features[:, 4] += 4 * (images["label"] == "malignant")
    model = fit_linear(features, images)
    layer = linear_layer(model)
    logits = torch.from_numpy(features).float() @ layer["weight"].T + layer["bias"]
    answers, expected = logits.softmax(1).numpy(), probabilities(model, features)
    assert np.allclose(answers, expected, atol=1e-3)
    absent = [code for code, label in enumerate(LABELS) if label not in present]
    assert answers[:, absent].max() < 1e-3
    held_out = (images["split"] == "val").to_numpy()
    malignant = (images["label"] == "malignant").to_numpy()[held_out]
    scores = answers[held_out, -1]
    assert roc_auc_score(malignant, scores) > 0.6


def test_the_penalty_is_the_one_that_ranks_validation_images_best():

    rng = np.random.default_rng(1)
    images = images_of(list(rng.permutation(["benign", "malignant"] * 90)), rng)
    malignant, training = images["label"] == "malignant", images["split"] == "train"
    features = rng.normal(size=(180, 40))
    features[:, 0] += malignant
    fitted = fit_linear(features, images)
    held_out = ~training.to_numpy()

    def validated(inverse_penalty: float) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=inverse_penalty))
        model.fit(features[training], malignant[training])
        return roc_auc_score(malignant[held_out], model.decision_function(features[held_out]))

    chosen = roc_auc_score(malignant[held_out], probabilities(fitted, features[held_out])[:, -1])
    assert chosen == pytest.approx(max(map(validated, (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1))))
