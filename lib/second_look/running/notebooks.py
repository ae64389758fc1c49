"""Which notebooks a project has, by name, each in step with its paired script; which cells run."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from second_look.errors import ParameterError, first_few

# Tag of cells that need to know where lesions are, in a notebook that can do without them.
OUTLINES = "outlines"
# Kernels log warnings about their transport, and tracebacks when they are stopped; errors of a
# notebook are reported by the pipeline. What users begin their own sessions with stays out.
_KERNEL_OPTIONS = [
    "--IPKernelApp.log_level=CRITICAL",
    "--IPKernelApp.exec_PYTHONSTARTUP=False",
]
_SKIPPED = "*Not run on this data set: it needs lesion outlines, and this set has none.*"


def find_notebooks(folder: Path) -> dict[str, Path]:
    """Name -> file of the numbered notebooks, in their order.

    Raises:
        ParameterError: There are none, or one says something else than its paired .py.
    """
    notebooks = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not notebooks:
        raise ParameterError(
            f"{folder}: there are no notebooks such as 01_data_survey.ipynb. "
            "`make sync` writes them from their .py."
        )
    uneven = [name for name, path in notebooks.items() if not _in_step(path)]
    if uneven:
        raise ParameterError(
            f"{folder}: the .py and the .ipynb of {first_few(uneven)} differ. What runs is the "
            ".ipynb: `make sync` brings both to the state of the one that was saved last."
        )
    return notebooks


def choose_notebook(text: str, names: Sequence[str]) -> str:
    """A notebook by its name or the beginning of it, such as 02.

    Raises:
        ParameterError: There is no such notebook, or there are several.
    """
    matches = [name for name in names if name.startswith(text.removesuffix(".ipynb"))]
    if len(matches) != 1:
        problem = (
            f"several notebooks begin with {text!r}"
            if matches
            else f"there is no notebook {text!r}"
        )
        raise ParameterError(f"{problem}. There are: {', '.join(names)}.")
    return matches[0]


def tags_to_skip(outputs: Path) -> frozenset[str]:
    """Tags of cells that cannot run on the data set in these outputs."""
    # Only here: it brings all that prepares images, which nobody needs to list notebooks.
    from second_look.preparing.dataset import lacks_outlines

    return frozenset({OUTLINES}) if lacks_outlines(outputs) else frozenset()


def cells_to_run(path: Path, outputs: Path) -> Any:  # noqa: ANN401
    """A notebook (nbformat) without the cells that the data set in these outputs cannot serve."""
    # Only here: it is slow to import.
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    skipped = tags_to_skip(outputs)
    if skipped:
        notebook.cells = without_cells(notebook.cells, skipped)
    return notebook


def execute(
    notebook: Any,  # noqa: ANN401
    draft: Path,
    values: Mapping[str, Any],
    folder: Path,
    *,
    stop_s: float,
) -> None:
    """Execute a notebook in a kernel without the user's IPython profile and start-up files.

    Args:
        notebook: Its cells (nbformat).
        draft: Where it is written after each cell.
        values: Of its parameters.
        folder: That it runs in.
        stop_s: How long a kernel that is told to stop may take before it is killed.

    Raises:
        PapermillExecutionError, DeadKernelError: A cell failed, or the kernel died.
    """
    # Slow to import, and not needed where everything is up to date.
    import papermill
    from traitlets.config import Config

    name = "IPYTHONDIR"
    earlier = os.environ.get(name)
    with tempfile.TemporaryDirectory(prefix="second-look-") as profile:
        os.environ[name] = profile
        try:
            papermill.execute_notebook(
                notebook,
                _literal(draft),
                parameters=dict(values),
                kernel_name="python3",
                cwd=str(folder),
                extra_arguments=_KERNEL_OPTIONS,
                config=Config({"KernelManager": {"shutdown_wait_time": stop_s}}),
            )
        finally:
            if earlier is None:
                del os.environ[name]
            else:
                os.environ[name] = earlier


def _literal(path: Path) -> str:
    """A path for papermill, which fills parameters in between braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def without_cells(cells: Sequence[Any], tags: Collection[str]) -> list[Any]:
    """Cells of a notebook; instead of those with one of the tags, a statement for each group."""
    import nbformat

    result: list[Any] = []
    for cell in cells:
        if not set(tags) & set(cell["metadata"].get("tags", [])):
            result.append(cell)
        elif not result or result[-1]["source"] != _SKIPPED:
            statement = nbformat.v4.new_markdown_cell(_SKIPPED)
            if "id" not in cell:  # of an older format
                del statement["id"]
            result.append(statement)
    return result


def notebook_title(notebook: Path) -> str:
    """The first heading of a notebook, without its mark; its name where it has none."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        heading, _, _ = "".join(cell["source"]).partition("\n")
        if cell["cell_type"] == "markdown" and heading.startswith("# "):
            return heading.removeprefix("# ").strip()
    return notebook.stem


def _in_step(notebook: Path) -> bool:
    """Whether a notebook has the cells of the .py beside it; so it has where there is none."""
    script = notebook.with_suffix(".py")
    if not script.is_file():
        return True
    # Only here: where notebooks have no script, nobody waits for it.
    import jupytext

    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    notebook_cells = [
        (cell["cell_type"], "".join(cell["source"]).strip(), cell["metadata"].get("tags", []))
        for cell in cells
    ]
    script_cells = [
        (cell.cell_type, cell.source.strip(), cell.metadata.get("tags", []))
        for cell in jupytext.read(script).cells
    ]
    return notebook_cells == script_cells
