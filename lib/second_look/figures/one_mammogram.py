"""One mammogram with what the models say of it: found lesions, heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from second_look.figures.style import LABEL_COLOURS, grid, label_name, show_mammogram
from second_look.preparing.views import View

_CELL = (3.6, 4.6)


def overlay(
    view: View,
    *,
    title: str,
    remark: str,
    heat: npt.NDArray[np.float32] | None,
    boxes: npt.NDArray[np.float64],
    masks: Sequence[npt.NDArray[np.bool_]],
    labels: Sequence[str],
    scores: Sequence[float],
) -> Figure:
    """The mammogram, the lesions found in it, and the heat map, side by side.

    Args:
        view: The whole mammogram.
        title: Over all.
        remark: Below all, such as that this is no diagnosis.
        heat: Probabilities (rows, cols) of the view, NaN outside the breast; None for no map.
        boxes: Of the lesions, (row_min, col_min, row_max, col_max) in px of the view, (n, 4).
        masks: Of the lesions, bool (rows, cols) of the view.
        labels: Of the lesions.
        scores: Of the lesions.
    """
    figure, axes = grid(2 if heat is None else 3, 3, _CELL)
    show_mammogram(axes[0], view, outlines=False)
    axes[0].set_title("as it is")
    show_mammogram(axes[1], view, outlines=False)
    axes[1].set_title(f"{len(boxes)} lesion{'s' * (len(boxes) != 1)} marked")
    for box, mask, label, score in zip(boxes, masks, labels, scores, strict=True):
        _draw_lesion(axes[1], box, mask, f"{label_name(label)} {score:.2f}", LABEL_COLOURS[label])
    if heat is not None:
        show_mammogram(axes[2], view, outlines=False, bar=False)
        shade = axes[2].imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.55)
        axes[2].set_title("patch model: malignant")
        figure.colorbar(shade, ax=axes, location="right", shrink=0.6, label="probability")
    figure.suptitle(title, fontsize="medium")
    figure.supxlabel(remark, fontsize="small")
    return figure


def _draw_lesion(
    axis: Axes, box: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_], text: str, colour: str
) -> None:
    top, start, bottom, end = box.tolist()
    axis.add_patch(
        Rectangle((start, top), end - start, bottom - top, fill=False, color=colour, linewidth=1.3)
    )
    if mask.any() and not mask.all():
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=0.8)
    axis.annotate(text, (start, top), (0, 2), textcoords="offset points", color=colour, fontsize=7)
