"""Formats for prepared images: plain arrays, blosc2 or zarr, on 4096 x 3328 px of 16 bit.

Pictures are phantoms. "Cold" asks the system to forget the file before each window; where the disk
keeps a cache of its own, it stays warm.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing.store import save_array

from measures.timing import OURS, Row, rate, row

ROWS, COLS, SIZE, CHUNK = 4096, 3328, 256, 256
WINDOWS = 300
PLAIN, BLOSC2, ZARR = f"{OURS} plain array", "blosc2 chunks of 256 px", "zarr chunks of 256 px"
Grey = npt.NDArray[np.uint16]
Read = Callable[[int, int], Grey]


def measure() -> list[Row]:
    """Bytes on disk, write speed, windows a second and memory of each candidate."""
    settings = PhantomSettings(patients=1, rows=ROWS, cols=COLS, bits=16, seed=0)
    grey = draw_image(settings, plan_patient(settings, 0)[0], "MLO").pixels
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in _readers():
            rows += _measure_store(name, grey, Path(folder) / name.replace(" ", "_"))
    return rows


def _measure_store(name: str, grey: Grey, path: Path) -> list[Row]:
    start = time.perf_counter()
    WRITERS[name](path, grey)
    read = _readers()[name](path)
    written = grey.nbytes / 1e6 / (time.perf_counter() - start)
    size = sum(file.stat().st_size for file in _files(path))
    corners = _corners()
    first = corners[0]
    if not np.array_equal(read(*first), grey[first[0] :, first[1] :][:SIZE, :SIZE]):
        raise RuntimeError(f"{name} returns another image.")

    def warm() -> int:
        for row_min, col_min in corners:
            np.ascontiguousarray(read(row_min, col_min))
        return len(corners)

    def cold() -> int:
        for row_min, col_min in corners[:20]:
            _forget(path)
            np.ascontiguousarray(read(row_min, col_min))
        return 20

    # CPU time where nothing waits for the disk, and the clock where everything does.
    in_memory = rate(warm, repeats=5, clock=time.process_time)
    return [
        row("store: bytes on disk", name, size / grey.nbytes, "of the array"),
        row("store: writing", name, written, "MB/s"),
        row("store: random windows, warm", name, in_memory, "windows/s of CPU"),
        row("store: random windows, cold", name, rate(cold, repeats=1), "windows/s"),
        _memory(name, path),
    ]


def _memory(name: str, path: Path) -> Row:
    """Peak memory that reading windows adds, in a separate process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        added = pool.apply(_added_memory, (name, path))
    return row("store: memory", name, added / 1e6, "MB")


def _added_memory(name: str, path: Path) -> int:
    read, corners = _readers()[name](path), _corners()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the peak
    baseline = _peak_bytes()
    for row_min, col_min in corners:
        np.ascontiguousarray(read(row_min, col_min))
    return _peak_bytes() - baseline


def _peak_bytes() -> int:
    """Peak resident memory of this process, as Linux counts it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _corners() -> list[tuple[int, int]]:
    """Upper left corners (row, col) of the windows."""
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, ROWS - SIZE, WINDOWS), rng.integers(0, COLS - SIZE, WINDOWS)
    return list(zip(rows.tolist(), cols.tolist(), strict=True))


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _forget(path: Path) -> None:
    for file in _files(path):
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _write_blosc2(path: Path, grey: Grey) -> None:
    import blosc2

    blosc2.asarray(grey, urlpath=str(path), mode="w", chunks=(CHUNK, CHUNK))


def _write_zarr(path: Path, grey: Grey) -> None:
    import zarr

    array = zarr.create_array(str(path), shape=grey.shape, dtype=grey.dtype, chunks=(CHUNK, CHUNK))
    array[:] = grey


WRITERS: dict[str, Callable[[Path, Grey], object]] = {
    PLAIN: save_array,
    BLOSC2: _write_blosc2,
    ZARR: _write_zarr,
}


def _readers() -> dict[str, Callable[[Path], Read]]:
    """Name -> function that opens an image; each window opens the file again, as the store does."""

    def plain(path: Path) -> Read:
        def read(row_min: int, col_min: int) -> Grey:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            return np.array(mapped[row_min : row_min + SIZE, col_min : col_min + SIZE])

        return read

    readers = {PLAIN: plain}
    with suppress(ImportError):
        import blosc2
        import zarr

        readers[BLOSC2] = lambda path: (
            lambda top, left: blosc2.open(str(path), mode="r")[top : top + SIZE, left : left + SIZE]
        )
        readers[ZARR] = lambda path: (
            lambda top, left: zarr.open_array(str(path), mode="r")[
                top : top + SIZE, left : left + SIZE
            ]
        )
    return readers
