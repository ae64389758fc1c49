"""Kernels begin alike for every user, and paths are what they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import papermill
import pytest
from papermill.parameterize import parameterize_path
from second_look.running.notebooks import execute


def test_a_kernel_has_no_profile_of_the_user_and_braces_of_a_path_are_braces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, list[str], list[Path]]] = []

    def note(_: Any, path: str, *, extra_arguments: list[str], **__: Any) -> None:
        calls.append((path, extra_arguments, list(Path(os.environ["IPYTHONDIR"]).iterdir())))

    monkeypatch.setattr(papermill, "execute_notebook", note)
    monkeypatch.setenv("IPYTHONDIR", "mine")
    draft = tmp_path / "{set} of {0} {" / "a.ipynb"
    execute(None, draft, {"set": 1}, tmp_path, stop_s=1)
    ((path, options, profile),) = calls
    assert parameterize_path(path, {"set": 1}) == str(draft)
    assert profile == []
    assert "--IPKernelApp.exec_PYTHONSTARTUP=False" in options
    assert os.environ["IPYTHONDIR"] == "mine"
