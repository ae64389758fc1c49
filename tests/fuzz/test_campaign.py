"""The campaign of damaged files finds errors, dead processes, hangs and lost rows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from helpers import campaign, lost_rows
from helpers.fuzzing import Format, fuzz

# The children are forked, and other tests may have left threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def make(folder):
    (folder / "a").write_bytes(b"sound")
    return folder / "a"


def outcome(read, monkeypatch, cases=4):
    monkeypatch.setattr(campaign.fuzzing, "bound_process", lambda: None)
    content = iter(range(99))
    form = Format("small", make, read, change=lambda _content, _rng: b"%d" % next(content))
    return list(campaign.watched(form, range(cases), 0))


def test_a_foreign_exception_and_a_dead_process_are_findings_and_the_others_go_on(monkeypatch):
    tried = []

    def read(_folder: Path, path: Path) -> None:
        content = path.read_bytes()
        tried.append(content)
        if content == b"1":
            raise KeyError("foreign")
        if content == b"2":
            os._exit(3)

    first, second = outcome(read, monkeypatch, cases=3)
    assert first[0] == 1
    assert "KeyError" in first[1]
    assert second == (2, "the process ended with 3: ")


def test_what_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(campaign, "SECONDS", 0.3)

    def read(_folder: Path, path: Path) -> None:
        if path.read_bytes() == b"1":
            time.sleep(60)

    assert outcome(read, monkeypatch, cases=2) == [(1, "more than 0.3 s")]


def test_the_reader_of_a_table_that_loses_a_row_in_silence_is_found(tmp_path, monkeypatch):
    def rows():
        return Format("rows", lost_rows.make_cbis, read, change=lost_rows.damaged_row)

    read = lost_rows.Descriptions()
    assert list(fuzz(rows(), tmp_path / "sound", range(5), 0)) == []
    complete = lost_rows.read_descriptions
    monkeypatch.setattr(lost_rows, "read_descriptions", lambda paths: complete(paths)[:-1])
    assert list(fuzz(rows(), tmp_path / "lost", range(5), 0))
