"""Damaged files of every format: our own error or a valid result, within time and memory.

The damage is done, and counted, by fuzzing.py in a process of its own, whose memory is bounded and
whose death is a finding like any other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT, SEED = 100, 0
# The run is bounded by its CPU time, so that a busy machine makes it slow and not wrong.
pytestmark = pytest.mark.timeout(3600)
SCRIPT = Path(__file__).parents[1] / "helpers" / "fuzzing.py"


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """Each line of the run: what went wrong with a case, or how a format went."""
    folder = tmp_path_factory.mktemp("fuzz")
    lib = SCRIPT.parents[2] / "lib"
    # Only as much memory as is used at the start, and threads use some each.
    more = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    paths = os.pathsep.join(filter(None, [str(lib), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, "--count", str(COUNT), "--seed", str(SEED)],
        env=os.environ | more | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    case = folder / "case.json"
    last = case.read_text() if case.is_file() else "none"
    assert done.returncode == 0, f"ended with {done.returncode} in the case {last}: {done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_damage_gives_our_own_error_or_a_valid_result(findings):
    wrong = [
        f"{row['format']} {row['case']}: {row['reason']}" for row in findings if "reason" in row
    ]
    assert not wrong, "\n".join(wrong)


def test_thousands_of_cases_of_every_format_were_tried(findings):
    cases = {row["format"]: row["cases"] for row in findings if "cases" in row}
    assert sum(cases.values()) >= 3000
    assert min(cases.values()) >= 10
    for name in ("PGM", "PNG", "JPEG", "TIFF", "LJPEG", "DICOM", "ics", "OVERLAY", "CSV", "tar"):
        assert any(name in form for form in cases)
