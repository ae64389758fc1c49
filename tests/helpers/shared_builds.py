"""What several test processes need is built by the first of them, once in a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from second_look.files import folder_fingerprint


def build_once(folder: Path, build: Callable[[Path], object]) -> Path:
    """The folder as `build` filled it, in this process or in another one of the run.

    A folder without its mark is of a process that ended while it built: it is built again.
    """
    mark = folder.with_name(f"{folder.name}.built")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not mark.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            build(folder)
            mark.touch()
    return folder


@contextmanager
def unchanged(folder: Path) -> Iterator[Path]:
    """A shared folder, which no test may change."""
    fingerprint = folder_fingerprint(folder)
    yield folder
    assert folder_fingerprint(folder) == fingerprint, f"a test has changed the shared {folder}"
