"""Every DICOM file below a folder, whatever the folders are called: one row of its header each.

Downloads of one data set differ in folder and file names from tool to tool, but not in their
headers. So files are known by their content, joined by SeriesInstanceUID, and read only once: the
index is kept, and a later call reads the headers of new and changed files only.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pydicom
from tqdm.auto import tqdm

from second_look.decoding.pixels import read_header
from second_look.errors import DataError, MissingDataError
from second_look.files import write_parquet
from second_look.quarantine import Code, Quarantine

_TEXT = {
    "series_uid": "SeriesInstanceUID",
    "sop_uid": "SOPInstanceUID",
    "patient_id": "PatientID",
    "description": "SeriesDescription",
}
_NUMBERS = {
    "rows": "Rows",
    "cols": "Columns",
    "bits_stored": "BitsStored",
    "bits_allocated": "BitsAllocated",
}
_NEEDED = ("series_uid", "sop_uid", *_NUMBERS)
COLUMNS = ("path", "size", "mtime_ns", *_TEXT, *_NUMBERS, "problem")
# Syntaxes that store the pixels as they are, so that their bytes can be counted.
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
# The number changes with the meaning of the columns, so that no older index is taken for a new one.
_INDEX_NAME = "dicom-index-1-"
# Headers of CBIS-DDSM take 1 to 2 KB; a longer one is read from the file itself.
_FIRST_BYTES = 16_384
_BATCH = 256
_PICTURES = (".jpg", ".jpeg", ".png")


def index_files(root: Path, cache: Path, *, workers: int = 8) -> pd.DataFrame:
    """The headers of all DICOM files below a folder; pixels are not read.

    A file is DICOM if it says so at byte 128, whatever its name. Others are left alone; their
    number is in `attrs["ignored"]` of the result.

    Args:
        root: Folder to look through; links to other folders are followed.
        cache: Folder where the index is kept for the next call.
        workers: Threads that fetch the first bytes of files, at least one. More of them help
            where a file is slow to open; headers are parsed in one thread at 3,000 a second.

    Returns:
        One row per file, sorted by path: path (relative to root, with "/"), size (bytes), mtime_ns,
        series_uid, sop_uid, patient_id (the DICOM one: CBIS-DDSM has another in every view),
        description, rows, cols (px), bits_stored, bits_allocated, problem ("", or why the file
        cannot be used; numbers that are not known are 0).

    Raises:
        MissingDataError: The folder is not there.
    """
    root = root.resolve()
    if not root.is_dir():
        raise MissingDataError("there is no such folder.", root, "Set data_root; see README.md.")
    mark = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    index_path = cache / f"{_INDEX_NAME}{mark}.parquet"
    indexed = _load(index_path)
    rows: dict[str, dict[str, Any]] = {}
    pending: list[dict[str, Any]] = []
    for row in _files(root):
        old = indexed.get(row["path"])
        # Files with a problem are tried again: changing their rights leaves size and time alone.
        if old and not old["problem"] and all(old[name] == row[name] for name in row):
            rows[row["path"]] = old
        else:
            pending.append(row)
    for row in _read_all(root, pending, workers):
        rows[row["path"]] = row
    frame = _frame(rows[path] for path in sorted(rows))
    if pending or len(indexed) != len(rows):
        write_parquet(index_path, frame)
    index = frame[frame["dicom"]].drop(columns="dicom").reset_index(drop=True)
    index.attrs["ignored"] = int((~frame["dicom"]).sum())
    return index


def index_pictures(root: Path, series: Collection[str]) -> pd.DataFrame:
    """The headers of pictures in folders that are called by a SeriesInstanceUID.

    So Kaggle's copy of CBIS-DDSM is laid out: `jpeg/<SeriesInstanceUID>/1-263.jpg`.

    Args:
        root: Folder to look through.
        series: The SeriesInstanceUIDs that count.

    Returns:
        The columns of `index_files`; sop_uid is the path.
    """
    root = root.resolve()
    rows: list[dict[str, Any]] = []
    for entry in walk_files(root):
        path = Path(entry.path)
        if path.parent.name not in series or path.suffix.lower() not in _PICTURES:
            continue
        name = path.relative_to(root).as_posix()
        row: dict[str, Any] = {"path": name, "sop_uid": name, "series_uid": path.parent.name}
        try:
            header = read_header(path)
        except DataError as error:
            rows.append(row | {"problem": error.problem})
            continue
        size = {"rows": header.rows, "cols": header.cols, "bits_stored": header.bits}
        rows.append(row | size | {"dicom": False})
    return _frame(sorted(rows, key=lambda row: str(row["path"]))).drop(columns="dicom")


def walk_files(root: Path) -> Iterator[os.DirEntry[str]]:
    """Every file below a folder; linked folders are entered too, none of them twice."""
    waiting, entered = [str(root)], set()
    while waiting:
        folder = waiting.pop()
        try:
            state = Path(folder).stat()
            if (state.st_dev, state.st_ino) in entered:
                continue
            entered.add((state.st_dev, state.st_ino))
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir():
                        waiting.append(entry.path)
                    else:
                        yield entry
        except FileNotFoundError:  # removed while we look: as if it had never been there
            continue
        except PermissionError:
            raise DataError("the folder may not be read.", folder, "Change its rights.") from None


def _files(root: Path) -> Iterator[dict[str, Any]]:
    """path, size and mtime_ns of every file that may be DICOM."""
    for entry in walk_files(root):
        # The Finder leaves a ._ file beside each file on foreign disks, with the same ending.
        if entry.name.startswith(("._", _INDEX_NAME, f".{_INDEX_NAME}")):
            continue
        name = Path(entry.path).relative_to(root).as_posix()
        path = name.encode(errors="replace").decode()
        try:
            state = entry.stat()
        except OSError:
            yield {"path": path, "size": 0, "mtime_ns": 0}  # reading it says what is wrong
            continue
        if stat.S_ISREG(state.st_mode):  # a pipe would keep us waiting
            yield {"path": path, "size": state.st_size, "mtime_ns": state.st_mtime_ns}


def _read_all(root: Path, pending: list[dict[str, Any]], workers: int) -> Iterator[dict[str, Any]]:
    """The rows with what their headers say."""
    if not pending:
        return
    progress = tqdm(total=len(pending), unit="file", desc="reading headers")
    with progress, ThreadPoolExecutor(max(1, workers)) as pool, warnings.catch_warnings():
        # Odd values warn by the thousand; what matters of them is in `problem`.
        warnings.simplefilter("ignore")
        for start in range(0, len(pending), _BATCH):
            batch = pending[start : start + _BATCH]
            paths = [root / row["path"] for row in batch]
            for row, path, first in zip(batch, paths, pool.map(_first_bytes, paths), strict=True):
                yield row | _row_of(path, first, row["size"])
            progress.update(len(batch))


def _first_bytes(path: Path) -> bytes | str:
    """The start of a file, or why it cannot be had."""
    try:
        with path.open("rb") as stream:
            return stream.read(_FIRST_BYTES)
    except FileNotFoundError:
        return "the file is gone, is a link to nowhere, or its name is not UTF-8"
    except OSError as error:
        return f"the file cannot be opened ({error.strerror})"


def _row_of(path: Path, first: bytes | str, size: int) -> dict[str, Any]:
    """What the header of a file says; `dicom` is whether the file belongs to the index."""
    if isinstance(first, str):
        return _problem(first)
    if first[128:132] != b"DICM":
        if path.suffix.lower() == ".dcm":
            return _problem("the name says DICOM, the content does not: download it again")
        return {"dicom": False}
    try:
        try:
            return _header(io.BytesIO(first), size)
        except Exception:
            # Longer than the first bytes, or broken: the whole file shows which.
            with path.open("rb") as stream:
                return _header(stream, size)
    except Exception as error:
        # pydicom raises exceptions of all kinds for broken files, struct.error to IndexError.
        return _problem(f"the header cannot be read ({type(error).__name__}: {error})")


def _header(stream: BinaryIO, size: int) -> dict[str, Any]:
    """The tags of a header, and whether a file of that size (bytes) can hold the pixels.

    Raises:
        ValueError: Some tags are not there; pydicom raises much else.
    """
    tags = [*_TEXT.values(), *_NUMBERS.values(), "SamplesPerPixel"]
    data = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=tags)
    row: dict[str, Any] = {name: str(data.get(tag) or "").strip() for name, tag in _TEXT.items()}
    row |= {name: int(data.get(tag) or 0) for name, tag in _NUMBERS.items()}
    missing = [_TEXT.get(name) or _NUMBERS[name] for name in _NEEDED if not row[name]]
    if missing:
        raise ValueError(f"without {', '.join(missing)}")
    samples = int(data.get("SamplesPerPixel") or 1)
    # The stream is at the tag of the pixels, which takes 8 or 12 bytes.
    expected = stream.tell() + 8 + samples * row["rows"] * row["cols"] * row["bits_allocated"] // 8
    problem = ""
    if str(data.file_meta.get("TransferSyntaxUID", "")) in _NATIVE and size < expected:
        problem = f"truncated: expected {expected} bytes or more. Got {size}"
    return row | {"dicom": True, "problem": problem}


def _problem(text: str) -> dict[str, Any]:
    return {"dicom": True, "problem": text}


def _load(index_path: Path) -> dict[str, dict[str, Any]]:
    """The rows of an earlier call by path; {} without a usable index."""
    try:
        frame = pd.read_parquet(index_path)
        return {row["path"]: row for row in frame[["dicom", *COLUMNS]].to_dict("records")}
    except (OSError, ValueError, KeyError):
        return {}


def _frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with every column, its absent cells filled in."""
    blank: dict[str, Any] = dict.fromkeys([*_TEXT, "problem"], "")
    blank |= dict.fromkeys(["size", "mtime_ns", *_NUMBERS], 0) | {"dicom": False}
    frame = pd.DataFrame([blank | dict(row) for row in rows], columns=["dicom", *COLUMNS])
    text = dict.fromkeys(["path", *_TEXT, "problem"], str)
    numbers = dict.fromkeys(["size", "mtime_ns", *_NUMBERS], "int64")
    return frame.astype({"dicom": bool} | text | numbers)


def index_copy(quarantine: Quarantine, root: Path, descriptions: pd.DataFrame) -> pd.DataFrame:
    """The index of a copy as JPEG or PNG, whose bits are said in the quarantine.

    Args:
        quarantine: Gets a row if there is such a copy.
        root: Folder of the data set.
        descriptions: Rows of the four CSVs.

    Returns:
        As `index_pictures`.
    """
    columns = ["image_series", "crop_series", "mask_series"]
    index = index_pictures(root, set(descriptions[columns].to_numpy().ravel()) - {""})
    if len(index):
        bits = sorted(set(index["bits_stored"]) - {0})
        quarantine.add(
            Code.FILE_OF_ANOTHER_FORMAT,
            f"{len(index)} files are pictures of {' and '.join(map(str, bits))} bits, where "
            "CBIS-DDSM is published as DICOM of 16: fine contrast is lost. Masks in JPEG are cut "
            "at half level",
            effect="kept, corrected",
            file=root,
        )
    return index
