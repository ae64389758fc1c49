"""Where prepared images may lie: plain arrays, blosc2 or zarr, on 4096 x 3328 px of 16 bit.

Pictures are phantoms. "Cold" asks the system to forget the file before each window; where the disk
keeps a cache of its own, it stays warm.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from second_look.sources.phantom import PhantomSettings, draw_image, plan_patient
from second_look.store import save_array

from measures.timing import OURS, Row, rate, row

ROWS, COLS, SIZE, CHUNK = 4096, 3328, 256, 256
Grey = npt.NDArray[np.uint16]
Read = Callable[[int, int], Grey]


def measure() -> list[Row]:
    """Bytes on disk, write speed and random windows a second of each candidate."""
    settings = PhantomSettings(patients=1, rows=ROWS, cols=COLS, bits=16)
    grey = draw_image(settings, plan_patient(settings, 0)[0], "MLO").pixels
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        candidates = {f"{OURS} plain array": _plain} | _peers()
        for who, make in candidates.items():
            rows += _measure_one(who, make, grey, Path(name) / who.replace(" ", "_"))
    return rows


def _measure_one(who: str, make: Callable[[Path, Grey], Read], grey: Grey, path: Path) -> list[Row]:
    start = time.perf_counter()
    read = make(path, grey)
    written = grey.nbytes / 1e6 / (time.perf_counter() - start)
    size = sum(file.stat().st_size for file in _files(path))
    rng = np.random.default_rng(0)
    corners = list(
        zip(rng.integers(0, ROWS - SIZE, 300), rng.integers(0, COLS - SIZE, 300), strict=True)
    )
    first = corners[0]
    if not np.array_equal(read(*first), grey[first[0] :, first[1] :][:SIZE, :SIZE]):
        raise RuntimeError(f"{who} gives back another picture.")

    def warm() -> int:
        for top, left in corners:
            np.ascontiguousarray(read(top, left))
        return len(corners)

    def cold() -> int:
        for top, left in corners[:20]:
            _forget(path)
            np.ascontiguousarray(read(top, left))
        return 20

    # By the CPU's time where nothing waits for the disk, and by the clock where all do.
    in_memory = rate(warm, repeats=5, clock=time.process_time)
    return [
        row("store: bytes on disk", who, size / grey.nbytes, "of the array"),
        row("store: writing", who, written, "MB/s"),
        row("store: random windows, warm", who, in_memory, "windows/s of CPU"),
        row("store: random windows, cold", who, rate(cold, repeats=1), "windows/s"),
    ]


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


def _plain(path: Path, grey: Grey) -> Read:
    save_array(path, grey)

    def read(top: int, left: int) -> Grey:
        # Mapped anew for each window, as the store does.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return np.array(mapped[top : top + SIZE, left : left + SIZE])

    return read


def _peers() -> dict[str, Any]:
    try:
        import blosc2
        import zarr
    except ImportError:
        return {}

    def with_blosc2(path: Path, grey: Grey) -> Read:
        blosc2.asarray(grey, urlpath=str(path), mode="w", chunks=(CHUNK, CHUNK))
        return lambda top, left: blosc2.open(str(path), mode="r")[
            top : top + SIZE, left : left + SIZE
        ]

    def with_zarr(path: Path, grey: Grey) -> Read:
        array = zarr.create_array(
            str(path), shape=grey.shape, dtype=grey.dtype, chunks=(CHUNK, CHUNK)
        )
        array[:] = grey
        return lambda top, left: zarr.open_array(str(path), mode="r")[
            top : top + SIZE, left : left + SIZE
        ]

    return {"blosc2 chunks of 256 px": with_blosc2, "zarr chunks of 256 px": with_zarr}
