"""What may happen to a command from outside: a signal to stop, a terminal or pipe that goes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, cast

# What helps where too few files may be open.
MORE_FILES = "Raise the limit of this shell (ulimit -n 4096), and run the same command again."
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """Which signal an interruption came from, its last argument; Ctrl-C where it does not say."""
    number = error.args[-1] if error.args else None
    return signal.Signals(number) if isinstance(number, int) else signal.SIGINT


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise KeyboardInterrupt once, with their number.

    They are the end of a job and a closed terminal. One that is ignored, as by nohup, stays so.
    """

    def stop(number: int, _frame: object) -> None:
        for ending in previous:  # the clean-up is not to be stopped in its turn
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    previous: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():  # elsewhere there are no signals
        for ending in _ENDINGS:
            if signal.getsignal(ending) not in (signal.SIG_IGN, None):
                previous[ending] = signal.signal(ending, stop)
    try:
        yield
    finally:
        for ending, handler in previous.items():
            signal.signal(ending, handler)


class _Steady:
    """A stream that drops what it cannot write: its reader has gone, or the disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        try:
            return self._stream.write(text)
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        try:
            self._stream.flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        """Let all further text, and what waits in the buffer, go nowhere."""
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream, name)


@contextmanager
def steady_output() -> Iterator[None]:
    """Within the block, printing never fails; what a closed or full stream refuses is lost."""
    for descriptor in range(3):  # a file that is opened later would get the number of a closed one
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # kernels get it too
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,  # for those that were closed
        redirect_stdout(cast(TextIO, _Steady(sys.stdout or nowhere))) as out,
        redirect_stderr(cast(TextIO, _Steady(sys.stderr or nowhere))),
    ):
        try:
            yield
        finally:
            out.flush()
