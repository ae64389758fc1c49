"""What the paper prints, redrawn beside a run: one colour and one name in every figure.

Figures 1a and 1b are tables and are redrawn from them. Of figures 3a and 3b the text gives the AUC
but no point of the curve, of figures 2a and 2b no number at all: they are not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from second_look.evaluation.lesion_types import BLIND
from second_look.figures.style import NEUTRAL, PAPER_COLOUR, SERIES

NAME = "the paper"
# Inches of a layer's row.
_ROW = 0.23


def points(axis: Axes, x: Sequence[float], y: Sequence[float], *, says: str = "") -> None:
    """Crosses at the paper's values.

    Args:
        axis: To draw on.
        x: Places.
        y: Values.
        says: What they are, after the paper's name in the legend.
    """
    axis.plot(
        x, y, "x", color=PAPER_COLOUR, markersize=9, markeredgewidth=2, zorder=4,
        label=f"{NAME}{says}",
    )  # fmt: skip


def lines(axis: Axes, values: Sequence[float], *, says: str = "") -> None:
    """Upright dashed lines at the paper's values, one entry in the legend; `says` as in points."""
    for index, value in enumerate(values):
        axis.axvline(
            value, color=PAPER_COLOUR, linestyle="--", linewidth=1,
            label=None if index else f"{NAME}{says}",
        )  # fmt: skip


def level_range(axis: Axes, low: float, high: float) -> None:
    """A range of the paper as a level band between two lines."""
    axis.axhspan(
        low, high, facecolor=(0, 0, 0, 0.08), edgecolor=PAPER_COLOUR, linestyle="--", linewidth=1,
        label=f"{NAME}'s range",
    )  # fmt: skip


def words(axis: Axes, text: str) -> None:
    """A frame in the paper's colour with what it says, where it gives nothing to draw."""
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color=PAPER_COLOUR)
    axis.set_title(NAME, fontsize=9)
    axis.text(
        0.5, 0.5, fill(text, 30), transform=axis.transAxes, ha="center", va="center", fontsize=10
    )


def layers(table: pd.DataFrame) -> Figure:
    """Figures 1a and 1b: the parameters of every layer, as printed and as built.

    Args:
        table: From studies.gan.dcgan.printed_layers.
    """
    names = list(dict.fromkeys(table["figure"]))
    sizes = [int((table["figure"] == name).sum()) for name in names]
    figure, axes = plt.subplots(
        len(names), 2, figsize=(9.5, 1.6 + _ROW * sum(sizes)), squeeze=False, sharex=True,
        sharey="row", height_ratios=sizes,
    )  # fmt: skip
    for row, name in zip(axes, names, strict=True):
        part = table[table["figure"] == name]
        places = np.arange(len(part))
        sides = (("printed_", PAPER_COLOUR, NAME), ("", SERIES[0], "built here"))
        for axis, (prefix, colour, source) in zip(row, sides, strict=True):
            parameters = part[f"{prefix}parameters"].to_numpy(dtype=float)
            bars = axis.barh(places, parameters, color=colour)
            numbers = [f"{number:,.0f}" if number > 0 else "" for number in parameters]
            axis.bar_label(bars, numbers, padding=3, fontsize=8)
            axis.set_title(f"figure {name}, {source}: {np.nansum(parameters):,.0f}", fontsize=10)
            axis.grid(visible=False, axis="y")
        labels = [
            f"{kind}  {str(shape)[len('(None, ') : -1].replace(', ', '×')}"
            for kind, shape in part[["printed_type", "printed_output_shape"]].to_numpy()
        ]
        row[0].set_yticks(places, labels, fontsize=8)
        row[0].set_ylim(len(part) - 0.4, -0.6)
    for axis in axes[-1]:
        axis.set_xscale("log")
        axis.set_xticks(ticks := [10**power for power in (2, 4, 6)], [f"{t:,}" for t in ticks])
        axis.set_xlim(50, 4e9)
        axis.set_xlabel("parameters (n)")
    return figure


def aucs(axis: Axes, table: pd.DataFrame, value: float) -> None:
    """AUCs with their intervals, a row a question, and the paper's, whose curve has no numbers.

    Args:
        axis: To draw on.
        table: From studies.detection.results.roc_panels: model, question, auc, low, high.
        value: The paper's AUC.
    """
    questions, models = list(dict.fromkeys(table["question"])), list(dict.fromkeys(table["model"]))
    for index, model in enumerate(models):
        colour = NEUTRAL if model == BLIND else SERIES[index % len(SERIES)]
        rows = table[table["model"] == model].set_index("question").reindex(questions)
        places = np.arange(len(questions)) + 0.2 * (index - (len(models) - 1) / 2)
        ends = np.stack([rows["auc"] - rows["low"], rows["high"] - rows["auc"]]).astype(float)
        axis.errorbar(
            rows["auc"], places, xerr=np.clip(np.nan_to_num(ends), 0, None), fmt="o", markersize=4,
            capsize=2, color=colour, label=str(model),
        )  # fmt: skip
    lines(axis, [value], says=f": AUC {value:g}, no curve")
    axis.set_yticks(range(len(questions)), questions, fontsize=9)
    axis.set_ylim(len(questions) - 0.5, -0.5)
    axis.set_xlim(-0.01, 1.01)
    axis.set_xlabel("AUC")
