"""Two processes that train, started once for every test that compares them with a single one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.shared_builds import build_once

SCRIPT = """\
import sys
from pathlib import Path

from second_look.training.loop import train
from test_classify import train_and_predict
from test_loop import Line, settings

folder = Path(sys.argv[1])
train(Line(dropout=0), settings(20), folder / "line")
train_and_predict(folder / "classifier")
"""


def train_in_two_processes(folder: Path) -> None:
    script = folder / "train.py"
    script.write_text(SCRIPT)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    result = subprocess.run(
        [sys.executable, *command, str(script), str(folder)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="session")
def two_processes(run_folder: Path) -> Path:
    """What two processes (gloo) leave, half of each batch in each of them.

    Folders `line`, of test_loop's task, and `classifier`, of test_classify's.
    """
    return build_once(run_folder / "two_processes", train_in_two_processes)


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the disk at each of the thousands of checkpoints of these tests."""
    monkeypatch.setattr("second_look.files._to_disk", lambda path: None)
