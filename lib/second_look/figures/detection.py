"""Figures of notebook 05, Mask R-CNN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from second_look.evaluation.froc import RATES, RULES
from second_look.evaluation.intervals import LEVEL
from second_look.evaluation.lesion_types import BLIND
from second_look.figures.roc import LEGEND_WIDTH, roc_line
from second_look.figures.style import (
    LABEL_COLOURS,
    NEUTRAL,
    SERIES,
    grid,
    millimetre_bar,
)
from second_look.preparing.views import Example, Target

TRUE_COLOUR, FOUND_COLOUR = LABEL_COLOURS["normal"], LABEL_COLOURS["malignant"]


def training(curves: pd.DataFrame) -> Figure:
    """The five losses, and the validation that chose the weights, against steps.

    Args:
        curves: From studies.detection.training.training_curves.
    """
    models = list(curves.groupby("model", sort=False))
    figure, axes = plt.subplots(1, 1 + len(models), figsize=(4.6 * (1 + len(models)), 3.8))
    for axis, (model, rows_of_model) in zip(axes, models, strict=False):
        losses = rows_of_model[rows_of_model["curve"] != "validation"].groupby("curve", sort=False)
        for colour, (name, curve) in zip(SERIES, losses, strict=False):
            axis.plot(curve["step"], curve["value"], color=colour, label=name)
        axis.set_yscale("log")
        axis.set_title(model, fontsize=10)
        axis.set_xlabel("steps")
        axis.set_ylabel("loss")
    axes[0].legend(fontsize=7, ncols=2, loc="upper right")
    for colour, (model, rows_of_model) in zip(SERIES, models, strict=False):
        curve = rows_of_model[rows_of_model["curve"] == "validation"]
        axes[-1].plot(curve["step"], curve["value"], "o-", color=colour, label=model)
        axes[-1].axvline(rows_of_model["kept"].iloc[0], color=colour, linewidth=0.8, linestyle=":")
    axes[-1].set_ylim(0, 1)
    axes[-1].set_xlabel("steps")
    axes[-1].set_ylabel("mean sensitivity, FROC")
    axes[-1].set_title("validation; dotted: weights kept", fontsize=10)
    axes[-1].legend(fontsize=8)
    return figure


def targets(inputs: Sequence[Target]) -> Figure:
    """What the network gets: pictures as varied, with the masks that it learns."""
    figure, axes = grid(len(inputs), len(inputs), (2.4, 3.2))
    for axis, target in zip(axes, inputs, strict=True):
        axis.imshow(
            target.picture, cmap="gray", vmin=0, vmax=max(float(target.picture.max()), 1e-6)
        )
        for mask in target.masks:
            if mask.any():
                axis.contour(mask, levels=[0.5], colors=[TRUE_COLOUR], linewidths=1.2)
        axis.set_title(target.image_id, fontsize=7)
    return figure


def roc(
    panels: Mapping[str, Mapping[str, pd.DataFrame]],
    aucs: Mapping[str, Mapping[str, str]],
    paper_auc: float,
) -> Figure:
    """ROC curves with bands over patients, one panel a question; the paper gives no curve.

    Args:
        panels: Question -> model -> curve, of evaluation.roc.roc_band.
        aucs: Question -> model -> its AUC in words.
        paper_auc: The paper's, in the legend.
    """
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5.2 * columns, 6.2 * rows), squeeze=False, sharey=True
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (question, curves) in zip(axes.flat, panels.items(), strict=False):
        axis.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", linewidth=1)
        for (name, curve), colour in zip(curves.items(), SERIES, strict=False):
            label = fill(f"{name}: {aucs[question][name]}", LEGEND_WIDTH)
            if name == BLIND:
                axis.plot(1 - curve["specificity"], curve["sensitivity"], "--", color=NEUTRAL,
                          label=label)  # fmt: skip
            else:
                roc_line(axis, curve, colour, label)
        handles, _ = axis.get_legend_handles_labels()
        handles.append(Line2D([], [], color=NEUTRAL, linestyle=":", label="chance: 0.5"))
        handles.append(Line2D([], [], linestyle="none", label=f"paper: AUC {paper_auc:g}"))
        axis.legend(handles=handles, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14))
        if not curves:
            axis.text(0.5, 0.5, "one class only", ha="center", color=NEUTRAL)
        axis.set_title(question, fontsize=10)
        axis.set_xlabel("1 − specificity")
        axis.set_xlim(-0.01, 1.01)
        axis.set_ylim(-0.01, 1.01)
        axis.set_ylabel("sensitivity")
    return figure


def froc(
    panels: Mapping[str, Mapping[str, pd.DataFrame]], points: pd.DataFrame, max_rate: float = 8.0
) -> Figure:
    """FROC curves, one panel a hit rule, with intervals at the usual rates.

    Args:
        panels: Hit rule -> model -> curve, of evaluation.froc.curve.
        points: Of evaluation.froc.froc_table.
        max_rate: False positives an image at the right end.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.2), squeeze=False)
    for axis, (rule, curves) in zip(axes[0], panels.items(), strict=True):
        for index, (name, curve) in enumerate(curves.items()):
            visible = curve[curve["false_positives"] <= max_rate]
            axis.step(
                visible["false_positives"],
                visible["sensitivity"],
                where="post",
                color=SERIES[index],
                label=name,
            )
            _intervals(axis, points, name, rule, index)
        axis.set_xscale("symlog", linthresh=0.1, linscale=0.4)
        axis.set_xticks(list(RATES), [f"{rate:g}" for rate in RATES])
        axis.set_xlim(0, max_rate)
        axis.set_ylim(0, 1)
        axis.set_xlabel("false positives an image")
        axis.set_title(f"hit: {RULES[rule]}", fontsize=10)
    axes[0][0].set_ylabel("sensitivity, by lesion")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _intervals(axis: Axes, points: pd.DataFrame, model: str, rule: str, index: int) -> None:
    selected = points[
        (points["model"] == model)
        & (points["rule"] == rule)
        & (points["by"] == "lesion")
        & (points["target"] == "lesion")
        & (points["false_positives"] != "mean")
    ]
    rates = selected["false_positives"].astype(float) * (1 + 0.05 * index)
    low, high = (
        selected["sensitivity"] - selected["low"],
        selected["high"] - selected["sensitivity"],
    )
    axis.errorbar(
        rates,
        selected["sensitivity"],
        yerr=[low.clip(lower=0), high.clip(lower=0)],
        fmt="o",
        markersize=3,
        linewidth=1,
        color=SERIES[index],
    )


