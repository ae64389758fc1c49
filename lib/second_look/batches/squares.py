"""Squares of prepared images as float tensors, from memory, from a device's memory or from disk.

Augmented patches are resampled from such squares. On a CPU NumPy copies them one by one, which is
faster there. On any other device all images lie one behind the other in one tensor, and the squares
of a whole batch are gathered at once: no loop over patches, no copy back. The values are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import torch

from second_look.preparing.store import Prepared

if TYPE_CHECKING:
    from second_look.decoding.pixels import Pixels

IntArray = npt.NDArray[np.int64]
MEMORIES = ("auto", "resident", "streamed")
# Grey levels of 16 bit lie on a device as int16, a type that every kernel knows, this much lower.
_SHIFT = 1 << 15
# Zeros before the first and behind the last image, longer than any square's side: rows that lie
# outside of an image are read from there.
_EMPTY_PX = 1 << 16


@dataclass(frozen=True)
class FlatImages:
    """Images one behind the other in one tensor, rows without gaps.

    Attributes:
        stored: uint8, or int16 with _SHIFT taken off, (zeros + all pixels + zeros,).
        places: Where each image starts, its rows and its columns, int64 (3, images).
    """

    stored: torch.Tensor
    places: torch.Tensor

    @classmethod
    def pack(
        cls,
        images: Iterable[Pixels],
        shapes: Sequence[tuple[int, int]],
        dtype: torch.dtype,
        device: torch.device,
    ) -> FlatImages:
        """Move images of these shapes to the device, one at a time."""
        sizes = [rows * cols for rows, cols in shapes]
        starts = _EMPTY_PX + np.cumsum([0, *sizes])
        length = int(starts[-1]) + _EMPTY_PX
        stored = torch.full((length,), _zero(dtype), dtype=dtype, device=device)
        for start, size, image in zip(starts.tolist(), sizes, images, strict=False):
            stored[start : start + size] = torch.from_numpy(as_stored(image, dtype).ravel())
        places = np.stack([starts[:-1], *np.array(shapes, dtype=np.int64).T])
        return cls(stored, torch.as_tensor(places, device=device))

    def squares(self, numbers: IntArray, corners: IntArray, side: int) -> torch.Tensor:
        """Squares of the images of these numbers, 0 outside, float32 (n, 1, side, side)."""
        asked = torch.as_tensor(np.stack([numbers, *corners.T]), device=self.stored.device)
        number, top, left = asked[:, :, None]  # each (n, 1)
        start, rows, cols = self.places[:, number]
        steps = torch.arange(side, device=self.stored.device)
        row, col = top + steps, left + steps  # (n, side)
        # A run of pixels for every row; one that begins beside the image is masked further down.
        runs = start + row * cols + torch.minimum(left.clamp(min=-side), cols)
        runs = torch.where((row >= 0) & (row < rows), runs, 0)
        stored = self.stored.unfold(0, side, 1)[runs]  # (n, side, side)
        in_image = ((col >= 0) & (col < cols)).to(torch.float32)[:, None]  # (n, 1, side)
        # To float, back to the true grey level and 0 beside the image, in one pass.
        return torch.addcmul(-_zero(stored.dtype) * in_image, stored, in_image)[:, None]


class Squares:
    """Squares of the images that a table of windows names.

    Args:
        prepared: The images.
        image_ids: Which of them, repeated as the table has them.
        device: Where the squares are wanted.
        memory: "resident", "streamed" or "auto": see PatchSampler.

    Attributes:
        memory: "resident" or "streamed".
        numbers: Number of the image of each row of the table, int64.
        white: The brightest grey level that the depth of each image can hold, float64.
    """

    def __init__(
        self, prepared: Prepared, image_ids: pd.Series, device: torch.device, memory: str
    ) -> None:
        codes, names = pd.factorize(image_ids)
        table = prepared.images.set_index("image_id").loc[names]
        self.numbers: IntArray = codes.astype(np.int64)
        self.white = (2.0 ** table["bits"] - 1).to_numpy()
        self._prepared, self._names, self._device = prepared, list(names), device
        shapes = list(zip(table["rows"].tolist(), table["cols"].tolist(), strict=True))
        deep = (table["bits"] > 8).to_numpy()
        self._dtype = torch.int16 if deep.any() else torch.uint8
        if memory == "auto":
            wide = 1 + (deep.any() if gathers(device) else deep)
            total = int((table["rows"] * table["cols"] * wide).sum())
            memory = "resident" if total <= free_memory(device) / 2 else "streamed"
        self.memory = memory
        self._images: dict[int, Pixels] = {}
        self._flat: FlatImages | None = None
        self._copies: Any = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        if memory == "resident":
            loaded = (np.array(prepared.pixels(name)) for name in self._names)
            if gathers(device):
                self._flat = FlatImages.pack(loaded, shapes, self._dtype, device)
            else:
                self._images = dict(enumerate(loaded))

    @property
    def bytes_kept(self) -> int:
        """Of the images on the device; 0 where they are streamed."""
        if self._flat is not None:
            return int(self._flat.stored.nbytes)
        return sum(int(image.nbytes) for image in self._images.values())

    def cut(self, numbers: IntArray, corners: IntArray, side: int) -> torch.Tensor:
        """Squares with these top left corners (n, 2), as stored on disk, 0 outside.

        Returns:
            float32 (n, 1, side, side), on the device.
        """
        if self._flat is not None:
            return self._flat.squares(numbers, corners, side)
        if not gathers(self._device):
            squares = torch.empty((len(numbers), 1, side, side))
            # NumPy converts integers on the way into the square, without a copy in between.
            self._copy(squares[:, 0].numpy(), numbers, corners, None)
            return squares
        # From disk the grey levels travel to the device as narrow as they are stored.
        pinned = self._copies is not None
        stored = torch.empty((len(numbers), 1, side, side), dtype=self._dtype, pin_memory=pinned)
        self._copy(stored[:, 0].numpy(), numbers, corners, self._dtype)
        return torch.add(self._moved(stored), -float(_zero(self._dtype)))

    def _copy(
        self,
        targets: npt.NDArray[Any],
        numbers: IntArray,
        corners: IntArray,
        dtype: torch.dtype | None,
    ) -> None:
        """Fill squares (n, side, side) from their images, and with 0 beside them."""
        side, empty = targets.shape[-1], 0 if dtype is None else _zero(dtype)
        places = zip(targets, numbers.tolist(), corners.tolist(), strict=True)
        for target, number, (row, col) in places:
            image = self._image(number)
            top, left = max(row, 0), max(col, 0)
            bottom, right = min(row + side, image.shape[0]), min(col + side, image.shape[1])
            if bottom - top < side or right - left < side:
                target.fill(empty)
            if top < bottom and left < right:
                part = image[top:bottom, left:right]
                target[top - row : bottom - row, left - col : right - col] = (
                    part if dtype is None else as_stored(part, dtype)
                )

    def _image(self, number: int) -> Pixels:
        """An image in memory, or mapped from disk: it is mapped once and read where it is cut."""
        if number not in self._images:
            self._images[number] = self._prepared.pixels(self._names[number])
        return self._images[number]

    def _moved(self, stored: torch.Tensor) -> torch.Tensor:
        """Move squares to the device, on a GPU while its kernels go on with what they do."""
        if self._copies is None:
            return stored.to(self._device)
        with torch.cuda.stream(self._copies):
            moved = stored.to(self._device, non_blocking=True)
        using = torch.cuda.current_stream(self._device)
        using.wait_stream(self._copies)
        moved.record_stream(using)
        return moved


def gathers(device: torch.device) -> bool:
    """Whether squares are gathered by the device itself rather than copied by NumPy."""
    return device.type != "cpu"


def free_memory(device: torch.device) -> int:
    """Bytes that are free for images."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def as_stored(pixels: Pixels, dtype: torch.dtype) -> npt.NDArray[Any]:
    """Grey levels as they lie on a device; 8 bit among 16 bit keep their values."""
    if dtype == torch.uint8:
        return np.ascontiguousarray(pixels)
    wide = np.bitwise_xor(pixels, np.uint16(_SHIFT), dtype=np.uint16)
    return wide.view(np.int16)


def _zero(dtype: torch.dtype) -> int:
    """How the grey level 0 is stored."""
    return -_SHIFT if dtype == torch.int16 else 0
