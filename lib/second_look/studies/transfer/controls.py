"""Controls: how well a model scores that cannot have learned the task."""

from __future__ import annotations

import numpy as np
import pandas as pd

from second_look.catalogue import patient_keys
from second_look.evaluation.intervals import Estimate, Patients
from second_look.evaluation.predictions import classes, positive, probabilities
from second_look.evaluation.roc import auc_estimate, macro_auc_estimate

COLUMNS = ["control", "measure", "value", "low", "high", "expected", "n"]


def shuffled_labels(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Macro AUC of a model that was trained on shuffled labels: it must be at chance.

    Args:
        predictions: Of patches of one split, from `patch_models.predict_patches`.
        seed: Of the bootstrap.

    Returns:
        One row of COLUMNS; `expected` is the value at chance.
    """
    patients = Patients.from_ids(patient_keys(predictions))
    estimate = macro_auc_estimate(
        probabilities(predictions), classes(predictions), patients, seed=seed
    )
    return _row("labels shuffled", "macro AUC of patches", estimate, expected=0.5)


def source_only(images: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """AUC of the name of the data set as the only predictor of malignancy, on test images.

    Where data sets are mixed, a model can recognize the scanner instead of the cancer. Here each
    image gets the share of malignant training images in its data set as its score.

    Args:
        images: Of the catalogue: dataset, patient_id, split, label.
        seed: Of the bootstrap.

    Returns:
        As `shuffled_labels`; empty if there is only one data set.
    """
    if images["dataset"].nunique() < 2:
        return pd.DataFrame(columns=COLUMNS)
    training, test = (images[images["split"] == split] for split in ("train", "test"))
    malignant = positive(training["label"], "malignant")
    shares = pd.Series(malignant, index=training["dataset"]).groupby(level=0).mean()
    # A data set without training images gets the share over all data sets.
    scores = test["dataset"].map(shares).fillna(malignant.mean())
    patients = Patients.from_ids(patient_keys(test))
    truth = positive(test["label"], "malignant")
    estimate = auc_estimate(scores, truth, patients, seed=seed)
    return _row("source only", "AUC of images", estimate)


def concatenate(*tables: pd.DataFrame) -> pd.DataFrame:
    """Several controls as one table."""
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def _row(control: str, measure: str, estimate: Estimate, expected: float = np.nan) -> pd.DataFrame:
    row = (control, measure, estimate.value, estimate.low, estimate.high, expected, estimate.n)
    return pd.DataFrame([row], columns=COLUMNS)
