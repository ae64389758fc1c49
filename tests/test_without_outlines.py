"""The project's own notebooks on a set whose labels are those of images: no mask, no box."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from second_look.phantoms.files import write_folder_layout
from second_look.phantoms.phantom import PhantomSettings
from second_look.running.pipeline import run

REPO = Path(__file__).resolve().parents[1]
PARAMS = """\
01_data_survey:
  source: folder
  data_root: {root}
  table: labels.csv
  sheet_images: 4
  workers: 0
06_patch_transfer_learning:
  image_sizes: [[64, 48]]
  image_epochs: 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """16 patients as phantoms draw them, and a table of path, patient and label alone."""
    root = tmp_path / "data"
    write_folder_layout(root, PhantomSettings(patients=16, rows=256, cols=208, seed=2))
    (table,) = root.glob("*.csv")
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["path", "patient", "label"], extrasaction="ignore")
        writer.writeheader()
        # A label an image, as RSNA and CMMD give it: no row tells lesions apart.
        writer.writerows(row | {"label": row["label"].split("|")[-1]} for row in rows)
    return root


@pytest.mark.slow
def test_what_needs_places_is_skipped_and_the_others_run(folder: Path, tmp_path: Path) -> None:
    params = tmp_path / "params" / "labels.yaml"
    params.parent.mkdir()
    params.write_text(PARAMS.format(root=folder), encoding="utf-8")
    report = run(params, REPO / "notebooks", tmp_path / "outputs")
    states = json.loads((report.parent / "run.json").read_text())["notebooks"]
    # The last one needs a published model of another data set, and none is named.
    expected = ["done", *["not applicable"] * 4, *["done"] * 4, "not applicable"]
    assert [state["status"] for state in states.values()] == expected
    page = report.read_text(encoding="utf-8")
    assert page.count("Not applicable to this data set.") == 5
    assert "Not run on this data set: it needs lesion outlines" in page
    assert (report.parent / "predictions" / "06_scheme_b.parquet").is_file()
    assert not (report.parent / "predictions" / "06_patches.parquet").exists()
