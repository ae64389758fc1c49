"""Which notebooks run, what is up to date, what is kept, how an interrupted run continues."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
import pytest
from helpers.small_project import (
    MAKE,
    MAKE_CODE,
    MAKE_PARAMETERS,
    USE,
    USE_CODE,
    USE_PARAMETERS,
    Project,
    break_off,
    change_code,
    change_default,
    change_prose,
    lose_notebook,
    lose_output,
    set_parameter,
    small_project,
)
from second_look import source_code
from second_look.errors import NotebookFailedError, OutputError, ParameterError
from second_look.outputs import load_results
from second_look.running import pipeline
from second_look.running.execution import NOT_RUN, UP_TO_DATE, Notebook
from second_look.running.notebooks import find_notebooks
from second_look.running.parameters import load_params, read_cells
from second_look.running.pipeline import DONE, FAILED, Choice, run
from second_look.running.processes import run_code
from second_look.running.report import OUT_OF_DATE
from second_look.running.run_log import NOT_REACHED

pytestmark = pytest.mark.notebook

LIBRARY = Path(__file__).resolve().parents[2] / "lib" / "second_look"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project after its first run."""
    project = small_project(tmp_path_factory.mktemp("first"))
    go(project)
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of it, times of files included, to be changed; its data stay where they are."""
    shutil.copytree(finished.root, tmp_path / "copy")
    return Project(tmp_path / "copy")


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the notebooks that would run; none does."""
    names: list[str] = []

    def pretend(notebook: Notebook) -> None:
        names.append(notebook.name)
        notebook.executed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(notebook.path, notebook.executed)

    monkeypatch.setattr(Notebook, "_run", pretend)
    return names


def go(
    project: Project, *overrides: str, only: str = "", start: str = "", force: bool = False
) -> Path:
    return run(
        project.params,
        project.notebooks,
        project.outputs,
        choice=Choice(only, start, force),
        overrides=overrides,
    )


def states(project: Project, *overrides: str) -> list[str]:
    """What each notebook is, without running any."""
    paths = find_notebooks(project.notebooks)
    values = load_params(project.params, read_cells(paths), overrides)
    return [Notebook(name, path, project.set, values[name]).state() for name, path in paths.items()]


# ------------------------------------------------------------------ a whole run


def test_a_run_leaves_what_it_should(finished: Project) -> None:
    for name in (MAKE, USE):
        notebook = nbformat.read(finished.set / "notebooks" / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        assert all(c.execution_count for c in notebook.cells if c.cell_type == "code")
        injected = [
            c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])
        ]
        assert f'outputs = "{finished.set.resolve()}"' in injected[0].source
    assert {path.name for path in finished.set.iterdir()} == {
        ".lock", "figures", "manifests", "notebooks", "predictions", "report.html",
        "results.json", "run.json", "tables",
    }  # fmt: skip
    assert list(finished.set.rglob("*.tmp")) == list(finished.set.rglob("*.draft*")) == []
    (row,) = load_results(finished.set)
    assert (row["claim"], row["value"], row["n"], row["notebook"]) == ("patch-classes", 4, 3, USE)


def test_run_json_says_what_ran_with_what(finished: Project) -> None:
    facts = finished.run_json()
    assert set(facts) == {
        "set", "params_file", "commit", "dirty", "python", "platform", "device", "versions",
        "notebooks", "second_look",
    }  # fmt: skip
    assert facts["set"] == "small"
    assert facts["params_file"] == "../../params/small.yaml"
    assert {"numpy", "papermill", "torch"} <= set(facts["versions"])
    make, use = facts["notebooks"][MAKE], facts["notebooks"][USE]
    assert make["status"] == use["status"] == DONE
    assert make["parameters"]["rows"] == 3
    assert "outputs" not in make["parameters"]
    assert use["seed"] == 0
    assert 0 < make["seconds"] < 60
    assert 20 < make["peak_memory_mb"] < 1000


def test_the_record_holds_reads_writes_and_key(finished: Project) -> None:
    make, use = finished.manifest(MAKE), finished.manifest(USE)
    assert set(make["reads"]) == {str((finished.root / "data").resolve())}
    assert use["reads"] == make["writes"]
    assert list(use["writes"]) == ["tables/02_scores.csv"]
    assert make["finished"] is True
    assert make["key"] != use["key"]


