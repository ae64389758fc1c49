"""One environment: pyproject.toml, the lock, conda's file, the Makefile and CI agree."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from pre_commit.clientlib import load_config
from ruamel.yaml import YAML

REPO = Path(__file__).resolve().parents[1]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+]+( ; .+)?")


def read_yaml(name: str) -> Any:
    return YAML(typ="safe").load((REPO / name).read_text(encoding="utf-8"))


def lock_lines() -> list[str]:
    return (REPO / "requirements.lock").read_text(encoding="utf-8").splitlines()


def pins(python: str | None = None) -> dict[str, Version]:
    """Package -> pinned version under one Python on Linux; None: the Python that runs this."""
    environment = {str(key): str(value) for key, value in default_environment().items()}
    if python is not None:
        environment |= {
            "python_version": python,
            "python_full_version": f"{python}.1",
            "sys_platform": "linux",
            "os_name": "posix",
            "platform_system": "Linux",
        }
    pinned: dict[str, Version] = {}
    for requirement in map(Requirement, lock_lines()):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in pinned, f"{name} is pinned twice under Python {python}"
            pinned[name] = Version(str(requirement.specifier).removeprefix("=="))
    return pinned


def project() -> dict[str, Any]:
    return tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared() -> list[Requirement]:
    """What `make` installs: the dependencies and those for developing; other extras are chosen."""
    lists = [project()["dependencies"], project()["optional-dependencies"]["dev"]]
    return [Requirement(text) for texts in lists for text in texts]


def conda_python() -> SpecifierSet:
    entries = [x for x in read_yaml("environment.yml")["dependencies"] if isinstance(x, str)]
    python = next(entry for entry in entries if entry.split()[0] == "python")
    return SpecifierSet(python.removeprefix("python").strip())


def test_lock_holds_exact_versions_and_nothing_else() -> None:
    strangers = [line for line in lock_lines() if not PIN.fullmatch(line)]
    assert strangers == []


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_pins_what_pyproject_asks_for(python: str) -> None:
    pinned = pins(python)
    for requirement in declared():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} has no pin: make lock"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{requirement} is pinned to {version}: make lock"
        )


def test_lock_pins_what_its_packages_ask_for() -> None:
    pinned = pins()
    extras = {canonicalize_name(r.name): r.extras for r in declared()}
    missing = []
    for name in pinned:
        for text in importlib.metadata.requires(name) or []:
            needed = Requirement(text)
            chosen = [{"extra": extra} for extra in ("", *extras.get(name, ()))]
            if needed.marker and not any(map(needed.marker.evaluate, chosen)):
                continue
            version = pinned.get(canonicalize_name(needed.name))
            if version is None or not needed.specifier.contains(version, prereleases=True):
                missing.append(f"{name} needs {needed}, pinned is {version}")
    assert missing == []


def test_tests_run_with_the_versions_of_the_lock() -> None:
    different = {
        name: f"{importlib.metadata.version(name)} instead of {version}"
        for name, version in pins().items()
        if Version(importlib.metadata.version(name)) != version
    }
    assert different == {}, "pip install -r requirements.lock"


def test_torch_and_torchvision_are_the_published_pair() -> None:
    exact = {r.name: str(r.specifier) for r in declared() if r.name in ("torch", "torchvision")}
    assert exact == {"torch": "==2.11.0", "torchvision": "==0.26.0"}
    needed = [Requirement(text) for text in importlib.metadata.requires("torchvision") or []]
    assert "==2.11.0" in [str(r.specifier) for r in needed if r.name == "torch"]


def test_conda_environment_installs_the_lock() -> None:
    environment = read_yaml("environment.yml")
    pip = next(x["pip"] for x in environment["dependencies"] if isinstance(x, dict))
    assert environment["name"] == project()["name"]
    assert pip == ["-r requirements.lock", "-e ."]


def test_python_versions_agree() -> None:
    required, conda = SpecifierSet(project()["requires-python"]), conda_python()
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    bounds = re.findall(r"\((\d+), (\d+)\) <= v\[:2\] < \((\d+), (\d+)\)", makefile)
    assert bounds == [("3", "11", "3", "15")]
    for minor in range(30):
        supported = f"3.{minor}" in PYTHONS
        assert conda.contains(f"3.{minor}.1") == supported
        assert required.contains(f"3.{minor}.1") or not supported
    assert not required.contains("3.10.14")
    matrix = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert {"3.11"} < {row["python"] for row in matrix["include"]} <= set(PYTHONS)


@pytest.mark.parametrize(
    "name",
    ["Makefile", "environment.yml", "requirements.lock", ".ci/run", ".github/workflows/ci.yml",
     ".pre-commit-config.yaml", "pyproject.toml"],
)  # fmt: skip
def test_set_up_names_no_registry_and_no_place_of_one_machine(name: str) -> None:
    text = (REPO / name).read_text(encoding="utf-8")
    text = text.removeprefix("#!/usr/bin/env bash").replace("/dev/null", "")
    assert re.findall(r"https?://|pythonhosted|pypi\.|index-url[ =](?!--)", text) == []
    assert re.findall(r"(?:^|[\s\"'=:])(/[a-z]\w+/\S*|[A-Z]:\\\S*)", text) == []


# ------------------------------------------------------------------ make


def make(*arguments: str, folder: Path = REPO) -> subprocess.CompletedProcess[str]:
    variables = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "PYTHON", "PARAMS", "JOBS")
    clean = {name: value for name, value in os.environ.items() if name not in variables}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=clean, text=True, capture_output=True, check=False
    )


def steps(target: str) -> list[str]:
    """The commands that make would run for a target, set-up included."""
    result = make("--dry-run", "--always-make", "--no-print-directory", target)
    assert result.returncode == 0, result.stderr
    return result.stdout.replace("\\\n", " ").splitlines()


def position(lines: list[str], part: str) -> int:
    numbers = [number for number, line in enumerate(lines) if part in line]
    assert numbers, f"{part} is not in {lines}"
    return numbers[0]


def test_make_test_checks_then_tests_then_runs_all_notebooks() -> None:
    lines = steps("test")
    order = [
        "-m venv .venv", "-r requirements.lock", "-e .", "ruff check", "ruff format --check",
        "codespell", "-m mypy", "lint-imports", "-m pytest",
        "run_all.py --params params/ci.yaml",
    ]  # fmt: skip
    positions = [position(lines, part) for part in order]
    assert positions == sorted(positions)
    tests = lines[position(lines, "-m pytest")]
    assert '-m "not slow"' in tests
    assert "--cov" in tests


def test_make_test_all_runs_what_make_test_leaves_out() -> None:
    lines = steps("test-all")
    assert "-m slow" in lines[position(lines, "-m pytest")]


def test_make_test_fast_leaves_out_all_that_takes_long() -> None:
    lines = steps("test-fast")
    tests = lines[position(lines, "-m pytest")]
    markers = re.findall(r"not (\w+)", tests)
    assert set(markers) == {"slow", "notebook", "browser", "real_data", "prepared"}
    assert "ruff" not in "".join(lines)
    assert "run_all.py" not in "".join(lines)


@pytest.mark.parametrize(
    "target", ["report", "test", "test-all", "test-fast", "lab", "bench", "check", "sync"]
)
def test_every_target_sets_up_the_environment_first(target: str) -> None:
    ready = position(steps(target), "touch .venv/.ready")
    assert any(".venv/bin/" in line for line in steps(target)[ready + 1 :])


FAKE_PYTHON = """#!/bin/sh
# Stands in for python3: notes what make asks for, installs nothing.
echo "$@" >> "{log}"
case "$1 $2" in
    "-m venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip") case "$*" in *{fails}*) echo "no network" >&2; exit 1 ;; esac ;;
    "-c "*) exec "{python}" -c "import sys; sys.version_info = {version}; exec(sys.argv[1])" "$2" ;;
