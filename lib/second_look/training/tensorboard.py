"""A TensorBoard log beside a training, where the user asks for one; it decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from second_look.errors import SecondLookError

# Environment variable with the folder of the logs; unset or empty: none is written.
VARIABLE = "SECOND_LOOK_TENSORBOARD"


class TensorBoardError(SecondLookError):
    """A log was asked for that cannot be written; the message says what to do."""


def open_log(environ: Mapping[str, str], name: str, step: int) -> Any:  # noqa: ANN401
    """A writer of TensorBoard's, or None where the environment does not ask for one.

    Args:
        environ: Of the process.
        name: Of the training: its folder in the folder of the logs.
        step: Where the training goes on: what an interrupted one has logged beyond it is hidden.

    Raises:
        TensorBoardError: The package tensorboard is not installed, or the folder not writable.
    """
    folder = environ.get(VARIABLE, "")
    if not folder:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TensorBoardError(
            f"{VARIABLE} asks for a TensorBoard log, but tensorboard is not installed: "
            f"`python -m pip install tensorboard`, or unset {VARIABLE}."
        ) from error
    try:
        return SummaryWriter(Path(folder).expanduser() / name, purge_step=step)
    except OSError as error:
        raise TensorBoardError(
            f"{folder}: the TensorBoard log cannot be written ({error.strerror}). Set {VARIABLE} "
            "to another folder, or unset it."
        ) from error
