"""The figures of notebook 07 draw what the tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.figure_checks import complaints
from helpers.made_predictions import binary_predictions
from matplotlib.collections import PolyCollection
from second_look.evaluation import recalibration
from second_look.evaluation.groups import groups
from second_look.figures import calibration as draw
from second_look.figures.calibration import method_colours
from second_look.figures.roc import roc_curves
from second_look.studies.calibration import decisions, findings
from second_look.studies.calibration import measures as study

METHODS = ["as it is", "temperature", "isotonic"]


def lines_of(axis, colour, marker):
    """(x, y) of the lines of a colour and a marker that show something."""
    lines = [
        line for line in axis.lines if (line.get_color(), line.get_marker()) == (colour, marker)
    ]
    return [
        (list(line.get_xdata()), list(line.get_ydata())) for line in lines if line.get_xdata().size
    ]


# ------------------------------------------------------------------ a measure by method


@pytest.fixture
def measured():
    """Every number differs, and the rows are in no order that the figure could take over."""
    rows = [
        (group, method, value, value - 0.01, value + 0.02)
        for group, method, value in (
            (7, "isotonic", 0.05), (3, "temperature", 0.10), (7, "as it is", 0.30),
            (3, "as it is", 0.20), (3, "isotonic", 0.15), (7, "temperature", 0.08),
        )
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["group", "method", "value", "low", "high"])


# Every method's perfect model, at numbers of its own.
PERFECT = pd.DataFrame(
    [
        (group, method, 0.03, 0.011, 0.041)
        for group in (7, 3)
        for method in ("as it is", "temperature", "isotonic")
    ],
    columns=["group", "method", "value", "low", "high"],
)
TITLES = {7: "resnet, malignant?", 3: "vgg, which class?"}


def test_each_method_has_its_value_and_interval_in_the_row_of_its_model(measured):
    (axis,) = draw.errors_by_method(measured, PERFECT, TITLES, "ECE").axes
    for index, group in enumerate(TITLES):
        heights = []
        for method in METHODS:
            selected = (measured["group"] == group) & (measured["method"] == method)
            (row,) = measured[selected].to_dict("records")
            colour = method_colours()[method]
            dots = {x[0]: y[0] for x, y in lines_of(axis, colour, "o")}
            ends = {tuple(x): y for x, y in lines_of(axis, colour, "None")}
            assert ends[row["low"], row["high"]] == [dots[row["value"]]] * 2
            heights.append(dots[row["value"]])
        assert heights == sorted(set(heights))  # apart, in the order of the legend
        assert np.mean(heights) == pytest.approx(index)
        assert max(heights) - min(heights) < 0.8
    drawn = [line for line in axis.lines if len(line.get_xdata())]
    assert len(drawn) == 2 * len(measured) + 2 * len(PERFECT)
    means = lines_of(axis, "black", "|")
    assert [x for x, _ in means] == [[0.03]] * len(PERFECT)
    assert sorted(y for _, (y,) in means) == sorted(
        y for method in METHODS for _, (y,) in lines_of(axis, method_colours()[method], "o")
    )


def test_methods_models_and_measure_are_named(measured):
    figure = draw.errors_by_method(measured, PERFECT, TITLES, "ECE")
    (axis,) = figure.axes
    assert not complaints(figure)
    ticks = zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)
    assert {index: label.get_text() for index, label in ticks} == {
        0: "resnet\nmalignant?", 1: "vgg\nwhich class?",
    }  # fmt: skip
    assert axis.get_ylim() == (1.5, -0.5)  # the first model above
    assert axis.get_xlabel() == "ECE"
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    colours = [line.get_color() for line in legend.get_lines()]
    assert dict(zip(names, colours, strict=True)) == {
        **{m: method_colours()[m] for m in METHODS}, "a perfect model of this size": "black",
    }  # fmt: skip


def test_a_new_method_is_in_every_table_and_drawn_without_further_ado(monkeypatch):
    added = "square root"
    monkeypatch.setitem(
        recalibration.METHODS, added, lambda shares, classes: recalibration.Temperature(2.0)
    )
    calibrated = study.calibrate(groups({"a": binary_predictions(patients=60)}))
    measured = study.measure(calibrated, bins=5, seed=0, draws=5)
    points = decisions.operating_points(
        calibrated, sensitivity=0.9, prevalence=0.01, seed=0, draws=5
    )
    assert added in set(study.readable(measured)["method"])
    rows = (findings.one_measure(measured, calibrated, name) for name in ("ece", "ece_perfect"))
    figure = draw.errors_by_method(*rows, findings.titles(calibrated), "ECE")
    rows = measured[(measured["measure"] == "ece") & (measured["method"] == added)]
    dots = lines_of(figure.axes[0], method_colours()[added], "o")
    assert [x for x, _ in dots] == [[rows["value"].item()]]
    for names in (figure, draw.thresholds(points)):
        assert not complaints(names)
        texts = [text.get_text() for text in names.legends[0].get_texts()]
        assert texts[: len(method_colours())] == list(method_colours())
    assert list(method_colours())[-1] == added


def test_a_method_that_nobody_defined_stops_the_figure(measured):
    with pytest.raises(ValueError, match="unheard of"):
        draw.errors_by_method(measured.replace("isotonic", "unheard of"), PERFECT, TITLES, "ECE")


# ------------------------------------------------------------------ depth

LABEL, MALIGNANT = ("imagenet", "patch", "label"), ("random", "image", "malignant")


@pytest.fixture
def depths():
    """Two families, one of them of two seeds; every number differs."""
    rows = [
        (*question, depth, seed, ece)
        for question, depth, seed, ece in (
            (LABEL, 18, 0, 0.10), (LABEL, 18, 1, 0.14), (LABEL, 50, 0, 0.20), (LABEL, 50, 1, 0.26),
            (MALIGNANT, 18, 0, 0.30), (MALIGNANT, 101, 0, 0.40),
        )
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["family", "unit", "target", "depth", "seed", "ece"])
    return table.assign(
        low=table["ece"] - 0.01, high=table["ece"] + 0.03, ece_recalibrated=table["ece"] / 10
    )


def test_each_network_has_its_ece_its_interval_and_its_ece_after_temperature(depths):
    (axis,) = draw.error_against_depth(depths).axes
    drawn = {}
    for container in axis.containers:
        line, _, (bars,) = container.lines
        for (x, y), bar in zip(line.get_xydata(), bars.get_segments(), strict=True):
            drawn[round(y, 6)] = (x, *bar[:, 1])
    assert len(drawn) == len(depths)
    hollow = [line.get_xydata() for line in axis.lines if line.get_fillstyle() == "none"]
    hollow_points = {tuple(point) for points in hollow for point in points}
    for row in depths.itertuples():
        x, low, high = drawn[round(row.ece, 6)]
        # Networks of one depth stand side by side, much nearer than the next depth.
        assert row.depth <= x < 1.1 * row.depth
        assert (low, high) == pytest.approx((row.low, row.high))
        assert (x, row.ece_recalibrated) in hollow_points
    assert len(hollow_points) == len(depths)


def test_a_line_joins_the_means_of_the_seeds_of_each_family(depths):
    (axis,) = draw.error_against_depth(depths).axes
    joined = [
        line.get_xydata() for line in axis.lines
        if line.get_linestyle() == "-" and line.get_marker() == "None"
    ]  # fmt: skip
    np.testing.assert_allclose(joined[0], [[18, 0.12], [50, 0.23]])
    np.testing.assert_allclose(joined[1], [[18, 0.30], [101, 0.40]])
    assert len(joined) == 2


def test_families_and_depths_are_named_once(depths):
    figure = draw.error_against_depth(depths)
    (axis,) = figure.axes
    assert not complaints(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "after temperature", "imagenet, patch, label", "random, image, malignant",
    ]  # fmt: skip
    assert [text.get_text() for text in axis.get_xticklabels()] == ["18", "50", "101"]
    assert list(axis.get_xticks()) == [18, 50, 101]
    assert axis.get_ylim()[0] == 0


# ------------------------------------------------------------------ prevalence and ROC

LONG = "scheme B, 1152×896, start a_file_of_weights_with_a_long_name tta, patient: malignant or not"


def test_long_names_do_not_cut_the_legend_of_prevalence():
    rows = [
        (title, prevalence, corrected, prevalence, 0.1, 0.05, 0.2)
        for title in (LONG, f"{LONG} 2", "short")
        for prevalence in (0.006, 0.1)
        for corrected in ("no", "yes")
    ]
    columns = ["title", "prevalence", "corrected", "mean_probability", "ece", "low", "high"]
    figure = draw.prevalence(pd.DataFrame(rows, columns=columns))
    assert not complaints(figure)
    assert "as calibrated" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_roc_curve_has_a_panel_of_its_own_with_its_threshold():
    """Three bands upon each other left nothing to be seen of any."""
    band = {"specificity": [0.0, 0.5, 1.0], "sensitivity": [1.0, 0.8, 0.2],
            "low": [0.9, 0.6, 0.1], "high": [1.0, 0.9, 0.4]}  # fmt: skip
    titles = ["a, patch: malignant or not", "b, image: malignant or not", LONG, "d"]
    curves = pd.concat(
        [pd.DataFrame(band).assign(title=title, name=f"{title}: AUC 0.7") for title in titles]
    )
    point = {"sensitivity": 0.8, "sensitivity_low": 0.7, "sensitivity_high": 0.9,
             "specificity": 0.5, "specificity_low": np.nan, "specificity_high": np.nan}  # fmt: skip
    figure = roc_curves(curves, pd.DataFrame([{"title": titles[0], **point}]))
    panels = [axis for axis in figure.axes if axis.axison]
    assert len(panels) == 4
    for panel in panels:
        assert sum(isinstance(part, PolyCollection) for part in panel.collections) == 1, "one band"
        assert panel.lines[1].get_drawstyle() == "steps-post"
    texts = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert texts == ["chance: AUC 0.5", "AUC 0.7", "threshold from validation patients"]
    assert len(panels[1].get_legend().get_texts()) == 2
    assert not complaints(figure)
