"""What a reader of a figure would complain of, found from what is drawn."""

from __future__ import annotations

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from second_look.rendering import PNG_DPI

# Of the report's column, px: 62 rem less its padding of 1.25 rem at each side.
PAGE_WIDTH = (62 - 2.5) * 16
SMALLEST = 9.0


def complaints(figure: Figure) -> list[str]:
    """Type too small to read, a legend that is cut or on a curve, tick labels upon each other."""
    figure.canvas.draw()
    scale = PNG_DPI / 72 * min(1.0, PAGE_WIDTH / (PNG_DPI * figure.get_figwidth()))
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    problems = [
        f"{text.get_text()!r} is {text.get_fontsize() * scale:.1f} px high"
        for text in texts
        if text.get_fontsize() * scale < SMALLEST
    ]
    for legend in [*figure.legends, *filter(None, (axis.get_legend() for axis in figure.axes))]:
        box, page = legend.get_window_extent(), figure.bbox
        if min(box.x0, box.y0) < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
            problems.append("a legend is cut")
        if any(box.overlaps(axis.get_window_extent()) for axis in figure.axes if axis.axison):
            problems.append("a legend is on an axes")
    return problems + [text for axis in figure.axes for text in _crowded(axis)]


def _crowded(axis: Axes) -> list[str]:
    """Tick labels of an axes that overlap; turned ones are apart if their starts are."""
    problems = []
    for line, low in ((axis.xaxis, 0), (axis.yaxis, 1)):
        labels = [
            tick.label1
            for tick in line.get_major_ticks()
            if tick.label1.get_visible() and tick.label1.get_text()
        ]
        if not axis.axison or not labels:
            continue
        boxes = [(label.get_window_extent().bounds, label) for label in labels]
        boxes.sort(key=lambda item: item[0][low])
        for (first, text), (second, _) in pairwise(boxes):
            length = first[2 + low]
            if text.get_rotation() % 90:
                length = text.get_fontsize() * PNG_DPI / 72 / 1.5
            if first[low] + length > second[low] + 0.5:
                problems.append(f"tick labels overlap: {text.get_text()!r}")
    return problems
