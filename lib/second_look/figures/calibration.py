"""Figures of notebook 07, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from second_look.evaluation.recalibration import METHODS
from second_look.figures import the_paper
from second_look.figures.style import NEUTRAL, SERIES, legend_outside
from second_look.studies.calibration.measures import AS_IT_IS

# Characters that fit above a panel.
TITLE_WIDTH = 32


def method_colours() -> dict[str, str]:
    """Method -> its colour, AS_IT_IS first, then all METHODS in their order."""
    return dict(zip((AS_IT_IS, *METHODS), cycle(SERIES), strict=False))


def _drawn_methods(table: pd.DataFrame) -> dict[str, str]:
    """Colours of the methods that a table has rows of, in the order of `method_colours`."""
    present = set(table["method"])
    unknown = present - set(method_colours())
    if unknown:
        raise ValueError(f"a method must be one of {', '.join(method_colours())}. Got {unknown}.")
    return {method: colour for method, colour in method_colours().items() if method in present}


def reliability(table: pd.DataFrame, errors: Mapping[tuple[str, str], str]) -> Figure:
    """Reliability diagrams, a model a column, a method a row, each above the counts of its bins.

    Args:
        table: One kind of bins of studies.calibration.measures.reliability.
        errors: (title, method) -> what is written above the diagram, such as its ECE.
    """
    titles = list(dict.fromkeys(table["title"]))
    methods = _drawn_methods(table)
    figure = plt.figure(figsize=(0.6 + 3.0 * len(titles), 4.1 * len(methods)))
    rows = 2 * len(methods)
    axes = figure.subplots(
        rows, len(titles), sharex=True, squeeze=False, height_ratios=[3.2, 1] * len(methods)
    )
    for col, title in enumerate(titles):
        for row, (method, colour) in enumerate(methods.items()):
            part = table[(table["title"] == title) & (table["method"] == method)]
            diagram, histogram = axes[2 * row, col], axes[2 * row + 1, col]
            _diagram(diagram, part, colour)
            heading = f"{method}: {errors[title, method]}" if (title, method) in errors else method
            heading = heading.replace(" (", "\n(", 1)
            diagram.set_title(f"{_broken(title)}\n{heading}" if row == 0 else heading, fontsize=9)
            _counts(histogram, part, colour)
            if col == 0:
                diagram.set_ylabel("how often it is true")
                histogram.set_ylabel("units")
        axes[-1, col].set_xlabel("stated probability")
    return figure


def _broken(title: str) -> str:
    """A title on several lines: the model, then what it is asked."""
    model, _, question = title.rpartition(", ")
    return f"{fill(model, TITLE_WIDTH)}\n{question}"


def _diagram(axis: Axes, part: pd.DataFrame, colour: str) -> None:
    axis.plot([0, 1], [0, 1], linestyle=":", color=NEUTRAL)
    # The gap of each bin: what the calibration errors are made of.
    axis.vlines(part["probability"], part["probability"], part["frequency"], color=colour,
                linewidth=3, alpha=0.3)  # fmt: skip
    ends = [part["frequency"] - part["low"], part["high"] - part["frequency"]]
    axis.errorbar(
        part["probability"],
        part["frequency"],
        yerr=np.maximum(0, np.nan_to_num(np.array(ends))),
        fmt="o",
        markersize=4,
        linewidth=1,
        capsize=2,
        color=colour,
    )
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)


def _counts(axis: Axes, part: pd.DataFrame, colour: str) -> None:
    widths = part["high_edge"] - part["low_edge"]
    axis.bar(part["low_edge"], part["units"], widths, align="edge", color=colour, alpha=0.6,
             edgecolor="white", linewidth=0.5)  # fmt: skip
    axis.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.grid(visible=False, axis="x")


def errors_by_method(
    measured: pd.DataFrame, perfect: pd.DataFrame, titles: Mapping[int, str], name: str
) -> Figure:
    """A calibration error after every method, with intervals, beside that of a perfect model.

    Args:
        measured: Rows of one measure: group (a key of `titles`), method, value, low, high.
        perfect: The same of a perfect model with the same probabilities: mean and range.
        titles: Group -> how it is called, in the order of the rows.
        name: Of the measure, with its unit.
    """
    methods = _drawn_methods(measured)
    gap = min(0.14, 0.7 / len(methods))
    figure, axis = plt.subplots(figsize=(8, 1.6 + 0.85 * len(titles)))
    for row_index, group in enumerate(titles):
        for step, (method, colour) in enumerate(methods.items()):
            in_row = (measured["group"] == group) & (measured["method"] == method)
            y = row_index + (step - (len(methods) - 1) / 2) * gap
            of_perfect = perfect[(perfect["group"] == group) & (perfect["method"] == method)]
            for row in of_perfect.itertuples():
                axis.plot([row.low, row.high], [y, y], color=NEUTRAL, linewidth=5, alpha=0.35,
                          solid_capstyle="butt")  # fmt: skip
                axis.plot(row.value, y, "|", color="black", markersize=6)
            for row in measured[in_row].itertuples():
                axis.plot([row.low, row.high], [y, y], color=colour, linewidth=1.5)
                axis.plot(row.value, y, "o", color=colour, markersize=5)
    for method, colour in methods.items():
        axis.plot([], [], "o-", color=colour, label=method)
    axis.plot([], [], "|", color="black", label="a perfect model of this size")
    axis.set_yticks(range(len(titles)), [_broken(title) for title in titles.values()], fontsize=9)
    axis.set_ylim(len(titles) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.set_xlabel(name)
    legend_outside(figure, [axis], on_top=True)
    return figure


def error_against_depth(depths: pd.DataFrame) -> Figure:
    """ECE of ResNets against their depth: each seed with its interval, and after temperature."""
    families = list(depths.groupby(["family", "unit", "target"], sort=False))
    figure, axis = plt.subplots(figsize=(7.5, 4.4))
    for number, ((name, unit, target), part) in enumerate(families):
        colour = SERIES[number % len(SERIES)]
        label = f"{name}, {unit}, {target}"
        for shift, (_, per_seed) in enumerate(part.groupby("seed")):
            x = per_seed["depth"] * (1 + 0.02 * (number + shift))
            ends = [per_seed["ece"] - per_seed["low"], per_seed["high"] - per_seed["ece"]]
            axis.errorbar(x, per_seed["ece"], yerr=np.maximum(0, np.array(ends)), fmt="o",
                          markersize=5, capsize=3, color=colour,
                          label=label if shift == 0 else None)  # fmt: skip
            recalibrated = per_seed["ece_recalibrated"]
            axis.plot(x, recalibrated, "o", markersize=5, color=colour, fillstyle="none")
        axis.plot(part.groupby("depth")["ece"].mean(), color=colour, linewidth=1)
    axis.plot([], [], "o", color=NEUTRAL, fillstyle="none", label="after temperature")
    axis.set_xscale("log")
    ticks = sorted(depths["depth"].unique())
    axis.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(bottom=0)
    axis.set_xlabel("layers of the ResNet")
    axis.set_ylabel("ECE")
    legend_outside(figure, [axis])
    return figure


def confidence_bands(table: pd.DataFrame, example: tuple[float, float]) -> Figure:
    """Error promised and found by band of confidence; a model a panel, before and after.

    Args:
        table: Of studies.calibration.decisions.bands.
        example: The paper's: how sure a model is, 0 to 1, and how often it is then wrong, %.
    """
    titles = list(dict.fromkeys(table["title"]))
    width = max(5.2, 0.6 + 3.1 * len(titles))
    figure, axes = plt.subplots(1, len(titles), figsize=(width, 3.9), sharey=True, squeeze=False)
    starts = sorted(table["from"].unique())
    ends_of = table.set_index("from")["to"].to_dict()
    for axis, title in zip(axes.flat, titles, strict=True):
        rows_of_model = table[table["title"] == title]
        for step, (method, colour) in enumerate(_drawn_methods(rows_of_model).items()):
            part = rows_of_model[rows_of_model["method"] == method]
            x = [starts.index(start) + (step - 0.5) * 0.3 for start in part["from"]]
            ends = [part["observed"] - part["low"], part["high"] - part["observed"]]
            axis.errorbar(x, 100 * part["observed"], yerr=100 * np.nan_to_num(np.array(ends)),
                          fmt="o", markersize=5, capsize=3, color=colour,
                          label=f"found, {method}")  # fmt: skip
            axis.plot(x, 100 * part["promised"], "_", markersize=14, markeredgewidth=2,
                      color=colour, label=f"promised, {method}")  # fmt: skip
        band = sum(start <= example[0] for start in starts) - 1
        the_paper.points(axis, [band], [example[1]], says="'s example")
        names = [f"{start:g}\nto {ends_of[start]:g}" for start in starts]
        axis.set_xticks(range(len(starts)), names, fontsize=9)
        axis.set_xlim(-0.6, len(starts) - 0.4)
        axis.set_title(_broken(title), fontsize=9)
        axis.set_xlabel("confidence")
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel("wrong (%)")
    legend_outside(figure, axes.flat)
    return figure


def prevalence(table: pd.DataFrame) -> Figure:
    """Calibration where fewer are ill: what is said against what is, and the ECE."""
    titles = list(dict.fromkeys(table["title"]))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4 + 0.25 * len(titles)))
    for number, title in enumerate(titles):
        colour = SERIES[number % len(SERIES)]
        for corrected, line in (("no", "-"), ("yes", "--")):
            selected = (table["title"] == title) & (table["corrected"] == corrected)
            part = table[selected].sort_values("prevalence")
            x = 100 * part["prevalence"]
            left.plot(x, 100 * part["mean_probability"], line, marker="o", color=colour)
            right.plot(x, part["ece"], line, marker="o", color=colour)
            right.fill_between(x, part["low"], part["high"], color=colour, alpha=0.1, linewidth=0)
        left.plot([], [], color=colour, linewidth=4, label=title)
    left.plot([], [], "-", color=NEUTRAL, marker="o", label="as calibrated")
    left.plot([], [], "--", color=NEUTRAL, marker="o", label="corrected")
    ends = 100 * np.array([table["prevalence"].min(), table["prevalence"].max()])
    left.plot(ends, ends, ":", color=NEUTRAL, label="what is true")
    left.set_yscale("log")
    left.set_ylabel("mean probability stated (%)")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter(NullFormatter())
    right.set_ylabel("ECE, bins of equal mass")
    right.set_ylim(bottom=0)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("patients with cancer (%)")
    legend_outside(figure, [left])
    return figure


def thresholds(points: pd.DataFrame) -> Figure:
    """The probability at which a threshold lies, and how often units next to it are positive."""
    titles: Sequence[str] = list(dict.fromkeys(points["title"]))
    methods = _drawn_methods(points)
    width = max(5.2, 0.8 + 3.0 * len(titles))
    figure, axes = plt.subplots(1, len(titles), figsize=(width, 4.4), squeeze=False, sharey=True)
    for axis, title in zip(axes.flat, titles, strict=True):
        axis.plot([0, 1], [0, 1], linestyle=":", color=NEUTRAL)
        for method, colour in methods.items():
            part = points[(points["title"] == title) & (points["method"] == method)]
            ends = [part["observed"] - part["observed_low"],
                    part["observed_high"] - part["observed"]]  # fmt: skip
            axis.errorbar(part["threshold"], part["observed"],
                          yerr=np.nan_to_num(np.array(ends, dtype=float)), fmt="o", capsize=3,
                          color=colour, label=method)  # fmt: skip
        axis.set_title(_broken(title), fontsize=9)
        axis.set_xlabel("probability at the threshold")
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.set_aspect("equal")
    axes[0, 0].set_ylabel("positive among the units next to it")
    legend_outside(figure, axes.flat)
    return figure
