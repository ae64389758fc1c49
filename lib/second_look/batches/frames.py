"""Prepared mammograms in the frame of a detector: fitted into it, with their lesions, varied.

A picture is scaled so that it just fits into the frame (rows, cols) and lies at its top left; the
rest is black. Grey levels are shares of the brightest level that the image's bit depth can hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import torch
from torch import Tensor
from torch.nn import functional

from second_look.batches.affine import (
    Variations,
    level_factors,
    picture_grid,
    spread_levels,
)
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.geometry import Box, Transform

if TYPE_CHECKING:
    from second_look.preparing.dataset import Dataset

# A picture whose shorter side is less in the frame, px, gives the deepest features nothing to see.
MIN_SIDE = 32


@dataclass(frozen=True)
class Frame:
    """Size of the pictures that a network gets, px."""

    rows: int
    cols: int

    def factor(self, rows: int, cols: int) -> float:
        """Frame px for one px of a picture of that size."""
        return min(self.rows / rows, self.cols / cols)


@dataclass(frozen=True)
class Framed:
    """One mammogram in its frame.

    Attributes:
        image_id: Of the catalogue.
        picture: Grey levels 0 to 1, float16 (rows, cols) of the frame.
        regions: 0 outside the breast, 1 breast, 2+k lesion k, uint8 (rows, cols) of the frame.
        size: Rows and columns that the mammogram fills.
        labels: Code in `regions` -> class, its place in LABELS; without those that others hide.
        transform: From the original mammogram to the prepared one.
        prepared_size: Rows and columns of the prepared mammogram.
    """

    image_id: str
    picture: Tensor
    regions: Tensor
    size: tuple[int, int]
    labels: dict[int, int]
    transform: Transform
    prepared_size: tuple[int, int]

    def box_to_original(self, box: Sequence[float]) -> Box:
        """A network's (x_min, y_min, x_max, y_max) in the frame as a box of the original."""
        x_min, y_min, x_max, y_max = box
        by_row = self.prepared_size[0] / self.size[0]
        by_col = self.prepared_size[1] / self.size[1]
        return self.transform.box_to_original(
            Box(y_min * by_row, x_min * by_col, y_max * by_row, x_max * by_col)
        )


class Frames:
    """Mammograms of a data set in one frame, kept in memory once made, as far as they fit.

    Args:
        dataset: Where they are.
        frame: Of the network.
    """

    def __init__(self, dataset: Dataset, frame: Frame) -> None:
        self.dataset, self.frame = dataset, frame
        self._bits = dataset.prepared.images.set_index("image_id")["bits"]
        located = dataset.prepared.lesions.merge(
            dataset.catalogue.lesions[["lesion_id", "pathology"]], on="lesion_id"
        )
        self._lesions = dict(tuple(located[located["code"] > 0].groupby("image_id")))
        self._cache: dict[str, Framed]
        self.keep_on(torch.device("cpu"))

    def keep_on(self, device: torch.device) -> None:
        """Where mammograms are kept from now on; at most half of its free memory is used."""
        self._device = device
        free = psutil.virtual_memory().available
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
        bytes_each = 3 * self.frame.rows * self.frame.cols
        self._capacity = int(free / 2 / bytes_each)
        self._cache = {}

    def get(self, image_id: str) -> Framed:
        """The mammogram in the frame.

        Raises:
            DataError: It is too small for the network, or a lesion vanishes at this scale.
        """
        framed = self._cache.get(image_id)
        if framed is None:
            framed = self._make(image_id)
            if len(self._cache) < self._capacity:
                self._cache[image_id] = framed
        return framed

    def _make(self, image_id: str) -> Framed:
        prepared = self.dataset.prepared
        pixels, regions = prepared.pixels(image_id), prepared.regions(image_id)
        rows, cols = pixels.shape
        factor = self.frame.factor(rows, cols)
        size = (max(1, round(rows * factor)), max(1, round(cols * factor)))
        if min(size) < MIN_SIDE:
            raise DataError(
                f"{rows}×{cols} px, in the frame {size[0]}×{size[1]}: smaller than the {MIN_SIDE}"
                " px that the network can take.",
                f"image {image_id}",
                "Leave it out, or use a larger frame.",
            )
        white = 2.0 ** int(self._bits[image_id]) - 1
        grey = torch.from_numpy(np.asarray(pixels, dtype=np.float32) / np.float32(white))
        small = _resized(grey, size, smooth=True).half()
        marks = torch.from_numpy(np.array(regions))
        labels = self._labels(image_id, regions)
        reduced = _resized(marks, size, smooth=False)
        for code in labels:
            if not (reduced == code).any():
                raise DataError(
                    f"the box of lesion {code - 2} has zero area at {size[0]}×{size[1]} px.",
                    f"image {image_id}",
                    "Use a larger frame, or leave the image out.",
                )
        transform = prepared.transform(image_id)
        return Framed(
            image_id, self._placed(small), self._placed(reduced), size, labels, transform,
            (rows, cols),
        )  # fmt: skip

    def _labels(self, image_id: str, regions: npt.NDArray[np.uint8]) -> dict[int, int]:
        lesions = self._lesions.get(image_id)
        if lesions is None:
            return {}
        counts = np.bincount(np.asarray(regions).ravel(), minlength=256)
        return {
            int(code): LABELS.index(pathology)
            for code, pathology in zip(lesions["code"], lesions["pathology"], strict=True)
            if counts[int(code)]
        }

    def _placed(self, part: Tensor) -> Tensor:
        canvas = torch.zeros((self.frame.rows, self.frame.cols), dtype=part.dtype)
        canvas[: part.shape[0], : part.shape[1]] = part
        return canvas.to(self._device)


