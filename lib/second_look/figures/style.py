"""One look for every figure: colours that colour-blind readers tell apart, units, scale bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from textwrap import fill
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import offset_copy

from second_look.catalogue import LABELS
from second_look.preparing.views import View

# Okabe & Ito (2008), chosen so that the order of suspicion runs from cold to warm.
LABEL_COLOURS = dict(zip(LABELS, ("#56B4E9", "#009E73", "#E69F00", "#D55E00"), strict=True))
BREAST_COLOUR = "#F0E442"
PAPER_COLOUR = "#000000"
NEUTRAL = "#7F7F7F"
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
# Of starts, after Tol's muted scheme: in notebook 06 labels have colours too, none of these.
_STARTS = ("#0072B2", "#CC79A7", "#882255", "#44AA99", "#999933", "#332288")
# Points of a page hold less than this many inches of a legend's letter at 9 points.
_LETTER = 0.085


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
            # Names from data may hold dollars; `Run.figure` sees to the powers of ten.
            "text.parse_math": False,
        }
    )


def start_colours(starts: Iterable[str]) -> dict[str, str]:
    """Start -> its colour, the same in every figure of a notebook: the random one, then by name."""
    ordered = sorted(set(starts), key=lambda start: (start != "random", start))
    return dict(zip(ordered, cycle(_STARTS), strict=False))


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
    words |= {"fontsize": 8, "annotation_clip": False}
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


def legend_outside(
    figure: Figure, axes: Iterable[Axes], *further: Artist, on_top: bool = False
) -> None:
    """One legend for several axes, below or above them all: never on a curve, never cut.

    Args:
        figure: Of the axes.
        axes: Whose labelled artists are named, each label once.
        further: Labelled artists that belong to no axes.
        on_top: Whether it is above them.
    """
    entries: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    entries |= {str(artist.get_label()): artist for artist in further}
    width = max(20, int(figure.get_figwidth() / _LETTER) - 8)
    for columns in range(min(4, len(entries)), 0, -1):
        legend = figure.legend(
            list(entries.values()), [fill(label, width) for label in entries],
            loc="outside upper center" if on_top else "outside lower center",
            ncols=columns, fontsize=9,
        )  # fmt: skip
        if columns == 1 or legend.get_window_extent().width < figure.bbox.width:
            return
        legend.remove()


def legend_under(axis: Axes, *further: Artist, gap: float = 0.2) -> None:
    """A legend of its own below an axes, where neighbours name other things.

    Args:
        axis: Whose labelled artists are named.
        further: More labelled artists.
        gap: Between axes and legend, heights of the axes.
    """
    handles = [*axis.get_legend_handles_labels()[0], *further]
    if handles:
        axis.legend(handles=handles, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -gap))


def whole_ticks(axis: Axis) -> None:
    """Ticks at whole numbers, such as epochs."""
    axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))


def plain_log_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers: 0.5, 1, 2, 5, 10."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:,.10g}")
    axis.set_minor_formatter(NullFormatter())


def say_why(axis: Axes, y: float, reason: object) -> None:
    """Why a row of a figure is empty, at its height: "" or NaN says that nothing was measured."""
    text = reason if isinstance(reason, str) and reason else "not measured"
    axis.text(
        0.02, y, f"none: {text}", transform=axis.get_yaxis_transform(), va="center", fontsize=8,
        color="0.3", style="italic", bbox={"pad": 1, "color": "white"},
    )  # fmt: skip


def label_legend(figure: Figure, labels: Sequence[str], *, breast: bool = False) -> None:
    """A legend of outline colours below the figure."""
    handles = [
        Line2D([], [], color=LABEL_COLOURS[label], linewidth=2, label=label_name(label))
        for label in labels
    ]
    if breast:
        handles.insert(0, Line2D([], [], color=BREAST_COLOUR, linewidth=2, label="breast mask"))
    legend_outside(figure, [], *handles)


def _round_length(length_mm: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 … that is not longer."""
    power = 10.0 ** np.floor(np.log10(length_mm))
    return float(max(step * power for step in (1, 2, 5) if step * power <= length_mm))
