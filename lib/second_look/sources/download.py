"""Getting the public data sets: mini-MIAS over HTTP, CBIS-DDSM from the Imaging Data Commons.

Complete files are not fetched again, so that the same command continues an interrupted download.
Incomplete files are never where a reader looks for them.
"""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import idc_index_data
import pandas as pd
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from second_look.errors import DataError, MissingDataError, ParameterError
from second_look.files import sha256, write_text
from second_look.source_code import content_hash
from second_look.sources.fetching import RemoteFile, check_room, fetch_file, free_bytes, gigabytes
from second_look.sources.mias import read_mias
from second_look.sources.mias_files import ADDRESS

MIAS_ARCHIVE = "all-mias.tar.gz"
MIAS_IMAGES = 322
SPLITS = ("train", "test")
# The archive, and its content while it is checked.
_MIAS_BYTES = 600_000_000
# Info.txt and the 322 pictures pack to 112 MB.
_MOST_MIAS_BYTES = 200_000_000
# Of Info.txt and the pictures as they were published in 1995: `content_digest`. It is what protects
# a download, since the server has no checksum and is not asked over https.
MIAS_CONTENT = "4412b424e22b7a7db3ec4131fb35a656abeb64245ee51159c9a94a6e698e8dd7"
# Series of CBIS-DDSM that are fetched at a time, of 24 MB on average.
_BATCH = 16
_ATTEMPTS = 3
_CHUNK = 1 << 20
_NAMES = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID"]
_SPLIT_OF_PREFIX = {"Training": "train", "Test": "test"}


class Client(Protocol):
    """The part of `idc_index.IDCClient` that is used here."""

    def download_from_selection(
        self,
        downloadDir: str,  # noqa: N803
        *,
        seriesInstanceUID: list[str],  # noqa: N803
        quiet: bool,
        show_progress_bar: bool,
    ) -> object:
        """Fetch series into <downloadDir>/<collection>/<patient>/<study>/<modality>_<series>/."""


@dataclass(frozen=True)
class Selection:
    """A part of CBIS-DDSM.

    Attributes:
        split: Official split, train or test; "" for both.
        patients: How many, the first by their number; 0 for all.
    """

    split: str = ""
    patients: int = 0

    def __post_init__(self) -> None:
        if self.split not in ("", *SPLITS) or self.patients < 0:
            raise ParameterError(
                f"expected split train or test and at least one patient. Got {self.split!r} and "
                f"{self.patients}."
            )


def download_mias(
    folder: Path, *, address: str = ADDRESS, checksum: str = "", retries: int = 3
) -> Path:
    """Fetch the archive of mini-MIAS, unless it is there, and check it.

    There is no published checksum of the archive. So its content is checked the first time: 322
    readable images, each with its row in Info.txt, all of it as it was published (MIAS_CONTENT).
    Then the SHA-256 is written beside the archive (all-mias.tar.gz.sha256, for sha256sum -c), and
    later calls compare the archive with it.

    Args:
        folder: Where the archive goes.
        address: Of the archive.
        checksum: Of the archive where one is known, such as sha256:0123… or md5:0123….
        retries: After a broken connection, each after a longer pause.

    Returns:
        The archive, which `read_mias` reads.

    Raises:
        MissingDataError: The server cannot be reached.
        DataError: What came is not the archive that was expected; it is not kept.
        OutputError: There is not enough room.
    """
    archive = folder / MIAS_ARCHIVE
    record = folder / f"{MIAS_ARCHIVE}.sha256"
    recorded = _recorded(record)
    check_room(folder, _MIAS_BYTES)
    remote = RemoteFile(
        address,
        checksum or recorded,
        f"Try again; if the archive itself has changed, remove {record}.",
        _MOST_MIAS_BYTES,
    )
    came_now = fetch_file(archive, remote, retries=retries)
    if recorded and not checksum:
        return archive
    try:
        _check_mias(archive)
    except DataError:
        if came_now:
            archive.unlink()
        raise
    write_text(record, f"{sha256(archive)}  {MIAS_ARCHIVE}\n")
    return archive


def _recorded(record: Path) -> str:
    """The checksum that was written beside the archive, "" without one."""
    if not record.is_file():
        return ""
    digest = record.read_text(encoding="ascii", errors="replace").partition(" ")[0]
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise DataError("expected a SHA-256 checksum.", record, "Remove the file.")
    return f"sha256:{digest}"


