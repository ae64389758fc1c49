"""Prepared images as they lie on disk: random access to any window, without decoding an image.

A folder holds three tables, the fingerprints, and for each image a plain array of its grey levels
and one that maps what lies where.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.errors import OutputError
from second_look.files import read_object, read_parquet, sha256, write_parquet, write_with
from second_look.geometry import Transform

if TYPE_CHECKING:
    from second_look.decoding.pixels import Pixels

TABLES = ("images", "lesions", "quarantine")
# The arrays of an image, and the columns that say how many bytes their files have.
ARRAYS = {"pixels.npy": "pixels_bytes", "regions.npy": "regions_bytes"}
# Characters of a name before its ending: file systems take 255 bytes, a draft's ending among them.
_LONGEST_NAME, _SHORTENED = 200, 120
_REMEDY = "Run notebook 01_data_survey again: it prepares anew what is damaged."


@dataclass(frozen=True)
class Prepared:
    """A folder of prepared images.

    Attributes:
        folder: Where they are.
        images: One row an image: image_id; rows, cols (prepared px); bits, and brightest level of
            the whole picture (white is 2**bits - 1); row_offset, col_offset,
            crop_rows, crop_cols, original_rows, original_cols, breast_px (original px);
            flipped; scale; pixel_spacing_mm (of a prepared pixel, NaN unknown); content_hash;
            pixels_bytes, regions_bytes (of their files).
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
            OutputError: Something of it is missing, or has another size than it was written with.
        """
        paths = [folder / f"{name}.parquet" for name in TABLES]
        images, lesions, quarantine = (read_parquet(path, remedy=_REMEDY) for path in paths)
        fingerprints = _loaded(folder / "fingerprints.npy")
        if fingerprints.ndim != 3 or len(fingerprints) != len(images):
            raise OutputError(f"{folder}: fingerprints are not those of the images. {_REMEDY}")
        if ids := _other_sizes(folder, images):
            raise OutputError(
                f"{path_of(folder, ids[0], 'pixels.npy')}, or the regions beside it: not as large "
                f"as it was written ({len(ids)} such images). {_REMEDY}"
            )
        return cls(folder, images, lesions, quarantine, fingerprints)

    def pixels(self, image_id: str) -> Pixels:
        """Grey levels, uint8 or uint16 (rows, cols), mapped from disk and read-only."""
        return _loaded(path_of(self.folder, image_id, "pixels.npy"), mapped=True)

    def regions(self, image_id: str) -> npt.NDArray[np.uint8]:
        """0 outside the breast, 1 breast, 2+k the image's lesion k, uint8 (rows, cols)."""
        return _loaded(path_of(self.folder, image_id, "regions.npy"), mapped=True)

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
    """The file of one image; an id may hold characters that a file name may not, or too many."""
    name = quote(image_id, safe=" ", errors="surrogatepass")
    if len(name) > _LONGEST_NAME:  # no other id has "=" in its name
        digest = hashlib.sha256(image_id.encode(errors="surrogatepass")).hexdigest()
        name = f"{name[:_SHORTENED]}={digest[:32]}"
    return folder / f"{name}.{ending}"


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


def files_of(folder: Path, image_id: str) -> dict[str, list[Any]]:
    """File name -> size and sha256 of the arrays of an image, for its record."""
    paths = [path_of(folder, image_id, ending) for ending in ARRAYS]
    return {path.name: [path.stat().st_size, sha256(path)] for path in paths}


def drop_damaged(folder: Path, *, by_digest: bool) -> int:
    """Drop the records of images whose arrays are not as written: they are prepared anew.

    The table of the images goes too, so that whoever reads it knows that it is not valid.

    Args:
        folder: Of prepared images; there may be none.
        by_digest: Read every array, about 1 GB a second, instead of looking at sizes only. Where
            one size differs, all of them are read.

    Returns:
        How many images were dropped.
    """
    table = folder / "images.parquet"
    if not table.is_file():
        return 0
    try:
        doubtful = bool(_other_sizes(folder, read_parquet(table)))
    except OutputError:
        doubtful = True
    if not doubtful and not by_digest:
        return 0
    damaged = []
    for path in sorted(folder.glob("*.json")):
        arrays = read_object(path).get("files")
        if isinstance(arrays, dict) and not all(
            _as_written(folder / name, facts) for name, facts in arrays.items()
        ):
            damaged.append(path)
    for path in damaged:
        path.unlink()
    if damaged:
        table.unlink()
    return len(damaged)


def sizes_agree(folder: Path, arrays: object) -> bool:
    """Whether the arrays that a record names are there, each as large as it says."""
    return isinstance(arrays, dict) and all(
        _are_facts(facts) and _size(folder / name) == facts[0] for name, facts in arrays.items()
    )


def _other_sizes(folder: Path, images: pd.DataFrame) -> list[str]:
    """Ids of the images whose arrays are missing or not as large as they were written.

    Raises:
        OutputError: The table does not say how large they are.
    """
    columns = ["image_id", *ARRAYS.values()]
    if not set(columns) <= set(images):
        raise OutputError(f"{folder}: prepared by another version. {_REMEDY}")
    return [
        image_id
        for image_id, *sizes in images[columns].itertuples(index=False, name=None)
        if [_size(path_of(folder, image_id, ending)) for ending in ARRAYS] != sizes
    ]


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _as_written(path: Path, facts: Any) -> bool:  # noqa: ANN401
    return _are_facts(facts) and _size(path) == facts[0] and sha256(path) == facts[1]


def _are_facts(facts: object) -> bool:
    """Whether a record says of a file what `files_of` does: its size and sha256."""
    return isinstance(facts, list) and [type(fact) for fact in facts] == [int, str]


def _loaded(path: Path, *, mapped: bool = False) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(
            path, mmap_mode="r" if mapped else None, allow_pickle=False
        )
    except (OSError, ValueError, EOFError) as error:
        raise OutputError(f"{path}: cannot be read ({error}). {_REMEDY}") from None
    return array
