"""A user's mammograms, prepared as those of the data sets are, without a table about them.

The pictures of one call are of one patient. What cannot be read or used is reported, and the others
go on. Each is cropped and turned by `preparing.image`, as the training images were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from second_look.catalogue import LATERALITIES, PHOTOMETRIC, Catalogue
from second_look.decoding.device import DIGITAL, FILM, Device, read_device
from second_look.decoding.dicom import Header
from second_look.decoding.pixels import is_lossy, read_header
from second_look.errors import DataError, ParameterError
from second_look.files import read_object
from second_look.geometry import Box
from second_look.preparing.dataset import Dataset
from second_look.preparing.depths import with_depths
from second_look.preparing.fingerprints import from_text
from second_look.preparing.image import Job, PrepareSettings, prepare_image
from second_look.preparing.store import Prepared
from second_look.published.card import TrainingData
from second_look.published.data_sets import PHANTOM
from second_look.quarantine import Code

DATASET = "given"
PATIENT = "patient"
VIEWS = ("", "CC", "MLO", "ML", "LM")
_ACQUIRED = {FILM: "digitised film", DIGITAL: "digital mammograms"}


@dataclass(frozen=True)
class Acquisition:
    """What the user knows of the pictures, where their files do not say.

    Attributes:
        sides: L or R, one for all pictures or one each; () for none.
        views: Such as CC or MLO, likewise.
        pixel_size_mm: In the plane of the breast; 0 for unknown.
        bits: Of the grey levels of files of 16 bits; 0 for unknown.
    """

    sides: Sequence[str] = ()
    views: Sequence[str] = ()
    pixel_size_mm: float = 0.0
    bits: int = 0

    def side_and_view(self, number: int, count: int) -> tuple[str, str]:
        """Side and view of a picture.

        Raises:
            ParameterError: There are neither one nor as many as pictures, or one is unknown.
        """
        chosen = []
        for name, texts, valid in (
            ("side", self.sides, LATERALITIES), ("view", self.views, VIEWS),
        ):  # fmt: skip
            values = [str(text).upper() for text in texts] or [""]
            if len(values) not in (1, count):
                raise ParameterError(
                    f"give one {name} for all pictures or one each, {count}. Got {len(values)}."
                )
            if set(values) - set(valid):
                raise ParameterError(
                    f"a {name} is one of {', '.join(valid[1:])}. Got {', '.join(values)}."
                )
            chosen.append(values[number if len(values) == count else 0])
        return chosen[0], chosen[1]


@dataclass(frozen=True)
class Refused:
    """A picture that is not used, and why."""

    file: Path
    reason: str


@dataclass(frozen=True)
class Mammograms:
    """A user's pictures, ready for models.

    Attributes:
        data: The pictures as a data set. Nobody knows their labels: that column is filled in and
            must not be read.
        headers, devices: Image → what its file says.
        refused: Those that are not used.
        warnings: Image → what makes the answers doubtful.
    """

    data: Dataset
    headers: Mapping[str, Header]
    devices: Mapping[str, Device]
    refused: tuple[Refused, ...]
    warnings: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def image_ids(self) -> list[str]:
        """The pictures that are used."""
        return list(self.data.prepared.images["image_id"])

    def row(self, image_id: str) -> pd.Series:
        """Of the catalogue."""
        return self.data.catalogue.images.set_index("image_id").loc[image_id]

    def box_in_file(self, image_id: str, box: Box) -> Box:
        """A box of the image with square pixels in the pixels of the file."""
        row, header = self.row(image_id), self.headers[image_id]
        return box.scaled(header.rows / int(row["rows"]), header.cols / int(row["cols"]))


def read_mammograms(paths: Sequence[Path], folder: Path, acquisition: Acquisition) -> Mammograms:
    """Read, find the breast, turn and crop.

    Args:
        paths: DICOM or pictures, of one patient.
        folder: Gets the prepared images.
        acquisition: What the files do not say.

    Raises:
        DataError: None of the pictures can be used; says why of each.
        ParameterError: Sides or views do not fit.
    """
    rows: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    refused: list[Refused] = []
    headers: dict[str, Header] = {}
    devices: dict[str, Device] = {}
    for number, path in enumerate(paths):
        side, view = acquisition.side_and_view(number, len(paths))
        image_id = _image_id(path, headers)
        try:
            header, device = read_header(path), read_device(path)
            row = _catalogue_row(image_id, path, header, side, view, acquisition)
            record = _prepared(row, folder, device)
        except DataError as error:
            refused.append(Refused(path, f"{error.problem} {error.remedy}".strip()))
            continue
        headers[image_id], devices[image_id] = header, device
        rows.append(row)
        records.append(record)
    if not rows:
        reasons = "; ".join(f"{part.file}: {part.reason}" for part in refused)
        raise DataError(f"no picture can be used: {reasons}", "", "Give whole mammograms.")
    data, remarks = _dataset(folder, rows, records)
    warnings = {
        str(row["image_id"]): _warnings(Path(str(row["path"])), row, record, remarks)
        for row, record in zip(rows, records, strict=True)
    }
    return Mammograms(data, headers, devices, tuple(refused), warnings)


def _image_id(path: Path, taken: Mapping[str, object]) -> str:
    """Name of the file; where two are equal, with a number."""
    names = (path.stem if not n else f"{path.stem}_{n + 1}" for n in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def _catalogue_row(
    image_id: str, path: Path, header: Header, side: str, view: str, acquisition: Acquisition
) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "dataset": DATASET,
        "patient_id": PATIENT,
        "laterality": side or header.side,
        "view": view or header.view,
        "rows": header.rows,
        "cols": max(1, round(header.cols * header.pixel_aspect)),
        "bits": header.bits if header.bits_stated else acquisition.bits,
        "photometric": PHOTOMETRIC[0] if header.white_is_lowest else "",
        "pixel_spacing_mm": acquisition.pixel_size_mm or header.pixel_spacing_mm or float("nan"),
        "label": "normal",
        "path": str(path),
    }


def _prepared(row: Mapping[str, Any], folder: Path, device: Device) -> dict[str, Any]:
    """The record of a picture that was prepared.

    Raises:
        DataError: It cannot be decoded or shows no whole breast, or holds raw values.
    """
    if device.raw:
        raise DataError(
            "the pixels are those of the detector (for processing), which no model here has seen.",
            remedy="Give the image for presentation.",
        )
    job = Job(dict(row), [], folder, PrepareSettings(), "")
    prepare_image(job)
    record = read_object(job.record)
    if "image" not in record:
        raise DataError(str(record["quarantine"][0]["reason"]))
    return dict(record)


def _dataset(
    folder: Path, rows: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]
) -> tuple[Dataset, list[dict[str, str]]]:
    """The pictures as a data set, and remarks about their grey levels."""
    names = [DATASET] * len(rows)
    table = pd.DataFrame([record["image"] for record in records])
    images, remarks = with_depths(table, names, [str(row["path"]) for row in rows])
    catalogue = Catalogue.from_rows(rows)
    lesions = pd.DataFrame({"lesion_id": [], "image_id": [], "code": []})
    prepared = Prepared(
        folder,
        images.astype({"pixel_spacing_mm": float}),
        lesions.astype({"lesion_id": str, "image_id": str, "code": int}),
        catalogue.quarantine,
        np.stack([from_text(record["fingerprint"]) for record in records]),
    )
    return Dataset(folder, catalogue, prepared, pd.DataFrame(), synthetic=False), remarks


def _warnings(
    path: Path,
    row: Mapping[str, Any],
    record: Mapping[str, Any],
    remarks: Sequence[Mapping[str, str]],
) -> list[str]:
    """What makes any answer about a picture doubtful."""
    doubts = [str(part["reason"]) for part in record["quarantine"]]
    doubts += [
        part["reason"]
        for part in remarks
        if part["image_id"] == row["image_id"] or part["code"] == Code.DEPTH_FOUND
    ]
    if is_lossy(path):
        doubts.append("a lossy JPEG: fine contrast is lost")
    return doubts


def unlike_training(device: Device, data: TrainingData) -> str:
    """How a picture's acquisition differs from that of the training images; "" if it does not."""
    if data.acquisition == PHANTOM:
        return "the model learnt from phantoms, synthetic images: its answer says nothing of people"
    learnt = _ACQUIRED.get(data.acquisition)
    if learnt is None:
        return "how the images that the model learnt from were acquired is not recorded"
    if not device.kind:
        return f"the file does not say how it was acquired; the model learnt from {learnt}"
    if device.kind == data.acquisition:
        return ""
    name = "a digital mammogram" if device.kind == DIGITAL else "a digitised film"
    manufacturer = f" ({device.manufacturer})" if device.manufacturer else ""
    return (
        f"{name}{manufacturer}, and the model learnt from {learnt}: expect it to be wrong more "
        "often, and its probability not to hold"
    )
