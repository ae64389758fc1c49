"""Features of whole mammograms from a network that does not learn, and a linear model of them.

As a model of its own it is the trivial baseline. As the last layer that fine-tuning begins with, it
spares the features: gradients of a last layer that knows nothing distort them before it has learned
(Kumar et al. 2022, arXiv:2202.10054).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm.auto import tqdm

from second_look.batches.pictures import Pictures
from second_look.batches.sharing import digest
from second_look.catalogue import LABELS
from second_look.evaluation.intervals import Floats
from second_look.evaluation.roc import auc
from second_look.models.classifier import Classifier

# Inverse strengths of the penalty to choose from, on validation patients.
_INVERSE_PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1)
_ITERATIONS = 1000
# Below the lowest logit of a class that occurs: a class that does not occur has no chance.
_FAR_BELOW = 10.0


@torch.inference_mode()
def image_features(
    network: Classifier, pictures: Pictures, image_ids: Sequence[str], *, batch_size: int = 8
) -> Floats:
    """What the last layer of a network gets of each image, float64 (n, features).

    Args:
        network: In evaluation mode, on its device.
        pictures: All of one size.
        image_ids: Which of them.
        batch_size: Pictures at once.
    """
    device = network.head.weight.device
    places, parts = pictures.places(list(image_ids)), []
    for first in tqdm(range(0, len(places), batch_size), desc="frozen features", leave=False):
        pixels = pictures.levels(places[first : first + batch_size], device)
        maps = network.maps(pixels.contiguous(memory_format=torch.channels_last))
        parts.append(network.pooled(maps).double().cpu().numpy())
    features: Floats = np.concatenate(parts)
    return features


def fit_linear(features: Floats, images: pd.DataFrame) -> Pipeline:
    """Logistic regression of the labels of training images, its features standardised.

    Its penalty is the one with the best AUC, malignant or not, on validation patients; the
    strongest of equals.

    Args:
        features: float (n, features).
        images: Their n rows of the catalogue: split, label.
    """
    truth = images["label"].map(LABELS.index).to_numpy()
    training, held_out = ((images["split"] == name).to_numpy() for name in ("train", "val"))
    malignant = truth[held_out] == LABELS.index("malignant")
    models, aucs = [], []
    for inverse_penalty in _INVERSE_PENALTIES:
        regression = LogisticRegression(C=inverse_penalty, max_iter=_ITERATIONS)
        model = make_pipeline(StandardScaler(), regression)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a start
            models.append(model.fit(features[training], truth[training]))
        scores = probabilities(model, features[held_out])[:, -1]
        defined = 0 < malignant.sum() < malignant.size
        aucs.append(auc(scores, malignant) if defined else 0.0)
    return models[int(np.argmax(aucs))]


def probabilities(model: Pipeline, features: Floats) -> npt.NDArray[np.float64]:
    """Of all labels, (n, labels); 0 for those that the model has not seen."""
    chances = np.zeros((len(features), len(LABELS)))
    chances[:, model.classes_] = model.predict_proba(features)
    return chances


class LinearHead:
    """The last layer that fits the frozen features of training images best.

    Args:
        pictures: All of one size.
        images: Rows of the catalogue; those of the splits train and val are used.
    """

    def __init__(self, pictures: Pictures, images: pd.DataFrame) -> None:
        self._pictures = pictures
        self._images = images[images["split"] != "test"].reset_index(drop=True)

    def identity(self) -> Mapping[str, Any]:
        """What it is fitted to."""
        columns = ["image_id", "label", "split"]
        return {"head_fitted_to": digest(self._images[columns])}

    def parts(self) -> Sequence[object]:
        """What its numbers depend on besides its own code (see `Task.parts`)."""
        return (image_features, fit_linear, linear_layer)

    def __call__(self, network: Classifier) -> dict[str, Tensor]:
        """The state of the last layer of a network in evaluation mode."""
        features = image_features(network, self._pictures, list(self._images["image_id"]))
        return linear_layer(fit_linear(features, self._images))


def linear_layer(model: Pipeline) -> dict[str, Tensor]:
    """A linear model as a last layer: weight (labels, features) and bias (labels,), float32.

    The softmax of its logits are the probabilities of the model.
    """
    scaler, regression = (step for _, step in model.steps)
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:  # two labels: the logit of the second over the first
        weight, bias = np.vstack([-weight, weight]) / 2, np.hstack([-bias, bias]) / 2
    weight = weight / scaler.scale_
    bias = bias - weight @ scaler.mean_
    weights = torch.zeros(len(LABELS), weight.shape[1])
    biases = torch.full((len(LABELS),), float(bias.min() - _FAR_BELOW))
    weights[regression.classes_] = torch.from_numpy(weight).float()
    biases[regression.classes_] = torch.from_numpy(bias).float()
    return {"weight": weights, "bias": biases}
