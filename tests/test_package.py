"""What importing the package does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOWN = "import second_look, os; print(os.environ['OMP_WAIT_POLICY'])"


@pytest.mark.parametrize(("own", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(own, expected):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if own:
        environment["OMP_WAIT_POLICY"] = own
    found = subprocess.run(
        [sys.executable, "-c", SHOWN], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == expected


def test_torch_is_not_imported_before_it_is_set():
    code = "import sys, second_look; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
