"""Signals to stop, and streams that take no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from second_look.errors import DataError
from second_look.running.commands import exit_status, print_lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_stop_ends_as_ctrl_c_does(
    number: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = signal.signal(number, signal.SIG_DFL)
    cleaned = []

    def command() -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)  # a second one does not stop the clean-up
            cleaned.append(number)

    try:
        assert exit_status(command) == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, ending)
    assert cleaned == [number]
    line = f"Stopped by {number.name}. Run the same command again to continue."
    assert capsys.readouterr().err.split("\n") == ["", line, ""]


def test_control_characters_of_data_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> None:
        print_lines(["a\x1b]0;title\x07 é"])
        raise DataError("a name \x1b[2J\udc80.", "a\x9b.csv")

    assert exit_status(command) == 2
    written = capsys.readouterr()
    assert written.out == "a\\x1b]0;title\\x07 é\n"
    assert written.err == "a\\x9b.csv: a name \\x1b[2J\\udc80.\n"


def test_a_training_that_was_stopped_says_by_which_signal() -> None:
    def command() -> None:
        raise KeyboardInterrupt("stopped after step 3", signal.SIGTERM)

    assert exit_status(command) == 143


CODE = """
import sys
from pathlib import Path
from second_look.running.commands import exit_status

def command():
    sys.stderr.write("")
    for _ in range(3):
        print("x" * 100_000, flush=True)
    Path("done").touch()

sys.exit(exit_status(command))
"""


@pytest.mark.parametrize("output", ["| head -c 1", "> /dev/full", ">&-", ">&- 2>&-"])
def test_output_that_nobody_takes_stops_nothing(tmp_path: Path, output: str) -> None:
    if "/dev/full" in output and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" -c "$1" {output}', sys.executable, CODE],
        cwd=tmp_path, env=os.environ, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "done").exists()


def test_too_few_open_files_are_said_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise OSError(24, "Too many open files")

    assert exit_status(command) == 2
    assert "ulimit -n 4096" in capsys.readouterr().err
