"""The script of kills: a run is killed while it works, and not while it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]


@pytest.fixture
def kills(monkeypatch):
    monkeypatch.syspath_prepend(REPO / "benchmarks")
    import kills

    return kills


def test_the_time_to_a_kill_begins_with_a_notebook(kills, tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("01_data_survey: running\n", encoding="utf-8")
    assert kills.underway(log) == "01_data_survey"
    size = log.stat().st_size
    code = f"import time; open({str(log)!r}, 'a').write('03_dcgan: running\\n'); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        kills.wait_for_notebook(process, log, size)
        assert kills.underway(log) == "03_dcgan"
        assert process.poll() is None
    finally:
        kills.kill(process)


def test_a_run_that_ends_before_its_first_notebook_is_not_waited_for(kills, tmp_path):
    log = tmp_path / "log.txt"
    log.touch()
    process = subprocess.Popen([sys.executable, "-c", ""])
    kills.wait_for_notebook(process, log, 0)
    assert process.returncode == 0
    assert kills.underway(log) == "no notebook"
