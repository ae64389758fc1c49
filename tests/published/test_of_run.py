"""A run's models: each checkpoint is recognised by what it says, or nothing is published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.small_mammograms import small_mammograms
from safetensors.torch import save_file
from second_look.batches.pictures import make_pictures
from second_look.catalogue import LABELS
from second_look.errors import CheckpointError
from second_look.evaluation.predictions import CLASS_SCORES, from_classes
from second_look.evaluation.roc import auc
from second_look.files import write_parquet
from second_look.inference.images import score_images
from second_look.models.classifier import Classifier, build_classifier
from second_look.preparing.dataset import Dataset
from second_look.published import measured
from second_look.published.external import external_results, fall
from second_look.published.of_run import IMAGE_TABLE, image_model, models_of_run
from second_look.published.scores import UNITS, predict_dataset

SIZE = (64, 32)
NAME = "scheme B, 64×32, start random"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_mammograms(tmp_path_factory.mktemp("data"), 64)


def checkpoint(run: Path, network: Classifier, name: str, *, seed: int = 0) -> None:
    folder = run / "checkpoints" / f"image-small-64x32-{name}"
    folder.mkdir(parents=True)
    identity = {
        "task": "image-small-64x32", "architecture": "small", "channels": 3, "seed": seed,
        "picture_size": list(SIZE), "steps": 4, "start": "random",
    }  # fmt: skip
    tensors = {f"network/{key}": value for key, value in network.state_dict().items()}
    save_file(tensors, folder / "weights.safetensors", {"identity": json.dumps(identity)})


def table_of(data: Dataset, network: Classifier, name: str = NAME) -> pd.DataFrame:
    images = data.catalogue.images
    units = images.loc[images["split"] != "train", [*UNITS, "density"]].reset_index(drop=True)
    pictures = make_pictures(data.prepared, SIZE, data.folder / "pictures")
    shares = score_images(network, pictures, list(units["image_id"]))
    return from_classes(
        units, shares, unit="image", model=name, seed=0, averaged=False, rows=64, cols=32,
        architecture="small",
    )  # fmt: skip


@pytest.fixture
def run(data: Dataset, tmp_path: Path) -> Path:
    """A run whose table is that of the second of two checkpoints."""
    networks = [build_classifier("small", seed=seed).eval() for seed in (1, 2)]
    for network, name in zip(networks, ("aaaa", "bbbb"), strict=True):
        checkpoint(tmp_path, network, name)
    checkpoint(tmp_path, networks[1], "cccc", seed=5)
    write_parquet(tmp_path / IMAGE_TABLE, table_of(data, networks[1]))
    entry = {"commit": "c" * 40}
    record = {"notebooks": {"06_patch_transfer_learning": entry}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    return tmp_path


def test_the_checkpoint_that_says_what_the_table_holds_is_taken(run: Path, data: Dataset) -> None:
    models = models_of_run(run, data, seed=0, draws=50)
    assert list(models) == ["image"]
    card = models["image"].card
    assert (card.model, card.architecture, card.size()) == (NAME, "small", SIZE)
    assert card.commit == "c" * 40
    assert card.training["steps"] == 4
    assert card.data.patients == {"test": 8, "train": 16, "val": 8}
    again = predict_dataset(models["image"], data)
    table = pd.read_parquet(run / IMAGE_TABLE)
    differences = again[list(CLASS_SCORES)] - table[list(CLASS_SCORES)]
    assert np.abs(differences.to_numpy()).max() < 0.01  # half precision
    test = table[table["split"] == "test"]
    area = next(r for r in card.results if (r.measure, r.unit) == ("AUC", "image"))
    assert area.value == pytest.approx(auc(test["score_malignant"], test["label"] == "malignant"))


def test_predictions_that_no_checkpoint_gives_are_not_published(run: Path, data: Dataset) -> None:
    table = pd.read_parquet(run / IMAGE_TABLE)
    shifted = table.assign(**dict.fromkeys(CLASS_SCORES, 0.25))
    shifted.loc[shifted["label"] == "normal", list(CLASS_SCORES)] = [0.7, 0.1, 0.1, 0.1]
    write_parquet(run / IMAGE_TABLE, shifted)
    with pytest.raises(CheckpointError, match=r"no checkpoint gives .*-aaaa \(off by"):
        image_model(run, data, seed=0, draws=50)


def test_the_best_on_validation_is_published_whatever_it_does_on_test(
    run: Path, data: Dataset
) -> None:
    """A model that is right on test and wrong on validation patients is not chosen."""
    table = pd.read_parquet(run / IMAGE_TABLE)
    malignant = table["label"] == "malignant"
    score = np.where((table["split"] == "test") == malignant, 0.9, 0.1)
    cheat = table.assign(model="cheat", score_normal=1 - score, score_malignant=score)
    cheat = cheat.assign(score_benign=0.0, score_benign_without_callback=0.0)
    write_parquet(run / IMAGE_TABLE, pd.concat([cheat, table], ignore_index=True))
    assert image_model(run, data, seed=0, draws=50).card.model == NAME


def rows(scores: list[float], malignant: list[bool], split: str) -> pd.DataFrame:
    units = pd.DataFrame(
        {
            "dataset": "d",
            "image_id": [f"{split}{index}" for index in range(len(scores))],
            "patient_id": [f"{split}{index // 2}" for index in range(len(scores))],
            "split": split,
            "label": ["malignant" if part else "benign" for part in malignant],
            "laterality": ["L", "R"] * (len(scores) // 2),
        }
    )
    shares = np.zeros((len(scores), len(LABELS)))
    shares[:, 3], shares[:, 2] = scores, 1 - np.array(scores)
    return from_classes(units, shares, unit="image", model="m", seed=0)


def test_thresholds_are_those_of_validation_patients() -> None:
    """Ten malignant images, of which nine score 0.6 or more: sensitivity 90 % is there."""
    scores = [0.6 + 0.01 * index for index in range(9)] + [0.2] + [0.1, 0.3, 0.5, 0.55] * 3
    malignant = [True] * 10 + [False] * 12
    table = pd.concat(
        [rows(scores, malignant, "val"), rows([0.9, 0.1] * 6, [True, False] * 6, "test")],
        ignore_index=True,
    )
    fitted = measured.calibrations(table)["image"]
    assert fitted.thresholds == {measured.AT_SENSITIVITY: 0.6, measured.YOUDEN: 0.6}
    assert fitted.prevalence == pytest.approx(10 / 22)
    assert (fitted.n, fitted.patients) == (22, 11)
    assert np.diff(fitted.probability([0.1, 0.5, 0.9])).min() > 0


def test_a_model_on_another_data_set_is_measured_at_its_own_thresholds(
    run: Path, data: Dataset
) -> None:
    model = models_of_run(run, data, seed=0, draws=50)["image"]
    predictions = predict_dataset(model, data, splits=("train",))
    results = external_results(model, predictions, seed=0, draws=50)
    found_measures = {(part.measure, part.unit) for part in results}
    assert {("AUC", "image"), ("AUC", "patient"), ("ECE calibrated", "image")} <= found_measures
    score = predictions["score_malignant"].to_numpy()
    threshold = model.card.calibrations["image"].thresholds[measured.YOUDEN]
    malignant = (predictions["label"] == "malignant").to_numpy()
    sensitivity = next(
        r for r in results if (r.measure, r.unit) == (f"sensitivity at {measured.YOUDEN}", "image")
    )
    assert sensitivity.value == pytest.approx(np.mean(score[malignant] >= threshold))
    table = fall(results, model.card.results)
    assert len(table) == len(results)
    assert table["value_at_home"].notna().any()
