"""The notebooks as a reader meets them: paired, without outputs, asking and answering."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
import pytest
from jupytext.compare import NotebookDifference, compare_notebooks

REPO = Path(__file__).resolve().parents[1]
FOLDER = REPO / "notebooks"
NAMES = sorted({path.stem for path in (*FOLDER.glob("*.ipynb"), *FOLDER.glob("*.py"))})
EXPECTED = [
    "01_data_survey", "02_patching", "03_dcgan", "04_gan_training_data", "05_mask_rcnn",
    "06_patch_transfer_learning", "07_calibration", "08_scorecard", "09_one_mammogram",
    "10_external_test",
]  # fmt: skip
MOST_LINES = 15
LIBRARY_STATEMENTS = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.AsyncFor, ast.While,
)  # fmt: skip
TYPES = {"str", "int", "float", "bool", "list", "dict"}
ABSOLUTE_PATH = re.compile(r"""["'(\s=](/(?:home|root|usr|tmp|work|mnt|opt|Users)\b|[A-Z]:\\)""")


def read(name: str, suffix: str) -> Any:
    return jupytext.read(FOLDER / f"{name}{suffix}")


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameter_lines(notebook: Any) -> list[str]:
    tagged = [c for c in code_cells(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1, "one cell with the tag parameters"
    lines = [line for line in tagged[0].source.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith("#")]


def code_lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip() and line.strip()[0] != "#"]


def forbidden(source: str) -> list[str]:
    """Definitions and statement loops in a cell, with their lines; comprehensions may stay."""
    source = re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE)
    return [
        f"{type(node).__name__} in line {node.lineno}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, LIBRARY_STATEMENTS)
    ]


def test_the_notebooks_are_there() -> None:
    assert NAMES == EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_both_halves_of_a_pair_say_the_same(name: str) -> None:
    assert (FOLDER / f"{name}.ipynb").exists(), "make sync writes the .ipynb"
    assert (FOLDER / f"{name}.py").exists(), "make sync writes the .py"
    compare_notebooks(read(name, ".py"), read(name, ".ipynb"), fmt="py:percent")


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_valid_and_kept_without_outputs(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    ran = [cell.id for cell in code_cells(notebook) if cell.outputs or cell.execution_count]
    assert ran == [], "make sync clears the outputs"
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.jupytext.formats == "ipynb,py:percent"


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_typed_and_explained(name: str) -> None:
    lines = parameter_lines(read(name, ".py"))
    for line in lines:
        match = re.fullmatch(r"\w+: (\w+)(\[.+\])? = .+?  # \S.*", line)
        assert match is not None, f"name: type = value  # help, not {line}"
        assert match[1] in TYPES, line
    inspected = papermill.inspect_notebook(FOLDER / f"{name}.ipynb")
    assert list(inspected) == [line.split(":")[0] for line in lines]
    for parameter in inspected.values():
        assert parameter["inferred_type_name"] != "None"
        assert parameter["help"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_asks_first_and_interprets_last(name: str) -> None:
    first, *_, last = read(name, ".py").cells
    assert first.cell_type == last.cell_type == "markdown"
    assert re.match(rf"# {name[:2]} · .+", first.source), "a title with the number of the file"
    assert "?" in first.source, "the question that the notebook answers"
    assert "paper" in first.source, "what the paper says to it"


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_only_call_the_library(name: str) -> None:
    for cell in code_cells(read(name, ".py")):
        if "parameters" not in cell.metadata.get("tags", []):
            assert len(code_lines(cell.source)) <= MOST_LINES, cell.source
        assert forbidden(cell.source) == [], f"belongs into lib/:\n{cell.source}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_no_path_of_one_machine(name: str, suffix: str) -> None:
    text = (FOLDER / f"{name}{suffix}").read_text(encoding="utf-8")
    assert ABSOLUTE_PATH.findall(text) == []


# ------------------------------------------------------------------ the checks can fail


def test_a_loop_and_a_definition_are_found() -> None:
    assert forbidden("for x in y:\n    print(x)") == ["For in line 1"]
    assert forbidden("if a:\n    def f():\n        pass") == ["FunctionDef in line 2"]
    assert forbidden("%matplotlib inline\nwhile a:\n    a = f(a)") == ["While in line 2"]
    assert forbidden("[draw(x) for x in y]") == []


def test_a_changed_half_is_found() -> None:
    script = jupytext.reads("# %%\nx = 1\n", "py:percent")
    notebook = jupytext.reads("# %%\nx = 2\n", "py:percent")
    with pytest.raises(NotebookDifference):
        compare_notebooks(script, notebook, fmt="py:percent")


@pytest.mark.parametrize("name", NAMES)
def test_patients_are_called_patients(name: str) -> None:
    """The same notebooks run on synthetic images, which show no woman."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert not re.findall(r"\b(?:wom[ae]n|she|her)\b", source, re.IGNORECASE)
