"""Preparing images: each mammogram is decoded once and kept in the store.

An image is cropped to the breast, turned so that the chest wall is at the left, kept at its own
bit depth as a plain array on disk (a window is read without decoding the rest), beside a map of
what lies where. Dask spreads the work over processes or a cluster; an image is written whole or
not at all, and one that is done is not done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from skimage.transform import resize
from tqdm.auto import tqdm

from second_look.catalogue import LABELS, QUARANTINE, Catalogue, table
from second_look.decoding import dicom as dicom_module
from second_look.decoding import greyscale as greyscale_module
from second_look.decoding import ljpeg as ljpeg_module
from second_look.decoding import pixels as pixels_module
from second_look.decoding.pixels import Pixels, read_square
from second_look.errors import DataError, OutputError
from second_look.files import write_json
from second_look.geometry import Box, Transform
from second_look.preparing import breast as breast_module
from second_look.preparing import outlines as outlines_module
from second_look.preparing import store as store_module
from second_look.preparing.breast import breast_side, find_breast
from second_look.preparing.outlines import Outline, draw_outlines
from second_look.preparing.store import Prepared, path_of, save_array

THUMBNAIL = 32
# What a prepared image depends on, besides this module.
_MODULES = (
    breast_module,
    dicom_module,
    greyscale_module,
    ljpeg_module,
    outlines_module,
    pixels_module,
    store_module,
)
# A scheduler that does not answer within this time is not there.
_SCHEDULER_S = 10


@dataclass(frozen=True)
class PrepareSettings:
    """How images are prepared.

    Attributes:
        pad_px: Margin around the breast that is kept, original px.
        spacing_mm: Resample to pixels of this size; None keeps the image's own pixels.
    """

    pad_px: int = 8
    spacing_mm: float | None = None


def prepare(
    catalogue: Catalogue,
    folder: Path,
    settings: PrepareSettings | None = None,
    *,
    workers: int = 2,
    scheduler: str = "",
    strict: bool = False,
) -> Prepared:
    """Prepare all images of a catalogue; those that are done already stay as they are.

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
    pending = [job for job in jobs if _record(folder, job) is None]
    # The folder is tried before the workers are started: one clear error instead of many.
    write_json(folder / "settings.json", asdict(settings))
    progress = tqdm(total=len(jobs), initial=len(jobs) - len(pending), unit="image")
    with progress:
        progress.set_description("preparing images")
        for _ in _run(pending, workers, scheduler):
            progress.update()
    return _collect(folder, jobs, strict=strict)


@dataclass(frozen=True)
class _Job:
    """All that a worker needs for one image; `key` changes with anything that matters."""

    image: dict[str, Any]
    lesions: list[dict[str, Any]]
    folder: Path
    settings: PrepareSettings
    key: str


def _jobs(catalogue: Catalogue, folder: Path, settings: PrepareSettings) -> Iterator[_Job]:
    unknown = catalogue.images.loc[catalogue.images["pixel_spacing_mm"].isna(), "image_id"]
    if settings.spacing_mm is not None and len(unknown):
        raise DataError(
            f"{len(unknown)} images have no pixel size, such as {unknown.iloc[0]}.",
            "table images",
            "Give pixel_size_mm, or leave spacing_mm at 0.",
        )
    code = hashlib.sha256()
    for module in _MODULES:
        code.update(Path(str(module.__file__)).read_bytes())
    code.update(Path(__file__).read_bytes())
    # What a prepared image does not depend on must not make it out of date.
    images = catalogue.images.drop(columns=["split", "label", "density", "patient_id"])
    lesions_of = dict(tuple(catalogue.lesions.groupby("image_id")))
    none = catalogue.lesions.iloc[:0]
    for image in images.to_dict("records"):
        lesions = lesions_of.get(image["image_id"], none).to_dict("records")
        files = [image["path"], *(lesion["mask_path"] for lesion in lesions)]
        text = [repr(image), repr(lesions), repr(settings), code.hexdigest(), _states(files)]
        key = hashlib.sha256("\n".join(text).encode()).hexdigest()
        yield _Job(image, lesions, folder, settings, key)


