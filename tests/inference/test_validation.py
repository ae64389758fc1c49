"""What classifiers are measured by while they learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches.pictures import Pictures
from second_look.batches.sampler import cut
from second_look.catalogue import LABELS
from second_look.inference.images import score_images
from second_look.inference.validation import ImageValidation, WindowValidation, accuracy, ranking
from second_look.models.classifier import build_classifier
from second_look.preparing.patches import HALF_RULE, class_balance, labelled, window_table
from sklearn.metrics import roc_auc_score

SIZE = 64


@pytest.fixture(scope="module")
def windows(phantom_data):
    table = labelled(
        window_table(
            phantom_data.prepared, phantom_data.catalogue, size=SIZE, stride=32, rule=HALF_RULE
        )
    )
    return table[table["split"] == "val"].sample(n=60, random_state=0).reset_index(drop=True)


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


def test_validation_is_what_scikit_learn_says(phantom_data, windows, network):
    measured = WindowValidation(phantom_data.prepared, windows, SIZE, ranking)(network)
    scores = scores_of(network, phantom_data, windows)
    truth = windows["label"].map(LABELS.index).to_numpy()
    present = np.unique(truth)
    areas = [roc_auc_score(truth == code, scores[:, code]) for code in present]
    assert measured["macro_auc"] == pytest.approx(np.mean(areas))
    answers = scores.argmax(axis=1)
    recalls = [(answers[truth == code] == code).mean() for code in present]
    assert measured["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_validation_on_one_class_alone_has_no_auc(phantom_data, windows, network):
    normal = windows[windows["label"] == "normal"]
    measured = WindowValidation(phantom_data.prepared, normal, SIZE, ranking)(network)
    assert measured["macro_auc"] == 0.5


def test_one_name_in_two_data_sets_is_two_patients(phantom_data, windows, network):
    second_set = windows.assign(dataset="other")
    joined = pd.concat([windows, second_set], ignore_index=True)
    counts = []

    def note(scores, classes, patients):
        counts.append(patients.count)
        return {}

    WindowValidation(phantom_data.prepared, joined, SIZE, note)(network)
    assert counts == [2 * windows["patient_id"].nunique()]
    alone, doubled = class_balance(windows), class_balance(joined)
    assert (doubled["patients"] == 2 * alone["patients"]).all()
    assert alone["patients"].sum() > 0


def test_accuracy_is_of_the_most_probable_class_and_lies_in_its_interval(
    phantom_data, windows, network
):
    measured = WindowValidation(phantom_data.prepared, windows, SIZE, accuracy)(network)
    truth = windows["label"].map(LABELS.index).to_numpy()
    answers = scores_of(network, phantom_data, windows).argmax(axis=1)
    assert measured["real_accuracy"] == pytest.approx((answers == truth).mean())
    assert measured["real_low"] <= measured["real_accuracy"] <= measured["real_high"]


def test_images_are_ranked_by_their_probability_of_malignancy():
    levels = np.random.default_rng(0).integers(0, 60_000, (12, 32, 32)).astype(np.uint16)
    ids = tuple(f"i{number:02d}" for number in range(12))
    pictures, network = Pictures(ids, levels, "d"), build_classifier("small", seed=0).eval()
    images = pd.DataFrame({"image_id": ids, "label": ["malignant", "normal", "benign"] * 4})
    expected = roc_auc_score(
        images["label"] == "malignant", score_images(network, pictures, ids)[:, -1]
    )
    validation = ImageValidation(pictures, images)
    assert validation.has_both
    assert validation(network) == {"auc": pytest.approx(expected)}
    of_one_class = ImageValidation(pictures, images[images["label"] == "malignant"])
    assert not of_one_class.has_both
    assert of_one_class(network) == {}
