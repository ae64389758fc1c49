"""Preparing images: each mammogram is decoded once and kept in the store.

An image is cropped to the breast, turned so that the chest wall is at the left, kept at its own
bit depth as a plain array on disk (a window is read without decoding the rest), beside a map of
what lies where. Dask spreads the work over processes or a cluster; an image is written whole or
not at all, and one that is done is not done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from second_look.catalogue import Catalogue, table
from second_look.errors import DataError, LostRowsError, OutputError
from second_look.files import read_object, write_json
from second_look.preparing.depths import with_depths
from second_look.preparing.fingerprints import from_text
from second_look.preparing.image import Job, PrepareSettings, prepare_image
from second_look.preparing.store import Prepared, sizes_agree
from second_look.quarantine import QUARANTINE, Code
from second_look.source_code import code_digest, content_hash

# A scheduler that does not answer within this time is not there.
_SCHEDULER_S = 10


def prepare(
    catalogue: Catalogue,
    folder: Path,
    settings: PrepareSettings | None = None,
    *,
    workers: int,
    scheduler: str = "",
    strict: bool = False,
) -> Prepared:
    """Prepare all images of a catalogue; those that are up to date stay as they are.

    Args:
        catalogue: What to prepare.
        folder: Where to; a cluster's workers must see it under the same name.
        settings: How.
        workers: Local processes; 0 does the work in this one.
        scheduler: Address of a running Dask scheduler to use instead.
        strict: Raise at the first thing that goes to the quarantine.

    Raises:
        DataError: With strict, or where an image has no pixel size but settings ask for one.
        OutputError: The folder cannot be written, or the disk is full.
    """
    folder = folder.resolve()
    settings = settings or PrepareSettings()
    jobs = list(_jobs(catalogue, folder, settings))
    pending = [job for job in jobs if _record(job) is None]
    # The folder is tried before the workers are started: one clear error instead of many.
    write_json(folder / "settings.json", asdict(settings))
    progress = tqdm(total=len(jobs), initial=len(jobs) - len(pending), unit="image")
    with progress:
        progress.set_description("preparing images")
        for _ in _run(pending, workers, scheduler):
            progress.update()
    return _collect(folder, jobs, strict=strict)


def _jobs(catalogue: Catalogue, folder: Path, settings: PrepareSettings) -> Iterator[Job]:
    unknown = catalogue.images.loc[catalogue.images["pixel_spacing_mm"].isna(), "image_id"]
    if settings.spacing_mm is not None and len(unknown):
        raise DataError(
            f"{len(unknown)} images have no pixel size, such as {unknown.iloc[0]}.",
            "table images",
            "Give pixel_size_mm, or leave spacing_mm at 0.",
        )
    code = code_digest([prepare_image])
    # What a prepared image does not depend on must not make it out of date.
    images = catalogue.images.drop(columns=["split", "label", "density", "patient_id"])
    lesions_of = dict(tuple(catalogue.lesions.groupby("image_id")))
    none = catalogue.lesions.iloc[:0]
    for image in images.to_dict("records"):
        lesions = lesions_of.get(image["image_id"], none).to_dict("records")
        paths = [image["path"], *(lesion["mask_path"] for lesion in lesions)]
        texts = [repr(image), repr(lesions), repr(settings), code, _states(paths)]
        key = content_hash(text.encode() for text in texts)
        yield Job(image, lesions, folder, settings, key)


def _states(paths: Sequence[str]) -> str:
    """Size and time of change of each file, as text."""
    states = []
    for path in dict.fromkeys(filter(None, paths)):
        try:
            state = Path(path).stat()
        except OSError:
            states.append(f"{path} gone")
        else:
            states.append(f"{path} {state.st_size} {state.st_mtime_ns}")
    return "\n".join(states)


def _run(jobs: list[Job], workers: int, scheduler: str) -> Iterator[None]:
    """Do the jobs, here or on Dask; yields once a finished job."""
    if not jobs:
        return
    if workers == 0 and not scheduler:
        for job in jobs:
            prepare_image(job)
            yield
        return
    # Dask is slow to import, and most calls find everything done.
    import dask
    from distributed import as_completed

    # A worker that dies (out of memory, killed) takes no image along: its jobs go to another.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 20}),
        _client(workers, scheduler) as client,
    ):
        futures = client.map(prepare_image, jobs, pure=False)
        for future in as_completed(futures):
            future.result()
            yield


@contextmanager
def _client(workers: int, scheduler: str) -> Iterator[Any]:
    """A client of the running scheduler, or of one started here for the length of the block."""
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=_SCHEDULER_S)
        except (OSError, ValueError) as error:
            raise OutputError(
                f"no Dask scheduler answers at {scheduler} ({error}). Start one with `dask "
                "scheduler`, or leave the address empty to work on this machine."
            ) from None
        with client:
            yield client
        return
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )
    with cluster, Client(cluster) as client:
        yield client


def _record(job: Job) -> dict[str, Any] | None:
    """The record of an image that is done and up to date."""
    record = read_object(job.record)
    if record.get("key") != job.key or not isinstance(record.get("quarantine"), list):
        return None
    complete = "image" not in record or sizes_agree(job.folder, record.get("files"))
    return record if complete else None


def _check_negatives(jobs: Sequence[Job], quarantine: Sequence[Mapping[str, str]]) -> None:
    """Single negatives are left out; a data set of them is read wrongly.

    Raises:
        LostRowsError: At least half of the pictures of a data set look like negatives.
    """
    for dataset, count in Counter(str(job.image["dataset"]) for job in jobs).items():
        rows = [row for row in quarantine if row["dataset"] == dataset]
        negatives = [row for row in rows if row["code"] == Code.NEGATIVE]
        if 2 * len(negatives) >= count:
            raise LostRowsError(
                f"{len(negatives)} of {count} pictures look like negatives, such as "
                f"{negatives[0]['file']}: {negatives[0]['reason']}.",
                f"data set {dataset}",
                "Set photometric to MONOCHROME1 (a parameter of notebook 01, or a column of the "
                "table), or correct the files.",
                quarantine,
            )


def _collect(folder: Path, jobs: Sequence[Job], *, strict: bool) -> Prepared:
    """The records of all images as tables."""
    images, lesions, quarantine, fingerprints = [], [], [], []
    datasets, files = [], []
    for job in jobs:
        record = _record(job)
        if record is None:
            raise OutputError(
                f"{folder}: the record of {job.image_id} was changed or removed during the run. "
                "Run again."
            )
        quarantine += record["quarantine"]
        if "image" in record:
            images.append(record["image"])
            datasets.append(str(job.image["dataset"]))
            files.append(str(job.image["path"]))
            fingerprints.append(from_text(record["fingerprint"]))
            lesions += [{"image_id": job.image_id} | lesion for lesion in record["lesions"]]
    _check_negatives(jobs, quarantine)
    if not images:
        raise DataError("no image could be prepared.", folder, "The quarantine says why.")
    image_table, remarks = with_depths(pd.DataFrame(images), datasets, files)
    quarantine += remarks
    if strict and quarantine:
        first = quarantine[0]
        raise DataError(
            f"{first['reason']} ({len(quarantine)} such items)",
            location=f"{first['file']} {first['lesion_id']}".strip(),
            remedy="Correct it, or run without strict.",
        )
    shares = ["area_px", "share_of_image", "share_of_breast", "inside_breast"]
    lesion_table = pd.DataFrame(lesions, columns=["lesion_id", "image_id", "code", *shares])
    lesion_table = lesion_table.astype(dict.fromkeys(shares, float) | {"code": int})
    image_table = image_table.astype({"pixel_spacing_mm": float})
    stack = np.stack(fingerprints)
    prepared = Prepared(folder, image_table, lesion_table, table(QUARANTINE, quarantine), stack)
    prepared.save()
    return prepared
