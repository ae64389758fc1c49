"""Worked example of notebook 06: a batch of patches through the classifier."""

from __future__ import annotations

import pandas as pd
import torch

from second_look.batches.sampler import cut
from second_look.models.classifier import build_classifier
from second_look.preparing.dataset import Dataset
from second_look.studies.steps import BATCH, through_classifier
from second_look.studies.windows import training_windows


def patches_to_answers(
    data: Dataset, windows: pd.DataFrame, *, architecture: str, size: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A window of each label through the classifier before training.

    Args:
        data: The data set.
        windows: Of notebook 02.
        architecture: Of the classifier.
        size: Of a patch, px.
        seed: Of the weights.

    Returns:
        The steps, and a row a patch: where it is from, label, probabilities, answer, loss.
    """
    chosen = training_windows(windows).drop_duplicates("label").head(BATCH)
    chosen = chosen.reset_index(drop=True)
    pixels = torch.from_numpy(cut(data.prepared, chosen, size=size))[:, None]
    network = build_classifier(architecture, seed=seed)
    way, batch = through_classifier(network, pixels, list(chosen["label"]))
    return way, pd.concat([chosen[["image_id", "row", "col"]], batch.drop(columns="patch")], axis=1)
