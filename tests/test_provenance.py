"""Where a run comes from: commit, versions, memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from second_look import provenance
from second_look.provenance import dependencies, describe, peak_memory

REPO = Path(__file__).resolve().parents[1]


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
