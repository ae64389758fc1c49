"""Where a run comes from: reachable library code, commit, versions, memory."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest
from second_look import provenance
from second_look.provenance import (
    content_hash,
    dependencies,
    describe,
    library_files,
    peak_memory,
)

REPO = Path(__file__).resolve().parents[1]
LIBRARY = REPO / "lib" / "second_look"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library in which a reaches b by an import in a function, and b reaches sub.c."""
    files = {
        "__init__.py": "",
        "a.py": "def f():\n    from second_look.b import g\n",
        "b.py": "import numpy\nimport second_look.sub.c as c\n",
        "sub/__init__.py": "",
        "sub/c.py": "from second_look import a\n",
        "other.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(provenance, "_LIBRARY", tmp_path)
    return tmp_path


def reached(library: Path, *sources: str) -> set[str]:
    return {path.relative_to(library).as_posix() for path in library_files(sources)}


def test_imports_are_followed_to_the_end(library: Path) -> None:
    assert reached(library, "from second_look import a") == {
        "__init__.py", "a.py", "b.py", "sub/__init__.py", "sub/c.py",
    }  # fmt: skip
    assert reached(library, "from second_look.other import x") == {"__init__.py", "other.py"}
    assert reached(library, "import numpy", "x = 1") == set()


def test_code_that_only_ipython_understands_is_read_past(library: Path) -> None:
    source = "%matplotlib inline\n!ls\nfrom second_look import other\nother?\n"
    assert reached(library, source) == {"__init__.py", "other.py"}
    assert reached(library, "this is no Python") == set()


def test_what_the_real_notebooks_reach() -> None:
    found = {
        path.relative_to(LIBRARY).as_posix()
        for path in library_files([(REPO / "notebooks" / "01_data_survey.py").read_text()])
    }
    assert found >= {"survey.py", "sources/mias.py", "store.py", "files.py", "errors.py"}
    assert not found & {"sampler.py", "pipeline.py", "report.py"}


def test_the_library_imports_itself_by_full_names_only() -> None:
    """Imports are followed as text: a relative or computed one would go unseen."""
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                assert name not in {"import_module", "__import__"}, path


def test_a_hash_knows_where_a_piece_ends() -> None:
    assert content_hash([b"ab", b"c"]) == content_hash([b"ab", b"c"])
    assert content_hash([b"ab", b"c"]) != content_hash([b"a", b"bc"])


def test_commit_and_dirty_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe(tmp_path, [])["commit"] is None
    assert describe(tmp_path, [])["dirty"] is None
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "a"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    clean = describe(tmp_path, ["numpy", "no-such-distribution"])
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    assert clean["versions"]["no-such-distribution"] == "not installed"
    assert clean["versions"]["numpy"][0].isdigit()
    (tmp_path / "new.py").write_text("")
    assert describe(tmp_path, [])["dirty"] is True
    monkeypatch.setattr(provenance.shutil, "which", lambda _: None)
    without = describe(tmp_path, [])
    assert (without["commit"], without["dirty"]) == (None, None)
    assert without["device"].startswith("CPU, ")


def test_the_declared_dependencies() -> None:
    found = dependencies()
    assert {"numpy", "pandera", "dask", "torch", "ruamel.yaml"} <= set(found)
    assert not {"pytest", "ruff"} & set(found)


def test_memory_of_children_is_seen() -> None:
    code = "import time; x = bytearray(b'1' * 80_000_000); time.sleep(20)"
    with peak_memory(0.05) as peak:
        child = subprocess.Popen([sys.executable, "-c", code])
        start = time.monotonic()
        while peak.megabytes < 80 and time.monotonic() - start < 15:
            time.sleep(0.05)
        child.kill()
        child.wait()
    assert 80 <= peak.megabytes < 400
