"""Notebook 07 from its first cell to its last, on predictions of models that are too sure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
import pandas as pd
import pytest
from helpers.made_predictions import binary_predictions, several_depths
from second_look.evaluation.intervals import DRAWS
from second_look.outputs import load_results, open_run
from second_look.studies.calibration import measures

NOTEBOOK = Path(__file__).resolve().parents[3] / "notebooks" / "07_calibration.py"
FIGURES = (
    "ece_by_method", "reliability_width", "reliability_mass", "ece_by_depth", "confidence_bands",
    "roc", "thresholds", "prevalence",
)  # fmt: skip


# Cells that read the images; test_subgroups tests what they call.
OF_IMAGES = ("subgroups.", "by_group", "open_dataset(")


def run_notebook(outputs: Path, **parameters: Any) -> str:
    """Run the code cells that need no mammograms here and now; what the last one says."""
    scope: dict[str, Any] = {}
    cells = [
        cell.source
        for cell in jupytext.read(NOTEBOOK).cells
        if cell.cell_type == "code" and not any(name in cell.source for name in OF_IMAGES)
    ]
    for source in cells[:-1]:
        exec(compile(source, str(NOTEBOOK), "exec"), scope)
        scope |= {"outputs": str(outputs), **parameters} if "screening" in source else {}
    *statements, last = cells[-1].splitlines()
    exec("\n".join(statements), scope)
    return str(eval(last, scope).data)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    outputs = tmp_path_factory.mktemp("set")
    depths = several_depths(
        {"resnet18": 1.6, "resnet50": 3.0}, (0,), patients=120, units_per_patient=20
    )
    images = binary_predictions(patients=800)
    images["laterality"] = images["image_id"].str[-1].map({"0": "left", "1": "right"})
    run = open_run(outputs, notebook="06_patch_transfer_learning")
    run.parquet(depths, "predictions/06_patches.parquet")
    run.parquet(images, "predictions/06_images.parquet")
    with pytest.MonkeyPatch.context() as rendering:
        rendering.setattr("second_look.rendering.PNG_DPI", 40)
        text = run_notebook(outputs, draws=40, models_shown=2)
    return outputs, text


def test_every_figure_and_table_is_there(finished):
    outputs, _ = finished
    for name in FIGURES:
        assert (outputs / "figures" / f"07_{name}.png").stat().st_size > 3000
    names = {path.stem for path in (outputs / "tables").glob("*.csv")}
    assert names == {
        "07_predictions", "07_notes", "07_measures", "07_depths", "07_depth_effect", "07_bands",
        "07_operating_points", "07_prevalence", "07_recall_rates", "07_average_precision",
        "07_net_benefit", "07_example",
    }  # fmt: skip
    numbers = pd.read_parquet(outputs / "tables" / "07_measures.parquet")
    assert set(numbers["measure"]) >= {"ece", "debiased", "mce", "nll", "brier", "ece_change"}


def test_captions_take_their_rules_from_the_code():
    source = NOTEBOOK.read_text()
    assert 'f"each unit and question {study.CHOICE}' in source
    assert "{study.BOUNDS}" in source
    assert measures.BOUNDS == "slope -5 to 20; intercept -20 to 20; temperature 0.05 to 20"
    assert f"draws: int = {DRAWS} " in source, "an AUC here and in notebook 06 is one number"
    assert "{decisions.NEAR:.0%} of the test units that rank nearest" in source


def test_the_claim_stands_beside_what_was_measured(finished):
    outputs, _ = finished
    rows = {row["claim"]: row for row in load_results(outputs)}
    assert set(rows) >= {"calibration", "temperature", "confidence-80"}
    assert rows["temperature"]["verdict"] == "undecided: one training, at least 3 are needed"
    row = rows["calibration"]
    assert row["claim"] == "calibration"
    assert 0 < row["low"] < row["value"] < row["high"] < 100
    assert row["verdict"].startswith("now measured: overconfident")
    assert (outputs / "figures" / f"{row['figure']}.png").exists()
    assert "that of a perfect model of this size" in row["how"]
    assert "O:E" in row["how"]


def test_the_findings_are_made_of_numbers(finished):
    _, text = finished
    assert text.count("temperature lowers it") >= 2
    assert "one training cannot separate depth from luck" in text
    assert "no AUC of two classes by more than 0," in text
    assert re.search(r"was 8\d % sure, .* were promised", text)
    assert re.search(r"where 0\.6 % are positive: it states \d+\.\d % on average", text)
    assert text.count("overconfident") >= 2
    assert re.search(r"as few positives as in screening \d", text)
    assert not re.search(r"\bnan\b", text)
