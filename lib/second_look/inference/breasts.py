"""Two-view classifiers over breasts, and what they are validated by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from second_look.batches.breasts import view_places
from second_look.batches.pictures import Pictures
from second_look.evaluation.roc import auc
from second_look.models.two_views import TwoViewClassifier


def score_breasts(
    network: TwoViewClassifier,
    pictures: Pictures,
    breasts: pd.DataFrame,
    *,
    averaged: bool = False,
    batch_size: int = 4,
) -> npt.NDArray[np.float64]:
    """Probabilities of the classes for breasts, float64 (n, classes).

    Args:
        network: In evaluation mode, on its device.
        pictures: All of one size.
        breasts: Of `pair_views`.
        averaged: Average over the views and their mirror images top to bottom.
        batch_size: Breasts at once.
    """
    device, places = network.head.weight.device, view_places(pictures, breasts)
    parts = []
    with torch.inference_mode():
        for first in range(0, len(places), batch_size):
            of_batch = places[first : first + batch_size]
            pixels = pictures.levels(of_batch.ravel(), device).view(-1, 2, *pictures.size)
            turns = [pixels, pixels.flip(2)] if averaged else [pixels]
            scores = torch.stack([network(views).double().softmax(1) for views in turns])
            parts.append(scores.mean(0).cpu().numpy())
    probabilities: npt.NDArray[np.float64] = np.concatenate(parts)
    return probabilities


class BreastValidation:
    """AUC of a network, malignant or not, on validation breasts, to be called while it learns.

    Args:
        pictures: All of one size.
        breasts: Of `pair_views`.
    """

    def __init__(self, pictures: Pictures, breasts: pd.DataFrame) -> None:
        self._pictures, self._breasts = pictures, breasts
        self._malignant = (breasts["label"] == "malignant").to_numpy()
        self.has_both = 0 < self._malignant.sum() < len(self._malignant)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """The AUC; nothing where one of the classes is missing."""
        assert isinstance(network, TwoViewClassifier)
        if not self.has_both:
            return {}
        scores = score_breasts(network, self._pictures, self._breasts)[:, -1]
        return {"auc": auc(scores, self._malignant)}
