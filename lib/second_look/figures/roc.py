"""ROC curves, whatever they are of."""

from __future__ import annotations

from itertools import cycle
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from second_look.figures.style import NEUTRAL, SERIES, legend_under

# Characters that fit beside a curve's line in the legend below the figure.
LEGEND_WIDTH = 52
# The same for one of three panels.
PANEL_WIDTH = 38


def roc_line(axis: Axes, curve: pd.DataFrame, colour: str, label: str) -> None:
    """One curve with its band: steps, as between two thresholds there is no operating point.

    Args:
        axis: To draw on.
        curve: Of evaluation.roc.roc_band: specificity, sensitivity, low, high.
        colour: Of curve and band.
        label: In the legend.
    """
    rising = curve.sort_values("specificity", ascending=False)
    alarms = 1 - rising["specificity"]
    axis.fill_between(
        alarms, rising["low"], rising["high"], step="post", color=colour, alpha=0.13, linewidth=0
    )
    axis.step(alarms, rising["sensitivity"], where="post", color=colour, label=label)


def roc_curves(curves: pd.DataFrame, points: pd.DataFrame | None = None) -> Figure:
    """Sensitivity against the share of false alarms, a panel a curve: bands would hide each other.

    Args:
        curves: name (of the legend), title (of the curve), specificity, sensitivity, low, high.
        points: Operating points: title of their curve, sensitivity, specificity, both with _low
            and _high.
    """
    titles = list(dict.fromkeys(curves["title"]))
    columns = min(3, len(titles))
    rows = -(-len(titles) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(max(5.2, 3.5 * columns), 4.6 * rows), squeeze=False
    )
    for axis in axes.flat[len(titles) :]:
        axis.set_axis_off()
    for axis, title, colour in zip(axes.flat, titles, cycle(SERIES), strict=False):
        part = curves[curves["title"] == title]
        axis.plot([0, 1], [0, 1], linestyle=":", color=NEUTRAL, label="chance: AUC 0.5")
        name = part["name"].iloc[0].removeprefix(f"{title}: ")
        roc_line(axis, part, colour, fill(name, PANEL_WIDTH))
        if points is not None:
            for point in points[points["title"] == title].itertuples():
                _operating_point(axis, point, colour)
        axis.set_title(fill(title, PANEL_WIDTH), fontsize=9)
        _frame(axis)
        legend_under(axis)
    return figure


def _operating_point(axis: Axes, point: Any, colour: str) -> None:  # noqa: ANN401
    """A dot with both intervals, where there are any."""
    ends = np.array(
        [[point.specificity_high - point.specificity, point.specificity - point.specificity_low],
         [point.sensitivity - point.sensitivity_low, point.sensitivity_high - point.sensitivity]]
    )  # fmt: skip
    horizontal, vertical = np.clip(np.nan_to_num(ends), 0, None)
    axis.errorbar(
        1 - point.specificity, point.sensitivity, xerr=horizontal[:, None], yerr=vertical[:, None],
        fmt="o", color=colour, markeredgecolor="white", capsize=3, zorder=3,
        label="threshold from validation patients",
    )  # fmt: skip


def _frame(axis: Axes) -> None:
    axis.set_xlim(-0.01, 1.01)
    axis.set_ylim(-0.01, 1.01)
    axis.set_aspect("equal")
    axis.set_xlabel("false alarms: 1 - specificity")
    axis.set_ylabel("sensitivity")