def _states(files: list[str]) -> str:
    states = []
    for name in dict.fromkeys(filter(None, files)):
        try:
            state = Path(name).stat()
        except OSError:
            states.append(f"{name} gone")
        else:
            states.append(f"{name} {state.st_size} {state.st_mtime_ns}")
    return "\n".join(states)


def _run(jobs: list[_Job], workers: int, scheduler: str) -> Iterator[None]:
    """Do the jobs, here or on Dask; yields once a finished job."""
    if not jobs:
        return
    if workers == 0 and not scheduler:
        for job in jobs:
            _prepare_image(job)
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
        futures = client.map(_prepare_image, jobs, pure=False)
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


def _prepare_image(job: _Job) -> None:
    """Prepare one image and write its record, which marks it as done."""
    image_id = str(job.image["image_id"])
    try:
        record = _prepare(job)
    except DataError as error:
        record = {"quarantine": [_quarantine_row(job, "", "image left out", error.problem)]}
    write_json(path_of(job.folder, image_id, "json"), {"key": job.key} | record)


def _prepare(job: _Job) -> dict[str, Any]:
    image, settings = job.image, job.settings
    pixels = read_square(Path(image["path"]), int(image["rows"]), int(image["cols"]))
    breast = find_breast(pixels)
    outlines = draw_outlines(job.lesions, breast)
    crop = _crop(breast, outlines, settings.pad_px)
    regions = breast.astype(np.uint8)
    # The worst is drawn last: where lesions overlap it stays.
    located = [(code, o) for code, o in enumerate(outlines, start=2) if o.mask is not None]
    for code, outline in sorted(located, key=lambda pair: LABELS.index(pair[1].pathology)):
        regions[outline.mask] = code
    transform = Transform(
        int(crop.row_min),
        int(crop.col_min),
        int(crop.height),
        int(crop.width),
        breast_side(breast) == "right",
        float(image["pixel_spacing_mm"]) / settings.spacing_mm if settings.spacing_mm else 1.0,
    )
    cut, marks = _cut(pixels, transform), _cut(regions, transform)
    content = hashlib.sha256(repr(cut.shape).encode() + cut.astype("<u2").tobytes()).hexdigest()
    cut, marks = _scaled(cut, marks, transform.scale)
    image_id = str(image["image_id"])
    for name, array in (("pixels.npy", cut), ("regions.npy", marks)):
        save_array(path_of(job.folder, image_id, name), array)
    breast_px = int(breast.sum())
    thumbnail = _thumbnail(pixels[:, ::-1] if transform.flipped else pixels)
    row = {
        "image_id": image_id,
        "rows": cut.shape[0],
        "cols": cut.shape[1],
        "bits": int(image["bits"]),
        "row_offset": transform.row_offset,
        "col_offset": transform.col_offset,
        "crop_rows": transform.rows,
        "crop_cols": transform.cols,
        "original_rows": pixels.shape[0],
        "original_cols": pixels.shape[1],
        "breast_px": breast_px,
        "flipped": transform.flipped,
        "scale": transform.scale,
        # JSON knows no NaN: an unknown pixel size is null on the way.
        "pixel_spacing_mm": _finite(float(image["pixel_spacing_mm"]) / transform.scale),
        "content_hash": content,
    }
    return {
        "image": row,
        "lesions": [
            _lesion_row(outline, code, pixels.size, breast_px)
            for code, outline in enumerate(outlines, start=2)
        ],
        "quarantine": [
            _quarantine_row(job, outline.lesion_id, outline.effect, outline.problem)
            for outline in outlines
            if outline.problem
        ],
        "thumbnail": np.round(thumbnail, 4).tolist(),
    }


def _crop(breast: npt.NDArray[np.bool_], outlines: list[Outline], pad: int) -> Box:
    """The smallest box around breast and lesions, with a margin, inside the picture."""
    boxes = [Box.of_mask(breast)]
    boxes += [Box.of_mask(outline.mask) for outline in outlines if outline.mask is not None]
    found = [box for box in boxes if box is not None]
    return Box(
        min(box.row_min for box in found) - pad,
        min(box.col_min for box in found) - pad,
        max(box.row_max for box in found) + pad,
        max(box.col_max for box in found) + pad,
    ).clipped(*breast.shape)


