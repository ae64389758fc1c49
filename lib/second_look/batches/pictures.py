"""Whole mammograms at one size, in one array on disk, for models that see the image at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from second_look.files import write_with
from second_look.preparing.store import Prepared
from second_look.source_code import content_hash

WHITE = 65535


@dataclass(frozen=True)
class Pictures:
    """Mammograms of one size, chest wall at the left edge, air around them 0.

    Attributes:
        image_ids: In the order of the array.
        array: Grey levels 0 to WHITE, uint16 (n, rows, cols), mapped from disk.
        digest: Changes with the images and the size.
    """

    image_ids: tuple[str, ...]
    array: npt.NDArray[np.uint16]
    digest: str

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of each picture, px."""
        return int(self.array.shape[1]), int(self.array.shape[2])

    def places(self, image_ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Where images stand in the array, int64 (n,)."""
        indices = {image_id: index for index, image_id in enumerate(self.image_ids)}
        names = np.asarray(image_ids, dtype=object)
        return np.array([indices[image_id] for image_id in names], dtype=np.int64)

    def levels(self, places: npt.ArrayLike, device: torch.device | str = "cpu") -> Tensor:
        """Grey levels 0 to 1 of some pictures, float32 (n, 1, rows, cols)."""
        part = self.array[np.asarray(places, dtype=np.int64)].astype(np.int32)
        return torch.from_numpy(part).to(device)[:, None].float().div_(WHITE)


def make_pictures(prepared: Prepared, size: tuple[int, int], folder: Path) -> Pictures:
    """All prepared images at one size; what an earlier call made is opened.

    An image is scaled until it fits, keeping its shape, and stands at the left edge in the middle
    of the height. It is averaged where it shrinks, so that no fine detail turns into noise.

    Args:
        prepared: The images.
        size: Rows and columns, px; (0, 0) keeps their own pixels, on a canvas that holds the
            largest, rounded up to a multiple of 32.
        folder: Where the array is kept.
    """
    images = prepared.images
    if size == (0, 0):
        largest = images[["rows", "cols"]].max()
        rows, cols = (-(-int(side) // 32) * 32 for side in largest)
    else:
        rows, cols = size
    native = size == (0, 0)
    ids = tuple(images["image_id"])
    parts = [*ids, *images["content_hash"].astype(str), f"{rows}x{cols}", str(native)]
    digest = content_hash([part.encode() for part in parts])[:12]
    path = folder / f"pictures_{rows}x{cols}_{digest}.npy"
    if not path.is_file():
        write_with(path, lambda draft: _write(prepared, (rows, cols), native, draft))
    array: npt.NDArray[np.uint16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return Pictures(ids, array, digest)


def _write(prepared: Prepared, size: tuple[int, int], native: bool, path: Path) -> None:
    images = prepared.images
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(len(images), *size))
    rows = tqdm(images.itertuples(), total=len(images), desc=f"pictures of {size[0]}×{size[1]} px")
    for index, image in enumerate(rows):
        array[index] = fit(
            prepared.pixels(image.image_id), bits=int(image.bits), size=size, native=native
        )
    array.flush()


def fit(
    pixels: npt.NDArray[Any], *, bits: int, size: tuple[int, int], native: bool = False
) -> npt.NDArray[np.uint16]:
    """One image at a size, its shape kept.

    Args:
        pixels: Grey levels, uint8 or uint16 (rows, cols).
        bits: Of the brightest level that it can hold.
        size: Rows and columns of the result.
        native: Do not scale.

    Returns:
        Grey levels 0 to WHITE, uint16 of that size.
    """
    levels = torch.from_numpy(pixels.astype(np.float32))[None, None] / (2**bits - 1)
    if not native:
        factor = min(size[0] / pixels.shape[0], size[1] / pixels.shape[1])
        scaled = [
            max(1, min(s, round(n * factor))) for s, n in zip(size, pixels.shape, strict=True)
        ]
        levels = functional.interpolate(
            levels, size=scaled, mode="bilinear", antialias=True, align_corners=False
        )
    picture = np.zeros(size, dtype=np.uint16)
    scaled_levels = (levels[0, 0].clamp(0, 1) * WHITE).round().numpy().astype(np.uint16)
    top = (size[0] - scaled_levels.shape[0]) // 2
    picture[top : top + scaled_levels.shape[0], : scaled_levels.shape[1]] = scaled_levels
    return picture
