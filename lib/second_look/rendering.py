"""A figure as the bytes of its files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 150


def rendered(figure: Figure) -> tuple[bytes, bytes]:
    """A figure as PNG and SVG, without dates and random ids: equal figures, equal files."""
    _show_powers(figure)
    return (
        _saved(figure, "png", {"Software": None}),
        _saved(figure, "svg", {"Date": None, "Creator": None}),
    )


def _show_powers(figure: Figure) -> None:
    """Let logarithmic axes write their ticks as powers; all other text is taken as it is."""
    from matplotlib.axis import Axis
    from matplotlib.ticker import LogFormatterMathtext

    axes = [
        axis
        for axis in figure.findobj(Axis)
        if isinstance(axis.get_major_formatter(), LogFormatterMathtext)
    ]
    if axes:
        figure.draw_without_rendering()  # makes the ticks
    for axis in axes:
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            for label in (tick.label1, tick.label2):
                label.set_parse_math(True)


def _saved(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "second-look"}):
        figure.savefig(stream, format=form, dpi=PNG_DPI, metadata=metadata)
    return stream.getvalue()
