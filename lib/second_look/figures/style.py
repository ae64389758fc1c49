"""One look for every figure: colours that colour-blind readers tell apart, units, scale bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from second_look.catalogue import LABELS
from second_look.preparing.views import View

# Okabe & Ito (2008), chosen so that the order of suspicion runs from cold to warm.
LABEL_COLOURS = dict(zip(LABELS, ("#56B4E9", "#009E73", "#E69F00", "#D55E00"), strict=True))
BREAST_COLOUR = "#F0E442"
PAPER_COLOUR = "#000000"
NEUTRAL = "#7F7F7F"
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")


def use_style() -> None:
    """Set the look for all figures that follow; notebooks call it once."""
    sns.set_theme(context="notebook", style="whitegrid", palette=SERIES)
    mpl.rcParams.update(
        {
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "font.size": 11,
            "legend.frameon": False,
            "svg.hashsalt": "second-look",
        }
    )


def label_name(label: str) -> str:
    """A label as people write it."""
    return label.replace("_", " ")


def grid(count: int, columns: int, cell: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure of at least `count` square-on axes without frames; the spare ones are hidden.

    Args:
        count: Pictures.
        columns: Pictures a row.
        cell: Width and height of one picture, inches.
    """
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    figure, axes = plt.subplots(
        rows, columns, figsize=(cell[0] * columns, cell[1] * rows), squeeze=False
    )
    flat = list(axes.flat)
    for axis in flat:
        axis.set_axis_off()
        # Pictures of different shapes hang from one line, below their titles.
        axis.set_anchor("N")
    return figure, flat[:count]


def show_mammogram(axis: Axes, view: View, *, outlines: bool = True, bar: bool = True) -> None:
    """Draw a mammogram with the outlines of breast and lesions, a millimetre bar below it."""
    axis.imshow(view.picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    if outlines:
        axis.contour(view.regions > 0, levels=[0.5], colors=[BREAST_COLOUR], linewidths=0.8)
        for code, pathology in view.pathologies.items():
            region = view.regions == code
            if region.any():
                colour = LABEL_COLOURS[pathology]
                axis.contour(region, levels=[0.5], colors=[colour], linewidths=1.3)
    if bar:
        millimetre_bar(axis, view.picture.shape[1], view.mm_per_px)
    axis.set_axis_off()


def millimetre_bar(axis: Axes, cols: int, mm_per_px: float) -> None:
    """A scale bar below a picture `cols` wide; where the pixel size is unknown, it says so.

    Films have tissue or labels in every corner: below the picture it covers none of them.
    """
    words: dict[str, Any] = {"textcoords": "offset points", "va": "center", "ha": "right"}
    words |= {"fontsize": 7, "annotation_clip": False}
    right = cols - 0.5
    if not np.isfinite(mm_per_px):
        axis.annotate("pixel size unknown", (1, 0), (0, -6), xycoords="axes fraction", **words)
        return
    length_mm = _round_length(cols * mm_per_px / 3)
    left = right - length_mm / mm_per_px
    along_picture = axis.get_xaxis_transform()  # px along the picture, its lower edge is 0
    under_picture = offset_copy(along_picture, axis.get_figure(root=True), y=-6, units="points")
    look: dict[str, Any] = {"color": "black", "linewidth": 2, "solid_capstyle": "butt"}
    axis.add_artist(Line2D([left, right], [0, 0], transform=under_picture, clip_on=False, **look))
    axis.annotate(f"{length_mm:g} mm", (left, 0), (-3, -6), xycoords=along_picture, **words)


def label_legend(figure: Figure, labels: Sequence[str], *, breast: bool = False) -> None:
    """A legend of outline colours below the figure."""
    handles = [
        Line2D([], [], color=LABEL_COLOURS[label], linewidth=2, label=label_name(label))
        for label in labels
    ]
    if breast:
        handles.insert(0, Line2D([], [], color=BREAST_COLOUR, linewidth=2, label="breast mask"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _round_length(length_mm: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 … that is not longer."""
    power = 10.0 ** np.floor(np.log10(length_mm))
    return float(max(step * power for step in (1, 2, 5) if step * power <= length_mm))