def groups(table: pd.DataFrame) -> Figure:
    """Sensitivity at one false positive per image in groups of lesions, with intervals."""
    figure, axis = plt.subplots(figsize=(7, 0.6 + 0.32 * len(table)))
    names = [
        f"{row.group}: {str(row.value).replace('_', ' ')} (n = {row.lesions})"
        for row in table.itertuples()
    ]
    positions = np.arange(len(table))
    low, high = table["sensitivity"] - table["low"], table["high"] - table["sensitivity"]
    axis.errorbar(
        table["sensitivity"],
        positions,
        xerr=[low.clip(lower=0), high.clip(lower=0)],
        fmt="o",
        color=SERIES[0],
    )
    axis.set_yticks(positions, names, fontsize=9)
    axis.invert_yaxis()
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel(
        f"sensitivity at one false positive per image\n({100 * LEVEL:g} % interval over patients)"
    )
    return figure


def page(examples: Sequence[Example], columns: int) -> Figure:
    """Films as they were scanned, with true boxes and found ones."""
    figure, axes = grid(len(examples), columns, (2.7, 3.6))
    for axis, example in zip(axes, examples, strict=True):
        view = example.view
        axis.imshow(view.picture, cmap="gray", vmin=0, vmax=1)
        for box in example.true_boxes:
            _box(axis, box, TRUE_COLOUR, 1.4)
        for box, score in zip(example.found_boxes, example.scores, strict=True):
            _box(axis, box, FOUND_COLOUR, 0.9)
            axis.text(box[1], box[0] - 2, f"{score:.2f}", color=FOUND_COLOUR, fontsize=6)
        millimetre_bar(axis, view.picture.shape[1], view.mm_per_px)
        axis.set_title(example.title, fontsize=7)
    handles = [
        Line2D([], [], color=TRUE_COLOUR, label="lesion"),
        Line2D([], [], color=FOUND_COLOUR, label="detection, with its chance of a lesion"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _box(axis: Axes, box: np.ndarray, colour: str, linewidth: float) -> None:
    corner, height, box_width = (box[1], box[0]), box[2] - box[0], box[3] - box[1]
    axis.add_patch(
        Rectangle(corner, box_width, height, fill=False, edgecolor=colour, linewidth=linewidth)
    )
