"""Windows that patch classifiers learn from and are judged on, in notebooks 03, 04 and 06."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.evaluation.predictions import from_classes
from second_look.inference.windows import score_windows
from second_look.models.classifier import Classifier
from second_look.outputs import Run
from second_look.preparing.dataset import LAB, Dataset
from second_look.preparing.patches import HALF_RULE, labelled, window_table

# Where notebook 02 leaves the labelled windows for the notebooks that train on them.
WINDOWS = "predictions/windows.parquet"
# What names a window and what it shows.
WINDOW = ["image_id", "row", "col", "size", "label"]


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
            rule=HALF_RULE,
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
