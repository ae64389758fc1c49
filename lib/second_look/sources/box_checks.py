"""Whether the boxes of a table are what they are taken for: in that order, of pictures that large.

A single box that is wrong costs its lesion the location, and is said. Boxes that are all read
wrongly lie in wrong places, and some of them seem to fit: then the whole table is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from second_look.decoding.dicom import Header
from second_look.decoding.masks import apart, read_mask
from second_look.decoding.pixels import read_header
from second_look.errors import DataError
from second_look.geometry import Box
from second_look.quarantine import Code
from second_look.sources import folder_values as cells
from second_look.sources.folder_records import DrawnBox, StatedSize, Table
from second_look.sources.folder_values import BOX_FORMATS, UnusableError

# More boxes than this outside their images: the format or the size is wrong, and those that seem
# to fit lie in wrong places. A single box of a table says nothing.
MISFITS = 0.1
# A box that reaches so far beyond the rows or columns is no box drawn a little too wide.
_BEYOND = 1.02
# Boxes are of larger pictures if none reaches beyond a share of the rows and of the columns that is
# this improbable where lesions lie anywhere: 0.6 for 20 boxes, 0.28 for 8. Breasts leave air at the
# border, so many boxes may all end at 0.8 of the columns: above _AIR that is no sign.
_IMPROBABLE = 1 / 25_000
_AIR = 0.7
# So many masks, spread over the table, are compared with the boxes beside them; the table is wrong
# if this share of them lies elsewhere.
_COMPARED, _CONTRADICTED = 20, 0.5
_WRONG_SIZE = "Give the images that they were drawn on, or scale the boxes."


def check_boxes(table: Table) -> None:
    """Raise a DataError if the boxes of a table were read in another way than they were written."""
    if not table.boxes:
        return
    _check_unit(table)
    _check_format(table)
    if not _masks_agree(table):
        _check_reach(table)


def size_drawn_on(
    table: Table,
    line: int | str,
    row: Mapping[str, str],
    image: Mapping[str, Any],
    header: Header,
    notes: cells.Notes,
) -> tuple[int, int] | None:
    """Rows and columns of the picture that boxes are drawn on; None if it has another shape."""
    stored = header.rows, header.cols
    numbers = [
        cells.known_number(row[name], name, notes) for name in ("stated_rows", "stated_cols")
    ]
    if None in numbers:
        return stored
    table_size = round(numbers[0] or 0), round(numbers[1] or 0)
    shapes = (stored, (header.rows, int(image["cols"])))
    same_shape = any(cells.same_shape(table_size, shape) for shape in shapes)
    size = StatedSize(table_size, stored, same_shape)
    table.sizes.setdefault(str(image["image_id"]), size)
    if same_shape:
        return table_size
    located = row["mask"] or row["boxes"]
    table.add_line(
        Code.SIZE_DIFFERS,
        f"the picture has another shape than the table states: {size}",
        effect="location unknown" if located else "kept, label uncertain",
        line=line,
        image_id=str(image["image_id"]),
    )
    return None


def check_stated_sizes(table: Table) -> None:
    """Say where pictures have another size than the table states.

    Raises:
        DataError: Most of them have another shape.
    """
    wrong = [key for key, size in table.sizes.items() if not size.same_shape]
    if 2 * len(wrong) > len(table.sizes):
        raise DataError(
            f"{len(wrong)} of {len(table.sizes)} pictures have another shape than the table "
            f"states, such as {wrong[0]}: {table.sizes[wrong[0]]}.",
            table.csv_path,
            "Give the pictures that were annotated, or correct the sizes.",
        )
    scaled = [key for key, size in table.sizes.items() if size.same_shape and size.differs]
    if scaled:
        table.quarantine.add(
            Code.SIZE_DIFFERS,
            f"{len(scaled)} pictures have another size than the table states, such as {scaled[0]}: "
            f"{table.sizes[scaled[0]]}; boxes and outlines are scaled",
            effect="kept, corrected",
            file=table.csv_path,
        )


def _parsed(boxes: Sequence[DrawnBox], box_format: str) -> Iterator[tuple[DrawnBox, Box]]:
    """The boxes that can be read, px of the picture that they are drawn on."""
    for drawn in boxes:
        try:
            yield drawn, cells.parse_box(drawn.text, box_format)
        except UnusableError:
            continue


def _check_unit(table: Table) -> None:
    boxes = [box for _, box in _parsed(table.boxes, "rowcol")]
    numbers = np.array([(box.row_min, box.col_min, box.row_max, box.col_max) for box in boxes])
    if numbers.size and numbers.min() >= 0 and numbers.max() <= 1:
        raise DataError(
            f"the numbers of all {len(boxes)} boxes lie between 0 and 1: they seem to be shares of "
            "the images.",
            table.csv_path,
            "Boxes are in px: multiply x and widths by the columns, y and heights by the rows.",
        )


def _misfits(boxes: Sequence[DrawnBox], box_format: str) -> int:
    """How many boxes are none in a format, or leave their pictures."""
    parsed = _parsed(boxes, box_format)
    return len(boxes) - sum(cells.fits(box, *drawn.drawn_on) for drawn, box in parsed)


def _check_format(table: Table) -> None:
    """Boxes that leave their images but all fit in another format were read in the wrong one."""
    misfits = {name: _misfits(table.boxes, name) for name in BOX_FORMATS}
    chosen = table.form.box_format
    better = [name for name in BOX_FORMATS if misfits[name] < misfits[chosen] / 4]
    if misfits[chosen] > MISFITS * len(table.boxes) and len(table.boxes) > 1 and better:
        raise DataError(
            f"{misfits[chosen]} of {len(table.boxes)} boxes lie outside their images as {chosen}; "
            f"they fit as {' or '.join(better)}.",
            table.csv_path,
            "Set box_format to what the boxes are, or correct them.",
        )


def _check_reach(table: Table) -> None:
    """Boxes that were drawn on larger or smaller copies of the pictures lie in wrong places."""
    ends = [
        (box.row_max / drawn.drawn_on[0], box.col_max / drawn.drawn_on[1])
        for drawn, box in _parsed(table.boxes, table.form.box_format)
        if box.height > 0 and box.width > 0
    ]
    if len(ends) < 2:
        return
    beyond = sum(max(end) > _BEYOND for end in ends)
    rows_reach, cols_reach = map(max, zip(*ends, strict=True))
    largest = max(rows_reach, cols_reach)
    within = largest < _AIR and largest ** len(ends) < _IMPROBABLE
    if beyond > MISFITS * len(ends) or within:
        raise DataError(
            f"the {len(ends)} boxes reach up to {rows_reach:.2g} times the rows and "
            f"{cols_reach:.2g} times the columns of their images, and {beyond} of them beyond: "
            "they seem to be made for images of another size.",
            table.csv_path,
            _WRONG_SIZE,
        )


def _masks_agree(table: Table) -> bool:
    """Whether boxes lie where the masks beside them do; False without a mask that can be read.

    Raises:
        DataError: Most of them lie elsewhere.
    """
    beside: dict[str, list[DrawnBox]] = {}
    for drawn in table.boxes:
        if drawn.mask_path:
            beside.setdefault(drawn.mask_path, []).append(drawn)
    paths = sorted(beside)[:: max(1, len(beside) // _COMPARED)]
    masks = {path: mask for path in paths if (mask := _mask(Path(path))) is not None}
    pairs = {path: beside[path] for path in masks}
    chosen = table.form.box_format
    elsewhere = _elsewhere(masks, pairs, chosen)
    if not masks or len(elsewhere) < _CONTRADICTED * len(masks):
        return bool(masks)
    problem = f"{len(elsewhere)} of {len(masks)} masks that were compared lie elsewhere than the "
    problem += f"boxes beside them, read as {chosen}"
    better = [
        name
        for name in BOX_FORMATS
        if len(_elsewhere(masks, pairs, name)) < len(elsewhere) / 4
        and _misfits(table.boxes, name) <= MISFITS * len(table.boxes)
    ]
    if better:
        raise DataError(
            f"{problem}; they agree as {' or '.join(better)}.",
            table.csv_path,
            "Set box_format to what the boxes are.",
        )
    factor = _factor(masks, {path: pairs[path] for path in elsewhere}, chosen)
    if len(_elsewhere(masks, pairs, chosen, factor)) < len(elsewhere) / 4:
        raise DataError(
            f"{problem}; {factor:.3g} times as large they agree: they seem to be made for images "
            "of another size.",
            table.csv_path,
            _WRONG_SIZE,
        )
    if len(masks) > 1:
        raise DataError(
            f"{problem}, such as {Path(elsewhere[0]).name}: one of the two is wrong.",
            table.csv_path,
            "Correct the table, or leave one out: columns: {mask: ''}.",
        )
    return False


def _mask(path: Path) -> npt.NDArray[np.bool_] | None:
    """A mask in its file's pixels, (rows, cols); None if it shows no lesion."""
    try:
        header = read_header(path)
        return read_mask(path, header.rows, header.cols)
    except DataError:
        return None


