"""Preparing raw CBIS-DDSM: speed with one and two processes, memory, and the cost of decoding.

Phantoms of 4096 x 3328 px as native 16-bit DICOM. The time for all 3,032 mammograms is extrapolated
by their number of pixels: 3107 x 5247 px on average (from the public index and headers). The gain
of two processes in CPU time is the one they would have with a core each.
"""

from __future__ import annotations

import importlib
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from distributed import Client, LocalCluster
from second_look.catalogue import Catalogue
from second_look.decoding.pixels import read_pixels
from second_look.phantoms.cbis import write_cbis_layout
from second_look.phantoms.phantom import PhantomSettings
from second_look.preparing.prepare import prepare
from second_look.sources.cbis_ddsm import read_cbis

from measures.timing import OURS, Row, row, side_by_side

ROWS, COLS, PATIENTS = 4096, 3328, 4
ALL_IMAGES, MEAN_PIXELS = 3032, 3107 * 5247


@dataclass
class Peak:
    """Largest memory of a child process, MB."""

    megabytes: float = 0.0


def measure() -> list[Row]:
    """Images per second with running processes, their memory; decoding and reading plain bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = PhantomSettings(patients=PATIENTS, rows=ROWS, cols=COLS, seed=2)
        write_cbis_layout(folder / "raw", settings)
        catalogue = read_cbis(folder / "raw", folder / "cache")
        return _decoding(catalogue) + _preparing(catalogue, folder)


def _decoding(catalogue: Catalogue) -> list[Row]:
    paths = [Path(path) for path in catalogue.images["path"]]

    def decode() -> int:
        for path in paths:
            read_pixels(path)
        return len(paths)

    def read_bytes() -> int:
        for path in paths:
            np.fromfile(path, np.uint16)
        return len(paths)

    candidates = {f"{OURS} read_pixels": decode, "numpy fromfile of the bytes": read_bytes}
    return side_by_side("native DICOM, warm", "images/s of CPU", candidates)


def _preparing(catalogue: Catalogue, folder: Path) -> list[Row]:
    """Images per second by the clock, and CPU time per image, which other work does not affect."""
    rows, speeds, costs = [], {}, {}
    count = len(catalogue.images)
    for workers in (1, 2):
        with _running_workers(workers) as client, _peak_memory_of_children() as peak:
            start, busy = time.perf_counter(), _cpu_seconds(client)
            address = client.scheduler.address
            prepare(catalogue, folder / f"prepared{workers}", scheduler=address)
            speeds[workers] = count / (time.perf_counter() - start)
            costs[workers] = (_cpu_seconds(client) - busy) / count
        name = f"{OURS} with {workers} process{'es' if workers > 1 else ''}"
        speed, cost = speeds[workers], costs[workers]
        rows += [
            row("preparing", name, speed, "images/s", speed / speeds[1]),
            row("preparing: CPU an image", name, cost, "s", workers * costs[1] / cost),
            row("preparing: memory of a process", name, peak.megabytes, "MB"),
        ]
    rows.append(_control())
    hours = ALL_IMAGES * MEAN_PIXELS / (ROWS * COLS) * costs[2] / 3600
    measure_name = f"preparing all {ALL_IMAGES} images, extrapolated by pixels"
    rows.append(row(measure_name, f"{OURS} with 2 processes", hours, "hours of CPU"))
    return rows


def _cpu_seconds(client: Client) -> float:
    """CPU time that the workers have used so far."""
    return sum(client.run(time.process_time).values())


def _control() -> Row:
    """Gain of two processes that share nothing: the limit of this machine."""
    seconds = {}
    for workers in (1, 2):
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            pool.map(_count_up, [1000] * workers)
            start = time.perf_counter()
            pool.map(_count_up, [6_000_000] * 2, chunksize=1)
            seconds[workers] = time.perf_counter() - start
    gain = seconds[1] / seconds[2]
    return row("control: 2 processes that share nothing", "python loop", gain, "times one")


def _count_up(count: int) -> int:
    return sum(number * number % 7 for number in range(count))


@contextmanager
def _running_workers(count: int) -> Iterator[Client]:
    """A client of workers that have started and imported what they need."""
    with (
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(importlib.import_module, "second_look.preparing.prepare")
        yield client


@contextmanager
def _peak_memory_of_children() -> Iterator[Peak]:
    """Sample the memory of the child processes ten times per second."""
    peak, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            for child in psutil.Process().children(recursive=True):
                try:
                    peak.megabytes = max(peak.megabytes, child.memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
