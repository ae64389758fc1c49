"""Cells of a user's table: the usual spellings of labels, kinds, sides, splits, grades and boxes.

A cell that must be right (path, patient, label, split, aspect) raises `UnusableError`. A cell that
only describes is unknown where it cannot be understood, and `Notes` says so.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from second_look.catalogue import KINDS, LABELS, PHOTOMETRIC, SPLITS
from second_look.geometry import Box
from second_look.quarantine import Code

BOX_FORMATS = ("rowcol", "xywh", "xyxy")
# Drawn boxes sometimes exceed the image by a pixel: they are cut. A worse box is unusable.
BOX_TOLERANCE_PX = 1.0
_LABELS = {
    "cancer": "malignant",
    "malignancy": "malignant",
    "no finding": "normal",
    "no findings": "normal",
} | {name.replace("_", " "): name for name in LABELS}
_KINDS = {
    "masses": "mass",
    "nodule": "mass",
    "calc": "calcification",
    "calcifications": "calcification",
    "microcalcification": "calcification",
    "microcalcifications": "calcification",
    "suspicious calcification": "calcification",
    "architectural distortion": "distortion",
    "focal asymmetry": "asymmetry",
    "global asymmetry": "asymmetry",
    "asymmetries": "asymmetry",
    "skin thickening": "other",
    "skin retraction": "other",
    "nipple retraction": "other",
    "lymph node": "other",
    "suspicious lymph node": "other",
} | {name: name for name in KINDS}
_SIDES = {"": "", "l": "L", "left": "L", "lt": "L", "r": "R", "right": "R", "rt": "R"}
_SPLITS = {
    "": "",
    "training": "train",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "testing": "test",
} | {name: name for name in SPLITS}
# "4", "4.0", "4,0", "4a", "BI-RADS 4", "birads_4B", "Category 4", "IV": BI-RADS divides 4 only.
_GRADE = re.compile(
    r"(?:bi[\s_-]*rads)?[\s_:-]*(?:cat(?:egory|\.)?)?[\s_:-]*(?:(\d)|(iv|vi?|i{1,3}))(?:[.,]0*|[abc])?",
    re.IGNORECASE,
)
_ROMAN = ("", "i", "ii", "iii", "iv", "v", "vi")


class UnusableError(Exception):
    """Why a row cannot be used."""

    def __init__(self, reason: str, code: Code = Code.DESCRIPTION_UNUSABLE) -> None:
        super().__init__(reason)
        self.code = code


@dataclass
class Notes:
    """Values of a row that are unknown because they cannot be understood.

    Attributes:
        reasons: In words, one a cell.
    """

    reasons: list[str] = field(default_factory=list)

    def unknown(self, column: str, text: str, expected: str) -> None:
        """Add a cell."""
        self.reasons.append(f"the {column} {text!r} counts as unknown: expected {expected}")


def label(text: str, labels: Mapping[str, str]) -> str:
    """A label of LABELS.

    Args:
        text: The cell.
        labels: The user's own spellings -> LABELS; they go first. Numbers match however they are
            written, 1 as 1.0.

    Raises:
        UnusableError: It is none.
    """
    own_spellings = {_plain(key): str(value) for key, value in labels.items()}
    plain = _plain(text)
    name = own_spellings.get(plain) or _LABELS.get(plain, "")
    if name not in LABELS:
        expected = ", ".join(dict.fromkeys([*LABELS, *map(str, labels)]))
        raise UnusableError(
            f"unknown label {text!r}: expected {expected}; the parameter labels maps others",
            Code.LABEL_UNKNOWN,
        )
    return name


def _plain(text: object) -> str:
    """Small letters, single spaces, no list brackets, whole numbers without decimals."""
    words = re.sub(r"[\[\]'\"()]", " ", str(text)).replace("-", " ").replace("_", " ").lower()
    return re.sub(r"(?<!\S)(\d+)\.0*(?!\S)", r"\1", " ".join(words.split()))


def kind(text: str, notes: Notes) -> str:
    """A kind of KINDS, of a list the first; "other", and a note, where it is none."""
    names = [_KINDS.get(_plain(part)) for part in text.split(",")]
    if not any(names):
        notes.unknown("kind", text, ", ".join(KINDS))
    return next((name for name in names if name and name != "other"), "other")


def side(text: str, notes: Notes) -> str:
    """L, R, or "" where it is unknown."""
    name = _SIDES.get(text.lower())
    if name is None:
        notes.unknown("side", text, "left or right")
    return name or ""


def split(text: str) -> str:
    """A split of SPLITS, or "" for an empty cell.

    Raises:
        UnusableError: It is none: to guess would put a test patient into training.
    """
    if text.lower() not in _SPLITS:
        expected = ", ".join(filter(None, _SPLITS))
        raise UnusableError(f"unknown split {text!r}: expected {expected}")
    return _SPLITS[text.lower()]


def grade(text: str, column: str, maximum: int, notes: Notes) -> int | None:
    """A whole number from 0 to `maximum`, as BI-RADS categories are written; None if unknown."""
    if not text:
        return None
    match = _GRADE.fullmatch(text)
    value = int(match[1] or _ROMAN.index(match[2].lower())) if match else None
    if value is None or value > maximum:
        notes.unknown(column, text, f"a whole number from 0 to {maximum}")
        return None
    return value


def number(text: str, column: str) -> float | None:
    """A positive number, with a decimal point or comma; None if the cell is empty.

    Raises:
        UnusableError: It is something else.
    """
    if not text:
        return None
    try:
        value = float(text if "." in text else text.replace(",", ".", 1))
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UnusableError(f"expected a positive number as {column}. Got {text!r}")
    return value


def known_number(text: str, column: str, notes: Notes) -> float | None:
    """A positive number that only describes; None if it is unknown."""
    try:
        return number(text, column)
    except UnusableError:
        notes.unknown(column, text, "a positive number")
        return None


def bits(text: str) -> int:
    """Significant bits of a pixel, 1 to 16; 0 if the cell is empty.

    Raises:
        UnusableError: It is something else: a guess would change the brightness.
    """
    value = number(text, "bits") or 0
    if value not in range(17):
        raise UnusableError(f"expected a whole number from 1 to 16 as bits. Got {text!r}")
    return int(value)


def photometric(text: str) -> str:
    """One of PHOTOMETRIC; "" if the cell is empty.

    Raises:
        UnusableError: It is something else: a guess would make a negative of the picture.
    """
    name = text.upper().replace(" ", "")
    if name not in ("", *PHOTOMETRIC):
        raise UnusableError(f"expected {' or '.join(PHOTOMETRIC)} as photometric. Got {text!r}")
    return name


def required(text: str, column: str) -> str:
    """The text of a cell that may not be empty.

    Raises:
        UnusableError: It is.
    """
    if not text:
        raise UnusableError(f"the cell {column} is empty")
    return text


def without_decimals(patient: str) -> str:
    """The id of a patient without what spreadsheets add: spaces, and ".0" after a number."""
    return re.sub(r"^([^.]*\d)\.0+$", r"\1", " ".join(patient.split()))


def patient_key(patient: str) -> str:
    """What the spellings of one patient have in common: capitals and spaces do not count."""
    plain = unicodedata.normalize("NFKC", without_decimals(patient))
    return plain.casefold().replace(" ", "")


def loose_key(patient: str) -> str:
    """Of similar ids, which may be one patient's: letters and numbers without leading zeros."""
    return " ".join(
        part.lstrip("0") or "0" if part.isdigit() else part
        for part in re.findall(r"\d+|[^\W\d_]+", patient_key(patient))
    )


