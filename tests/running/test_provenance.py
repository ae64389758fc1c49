"""Where a run comes from: commit, versions, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue
from subprocess import PIPE

import pandas as pd
import pytest
from second_look.running import provenance
from second_look.running.provenance import (
    dependencies,
    describe,
    peak_memory,
    quarantine_in_words,
)

REPO = Path(__file__).resolve().parents[2]


def test_commit_and_dirty_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe(tmp_path, [])["commit"] is None
    assert describe(tmp_path, [])["dirty"] is None
    for command in (
        ["init", "-q"],
        ["add", "a.py"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "a"],
    ):
        (tmp_path / "a.py").touch()
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    clean = describe(tmp_path, ["numpy", "no-such-distribution"])
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    assert clean["versions"]["no-such-distribution"] == "not installed"
    assert clean["versions"]["numpy"][0].isdigit()
    (tmp_path / "new.py").write_text("")
    assert describe(tmp_path, [])["dirty"] is True
    copy = tmp_path / "copy" / "notebooks"
    copy.mkdir(parents=True)
    (copy / "01_a.py").touch()
    assert (describe(copy, [])["commit"], describe(copy, [])["dirty"]) == (None, None)
    assert "second_look" in describe(copy, [])
    (tmp_path / ".git" / "index").write_bytes(b"noise")
    broken = describe(tmp_path, [])
    assert (broken["commit"], broken["dirty"]) == (clean["commit"], None)
    monkeypatch.setattr(provenance.shutil, "which", lambda _: None)
    without = describe(tmp_path, [])
    assert (without["commit"], without["dirty"]) == (None, None)
    assert without["device"].startswith("CPU, ")


def test_the_declared_dependencies() -> None:
    names = dependencies()
    assert {"numpy", "pandera", "dask", "torch", "ruamel.yaml"} <= set(names)
    assert not {"pytest", "ruff"} & set(names)


# A child that takes so many bytes once it is told to, writes to each of their pages, since one that
# was never written to is no memory, and keeps them until its input ends.
CHILD = """
import sys
print("started", flush=True)
size = int(input())
kept = bytearray(size)
kept[::4096] = bytes(len(range(0, size, 4096)))
print("taken", flush=True)
sys.stdin.read()
"""


def test_memory_of_children_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: SimpleQueue[None] = SimpleQueue()
    measure = provenance._children_mb

    def announced() -> float:
        megabytes = measure()
        measured.put(None)
        return megabytes

    def wait_for_a_measure() -> None:
        """One that began after this call: that under way may have begun before, the next did not.

        By then the one under way is noted too.
        """
        while not measured.empty():
            measured.get()
        measured.get()
        measured.get()

    monkeypatch.setattr(provenance, "_children_mb", announced)
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as child:
        assert child.stdout.readline() == "started\n"
        with peak_memory(0.01) as peak:
            wait_for_a_measure()
            start = peak.megabytes
            child.stdin.write("80000000\n")
            child.stdin.flush()
            assert child.stdout.readline() == "taken\n"
            wait_for_a_measure()
    assert start > 0
    # Of memory that processes share, each one's part changes as others come and go.
    assert peak.megabytes - start == pytest.approx(80, rel=0.1)


def test_the_quarantine_in_one_line_for_the_terminal(tmp_path: Path) -> None:
    codes = ["image_missing"] * 3 + ["mask_missing", "a", "b", "c"]
    effects = ["image left out"] * 3 + ["location unknown"] * 4
    path = tmp_path / "quarantine.parquet"
    images = ["", *"abcdef"]
    rows = {"effect": effects, "code": codes, "image_id": images, "reason": ["5 are lost"] * 7}
    pd.DataFrame(rows).to_parquet(path)
    line = quarantine_in_words(path)
    assert line.startswith("quarantine: 4 location unknown, 3 image left out (image_missing 3, ")
    assert line.endswith(f"and 1 more kinds); 5 are lost; see {tmp_path}/quarantine.csv")
    pd.DataFrame(rows).iloc[:0].to_parquet(path)
    assert quarantine_in_words(path) == "quarantine: empty"
