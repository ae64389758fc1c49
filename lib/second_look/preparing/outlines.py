"""The pixels of each lesion, from circle, mask or box, whichever the data set gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import label, regionprops

from second_look.decoding.masks import LesionMask, read_lesion_mask
from second_look.errors import DataError
from second_look.geometry import Box
from second_look.quarantine import Code

Mask = npt.NDArray[np.bool_]

# A mask of which less lies in the boxes contradicts them, and by how much boxes are widened at each
# side, as a share of their length and in px. Of 1,592 masks of CBIS-DDSM at least 0.98 does.
_AGREEING, _SLACK, _SLACK_PX = 0.5, 0.1, 2.0
# A lesion with more of the area of the breast is none: the largest outline of CDD-CESM, of a mass
# that fills the breast, has 0.68.
_MOST_OF_BREAST = 0.9


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

    A mask most of which lies outside of all boxes contradicts them: the boxes count. A lesion that
    covers nearly all of the breast has no place.

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
    code: Code | None = Code.MASK_INVERTED if mask.remark else None
    problem = f"mask {path.name}: {mask.remark}" if mask.remark else ""
    within = _share_within(mask.labels > 0, boxed.values())
    if boxed and within < _AGREEING:
        code, masks = Code.MASK_CONTRADICTED, _in_boxes(boxed, shape)
        problem = f"mask {path.name}: {within:.0%} of it lies in the boxes, which count"
    else:
        masks = _shared_out(mask, members, boxed)
    for index, pixels in masks.items():
        drawn[index] = replace(drawn[index], mask=pixels, code=code, problem=problem)


def _shared_out(
    mask: LesionMask, members: Sequence[int], boxed: Mapping[int, Box]
) -> dict[int, Mask]:
    """Lesion -> its pixels."""
    union, shape = mask.labels > 0, mask.labels.shape
    if len(members) == 1:
        return {members[0]: union}
    if not boxed:
        if mask.labels.max() == len(members):
            return {index: mask.labels == number for number, index in enumerate(members, start=1)}
        # Without boxes nobody can tell the lesions apart: each is the whole mask.
        return dict.fromkeys(members, union)
    masks = {index: np.zeros(shape, dtype=bool) for index in boxed}
    for part in regionprops(label(mask.labels)):
        owner = _owner(part.bbox, boxed)
        masks[owner][part.slice] |= part.image
    # Two boxes on one part: the lesion is what of it lies in its box.
    return {
        index: pixels if pixels.any() else union & _pixels_in(boxed[index], shape)
        for index, pixels in masks.items()
    }


def _in_boxes(boxed: Mapping[int, Box], shape: tuple[int, int]) -> dict[int, Mask]:
    return {index: _pixels_in(box, shape) for index, box in boxed.items()}


def _share_within(mask: Mask, boxes: Iterable[Box]) -> float:
    """Share of a mask that lies in boxes, which are often drawn a little too narrow."""
    within = np.zeros_like(mask)
    for box in boxes:
        rows, cols = _SLACK * box.height + _SLACK_PX, _SLACK * box.width + _SLACK_PX
        within |= _pixels_in(
            Box(box.row_min - rows, box.col_min - cols, box.row_max + rows, box.col_max + cols),
            mask.shape,
        )
    return float(np.count_nonzero(mask & within) / np.count_nonzero(mask))


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
    row, col = (int(value) for value in box.centre)
    if not breast[row, col]:
        return replace(
            outline,
            mask=None,
            code=Code.LESION_OFF_BREAST,
            problem="the middle of the lesion lies in the air beside the breast",
        )
    of_breast = np.count_nonzero(mask) / np.count_nonzero(breast)
    if of_breast > _MOST_OF_BREAST:
        return replace(
            outline,
            mask=None,
            code=Code.LOCATION_UNUSABLE,
            problem=f"the lesion would have {of_breast:.0%} of the area of the breast",
        )
    return replace(outline, inside_breast=float((mask & breast).sum() / mask.sum()))