def test_a_second_run_repeats_nothing_and_says_so(
    project: Project, executed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    report = go(project)
    assert executed == []
    assert "01_make: up to date\n02_use: up to date\n" in capsys.readouterr().out
    assert project.statuses() == [UP_TO_DATE, UP_TO_DATE]
    assert project.run_json()["notebooks"][MAKE]["seconds"] > 0
    assert report == project.set.resolve() / "report.html"


# ------------------------------------------------------------------ up to date, or not


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda project: None, [UP_TO_DATE, UP_TO_DATE]),
        (change_code, [OUT_OF_DATE, UP_TO_DATE]),
        (change_prose, [OUT_OF_DATE, UP_TO_DATE]),
        (change_default, [OUT_OF_DATE, UP_TO_DATE]),
        (set_parameter, [OUT_OF_DATE, UP_TO_DATE]),
        (lose_output, [OUT_OF_DATE, OUT_OF_DATE]),
        (lose_notebook, [NOT_RUN, UP_TO_DATE]),
        (break_off, [OUT_OF_DATE, UP_TO_DATE]),
    ],
)
def test_what_a_change_puts_out_of_date(
    project: Project, change: Callable[[Project], None], expected: list[str]
) -> None:
    change(project)
    assert states(project) == expected


def test_an_override_puts_out_of_date(project: Project) -> None:
    assert states(project, "stride=65") == [UP_TO_DATE, OUT_OF_DATE]
    assert states(project, "stride=64") == [UP_TO_DATE, UP_TO_DATE]


def test_new_data_put_out_of_date(tmp_path: Path, project: Project) -> None:
    # The data of a copied project are those of the first one: give it its own.
    data = tmp_path / "data"
    shutil.copytree(project.root / "data", data)
    project.set_params(f"01_make:\n  data_root: {data}\n")
    go(project, only=MAKE)
    assert states(project) == [UP_TO_DATE, UP_TO_DATE]
    (data / "b.pgm").write_bytes(b"P5 1 1 255 0")
    assert states(project) == [OUT_OF_DATE, UP_TO_DATE]


def test_where_the_data_are_counts_only_for_notebooks_that_read_them(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECOND_LOOK_DATA", "elsewhere")
    assert states(project) == [OUT_OF_DATE, UP_TO_DATE]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("files.py", [OUT_OF_DATE, OUT_OF_DATE]),
        ("paper.py", [OUT_OF_DATE, OUT_OF_DATE]),
        ("sampler.py", [UP_TO_DATE, UP_TO_DATE]),
        ("report.py", [UP_TO_DATE, UP_TO_DATE]),
    ],
)
def test_library_code_counts_where_it_can_be_reached(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
    expected: list[str],
) -> None:
    copy = tmp_path / "second_look"
    shutil.copytree(LIBRARY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_code, "_LIBRARY", copy)
    assert states(project) == [UP_TO_DATE, UP_TO_DATE]
    with (copy / changed).open("a") as stream:
        stream.write("# changed\n")
    assert states(project) == expected


def test_a_change_upstream_runs_both_only_if_its_result_changed(project: Project) -> None:
    change_prose(project)
    go(project)
    assert project.statuses() == [DONE, UP_TO_DATE]
    go(project, "rows=5")
    assert project.statuses() == [DONE, DONE]
    assert load_results(project.set)[0]["n"] == 5


# ------------------------------------------------------------------ what is out of date is refused

MEAN_CODE = """\
from second_look.outputs import open_run
run = open_run(outputs, notebook="03_mean")
table = run.read_parquet("predictions/scores.parquet")
run.parquet(table[["score"]].agg(["mean"]), "predictions/means.parquet")
run.result("data-mias", 322)
"""
END_CODE = """\
from second_look.outputs import open_run
open_run(outputs, notebook="04_end").read_parquet("predictions/means.parquet")
"""


