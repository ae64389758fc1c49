"""The command line, as a user meets it: what it prints, how it ends, how it continues."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jupytext
import psutil
import pytest
from helpers.small_project import MAKE, USE, USE_CODE, USE_PARAMETERS, Project, small_project

pytestmark = pytest.mark.notebook

REPO = Path(__file__).resolve().parents[1]
WAITS = """\
import os, time
from pathlib import Path
Path(outputs, "waiting").write_text(str(os.getpid()))
while not Path(outputs, "go_on").exists():
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project with its own copy of run_all.py, after its first run."""
    project = small_project(tmp_path_factory.mktemp("first"))
    shutil.copy(REPO / "run_all.py", project.root)
    project.params.rename(project.params.with_name("smoke.yaml"))
    done = run_all(project)
    assert done.returncode == 0, done.stderr
    return Project(project.root)


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of it, times of files included."""
    shutil.copytree(finished.root, tmp_path / "copy")
    return Project(tmp_path / "copy")


def command(project: Project, *options: str) -> list[str]:
    return [sys.executable, str(project.root / "run_all.py"), *options]


def run_all(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(project, *options), cwd=project.root, text=True, capture_output=True, check=False
    )


def main_of(project: Project) -> Callable[[list[str]], int]:
    """The same without starting a process, which takes seconds."""
    spec = importlib.util.spec_from_file_location("run_all", project.root / "run_all.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main  # type: ignore[no-any-return]


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return condition()


def test_without_options_it_makes_the_smoke_report(finished: Project) -> None:
    assert (finished.outputs / "smoke" / "report.html").stat().st_size > 10_000


def test_a_second_run_says_what_was_up_to_date(finished: Project) -> None:
    done = run_all(finished)
    assert done.returncode == 0
    assert done.stderr == ""
    report = "outputs/smoke/report.html"  # from where the user stands
    assert done.stdout == f"01_make: up to date\n02_use: up to date\nThe report: {report}\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_answer_at_once(option: str) -> None:
    """Without a single library; timed, they took seconds."""
    code = (
        "import sys, run_all\n"
        f"try:\n    run_all.main([{option!r}])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'pandas', 'ruamel', 'jupytext', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, text=True, capture_output=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_nothing_slow_is_imported_where_nothing_runs(finished: Project) -> None:
    code = (
        "import sys, run_all; assert run_all.main([]) == 0\n"
        "slow = {'torch', 'dask', 'papermill', 'matplotlib', 'skimage', 'sklearn', 'pandera'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=finished.root, text=True, capture_output=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "strid=3"], "--set strid=3: unknown parameter 'strid'. Did you mean 'stride'?"),
        (["--set", "nonsense=3"], "'nonsense'. There are: data_root, fail, rows, seed, stride."),
        (["--list", "--set", "rows=0"], "rows must lie between 1 and 100. Got 0."),
        (["--set", "stride=0"], "--set stride=0: stride must lie between 1 and 4096. Got 0."),
        (["--set", "rows=many"], "--set rows=many: rows must be of type int. Got 'many'."),
        (["--only", "03"], "no notebook '03'. There are: 01_make, 02_use."),
        (["--list", "03"], "no notebook '03'. There are: 01_make, 02_use."),
        (["--params", "params/smok.yaml"], "params/smok.yaml: there is no such file. Here are:"),
        (["--outputs", "run_all.py"], "smoke: cannot be written (Not a directory). Choose another"),
    ],
)
def test_what_a_user_can_put_right_is_one_message(
    finished: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(finished.root)
    assert main_of(finished)(options) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


def test_every_problem_of_the_parameters_is_named_at_once(finished: Project) -> None:
    done = run_all(finished, "--set", "strid=3", "--set", "rows=0", "--set", "fail=1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 3


def test_list_shows_the_notebooks_and_what_the_set_changes(
    finished: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_of(finished)(["--list", "--set", "rows=7"]) == 0
    printed = capsys.readouterr().out
    assert "02_use\n    02 · use: does it work?\n" in printed
    assert "    rows = 7 (default: 3)\n" in printed
    assert "stride" not in printed
    assert printed.endswith("--list 01\n")


def test_list_of_a_notebook_shows_all_its_parameters(
    finished: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_of(finished)(["--list", "02"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("02 · use: does it work?\n")
    assert "    stride: int = 64\n        px [1, 4096]\n" in printed
    assert "rows" not in printed


def test_list_shows_what_a_run_with_these_options_would_get(
    finished: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "mine.yaml"
    params.write_text("02_use:\n  stride: 32\n")
    assert main_of(finished)(["--list", "02", "--params", str(params), "--set", "seed=7"]) == 0
    printed = capsys.readouterr().out
    assert "    stride: int = 32 (default: 64)\n" in printed
    assert "    seed: int = 7 (default: 0)\n" in printed


def test_a_list_that_is_read_in_part_ends_quietly(finished: Project) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `head` leaves it
    with os.fdopen(writing, "w") as stream:
        done = subprocess.run(
            command(finished, "--list"),
            cwd=finished.root, stdout=stream, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "options",
    [
        ["--train", "01", "--only", "02"],
        ["--train", "01", "--from", "02"],
        ["--train", "01", "--force"],
        ["--only", "01", "--from", "02"],
        ["--train", "01", "--plan"],
        ["--list", "01", "--plan"],
    ],
)
def test_options_that_exclude_each_other_are_refused(
    finished: Project, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main_of(finished)(options)
    assert options[2] in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--list"], ["--train", "02"]])
def test_a_script_that_says_something_else_than_its_notebook_is_refused(
    finished: Project, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """An edited .py beside an unchanged .ipynb, which is what runs."""
    script = finished.notebooks / f"{USE}.py"
    try:
        jupytext.write(jupytext.read(script.with_suffix(".ipynb")), script, fmt="py:percent")
        assert main_of(finished)(["--list"]) == 0
        script.write_text(script.read_text().replace("counted", "counted twice"))
        capsys.readouterr()
        assert main_of(finished)(options) == 2
    finally:
        script.unlink()
    message = capsys.readouterr().err
    assert "the .py and the .ipynb of 02_use differ" in message
    assert "`make sync`" in message


def test_a_failing_notebook_ends_in_1_and_going_on_repeats_nothing(project: Project) -> None:
    done = run_all(project, "--set", "fail=true")
    assert done.returncode == 1
    assert "01_make failed: ValueError: failed on purpose" in done.stderr
    assert "run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    failed = project.outputs / "smoke" / "notebooks" / f"{MAKE}.ipynb"
    assert "failed on purpose" in failed.read_text()
    again = run_all(project)
    assert again.returncode == 0
    assert "01_make: done" in again.stdout
    assert "02_use: up to date" in again.stdout


def test_a_run_that_is_stopped_goes_on_where_it_was(project: Project) -> None:
    folder = project.outputs / "smoke"
    project.write(USE, USE_PARAMETERS, WAITS, USE_CODE)
    # What runs in the background of a shell, as these tests may, is deaf to Ctrl-C, and so would be
    # what it starts.
    running = subprocess.Popen(
        command(project), cwd=project.root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        waiting = folder / "waiting"
        assert wait_for(lambda: waiting.exists() and waiting.read_text().isdigit(), 60)
        kernel = int(waiting.read_text())
        running.send_signal(signal.SIGINT)
        out, error = running.communicate(timeout=300)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert error.splitlines()[-1] == "Stopped. Run the same command again to continue."
    assert "Traceback" not in error
    assert "01_make: up to date" in out
    assert wait_for(lambda: not psutil.pid_exists(kernel), 20)
    assert list(folder.rglob("*.draft*")) == []

    (folder / "go_on").touch()
    again = run_all(project)
    assert again.returncode == 0, again.stderr
    assert "01_make: up to date\n02_use: running" in again.stdout


def test_outputs_go_where_they_are_wanted(project: Project, tmp_path: Path) -> None:
    done = run_all(project, "--outputs", "elsewhere", "--only", MAKE)
    assert done.returncode == 0, done.stderr
    assert (project.root / "elsewhere" / "smoke" / "notebooks" / f"{MAKE}.ipynb").is_file()
    assert not (project.root / "elsewhere" / "smoke" / "notebooks" / f"{USE}.ipynb").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_outputs_without_rights_are_named(project: Project) -> None:
    locked = project.root / "locked"
    locked.mkdir(mode=0o500)
    done = run_all(project, "--outputs", "locked")
    assert done.returncode == 2
    assert "cannot be written (Permission denied)" in done.stderr


def test_a_python_without_the_library_is_told_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(REPO / "run_all.py")],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("second_look is not installed for this Python. `make report`")
