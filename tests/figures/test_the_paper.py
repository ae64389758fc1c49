"""The paper's numbers look the same wherever they are drawn, and nothing else is drawn of it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from helpers.figure_checks import complaints
from matplotlib.colors import to_hex
from second_look import paper
from second_look.figures import the_paper
from second_look.figures.style import PAPER_COLOUR


def printed(name, rows):
    """As studies.gan.dcgan.printed_layers has it; the last layer was built with one parameter."""
    table = pd.DataFrame(
        [(row.kind, row.printed_shape, row.parameters, row.parameters) for row in rows],
        columns=["printed_type", "printed_output_shape", "printed_parameters", "parameters"],
    )
    table.loc[table.index[-1], "parameters"] = 1
    return table.assign(figure=name)


def test_layers_are_redrawn_from_the_printed_tables_beside_those_built():
    table = pd.concat([printed("1a", paper.FIG_1A), printed("1b", paper.FIG_1B)])
    figure = the_paper.layers(table)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "figure 1a, the paper: 33,081,761", "figure 1a, built here: 33,081,762",
        "figure 1b, the paper: 314,241", "figure 1b, built here: 52,097",
    ]  # fmt: skip
    for axis, rows in zip(figure.axes[::2], (paper.FIG_1A, paper.FIG_1B), strict=True):
        assert [bar.get_width() for bar in axis.patches] == [row.parameters for row in rows]
        assert {to_hex(bar.get_facecolor()) for bar in axis.patches} == {PAPER_COLOUR}
    assert figure.axes[0].get_yticklabels()[3].get_text() == "Reshape  8×8×128"
    assert not complaints(figure)


def test_every_mark_of_the_paper_has_its_colour_and_its_name():
    figure, (first, second) = plt.subplots(1, 2)
    the_paper.points(first, [1], [2], says="'s example")
    the_paper.lines(first, [3, 4])
    the_paper.level_range(first, 5, 6)
    labels = first.get_legend_handles_labels()[1]
    assert labels == ["the paper's example", "the paper", "the paper's range"]
    assert {line.get_color() for line in first.lines} == {PAPER_COLOUR}
    assert to_hex(first.patches[0].get_edgecolor()) == PAPER_COLOUR
    the_paper.words(second, "It gives no numbers.")
    assert [text.get_text() for text in second.texts] == ["It gives no numbers."]
    assert not second.lines, "nothing is invented"
    assert second.get_title(loc="left") == the_paper.NAME
    plt.close(figure)


def test_an_auc_that_was_not_measured_is_no_point():
    table = pd.DataFrame(
        {"model": ["a", "a", "b"], "question": ["x", "y", "x"], "auc": [0.7, np.nan, 0.6],
         "low": [0.6, np.nan, np.nan], "high": [0.8, np.nan, np.nan]}
    )  # fmt: skip
    _, axis = plt.subplots()
    the_paper.aucs(axis, table, 0.93)
    values = [list(part.lines[0].get_xdata()) for part in axis.containers]
    np.testing.assert_array_equal(values, [[0.7, np.nan], [0.6, np.nan]])
    plt.close("all")
