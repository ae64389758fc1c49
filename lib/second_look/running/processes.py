"""A notebook's trainings run by several processes, before the notebook itself draws.

torchrun or Slurm starts the processes; each runs the notebook's code with the parameters of a set,
and the training loop shares every batch among them. Only the trainings leave anything: when the
notebook runs afterwards, on one process, it finds them finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from second_look.errors import OutputError
from second_look.outputs import silenced
from second_look.running.parameters import OUTPUTS, load_params
from second_look.running.pipeline import choose_notebook, find_notebooks, read_cells

_PARAMETERS = "parameters"


def train(
    params_file: Path,
    notebook: str,
    notebooks_folder: Path,
    outputs_root: Path,
    *,
    overrides: Sequence[str] = (),
) -> None:
    """Run the code of one notebook for what it trains.

    Args:
        params_file: Its stem names the set: outputs_root/<stem>.
        notebook: Its name, or the beginning of it, such as 06.
        notebooks_folder: With the numbered notebooks.
        outputs_root: Folder of all sets.
        overrides: As `parameters.load_params` takes them.

    Raises:
        ParameterError: There is no such notebook, or a parameter is wrong.
        OutputError: Notebook 01 has not run for this set.
    """
    paths = find_notebooks(notebooks_folder)
    cells = read_cells(paths)
    name = choose_notebook(notebook, list(paths))
    values = load_params(params_file, cells, overrides)[name]
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
    with chdir(notebooks_folder), silenced():
        run_code(paths[name].resolve(), values)


def run_code(notebook: Path, values: dict[str, Any]) -> None:
    """Run a notebook's code cells one after the other in this process, with these parameters."""
    scope: dict[str, Any] = {"__name__": notebook.stem}
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        exec(compile(source, f"{notebook.name}, cell {number}", "exec"), scope)
        if _PARAMETERS in cell["metadata"].get("tags", []):
            scope.update(values)
