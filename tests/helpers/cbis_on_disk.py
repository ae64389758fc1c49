"""A set of phantoms in the form of CBIS-DDSM, read with os.walk, pydicom and csv alone."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from second_look.phantoms.cbis import Planted, csv_name, write_cbis_layout
from second_look.phantoms.phantom import PhantomSettings, draw_image

SETS = [(kind, split) for kind in ("mass", "calcification") for split in ("train", "test")]


@dataclass(frozen=True)
class Written:
    """A set on disk, read with nothing but os.walk, pydicom and csv."""

    folder: Path
    settings: PhantomSettings
    planted: list[Planted]
    series: dict[str, dict[str, FileDataset]]  # by series UID and path
    rows: dict[tuple[str, str], list[dict[str, str]]]  # by kind and split

    def files(self, uid: str) -> list[FileDataset]:
        return list(self.series.get(uid, {}).values())

    def mask_file(self, planted: Planted) -> FileDataset:
        (match,) = (file for file in self.files(planted.mask_series) if file.BitsAllocated == 8)
        return match

    def crop_file(self, planted: Planted) -> FileDataset:
        (match,) = (file for file in self.files(planted.crop_series) if file.BitsAllocated == 16)
        return match

    def row(self, planted: Planted) -> dict[str, str]:
        (match,) = (
            row
            for row in self.rows[planted.kind, planted.split]
            if key_of(row) == planted.image_key
            and row["abnormality id"] == str(planted.abnormality_id)
        )
        return match

    def with_fault(self, fault: str) -> list[Planted]:
        return [planted for planted in self.planted if planted.fault == fault]

    def drawn_mask(self, planted: Planted) -> np.ndarray:
        image = draw_image(self.settings, planted.breast, planted.view)
        return image.lesions[planted.lesion].mask

    def drawn_image(self, planted: Planted) -> np.ndarray:
        return draw_image(self.settings, planted.breast, planted.view).pixels


def key_of(row: dict[str, str]) -> str:
    return "_".join(row[name] for name in ("patient_id", "left or right breast", "image view"))


def read(folder: Path, settings: PhantomSettings, planted: list[Planted]) -> Written:
    series: dict[str, dict[str, FileDataset]] = defaultdict(dict)
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.suffix == ".dcm":
                file = pydicom.dcmread(path)
                series[file.SeriesInstanceUID][path.relative_to(folder).as_posix()] = file
    rows = {}
    for kind, split in SETS:
        with (folder / csv_name(kind, split)).open(newline="", encoding="utf-8") as stream:
            rows[kind, split] = list(csv.DictReader(stream))
    return Written(folder, settings, planted, dict(series), rows)


def write(folder: Path, settings: PhantomSettings, **options: object) -> Written:
    return read(folder, settings, write_cbis_layout(folder, settings, **options))
