"""Preparing images: each mammogram is decoded once and kept in the store.

An image is cropped to the breast, turned so that the chest wall is at the left, kept at its own
bit depth as a plain array on disk (a window is read without decoding the rest), beside a map of
what lies where. The work is spread over processes, or over a cluster with Dask; an image is written
whole or not at all, and one that is done is not done again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm.auto import tqdm

from second_look.catalogue import PHOTOMETRIC, Catalogue, table
from second_look.errors import DataError, LostRowsError, OutputError
from second_look.files import read_object, write_json
from second_look.preparing.depths import found_depths, with_depths
from second_look.preparing.fingerprints import SIDE, from_text
from second_look.preparing.image import Job, PrepareSettings, prepare_image, stored_brightness
from second_look.preparing.store import Prepared, sizes_agree
from second_look.preparing.workers import Workers
from second_look.quarantine import QUARANTINE, Code
from second_look.source_code import code_digest, content_hash

# More boxes than this share, and more than one, beside the breast: the others lie in wrong places
# too. A single one may be a slip, or a breast mask that is too narrow.
_OFF_BREAST = 0.1
# Of the store. No image can be called like it: the files of images have other endings.
SETTINGS = "settings.txt"


def prepare(
    catalogue: Catalogue,
    folder: Path,
    settings: PrepareSettings | None = None,
    *,
    workers: int,
    scheduler: str = "",
    scheduler_tls: str = "",
    strict: bool = False,
) -> Prepared:
    """Prepare all images of a catalogue; those that are up to date stay as they are.

    Args:
        catalogue: What to prepare.
        folder: Where to; a cluster's workers must see it under the same name.
        settings: How.
        workers: Local processes; 0 does the work in this one.
        scheduler: Address of a running Dask scheduler to use instead.
        scheduler_tls: Folder with the files of `workers.TLS_FILES`, for such an address.
        strict: Raise at the first thing that goes to the quarantine.

    Raises:
        DataError: With strict, or where an image has no pixel size but settings ask for one.
        OutputError: The folder cannot be written, or the disk is full.
    """
    folder = folder.resolve()
    settings = settings or PrepareSettings()
    team = Workers(workers, scheduler, scheduler_tls)
    catalogue, remarks = _with_depths_of_negatives(catalogue, team)
    jobs = list(_jobs(catalogue, folder, settings))
    records: dict[str, dict[str, Any]] = {}
    fingerprints = np.zeros((len(jobs), SIDE, SIDE), dtype=np.uint8)
    pending = _read_records(jobs, records, fingerprints)
    # The folder is tried before the workers are started: one clear error instead of many.
    write_json(folder / SETTINGS, asdict(settings))
    progress = tqdm(total=len(jobs), initial=len(jobs) - len(pending), unit="image")
    with progress:
        progress.set_description("preparing images")
        for _ in team.results(prepare_image, pending):
            progress.update()
    if lost := _read_records(jobs, records, fingerprints):
        raise OutputError(
            f"{folder}: the record of {lost[0].image_id} was changed or removed during the run. "
            "Run again."
        )
    return _collect(folder, jobs, records, fingerprints, remarks, strict=strict)


def _with_depths_of_negatives(
    catalogue: Catalogue, team: Workers
) -> tuple[Catalogue, list[dict[str, str]]]:
    """Give a depth to negatives that do not say theirs; rows for the quarantine.

    They are turned round about the largest level of their depth, which has to be known before. It
    is found as for all others, from the levels of all images of the set that do not say.
    """
    images = catalogue.images
    silent = images["bits"] == 0
    negative = images[silent & (images["photometric"] == PHOTOMETRIC[0])]
    if negative.empty:
        return catalogue, []
    part = images[silent & images["dataset"].isin(set(negative["dataset"]))]
    paths = list(dict.fromkeys(part["path"]))
    brightest = dict(team.results(stored_brightness, paths))
    part = part[part["path"].map(brightest) > 0]  # the others cannot be read, as is said later
    bits, rows = found_depths(
        [0] * len(part),
        part["path"].map(brightest).tolist(),
        part["dataset"].tolist(),
        part["path"].tolist(),
    )
    depths = images["image_id"].map(dict(zip(part["image_id"], bits, strict=True)))
    depths = depths.fillna(images["bits"]).astype(int)
    return replace(catalogue, images=images.assign(bits=depths)), rows


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
    lesions_of: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for lesion in catalogue.lesions.to_dict("records"):
        lesions_of[lesion["image_id"]].append(lesion)
    for image in images.to_dict("records"):
        lesions = lesions_of.get(image["image_id"], [])
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


def _record(job: Job) -> dict[str, Any] | None:
    """The record of an image that is done and up to date."""
    record = read_object(job.record)
    if record.get("key") != job.key or not isinstance(record.get("quarantine"), list):
        return None
    forms = {"image": dict, "lesions": list, "fingerprint": str}
    if not all(isinstance(record.get(name, form()), form) for name, form in forms.items()):
        return None
    complete = "image" not in record or sizes_agree(job.folder, record.get("files"))
    return record if complete else None


def _read_records(
    jobs: Sequence[Job], records: dict[str, dict[str, Any]], fingerprints: npt.NDArray[np.uint8]
) -> list[Job]:
    """Read the records of images that are done, each once; returns the jobs that are not done.

    Fingerprints go to the place of their job at once: as text or apart they would need the memory
    twice, some GB for 100,000 images.
    """
    pending = []
    for number, job in enumerate(jobs):
        if job.image_id in records:
            continue
        record = _record(job)
        if record is None:
            pending.append(job)
            continue
        if "image" in record:
            fingerprints[number] = from_text(record.pop("fingerprint"))
        records[job.image_id] = record
    return pending


def _check_levels(jobs: Sequence[Job], quarantine: Sequence[Mapping[str, str]]) -> None:
    """Single pictures with impossible levels are left out; a data set of them is read wrongly.

    Raises:
        LostRowsError: At least half of the pictures of a data set look like negatives, or have
            levels beyond their bits.
    """
    setting = "(a parameter of notebook 01, or a column of the table)"
    for dataset, count in Counter(str(job.image["dataset"]) for job in jobs).items():
        rows = [row for row in quarantine if row["dataset"] == dataset]
        photometrics = Counter(
            job.image["photometric"] for job in jobs if job.image["dataset"] == dataset
        )
        turned = PHOTOMETRIC[2 * photometrics[PHOTOMETRIC[0]] >= count]
        for code, problem, remedy in (
            (Code.NEGATIVE, "look like negatives", f"Set photometric to {turned} {setting}"),
            (
                Code.BITS_EXCEEDED,
                "have levels beyond their bits",
                f"Set bits {setting} to what the files hold, or to 0 to find it from their levels",
            ),
        ):
            lost = [row for row in rows if row["code"] == code]
            if 2 * len(lost) >= count:
                raise LostRowsError(
                    f"{len(lost)} of {count} pictures {problem}, such as {lost[0]['file']}: "
                    f"{lost[0]['reason']}.",
                    f"data set {dataset}",
                    f"{remedy}, or correct the files.",
                    quarantine,
                )


def _check_boxes(jobs: Sequence[Job], quarantine: Sequence[Mapping[str, str]]) -> None:
    """Boxes beside the breast are signs that all of them were read wrongly.

    Raises:
        LostRowsError: There are too many of them in a data set.
    """
    boxed: dict[str, list[str]] = {}
    for job in jobs:
        boxed.setdefault(str(job.image["dataset"]), []).extend(
            str(lesion["lesion_id"])
            for lesion in job.lesions
            if np.isfinite(float(lesion["row_min"])) and not lesion["mask_path"]
        )
    off = {row["lesion_id"]: row for row in quarantine if row["code"] == Code.LESION_OFF_BREAST}
    for dataset, lesions in boxed.items():
        misplaced = [lesion for lesion in lesions if lesion in off]
        if len(misplaced) > max(1, _OFF_BREAST * len(lesions)):
            raise LostRowsError(
                f"{len(misplaced)} of {len(lesions)} boxes have their middle in the air beside the "
                f"breast, such as {misplaced[0]} in {off[misplaced[0]]['file']}: the others may "
                "lie in wrong places too.",
                f"data set {dataset}",
                "Look whether box_format is what the boxes are, and whether they were drawn on "
                "images of this size and orientation.",
                quarantine,
            )


def _collect(
    folder: Path,
    jobs: Sequence[Job],
    records: Mapping[str, Mapping[str, Any]],
    fingerprints: npt.NDArray[np.uint8],
    remarks: Sequence[Mapping[str, str]],
    *,
    strict: bool,
) -> Prepared:
    """The records of all images as tables, with remarks about the whole set.

    Fingerprints of images that are left out are overwritten by those that follow.
    """
    images: list[Mapping[str, Any]] = []
    lesions, quarantine, datasets, files = [], [*remarks], [], []
    for number, job in enumerate(jobs):
        record = records[job.image_id]
        quarantine += record["quarantine"]
        if "image" in record:
            fingerprints[len(images)] = fingerprints[number]
            images.append(record["image"])
            datasets.append(str(job.image["dataset"]))
            files.append(str(job.image["path"]))
            lesions += [{"image_id": job.image_id} | lesion for lesion in record["lesions"]]
    _check_levels(jobs, quarantine)
    _check_boxes(jobs, quarantine)
    if not images:
        raise LostRowsError(
            "no image could be prepared.", folder, "The quarantine says why.", quarantine
        )
    image_table, depth_rows = with_depths(pd.DataFrame(images), datasets, files)
    quarantine += depth_rows
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
    prepared = Prepared(
        folder,
        image_table,
        lesion_table,
        table(QUARANTINE, quarantine),
        fingerprints[: len(images)],
    )
    prepared.save()
    return prepared
