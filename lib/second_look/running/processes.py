"""A notebook's trainings run by several processes, before the notebook itself draws.

torchrun or Slurm starts the processes; each runs the cells that the trainings need, those with the
tag `train`, with the parameters of a set, and the training loop shares every batch among them. When
the notebook runs afterwards, on one process, it finds the trainings finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import chdir, nullcontext
from pathlib import Path
from typing import Any

from second_look.errors import OutputError, ParameterError
from second_look.outputs import silenced
from second_look.running.exclusive import locked
from second_look.running.notebooks import choose_notebook, find_notebooks, tags_to_skip
from second_look.running.parameters import OUTPUTS, load_params, read_cells

_PARAMETERS, _TRAIN = "parameters", "train"


def train(
    params_file: Path,
    notebook: str,
    notebooks_folder: Path,
    outputs_root: Path,
    *,
    overrides: Sequence[str] = (),
) -> None:
    """Run what one notebook trains: its cells with the tag `train`.

    Args:
        params_file: Its stem names the set: outputs_root/<stem>.
        notebook: Its name, or the beginning of it, such as 06.
        notebooks_folder: With the numbered notebooks.
        outputs_root: Folder of all sets.
        overrides: As `parameters.load_params` takes them.

    Raises:
        ParameterError: There is no such notebook, it trains nothing, or a parameter is wrong.
        OutputError: Notebook 01 has not run for this set, or another run is writing there.
    """
    paths = find_notebooks(notebooks_folder)
    cells = read_cells(paths)
    name = choose_notebook(notebook, list(paths))
    values = load_params(params_file, cells, overrides)[name]
    if not training_cells(paths[name]):
        training = [stem for stem, path in paths.items() if training_cells(path)]
        raise ParameterError(
            f"{name} trains nothing: no cell of it has the tag {_TRAIN!r}. Notebooks that train: "
            f"{', '.join(training) or 'none'}."
        )
    outputs = (outputs_root / params_file.stem).resolve()
    if not (outputs / "dataset" / "settings.json").is_file():
        raise OutputError(
            f"{outputs} holds no data set: run run_all.py --only 01 (and the notebooks before "
            f"{name}) first, on one process."
        )
    if OUTPUTS in values:
        values[OUTPUTS] = str(outputs)
    root = values.get("data_root")
    if root:
        values["data_root"] = str(Path(root).expanduser().resolve())
    os.environ.setdefault("MPLBACKEND", "Agg")
    lock = locked(outputs) if _is_first(os.environ) else nullcontext()
    with lock, chdir(notebooks_folder), silenced():
        run_code(paths[name].resolve(), values, tags_to_skip(outputs))


def _is_first(environ: Mapping[str, str]) -> bool:
    """Whether this is the first of the processes that torchrun or srun started, or the only one."""
    return environ.get("RANK", environ.get("SLURM_PROCID", "0")) == "0"


def training_cells(notebook: Path) -> list[str]:
    """The code of the cells with the tag `train`, in their order."""
    return [source for source, tags in _code_cells(notebook) if _TRAIN in tags]


def run_code(notebook: Path, values: Mapping[str, Any], skipped: Collection[str] = ()) -> None:
    """Run a notebook's parameters cell, with these values, and its cells with the tag `train`.

    Cells with a tag of `skipped` do not run.
    """
    scope: dict[str, Any] = {"__name__": notebook.stem}
    for number, (source, tags) in enumerate(_code_cells(notebook), 1):
        if set(skipped) & set(tags):
            continue
        if _PARAMETERS in tags or _TRAIN in tags:
            exec(compile(source, f"{notebook.name}, code cell {number}", "exec"), scope)
        if _PARAMETERS in tags:
            scope.update(values)


def _code_cells(notebook: Path) -> list[tuple[str, list[str]]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [
        ("".join(cell["source"]), cell["metadata"].get("tags", []))
        for cell in cells
        if cell["cell_type"] == "code"
    ]
