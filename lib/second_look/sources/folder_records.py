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

from second_look.catalogue import LABELS, PHOTOMETRIC, worst
from second_look.errors import LostRowsError, first_few
from second_look.quarantine import Code, Quarantine
from second_look.sources import folder_values as cells
from second_look.sources.folder_values import UnusableError


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

    def label_texts(self, text: str) -> list[str]:
        """The labels of a cell; a label that the user mapped may hold the separator."""
        return [text] if text in self.labels else text.split(self.separator)


@dataclass(frozen=True)
class DrawnBox:
    """A box as the table has it.

    Attributes:
        text: The box.
        drawn_on: Rows and columns of the picture that it is drawn on, px.
        mask_path: Of the mask beside it; "" without one.
    """

    text: str
    drawn_on: tuple[int, int]
    mask_path: str


@dataclass(frozen=True)
class StatedSize:
    """The size of a picture in the table and in its file, (rows, cols), px."""

    in_table: tuple[int, int]
    in_file: tuple[int, int]
    same_shape: bool

    @property
    def differs(self) -> bool:
        """Whether they are different sizes."""
        return self.in_table != self.in_file

    def __str__(self) -> str:
        table, file = (f"{rows} x {cols} px" for rows, cols in (self.in_table, self.in_file))
        return f"stated {table}, in the file {file}"


@dataclass
class Table:
    """Rows of the catalogue as they are collected.

    Attributes:
        images: image_id -> its row.
        lesions: Rows of lesions.
        lines: image_id -> lines of the table that describe it, and their labels.
        failures: image_id -> the first line that cannot be used, and why.
        missing: (line, its cells) of the rows whose image is not there.
        boxes: Every box.
        sizes: image_id -> its size, where the table states one.
        spellings: Key of a patient -> how the table spells the id.
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
    missing: list[tuple[int | str, Mapping[str, str]]] = field(default_factory=list)
    boxes: list[DrawnBox] = field(default_factory=list)
    sizes: dict[str, StatedSize] = field(default_factory=dict)
    spellings: dict[str, set[str]] = field(default_factory=dict)
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


def join_patients(table: Table) -> None:
    """One id for each patient, however the table spells it: `cells.patient_key` says what is one.

    Similar ids that stay apart are said: if they are one patient's, training and test share her.
    """
    names = {
        key: min(map(cells.without_decimals, spellings))
        for key, spellings in table.spellings.items()
    }
    for record in table.images.values():
        record["patient_id"] = names[record["patient_id"]]
    several = [sorted(texts) for texts in table.spellings.values() if len(texts) > 1]
    similar: dict[str, list[str]] = {}
    for name in sorted(names.values()):
        similar.setdefault(cells.loose_key(name), []).append(name)
    similar_ids = [group for group in similar.values() if len(group) > 1]
    for groups, problem, effect in (
        (several, "patients spelled in several ways, each counted as one", "corrected"),
        (
            similar_ids,
            "groups of similar ids, counted as different patients",
            "label uncertain",
        ),
    ):
        if groups:
            example = " and ".join(map(repr, groups[0][:2]))
            table.quarantine.add(
                Code.DESCRIPTIONS_DIFFER,
                f"{problem}: {len(groups)}, such as {example}",
                effect=f"kept, {effect}",
                file=table.csv_path,
            )


def mark_doubtful(table: Table) -> None:
    """Images that may be milder than they are, since a worse row of them has a wrong path.

    That is an image of the same patient with the same side and view, or almost the same path.
    """
    of_patient: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for image_id, image in table.images.items():
        of_patient.setdefault(image["patient_id"], []).append((image_id, image))
    for line, row in table.missing:
        patient = cells.patient_key(row["patient"])
        for image_id, image in of_patient.get(patient, []):
            milder = LABELS.index(image["label"]) < _severity(table, row["label"])
            if milder and _may_be_of(table, row, image):
                reason = f"the file {row['path']!r} is not there, and may be a misspelling of this"
                table.failures.setdefault(image_id, (line, reason))


def _severity(table: Table, text: str) -> int:
    """The place in LABELS of the worst label of a cell; of one that cannot be read, the last."""
    try:
        labels = [cells.label(part, table.form.labels) for part in table.form.label_texts(text)]
    except UnusableError:
        return len(LABELS)
    return LABELS.index(worst(labels))


def _may_be_of(table: Table, row: Mapping[str, str], image: Mapping[str, Any]) -> bool:
    side, view = cells.side(row["side"], cells.Notes()), row["view"].upper()
    if side and view and (side, view) == (image["laterality"], image["view"]):
        return True
    path = Path(image["path"]).relative_to(table.root).as_posix()
    return cells.almost_same(row["path"].replace("\\", "/"), path)


def say_lost_malignant(table: Table) -> None:
    """One row for the malignant rows of the table that are lost, which the terminal repeats."""
    lines = [
        table.line_name(line)
        for image_id, rows in table.lines.items()
        for line, text in rows
        if image_id not in table.images and _severity(table, text) == LABELS.index("malignant")
    ]
    if lines:
        table.quarantine.add(
            Code.DESCRIPTION_UNUSABLE,
            f"lost rows with the label malignant: {len(lines)} ({first_few(lines, 5)})",
            effect="image left out",
            file=table.csv_path,
        )


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
