"""A project of tiny notebooks for the tests of pipeline, run_all and report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

MAKE = "01_make"
USE = "02_use"
MAKE_PARAMETERS = """\
outputs: str = "../outputs/lab"  # folder of the run
data_root: str = ""  # folder of the data
rows: int = 3  # rows of the table [1, 100]
fail: bool = False  # stop with an error
seed: int = 0  # of nothing [0, 9]
"""
MAKE_CODE = """\
from pathlib import Path
import pandas as pd
from second_look.outputs import open_run
run = open_run(outputs, notebook="01_make")
table = pd.DataFrame({"image_id": [f"i{k}" for k in range(rows)], "score": 0.5})
run.parquet(table, "predictions/scores.parquet")
run.uses(Path(data_root) if data_root else None)
print("made", rows)
if fail:
    raise ValueError("failed on purpose")
"""
USE_PARAMETERS = """\
outputs: str = "../outputs/lab"  # folder of the run
stride: int = 64  # px [1, 4096]
seed: int = 0  # of nothing [0, 9]
"""
USE_CODE = """\
from second_look.outputs import open_run
run = open_run(outputs, notebook="02_use")
table = run.read_parquet("predictions/scores.parquet")
run.table(table, "scores", "Scores of every image.")
run.result("patch-classes", 4, n=len(table), how="counted", figure="scores")
"""


@dataclass(frozen=True)
class Project:
    """Folders of notebooks and outputs, and a params file, below one root."""

    root: Path

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"

    @property
    def set(self) -> Path:
        return self.outputs / "small"

    @property
    def params(self) -> Path:
        return self.root / "params" / "small.yaml"

    def write(
        self,
        name: str,
        parameters: str,
        *code: str,
        title: str = "",
        training: Sequence[str] = (),
        tagged: Mapping[str, str] | None = None,
    ) -> None:
        """Write a notebook; `training` is the part of its code that has the tag `train`.

        `tagged` gives other cells, by their code, a tag.
        """
        cells = [new_markdown_cell(title or f"# {name[:2]} · {name[3:]}: does it work?")]
        cells += [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        for source in code:
            tags = ["train"] * (source in training) + [(tagged or {}).get(source, "")]
            metadata = {"tags": [*filter(None, tags)]} if any(tags) else {}
            cells.append(new_code_cell(source, metadata=metadata))
        kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
        notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
        self.notebooks.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, self.notebooks / f"{name}.ipynb")

    def set_params(self, text: str) -> None:
        """Write the params file."""
        self.params.parent.mkdir(parents=True, exist_ok=True)
        self.params.write_text(text)

    def run_json(self) -> Any:
        """What run.json says."""
        return json.loads((self.set / "run.json").read_text())

    def statuses(self) -> list[str]:
        """How the notebooks went, in their order."""
        return [state["status"] for state in self.run_json()["notebooks"].values()]

    def manifest(self, name: str) -> Any:
        """The record of a notebook."""
        return json.loads((self.set / "manifests" / f"{name}.json").read_text())


def small_project(root: Path) -> Project:
    """Two notebooks: the first makes a table, the second reads it."""
    project = Project(root)
    project.write(MAKE, MAKE_PARAMETERS, MAKE_CODE)
    project.write(USE, USE_PARAMETERS, USE_CODE)
    data = root / "data"
    data.mkdir(parents=True)
    (data / "a.pgm").write_bytes(b"P5 1 1 255 0")
    project.set_params(f"01_make:\n  data_root: {data}\n")
    return project


# ------------------------------------------------------------------ changes to it


def change_code(project: Project) -> None:
    project.write(MAKE, MAKE_PARAMETERS, MAKE_CODE + "x = 1\n")


def change_prose(project: Project) -> None:
    project.write(MAKE, MAKE_PARAMETERS, MAKE_CODE, title="# 01 · another title")


def change_default(project: Project) -> None:
    project.write(MAKE, MAKE_PARAMETERS.replace("= 3", "= 4"), MAKE_CODE)


def set_parameter(project: Project) -> None:
    project.set_params(project.params.read_text() + "  rows: 4\n")


def lose_output(project: Project) -> None:
    (project.set / "predictions" / "scores.parquet").unlink()


def lose_notebook(project: Project) -> None:
    (project.set / "notebooks" / f"{MAKE}.ipynb").unlink()


def break_off(project: Project) -> None:
    """As a notebook does that is opened by hand, or stopped: it starts a new record."""
    record = {"reads": {}, "writes": {}}
    (project.set / "manifests" / f"{MAKE}.json").write_text(json.dumps(record))
