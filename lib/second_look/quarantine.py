"""The quarantine: what of a data set could not be used, or only with a correction, and why.

Every row has a code, by which it is counted, and a reason in words, which says what was wrong.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import pandera.pandas as pa

from second_look.errors import DataError

# What became of an item.
EFFECTS = (
    "image left out",
    "lesion left out",
    "location unknown",
    "kept, corrected",
    "kept, label uncertain",
    "kept, levels uncertain",
    "kept, mask uncertain",
)


class Code(StrEnum):
    """Kinds of problems; the text of a code says what its rows have in common."""

    text: str

    def __new__(cls, value: str, text: str) -> Self:
        """A member whose value is the code and whose attribute `text` explains it."""
        member = str.__new__(cls, value)
        member._value_, member.text = value, text
        return member

    IMAGE_MISSING = "image_missing", "the file of the image does not exist"
    IMAGE_UNUSABLE = "image_unusable", "the file cannot be read, or shows no mammogram"
    VIEW_SPECIAL = (
        "view_special",
        "a spot, magnification or stereo view, a specimen or a scout: no whole breast",
    )
    NEGATIVE = "negative", "a negative, whose air is white: see photometric in README"
    BREAST_UNCERTAIN = "breast_uncertain", "the mask of the breast looks wrong: look at it"
    MIDDLE_FRAME = "middle_frame", "of several frames in a file the middle one is used"
    FILE_REPEATED = "file_repeated", "several files hold the same image or mask; one is used"
    FILE_OF_ANOTHER_FORMAT = (
        "file_of_another_format",
        "the file has another format than the data set as published, or than the table says",
    )
    FILE_UNDESCRIBED = "file_undescribed", "no usable description names the file"
    DESCRIPTION_UNUSABLE = "description_unusable", "the description of the image cannot be used"
    DESCRIPTION_REPEATED = "description_repeated", "a row or a case is repeated; the first counts"
    DESCRIPTIONS_MISSING = "descriptions_missing", "case descriptions that list lesions are missing"
    DESCRIPTIONS_DIFFER = "descriptions_differ", "descriptions of one image contradict each other"
    SIZE_DIFFERS = "size_differs", "file and description give different sizes or depths"
    ID_REPEATED = "id_repeated", "two lesions have the same id; the second is renamed"
    VALUE_UNKNOWN = "value_unknown", "a value cannot be used and counts as unknown"
    LABEL_UNKNOWN = "label_unknown", "the label of the image is unknown"
    PATIENT_IN_TEST_SET = "patient_in_test_set", "the patient is in the official test set too"
    CASE_IN_BOTH_SETS = (
        "case_in_both_sets",
        "the case is a patient of CBIS-DDSM too",
    )
    IMAGE_IN_TEST_SET = "image_in_test_set", "the image is in the official test set too"
    LOCATION_NOT_GIVEN = "location_not_given", "the data set gives no location of the lesion"
    LOCATION_UNUSABLE = "location_unusable", "the location is damaged, empty or outside the image"
    LOCATION_CORRECTED = "location_corrected", "the outline was cut at the edge, or closed"
    LESION_OFF_BREAST = "lesion_off_breast", "the middle of the lesion is not on the breast"
    LESION_CUT = "lesion_cut", "the crop around the breast leaves out part of the lesion"
    MASK_MISSING = "mask_missing", "no file is, or looks like, the mask of the lesion"
    MASK_UNREADABLE = "mask_unreadable", "the mask cannot be read"
    MASK_AMBIGUOUS = "mask_ambiguous", "several files are masks of the lesion, and they differ"
    MASK_OF_ANOTHER_IMAGE = "mask_of_another_image", "the mask has the shape of another image"
    MASK_INVERTED = "mask_inverted", "the mask has the lesion dark on a bright ground"
    MASK_CONTRADICTED = "mask_contradicted", "mask and box contradict each other: the box counts"
    MASK_RESAMPLED = "mask_resampled", "the mask has another size than the image: it is resampled"
    DEPTH_FOUND = (
        "depth_found",
        "the files do not say how many of their bits are used: the brightest of all levels does",
    )
    BITS_EXCEEDED = "bits_exceeded", "levels beyond the bits that the picture is said to have"
    UNPROCESSED = "unprocessed", "levels of a detector, not processed to be looked at"
    FEW_LEVELS = "few_levels", "the picture fills a small share of the levels of its depth"
    MASK_DEPTH = "mask_depth", "the mask has more than 8 bits, but only two values"


QUARANTINE = pa.DataFrameSchema(
    {
        "dataset": pa.Column(str),
        "image_id": pa.Column(str),
        "lesion_id": pa.Column(str),
        "file": pa.Column(str),
        "row": pa.Column(str),
        "effect": pa.Column(str, pa.Check.isin(EFFECTS)),
        "code": pa.Column(str, pa.Check.isin([code.value for code in Code])),
        "reason": pa.Column(str, pa.Check.str_length(min_value=1)),
    },
    strict=True,
    ordered=True,
    coerce=True,
)


class Quarantine:
    """Rows of the quarantine of one data set as they are collected.

    Attributes:
        rows: Records with the columns of QUARANTINE; every value is plain text.
    """

    def __init__(self, dataset: str, *, strict: bool = False) -> None:
        """Start empty; with `strict`, the first row raises an error instead."""
        self.dataset, self.strict = dataset, strict
        self.rows: list[dict[str, str]] = []

    def add(
        self,
        code: Code,
        reason: str,
        *,
        effect: str,
        file: object,
        row: str = "",
        image_id: str = "",
        lesion_id: str = "",
    ) -> None:
        """Add one row.

        Args:
            code: Kind of the problem.
            reason: What exactly is wrong, for people.
            effect: One of EFFECTS.
            file: Where the problem is.
            row: Which line or entry of the file, such as "line 3".
            image_id: Image concerned, "" where there is none or many.
            lesion_id: Lesion concerned, likewise.

        Raises:
            DataError: The same, where strict.
        """
        if self.strict:
            raise DataError(
                reason,
                location=f"{file} {row}".strip(),
                remedy="Correct it, or run without strict.",
            )
        self.rows.append(
            {
                "dataset": self.dataset,
                "image_id": image_id,
                "lesion_id": lesion_id,
                "file": str(file),
                "row": row,
                "effect": effect,
                "code": code.value,
                "reason": reason,
            }
        )
