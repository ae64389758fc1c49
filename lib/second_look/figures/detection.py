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
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from second_look.evaluation.froc import RATES, RULES
from second_look.evaluation.lesion_types import BLIND
from second_look.figures import the_paper
from second_look.figures.roc import LEGEND_WIDTH, roc_line
from second_look.figures.style import (
    LABEL_COLOURS,
    NEUTRAL,
    SERIES,
    grid,
    legend_outside,
    legend_under,
    millimetre_bar,
    plain_log_ticks,
)
from second_look.preparing.views import Example, Target

TRUE_COLOUR, FOUND_COLOUR = LABEL_COLOURS["normal"], LABEL_COLOURS["malignant"]


def training(curves: pd.DataFrame) -> Figure:
    """The five losses, and the validation that chose the weights, against steps.

    Args:
        curves: From studies.detection.training.training_curves.
    """
    models = list(curves.groupby("model", sort=False))
    figure, axes = plt.subplots(1, 1 + len(models), figsize=(3.7 * (1 + len(models)), 4.6))
    for axis, (model, rows_of_model) in zip(axes, models, strict=False):
        losses = rows_of_model[rows_of_model["curve"] != "validation"].groupby("curve", sort=False)
        for colour, (name, curve) in zip(SERIES, losses, strict=False):
            axis.plot(curve["step"], curve["value"], color=colour, label=name)
        axis.set_yscale("log")
        plain_log_ticks(axis.yaxis)
        axis.set_title(model, fontsize=10)
        axis.set_xlabel("steps")
        axis.set_ylabel("loss")
        legend_under(axis)
    for colour, (model, rows_of_model) in zip(SERIES, models, strict=False):
        curve = rows_of_model[rows_of_model["curve"] == "validation"]
        axes[-1].plot(curve["step"], curve["value"], "o-", color=colour, label=model)
        axes[-1].axvline(rows_of_model["kept"].iloc[0], color=colour, linewidth=0.8, linestyle=":")
    axes[-1].set_ylim(0, 1)
    axes[-1].set_xlabel("steps")
    axes[-1].set_ylabel("mean sensitivity, FROC")
    axes[-1].set_title("validation; dotted: weights kept", fontsize=10)
    legend_under(axes[-1])
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
    table: pd.DataFrame,
    paper_auc: float,
) -> Figure:
    """ROC curves with bands over patients, a panel a question; below, AUCs beside the paper's.

    Args:
        panels: Question -> model -> curve, of evaluation.roc.roc_band.
        aucs: Question -> model -> its AUC in words.
        table: The AUCs: model, question, auc, low, high.
        paper_auc: The paper's, which gives no curve.
    """
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    forest_height = 0.9 + 0.5 * table["question"].nunique()
    figure = plt.figure(figsize=(5.2 * columns, 6.2 * rows + forest_height))
    cells = figure.add_gridspec(rows + 1, columns, height_ratios=[6.2] * rows + [forest_height])
    for index, (question, curves) in enumerate(panels.items()):
        axis = figure.add_subplot(cells[divmod(index, columns)])
        axis.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", linewidth=1)
        for (name, curve), colour in zip(curves.items(), SERIES, strict=False):
            label = fill(f"{name}: {aucs[question][name]}", LEGEND_WIDTH)
            if name == BLIND:
                axis.plot(1 - curve["specificity"], curve["sensitivity"], "--", color=NEUTRAL,
                          label=label)  # fmt: skip
            else:
                roc_line(axis, curve, colour, label)
        chance = Line2D([], [], color=NEUTRAL, linestyle=":", label="chance: 0.5")
        legend_under(axis, chance, gap=0.14)
        if not curves:
            axis.text(0.5, 0.5, "one class only", ha="center", color=NEUTRAL)
        axis.set_title(question, fontsize=10)
        axis.set_xlabel("1 − specificity")
        axis.set_xlim(-0.01, 1.01)
        axis.set_ylim(-0.01, 1.01)
        axis.set_ylabel("sensitivity")
    axis = figure.add_subplot(cells[-1, :])
    the_paper.aucs(axis, table, paper_auc)
    legend_under(axis, gap=0.3)
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
    legend_outside(figure, axes[0])
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
    axis.set_xlabel("sensitivity at one false positive per image")
    return figure


