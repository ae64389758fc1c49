"""Worked examples: the shapes and values that they show are those of the code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.made_predictions import class_predictions
from second_look.claims import claim
from second_look.evaluation.calibration import ece
from second_look.evaluation.groups import groups
from second_look.models.classifier import build_classifier
from second_look.models.dcgan import DcganSettings, Generator
from second_look.models.generator import Scaling
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.studies.calibration import measures
from second_look.studies.calibration.walkthrough import answer_to_error
from second_look.studies.detection.walkthrough import picture_to_box
from second_look.studies.gan.walkthrough import noise_to_losses, sample_to_answer
from second_look.studies.scorecard.walkthrough import measurement_to_verdict
from second_look.studies.steps import steps, through_classifier, upright
from second_look.studies.survey import walkthrough as survey
from second_look.studies.transfer.walkthrough import patches_to_answers
from second_look.verdicts import SYNTHETIC

SMALL = DcganSettings(32, 100, slope=0.2, dropout=0.25, output_activation="tanh")


def shapes(table):
    return dict(zip(table["step"], table["shape"], strict=True))


def test_a_step_has_its_shape_and_its_values():
    table = steps(
        {"a": np.array([[1.0, 2.0, 6.0]]), "b": torch.tensor(4), "none": np.zeros((0, 4))}
    )
    assert table.iloc[0].tolist() == ["a", "1 × 3", 1, 3, 6]
    assert table["shape"].tolist() == ["1 × 3", "one number", "0 × 4"]
    assert np.isnan(table["mean"].iloc[2])
    assert upright(pd.DataFrame({"patient_id": ["p1"]})).to_numpy().tolist() == [["patient", "p1"]]


def test_a_classifier_gives_what_it_gives_in_one_call():
    network = build_classifier("small", seed=0, classes=2, channels=1)
    pixels = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    table, batch = through_classifier(network, pixels, ["b", "a", "b"], ["a", "b"])
    with torch.inference_mode():
        logits = network(pixels)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0, 1]), reduction="none")
    np.testing.assert_allclose(batch["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(batch["p(a)"] + batch["p(b)"], 1, rtol=1e-6)
    assert batch["answer"].tolist() == ["ab"[code] for code in logits.argmax(1)]
    assert shapes(table)["logits: one number a class"] == "3 × 2"


def test_a_file_becomes_input_and_a_row(phantom_data):
    image_id = survey.example(phantom_data)
    row = phantom_data.catalogue.images.set_index("image_id").loc[image_id]
    assert row["split"] == "train"
    table = survey.reading(phantom_data, image_id)
    assert table["shape"].iloc[0] == f"{row['rows']} × {row['cols']}"
    assert table["highest"].iloc[-1] <= 1
    cells = survey.catalogue_row(phantom_data, image_id).set_index("column")["value"]
    assert cells["label"] == row["label"]


def test_windows_are_those_of_the_table_of_windows(phantom_data):
    image_id = survey.example(phantom_data)
    options = {"size": 64, "stride": 32, "rule": HALF_RULE, "size_mm": None}
    table, window = survey.windows(phantom_data, image_id, **options)
    table_of_all = window_table(phantom_data.prepared, phantom_data.catalogue, **options)
    of_image = table_of_all[table_of_all["image_id"] == image_id]
    assert table["shape"].iloc[1] == str(len(of_image))
    cells = window.set_index("column")["value"]
    window_row = of_image[(of_image["row"] == cells["row"]) & (of_image["col"] == cells["col"])]
    assert window_row["label"].item() == cells["label"]
    assert cells["share of a lesion"] == of_image["lesion_share"].max() > 0


def test_noise_becomes_samples_and_two_losses():
    table = noise_to_losses(SMALL, seed=0)
    by_step = table.set_index("step")
    assert by_step["shape"].iloc[0] == "4 × 100"
    assert by_step.loc["generator, layer 11: Tanh", "shape"] == "4 × 1 × 32 × 32"
    p = by_step.loc["probability of “original”"]
    assert by_step["lowest"].iloc[-1] == pytest.approx(-np.log(p["highest"]), abs=1e-6)
    assert by_step["lowest"].iloc[-2] == pytest.approx(-np.log(1 - p["lowest"]), abs=1e-6)
    pd.testing.assert_frame_equal(table, noise_to_losses(SMALL, seed=0))


def test_a_sample_of_each_class_gets_an_answer():
    labels = ["normal", "malignant"]
    generators = {label: (Generator(SMALL), Scaling(0.2, 0.6)) for label in labels}
    table, batch = sample_to_answer(generators, labels, architecture="small", size=64, seed=0)
    assert table["shape"].iloc[0] == "2 × 1 × 64 × 64"
    assert 0.2 <= table["lowest"].iloc[0] <= table["highest"].iloc[0] <= 0.6
    assert batch["label"].tolist() == labels


def test_a_picture_becomes_boxes_in_pixels_of_the_file(phantom_data):
    table, best = picture_to_box(phantom_data, (128, 96), seed=0)
    shape = shapes(table)
    assert shape["normalised, in three channels"] == "1 × 3 × 128 × 96"
    number = shape["proposals: x and y of two corners, px"].split(" × ")[0]
    assert shape["logits of background and classes"] == f"{number} × 4"
    values = best.set_index("column")["value"]
    image = phantom_data.catalogue.images.set_index("image_id").loc[values["image"]]
    assert 0 <= values["first row"] < values["last row"] <= image["rows"]
    scores = [value for name, value in values.items() if name.startswith("score ")]
    assert sum(scores) == pytest.approx(1, abs=0.01)


def test_a_patch_of_each_class_gets_an_answer(phantom_data):
    windows = window_table(
        phantom_data.prepared, phantom_data.catalogue, size=64, stride=32, rule=HALF_RULE
    )
    options = {"architecture": "small", "size": 64, "seed": 0}
    table, batch = patches_to_answers(phantom_data, windows, **options)
    assert batch["label"].is_unique
    assert table["shape"].iloc[0] == f"{len(batch)} × 1 × 64 × 64"
    assert {"image_id", "row", "col", "answer", "loss"} <= set(batch)


def test_a_temperature_is_followed_to_the_error():
    tables = {"06_patches": class_predictions(patients=60, units_per_patient=4, temperature=2.5)}
    calibrated = measures.calibrate(groups(tables))
    cells = answer_to_error(calibrated, bins=15).set_index("step")["values"]
    model = calibrated[0]
    expected = ece(model.probabilities(measures.TEMPERATURE), model.test.classes, bins=15)
    assert cells["ECE: the sum over all bins"] == f"{expected:.4f}"
    assert cells["temperature, fitted to validation units"] == f"{model.temperature:.3g}"
    assert answer_to_error([], bins=15).empty


@pytest.mark.parametrize(
    ("low", "high", "position"),
    [(0.9, 0.95, "lies within"), (0.5, 0.6, "lies outside"), (0.8, 0.95, "reaches over an end of")],
)
def test_an_interval_meets_the_limits_of_its_claim(low, high, position):
    row = {"claim": "fig-3a", "value": (low + high) / 2, "low": low, "high": high, "how": "",
           "verdict": SYNTHETIC}  # fmt: skip
    count = row | {"claim": "mrcnn-params", "low": None, "high": None}
    cells = measurement_to_verdict([count, row]).set_index("step")["values"]
    assert cells["claim"] == claim("fig-3a").statement
    assert cells["the interval"] == f"{position} these limits"
    assert cells["what else counts"] == "phantoms judge no claim"
    assert measurement_to_verdict([count]).empty