def _cut(array: npt.NDArray[Any], transform: Transform) -> npt.NDArray[Any]:
    cut = array[transform.row_offset :, transform.col_offset :][: transform.rows, : transform.cols]
    return np.ascontiguousarray(cut[:, ::-1] if transform.flipped else cut)


def _scaled(
    pixels: npt.NDArray[Any], regions: npt.NDArray[np.uint8], scale: float
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Resample both to `scale` times their size: grey levels smoothly, regions to the nearest."""
    if scale == 1:
        return pixels, regions
    shape = tuple(max(1, round(length * scale)) for length in pixels.shape)
    smooth = resize(
        pixels.astype(np.float32), shape, order=1, anti_aliasing=scale < 1, preserve_range=True
    )
    nearest = resize(regions, shape, order=0, anti_aliasing=False, preserve_range=True)
    return np.rint(smooth).astype(pixels.dtype), nearest.astype(np.uint8)


def _lesion_row(outline: Outline, code: int, image_px: int, breast_px: int) -> dict[str, Any]:
    located = outline.mask is not None
    return {
        "lesion_id": outline.lesion_id,
        "code": code if located else 0,
        "area_px": float(outline.area_px) if located else None,
        "share_of_image": outline.area_px / image_px if located else None,
        "share_of_breast": outline.area_px / breast_px if located else None,
        "inside_breast": outline.inside_breast if located else None,
    }


def _quarantine_row(job: _Job, lesion_id: str, effect: str, reason: str) -> dict[str, str]:
    return {
        "dataset": str(job.image["dataset"]),
        "image_id": str(job.image["image_id"]),
        "lesion_id": lesion_id,
        "file": str(job.image["path"]),
        "row": "",
        "effect": effect,
        "reason": reason,
    }


def _record(folder: Path, job: _Job) -> dict[str, Any] | None:
    """The record of an image that is done and up to date."""
    path = path_of(folder, str(job.image["image_id"]), "json")
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    arrays = [
        path_of(folder, str(job.image["image_id"]), f"{n}.npy") for n in ("pixels", "regions")
    ]
    whole = "image" not in record or all(array.is_file() for array in arrays)
    return record if whole and record.get("key") == job.key else None


def _collect(folder: Path, jobs: list[_Job], *, strict: bool) -> Prepared:
    """The records of all images as tables."""
    images, lesions, quarantine, thumbnails = [], [], [], []
    for job in jobs:
        record = _record(folder, job)
        if record is None:
            raise OutputError(
                f"{folder}: the record of {job.image['image_id']} was changed or removed "
                "during the run. Run again."
            )
        quarantine += record["quarantine"]
        if "image" in record:
            images.append(record["image"])
            thumbnails.append(record["thumbnail"])
            image_id = record["image"]["image_id"]
            lesions += [{"image_id": image_id} | lesion for lesion in record["lesions"]]
    if strict and quarantine:
        first: Mapping[str, str] = quarantine[0]
        raise DataError(
            f"{first['reason']} ({len(quarantine)} such items)",
            where=f"{first['file']} {first['lesion_id']}".strip(),
            remedy="Mend it, or run without strict.",
        )
    if not images:
        raise DataError("no image could be prepared.", folder, "The quarantine says why.")
    shares = ["area_px", "share_of_image", "share_of_breast", "inside_breast"]
    lesion_table = pd.DataFrame(lesions, columns=["lesion_id", "image_id", "code", *shares])
    lesion_table = lesion_table.astype(dict.fromkeys(shares, float) | {"code": int})
    image_table = pd.DataFrame(images).astype({"pixel_spacing_mm": float})
    stack = np.asarray(thumbnails, dtype=np.float32)
    prepared = Prepared(folder, image_table, lesion_table, table(QUARANTINE, quarantine), stack)
    prepared.save()
    return prepared


def _thumbnail(film: Pixels) -> npt.NDArray[np.float32]:
    """The whole film, float32 (THUMBNAIL, THUMBNAIL), 0 to 1; a crop would vary with its mask."""
    step = max(1, min(film.shape) // (8 * THUMBNAIL))
    coarse = film[::step, ::step].astype(np.float32)
    small = resize(coarse / coarse.max(), (THUMBNAIL, THUMBNAIL), order=1, anti_aliasing=True)
    thumbnail: npt.NDArray[np.float32] = small
    return thumbnail


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
