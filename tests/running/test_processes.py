"""A notebook's trainings, run beforehand: the cells that they need, and no other."""

from __future__ import annotations

import ast
import builtins
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.small_project import Project
from second_look.errors import OutputError, ParameterError
from second_look.outputs import Run, SilentRun, open_run, silenced
from second_look.running import pipeline
from second_look.running.exclusive import locked
from second_look.running.parameters import read_cell
from second_look.running.processes import run_code, train, training_cells

REPO = Path(__file__).resolve().parents[2]
TESTS = REPO / "tests"
NAME = "01_small"
PARAMETERS = """\
outputs: str = "../outputs/lab"  # folder
steps: int = 1  # updates [1, 9]
"""
OPEN = """\
from pathlib import Path
from second_look.outputs import open_run

run = open_run(outputs, notebook="01_small")
run.uses(Path(outputs) / "dataset" / "settings.json")
"""
TRAIN = """\
from helpers.small_training import train_line

trained = train_line(Path(outputs), steps=steps)
"""
DRAW = """\
import pandas as pd

(Path(outputs) / "drawn").touch()
run.table(pd.DataFrame({"steps": [trained.steps]}), "table", "A table.")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A notebook that trains and draws, after notebook 01 made its data set."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, sys.path)]))
    project = Project(tmp_path)
    project.write(NAME, PARAMETERS, OPEN, TRAIN, DRAW, training=(OPEN, TRAIN))
    project.write("02_plain", PARAMETERS, OPEN)
    project.set_params(f"{NAME}:\n  steps: 7\n")
    (project.set / "dataset").mkdir(parents=True)
    (project.set / "dataset" / "settings.json").write_text("{}")
    return project


def steps_made(project: Project) -> list[str]:
    return sorted((project.set / "steps.txt").read_text().splitlines())


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}


@pytest.mark.notebook
def test_only_the_trainings_run_and_the_notebook_finds_them(project: Project) -> None:
    train(project.params, "01", project.notebooks, project.outputs)
    assert files(project.set) == {".lock", "dataset", "checkpoints", "steps.txt"}
    assert steps_made(project) == [f"step {number} of process 0" for number in range(7)]

    pipeline.run(
        project.params, project.notebooks, project.outputs, choice=pipeline.Choice(only="01")
    )
    assert len(steps_made(project)) == 7
    assert (project.set / "tables" / "01_table.csv").read_text().split() == ["steps", "7"]


@pytest.mark.notebook
@pytest.mark.slow
def test_torchrun_shares_a_training_among_its_processes(project: Project) -> None:
    shutil.copy(REPO / "run_all.py", project.root)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "run_all.py"]
    done = subprocess.run(
        [sys.executable, *command, "--params", str(project.params), "--train", "01"],
        cwd=project.root, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert steps_made(project) == [
        f"step {number} of process {rank}" for number in range(7) for rank in range(2)
    ]
    assert files(project.set) == {".lock", "dataset", "checkpoints", "steps.txt"}
    train(project.params, "01", project.notebooks, project.outputs)
    assert len(steps_made(project)) == 14


def test_what_is_missing_is_named(project: Project) -> None:
    with pytest.raises(ParameterError, match="there is no notebook '09'"):
        train(project.params, "09", project.notebooks, project.outputs)
    with pytest.raises(ParameterError, match=r"02_plain trains nothing.*that train: 01_small\."):
        train(project.params, "02", project.notebooks, project.outputs)
    shutil.rmtree(project.set / "dataset")
    with pytest.raises(OutputError, match=r"run run_all\.py --only 01"):
        train(project.params, "01", project.notebooks, project.outputs)


def test_a_training_waits_for_a_run_on_the_same_outputs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("second_look.running.processes.run_code", lambda *_: None)
    with locked(project.set):
        with pytest.raises(OutputError, match="another run"):
            train(project.params, "01", project.notebooks, project.outputs)
        monkeypatch.setenv("RANK", "1")  # the first process has the lock
        train(project.params, "01", project.notebooks, project.outputs)


def test_runs_are_silent_within_the_block_only(tmp_path: Path) -> None:
    with silenced():
        assert isinstance(open_run(tmp_path, notebook=NAME), SilentRun)
        assert list(tmp_path.iterdir()) == []
    assert type(open_run(tmp_path, notebook=NAME)) is Run


def test_an_error_in_a_cell_names_the_notebook(tmp_path: Path) -> None:
    path = tmp_path / "01_broken.ipynb"
    cell = {"cell_type": "code", "metadata": {"tags": ["train"]}, "source": "1 / 0"}
    path.write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(ZeroDivisionError) as error:
        run_code(path, {})
    assert "01_broken.ipynb, code cell 1" in str(error.traceback[-1].path)


# ------------------------------------------------------------------ the tags of the notebooks

TRAINING_CALL = re.compile(r"(^|\.)((train|fit)_\w+|\w+_start|feature_space)$")
RESULT_CALL = re.compile(
    r"^run\.(figure|table|result|parquet|made)$|^draw\.|^Markdown$"
    r"|bootstrap|predict|score|measure|findings|report|table"
)
TRAINED_IN = {
    "03_dcgan": {"train_gans", "feature_space"},
    "04_gan_training_data": {"train_all"},
    "05_mask_rcnn": {"train_again", "train_models"},
    "06_patch_transfer_learning": {
        "phantom_start", "train_grid", "train_depths", "train_all", "train_patch_model",
    },
}  # fmt: skip


def notebooks() -> dict[str, Path]:
    return pipeline.find_notebooks(REPO / "notebooks")


def other_cells(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    tagged = training_cells(notebook)
    return [source for source in sources if source not in tagged]


def calls(source: str) -> set[str]:
    """Dotted names of what is called in a cell."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {ast.unparse(node.func) for node in nodes}


