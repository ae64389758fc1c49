"""Prepared images as they lie on disk: random access to any window, without decoding an image.

A folder holds three tables, the fingerprints, and for each image a plain array of its grey levels
and one that maps what lies where.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.errors import OutputError
from second_look.files import write_parquet, write_with
from second_look.geometry import Transform

if TYPE_CHECKING:
    from second_look.decoding.pixels import Pixels

TABLES = ("images", "lesions", "quarantine")


@dataclass(frozen=True)
class Prepared:
    """A folder of prepared images.

    Attributes:
        folder: Where they are.
        images: One row an image: image_id; rows, cols (prepared px); bits, and brightest level of
            the whole picture (white is 2**bits - 1); row_offset, col_offset,
            crop_rows, crop_cols, original_rows, original_cols, breast_px (original px);
            flipped; scale; pixel_spacing_mm (of a prepared pixel, NaN unknown); content_hash.
        lesions: One row per lesion: lesion_id, image_id; code in the region map (0: not located);
            area_px (original px), share_of_image, share_of_breast, inside_breast (0 to 1).
        quarantine: What could not be used, as in the catalogue.
        fingerprints: Of the whole images, uint8 (n, side, side), in the order of `images`, to look
            for copies.
    """

    folder: Path
    images: pd.DataFrame
    lesions: pd.DataFrame
    quarantine: pd.DataFrame
    fingerprints: npt.NDArray[np.uint8]

    @classmethod
    def load(cls, folder: Path) -> Prepared:
        """Open what `prepare` wrote.

        Raises:
            OutputError: Something of it is missing.
        """
        paths = [folder / f"{name}.parquet" for name in TABLES] + [folder / "fingerprints.npy"]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise OutputError(f"{missing[0]} is not there: run notebook 01_data_survey (again).")
        images, lesions, quarantine = (pd.read_parquet(path) for path in paths[:3])
        return cls(folder, images, lesions, quarantine, np.load(paths[3], allow_pickle=False))

    def pixels(self, image_id: str) -> Pixels:
        """Grey levels, uint8 or uint16 (rows, cols), mapped from disk and read-only."""
        return _mapped(path_of(self.folder, image_id, "pixels.npy"))

    def regions(self, image_id: str) -> npt.NDArray[np.uint8]:
        """0 outside the breast, 1 breast, 2+k the image's lesion k, uint8 (rows, cols)."""
        return _mapped(path_of(self.folder, image_id, "regions.npy"))

    def transform(self, image_id: str) -> Transform:
        """The way from the original mammogram to the prepared one, and back."""
        row = self.images.loc[self.images["image_id"] == image_id].iloc[0]
        return Transform(
            int(row["row_offset"]),
            int(row["col_offset"]),
            int(row["crop_rows"]),
            int(row["crop_cols"]),
            bool(row["flipped"]),
            float(row["scale"]),
        )

    def save(self) -> None:
        """Write the tables and fingerprints, each whole or not at all; the arrays are there."""
        for name in TABLES:
            write_parquet(self.folder / f"{name}.parquet", getattr(self, name))
        save_array(self.folder / "fingerprints.npy", self.fingerprints)


def path_of(folder: Path, image_id: str, ending: str) -> Path:
    """The file of one image; an id may hold characters that a file name may not."""
    return folder / f"{quote(image_id, safe=' ')}.{ending}"


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as .npy, whole or not at all."""

    def save(draft: Path) -> None:
        # np.save would hide from us that the disk is full: its error has no number.
        contiguous = np.ascontiguousarray(array)
        with draft.open("wb") as stream:
            header = np.lib.format.header_data_from_array_1_0(contiguous)
            np.lib.format.write_array_header_1_0(stream, header)
            stream.write(contiguous.data)

    write_with(path, save)


def _mapped(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: {error}. Run notebook 01_data_survey again.") from None
    return array
