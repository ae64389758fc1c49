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

SEED = 0
# The quick run tries the first quarter of the cases of the slow one.
COUNTS = [25, pytest.param(100, marks=pytest.mark.slow)]
# The run is bounded by its CPU time, so that a busy machine makes it slow and not wrong.
pytestmark = pytest.mark.timeout(3600)
REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=COUNTS)
def count(request):
    """Cases of every format."""
    return request.param


@pytest.fixture(scope="module")
def findings(count, tmp_path_factory):
    """Each line of the run: what went wrong with a case, or how a format went."""
    folder = tmp_path_factory.mktemp("fuzz")
    # Only as much memory as is used at the start, and threads use some each.
    limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    folders = [str(REPO / "lib"), str(REPO / "tests"), os.environ.get("PYTHONPATH", "")]
    paths = os.pathsep.join(filter(None, folders))
    result = subprocess.run(
        [sys.executable, "-m", "helpers.fuzzing", folder,
         "--count", str(count), "--seed", str(SEED)],
        env=os.environ | limits | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    path = folder / "case.json"
    case = path.read_text() if path.is_file() else "none"
    code = result.returncode
    assert code == 0, f"ended with {code} in the case {case}: {result.stderr}"
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_damage_gives_our_own_error_or_a_valid_result(findings):
    wrong = [
        f"{row['format']} {row['case']}: {row['reason']}" for row in findings if "reason" in row
    ]
    assert not wrong, "\n".join(wrong)


def test_every_format_was_tried_many_times(findings, count):
    cases = {row["format"]: row["cases"] for row in findings if "cases" in row}
    assert sum(cases.values()) >= 30 * count
    assert min(cases.values()) >= count // 10
    for name in ("PGM", "PNG", "JPEG", "TIFF", "LJPEG", "DICOM", "ics", "OVERLAY", "CSV", "tar"):
        assert any(name in form for form in cases)