def names(source: str, context: type[ast.expr_context]) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    return {node.id for node in nodes if isinstance(node.ctx, context)}


def imported(source: str) -> set[str]:
    statements = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return {alias.asname or alias.name for node in statements for alias in node.names}


def undefined(cells: list[str], parameters: set[str]) -> set[str]:
    """Names that the cells, run in this order, use without having them."""
    missing: set[str] = set()
    defined = parameters | set(dir(builtins))
    for source in cells:
        defined |= names(source, ast.Store) | imported(source)
        missing |= names(source, ast.Load) - defined
    return missing


def test_notebooks_with_trainings_are_the_expected_ones() -> None:
    tagged = {name: training_cells(path) for name, path in notebooks().items()}
    trained = {
        name: {
            call.split(".")[-1] for call in calls("\n".join(cells)) if TRAINING_CALL.search(call)
        }
        for name, cells in tagged.items()
        if cells
    }
    assert trained == TRAINED_IN


@pytest.mark.parametrize("name", TRAINED_IN)
def test_cells_of_the_trainings_need_no_other_cell(name: str) -> None:
    path = notebooks()[name]
    assert undefined(training_cells(path), set(read_cell(path))) == set()


@pytest.mark.parametrize("name", TRAINED_IN)
def test_cells_of_the_trainings_draw_and_measure_nothing(name: str) -> None:
    called = calls("\n".join(training_cells(notebooks()[name])))
    assert [call for call in sorted(called) if RESULT_CALL.search(call)] == []


@pytest.mark.parametrize("name", notebooks())
def test_no_other_cell_trains(name: str) -> None:
    called = calls("\n".join(other_cells(notebooks()[name])))
    assert [call for call in sorted(called) if TRAINING_CALL.search(call)] == []


def test_the_checks_of_the_tags_can_fail() -> None:
    cells = ["from a import b as c\nx = [i for i in c]", "y = x + z"]
    assert undefined(cells, set()) == {"z"}
    assert undefined(cells, {"z"}) == set()
    assert undefined(cells[1:], {"z"}) == {"x"}
    assert calls("run.table(study.train_models(a))") == {"run.table", "study.train_models"}
    for call in ("run.figure", "draw.roc", "results.auc_table", "bootstrap", "Markdown"):
        assert RESULT_CALL.search(call), call
    for call in ("study.train_gans", "fit_classifier", "feature_space", "a.phantom_start"):
        assert TRAINING_CALL.search(call), call
    assert not TRAINING_CALL.search("training_windows")
