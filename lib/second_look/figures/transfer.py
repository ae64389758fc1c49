"""Figures of notebook 06: patch models, and what they say about whole mammograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from second_look.figures import the_paper
from second_look.figures.style import (
    LABEL_COLOURS,
    NEUTRAL,
    grid,
    label_name,
    legend_outside,
    say_why,
    show_mammogram,
    start_colours,
)
from second_look.paper import FIELD, PATCH_ACCURACY
from second_look.preparing.views import View

# Of units of one score: they share a figure with no start and no label.
_UNITS = (("o", "0.3"), ("s", "0.5"), ("^", "0.65"))


def learning_curve(
    curve: pd.DataFrame, baselines: pd.DataFrame, names: Mapping[str, str]
) -> Figure:
    """Each measure against the number of patches, a line a start; the paper's points drawn in.

    Args:
        curve: From studies.transfer.patch_transfer.learning_curve.
        baselines: From studies.transfer.patch_transfer.baselines.
        names: Measure -> its name, in the order of the panels.
    """
    figure, axes = plt.subplots(
        1, len(names), figsize=(max(5, 3.6 * len(names)), 4.6), squeeze=False
    )
    colours = start_colours(curve["start"])
    common = baselines.set_index("baseline").loc["always the commonest class"]
    for axis, (measure, name) in zip(axes.flat, names.items(), strict=True):
        rows_of_measure = curve[curve["measure"] == measure]
        for start, line in rows_of_measure.groupby("start", sort=False):
            ordered = line.sort_values("patches")
            _with_interval(axis, ordered, colours[str(start)], f"start {start}")
        floor = 0.5 if measure == "macro_auc" else float(common[measure])
        label = "chance" if measure == "macro_auc" else "always the commonest class"
        numbers = list(dict.fromkeys(rows_of_measure["patches"]))
        axis.axhline(floor, color=NEUTRAL, linestyle=":", label=label)
        if measure == "accuracy":
            the_paper.points(
                axis, list(PATCH_ACCURACY), [value / 100 for value in PATCH_ACCURACY.values()]
            )
            numbers += list(PATCH_ACCURACY)
        axis.set(xscale="log", xlabel="patches seen in training (n)", ylabel=name, ylim=(0, 1.02))
        ticks = _apart(numbers)
        axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks], rotation=40, ha="right", fontsize=9)
        axis.minorticks_off()
        axis.set_title(_sizes(rows_of_measure), fontsize=10)
    legend_outside(figure, axes.flat)
    return figure


def _apart(numbers: Sequence[int]) -> list[int]:
    """Those whose labels do not overlap on a logarithmic axis over all of them, first come."""
    apart: list[int] = []
    span = np.log(max(numbers) / min(numbers)) if numbers else 0.0
    for number in numbers:
        if all(abs(np.log(number / tick)) > 0.06 * span for tick in apart):
            apart.append(number)
    return apart


def _sizes(rows: pd.DataFrame) -> str:
    if rows.empty:
        return ""
    n, patients, trainings = (int(rows[name].max()) for name in ("n", "patients", "trainings"))
    plural = "s" if trainings > 1 else ""
    return f"{n:,} test patches,\n{patients} patients, {trainings} training{plural}"


def _with_interval(axis: Axes, line: pd.DataFrame, colour: str, label: str) -> None:
    lower, upper = line["value"] - line["low"], line["high"] - line["value"]
    axis.errorbar(
        line["patches"],
        line["value"],
        yerr=np.clip(np.stack([lower, upper]), 0, None),
        color=colour,
        marker="o",
        capsize=3,
        label=label,
    )


def training_curves(history: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Validated measures while the largest models learnt, a line a start and seed."""
    validated = {key: name for key, name in names.items() if (history["measure"] == key).any()}
    figure, axes = plt.subplots(1, max(1, len(validated)), figsize=(10.5, 4), squeeze=False)
    colours = start_colours(history["start"])
    for axis, (measure, name) in zip(axes.flat, validated.items(), strict=False):
        rows_of_measure = history[history["measure"] == measure]
        for start, lines in rows_of_measure.groupby("start", sort=False):
            colour = colours[str(start)]
            for index, (_, line) in enumerate(lines.groupby("seed")):
                label = f"start {start}" if index == 0 else None
                axis.plot(line["patches"], line["value"], "o-", color=colour, label=label)
        axis.set(xlabel="patches seen so far (n)", ylabel=f"{name}, validation", ylim=(0, 1.02))
        axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.xaxis.set_major_formatter("{x:,.0f}")
    if not validated:
        axes.flat[0].set_title("nothing was validated")
    legend_outside(figure, axes.flat)
    return figure


