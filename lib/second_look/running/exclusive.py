"""One run at a time on a folder of outputs, with the data where the user says they are."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from second_look.errors import OutputError
from second_look.files import DATA_VARIABLE, remove_drafts
from second_look.preparing.store import drop_damaged
from second_look.records import DATASET

# The file systems of some clusters have no locks; a second run cannot be refused there.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def absolute_data_variable() -> Iterator[None]:
    """Within the block, the environment variable is resolved from here, for the kernels."""
    previous = os.environ.get(DATA_VARIABLE)
    if previous:
        os.environ[DATA_VARIABLE] = str(Path(previous).expanduser().resolve())
    try:
        yield
    finally:
        if previous:
            os.environ[DATA_VARIABLE] = previous


@contextmanager
def locked(outputs: Path, *, by_digest: bool = False) -> Iterator[None]:
    """Refuse a second run on the same outputs, and set right what killed ones left.

    The lock is released when its process ends.

    Args:
        outputs: Folder of the run.
        by_digest: Of `_set_right`.

    Raises:
        OutputError: Another run holds the lock, or the folder cannot be written.
    """
    try:
        outputs.mkdir(parents=True, exist_ok=True)
        stream = (outputs / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{outputs}: cannot be written ({error.strerror}). "
            "Choose another folder with --outputs, or change its rights."
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise OutputError(
                f"{outputs}: another run (process {stream.read() or 'unknown'}) is writing here. "
                "Wait for it, or end it."
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        _set_right(outputs, by_digest=by_digest)
        yield


def _set_right(outputs: Path, *, by_digest: bool) -> None:
    """Remove what killed runs left, and have damaged images prepared anew.

    Args:
        outputs: Folder of the run.
        by_digest: Read every prepared image, rather than compare sizes.
    """
    if removed := remove_drafts(outputs):
        print(f"removed {len(removed)} unfinished files of a run that was killed")
    if count := drop_damaged(outputs / DATASET / "prepared", by_digest=by_digest):
        print(f"{count} prepared images are damaged: notebook 01 prepares them anew")


def with_absolute_data_root(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with data_root resolved from here, not from the folder where notebooks run."""
    root = values.get("data_root")
    return {**values, "data_root": str(Path(root).expanduser().resolve())} if root else {**values}