def almost_same(path: str, second: str) -> bool:
    """Whether two paths differ by a slip of the pen: marks, capitals, the ending, one letter more.

    Other numbers, or a letter instead of another (L and R), are how pictures differ.
    """
    numbers, letters = _numbers_and_letters(path)
    second_numbers, second_letters = _numbers_and_letters(second)
    difference = (letters - second_letters) + (second_letters - letters)
    return numbers == second_numbers and difference.total() <= 1


def _numbers_and_letters(path: str) -> tuple[list[str], Counter[str]]:
    stem = re.sub(r"\.[a-z]{2,5}$", "", path.casefold())
    return re.findall(r"\d+", stem), Counter(re.sub(r"[\W\d_]", "", stem))


def spread(text: str, separator: str, count: int, *, default: str = "") -> list[str] | None:
    """The values of a cell for `count` lesions; a single value, or the default, serves all.

    None where the cell holds another number of values.
    """
    if not text:
        return [default] * count
    values = [value.strip() for value in text.split(separator)]
    if len(values) == 1:
        values *= count
    return values if len(values) == count else None


def same_shape(size: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two sizes (rows, cols) have one aspect, but for rounding to whole px."""
    difference = abs(size[0] * second[1] - size[1] * second[0])
    return 2 * difference <= sum(size) + sum(second)


def parse_box(text: str, box_format: str) -> Box:
    """A box of the table, px of the file.

    Raises:
        UnusableError: It is not four numbers, or one is infinite.
    """
    try:
        first, second, third, fourth = (float(value) for value in text.split(","))
    except ValueError:
        raise UnusableError(f"expected a box of four numbers. Got {text!r}") from None
    if any(map(math.isinf, (first, second, third, fourth))):
        raise UnusableError(f"expected a box of finite numbers. Got {text[:60]!r}")
    if box_format == "xywh":
        return Box.from_xywh(first, second, third, fourth)
    if box_format == "xyxy":
        return Box(second, first, fourth, third)
    return Box(first, second, third, fourth)


def fits(box: Box, rows: int, cols: int) -> bool:
    """Whether a box has an area and lies in an image but for BOX_TOLERANCE_PX."""
    clipped = box.clipped(rows, cols)
    excess = max(
        clipped.row_min - box.row_min,
        clipped.col_min - box.col_min,
        box.row_max - clipped.row_max,
        box.col_max - clipped.col_max,
    )
    # Comparisons with NaN are false, so the condition states what a usable box is.
    return bool(excess <= BOX_TOLERANCE_PX and clipped.height > 0 and clipped.width > 0)


def box(
    text: str, box_format: str, drawn_on: tuple[int, int], image: tuple[int, int]
) -> dict[str, float]:
    """A box as columns of the catalogue, px of the square-pixel image; {} if the cell is empty.

    Args:
        text: The cell.
        box_format: One of BOX_FORMATS.
        drawn_on: Rows and columns of the picture that the box is drawn on, px.
        image: Of the image with square pixels.

    Raises:
        UnusableError: It is no box, or lies outside the picture.
    """
    if not text:
        return {}
    parsed = parse_box(text, box_format)
    rows, cols = drawn_on
    if not fits(parsed, rows, cols):
        raise UnusableError(f"the box {text!r} is empty or outside the {rows} x {cols} px image")
    return asdict(parsed.clipped(rows, cols).scaled(image[0] / rows, image[1] / cols))
