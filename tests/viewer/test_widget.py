"""What notebooks 05 and 06 call: from results and a network to the cases of the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from helpers.made_detections import perfect
from second_look.evaluation.detection_tables import image_table, truth_table
from second_look.models.classifier import build_classifier
from second_look.outputs import open_run
from second_look.preparing.dataset import Dataset
from second_look.studies.detection.results import DetectionResults
from second_look.viewer.cases import FALSE_ALARM, HIT, MISS, NO_ALARM
from second_look.viewer.widget import show_detections, show_scheme_a


def test_detections_of_test_patients_become_cases(phantom_data: Dataset, tmp_path: Path) -> None:
    splits = ("val", "test")
    images = image_table(phantom_data, splits=splits)
    truths = truth_table(phantom_data, splits=splits)
    detections = perfect(images, truths)
    nothing = detections.iloc[:0]
    results = DetectionResults(images, truths, {"made": detections}, nothing, nothing, {})
    run = open_run(tmp_path, notebook="05_mask_rcnn")
    widget = show_detections(run, phantom_data, results, "made", per_outcome=3, megabytes=1.0)
    assert widget is not None
    counts = dict(widget.pack["counts"])
    tested = truths[truths["split"] == "test"]
    assert counts[HIT] == len(tested)
    assert MISS not in counts
    assert FALSE_ALARM not in counts
    assert widget.pack["threshold"] == 0.9
    assert "A detector scores boxes" in widget.pack["missing"]["heat"]
    assert {case["outcome"] for case in widget.pack["cases"]} == {HIT, NO_ALARM}
    widget.close()


def test_scheme_a_brings_its_heat_maps(phantom_data: Dataset, tmp_path: Path) -> None:
    images = phantom_data.catalogue.images
    scores = pd.DataFrame(
        {
            "image_id": images["image_id"],
            "highest": np.linspace(0, 1, len(images)),
            "any window": np.arange(len(images)) % 2,
        }
    )
    network = build_classifier("small", seed=0).eval()
    run = open_run(tmp_path, notebook="06_patch_transfer_learning")
    widget = show_scheme_a(
        run, phantom_data, scores, network, size=64, scales=dict.fromkeys(images["image_id"], 1.0),
        per_outcome=1, megabytes=1.0,
    )  # fmt: skip
    assert widget is not None
    pack = json.loads((tmp_path / "cases" / "06_cases.json").read_text())
    assert pack == widget.pack
    tested = images[images["split"] == "test"]
    assert sum(count for _, count in pack["counts"]) == len(tested)
    assert all(image["heat"] for image in pack["images"])
    assert "A patch model" in pack["missing"]["detections"]
    widget.close()
