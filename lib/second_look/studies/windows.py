"""Windows to train and evaluate patch classifiers on, for notebooks 03, 04 and 06."""

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
from second_look.preparing.dataset import LAB, Dataset, require
from second_look.preparing.patches import HALF_RULE, labelled, window_table

# The labelled windows that notebook 02 writes for the notebooks that train on them.
WINDOWS = "predictions/windows.parquet"
# Columns that identify a window and its content.
WINDOW = ["image_id", "row", "col", "size", "label"]


def open_windows(run: Run, dataset: Dataset, *, size: int) -> pd.DataFrame:
    """The labelled windows that notebook 02 wrote to the run's outputs.

    In the folder of notebooks that are opened by hand, they are computed with the default label
    rule if notebook 02 has not run, so that any notebook works by itself.

    Args:
        run: Of the calling notebook.
        dataset: The data set.
        size: Of a window, px, if they are computed.

    Raises:
        NotApplicableError: No lesion of the data set has a location.
        OutputError: Notebook 02 has not run for this set.
    """
    require(dataset, outlines=True)
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
    usable = labelled(windows)
    return usable[usable["split"] == "train"].reset_index(drop=True)


def sample_windows(
    windows: pd.DataFrame,
    *,
    split: str,
    max_windows: int,
    seed: int,
    labels: Sequence[str] = LABELS,
) -> pd.DataFrame:
    """Up to `max_windows` labelled windows of a split, drawn at random: classes keep their shares.

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
    drawn = usable.sample(n=min(max_windows, len(usable)), random_state=seed)
    return drawn.sort_index().reset_index(drop=True)


@dataclass(frozen=True)
class NamedNetwork:
    """A classifier and what a table of its predictions says about it.

    Attributes:
        model: Its name in the table.
        network: In evaluation mode.
        seed: Of its weights and batches.
        facts: More columns of the table: name -> value.
    """

    model: str
    network: Classifier
    seed: int
    facts: Mapping[str, object]


def predict_windows(
    networks: Sequence[NamedNetwork], data: Dataset, windows: pd.DataFrame, *, size: int
) -> pd.DataFrame:
    """Predictions of classifiers for the same windows (see predictions.SCHEMA).

    Args:
        networks: Trained.
        data: The data set.
        windows: From `sample_windows`.
        size: Of a patch as the networks get it, px.

    Returns:
        Columns row, col and size (px) of the window and the facts besides.
    """
    columns = ["dataset", "image_id", "patient_id", "split", "label", "row", "col", "size"]
    tables = [
        from_classes(
            windows[columns],
            score_windows(named.network, data.prepared, windows, size=size, quiet=False),
            unit="patch",
            model=named.model,
            seed=named.seed,
            **named.facts,
        )
        for named in networks
    ]
    return pd.concat(tables, ignore_index=True)