def _check_mias(archive: Path) -> None:
    """The archive holds mini-MIAS, whole; its own checksum (gzip's CRC) is right."""
    try:
        with gzip.open(archive) as stream:
            while stream.read(_CHUNK):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"the archive is broken ({error}).", archive, f"Download it again from {ADDRESS}"
        ) from error
    with tempfile.TemporaryDirectory(prefix=".checking-", dir=archive.parent) as unpacked:
        catalogue = read_mias(archive, Path(unpacked))
        content = content_digest(next(Path(unpacked).rglob("Info.txt")).parent)
    quarantine = catalogue.quarantine
    lost = quarantine[quarantine["effect"].isin(["image left out", "lesion left out"])]
    if len(catalogue.images) != MIAS_IMAGES or len(lost):
        reason = f"; {lost['reason'].iloc[0]}" if len(lost) else ""
        raise DataError(
            f"expected {MIAS_IMAGES} images that can be used. Got {len(catalogue.images)}{reason}.",
            location=archive,
            remedy=f"Download it again from {ADDRESS}",
        )
    if content != MIAS_CONTENT:
        raise DataError(
            "Info.txt or pictures are not as they were published.",
            archive,
            f"Do not trust this archive; get {ADDRESS}",
        )


def content_digest(folder: Path) -> str:
    """Hex digest of Info.txt and the PGM files in a folder, by their names and contents."""
    paths = sorted([folder / "Info.txt", *folder.glob("*.pgm")])
    return content_hash(f"{path.name} {sha256(path)}".encode() for path in paths)


def cbis_series(selection: Selection) -> pd.DataFrame:
    """The selected series of CBIS-DDSM from the public index; nothing is fetched.

    The PatientID of the index names the official split (Mass-Training_P_00001_LEFT_CC); where it
    does not (P_00038_LEFT_CC.dcm, 396 series), the series is of the calcification test set.

    Returns:
        One row per series: series (its UID), patient, split, files, bytes, path (below the folder
        of the download), in the order of the patients.
    """
    index = pq.read_table(
        idc_index_data.IDC_INDEX_PARQUET_FILEPATH,
        columns=[*_NAMES, "Modality", "instanceCount", "series_size_MB"],
        filters=[("collection_id", "=", "cbis_ddsm")],
    ).to_pandas()
    index["name"] = index["Modality"] + "_" + index["SeriesInstanceUID"]
    names = index["PatientID"].str.extract(r"^(?:\w+-(?P<split>\w+)_)?(?P<patient>P_\d+)_")
    table = pd.DataFrame(
        {
            "series": index["SeriesInstanceUID"],
            "patient": names["patient"],
            "split": names["split"].map(_SPLIT_OF_PREFIX).fillna("test"),
            "files": index["instanceCount"].astype(int),
            # The index gives whole bytes, divided by a million.
            "bytes": (index["series_size_MB"] * 1e6).round().astype("int64"),
            "path": "cbis_ddsm/"
            + index["PatientID"].str.cat(index[["StudyInstanceUID", "name"]], sep="/"),
        }
    ).sort_values(["patient", "path"], ignore_index=True)
    if selection.split:
        table = table[table["split"] == selection.split]
    if selection.patients:
        patients = table["patient"].drop_duplicates()[: selection.patients]
        table = table[table["patient"].isin(patients)]
    return table.reset_index(drop=True)


def series_problem(folder: Path, files: int, size: int) -> str:
    """What is wrong with the files of a series, "" where they are whole by number and bytes."""
    sizes = [path.stat().st_size for path in folder.glob("*.dcm") if path.is_file()]
    if not sizes:
        return "it is not there"
    if len(sizes) != files:
        return f"expected {files} files. Got {len(sizes)}"
    if sum(sizes) != size:
        return f"expected {size:,} bytes. Got {sum(sizes):,}"
    return ""


def open_client() -> Client:
    """The client of the Imaging Data Commons; it needs no account.

    Raises:
        MissingDataError: The package idc-index, an extra of this one, is not installed.
    """
    try:
        # Only downloading needs it, and it brings a database and a program with it.
        from idc_index import IDCClient
    except ImportError as error:
        raise MissingDataError(
            f"downloading CBIS-DDSM needs the package idc-index ({error}).",
            remedy="Install it: pip install second-look[download]",
        ) from error
    client: Client = IDCClient()
    return client


def fetch_series(client: Client, uids: Sequence[str], folder: Path) -> None:
    """Fetch series of the Imaging Data Commons into the folder cbis_ddsm below a folder.

    The client reports a broken connection in its log at most: look at what came.
    """
    client.download_from_selection(
        str(folder), seriesInstanceUID=list(uids), quiet=True, show_progress_bar=False
    )


