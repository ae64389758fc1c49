"""Which classes a data set has in which split: whether there is something to learn and to judge."""

from __future__ import annotations

from itertools import product

import pandas as pd

from second_look.catalogue import LABELS, SPLITS
from second_look.errors import NotApplicableError

# Notebooks that cut windows around lesions; 06 does so in part, and says where.
NEED_OUTLINES = ("02_patching", "03_dcgan", "04_gan_training_data", "05_mask_rcnn")
NO_OUTLINES = "it needs lesion outlines; this set has none"
WHOLE_IMAGES = "06_patch_transfer_learning"


def empty_cells(images: pd.DataFrame) -> list[str]:
    """Classes that the data set has but not in each split, such as "malignant in train"."""
    counts = pd.crosstab(images["label"], images["split"]).reindex(columns=SPLITS, fill_value=0)
    present = [label for label in LABELS if label in counts.index]
    return [
        f"{label} in {split}"
        for label, split in product(present, SPLITS)
        if counts.loc[label, split] == 0
    ]


def classes_problem(images: pd.DataFrame) -> str:
    """Why no model can be trained and judged on these images; "" where it can."""
    without = [split for split in SPLITS if split not in set(images["split"])]
    if without:
        return f"no image in {' and '.join(without)}"
    empty = empty_cells(images)
    if empty:
        return f"no image of a class in a split: {', '.join(empty)}"
    if images["label"].nunique() < 2:
        return f"every image is {images['label'].iloc[0]}: there is nothing to tell apart"
    return ""


def check_every_class(images: pd.DataFrame, quarantine: object) -> None:
    """A class that the data set has must be in each of its splits, or no model can be judged.

    Args:
        images: Of the catalogue.
        quarantine: Where it says what was left out.

    Raises:
        NotApplicableError: Names the classes and splits.
    """
    problem = classes_problem(images)
    if problem:
        raise NotApplicableError(
            f"{problem}.",
            location="table images",
            remedy="Use more patients, larger val_share and test_share, or another seed; a table "
            f"with a split must give all parts. What was left out is in {quarantine}.",
        )


def located_lesions(lesions: pd.DataFrame) -> int:
    """How many lesions of a catalogue have a mask, a box or a circle."""
    places = lesions[["row_min", "circle_row"]].notna().any(axis=1) | (lesions["mask_path"] != "")
    return int(places.sum())


def later_notebooks(images: pd.DataFrame, located: int) -> pd.DataFrame:
    """Which notebooks can work with these images.

    Args:
        images: Of the catalogue.
        located: Lesions with a box or an outline.

    Returns:
        notebook, can_run, reason ("" where it can).
    """
    no_class = classes_problem(images)
    outlines = no_class or ("" if located else NO_OUTLINES)
    in_part = "" if located else "whole images only: what looks at patches needs lesion outlines"
    rows = [(name, not outlines, outlines) for name in NEED_OUTLINES]
    rows += [
        (WHOLE_IMAGES, not no_class, no_class or in_part),
        ("07_calibration", not no_class, no_class and "it needs the predictions of 05 or 06"),
        ("08_scorecard", True, ""),
        ("09_one_mammogram", not no_class, no_class),
        ("10_external_test", True, "with a published model of another data set"),
    ]
    return pd.DataFrame(rows, columns=["notebook", "can_run", "reason"])