@pytest.fixture
def chain(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Four notebooks that ran; their cells run in this process, which takes no time."""

    def run_here(notebook: Notebook) -> None:
        notebook.executed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(notebook.path, notebook.executed)
        try:
            run_code(notebook.path, {**notebook.values, "outputs": str(notebook.outputs)})
        except OutputError as error:
            raise NotebookFailedError(f"{notebook.name} failed: {error}") from None

    for name, code in (("03_mean", MEAN_CODE), ("04_end", END_CODE)):
        project.write(name, USE_PARAMETERS, code, training=[code])
    project.write(MAKE, MAKE_PARAMETERS, MAKE_CODE, training=[MAKE_CODE])
    project.write(USE, USE_PARAMETERS, USE_CODE, training=[USE_CODE])
    monkeypatch.setattr(Notebook, "_run", run_here)
    monkeypatch.setattr("second_look.outputs.display", lambda markup: None)
    go(project)
    assert project.statuses() == [UP_TO_DATE, UP_TO_DATE, DONE, DONE]
    return project


def test_one_notebook_alone_puts_those_out_of_date_that_read_it(chain: Project) -> None:
    page = (chain.set / "report.html").read_text()
    assert "Out of date" not in page
    assert '<span class="badge yes">reproduced</span></td>' in page
    go(chain, "rows=5", only=MAKE)
    assert chain.statuses() == [DONE, OUT_OF_DATE, OUT_OF_DATE, OUT_OF_DATE]
    page = " ".join((chain.set / "report.html").read_text().split())
    assert page.count("<strong>Out of date:</strong>") == 3
    change = "predictions/scores.parquet has changed since notebook"
    assert f"{change} 02_use read it. Run notebook 02_use again, and what follows" in page
    assert page.count(f"{change} 03_mean read it") == 2, "04 reads what 03 wrote"
    for number in ("02", "03"):
        assert f'<span class="badge other">out of date: run {number} again</span></td>' in page
    assert '<span class="badge yes">reproduced</span></td>' not in page


def test_a_notebook_does_not_run_on_what_is_out_of_date(chain: Project) -> None:
    go(chain, "rows=5", only=MAKE)
    with pytest.raises(NotebookFailedError) as error:
        go(chain, "rows=5", only="04")
    message = str(error.value)
    assert f"04_end failed: {chain.set.resolve()}/predictions/means.parquet: is out of" in message
    assert "Run notebook 03_mean again, and what follows (run_all.py … --from 03)." in message
    assert chain.statuses() == [UP_TO_DATE, OUT_OF_DATE, OUT_OF_DATE, FAILED]
    go(chain, "rows=5", start="03")
    assert chain.statuses() == [UP_TO_DATE, OUT_OF_DATE, DONE, DONE]


def test_what_a_broken_run_did_not_reach_is_out_of_date_too(chain: Project) -> None:
    broken = f"{MAKE_CODE}from second_look.errors import OutputError\nraise OutputError('no')\n"
    chain.write(MAKE, MAKE_PARAMETERS, broken, training=[broken])
    with pytest.raises(NotebookFailedError, match="01_make failed"):
        go(chain, "rows=5")
    assert chain.statuses() == [FAILED, OUT_OF_DATE, OUT_OF_DATE, OUT_OF_DATE]


# ------------------------------------------------------------------ which ones


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"force": True}, [MAKE, USE]),
        ({"only": "02", "force": True}, [USE]),
        ({"only": USE}, []),
        ({"start": "02_use.ipynb", "force": True}, [USE]),
        ({"start": MAKE, "force": True}, [MAKE, USE]),
    ],
)
def test_only_from_and_force(
    project: Project, executed: list[str], choice: dict[str, str], expected: list[str]
) -> None:
    go(project, **choice)  # type: ignore[arg-type]
    assert executed == expected


def test_an_earlier_notebook_that_is_not_up_to_date_is_named(
    project: Project, executed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    change_code(project)
    go(project, only=USE)
    assert "01_make: out of date, not chosen to run" in capsys.readouterr().out
    assert project.statuses() == [OUT_OF_DATE, UP_TO_DATE]


def test_what_is_wrong_is_said_before_anything_runs(project: Project, executed: list[str]) -> None:
    with pytest.raises(ParameterError, match=r"no notebook '03'\. There are: 01_make, 02_use\.$"):
        go(project, only="03")
    with pytest.raises(ParameterError, match=r"several notebooks begin with '0'\. There"):
        go(project, start="0")
    with pytest.raises(ParameterError, match=r"'stried'\. Did you mean 'stride'"):
        go(project, "stried=3", force=True)
    with pytest.raises(ParameterError, match=r"no notebooks such as .*make sync"):
        run(project.params, project.root / "none", project.outputs)
    assert executed == []


# ------------------------------------------------------------------ what goes wrong


def test_a_notebook_that_fails_is_kept_and_going_on_repeats_nothing(project: Project) -> None:
    project.write(
        USE,
        "outputs: str = ''  # folder\nseed: int = 0  # none [0, 9]\n",
        "from second_look.outputs import open_run\nrun = open_run(outputs, notebook='02_use')",
        "1 / seed",
        "print('after')",
    )
    with pytest.raises(NotebookFailedError) as error:
        go(project)
    message = str(error.value)
    assert "02_use failed: ZeroDivisionError: division by zero" in message
    assert "run the same command again" in message
    failed = project.set / "notebooks" / f"{USE}.ipynb"
    assert str(failed) in message
    assert "ZeroDivisionError" in failed.read_text()
    assert project.statuses() == [UP_TO_DATE, FAILED]
    assert load_results(project.set) == []
    page = (project.set / "report.html").read_text()
    assert "This notebook stopped with an error." in page
    assert states(project) == [UP_TO_DATE, OUT_OF_DATE]

    go(project, "02_use.seed=1")
    assert project.statuses() == [UP_TO_DATE, DONE]
    assert "ZeroDivisionError" not in failed.read_text()


def test_a_kernel_that_dies_is_a_failed_notebook(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    parameters = f"{MAKE_PARAMETERS}batch_size: int = 8  # images [1, 99]\n"
    project.write(MAKE, parameters, "import os\nos._exit(9)")
    with pytest.raises(NotebookFailedError, match="01_make failed: its kernel died") as error:
        go(project)
    assert "Lower batch_size (--set 01_make.batch_size=…)." in str(error.value)
    assert project.statuses() == [FAILED, NOT_REACHED]
    assert (project.set / "notebooks" / f"{MAKE}.ipynb").is_file()


def test_too_few_open_files_name_the_remedy(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_: object, **__: object) -> None:
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(papermill, "execute_notebook", dead)
    with pytest.raises(NotebookFailedError, match=r"02_use failed: .*ulimit -n 4096"):
        go(project, only=USE, force=True)


def test_a_report_that_is_a_folder_is_named(project: Project, executed: list[str]) -> None:
    (project.set / "report.html").unlink()
    (project.set / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html: a folder stands .*Remove or rename it"):
        go(project)


def test_a_stop_by_the_user_leaves_the_rest_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(papermill, "execute_notebook", stop)
        with pytest.raises(KeyboardInterrupt):
            go(project, start=USE, force=True)
    assert project.statuses() == [UP_TO_DATE, pipeline.INTERRUPTED]
    assert states(project) == [UP_TO_DATE, OUT_OF_DATE]


def test_no_space_left_is_said_plainly(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(papermill, "execute_notebook", full)
    with pytest.raises(OutputError, match=r"02_use\.ipynb: cannot be written \(No space left"):
        go(project, start=USE, force=True)
    assert states(project) == [UP_TO_DATE, OUT_OF_DATE]


def test_outputs_that_cannot_be_written_are_named(project: Project) -> None:
    (project.root / "file").write_text("")
    with pytest.raises(OutputError, match=r"small: cannot be written.*--outputs"):
        run(project.params, project.notebooks, project.root / "file")


# ------------------------------------------------------------------ sets


def test_sets_do_not_touch_each_other(project: Project, executed: list[str]) -> None:
    contents = {path: path.read_bytes() for path in project.set.rglob("*") if path.is_file()}
    other_params = project.params.with_name("other.yaml")
    other_params.write_text("common:\n  seed: 3\n")
    run(other_params, project.notebooks, project.outputs)
    assert executed == [MAKE, USE]
    assert (project.outputs / "other" / "run.json").is_file()
    assert {path: path.read_bytes() for path in contents} == contents


def test_two_params_files_of_one_name_do_not_share_outputs(
    project: Project, executed: list[str]
) -> None:
    namesake = project.root / "mine" / "small.yaml"
    namesake.parent.mkdir()
    namesake.write_text("")
    with pytest.raises(OutputError, match=r"holds what .*params/small\.yaml made"):
        run(namesake, project.notebooks, project.outputs)
    assert executed == []


def test_a_second_run_at_once_is_refused_and_a_dead_one_is_not(
    project: Project, executed: list[str]
) -> None:
    code = (
        "import sys; from pathlib import Path; from second_look.running.exclusive import locked\n"
        f"with locked(Path({str(project.set)!r})):\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(OutputError, match=rf"another run \(process {process.pid}\)"):
            go(project)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()
    go(project)
    assert (project.set / ".lock").read_text() == str(os.getpid())


def test_paths_to_data_start_where_the_run_does(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notebooks run in their own folder, where a relative path would mean another place."""
    passed = {}

    def pretend(notebook: nbformat.NotebookNode, draft: str, **options: object) -> None:
        name = Path(draft).name.removeprefix(".").removesuffix(".draft.ipynb")
        passed[name] = options["parameters"]
        passed["variable"] = os.environ["SECOND_LOOK_DATA"]
        nbformat.write(notebook, draft)

    monkeypatch.setattr(papermill, "execute_notebook", pretend)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECOND_LOOK_DATA", "there")
    project.set_params("01_make:\n  data_root: here\n")
    go(project, force=True)
    assert passed[MAKE]["data_root"] == str(tmp_path / "here")  # type: ignore[index]
    assert passed["variable"] == str(tmp_path / "there")
    assert project.run_json()["notebooks"][MAKE]["parameters"]["data_root"] == "here"
    assert os.environ["SECOND_LOOK_DATA"] == "there"


# ------------------------------------------------------------------ what a killed run left


def test_unfinished_files_of_a_killed_run_are_removed(
    project: Project, executed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    above_all_ids = 2**22 + 1
    draft = project.set / "predictions" / f".scores.parquet.{above_all_ids}.tmp"
    draft.write_bytes(b"half")
    go(project)
    assert "removed 1 unfinished files of a run that was killed" in capsys.readouterr().out
    assert not draft.exists()


@pytest.mark.parametrize("content", ["", "[]", "3", "null", "noise"])
def test_a_damaged_run_json_is_written_anew(
    project: Project, executed: list[str], content: str
) -> None:
    (project.set / "run.json").write_text(content)
    go(project)
    assert project.statuses() == [UP_TO_DATE, UP_TO_DATE]


# ------------------------------------------------------------------ what is remembered, is checked


@pytest.mark.parametrize(
    ("damaged", "content", "again", "reason"),
    [
        ("results.json", None, USE, "results.json does not hold its results"),
        ("results.json", b"", USE, "results.json does not hold its results"),
        ("results.json", b"\x00noise", USE, "results.json does not hold its results"),
        ("results.json", b'{"version": 9}', USE, "results.json does not hold its results"),
        ("results.json", b'[{"notebook": 3}, 4]', USE, "results.json does not hold its results"),
        (f"notebooks/{MAKE}.ipynb", b"", MAKE, f"notebooks/{MAKE}.ipynb is not as it was written"),
        (f"notebooks/{MAKE}.ipynb", b"noise", MAKE, "is not as it was written"),
        (f"notebooks/{MAKE}.ipynb", b'{"cells": []}', MAKE, "is not as it was written"),
        (f"manifests/{MAKE}.json", b"[]", MAKE, f"manifests/{MAKE}.json cannot be read"),
        (f"manifests/{MAKE}.json", b'{"version": 99}', MAKE, "cannot be read"),
        (f"manifests/{MAKE}.json", b'{"finished": 1, "reads": [3]}', MAKE, "cannot be read"),
        (f"manifests/{MAKE}.json", b'{"finished": true}', MAKE, "is not as it was written"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_written_is_made_again(
    project: Project,
    executed: list[str],
    capsys: pytest.CaptureFixture[str],
    damaged: str,
    content: bytes | None,
    again: str,
    reason: str,
) -> None:
    path = project.set / damaged
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    go(project)
    assert executed == [again]
    assert f"{again}: made again: " in (printed := capsys.readouterr().out)
    assert reason in printed
