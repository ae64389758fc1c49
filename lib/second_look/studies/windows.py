"""Windows that patch classifiers learn from and are judged on, in notebooks 03, 04 and 06."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from second_look.catalogue import LABELS, patient_keys
from second_look.errors import DataError
from second_look.evaluation.intervals import Floats, Patients
from second_look.evaluation.predictions import from_classes
from second_look.inference.windows import score_windows
from second_look.models.classifier import Classifier
from second_look.outputs import Run
from second_look.preparing.dataset import LAB, Dataset
from second_look.preparing.patches import LabelRule, labelled, window_table
from second_look.preparing.store import Prepared

# Where notebook 02 leaves the labelled windows for the notebooks that train on them.
WINDOWS = "predictions/windows.parquet"
# What names a window and what it shows.
WINDOW = ["image_id", "row", "col", "size", "label"]
# Probabilities (n, classes), true classes (n,) and patients -> name -> number.
Measures = Callable[[Floats, npt.NDArray[np.int64], Patients], Mapping[str, float]]


def open_windows(run: Run, dataset: Dataset, *, size: int) -> pd.DataFrame:
    """The labelled windows that notebook 02 left in the run's outputs.

    In the folder that notebooks opened by hand write to, they are made where notebook 02 has not
    run, at its default label rule, so that any notebook just works.

    Args:
        run: Of the notebook that asks.
        dataset: The data set.
        size: Of a window, px, where they are made.

    Raises:
        OutputError: Notebook 02 has not run for this set.
    """
    if run.folder.name == LAB and not (run.folder / WINDOWS).is_file():
        return window_table(
            dataset.prepared,
            dataset.catalogue,
            size=size,
            stride=max(1, size // 4),
            rule=LabelRule(),
        )
    return run.read_parquet(WINDOWS)


def training_windows(windows: pd.DataFrame) -> pd.DataFrame:
    """The labelled windows of the training patients."""
    own = labelled(windows)
    return own[own["split"] == "train"].reset_index(drop=True)


def sample_windows(
    windows: pd.DataFrame, *, split: str, most: int, seed: int, labels: Sequence[str] = LABELS
) -> pd.DataFrame:
    """Up to `most` labelled windows of a split, as they come: classes keep their shares.

    Raises:
        DataError: The split has no window with one of the labels.
    """
    usable = labelled(windows)
    usable = usable[(usable["split"] == split) & usable["label"].isin(labels)]
    if usable.empty:
        raise DataError(
            f"no window of split {split} has a label of {', '.join(labels)}.",
            "table of windows",
            "Use a smaller stride, or a more generous label rule, in notebook 02.",
        )
    drawn = usable.sample(n=min(most, len(usable)), random_state=seed)
    return drawn.sort_index().reset_index(drop=True)


@dataclass(frozen=True)
class JudgedNetwork:
    """A classifier whose answers go into a table.

    Attributes:
        model: Its name in the table.
        network: In evaluation mode.
        seed: Of its weights and batches.
        facts: What else the table says of it: column -> value.
    """

    model: str
    network: Classifier
    seed: int
    facts: Mapping[str, object]


def predict_windows(
    networks: Sequence[JudgedNetwork], data: Dataset, windows: pd.DataFrame, *, size: int
) -> pd.DataFrame:
    """Predictions of classifiers for the same windows (see predictions.SCHEMA).

    Args:
        networks: Trained.
        data: The data set.
        windows: Those to be judged, from `sample_windows`.
        size: Of a patch as the networks get it, px.

    Returns:
        Columns row, col and size (px) of the window and the facts besides.
    """
    columns = ["dataset", "image_id", "patient_id", "split", "label", "row", "col", "size"]
    parts = [
        from_classes(
            windows[columns],
            score_windows(one.network, data.prepared, windows, size=size, quiet=False),
            unit="patch",
            model=one.model,
            seed=one.seed,
            **one.facts,
        )
        for one in networks
    ]
    return pd.concat(parts, ignore_index=True)


class WindowValidation:
    """Measures of a network on validation windows, to be called while it learns.

    Args:
        prepared: The images.
        windows: Labelled.
        size: Of a patch as the network gets it, px.
        measures: Of its answers.
    """

    def __init__(
        self, prepared: Prepared, windows: pd.DataFrame, size: int, measures: Measures
    ) -> None:
        self._prepared, self._windows, self._size = prepared, windows, size
        self._measures = measures
        self._classes = windows["label"].map(LABELS.index).to_numpy(np.int64)
        self._patients = Patients.of(patient_keys(windows))

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Name -> number."""
        assert isinstance(network, Classifier)
        scores = score_windows(network, self._prepared, self._windows, size=self._size)
        return dict(self._measures(scores, self._classes, self._patients))
