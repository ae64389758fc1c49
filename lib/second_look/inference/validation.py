"""What a classifier is measured by on validation patients while it learns.

These numbers choose the weights that are kept, so this code is part of a training's identity (see
`Task.parts`): it stands apart from the studies, which change more often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from second_look.batches.pictures import Pictures
from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation import classification
from second_look.evaluation.intervals import Floats, Patients, point_estimate
from second_look.evaluation.roc import auc, macro_auc
from second_look.inference.images import score_images
from second_look.inference.windows import score_windows
from second_look.models.classifier import Classifier
from second_look.preparing.store import Prepared

# Probabilities (n, classes), true classes (n,) and patients -> name -> number.
Measures = Callable[[Floats, npt.NDArray[np.int64], Patients], Mapping[str, float]]
# Bootstrap samples of an interval: fewer than in tables, since it is computed again and again.
_DRAWS = 500


class WindowValidation:
    """Measures of a network on validation windows, to be called while it learns.

    Args:
        prepared: The images.
        windows: Labelled.
        size: Of a patch as the network gets it, px.
        measures: Of its answers, such as `ranking` or `accuracy`.
    """

    def __init__(
        self, prepared: Prepared, windows: pd.DataFrame, size: int, measures: Measures
    ) -> None:
        self._prepared, self._windows, self._size = prepared, windows, size
        self._measures = measures
        self._classes = windows["label"].map(LABELS.index).to_numpy(np.int64)
        self._patients = Patients.from_ids(patient_keys(windows))

    def parts(self) -> Sequence[object]:
        """What its numbers depend on besides its own code (see `Task.parts`)."""
        return (self._measures,)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Name -> number."""
        assert isinstance(network, Classifier)
        scores = score_windows(network, self._prepared, self._windows, size=self._size)
        return dict(self._measures(scores, self._classes, self._patients))


def ranking(scores: Floats, classes: npt.NDArray[np.int64], patients: Patients) -> dict[str, float]:
    """Macro AUC and balanced accuracy; the macro AUC is 0.5 where no class has one."""
    balanced = classification.balanced_accuracy_statistic(classes, scores.argmax(axis=1), patients)
    return {
        "macro_auc": float(np.nan_to_num(macro_auc(scores, classes), nan=0.5)),
        "balanced_accuracy": float(point_estimate(balanced, patients)),
    }


def accuracy(
    scores: Floats, classes: npt.NDArray[np.int64], patients: Patients
) -> dict[str, float]:
    """Accuracy on real windows with its interval over patients, and balanced accuracy."""
    measures = classification.measures(
        classes, scores.argmax(axis=1), patients, seed=0, draws=_DRAWS
    )
    estimate = measures["accuracy"]
    return {
        "real_accuracy": estimate.value,
        "real_low": estimate.low,
        "real_high": estimate.high,
        "real_balanced_accuracy": measures["balanced_accuracy"].value,
    }


class ImageValidation:
    """AUC of a network, malignant or not, on validation images, to be called while it learns.

    Args:
        pictures: All of one size.
        images: Rows of the catalogue.
    """

    def __init__(self, pictures: Pictures, images: pd.DataFrame) -> None:
        self._pictures, self._ids = pictures, list(images["image_id"])
        self._malignant = (images["label"] == "malignant").to_numpy()
        self.has_both = 0 < self._malignant.sum() < len(self._malignant)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """The AUC; nothing where one of the classes is missing."""
        assert isinstance(network, Classifier)
        scores = score_images(network, self._pictures, self._ids)[:, -1]
        return {"auc": auc(scores, self._malignant)} if self.has_both else {}
