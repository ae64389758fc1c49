"""Figures of notebook 10: a published model here and on its own test patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from second_look.figures.style import NEUTRAL, SERIES, legend_outside


def fall(table: pd.DataFrame) -> Figure:
    """Each measure on the model's own test patients and on another data set.

    Args:
        table: Of published.external.fall.
    """
    units = list(dict.fromkeys(table["unit"]))
    rows_of_panel = int(table.groupby("unit").size().max())
    figure, axes = plt.subplots(
        1,
        len(units),
        figsize=(4.6 * len(units), 1.4 + 0.42 * rows_of_panel),
        squeeze=False,
        sharex=True,
    )
    for axis, unit in zip(axes.flat, units, strict=True):
        rows = table[table["unit"] == unit].reset_index(drop=True)
        places = np.arange(len(rows))
        _points(axis, rows, places - 0.12, "_at_home", NEUTRAL, "its own test patients")
        _points(axis, rows, places + 0.12, "", SERIES[0], "this data set")
        axis.set_yticks(places, list(rows["measure"]))
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlim(0, 1)
        axis.set_title(f"by {unit}")
    legend_outside(figure, axes.flat)
    return figure


def _points(
    axis: Axes, rows: pd.DataFrame, places: np.ndarray, ending: str, colour: str, label: str
) -> None:
    values, lows, highs = (
        rows[f"{name}{ending}"].astype(float).to_numpy() for name in ("value", "low", "high")
    )
    ends = np.nan_to_num(np.stack([values - lows, highs - values]), nan=0.0).clip(0)
    axis.errorbar(values, places, xerr=ends, fmt="o", color=colour, capsize=3, label=label)
