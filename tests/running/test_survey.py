"""Sets that do not suffice for all notebooks: survey and plan say so before anything runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from second_look import __main__ as command
from second_look.decoding.pixels import write_png
from second_look.files import DATA_VARIABLE
from second_look.running.cohorts import known_images
from second_look.running.notebooks import find_notebooks
from second_look.running.parameters import load_params, read_cells
from second_look.running.plan import describe, make_plan
from second_look.running.work import cohort_of

REPO = Path(__file__).resolve().parents[2]
LABELS = ("malignant", "benign", "normal")


def written(folder: Path, rows: list[str], columns: str = "path,patient,label,split,boxes") -> Path:
    """A params file of a folder with a table; paths name some of six pictures."""
    for name in "abcdef":
        write_png(folder / f"{name}.png", np.tile(np.arange(40, dtype=np.uint8), (40, 1)))
    (folder / "t.csv").write_text("\n".join([columns, *rows]))
    data = {"source": "folder", "data_root": str(folder), "table": "t.csv"}
    (folder / "p.yaml").write_text(yaml.safe_dump({"01_data_survey": data}))
    return folder / "p.yaml"


def surveyed(params: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = command.main(["survey", "--params", str(params), "--notebooks", f"{REPO}/notebooks"])
    return status, capsys.readouterr().out


def plan_of(params: Path, outputs: Path) -> list[str]:
    values = load_params(params, read_cells(find_notebooks(REPO / "notebooks")), [])
    states = dict.fromkeys(values, "not run")
    return describe(make_plan(outputs, values, states, list(values), {}, measure=False))


@pytest.mark.parametrize(
    ("split", "reason", "counts"),
    [
        ("test", "no image in train and val", "Images expected: 2 (train 0, val 0, test 2)"),
        ("", "no image in val and test", "Images expected: 2 (train 2, val 0, test 0)"),
    ],
)
def test_survey_and_plan_say_which_notebooks_cannot_run(tmp_path, capsys, split, reason, counts):
    rows = [f"a.png,p,malignant,{split},", f'b.png,p,benign,{split},"5,5,9,9"']
    params = written(tmp_path, rows)
    status, printed = surveyed(params, capsys)
    assert status == 0
    assert "Everything can be used" not in printed
    _, later = printed.split("Notebooks that cannot run on these images:\n")
    names = [line.split(":")[0].strip() for line in later.splitlines()]
    assert [name[:2] for name in names] == ["02", "03", "04", "05", "06", "07", "09"]
    assert later.count(reason) >= 6
    plan = plan_of(params, tmp_path / "out")
    assert counts in plan
    assert f"  06_patch_transfer_learning: {reason}" in plan
    assert sum(line.split()[1:3] == ["cannot", "run"] for line in plan) == len(names)


def test_a_set_without_outlines_is_told_which_notebooks_it_is_not_for(tmp_path, capsys):
    rows = [
        f"{name}.png,{label}{split},{label},{split},"
        for names, split in (("ab", "train"), ("cd", "val"), ("ef", "test"))
        for label, name in zip(("malignant", "normal"), names, strict=True)
    ]
    params = written(tmp_path, rows)
    status, printed = surveyed(params, capsys)
    assert status == 0
    assert printed.count("it needs lesion outlines; this set has none") == 4
    assert "06_patch" not in printed


def test_a_set_that_notebook_01_refuses_has_a_status_that_says_so(tmp_path, capsys):
    rows = ["a.png,p,malignant,,", "gone.png,q,benign,,"]
    status, printed = surveyed(written(tmp_path, rows), capsys)
    assert status == 2
    assert printed.startswith("Notebook 01 stops: ")
    assert "'gone.png' is not there" in printed


def test_a_plan_counts_images_and_not_rows_and_knows_their_splits(tmp_path, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    rows = [
        f"{number}.png,p{number // 2},{LABELS[number % 3]},{split},"
        for number, split in enumerate(["train"] * 12 + ["test"] * 6)
        for _ in range(2)
    ]
    params = written(tmp_path, rows)
    values = load_params(params, read_cells(find_notebooks(REPO / "notebooks")), [])
    cohort = cohort_of(tmp_path / "out", values["01_data_survey"])
    assert (cohort.images, cohort.test) == (18, 6)
    assert cohort.train + cohort.val == 12
    assert cohort.val > 0
    (tmp_path / "t.csv").write_text("no,table\n")
    assert known_images(tmp_path / "out", values["01_data_survey"]) is None
    assert cohort_of(tmp_path / "out", values["01_data_survey"]).refusals == {}
