"""A notebook's code run for what it trains: parameters reach it, nothing else is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from second_look.errors import OutputError, ParameterError
from second_look.outputs import Run, SilentRun, open_run, silenced
from second_look.running.processes import run_code, train

CODE = """
import matplotlib.pyplot as plt
import pandas as pd
from pathlib import Path
from second_look.outputs import open_run

run = open_run(outputs, notebook="01_small")
run.table(pd.DataFrame({"a": [1]}), "table", "A table.")
run.figure(plt.figure(), "figure", "A figure.")
run.parquet(pd.DataFrame({"a": [1]}), "predictions/p.parquet")
run.result("data-mias", 3)
run.uses(Path(outputs) / "dataset" / "settings.json")
(Path(outputs) / "checkpoints").mkdir()
(Path(outputs) / "checkpoints" / "weights").write_text(str(size))
"""


def project(folder: Path) -> tuple[Path, Path]:
    """A params file and a folder with a notebook that trains and draws."""
    parameters = 'outputs: str = "../outputs/lab"  # folder\nsize: int = 1  # of it [1, 9]\n'
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# 01 · Small"},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": parameters},
        {"cell_type": "code", "metadata": {}, "source": CODE.splitlines(keepends=True)},
    ]
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    (notebooks / "01_small.ipynb").write_text(json.dumps({"cells": cells}))
    params = folder / "tiny.yaml"
    params.write_text("01_small:\n  size: 7\n")
    return params, notebooks


def test_only_what_is_trained_is_left(tmp_path: Path) -> None:
    params, notebooks = project(tmp_path)
    outputs = tmp_path / "outputs" / "tiny"
    (outputs / "dataset").mkdir(parents=True)
    (outputs / "dataset" / "settings.json").write_text("{}")
    train(params, "01", notebooks, tmp_path / "outputs")
    left = {p.relative_to(outputs).as_posix() for p in outputs.rglob("*") if p.is_file()}
    assert left == {"dataset/settings.json", "checkpoints/weights"}
    assert (outputs / "checkpoints" / "weights").read_text() == "7"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    params, notebooks = project(tmp_path)
    with pytest.raises(OutputError, match=r"run run_all\.py --only 01"):
        train(params, "01", notebooks, tmp_path / "outputs")
    with pytest.raises(ParameterError, match="there is no notebook '09'"):
        train(params, "09", notebooks, tmp_path / "outputs")


def test_runs_are_silent_within_the_block_only(tmp_path: Path) -> None:
    with silenced():
        assert isinstance(open_run(tmp_path, notebook="01_small"), SilentRun)
        assert list(tmp_path.iterdir()) == []
    assert type(open_run(tmp_path, notebook="01_small")) is Run


def test_an_error_in_a_cell_names_the_notebook(tmp_path: Path) -> None:
    path = tmp_path / "01_broken.ipynb"
    cell = {"cell_type": "code", "metadata": {}, "source": "1 / 0"}
    path.write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(ZeroDivisionError) as caught:
        run_code(path, {})
    assert "01_broken.ipynb, cell 0" in str(caught.traceback[-1].path)
