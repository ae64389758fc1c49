"""Work spread over processes of this machine, which nobody else can reach, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from second_look.errors import MissingDataError, OutputError

Item = TypeVar("Item")
Result = TypeVar("Result")
# A scheduler that does not answer within this time is not there.
_SCHEDULER_S = 10
# Workers that may die (out of memory, killed): their work goes to others.
_DEATHS = 20
# Libraries of a worker that would start a thread a core.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
TLS_FILES = ("ca.pem", "cert.pem", "key.pem")


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Attributes:
        processes: Local processes; 0: this one.
        scheduler: Address of a running Dask scheduler to use instead; "" for none.
        tls: Folder of TLS_FILES, for an address that begins with tls://; "" for none.
    """

    processes: int
    scheduler: str = ""
    tls: str = ""

    def results(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """The results for all items, as they come.

        Raises:
            OutputError: The scheduler does not answer, or too many workers died.
            MissingDataError: A file for TLS is not there.
        """
        if not items:
            return
        if self.scheduler:
            yield from _on_cluster(work, items, self.scheduler, self.tls)
        elif self.processes:
            yield from _in_processes(work, items, self.processes)
        else:
            yield from map(work, items)


def _in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Iterator[Result]:
    """Processes that are spoken to through pipes: there is no port for others to connect to."""
    pending = dict(enumerate(items))
    deaths = 0
    while pending:
        pool = ProcessPoolExecutor(
            min(processes, len(pending)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_end_with_parent,
        )
        try:
            with _one_thread():
                futures: dict[Future[Result], int] = {
                    pool.submit(work, item): number for number, item in pending.items()
                }
            for future in as_completed(futures):
                result = future.result()
                del pending[futures[future]]
                yield result
        except BrokenProcessPool:
            deaths += 1
            if deaths > _DEATHS:
                raise OutputError(
                    f"{deaths} worker processes died, usually because memory ran out. Set a "
                    "smaller number of workers; what is done stays done."
                ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """In a worker: do not outlive a process that was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Within the block, processes are started whose libraries use one thread each."""
    earlier = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in earlier.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _on_cluster(
    work: Callable[[Item], Result], items: Sequence[Item], scheduler: str, tls: str
) -> Iterator[Result]:
    # Dask is slow to import, and most calls find everything done.
    import dask
    from distributed import Client
    from distributed import as_completed as completed

    _warn_of_plain_connection(scheduler)
    with dask.config.set({"distributed.scheduler.allowed-failures": _DEATHS}):
        try:
            client = Client(scheduler, timeout=_SCHEDULER_S, security=_security(tls))
        except (OSError, ValueError) as error:
            raise OutputError(
                f"no Dask scheduler answers at {scheduler} ({error}). Start one with `dask "
                "scheduler`, or leave the address empty to work on this machine."
            ) from None
        with client:
            for future in completed(client.map(work, list(items), pure=False)):
                yield future.result()


def _warn_of_plain_connection(scheduler: str) -> None:
    address = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    if address.scheme != "tls" and address.hostname not in _THIS_MACHINE:
        warnings.warn(
            f"The scheduler {scheduler} is on another machine and is spoken to without "
            "encryption or key: whoever reaches it can run code as you there. Use tls:// with "
            "the parameter scheduler_tls, or an ssh tunnel.",
            stacklevel=2,
        )


def _security(folder: str) -> Any:  # noqa: ANN401
    """What Dask needs to know for TLS; None without a folder."""
    if not folder:
        return None
    from distributed.security import Security

    paths = [Path(folder).expanduser() / name for name in TLS_FILES]
    for path in paths:
        if not path.is_file():
            raise MissingDataError(
                "the file is not there.", path, f"scheduler_tls is a folder with {TLS_FILES}."
            )
    authority, certificate, key = map(str, paths)
    return Security(
        require_encryption=True,
        tls_ca_file=authority,
        tls_client_cert=certificate,
        tls_client_key=key,
    )