def page(examples: Sequence[Example], columns: int) -> Figure:
    """Films as they were scanned, with true boxes and found ones."""
    figure, axes = grid(len(examples), columns, (2.7, 3.6))
    for axis, example in zip(axes, examples, strict=True):
        view = example.view
        axis.imshow(view.picture, cmap="gray", vmin=0, vmax=1)
        for box in example.true_boxes:
            _box(axis, box, TRUE_COLOUR, 1.4)
        for box in example.found_boxes:
            _box(axis, box, FOUND_COLOUR, 0.9)
        millimetre_bar(axis, view.picture.shape[1], view.mm_per_px)
        axis.set_title(example.title, fontsize=8)
    handles = [
        Line2D([], [], color=TRUE_COLOUR, label="lesion"),
        Line2D([], [], color=FOUND_COLOUR, label="detection, with its chance of a lesion"),
    ]
    legend_outside(figure, [], *handles)
    figure.draw_without_rendering()  # sizes of axes and type are known from here on
    for axis, example in zip(axes, examples, strict=True):
        _chances(axis, example)
    return figure


def _chances(axis: Axes, example: Example) -> None:
    """The chance of each found box beside it, where it covers no other chance and no frame."""
    frames = [_in_display(axis, box) for box in (*example.found_boxes, *example.true_boxes)]
    texts: list[Bbox] = []

    def cost(spot: Bbox) -> tuple[int, bool, int]:
        outside = not (axis.bbox.contains(*spot.min) and axis.bbox.contains(*spot.max))
        return spot.count_overlaps(texts), outside, sum(_crosses(spot, frame) for frame in frames)

    for box, score in zip(example.found_boxes, example.scores, strict=True):
        text = axis.annotate(
            f"{score:.2f}", (box[1], box[0]), (0, 0), textcoords="offset points", color="white",
            fontsize=8, annotation_clip=False, in_layout=False,
            path_effects=[withStroke(linewidth=2, foreground=FOUND_COLOUR)],
        )  # fmt: skip
        spots = [
            ((col, row), distance * sign, side, edge)
            for distance in (2, 13, 24)
            for row, edge, sign in ((box[0], "bottom", 1), (box[2], "top", -1), (box[0], "top", -1))
            for col, side in ((box[1], "left"), (box[3], "right"))
        ]
        extents = []
        for spot in spots:
            _move(text, *spot)
            extents.append(text.get_window_extent())
        best = min(range(len(spots)), key=lambda index: cost(extents[index]))
        _move(text, *spots[best])
        texts.append(extents[best])


def _move(text: Annotation, corner: tuple[float, float], up: float, side: str, edge: str) -> None:
    """Put a text points above a corner of a box, with that side and edge of it at the corner."""
    text.xy, text.xyann = corner, (0, up)
    text.set(horizontalalignment=side, verticalalignment=edge)


def _in_display(axis: Axes, box: np.ndarray) -> Bbox:
    corners = axis.transData.transform([(box[1], box[0]), (box[3], box[2])])
    return Bbox([corners.min(axis=0), corners.max(axis=0)])


def _crosses(spot: Bbox, frame: Bbox) -> bool:
    """Whether a text lies on the frame of a box, not merely inside of it."""
    within = frame.x0 < spot.x0 and spot.x1 < frame.x1 and frame.y0 < spot.y0
    return bool(frame.overlaps(spot) and not (within and spot.y1 < frame.y1))


def _box(axis: Axes, box: np.ndarray, colour: str, linewidth: float) -> None:
    corner, height, box_width = (box[1], box[0]), box[2] - box[0], box[3] - box[1]
    axis.add_patch(
        Rectangle(corner, box_width, height, fill=False, edgecolor=colour, linewidth=linewidth)
    )