def transfer(effect: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """What each start gains over the random one, with intervals; right of the line it helps."""
    figure, axes = plt.subplots(
        1, len(names), sharey=True, squeeze=False,
        figsize=(1.6 + 3.1 * len(names), 1.6 + 0.5 * max(1, len(effect) / len(names))),
    )  # fmt: skip
    for axis, (measure, name) in zip(axes.flat, names.items(), strict=True):
        rows_of_measure = effect[effect["measure"] == measure].reset_index(drop=True)
        labels = [f"{row.start}, {row.patches:,} patches" for row in rows_of_measure.itertuples()]
        ends = np.stack(
            [
                rows_of_measure["value"] - rows_of_measure["low"],
                rows_of_measure["high"] - rows_of_measure["value"],
            ]
        )
        places = np.arange(len(rows_of_measure))
        axis.errorbar(
            rows_of_measure["value"],
            places,
            xerr=np.clip(ends, 0, None),
            fmt="o",
            capsize=3,
            color="0.25",
        )
        axis.axvline(0, color=NEUTRAL, linestyle=":")
        axis.set_yticks(places, labels)
        axis.set_ylim(max(1, len(rows_of_measure)) - 0.5, -0.5)
        axis.set_xlabel(f"gain in {name}\nover a random start")
    if effect.empty:
        axes.flat[0].set_title("only one start: nothing to compare")
    return figure


def confusion(table: pd.DataFrame) -> Figure:
    """Confusion matrix: share of each true class.

    Args:
        table: From studies.transfer.patch_transfer.confusion_shares.
    """
    figure, axis = plt.subplots(figsize=(6.4, 1.6 + 0.75 * len(table)))
    labels = [
        f"{label_name(row['class'])}\n(n = {row['windows']:,})" for _, row in table.iterrows()
    ]
    columns = [name for name in table.columns if name not in ("class", "windows")]
    sns.heatmap(
        table[columns].to_numpy(),
        ax=axis,
        cmap="Blues",
        vmin=0,
        vmax=1,
        annot=True,
        fmt=".0%",
        cbar=False,
        xticklabels=[label_name(name).replace(" without", "\nwithout") for name in columns],
        yticklabels=labels,
    )
    axis.set(xlabel="taken for", ylabel="true class")
    axis.tick_params(axis="y", rotation=0)
    return figure


def flagged(table: pd.DataFrame) -> Figure:
    """How the share of flagged images grows with the number of windows that are looked at."""
    figure, axis = plt.subplots(figsize=(7.5, 4.4))
    for is_malignant, name in ((True, "malignant"), (False, "benign")):
        rows_of_truth = table[table["malignant"] == is_malignant]
        if rows_of_truth.empty:
            continue
        group = "malignant" if is_malignant else "without a malignancy"
        colour = LABEL_COLOURS[name]
        n = int(rows_of_truth["images"].iloc[0])
        axis.plot(
            rows_of_truth["windows"],
            rows_of_truth["flagged"],
            "o-",
            color=colour,
            label=f"{group} (n = {n})",
        )
        axis.plot(
            rows_of_truth["windows"],
            rows_of_truth["independent"],
            ":",
            color=colour,
            label=f"{group}, were windows independent",
        )
    axis.set(
        xscale="log",
        xlabel="windows of an image that are looked at (n)",
        ylabel="share of test images flagged malignant",
        ylim=(0, 1.02),
    )
    axis.set_xticks(looked := sorted(table["windows"].unique()), [f"{k:,}" for k in looked])
    axis.minorticks_off()
    legend_outside(figure, [axis])
    return figure


def auc_forest(table: pd.DataFrame, field: Sequence[float] = FIELD) -> Figure:
    """AUC of every model by image, breast and patient, beside the paper's refs 6 and 7.

    Args:
        table: From studies.transfer.whole_image.auc_table.
        field: AUCs that the paper compares itself with.
    """
    units = list(dict.fromkeys(table["unit"]))
    models = list(dict.fromkeys(table["model"]))
    figure, axis = plt.subplots(figsize=(9, 1.6 + 0.42 * len(models)))
    for offset, ((marker, colour), unit) in enumerate(zip(_UNITS, units, strict=False)):
        rows_of_unit = table[table["unit"] == unit].set_index("model").reindex(models)
        places = np.arange(len(models)) + (offset - (len(units) - 1) / 2) * 0.22
        ends = np.stack(
            [
                rows_of_unit["value"] - rows_of_unit["low"],
                rows_of_unit["high"] - rows_of_unit["value"],
            ]
        )
        n = int(rows_of_unit["n"].max())
        axis.errorbar(
            rows_of_unit["value"], places, xerr=np.clip(np.nan_to_num(ends), 0, None),
            fmt=marker, color=colour, capsize=2, markersize=5, label=f"by {unit} (n = {n})",
        )  # fmt: skip
    for index, model in enumerate(models):
        rows_of_model = table[table["model"] == model]
        if rows_of_model["value"].isna().all():
            say_why(axis, index, rows_of_model.get("reason", pd.Series([""])).iloc[0])
    the_paper.lines(axis, field, says="'s refs 6 and 7")
    axis.axvline(0.5, color=NEUTRAL, linestyle=":", label="chance")
    axis.set_yticks(np.arange(len(models)), models)
    axis.set_ylim(len(models) - 0.4, -0.6)
    axis.set_xlabel("AUC, malignant or not, test patients")
    legend_outside(figure, [axis])
    return figure


def heat_maps(
    views: Sequence[tuple[View, npt.NDArray[np.float32]]], titles: Sequence[str]
) -> Figure:
    """Mammograms with the true outlines, and below each the map of the patch model's scores."""
    figure, axes = grid(2 * len(views), len(views), (2.6, 3.4))
    top = max(float(heat[np.isfinite(heat)].max(initial=0)) for _, heat in views)
    for column, ((view, heat), title) in enumerate(zip(views, titles, strict=True)):
        show_mammogram(axes[column], view)
        axes[column].set_title(title, fontsize=8, loc="center")
        axis = axes[len(views) + column]
        show_mammogram(axis, view, outlines=False, bar=False)
        heat_image = axis.imshow(
            heat, cmap="inferno", vmin=0, vmax=top, alpha=np.where(np.isfinite(heat), 0.6, 0)
        )
        axis.set_axis_off()
    # Without panchor, the bar would move the pictures off the line that they hang from.
    figure.colorbar(
        heat_image, ax=axes, location="bottom", panchor=False, shrink=0.9, aspect=30,
        label="probability of malignant",
    )  # fmt: skip
    return figure