esac
"""


def fake_python(
    folder: Path, *, fails: str = "nothing", version: tuple[int, int, int] = (3, 11, 0)
) -> Path:
    """A checkout's set-up files in `folder`, and a python3 beside them that only pretends."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy2(REPO / name, folder / name)
    script = folder / "fake-python"
    script.write_text(
        FAKE_PYTHON.format(log=folder / "log", fails=fails, version=version, python=sys.executable)
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def calls(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_set_up_is_done_once_and_again_when_the_lock_changes(tmp_path: Path) -> None:
    python = fake_python(tmp_path)
    assert make(f"PYTHON={python}", "report", folder=tmp_path).returncode == 0
    installs = [call for call in calls(tmp_path) if " pip " in f" {call} "]
    assert [call.split(" install ")[1] for call in installs] == [
        "-r requirements.lock",
        "--no-deps --no-build-isolation -e .",
    ]
    assert calls(tmp_path)[-1] == "run_all.py --params params/smoke.yaml"

    (tmp_path / "log").unlink()
    assert make(f"PYTHON={python}", "report", folder=tmp_path).returncode == 0
    assert calls(tmp_path) == ["run_all.py --params params/smoke.yaml"]

    later = (tmp_path / ".venv/.ready").stat().st_mtime + 10
    os.utime(tmp_path / "requirements.lock", (later, later))
    assert make(f"PYTHON={python}", "report", folder=tmp_path).returncode == 0
    assert "-m pip install -r requirements.lock" in calls(tmp_path)


@pytest.mark.parametrize("fails", ["requirements.lock", "-e"])
def test_a_broken_installation_is_not_taken_for_a_finished_one(tmp_path: Path, fails: str) -> None:
    python = fake_python(tmp_path, fails=fails)
    for _ in range(2):  # the second run must not go on from the broken first
        result = make(f"PYTHON={python}", "report", folder=tmp_path)
        assert result.returncode != 0
        assert "no network" in result.stderr
        assert not (tmp_path / ".venv/.ready").exists()
    assert not any(call.startswith("run_all.py") for call in calls(tmp_path))


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 15, 0), (2, 7, 18)])
def test_wrong_python_is_named_before_anything_is_made(
    tmp_path: Path, version: tuple[int, int, int]
) -> None:
    python = fake_python(tmp_path, version=version)
    result = make(f"PYTHON={python}", "report", folder=tmp_path)
    assert result.returncode != 0
    assert "needs Python 3.11 to 3.14" in result.stderr
    assert f"this is {version[0]}.{version[1]}" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_missing_python_is_named(tmp_path: Path) -> None:
    fake_python(tmp_path)
    result = make("PYTHON=no-such-python", "report", folder=tmp_path)
    assert result.returncode != 0
    assert "no no-such-python here" in result.stderr


# ------------------------------------------------------------------ CI and pre-commit


def test_pre_commit_runs_the_checks_of_make() -> None:
    load_config(str(REPO / ".pre-commit-config.yaml"))  # raises where it is not valid
    config = read_yaml(".pre-commit-config.yaml")
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == ["make sync", "make check"]
    for hook in hooks:
        assert hook["language"] == "system"
        assert not hook["pass_filenames"]


def test_ci_run_takes_nothing_from_stdin_and_can_be_executed() -> None:
    script = REPO / ".ci/run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[-2:] == ["make test", "make test-all"]
    assert "exec </dev/null" in lines


def test_workflow_calls_ci_run_with_chromium() -> None:
    job = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]
    commands = [step.get("run", "") for step in job["steps"]]
    assert "bash .ci/run" in commands
    assert any("chromium" in command for command in commands)
