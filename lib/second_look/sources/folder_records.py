"""What is collected from a user's table, and what the whole of it must be like.

An image is used whole or not at all: where one of its rows cannot be used, its other rows would
give it a milder label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from second_look.catalogue import PHOTOMETRIC
from second_look.errors import DataError, LostRowsError, first_few
from second_look.quarantine import Code, Quarantine
from second_look.sources import folder_values as cells
from second_look.sources.folder_values import BOX_FORMATS, UnusableError

# More boxes than this outside their images, all of which fit in another format: the format is
# wrong, and those that seem to fit lie in wrong places.
MISFITS = 0.1
# Boxes are of pictures of another size if that share lies beyond them, of so many at least, or if
# of so many none reaches beyond this share of the rows and of the columns: where lesions lie
# anywhere, that happens once in 25,000 sets.
_LEAST_BEYOND, _LEAST_WITHIN, _REACH = 5, 20, 0.6


@dataclass(frozen=True)
class FolderFormat:
    """How to read a table.

    Attributes:
        dataset: Name of the data set in the catalogue.
        columns: Standard column -> its name in this table, where it differs.
        labels: Spelling of a label in this table -> LABELS, where it is not usual.
        box_format: rowcol (row_min,col_min,row_max,col_max), xywh (x,y,width,height) or xyxy
            (x_min,y_min,x_max,y_max), in pixels of the file.
        separator: Between the lesions of one cell.
        kind: Kind of the lesions if the table has no such column.
        bits: Of the grey levels of files that do not say, if the table has no such column.
        photometric: One of PHOTOMETRIC, for files that do not say, likewise.
    """

    dataset: str
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    box_format: str = "rowcol"
    separator: str = "|"
    kind: str = "mass"
    bits: int = 0
    photometric: str = PHOTOMETRIC[1]


@dataclass
class Table:
    """Rows of the catalogue as they are collected.

    Attributes:
        images: image_id -> its row.
        lesions: Rows of lesions.
        lines: image_id -> lines of the table that describe it, and their labels.
        failures: image_id -> the first line that cannot be used, and why.
        boxes: Text of every box and size of its image, px of the file.
        other_endings: Ending in the table and ending of the file that is used -> number of files.
        drawn: Folder of masks that a reader drew, which may lie outside of the root.
    """

    csv_path: Path
    root: Path
    form: FolderFormat
    quarantine: Quarantine
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, list[tuple[int | str, str]]] = field(default_factory=dict)
    failures: dict[str, tuple[int | str, str]] = field(default_factory=dict)
    boxes: list[tuple[str, int, int]] = field(default_factory=list)
    lesion_count: Counter[str] = field(default_factory=Counter)
    other_endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    drawn: Path | None = None

    def add_line(
        self, code: Code, reason: str, *, effect: str, line: int | str, **ids: str
    ) -> None:
        """Add a line of the table to the quarantine."""
        row = self.line_name(line)
        self.quarantine.add(code, reason, effect=effect, file=self.csv_path, row=row, **ids)

    @staticmethod
    def line_name(line: int | str) -> str:
        """A line by its number, or another place of the table by its name."""
        return line if isinstance(line, str) else f"line {line}"


def drop_incomplete(table: Table) -> None:
    """Remove the images of which a row could not be used."""
    for image_id, (failing_line, reason) in table.failures.items():
        if table.images.pop(image_id, None) is None:
            continue
        table.lesions = [row for row in table.lesions if row["image_id"] != image_id]
        for line, _ in table.lines[image_id]:
            if line != failing_line:
                table.add_line(
                    Code.DESCRIPTION_UNUSABLE,
                    f"another row of this image, {table.line_name(failing_line)}, cannot be used: "
                    f"{reason}",
                    effect="image left out",
                    line=line,
                    image_id=image_id,
                )


def say_other_endings(table: Table) -> None:
    """One row for all files that have another ending than the table says."""
    for (in_table, ending), count in table.other_endings.items():
        table.quarantine.add(
            Code.FILE_OF_ANOTHER_FORMAT,
            f"{count} files end in {ending} where the table says {in_table or 'nothing'}; used",
            effect="kept, corrected",
            file=table.csv_path,
        )


def check_losses(table: Table, max_lost: float) -> None:
    """Not too many images, and no whole label, may be lost.

    Raises:
        LostRowsError: Names the labels and the commonest reasons; carries the quarantine.
    """
    lost = set(table.lines) - set(table.images)
    seen_labels: Counter[str] = Counter()
    kept_labels: set[str] = set()
    for image_id, lines in table.lines.items():
        for _, text in lines:
            seen_labels[text] += 1
            if image_id in table.images:
                kept_labels.add(text)
    vanished = [text for text in seen_labels if text not in kept_labels]
    share = len(lost) / len(table.lines)
    if share <= max_lost and not vanished:
        return
    problem = f"{len(lost)} of {len(table.lines)} images cannot be used"
    if vanished:
        problem += f", among them every row with the label {first_few(map(repr, vanished), 5)}"
    reasons = Counter(reason for _, reason in table.failures.values())
    examples = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
    raise LostRowsError(
        f"{problem}: {examples}.",
        table.csv_path,
        "Correct the table, map its labels (labels: {<spelling>: malignant}), or allow the loss "
        "(max_lost: 1).",
        table.quarantine.rows,
    )


def check_box_format(table: Table) -> None:
    """Boxes that leave their images but all fit in another format were read in the wrong one.

    Raises:
        DataError: Names the other format.
    """
    misfits = dict.fromkeys(BOX_FORMATS, 0)
    for text, rows, cols in table.boxes:
        for name in BOX_FORMATS:
            try:
                misfits[name] += not cells.fits(cells.parse_box(text, name), rows, cols)
            except UnusableError:
                misfits[name] += 1
    chosen = table.form.box_format
    better = [name for name in BOX_FORMATS if misfits[name] < misfits[chosen] / 4]
    if misfits[chosen] > MISFITS * len(table.boxes) and len(table.boxes) > 1 and better:
        raise DataError(
            f"{misfits[chosen]} of {len(table.boxes)} boxes lie outside their images as {chosen}; "
            f"they fit as {' or '.join(better)}.",
            table.csv_path,
            "Set box_format to what the boxes are, or correct them.",
        )


def check_box_sizes(table: Table) -> None:
    """Boxes that were drawn on larger or smaller copies of the pictures lie in wrong places.

    Raises:
        DataError: Says how far they reach.
    """
    ends = []
    for text, rows, cols in table.boxes:
        try:
            box = cells.parse_box(text, table.form.box_format)
        except UnusableError:
            continue
        if box.height > 0 and box.width > 0:
            ends.append((box.row_max / rows, box.col_max / cols))
    if not ends:
        return
    beyond = sum(max(end) > 1 + MISFITS for end in ends)
    rows_reach, cols_reach = map(max, zip(*ends, strict=True))
    larger = beyond >= _LEAST_BEYOND and beyond > MISFITS * len(ends)
    smaller = len(ends) >= _LEAST_WITHIN and max(rows_reach, cols_reach) < _REACH
    if larger or smaller:
        raise DataError(
            f"the {len(ends)} boxes reach up to {rows_reach:.2g} times the rows and "
            f"{cols_reach:.2g} times the columns of their images: they seem to be made for images "
            "of another size.",
            table.csv_path,
            "Give the images that they were drawn on, or scale the boxes.",
        )