def _on(
    mask: npt.NDArray[np.bool_], boxes: Sequence[DrawnBox], box_format: str, factor: float
) -> list[Box]:
    """Boxes in px of a mask, `factor` times as large."""
    return [
        box.scaled(
            factor * mask.shape[0] / drawn.drawn_on[0], factor * mask.shape[1] / drawn.drawn_on[1]
        )
        for drawn, box in _parsed(boxes, box_format)
    ]


def _elsewhere(
    masks: Mapping[str, npt.NDArray[np.bool_]],
    pairs: Mapping[str, Sequence[DrawnBox]],
    box_format: str,
    factor: float = 1.0,
) -> list[str]:
    """The masks that lie apart from their boxes; those without a readable box agree."""
    located = {path: _on(masks[path], boxes, box_format, factor) for path, boxes in pairs.items()}
    return [path for path, boxes in located.items() if boxes and apart(masks[path], boxes)]


def _factor(
    masks: Mapping[str, npt.NDArray[np.bool_]],
    pairs: Mapping[str, Sequence[DrawnBox]],
    box_format: str,
) -> float:
    """How many times as far from the corner of the picture as their boxes the masks lie."""
    factors = []
    for path, boxes in pairs.items():
        located = _on(masks[path], boxes, box_format, 1.0)
        extent = Box.of_mask(masks[path])
        corners = np.array(
            [(box.row_min, box.col_min, box.row_max, box.col_max) for box in located]
        )
        if extent is None or not len(corners):
            continue
        ends = Box(*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0))
        ratios = zip(extent.centre, ends.centre, strict=True)
        factors += [of_mask / of_box for of_mask, of_box in ratios if of_box > 0]
    return float(np.median(factors)) if factors else 1.0