def _resized(array: Tensor, size: tuple[int, int], *, smooth: bool) -> Tensor:
    """Grey levels smoothly, without aliasing; region codes to the nearest."""
    batch = array[None, None]
    if smooth:
        return functional.interpolate(batch, size, mode="bilinear", antialias=True)[0, 0]
    return functional.interpolate(batch, size, mode="nearest-exact")[0, 0]


def varied(
    framed: Sequence[Framed], variations: Variations, frame: Frame, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Pictures float32 (n, 1, rows, cols) and regions uint8 (n, rows, cols), varied, on a device.

    Each is one resampling of its mammogram in the frame, about the middle of the mammogram.
    """
    pictures = torch.stack([part.picture for part in framed]).to(device).float()[:, None]
    regions = torch.stack([part.regions for part in framed]).to(device).float()[:, None]
    filled = np.array([part.size for part in framed], dtype=np.float64)
    grid = picture_grid(variations, (frame.rows, frame.cols), device, filled=filled)
    codes = grid.sample(regions, mode="nearest")[:, 0].to(torch.uint8)
    return spread_levels(grid.sample(pictures), level_factors(variations.gains, 1.0, device)), codes


def target_of(
    regions: Tensor, labels: dict[int, int], image_id: str, classes: int
) -> dict[str, Tensor]:
    """What a network learns from one picture: boxes, labels and masks of its lesions.

    Args:
        regions: Region codes of the picture, (rows, cols).
        labels: Code -> class; one that is not in the picture is passed over.
        image_id: For errors.
        classes: Of the network, with background.

    Raises:
        DataError: A class is out of range.
    """
    boxes, kinds, masks = [], [], []
    for code, label in labels.items():
        mask = regions == code
        rows, cols = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        if len(rows):
            ends = (cols[0], rows[0], cols[-1] + 1, rows[-1] + 1)
            boxes.append(torch.cat(ends).float())
            kinds.append(label)
            masks.append(mask.to(torch.uint8))
    shape, device = tuple(regions.shape), regions.device
    target = {
        "boxes": torch.stack(boxes) if boxes else torch.zeros((0, 4), device=device),
        "labels": torch.tensor(kinds, dtype=torch.int64, device=device),
        "masks": torch.stack(masks) if masks else regions.new_zeros((0, *shape)),
    }
    check_target(target, image_id, (int(shape[0]), int(shape[1])), classes)
    return target


def check_target(
    target: dict[str, Tensor], image_id: str, shape: tuple[int, int], classes: int
) -> None:
    """Every check of what a network learns from one picture.

    Args:
        target: boxes, labels, masks, as `target_of` gives them.
        image_id: For errors.
        shape: Rows and columns of the picture.
        classes: Of the network, with background.

    Raises:
        DataError: A box without area or outside the picture, a mask of another size or without
            pixels, a class out of range.
    """
    boxes, labels, masks = (target[name] for name in ("boxes", "labels", "masks"))
    location, remedy = f"image {image_id}", "Look at its outlines, or leave it out."
    if tuple(masks.shape[1:]) != shape or len(masks) != len(boxes):
        raise DataError(
            f"the masks lie outside the image: {tuple(masks.shape)} for {shape}.", location, remedy
        )
    for lesion, (x_min, y_min, x_max, y_max) in enumerate(boxes.tolist()):
        if not (x_max > x_min and y_max > y_min):
            raise DataError(f"the box of lesion {lesion} has zero area.", location, remedy)
        if x_min < 0 or y_min < 0 or x_max > shape[1] or y_max > shape[0]:
            raise DataError(
                f"the box of lesion {lesion} reaches outside the image.", location, remedy
            )
    empty = [lesion for lesion, mask in enumerate(masks) if not mask.any()]
    if empty:
        raise DataError(
            f"the mask of lesion {empty[0]} has no pixel in the image.", location, remedy
        )
    for label in labels.tolist():
        if not 1 <= label < classes:
            raise DataError(
                f"label {label} is out of range: the network has classes 1 to {classes - 1}.",
                location,
                "Use a network with more classes.",
            )


def detection_rows(framed: Framed, detections: dict[str, Tensor]) -> pd.DataFrame:
    """A picture's detections, on the CPU, as rows with boxes and masks of the original mammogram.

    Returns:
        image_id, label, score, score_* of each class, row_min to col_max, mask (packed).
    """
    chances = detections["class_scores"].double().cpu().numpy()
    chances = chances / chances.sum(axis=1, keepdims=True)
    masks = detections["masks"][:, 0].float().cpu().numpy() >= 0.5  # (n, side, side)
    if framed.transform.flipped:
        masks = masks[:, :, ::-1]
    boxes = [framed.box_to_original(box) for box in detections["boxes"].float().cpu().tolist()]
    packed = np.packbits(masks.reshape(len(masks), masks.shape[1] * masks.shape[2]), axis=1)
    names = {f"score_{label}": chances[:, code] for code, label in enumerate(LABELS)}
    labels = detections["labels"].cpu().numpy()
    return pd.DataFrame(
        {
            "image_id": framed.image_id,
            "label": [LABELS[code] for code in labels],
            "score": chances[np.arange(len(labels)), labels],
            **names,
            "row_min": [box.row_min for box in boxes],
            "col_min": [box.col_min for box in boxes],
            "row_max": [box.row_max for box in boxes],
            "col_max": [box.col_max for box in boxes],
            "mask": [row.tobytes() for row in packed],
        }
    )