def download_cbis(
    folder: Path,
    selection: Selection,
    *,
    confirm: Callable[[str], bool],
    connect: Callable[[], Client] = open_client,
    pause_s: float = 5.0,
) -> int:
    """Fetch CBIS-DDSM, or a part of it, in the folders that its reader expects.

    A series is moved to its place only when number and bytes of its files are those of the index;
    until then it is in <folder>/.fetching. Complete series are not fetched again.

    Args:
        folder: Where cbis_ddsm/ goes.
        selection: What to fetch.
        confirm: Asked with the size before anything is fetched; False stops.
        connect: Opens the client, only once something is to be fetched.
        pause_s: Between two attempts, s.

    Returns:
        Series fetched; 0 where all is there or `confirm` said no.

    Raises:
        MissingDataError: The client is not installed, or the network does not answer.
        DataError: Some series came incomplete each time.
        OutputError: There is not enough room.
    """
    selected = cbis_series(selection)
    draft = folder / ".fetching"
    _move_complete(selected, draft, folder)
    missing = _incomplete(selected, folder)
    if missing.empty:
        return 0
    size = int(missing["bytes"].sum())
    check_room(folder, size)
    if not confirm(_offer(selected, missing, folder)):
        return 0
    client = connect()
    try:
        with tqdm(total=size, unit="B", unit_scale=True, desc="fetching CBIS-DDSM") as progress:
            for start in range(0, len(missing), _BATCH):
                batch = missing.iloc[start : start + _BATCH]
                _fetch_batch(client, batch, draft, folder, pause_s)
                progress.update(int(batch["bytes"].sum()))
    finally:
        _move_complete(missing, draft, folder)
        shutil.rmtree(draft, ignore_errors=True)
    return len(missing)


def _offer(selected: pd.DataFrame, missing: pd.DataFrame, folder: Path) -> str:
    """What is going to be fetched, in words."""
    present = selected["bytes"].sum() - missing["bytes"].sum()
    return (
        f"CBIS-DDSM: {selected['patient'].nunique():,} patients, {len(selected):,} series, "
        f"{selected['files'].sum():,} files, {gigabytes(selected['bytes'].sum())}. "
        f"{gigabytes(present)} of them are there; {gigabytes(missing['bytes'].sum())} go to "
        f"{folder}, which has {gigabytes(free_bytes(folder))} free."
    )


def _fetch_batch(
    client: Client, batch: pd.DataFrame, draft: Path, folder: Path, pause_s: float
) -> None:
    """Fetch some series and move them to their places; raise if some did not arrive."""
    reason = ""
    for attempt in range(_ATTEMPTS):
        remaining = _incomplete(batch, folder)
        if remaining.empty:
            return
        if attempt:
            time.sleep(pause_s * attempt)
        for path in remaining["path"]:
            shutil.rmtree(draft / path, ignore_errors=True)
        try:
            fetch_series(client, remaining["series"].tolist(), draft)
        except Exception as error:
            # The client and its libraries raise exceptions of all kinds, which are reported below.
            reason = f" ({type(error).__name__}: {error})"
        _move_complete(remaining, draft, folder)
    remaining = _incomplete(batch, folder)
    if remaining.empty:
        return
    first = remaining.iloc[0]
    problem = series_problem(draft / first["path"], first["files"], first["bytes"])
    check_room(folder, int(remaining["bytes"].sum()))
    again = "What has arrived is kept: run the same command again to continue."
    arrived = any((draft / path).is_dir() for path in remaining["path"])
    if len(remaining) == len(batch) and not arrived:
        raise MissingDataError(
            f"nothing arrived in {_ATTEMPTS} attempts{reason}.",
            location="Imaging Data Commons",
            remedy=f"Check the network. {again}",
        )
    raise DataError(
        f"{len(remaining)} series did not arrive whole in {_ATTEMPTS} attempts; the first: "
        f"{problem}{reason}.",
        location=first["series"],
        remedy=again,
    )


def _incomplete(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The rows whose series are missing or incomplete."""
    incomplete = [
        bool(series_problem(folder / row.path, row.files, row.bytes)) for row in table.itertuples()
    ]
    return table[incomplete]


def _move_complete(table: pd.DataFrame, draft: Path, folder: Path) -> None:
    """Move the series that arrived completely to their places."""
    for row in table.itertuples():
        if not series_problem(draft / row.path, row.files, row.bytes):
            target = folder / row.path
            # An incomplete series here was fetched by hand.
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            (draft / row.path).rename(target)
