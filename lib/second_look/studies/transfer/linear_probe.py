"""The trivial baseline of whole mammograms: a linear model of frozen features, with no training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from second_look.batches.pictures import Pictures, make_pictures
from second_look.catalogue import LABELS
from second_look.evaluation.intervals import Floats
from second_look.evaluation.predictions import from_classes
from second_look.evaluation.roc import auc
from second_look.models.classifier import RANDOM, Classifier, build_classifier, load_start
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.starts import PATCHES, PHANTOM, start_name
from second_look.studies.transfer.whole_image import UNITS

# Inverse strengths of the penalty to choose from, on validation patients.
_INVERSE_PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1)
_ITERATIONS = 1000


def start_from_elsewhere(starts: Sequence[str]) -> str:
    """The first start with weights from elsewhere; "" where there is none to probe."""
    of_run = (RANDOM, PHANTOM, PATCHES)
    return next((start for start in starts if start not in of_run), "")


def linear_probe(
    data: Dataset,
    *,
    architecture: str,
    starts: Sequence[str],
    size: tuple[int, int],
    folder: Path,
    weights: Sequence[Path],
) -> pd.DataFrame:
    """Logistic regression on the mean features of a network that never saw a mammogram.

    Its penalty is the one with the best AUC, malignant or not, on validation patients.

    Args:
        data: With its splits.
        architecture: Of the network.
        starts: Of the run's models; the first with weights from elsewhere is probed, if any.
        size: Rows and columns of the images, px.
        folder: Of the run.
        weights: Folders to search for ImageNet weights.

    Returns:
        Predictions of the validation and test images (`predictions.SCHEMA`); empty without such a
        start.
    """
    start = start_from_elsewhere(starts)
    if not start:
        return pd.DataFrame(columns=[*UNITS, "model"])
    network = build_classifier(architecture, seed=0)
    load_start(network, start, weights)
    pictures = make_pictures(data.prepared, size, folder / "dataset" / "pictures")
    images = data.catalogue.images.reset_index(drop=True)
    features = _features(network.eval(), pictures, list(images["image_id"]))
    training = (images["split"] == "train").to_numpy()
    model = _fit(features, images, training)
    units = images.loc[~training, UNITS]
    probabilities = np.zeros((len(units), len(LABELS)))
    probabilities[:, model.classes_] = model.predict_proba(features[~training])
    rows, cols = pictures.size
    facts = {"architecture": architecture, "start": start_name(start), "rows": rows, "cols": cols}
    name = f"linear model of frozen features, {rows}×{cols}, start {start_name(start)}"
    return from_classes(
        units, probabilities, unit="image", model=name, seed=0, averaged=False, **facts
    )


def _fit(features: Floats, images: pd.DataFrame, training: np.ndarray) -> Pipeline:
    """The model with the penalty that ranks validation images best; the strongest of equals."""
    truth = images["label"].map(LABELS.index).to_numpy()
    held_out = (images["split"] == "val").to_numpy()
    malignant = truth[held_out] == LABELS.index("malignant")
    models, aucs = [], []
    for inverse_penalty in _INVERSE_PENALTIES:
        regression = LogisticRegression(C=inverse_penalty, max_iter=_ITERATIONS)
        model = make_pipeline(StandardScaler(), regression)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a baseline
            models.append(model.fit(features[training], truth[training]))
        scores = model.predict_proba(features[held_out])[:, -1]
        defined = 0 < malignant.sum() < malignant.size
        aucs.append(auc(scores, malignant) if defined else 0.0)
    return models[int(np.argmax(aucs))]


@torch.inference_mode()
def _features(
    network: Classifier, pictures: Pictures, image_ids: list[str], *, batch_size: int = 8
) -> Floats:
    """Mean features of images, float64 (n, width)."""
    places, parts = pictures.places(image_ids), []
    for first in tqdm(range(0, len(places), batch_size), desc="frozen features", leave=False):
        pixels = pictures.levels(places[first : first + batch_size])
        batch = pixels.contiguous(memory_format=torch.channels_last)
        parts.append(network.features(batch).double().numpy())
    return np.concatenate(parts)
