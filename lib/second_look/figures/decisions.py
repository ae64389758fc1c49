"""What decisions are worth and whom they serve: decision curves and groups of images."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from second_look.figures.style import NEUTRAL, SERIES, legend_outside, say_why
from second_look.studies.calibration.clinical_value import ALL, MODEL


def decision_curves(table: pd.DataFrame) -> Figure:
    """Net benefit against threshold probability, a panel a model.

    Args:
        table: From studies.calibration.clinical_value.decision_curves.
    """
    titles = list(dict.fromkeys(table["title"]))
    figure, axes = plt.subplots(
        1,
        len(titles),
        figsize=(5.2 + min(5.2 * (len(titles) - 1), 5.6), 4),
        squeeze=False,
        sharey=True,
    )
    tops = [0.02]
    for axis, title in zip(axes.flat, titles, strict=True):
        rows = table[table["title"] == title]
        for strategy, colour in ((MODEL, SERIES[0]), (ALL, SERIES[1])):
            curve = rows[rows["strategy"] == strategy].sort_values("probability")
            axis.plot(curve["probability"], curve["value"], color=colour, label=strategy)
            axis.fill_between(
                curve["probability"], curve["low"], curve["high"], color=colour, alpha=0.15,
                linewidth=0,
            )  # fmt: skip
        axis.axhline(0, color=NEUTRAL, linestyle=":", label="recall nobody")
        # What is worse than recalling nobody by far is cut, but no top of an interval.
        tops.append(float(rows[["value", "high"]].max(axis=None)))
        axis.set_title(title.replace(", ", "\n", 1), fontsize=10)
        axis.set_xlabel("threshold probability")
    axes[0, 0].set_ylabel("net benefit per unit")
    axes[0, 0].set_ylim(-0.4 * max(tops), 1.05 * max(tops))
    legend_outside(figure, axes.flat)
    return figure


def subgroups(table: pd.DataFrame) -> Figure:
    """AUC of the groups of images with intervals over patients, the models side by side.

    Args:
        table: From studies.calibration.subgroups.table.
    """
    titles = list(dict.fromkeys(table["title"]))
    groups = table[["attribute", "level"]].drop_duplicates().itertuples(index=False, name=None)
    order = {group: y for y, group in enumerate(groups)}
    figure, axes = plt.subplots(
        1, len(titles), figsize=(3.2 + 3.4 * len(titles), 1.2 + 0.36 * len(order)),
        squeeze=False, sharey=True,
    )  # fmt: skip
    for axis, title in zip(axes.flat, titles, strict=True):
        rows = table[table["title"] == title]
        for row in rows.itertuples():
            y = order[row.attribute, row.level]
            axis.text(
                1.02, y, f"{row.positives:,}+{row.negatives:,}",
                transform=axis.get_yaxis_transform(), va="center", fontsize=9,
            )  # fmt: skip
            if np.isnan(row.auc):
                say_why(axis, y, row.auc_reason)
            axis.plot(row.auc, y, "o", color=SERIES[0], fillstyle=_fill(row.auc_low))
            axis.plot([row.auc_low, row.auc_high], [y, y], color=SERIES[0])
        axis.axvline(0.5, color=NEUTRAL, linestyle=":")
        axis.set_xlim(0, 1)
        axis.set_xlabel("AUC; right: positives+negatives")
        axis.set_title(title.replace(", ", "\n", 1), fontsize=10)
    names = [f"{attribute}: {level}".replace("_", " ") for attribute, level in order]
    axes[0, 0].set_yticks(range(len(order)), names, fontsize=9)
    axes[0, 0].set_ylim(len(order) - 0.4, -0.6)
    return figure


def _fill(low: float) -> str:
    """Open where there is no interval."""
    return "full" if np.isfinite(low) else "none"
