"""The flow of images and patients from the source to the splits, as STARD draws it."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from second_look.catalogue import SPLITS
from second_look.studies.survey.cohort import EXCLUDED, READ, USED

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
# Characters in a line of a box of reasons.
LINE_LENGTH = 46


def flow(table: pd.DataFrame) -> Figure:
    """Boxes and arrows; `table` from studies.survey.cohort.flow."""
    excluded = table[table["stage"] == EXCLUDED]
    reasons = [
        textwrap.fill(f"{row.images:,.0f}: {row.reason}", LINE_LENGTH, subsequent_indent="   ")
        for row in excluded.itertuples()
    ]
    by_stage = table[table["stage"] != EXCLUDED].set_index("stage")
    height = 4.2 + 0.17 * sum(reason.count("\n") + 1 for reason in reasons)
    figure, axis = plt.subplots(figsize=(9, height))
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.set_axis_off()
    source = _box(axis, 0.25, 0.93, f"{by_stage.loc[READ, 'images']:,.0f} images in the source")
    total = int(excluded["images"].sum())
    reasons_text = "\n".join([f"{total:,} images left out", *reasons])
    left_out = _box(axis, 0.72, 0.7, reasons_text, align="left")
    used = _box(axis, 0.25, 0.45, f"used: {_described(by_stage.loc[USED])}")
    _arrow(axis, source, left_out)
    _arrow(axis, source, used)
    for x, split in zip((0.17, 0.5, 0.83), SPLITS, strict=True):
        box = _box(axis, x, 0.1, f"{SPLIT_NAMES[split]}: {_described(by_stage.loc[split])}")
        _arrow(axis, used, box)
    return figure


def _described(row: pd.Series) -> str:
    return (
        f"{row['images']:,.0f} images\nof {row['patients']:,.0f} patients\n"
        f"malignant: {row['positives']:,.0f} images,\n{row['positive_patients']:,.0f} patients"
    )


def _box(axis: Axes, x: float, y: float, text: str, align: str = "center") -> Text:
    frame = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "black"}
    return axis.text(
        x, y, text, ha="center", va="center", multialignment=align, fontsize=10, bbox=frame
    )


def _arrow(axis: Axes, start: Text, end: Text) -> None:
    """From the edge of one box to the edge of another."""
    arrow = {"arrowstyle": "->", "color": "black", "shrinkA": 0, "shrinkB": 2}
    arrow |= {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
    axis.annotate("", end.get_position(), start.get_position(), arrowprops=arrow)
