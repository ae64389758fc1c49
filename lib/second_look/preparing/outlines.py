"""The pixels of each lesion, from circle, mask or box, whichever the data set gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import label, regionprops

from second_look.decoding.pixels import read_mask
from second_look.errors import DataError
from second_look.geometry import Box
from second_look.quarantine import Code

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outline:
    """Where a lesion is.

    Attributes:
        lesion_id, pathology: As in the catalogue.
        mask: Its pixels, bool (rows, cols) of the original; None where it has no usable place.
        inside_breast: Share of them on the breast, 0 to 1.
        code, problem: For the quarantine, of a lesion without a mask; None and "" if it is usable.
    """

    lesion_id: str
    pathology: str
    mask: Mask | None = None
    inside_breast: float = 0.0
    code: Code | None = None
    problem: str = ""

    @property
    def area_px(self) -> int:
        """Pixels of the outline, original px."""
        return 0 if self.mask is None else int(self.mask.sum())


def draw_outlines(lesions: Sequence[Mapping[str, Any]], breast: Mask) -> list[Outline]:
    """One outline a lesion, in the order given.

    A lesion is its circle, or its part of the mask file, or its box. Lesions that share a mask
    file share out its connected parts: each part goes to the box that covers most of it, a part
    that no box meets to the nearest box. A lesion without a place, with an unreadable or empty
    mask, or whose middle lies in the air gets no mask, and the problem says why.

    Args:
        lesions: Rows of the catalogue's lesion table, all of one image.
        breast: Mask of the breast, bool (rows, cols).
    """
    drawn = [_blank(lesion) for lesion in lesions]
    for path in dict.fromkeys(
        str(lesion["mask_path"]) for lesion in lesions if lesion["mask_path"]
    ):
        members = [i for i, lesion in enumerate(lesions) if lesion["mask_path"] == path]
        _draw_from_mask(drawn, members, lesions, Path(path), breast.shape)
    for index, lesion in enumerate(lesions):
        if not lesion["mask_path"]:
            drawn[index] = replace(drawn[index], mask=_circle_or_box(lesion, breast.shape))
    return [_checked(outline, breast) for outline in drawn]


def _blank(lesion: Mapping[str, Any]) -> Outline:
    return Outline(str(lesion["lesion_id"]), str(lesion["pathology"]))


def _box_of(lesion: Mapping[str, Any]) -> Box | None:
    numbers = [float(lesion[name]) for name in ("row_min", "col_min", "row_max", "col_max")]
    return Box(*numbers) if np.isfinite(numbers).all() else None


def _circle_or_box(lesion: Mapping[str, Any], shape: tuple[int, int]) -> Mask | None:
    """Pixels within the radius of the centre pixel, else those whose centres lie in the box."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    if np.isfinite(float(lesion["circle_radius"])):
        row_offset, col_offset = (
            rows - float(lesion["circle_row"]),
            cols - float(lesion["circle_col"]),
        )
        return np.asarray(row_offset**2 + col_offset**2 <= float(lesion["circle_radius"]) ** 2)
    box = _box_of(lesion)
    return None if box is None else _pixels_in(box, shape)


def _draw_from_mask(
    drawn: list[Outline],
    members: Sequence[int],
    lesions: Sequence[Mapping[str, Any]],
    path: Path,
    shape: tuple[int, int],
) -> None:
    """Share the connected parts of one mask file out among its lesions."""
    try:
        union = read_mask(path, *shape)
    except DataError as error:
        for index in members:
            drawn[index] = replace(
                drawn[index],
                code=Code.MASK_UNREADABLE,
                problem=f"mask {path.name}: {error.problem}",
            )
        return
    boxes = {index: _box_of(lesions[index]) for index in members}
    boxed = {index: box for index, box in boxes.items() if box is not None}
    if len(members) == 1 or not boxed:
        # Without boxes nobody can tell the lesions apart: each is the whole mask.
        for index in members:
            drawn[index] = replace(drawn[index], mask=union)
        return
    masks = {index: np.zeros(shape, dtype=bool) for index in boxed}
    parts = label(union)
    for part in regionprops(parts):
        owner = _owner(part.bbox, boxed)
        masks[owner][part.slice] |= part.image
    for index, mask in masks.items():
        if mask.any():
            drawn[index] = replace(drawn[index], mask=mask)
        else:
            # Two boxes on one part: the lesion is what of it lies in its box.
            drawn[index] = replace(drawn[index], mask=union & _pixels_in(boxed[index], shape))


def _owner(bbox: tuple[int, int, int, int], boxes: Mapping[int, Box]) -> int:
    """The lesion whose box covers most of a part of the mask; the nearest, where none does."""
    part = Box(*(float(number) for number in bbox))
    covered = {index: box.intersection(part).area for index, box in boxes.items()}
    best = max(covered, key=lambda index: covered[index])
    if covered[best] > 0:
        return best
    row, col = part.centre

    def distance(index: int) -> float:
        centre = boxes[index].centre
        return float(np.hypot(centre[0] - row, centre[1] - col))

    return min(boxes, key=distance)


def _pixels_in(box: Box, shape: tuple[int, int]) -> Mask:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    in_rows = (rows + 0.5 >= box.row_min) & (rows + 0.5 < box.row_max)
    return np.asarray(in_rows & (cols + 0.5 >= box.col_min) & (cols + 0.5 < box.col_max))


def _checked(outline: Outline, breast: Mask) -> Outline:
    """The outline with its share on the breast, or without a place where it lies in the air."""
    mask = outline.mask
    if mask is None or outline.problem:
        return outline
    box = Box.of_mask(mask)
    if box is None:
        return replace(
            outline,
            mask=None,
            code=Code.LOCATION_UNUSABLE,
            problem="no pixel lies in the outline",
        )
    row, col = (int(value) for value in box.centre)
    if not breast[row, col]:
        return replace(
            outline,
            mask=None,
            code=Code.LESION_OFF_BREAST,
            problem="the middle of the lesion lies in the air beside the breast",
        )
    return replace(outline, inside_breast=float((mask & breast).sum() / mask.sum()))
