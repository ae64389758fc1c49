"""Figures of notebook 01, the data survey."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from second_look.catalogue import LABELS, SPLITS
from second_look.evaluation.intervals import LEVEL
from second_look.figures import the_paper
from second_look.figures.style import (
    LABEL_COLOURS,
    PAPER_COLOUR,
    SERIES,
    grid,
    label_legend,
    label_name,
    legend_outside,
    show_mammogram,
)
from second_look.preparing.views import View


def labels_by_split(counts: pd.DataFrame) -> Figure:
    """Images of every label in each split; `counts` from catalogue.split_counts."""
    figure, axis = plt.subplots(figsize=(8, 3.6))
    width = 0.8 / len(LABELS)
    for index, label in enumerate(LABELS):
        values = counts[counts["label"] == label].set_index("split")["images"].reindex(SPLITS)
        x = np.arange(len(SPLITS)) + (index - (len(LABELS) - 1) / 2) * width
        bars = axis.bar(x, values, width, color=LABEL_COLOURS[label], label=label_name(label))
        axis.bar_label(bars, fontsize=9)
    axis.set_xticks(range(len(SPLITS)), ["training", "validation", "test"])
    axis.set_ylabel("images (n)")
    axis.grid(visible=False, axis="x")
    figure.legend(loc="outside upper center", ncols=len(LABELS))
    return figure


def film_sizes(images: pd.DataFrame) -> Figure:
    """Width against height of every picture, and the grey levels that it can hold."""
    figure, axis = plt.subplots(figsize=(6, 5))
    groups = images.groupby(["dataset", "bits"])
    for colour, ((dataset, bits), part) in zip(SERIES, groups, strict=False):
        sizes = part.groupby(["rows", "cols"]).size().reset_index(name="n")
        label = f"{dataset}, {bits} bit, n = {len(part)}"
        area = 12 + 200 * sizes["n"] / len(images)
        axis.scatter(sizes["cols"], sizes["rows"], s=area, color=colour, alpha=0.5, label=label)
    axis.set_xlim(0, 1.15 * images["cols"].max())
    axis.set_ylim(0, 1.15 * images["rows"].max())
    axis.set_xlabel("width (px)")
    axis.set_ylabel("height (px)")
    legend_outside(figure, [axis])
    return figure


def lesion_area_shares(
    areas: pd.DataFrame, estimates: pd.DataFrame, paper_percent: dict[str, float]
) -> Figure:
    """Lesion areas as shares of film and breast, kind by kind, against the paper's means.

    Args:
        areas: From studies.survey.data_survey.lesion_areas.
        estimates: From studies.survey.data_survey.area_estimates; drawn as points with intervals.
        paper_percent: Kind -> the paper's mean share of the whole image, %.
    """
    kinds = list(dict.fromkeys(estimates["kind"]))
    marked = [kind for kind in kinds if kind in paper_percent]
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.9 + 1.1 * len(kinds)), sharey=True)
    for axis, share_of in zip(axes, ("image", "breast"), strict=True):
        parts = [100 * areas.loc[areas["kind"] == kind, f"share_of_{share_of}"] for kind in kinds]
        axis.boxplot(parts, orientation="horizontal", widths=0.5, showfliers=False, whis=(5, 95))
        for position, kind in enumerate(kinds, start=1):
            row = estimates[(estimates["kind"] == kind) & (estimates["share_of"] == share_of)]
            mean, low, high = row[["mean", "low", "high"]].to_numpy()[0]
            axis.errorbar(
                mean,
                position,
                xerr=[[mean - low], [high - mean]],
                fmt="o",
                color=SERIES[0],
                capsize=3,
                label=f"mean, {100 * LEVEL:g} % interval" if position == 1 else None,
            )
            if share_of == "image" and kind in marked:
                axis.plot(
                    [paper_percent[kind]] * 2,
                    [position - 0.4, position + 0.4],
                    color=PAPER_COLOUR,
                    linestyle="--",
                    label=f"{the_paper.NAME}'s mean" if kind == marked[0] else None,
                )
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(f"lesion area (% of the {'film' if share_of == 'image' else 'breast'})")
    names = [f"{kind} (n = {(areas['kind'] == kind).sum()})" for kind in kinds]
    axes[0].set_yticks(range(1, len(kinds) + 1), names)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def composition(tables: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """Counts of labels against other columns, one shaded table each: (name of column, table).

    A table without rows is not drawn.
    """
    tables = [(name, table) for name, table in tables if len(table)]
    widths = [max(2, table.shape[1]) for _, table in tables]
    figure, axes = plt.subplots(
        1,
        len(tables),
        figsize=(2.5 + 1.1 * sum(widths), 3.4),
        width_ratios=widths,
        squeeze=False,
    )
    for axis, (name, table) in zip(axes.flat, tables, strict=True):
        values = table.to_numpy(dtype=float)
        axis.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=2 * max(values.max(), 1))
        for (row, col), value in np.ndenumerate(values):
            axis.text(col, row, f"{value:g}", ha="center", va="center")
        axis.set_xticks(range(table.shape[1]), map(_in_two_lines, table.columns), fontsize=9)
        axis.set_yticks(range(table.shape[0]), map(_in_two_lines, table.index))
        axis.set_xlabel(name)
        axis.grid(visible=False)
    return figure


def _in_two_lines(name: object) -> str:
    return label_name(str(name)).replace(" without ", "\nwithout ")


def mask_contact_sheet(views: Sequence[View], columns: int = 8) -> Figure:
    """Small whole films with the outline of the breast mask, to be looked over by eye."""
    figure, axes = grid(len(views), columns, (1.35, 1.35 * _height(views) + 0.35))
    for axis, view in zip(axes, views, strict=True):
        show_mammogram(axis, view)
        axis.set_title(_short(view.image_id, 18), fontsize=8, pad=2, loc="center")
    label_legend(figure, _outlined(views), breast=True)
    return figure


def examples(views: Sequence[View], columns: int) -> Figure:
    """Mammograms with outlined lesions, one label after the other."""
    figure, axes = grid(len(views), columns, (2.4, 2.4 * _height(views) + 0.5))
    for axis, view in zip(axes, views, strict=True):
        show_mammogram(axis, view)
        title = f"{label_name(view.label)}\n{_short(view.image_id)}"
        axis.set_title(title, fontsize=8, loc="center")
    label_legend(figure, _outlined(views), breast=True)
    return figure


def _height(views: Sequence[View]) -> float:
    """Height of a cell for a width of 1: of the middle one, so that few films leave a gap."""
    return float(np.median([view.picture.shape[0] / view.picture.shape[1] for view in views]))


def _outlined(views: Sequence[View]) -> list[str]:
    """Labels of the lesions that are outlined, in their order."""
    drawn = {name for view in views for name in view.pathologies.values()}
    return [label for label in LABELS[1:] if label in drawn]


def _short(image_id: str, max_length: int = 26) -> str:
    return image_id if len(image_id) <= max_length else "…" + image_id[-max_length + 1 :]
