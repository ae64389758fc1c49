"""Classifiers over whole mammograms of one size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm.auto import tqdm

from second_look.batches.pictures import Pictures
from second_look.models.classifier import Classifier


def score_images(
    network: Classifier,
    pictures: Pictures,
    image_ids: Sequence[str],
    *,
    averaged: bool = False,
    batch_size: int = 8,
    quiet: bool = True,
) -> npt.NDArray[np.float64]:
    """Probabilities of the classes for whole mammograms.

    Args:
        network: In evaluation mode, on its device.
        pictures: All of one size.
        image_ids: Which of them.
        averaged: Average over the picture and its mirror image top to bottom (test-time
            augmentation).
        batch_size: Pictures at once.
        quiet: Without a progress bar.

    Returns:
        float64 (n, classes), rows sum to 1.
    """
    device = network.head.weight.device
    places = pictures.places(list(image_ids))
    parts = []
    starts = range(0, len(places), batch_size)
    with torch.inference_mode():
        for first in tqdm(starts, desc="whole mammograms", disable=quiet, leave=False):
            pixels = pictures.levels(places[first : first + batch_size], device)
            parts.append(_probabilities(network, pixels, averaged=averaged).cpu().numpy())
    scores: npt.NDArray[np.float64] = np.concatenate(parts)
    return scores


def _probabilities(network: Classifier, pixels: Tensor, *, averaged: bool) -> Tensor:
    """Double precision, so that rows sum to one; (n, classes)."""
    views = [pixels, pixels.flip(2)] if averaged else [pixels]
    channels_last = torch.channels_last
    scores = [network(v.contiguous(memory_format=channels_last)).double().softmax(1) for v in views]
    return torch.stack(scores).mean(0)
