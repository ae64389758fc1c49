"""ROC curves, whatever they are of."""

from __future__ import annotations

from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from second_look.figures.style import NEUTRAL, SERIES

# Characters that fit beside a curve's line in the legend below the figure.
LEGEND_WIDTH = 52


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
    """Sensitivity against the share of false alarms, with bands, beside the line of chance.

    Args:
        curves: name (of the legend), title (of the curve), specificity, sensitivity, low, high.
        points: Operating points: title of their curve, sensitivity, specificity, both with _low
            and _high.
    """
    titles = list(dict.fromkeys(curves["title"]))
    height = 5.4 + 0.4 * len(titles)
    figure, axis = plt.subplots(figsize=(6.2, height))
    axis.plot([0, 1], [0, 1], linestyle=":", color=NEUTRAL, label="chance: AUC 0.5")
    for number, title in enumerate(titles):
        colour, part = SERIES[number % len(SERIES)], curves[curves["title"] == title]
        roc_line(axis, part, colour, fill(part["name"].iloc[0], LEGEND_WIDTH))
        points_of_curve = (
            points[points["title"] == title] if points is not None else curves.iloc[:0]
        )
        for point in points_of_curve.itertuples():
            axis.errorbar(
                1 - point.specificity,
                point.sensitivity,
                xerr=[
                    [point.specificity_high - point.specificity],
                    [point.specificity - point.specificity_low],
                ],
                yerr=[
                    [point.sensitivity - point.sensitivity_low],
                    [point.sensitivity_high - point.sensitivity],
                ],
                fmt="o",
                color=colour,
                markeredgecolor="white",
                capsize=3,
                zorder=3,
            )
    axis.set_xlim(-0.01, 1.01)
    axis.set_ylim(-0.01, 1.01)
    axis.set_aspect("equal")
    axis.set_xlabel("false alarms: 1 - specificity")
    axis.set_ylabel("sensitivity")
    figure.legend(loc="outside lower center", fontsize=9)
    return figure
