"""The pixels of each lesion, from circle, mask or box, whichever the data set gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import label, regionprops

from second_look.decoding.masks import (
    AGREEING,
    LesionMask,
    pixels_in,
    read_lesion_mask,
    share_within,
)
from second_look.errors import DataError
from second_look.geometry import Box
from second_look.quarantine import Code

Mask = npt.NDArray[np.bool_]

# A lesion with more of the area of the breast is none: the largest outline of CDD-CESM, of a mass
# that fills the breast, has 0.68.
_MOST_OF_BREAST = 0.9
# What is so many times as large as the breast is most of the picture.
_MUCH_LARGER = 2


@dataclass(frozen=True)
class Outline:
    """Where a lesion is.

    Attributes:
        lesion_id, pathology: As in the catalogue.
        mask: Its pixels, bool (rows, cols) of the original; None where it has no usable place.
        inside_breast: Share of them on the breast, 0 to 1.
        code, problem: For the quarantine, of a lesion without a mask, or whose mask was corrected;
            None and "" otherwise.
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

    A mask most of which lies outside of all boxes contradicts them: the boxes count. A mask that
    gives no place, because it cannot be read, lies in the air or covers nearly all of the breast,
    gives way to the box too. A map of labels must have as many as lesions are listed, or boxes.

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
    return [
        _checked_or_box(outline, lesion, breast)
        for outline, lesion in zip(drawn, lesions, strict=True)
    ]


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
    return None if box is None else pixels_in([box], shape)


def _draw_from_mask(
    drawn: list[Outline],
    members: Sequence[int],
    lesions: Sequence[Mapping[str, Any]],
    path: Path,
    shape: tuple[int, int],
) -> None:
    """Share the connected parts of one mask file out among its lesions."""
    try:
        mask = read_lesion_mask(path, *shape)
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
    shared, code, problem = _shared_out(mask, members, boxed)
    for index in members:
        without_box = boxed and index not in boxed
        remark = "other lesions on it have boxes, and this one has none" if without_box else problem
        drawn[index] = replace(
            drawn[index],
            mask=shared.get(index),
            code=Code.LOCATION_UNUSABLE if without_box else code,
            problem=f"mask {path.name}: {remark}" if remark else "",
        )


def _shared_out(
    mask: LesionMask, members: Sequence[int], boxed: Mapping[int, Box]
) -> tuple[dict[int, Mask], Code | None, str]:
    """Lesion -> its pixels, if it has any; what is wrong with all of them, and in words."""
    union, shape, count = mask.labels > 0, mask.labels.shape, int(mask.labels.max())
    code = Code.MASK_INVERTED if mask.remark else None
    within = share_within(union, boxed.values())
    if boxed and within < AGREEING:
        problem = f"{within:.0%} of it lies in the boxes, which count"
        alone = {index: pixels_in([box], shape) for index, box in boxed.items()}
        return alone, Code.MASK_CONTRADICTED, problem
    if boxed:
        shared, remark = _by_boxes(mask, boxed)
        return shared, code or (Code.LOCATION_UNUSABLE if remark else None), mask.remark or remark
    if count == len(members):
        by_label = {index: mask.labels == number for number, index in enumerate(members, start=1)}
        return by_label, code, mask.remark
    if count > 1:
        problem = f"labels in it: {count}, lesions listed: {len(members)}"
        return {}, Code.LOCATION_UNUSABLE, problem
    # Without boxes and labels nobody can tell the lesions apart.
    problem = f"it does not tell its {len(members)} lesions apart: each of them has all of it"
    return dict.fromkeys(members, union), code or Code.LOCATION_UNUSABLE, mask.remark or problem


def _by_boxes(mask: LesionMask, boxed: Mapping[int, Box]) -> tuple[dict[int, Mask], str]:
    """Lesion -> the connected parts of the mask that its box covers most of, and a remark.

    Of a map with more labels than lesions, what meets no box is a lesion that is not listed.
    """
    union, shape = mask.labels > 0, mask.labels.shape
    unlisted = int(mask.labels.max()) > len(boxed)
    if len(boxed) == 1 and not unlisted:
        return dict.fromkeys(boxed, union), ""
    masks = {index: np.zeros(shape, dtype=bool) for index in boxed}
    left_out = 0
    for part in regionprops(label(mask.labels)):
        owner, meets = _owner(part.bbox, boxed)
        if meets or not unlisted:
            masks[owner][part.slice] |= part.image
        else:
            left_out += 1
    remark = f"parts of it that lie in no box and are not used: {left_out}" if left_out else ""
    # Two boxes on one part: the lesion is what of it lies in its box.
    return {
        index: pixels if pixels.any() else union & pixels_in([boxed[index]], shape)
        for index, pixels in masks.items()
    }, remark


def _owner(bbox: tuple[int, int, int, int], boxes: Mapping[int, Box]) -> tuple[int, bool]:
    """The lesion whose box covers most of a part of the mask, or the nearest; whether it does."""
    part = Box(*(float(number) for number in bbox))
    covered = {index: box.intersection(part).area for index, box in boxes.items()}
    best = max(covered, key=lambda index: covered[index])
    if covered[best] > 0:
        return best, True
    row, col = part.centre

    def distance(index: int) -> float:
        centre = boxes[index].centre
        return float(np.hypot(centre[0] - row, centre[1] - col))

    return min(boxes, key=distance), False


def _checked_or_box(outline: Outline, lesion: Mapping[str, Any], breast: Mask) -> Outline:
    """The outline if it is usable, else the box beside its mask if that is."""
    checked = _checked(outline, breast)
    # A mask with nothing in this box has parts in others: box and mask contradict each other.
    of_others = outline.mask is not None and not outline.mask.any()
    if checked.mask is not None or of_others or not lesion["mask_path"]:
        return checked
    boxed = _checked(replace(_blank(lesion), mask=_circle_or_box(lesion, breast.shape)), breast)
    if boxed.mask is None:
        return checked
    return replace(
        boxed, code=checked.code, problem=f"{checked.problem.rstrip('.')}; its box is used"
    )


def _checked(outline: Outline, breast: Mask) -> Outline:
    """The outline with its share on the breast, or without a place where it lies in the air."""
    mask = outline.mask
    if mask is None:
        return outline
    box = Box.of_mask(mask)
    if box is None:
        return replace(
            outline,
            mask=None,
            code=Code.LOCATION_UNUSABLE,
            problem="no pixel lies in the outline",
        )
    of_breast = np.count_nonzero(mask) / np.count_nonzero(breast)
    if of_breast > _MOST_OF_BREAST:
        return replace(
            outline,
            mask=None,
            code=Code.LOCATION_UNUSABLE,
            problem=_too_large(of_breast),
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


def _too_large(of_breast: float) -> str:
    if of_breast > _MUCH_LARGER:
        return (
            "the lesion would be far larger than the breast: the mask may be inverted, in a frame"
        )
    return f"the lesion would have {of_breast:.0%} of the area of the breast"
