"""Figures of notebooks 03 and 04: generators, their samples, and what classifiers learn of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from second_look.figures import the_paper
from second_look.figures.style import (
    LABEL_COLOURS,
    NEUTRAL,
    PAPER_COLOUR,
    SERIES,
    grid,
    label_name,
    legend_outside,
    plain_log_ticks,
    whole_ticks,
)
from second_look.paper import GENERATOR_NAMES

FLOATS = npt.NDArray[np.float32]
_LINES = ("-", "--", ":", "-.")
# Ticks of spectra, cycles a px.
_FREQUENCIES = (0.02, 0.05, 0.1, 0.2, 0.5)


def losses(table: pd.DataFrame) -> Figure:
    """Losses of both networks against epochs, a row a generator, a column a class."""
    kinds, labels = list(table["architecture"].unique()), list(table["label"].unique())
    figure, axes = plt.subplots(
        len(kinds), len(labels), figsize=(3.6 * len(labels), 0.6 + 2.6 * len(kinds)), squeeze=False
    )
    for row, kind in zip(axes, kinds, strict=True):
        for axis, label in zip(row, labels, strict=True):
            rows_of_network = table[(table["architecture"] == kind) & (table["label"] == label)]
            for colour, name in zip(SERIES, ("discriminator", "generator"), strict=False):
                part = rows_of_network[rows_of_network["name"] == name]
                axis.plot(part["epoch"], part["value"], color=colour, label=name)
            axis.set_title(f"{_kind_name(kind)}, {label_name(label)}", fontsize=10)
            axis.set_xlabel("epoch")
            whole_ticks(axis.xaxis)
        row[0].set_ylabel("loss")
    legend_outside(figure, axes.flat)
    return figure


def panels(
    rows: Mapping[str, Mapping[str, FLOATS]],
    white: float,
    printed: Mapping[str, str],
    *,
    side: int = 4,
) -> Figure:
    """A row a source, a panel a class with side × side pictures, at their own grey levels.

    Args:
        rows: What they are -> label -> pictures (n, rows, cols).
        white: Grey level shown as white; 0 is black.
        printed: Row -> what the paper shows there, in words, as its pictures have no numbers.
        side: Pictures in a row of a panel.
    """
    columns = max(len(row) for row in rows.values()) + 1
    figure, axes = grid(columns * len(rows), columns, (3.6, 3.8))
    for row_index, (name, row) in enumerate(rows.items()):
        for column, (label, pictures) in enumerate(row.items()):
            axis = axes[row_index * columns + column]
            axis.imshow(_mosaic(pictures, side), cmap="gray", vmin=0, vmax=white)
            axis.set_title(f"{name}: {label_name(label)}", fontsize=9)
        if name in printed:
            the_paper.words(axes[(row_index + 1) * columns - 1], printed[name])
    return figure


def _mosaic(pictures: FLOATS, side: int) -> FLOATS:
    """Side × side of the pictures (n, rows, cols) as one, or as many as there are for a square."""
    count = max(1, min(side, int(np.sqrt(len(pictures)))))
    chosen = pictures[: count**2].reshape(count, count, *pictures.shape[1:])
    mosaic: FLOATS = np.concatenate([np.concatenate(list(row), axis=1) for row in chosen])
    return mosaic


def sample_history(strips: Mapping[str, Sequence[tuple[str, FLOATS]]], white: float) -> Figure:
    """A row a generator, a column a time: what the same noise becomes while it learns.

    Args:
        strips: Name -> (time, picture).
        white: Grey level shown as white.
    """
    columns = max(len(strip) for strip in strips.values())
    figure, axes = grid(columns * len(strips), columns, (1.7, 2.1))
    for row, (generator, strip) in enumerate(strips.items()):
        for column, (name, picture) in enumerate(strip):
            axis = axes[row * columns + column]
            axis.imshow(picture, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
            title = f"{generator if column == 0 else ' '}\n{name}"
            axis.set_title(title, fontsize=8)
    return figure


def progress(table: pd.DataFrame) -> Figure:
    """Sliced Wasserstein distance against epochs; dotted: two halves of the original patches.

    Args:
        table: Of studies.gan.quality.progress; every training has a line of its own.
    """
    kinds = list(table["architecture"].unique())
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(4.8 * len(kinds), 3.8), squeeze=False, sharey=True
    )
    for axis, kind in zip(axes[0], kinds, strict=True):
        rows_of_kind = table[table["architecture"] == kind]
        for label, rows_of_label in rows_of_kind.groupby("label", sort=False):
            colour = _colour(str(label))
            for number, (_, line) in enumerate(rows_of_label.groupby("seed", sort=False)):
                name = label_name(str(label)) if number == 0 else None
                axis.plot(line["epoch"], line["swd"], "o-", color=colour, label=name)
            axis.axhline(rows_of_label["floor"].iloc[0], color=colour, linestyle=":", linewidth=1)
        axis.set_title(_kind_name(kind), fontsize=10)
        axis.set_xlabel("epoch")
        axis.set_yscale("log")
        plain_log_ticks(axis.yaxis)
        whole_ticks(axis.xaxis)
    axes[0, 0].set_ylabel("sliced Wasserstein distance ×1000")
    legend_outside(figure, axes.flat)
    return figure


def spectra(table: pd.DataFrame) -> Figure:
    """Radially averaged power spectra, a column a generator: solid samples, dashed originals."""
    kinds = [name for name in table["architecture"].unique() if name != "real"]
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(4.8 * len(kinds), 4.2), squeeze=False, sharey=True
    )
    for axis, kind in zip(axes[0], kinds, strict=True):
        sizes = set(table.loc[table["architecture"] == kind, "size"])
        rows_of_size = table[table["size"].isin(sizes)]
        for label, rows_of_label in rows_of_size.groupby("label", sort=False):
            for name, line in ((kind, "-"), ("real", "--")):
                part = rows_of_label[rows_of_label["architecture"] == name]
                axis.plot(
                    part["frequency"],
                    part["power"],
                    line,
                    color=_colour(str(label)),
                    label=label_name(str(label)) if name == kind else None,
                )
        axis.plot([], [], "--", color=NEUTRAL, label="original patches")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(_FREQUENCIES, [f"{frequency:g}" for frequency in _FREQUENCIES])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_title(_kind_name(kind), fontsize=10)
        axis.set_xlabel("frequency (cycles a px)")
    axes[0, 0].set_ylabel("power (grey levels²)")
    legend_outside(figure, axes.flat)
    return figure


def neighbours(pairs: Mapping[str, tuple[FLOATS, FLOATS]], white: float) -> Figure:
    """Samples (upper rows) and the original patch nearest to each (lower rows).

    Args:
        pairs: Name -> samples and original patches, (n, rows, cols) both.
        white: Grey level shown as white.
    """
    columns = max(len(samples) for samples, _ in pairs.values())
    figure, axes = grid(2 * columns * len(pairs), columns, (1.5, 1.75))
    for row, (name, sides) in enumerate(pairs.items()):
        for line, pictures in enumerate(sides):
            for column, picture in enumerate(pictures):
                axis = axes[(2 * row + line) * columns + column]
                axis.imshow(picture, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
                if column == 0:
                    axis.set_title(
                        f"{name}: sample" if not line else "nearest original", fontsize=8
                    )
    return figure


def accuracy_by_epoch(
    table: pd.DataFrame, baselines: pd.DataFrame, claimed: float, names: Sequence[str]
) -> Figure:
    """Accuracy on real validation patches while classifiers learn, with the paper's value.

    Args:
        table: name, epoch, accuracy, low, high.
        baselines: baseline, accuracy.
        claimed: The paper's accuracy, 0 to 1.
        names: Which of the table's names to draw.
    """
    figure, axis = plt.subplots(figsize=(8, 4.8))
    for colour, name in zip(SERIES, names, strict=False):
        rows_of_name = table[table["name"] == name]
        axis.plot(
            rows_of_name["epoch"], 100 * rows_of_name["accuracy"], "o-", color=colour, label=name
        )
        axis.fill_between(
            rows_of_name["epoch"],
            100 * rows_of_name["low"],
            100 * rows_of_name["high"],
            color=colour,
            alpha=0.15,
        )
    for line, row in zip(_LINES[1:], baselines.itertuples(), strict=False):
        axis.axhline(100 * row.accuracy, color=NEUTRAL, linestyle=line, label=row.baseline)
    axis.axhline(100 * claimed, color=PAPER_COLOUR, label=f"{the_paper.NAME}'s {claimed:.0%}")
    axis.set_xlabel("epoch")
    axis.set_ylabel("accuracy on original patches (%)")
    axis.set_ylim(0, 100)
    whole_ticks(axis.xaxis)
    legend_outside(figure, [axis])
    return figure


def confusion(matrices: Mapping[str, pd.DataFrame]) -> Figure:
    """Share of each true class (rows) that was taken for each class (columns)."""
    figure, axes = plt.subplots(1, len(matrices), figsize=(4.4 * len(matrices), 3.8), squeeze=False)
    for axis, (name, matrix) in zip(axes[0], matrices.items(), strict=True):
        counts = matrix.to_numpy()
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.6 else "black"
            text = f"{share:.0%}\n{counts[row, column]:,}"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        ticks = [label_name(str(label)) for label in matrix.index]
        axis.set_xticks(range(len(ticks)), ticks, rotation=20, fontsize=9)
        axis.set_yticks(range(len(ticks)), ticks, fontsize=9)
        axis.set_xlabel("taken for")
        axis.set_title(name, fontsize=10)
        axis.grid(visible=False)
    axes[0, 0].set_ylabel("true class")
    return figure


# Where samples without original patches stand on an axis of shares, %.
_ALONE = -15.0


def augmentation(table: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """Measures on original patches against the share of samples added to the real ones.

    Args:
        table: real, generated, measure, value, low, high; rows without original patches are drawn
            at the left, as what samples alone reach.
        baselines: Answers without looking: baseline, accuracy, balanced_accuracy. The best of each
            measure is drawn.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), sharey=True)
    for axis, measure in zip(axes, ("balanced_accuracy", "accuracy"), strict=True):
        rows_of_measure = table[(table["measure"] == measure)]
        mixed, alone = (
            rows_of_measure[rows_of_measure["real"] > 0],
            rows_of_measure[rows_of_measure["real"] == 0],
        )
        added = 100 * mixed["generated"] / mixed["real"]
        _bars(axis, added, mixed, SERIES[0], "original patches + samples")
        _bars(axis, pd.Series(_ALONE, alone.index), alone, SERIES[1], "samples only")
        ticks = {float(share): f"{share:g}" for share in sorted(set(added))}
        if len(alone):
            ticks[_ALONE] = "only"
        axis.set_xticks(list(ticks), list(ticks.values()))
        axis.set_xlabel("samples added to the original patches (%)")
        axis.set_title(measure.replace("_", " "), fontsize=10)
        axis.axhline(
            100 * baselines[measure].max(), color=NEUTRAL, linestyle="--",
            label="best answer without looking",
        )  # fmt: skip
    axes[0].set_ylabel("on original patches (%)")
    axes[0].set_ylim(0, 102)
    legend_outside(figure, axes)
    return figure


def _bars(axis: Axes, places: pd.Series, table: pd.DataFrame, colour: str, name: str) -> None:
    """Points with their intervals."""
    value = 100 * table["value"]
    ends = np.nan_to_num([value - 100 * table["low"], 100 * table["high"] - value])
    axis.errorbar(places, value, yerr=ends, fmt="o-", color=colour, capsize=3, label=name)


def _kind_name(kind: str) -> str:
    return GENERATOR_NAMES.get(kind, kind)


def _colour(label: str) -> str:
    return LABEL_COLOURS.get(label, SERIES[3])
