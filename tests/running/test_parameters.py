"""Parameters: the notebooks' cells define them, params files set them, all is checked first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from second_look.errors import ParameterError
from second_look.running import parameters
from second_look.running.parameters import (
    COMMON,
    RENAMED,
    Cells,
    Parameter,
    check_parameters,
    load_params,
    read_cell,
)

REPO = Path(__file__).resolve().parents[2]
SURVEY = """\
outputs: str = "../outputs/lab"  # folder of the run
source: str = "phantom"  # where from {phantom | mias | folder}
patients: int = 24  # phantom: patients, four images each [8, 10000]
val_share: float = 0.2  # share of the patients [0.01, 0.5]
strict: bool = False  # make it an error
columns: dict = {}  # name -> name; a # inside
strides: list[int] = [64, 128]  # px [16, 256]
free: list = []  # anything
seed: int = 0  # of the split [0, 1000000]
"""
PATCHING = """\
outputs: str = "../outputs/lab"  # folder of the run
stride: int = 64  # px [1, 4096]
seed: int = 0  # of the examples [0, 100]
"""


def notebook(path: Path, *sources: str, tags: str = "parameters") -> Path:
    cells = [
        {"cell_type": "code", "metadata": {"tags": [tags]}, "source": source.splitlines(True)}
        for source in sources
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}), encoding="utf-8")
    return path


@pytest.fixture
def cells(tmp_path: Path) -> Cells:
    return {
        "01_data_survey": read_cell(notebook(tmp_path / "01_data_survey.ipynb", SURVEY)),
        "02_patching": read_cell(notebook(tmp_path / "02_patching.ipynb", PATCHING)),
    }


def load(tmp_path: Path, cells: Cells, text: str, *overrides: str) -> dict[str, dict[str, Any]]:
    path = tmp_path / "smoke.yaml"
    path.write_text(text)
    return load_params(path, cells, overrides)


def refused(tmp_path: Path, cells: Cells, text: str, *overrides: str) -> str:
    with pytest.raises(ParameterError) as error:
        load(tmp_path, cells, text, *overrides)
    return str(error.value).replace(str(tmp_path), "")


def test_a_long_path_of_a_params_file_is_not_shortened(tmp_path: Path, cells: Cells) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = folder / "smoke.yaml"
    for text, problem in (
        ("common: 3", "section 'common' must hold"),
        ("02_patching: {strid: 1}", "02_patching: unknown parameter"),
    ):
        with pytest.raises(ParameterError) as error:
            load(folder, cells, text)
        assert str(error.value).startswith(f"{path}: {problem}")


# ------------------------------------------------------------------ the cell


def test_a_cell_is_read_with_type_default_help_range_and_choice(cells: Cells) -> None:
    cell = cells["01_data_survey"]
    assert list(cell)[:3] == ["outputs", "source", "patients"]
    assert cell["source"] == Parameter(
        "source",
        "str",
        "phantom",
        "where from {phantom | mias | folder}",
        choices=("phantom", "mias", "folder"),
    )
    assert (cell["val_share"].low, cell["val_share"].high) == (0.01, 0.5)
    assert cell["columns"].help == "name -> name; a # inside"
    assert cell["strides"].type == "list[int]"
    assert cell["strides"].default == [64, 128]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a = 1  # no type", "line 2: expected `name: type = value"),
        ("a: tuple = ()  # no such type", "line 2: expected `name: type = value"),
        ("a: list[tuple] = []  # no such type", "line 2: expected `name: type = value"),
        ("a: int  # no value", "line 2: expected `name: type = value"),
        ("print(1)", "line 2: expected `name: type = value"),
        ("a: int = 1 +  # typing", "line 2: invalid syntax"),
        ("a: int = len('a')  # a call", "line 2: the default must be a plain value"),
        ("a: int = 1.5  # wrong", "the default does not fit: a must be of type int"),
        ("a: int = 9  # wrong [0, 5]", "the default does not fit: a must lie between 0 and 5"),
        ("a: str = 'x'  # wrong {y | z}", "the default does not fit: a must be one of y, z"),
    ],
)
def test_a_line_that_does_not_follow_the_grammar_is_named(
    tmp_path: Path, line: str, problem: str
) -> None:
    path = notebook(tmp_path / "01_a.ipynb", f"seed: int = 0  # fine\n{line}\n")
    with pytest.raises(ParameterError) as error:
        read_cell(path)
    assert f"{path}, parameters cell, " in str(error.value)
    assert problem in str(error.value)


def test_a_notebook_has_one_parameters_cell(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"expected one parameters cell\. Got 0"):
        read_cell(notebook(tmp_path / "a.ipynb", SURVEY, tags="other"))
    with pytest.raises(ParameterError, match=r"expected one parameters cell\. Got 2"):
        read_cell(notebook(tmp_path / "b.ipynb", SURVEY, PATCHING))
    (tmp_path / "c.ipynb").write_text("<<<<<<< HEAD")
    with pytest.raises(ParameterError, match=r"c\.ipynb: cannot be read as a notebook"):
        read_cell(tmp_path / "c.ipynb")


# ------------------------------------------------------------------ params files


def test_defaults_common_section_and_override_come_in_that_order(
    tmp_path: Path, cells: Cells
) -> None:
    text = "01_data_survey:\n  seed: 2\ncommon:\n  seed: 1\n"
    values = load(tmp_path, cells, text)
    assert values["01_data_survey"]["seed"] == 2
    assert values["02_patching"] == {"outputs": "../outputs/lab", "stride": 64, "seed": 1}
    values = load(tmp_path, cells, text, "seed=7", "02_patching.stride=32")
    assert [section["seed"] for section in values.values()] == [7, 7]
    assert values["02_patching"]["stride"] == 32


def test_yaml_is_read_as_people_mean_it(tmp_path: Path, cells: Cells) -> None:
    text = (
        "\ufeff01_data_survey:\n  val_share: 2e-2\n  source: mias\n  strict: true\n"
        "  columns: {path: file}\n  strides: [32]\n"
    )
    survey = load(tmp_path, cells, text)["01_data_survey"]
    assert survey["val_share"] == 0.02
    assert survey["strict"] is True
    assert survey["columns"] == {"path": "file"}
    assert survey["strides"] == [32]
    assert load(tmp_path, cells, "")["02_patching"]["stride"] == 64
    assert load(tmp_path, cells, "02_patching:\n")["02_patching"]["stride"] == 64
    # YAML 1.1 would read `no` as false.
    assert "Got 'no'" in refused(tmp_path, cells, "01_data_survey:\n  strict: no\n")
    assert load(tmp_path, cells, "01_data_survey:\n  val_share: 0.5\n")
    survey = load(tmp_path, cells, "", "strides=[16, 32]", "columns={a: b}")["01_data_survey"]
    assert (survey["strides"], survey["columns"]) == ([16, 32], {"a": "b"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("commn:\n  seed: 1", "unknown section 'commn'. Did you mean 'common'?"),
        ("03_dcgan: {}", "unknown section '03_dcgan'. There are: "),
        (
            "02_patching: {strid: 1}",
            "02_patching: unknown parameter 'strid'. Did you mean 'stride'",
        ),
        ("common: {strid: 1}", "common: unknown parameter 'strid'. Did you mean 'stride'?"),
        ("02_patching: {stride: a}", "02_patching: stride must be of type int. Got 'a'."),
        ("02_patching: {stride: 1.5}", "stride must be of type int. Got 1.5."),
        ("02_patching: {stride: true}", "stride must be of type int. Got True."),
        ("02_patching: {stride: }", "stride must be of type int. Got None."),
        ("01_data_survey: {strict: 1}", "strict must be of type bool. Got 1."),
        ("01_data_survey: {source: 1}", "source must be of type str. Got 1."),
        ("02_patching: {stride: 0}", "stride must lie between 1 and 4096. Got 0."),
        ("01_data_survey: {val_share: .nan}", "val_share must hold plain finite numbers"),
        ("01_data_survey: {val_share: 0.51}", "between 0.01 and 0.5. Got 0.51."),
        ("01_data_survey: {seed: 1000001}", "between 0 and 1000000. Got 1000001."),
        ("01_data_survey: {source: mia}", "phantom, mias, folder. Got 'mia'. Did you mean 'mias'?"),
        ("01_data_survey: {strides: 3}", "strides must be of type list[int]. Got 3."),
        ("01_data_survey: {strides: [a]}", "strides must be of type list[int]. Got ['a']."),
        ("01_data_survey: {strides: [64, 8]}", "strides must lie between 16 and 256. Got 8."),
        ("01_data_survey: {strides: []}", "strides must hold at least one value. Got []."),
        ("01_data_survey: {free: [2020-01-01]}", "free must hold plain finite numbers and text"),
        (
            "common: {outputs: /tmp}",
            "common: outputs is set by run_all.py, see its option --outputs",
        ),
        ("- 1", "expected sections with parameters. Got [1]."),
        ("0", "expected sections with parameters. Got 0."),
        ("common: 3", "section 'common' must hold parameters. Got 3."),
        ("common: 0", "section 'common' must hold parameters. Got 0."),
        ("common:\n  seed: 1\n  seed: 2", "line 3: not valid YAML: found duplicate key"),
        ("common:\n  seed: [1\n", "line 3: not valid YAML: "),
        ("common:\n\tseed: 1\n", "line 2: not valid YAML: "),
    ],
)
def test_what_is_wrong_in_a_params_file_is_named(
    tmp_path: Path, cells: Cells, text: str, problem: str
) -> None:
    message = refused(tmp_path, cells, text)
    assert message.startswith("/smoke.yaml")
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("stride", "--set stride: expected name=value"),
        ("strid=1", "--set strid=1: unknown parameter 'strid'. Did you mean 'stride'?"),
        ("02_patchin.stride=1", "unknown notebook. Did you mean '02_patching'?"),
        ("02_patching.patients=9", "unknown parameter 'patients'"),
        ("stride=0", "--set stride=0: stride must lie between 1 and 4096. Got 0."),
        ("stride=", "stride must be of type int. Got ''."),
        ("strides=[1", "the value is not valid YAML"),
        ("outputs=x", "outputs is set by run_all.py"),
    ],
)
def test_what_is_wrong_in_an_override_is_named(
    tmp_path: Path, cells: Cells, override: str, problem: str
) -> None:
    assert problem in refused(tmp_path, cells, "", override)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("strides=[64, 0]", "strides must lie between 1 and 4096. Got 0."),
        ("strides=[]", "strides must hold at least one value"),
        ("rule_shares=[0.5, 2]", "rule_shares must lie between 0 and 1. Got 2."),
        ("also=[mia]", "also must be one of phantom, mias, cbis"),
    ],
)
def test_lists_of_the_real_notebooks_are_checked_before_they_run(
    tmp_path: Path, override: str, problem: str
) -> None:
    real = {
        path.stem: read_cell(path) for path in sorted((REPO / "notebooks").glob("0[12]_*.ipynb"))
    }
    assert problem in refused(tmp_path, real, "", override)


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `seed` had been called `start` everywhere, and `stride` of 02 `step`, then `pace`."""
    names = {COMMON: {"start": "seed"}, "02_patching": {"step": "stride", "pace": "stride"}}
    monkeypatch.setattr(parameters, "RENAMED", names)


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("02_patching: {step: 32}", "02_patching: 'step' is now called 'stride'."),
        ("02_patching: {start: 1}", "02_patching: 'start' is now called 'seed'."),
        ("common: {pace: 32}", "common: 'pace' is now called 'stride'."),
        ("01_data_survey: {step: 32}", "01_data_survey: unknown parameter 'step'"),
    ],
)
def test_an_old_name_in_a_params_file_is_refused_with_the_new_one(
    tmp_path: Path, cells: Cells, text: str, problem: str
) -> None:
    assert problem in refused(tmp_path, cells, text)


