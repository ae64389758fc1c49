"""The feature space in which distances between sets of patches are measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.nn import functional

from second_look.batches.gan_mixtures import MixedBatches, RealPool
from second_look.catalogue import LABELS
from second_look.errors import ParameterError
from second_look.models.classifier import Classifier, build_classifier, load_imagenet
from second_look.models.inception import INCEPTION, URL, Inception
from second_look.preparing.dataset import Dataset
from second_look.preparing.patches import labelled
from second_look.training.classify import ClassifierSettings, InitialNetwork, fit_classifier
from second_look.training.loop import LoopSettings

FLOATS = npt.NDArray[np.float32]
Features = Callable[[FLOATS], FLOATS]
_BATCH = 64
_LEARNING_RATE = 1e-3


def feature_space(
    dataset: Dataset,
    windows: pd.DataFrame,
    *,
    architecture: str,
    weights: Path | None,
    size: int,
    steps: int,
    folder: Path,
    seed: int,
) -> Features:
    """A function that computes features of patches with a patch classifier.

    Args:
        dataset: Of the windows.
        windows: Of the training patients; the classifier is trained on their classes.
        architecture: Of models.classifier.Classifier, or inception_v3.
        weights: ImageNet weights to use as they are; None trains a classifier (except Inception,
            which needs weights).
        size: To which pictures are resampled first, px.
        steps: Updates of the training.
        folder: Of the run's checkpoints.
        seed: Of the training.

    Raises:
        ParameterError: The architecture is Inception, and there are no weights.
        CheckpointError: The weights are missing or do not fit.
    """
    if architecture == INCEPTION:
        if weights is None:
            raise ParameterError(f"{INCEPTION} comes with weights only. Download {URL}.")
        inception = Inception(weights)
        return lambda pictures: features_of(inception, pictures, size=size)
    if weights is not None:
        network = build_classifier(architecture, seed=seed)
        load_imagenet(network, weights)
        return lambda pictures: features_of(network.eval(), pictures, size=size)
    present = set(labelled(windows)["label"])
    labels = [label for label in LABELS if label in present]
    pool = RealPool(
        dataset.prepared, windows, labels, count=max(_BATCH, len(windows)), size=size, seed=seed
    )
    trained, _ = fit_classifier(
        "gan-features",
        InitialNetwork(architecture, channels=1),
        MixedBatches([pool], batch_size=_BATCH, seed=seed),
        ClassifierSettings(learning_rate=_LEARNING_RATE),
        LoopSettings(steps=steps, seed=seed),
        folder,
    )
    return lambda pictures: features_of(trained, pictures, size=size)


@torch.no_grad()
def features_of(network: Classifier | Inception, pictures: FLOATS, *, size: int) -> FLOATS:
    """Features (n, d) of pictures (n, rows, cols), averaged over positions, at `size` px."""
    device = next(network.parameters()).device
    parts = []
    for first in range(0, len(pictures), _BATCH):
        pixels = torch.from_numpy(pictures[first : first + _BATCH])[:, None].to(device)
        if pixels.shape[-1] != size:
            pixels = functional.interpolate(
                pixels, (size, size), mode="bilinear", antialias=True, align_corners=False
            )
        parts.append(network.features(pixels).float().cpu().numpy())
    features: FLOATS = np.concatenate(parts)
    return features
