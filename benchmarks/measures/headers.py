"""The index of CBIS-DDSM's headers: files a second, and the time for all 10,239."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from second_look.phantoms.dicom import FULL, CbisFile, path_in_layout, uid_of, write_dicom
from second_look.sources.cbis_index import index_files

from measures.timing import OURS, Row, row

FILES, ALL_FILES = 1500, 10_239


def measure() -> list[Row]:
    """Speed of a first index, and of a second one, when no file has changed."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "raw"
        grey = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
        for number in range(FILES):
            file = _file(number)
            write_dicom(root / path_in_layout(file, "nbia"), file, grey)
        seconds, cpu = [], []
        for _ in range(2):
            start, busy = time.perf_counter(), time.process_time()
            index = index_files(root, Path(name) / "cache")
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - busy)
    if len(index) != FILES or (index["problem"] != "").any():
        raise RuntimeError(f"{len(index)} of {FILES} headers were read.")
    factor = ALL_FILES / FILES
    return [
        row("index of headers", f"{OURS}, first time", FILES / seconds[0], "files/s"),
        row("index of headers", f"{OURS}, nothing changed", FILES / seconds[1], "files/s"),
        row(
            "index of all 10,239, extrapolated", f"{OURS}, first time", cpu[0] * factor, "s of CPU"
        ),
    ]


def _file(number: int) -> CbisFile:
    subject = f"Mass-Training_P_{number:05d}_LEFT_CC"
    return CbisFile(
        subject=subject,
        study_uid=uid_of(subject, "study"),
        series_uid=uid_of(subject, "series"),
        sop_uid=uid_of(subject, "sop"),
        description=FULL,
        patient_id=subject,
        listed_description=FULL,
        listed_patient=subject,
        study_date="20160720",
        number=0,
    )