@pytest.mark.usefixtures("renamed")
def test_an_old_name_in_an_override_is_refused_with_the_new_one(
    tmp_path: Path, cells: Cells
) -> None:
    assert "--set step=32: 'step' is now called 'stride'." in refused(
        tmp_path, cells, "", "step=32"
    )


def test_renamed_parameters_lead_to_parameters_of_the_notebooks() -> None:
    notebooks = sorted((REPO / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    real = {path.stem: read_cell(path) for path in notebooks}
    assert set(RENAMED) <= {COMMON, *real}
    for section, names in RENAMED.items():
        affected = list(real.values()) if section == COMMON else [real[section]]
        for old, new in names.items():
            assert any(new in cell for cell in affected), f"{section}: {new}"
            assert not any(old in cell for cell in affected), f"{section}: {old}"


def test_all_problems_are_named_at_once(tmp_path: Path, cells: Cells) -> None:
    text = "commn: {}\ncommon:\n  sead: 1\n  seed: 200\n02_patching:\n  stride: x\n"
    message = refused(tmp_path, cells, text, "stride=0")
    assert len(message.splitlines()) == 5
    for part in ("commn", "'sead'. Did you mean 'seed'", "Got 200", "Got 'x'", "--set stride=0"):
        assert part in message


def test_a_params_file_that_is_not_there_shows_those_that_are(tmp_path: Path, cells: Cells) -> None:
    (tmp_path / "mias.yaml").write_text("")
    with pytest.raises(ParameterError, match=r"mia\.yaml: there is no such file.*mias\.yaml"):
        load_params(tmp_path / "mia.yaml", cells)
    (tmp_path / "b.yaml").write_bytes(b"common:\n  seed: \xff\n")
    with pytest.raises(ParameterError, match=r"b\.yaml: is not text in UTF-8"):
        load_params(tmp_path / "b.yaml", cells)
    with pytest.raises(ParameterError, match=r"cannot be read \(Is a directory\)"):
        load_params(tmp_path, cells)


@pytest.mark.parametrize("path", sorted((REPO / "params").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_params_files_of_the_project_fit_its_notebooks(path: Path) -> None:
    notebooks = sorted((REPO / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        pytest.skip("no paired notebooks here: run `make sync`")
    load_params(path, {notebook.stem: read_cell(notebook) for notebook in notebooks})


def test_parameters_of_a_cell_run_by_hand_hold_their_ranges(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook(tmp_path / "01_data_survey.ipynb", SURVEY)
    values = {"patients": 24, "source": "mias", "strides": [32], "helper": print}
    check_parameters("01_data_survey", values)
    with pytest.raises(ParameterError, match=r"'mais'\. Did you mean 'mias'\? patients must lie"):
        check_parameters("01_data_survey", {**values, "patients": 4, "source": "mais"})
    check_parameters("my_copy", {"patients": 4})


@pytest.mark.parametrize("path", sorted((REPO / "notebooks").glob("*.py")), ids=lambda p: p.stem)
def test_every_notebook_checks_its_parameters(path: Path) -> None:
    call = f'check_parameters("{path.stem}", globals())\n'
    text = path.read_text(encoding="utf-8")
    assert text.count(call) == 1
    assert text.index(call) < text.index("open_run(outputs")


BOMB = "[" + ", ".join(f"&a{k} [{', '.join([f'*a{k - 1}'] * 9) if k else '1, 2, 3'}]"
                       for k in range(12)) + "]"  # fmt: skip


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("source=2020-13-45", "month must be in"),
        (f"seed={'9' * 5000}", "digits"),
        (f"seed={'9' * 4000}", "seed must lie between"),
        ("seed=!!int abc", "invalid literal"),
        ("strict=!!bool x", "not valid YAML"),
        (f"free={'[' * 3000}{']' * 3000}", "nested deeper than 50 levels"),
        ('source="\\ud800"', "plain finite numbers and text"),
        ("source=\udcff", "not valid YAML"),
        (f"free={BOMB}", "more than 100,000 values"),
        ("free=&a [*a]", "holds itself"),
        ("free={[a]: b}", "must be of type list"),
        ("columns={[a]: b}", "plain"),
        (f"{'x' * 9000}=1", "unknown parameter"),
        (f"{'y' * 9000}.x=1", "unknown notebook"),
        ("z" * 9000, "expected name=value"),
        (f"strict={'z' * 9000}", "must be of type bool"),
    ],
    ids=lambda text: text[:20].encode("ascii", "replace").decode(),
)
def test_no_value_ends_in_a_traceback_and_messages_are_short(
    tmp_path: Path, cells: Cells, override: str, message: str
) -> None:
    with pytest.raises(ParameterError) as error:
        load(tmp_path, cells, "", override)
    assert message in str(error.value)
    assert all(len(line) <= 300 for line in str(error.value).splitlines())


@pytest.mark.parametrize("text", [f"common:\n  free: {BOMB}", "common: 2020-13-45", "a: !!int b"])
def test_a_file_of_such_values_is_named(tmp_path: Path, cells: Cells, text: str) -> None:
    with pytest.raises(ParameterError, match=r"smoke\.yaml: not valid YAML: ") as error:
        load(tmp_path, cells, text)
    assert len(str(error.value)) <= 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "values", "valid"),
    [
        ("stages", [[10, 5e-4, "heads"], [1, 1]], True),
        ("stages", [[10, "x", "heads", "y"]], False),
        ("stages", [[10, 5e-4, "heads", "y"]], False),
        ("stages", [[0, 5e-4, "all"]], False),
        ("stages", [[True, 5e-4, "all"]], False),
        ("stages", [[10, 5e-4, "neck"]], False),
        ("stages", [10, 5e-4, "all"], False),
        ("image_sizes", [[0, 0], [512, 416]], True),
        ("image_sizes", [[0, 416]], False),
        ("image_sizes", [[-512, 416]], False),
        ("image_sizes", [[512]], False),
        ("image_sizes", [512, 416], False),
        ("image_sizes", [["512", "416"]], False),
    ],
)
def test_lists_of_lists_are_checked_before_the_run(
    name: str, values: list[Any], valid: bool
) -> None:
    problem = Parameter(name, "list", [[1, 1]], "").problem(values)
    assert (problem == "") == valid
    assert valid or problem.startswith(f"{name} must hold elements of the form [")


@pytest.mark.parametrize("name", ["...yaml", "..yaml"])
def test_a_set_whose_name_is_dots_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("common: {}\n")
    with pytest.raises(ParameterError, match="its name is that of the set"):
        load_params(tmp_path / name, {})
