"""A published model on another data set: nothing is fitted there, and a fall is said with care."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.small_published import known_classifier
from matplotlib import pyplot as plt
from second_look.errors import DataError, NotApplicableError
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.figures import external as figures
from second_look.published import external
from second_look.published.weights import FOLDER, save_model
from sklearn.metrics import roc_auc_score


@pytest.fixture
def run() -> SimpleNamespace:
    files: list[Path] = []
    return SimpleNamespace(
        notebook="10_external_test", files=files, uses=lambda *f: files.extend(f)
    )


def test_the_model_comes_from_a_published_set_of_other_data(
    run, phantom_data, tmp_path: Path
) -> None:
    with pytest.raises(NotApplicableError, match="no published model is named"):
        external.open_published(run, phantom_data, "")
    model = known_classifier()
    save_model(model, tmp_path / FOLDER)
    published = external.open_published(run, phantom_data, str(tmp_path))
    assert published.card.model == model.card.model
    assert {".json", ".safetensors"} <= {path.suffix for path in run.files}
    table = external.both_sets(published, phantom_data).set_index("quantity")
    assert table.loc["images", "here"] == len(phantom_data.catalogue.images)
    assert table.loc["data set", "home"] == "squares"
    training_set = SimpleNamespace(name="squares")
    with pytest.raises(DataError, match="no external test"):
        external.open_published(run, training_set, str(tmp_path))


def test_all_images_are_predicted_and_nothing_is_fitted_here(phantom_data) -> None:
    published = known_classifier()
    predictions = external.predict(published, phantom_data)
    assert len(predictions) == len(phantom_data.catalogue.images)
    rng = np.random.default_rng(0)
    malignant = (predictions["label"] == "malignant").to_numpy()
    scores = np.clip(rng.normal(0.4 + 0.3 * malignant, 0.15), 0.01, 0.99)
    predictions[list(CLASS_SCORES)] = 0.0
    predictions[CLASS_SCORES[-1]], predictions[CLASS_SCORES[0]] = scores, 1 - scores
    results = external.external_results(published, predictions, seed=0, draws=200)
    falls = external.fall(results, published.card.results)
    rows = falls.set_index(["measure", "unit"])
    assert rows.loc[("AUC", "image"), "value"] == pytest.approx(roc_auc_score(malignant, scores))
    # The threshold is the card's: 0.3 for a sensitivity of 90 %.
    sensitivity = rows.loc[("sensitivity at sensitivity 90%", "image"), "value"]
    assert sensitivity == pytest.approx((scores[malignant] >= 0.3).mean())
    assert rows.loc[("AUC", "image"), "value_at_home"] == 0.75
    sentences = external.findings(falls, published, phantom_data)
    assert "on the test patients of squares" in sentences
    assert sentences.count("\n") == len(falls) - 1
    figure = figures.fall(falls)
    assert [axis.get_title() for axis in figure.axes] == [
        f"by {unit}" for unit in dict.fromkeys(falls["unit"])
    ]
    plt.close(figure)


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.5, 0.6, 0.7, 0.8), "the intervals are apart"),
        ((0.5, 0.75, 0.7, 0.8), "the intervals overlap: no fall is shown"),
        ((None, None, 0.7, 0.8), "too few patients to compare"),
    ],
)
def test_a_fall_is_said_only_where_the_intervals_are_apart(ends, words, phantom_data) -> None:
    low, high, low_at_home, high_at_home = ends
    row = {
        "measure": "AUC", "unit": "image", "value": 0.55, "low": low, "high": high, "n": 87,
        "patients": 80, "value_at_home": 0.75, "low_at_home": low_at_home,
        "high_at_home": high_at_home,
    }  # fmt: skip
    assert words in external.findings(pd.DataFrame([row]), known_classifier(), phantom_data)
