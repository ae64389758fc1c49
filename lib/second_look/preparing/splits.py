"""Which classes a data set has in which split: whether there is something to learn and to judge."""

from __future__ import annotations

from itertools import product

import pandas as pd

from second_look.catalogue import LABELS, SPLITS
from second_look.errors import DataError


def empty_cells(images: pd.DataFrame) -> list[str]:
    """Classes that the data set has but not in each split, such as "malignant in train"."""
    counts = pd.crosstab(images["label"], images["split"]).reindex(columns=SPLITS, fill_value=0)
    present = [label for label in LABELS if label in counts.index]
    return [
        f"{label} in {split}"
        for label, split in product(present, SPLITS)
        if counts.loc[label, split] == 0
    ]


def check_every_class(images: pd.DataFrame, quarantine: object) -> None:
    """A class that the data set has must be in each of its splits, or no model can be judged.

    Args:
        images: Of the catalogue.
        quarantine: Where it says what was left out.

    Raises:
        DataError: Names the classes and splits.
    """
    empty = empty_cells(images)
    if empty:
        raise DataError(
            f"no image of a class in a split: {', '.join(empty)}.",
            location="table images",
            remedy="Use more patients, larger val_share and test_share, or another seed; what was "
            f"left out is in {quarantine}.",
        )


def later_notebooks(images: pd.DataFrame, located: int) -> pd.DataFrame:
    """Which notebooks can work with these images.

    Args:
        images: Of the catalogue.
        located: Lesions with a box or an outline.

    Returns:
        notebook, can_run, reason ("" where it can).
    """
    empty = empty_cells(images)
    no_class = f"no image of a class in a split: {', '.join(empty)}" if empty else ""
    no_place = "" if located else "no lesion has a box or an outline"
    everything = "; ".join(filter(None, (no_class, no_place)))
    needs = {
        "02_patching": everything,
        "03_dcgan": everything,
        "04_gan_training_data": everything,
        "05_mask_rcnn": everything,
        "06_patch_transfer_learning": everything,
        "07_calibration": "it needs the predictions of 05 or 06" if everything else "",
        "08_scorecard": "",
    }
    rows = [(name, not reason, reason) for name, reason in needs.items()]
    return pd.DataFrame(rows, columns=["notebook", "can_run", "reason"])
