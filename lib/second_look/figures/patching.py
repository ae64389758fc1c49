"""Figures of notebook 02, patching."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from second_look.catalogue import LABELS
from second_look.figures import the_paper
from second_look.figures.style import (
    LABEL_COLOURS,
    SERIES,
    grid,
    label_name,
    legend_outside,
    millimetre_bar,
    show_mammogram,
)
from second_look.preparing.views import View

EXCLUDED_COLOURS = {
    "off breast": "#999999",
    "partial lesion": "#CC79A7",
    "unlocated lesion": "#F0E442",
}


def counts_against_stride(counts: pd.DataFrame, paper_low: float, paper_high: float) -> Figure:
    """Patches against stride, as studies.survey.patching counts them; the paper's range shaded."""
    figure, axis = plt.subplots(figsize=(8, 4.6))
    lines = (
        ("image", "whole image", ":"),
        ("crop", "crop around the breast", "--"),
        ("breast", "windows on the breast", "-"),
        ("breast_augmented", "on the breast, flips and quarter turns (×8)", "-"),
    )
    for colour, (column, label, line) in zip(SERIES, lines, strict=False):
        axis.plot(counts["stride"], counts[column], line, marker="o", color=colour, label=label)
    the_paper.level_range(axis, paper_low, paper_high)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(counts["stride"], [f"{stride}" for stride in counts["stride"]])
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set_xlabel("stride (px)")
    axis.set_ylabel("patches (n)")
    legend_outside(figure, [axis])
    return figure


def class_shares(balance: pd.DataFrame, name: str, xlabel: str) -> Figure:
    """Share of the lesion classes against a setting; the rest of the windows is normal."""
    figure, axis = plt.subplots(figsize=(7, 4))
    settings = sorted(balance[name].unique())
    labelled = balance.groupby(name)["windows"].sum()
    for label in LABELS[1:]:
        part = balance[balance["label"] == label].set_index(name).reindex(settings)
        if part["windows"].sum() == 0:
            continue
        axis.plot(
            range(len(settings)),
            100 * part["share"],
            marker="o",
            color=LABEL_COLOURS[label],
            label=label_name(label),
        )
    ticks = [f"{setting:g}\nn = {labelled[setting]:,}" for setting in settings]
    axis.set_xticks(range(len(settings)), ticks, fontsize=9)
    axis.set_xlabel(f"{xlabel}; n: labelled windows")
    axis.set_ylabel("share of labelled windows (%)")
    axis.set_ylim(bottom=0)
    if axis.lines:
        figure.legend(loc="outside upper center", ncols=3)
    else:
        axis.text(0.5, 0.5, "no window of a lesion", transform=axis.transAxes, ha="center")
    return figure


def label_rule(view: View, windows: pd.DataFrame, px_per_view: float) -> Figure:
    """One prepared mammogram, and beside it the centre of every window in its class's colour.

    Args:
        view: Of the prepared image.
        windows: The windows of that image, from patches.window_table.
        px_per_view: Prepared pixels for one pixel of the view.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 6), sharex=True, sharey=True)
    show_mammogram(axes[0], view)
    show_mammogram(axes[1], view, outlines=False, bar=False)
    rows = (windows["row"] + windows["size"] / 2) / px_per_view
    cols = (windows["col"] + windows["size"] / 2) / px_per_view
    group = windows["label"].where(windows["excluded"] == "", windows["excluded"])
    for name, colour in (LABEL_COLOURS | EXCLUDED_COLOURS).items():
        in_group = (group == name).to_numpy()
        if in_group.any():
            label = f"{label_name(name)} (n = {in_group.sum()})"
            axes[1].scatter(cols[in_group], rows[in_group], s=9, color=colour, label=label)
    size = float(windows["size"].iloc[0]) / px_per_view
    corner = (view.picture.shape[1] * 0.02, view.picture.shape[0] * 0.02)
    axes[0].add_patch(Rectangle(corner, size, size, fill=False, edgecolor="white", linewidth=1.2))
    axes[0].set_title("outlines; white: one window", fontsize=10)
    axes[1].set_title("centre of each window, by class", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, markerscale=2)
    return figure


def gallery(
    patches: npt.NDArray[np.float32], labels: Sequence[str], mm_per_px: Sequence[float]
) -> Figure:
    """Patches (n, rows, cols) one class a row, at the grey levels of their own mammogram."""
    columns = max(pd.Series(labels).value_counts())
    present = [label for label in LABELS if label in set(labels)]
    figure, axes = grid(columns * len(present), columns, (1.6, 1.9))
    for row, label in enumerate(present):
        members = [index for index, name in enumerate(labels) if name == label]
        for col, index in enumerate(members):
            axis = axes[row * columns + col]
            axis.imshow(patches[index], cmap="gray", vmin=0, vmax=float(patches.max()))
            millimetre_bar(axis, patches.shape[2], mm_per_px[index])
            if col == 0:
                axis.set_title(label_name(label), fontsize=10)
    return figure


def augmented(
    patch: npt.NDArray[np.float32], variants: npt.NDArray[np.float32], mm_per_px: float
) -> Figure:
    """One patch (rows, cols) and what augmentation makes of it (n, rows, cols).

    The patch as it was cut carries a millimetre bar; augmentation scales the others.
    """
    figure, axes = grid(1 + len(variants), 4, (2, 2.2))
    for index, (axis, picture) in enumerate(zip(axes, [patch, *variants], strict=True)):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=float(patch.max()))
        axis.set_title("as cut" if index == 0 else f"augmented {index}", fontsize=9)
    millimetre_bar(axes[0], patch.shape[1], mm_per_px)
    return figure


def cost(table: pd.DataFrame) -> Figure:
    """Disk and time against number of patches, written out or cut when needed."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    panels = (
        ("disk (GB)", "gb_as_png", "gb_prepared"),
        ("time on this machine (minutes)", "minutes_to_write", "minutes_to_cut"),
    )
    for axis, (ylabel, written, cut) in zip(axes, panels, strict=True):
        axis.plot(table["patches"], table[written], "o-", color=SERIES[1], label="written as PNG")
        axis.plot(table["patches"], table[cut], "o--", color=SERIES[0], label="cut when needed")
        axis.set_xscale("log")
        axis.set_yscale("log")
        ticks = [f"{number / 1000:,.10g}" for number in table["patches"]]
        axis.set_xticks(table["patches"], ticks)
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("patches (thousands)")
        axis.set_ylabel(ylabel)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
