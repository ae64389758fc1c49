"""What notebook 01 records beside the paper's claims on its data."""

from __future__ import annotations

import pandas as pd

from second_look.catalogue import patient_keys
from second_look.evaluation.intervals import bootstrap_mean
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.verdicts import REPRODUCED

# Kind of lesion -> the claim about its mean area.
AREA_CLAIMS = {"calcification": "area-calc", "mass": "area-mass"}
NO_OUTLINES = "no verdict: circles or boxes around lesions, whose area is not that of the lesions"
# The paper's largest image, "nearly 5000×4000 px", and what "nearly" may mean.
LARGEST_ROWS, NEARLY = 5000, 0.05


def report_areas(run: Run, areas: pd.DataFrame, dataset: Dataset, *, seed: int) -> None:
    """Record the mean lesion areas beside the paper's, for the kinds that the data set has.

    Only outlines judge the claims: a circle or a box around a lesion has another area.

    Args:
        run: Of the notebook.
        areas: Of data_survey.lesion_areas.
        dataset: The data set.
        seed: Of the intervals.
    """
    for kind, claim_id in AREA_CLAIMS.items():
        lesions = areas[areas["kind"] == kind]
        outlined = lesions[lesions["outlined"]]
        used = lesions if outlined.empty else outlined
        if used.empty:
            continue
        area = bootstrap_mean(100 * used["share_of_image"], patient_keys(used), seed=seed)
        run.result(
            claim_id, area, figure="lesion_areas", synthetic=dataset.synthetic,
            how=f"mean share of the image, {dataset.name}, 95 % over patients",
            verdict=NO_OUTLINES if outlined.empty else None,
        )  # fmt: skip


def report_negatives(run: Run, dataset: Dataset) -> None:
    """Record the share of images without a malignancy; a collection of cases is no screening."""
    negative = dataset.catalogue.images["label"] != "malignant"
    run.result(
        "more-negatives", 100 * float(negative.mean()), n=len(negative), figure="labels_by_split",
        how=f"images of {dataset.name}", synthetic=dataset.synthetic,
        verdict="no verdict: a collection of cases has not the frequencies of a practice",
    )  # fmt: skip


def report_sizes(run: Run, dataset: Dataset) -> None:
    """Record the range of heights, and the largest image, beside the paper's."""
    images = dataset.catalogue.images
    rows, cols = int(images["rows"].max()), int(images["cols"].max())
    run.result(
        "size-range", rows, low=int(images["rows"].min()), high=rows, n=len(images),
        how="image height, px: smallest to largest", figure="film_sizes",
        synthetic=dataset.synthetic,
    )  # fmt: skip
    is_near = abs(rows - LARGEST_ROWS) <= NEARLY * LARGEST_ROWS
    run.result(
        "size-largest", rows, n=len(images), figure="film_sizes", synthetic=dataset.synthetic,
        how=f"greatest height; greatest width {cols:,} px",
        verdict=REPRODUCED if is_near else f"differs: up to {rows:,} rows and {cols:,} columns",
    )  # fmt: skip
