"""Controls: what a model reaches that cannot have learnt the task."""

from __future__ import annotations

import numpy as np
import pandas as pd

from second_look.catalogue import patient_keys
from second_look.evaluation.intervals import Estimate, Patients
from second_look.evaluation.predictions import classes, positive, probabilities
from second_look.evaluation.roc import auc_estimate, macro_auc_estimate

COLUMNS = ["control", "what", "value", "low", "high", "expected", "n"]


def shuffled(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Macro AUC of a model that learnt shuffled labels: it must end at chance.

    Args:
        predictions: Of patches of one split, from `patch_models.predict_patches`.
        seed: Of the bootstrap.

    Returns:
        COLUMNS; expected is what chance gives.
    """
    patients = Patients.from_ids(patient_keys(predictions))
    found = macro_auc_estimate(
        probabilities(predictions), classes(predictions), patients, seed=seed
    )
    return _row("labels shuffled", "macro AUC of patches", found, expected=0.5)


def source_only(images: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """What the name of the data set alone says about malignancy, on test images.

    Where data sets are mixed, a model can score by the scanner instead of the cancer: each image
    gets the share of malignant training images of its data set.

    Args:
        images: Of the catalogue: dataset, patient_id, split, label.
        seed: Of the bootstrap.

    Returns:
        As `shuffled`; empty where there is one data set only.
    """
    if images["dataset"].nunique() < 2:
        return pd.DataFrame(columns=COLUMNS)
    training, test = (images[images["split"] == split] for split in ("train", "test"))
    shares = positive(training["label"], "malignant")
    share_of = pd.Series(shares, index=training["dataset"]).groupby(level=0).mean()
    patients = Patients.from_ids(patient_keys(test))
    # A data set without training images is as suspicious as all of them together.
    scores = test["dataset"].map(share_of).fillna(shares.mean())
    found = auc_estimate(scores, positive(test["label"], "malignant"), patients, seed=seed)
    return _row("source only", "AUC of images", found)


def table(*parts: pd.DataFrame) -> pd.DataFrame:
    """Several controls as one table."""
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _row(control: str, what: str, found: Estimate, expected: float = np.nan) -> pd.DataFrame:
    row = (control, what, found.value, found.low, found.high, expected, found.n)
    return pd.DataFrame([row], columns=COLUMNS)
