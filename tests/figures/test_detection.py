"""Figures of notebook 05 are drawn from tables alone and hold what they are given."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from helpers.figure_checks import complaints
from helpers.made_detections import made_images, made_truths, perfect
from second_look import figures
from second_look.evaluation.detection import by_group
from second_look.evaluation.froc import curve, froc_table, marks
from second_look.figures import detection as draw
from second_look.figures.style import PAPER_COLOUR
from second_look.preparing.views import Example, Target, View


@pytest.fixture(scope="module")
def tables():
    images = made_images(20)
    truths = made_truths(images, seed=1)
    return perfect(images, truths), truths, images


def test_drawing_needs_no_torch():
    """Figures get tables and pictures, so that a page can be drawn where no network runs."""
    names = [module.name for module in pkgutil.iter_modules(figures.__path__)]
    assert "detection" in names
    imports = ", ".join(f"second_look.figures.{name}" for name in names)
    code = f"import sys, {imports}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "False"


def test_losses_have_a_panel_a_model_and_validation_the_last():
    rows = [
        (model, name, step, value + 0.1 * m, 20 * (m + 1))
        for m, model in enumerate(("with", "without"))
        for name, value in (("objectness", 0.3), ("mask", 0.6), ("validation", 0.5))
        for step in (20, 40)
    ]
    columns = ["model", "curve", "step", "value", "kept"]
    figure = draw.training(pd.DataFrame(rows, columns=columns))
    assert not complaints(figure)
    *losses, validated = figure.axes
    for m, axis in enumerate(losses):
        assert [line.get_label() for line in axis.lines] == ["objectness", "mask"]
        assert axis.lines[1].get_ydata().tolist() == pytest.approx([0.6 + 0.1 * m] * 2)
        assert axis.lines[0].get_xdata().tolist() == [20, 40]
    assert len(losses) == 2
    curves, markers = validated.lines[::2], validated.lines[1::2]
    assert [line.get_label() for line in curves] == ["with", "without"]
    assert [line.get_ydata()[0] for line in curves] == pytest.approx([0.5, 0.6])
    assert [line.get_xdata()[0] for line in markers] == [20, 40]


def test_targets_outline_what_is_to_be_found_and_nothing_that_was_turned_out():
    picture, mask = np.full((40, 30), 0.5, np.float32), np.zeros((40, 30), dtype=bool)
    mask[10:20, 5:15] = True
    inputs = [
        Target("i1", picture, [mask]),
        Target("i2", np.zeros((40, 30), np.float32), [np.zeros_like(mask)]),
    ]
    first, second = draw.targets(inputs).axes
    assert first.images[0].get_array().tolist() == picture.tolist()
    assert (len(first.collections), len(second.collections)) == (1, 0)
    corners = first.collections[0].get_paths()[0].get_extents().get_points()
    assert corners == pytest.approx(np.array([[4.5, 9.5], [14.5, 19.5]]), abs=0.51)
    titles = [axis.get_title() + axis.get_title(loc="left") for axis in (first, second)]
    assert titles == ["i1", "i2"]


def test_a_roc_has_a_panel_a_question_and_names_aucs_and_chance():
    points = pd.DataFrame({"specificity": [1.0, 0.5, 0.0], "sensitivity": [0.2, 0.7, 1.0],
                           "low": [0.1, 0.6, 1.0], "high": [0.3, 0.8, 1.0]})  # fmt: skip
    curves = {"malignant?": {"ours": points}, "any lesion?": {}}
    words = {"malignant?": {"ours": "0.70 [0.6, 0.8]"}, "any lesion?": {}}
    table = pd.DataFrame(
        {"model": "ours", "question": ["malignant?", "any lesion?"], "auc": [0.7, np.nan],
         "low": [0.6, np.nan], "high": [0.8, np.nan]}
    )  # fmt: skip
    figure = draw.roc(curves, words, table, 0.93)
    left, right, forest = figure.axes
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert texts == ["ours: 0.70 [0.6, 0.8]", "chance: 0.5"]
    # The paper gives an AUC and no point of its curve: a line through the AUCs alone.
    texts = [text.get_text() for text in forest.get_legend().get_texts()]
    assert set(texts) == {"the paper: AUC 0.93, no curve", "ours"}
    (line,) = [line for line in forest.lines if line.get_color() == PAPER_COLOUR]
    assert set(line.get_xdata()) == {0.93}
    assert forest.containers[0].lines[0].get_xdata()[0] == 0.7
    assert not complaints(figure)
    assert left.lines[1].get_drawstyle() == "steps-post"
    np.testing.assert_allclose(left.lines[1].get_xdata(), [0, 0.5, 1])
    assert [text.get_text() for text in right.texts] == ["one class only"]


def test_a_froc_has_a_panel_a_rule_with_the_usual_rates(tables):
    result, truths, images = tables
    points = froc_table({"ours": result}, truths, images, seed=0, draws=20)
    curves = {rule: {"ours": curve(marks(result, truths, images, rule=rule))}
              for rule in ("centre", "iou")}  # fmt: skip
    figure = draw.froc(curves, points)
    assert len(figure.axes) == 2
    assert not complaints(figure)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == [
        "0.1", "0.3", "0.5", "1", "2", "4",
    ]  # fmt: skip
    axis = figure.axes[1]
    assert "IoU" in axis.get_title(loc="left") + axis.get_title()


def test_groups_are_named_with_their_size(tables):
    result, truths, images = tables
    table = by_group(result, truths, images, seed=0)
    figure = draw.groups(table)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[0] == "kind: calcification (n = 5)"
    assert len(labels) == len(table)


def test_a_page_draws_each_box_and_its_chance():
    view = View(
        "i1", "benign", np.zeros((40, 30), np.float32), np.ones((40, 30), np.uint8), {}, 0.2
    )
    lesions, result = np.array([[5, 6, 15, 18.0]]), np.array([[4, 6, 15, 18.0], [20, 2, 30, 9]])
    example = Example("hit: i1", view, lesions, result, np.array([0.7, 0.2]))
    figure = draw.page([example], 2)
    axis = figure.axes[0]
    corners = [patch.get_xy() for patch in axis.patches]
    assert corners == [(6, 5), (6, 4), (2, 20)]
    assert {"0.70", "0.20"} <= {text.get_text() for text in axis.texts}
    assert not complaints(figure)


def test_chances_of_boxes_that_lie_upon_each_other_can_be_read():
    """They stood at the same corner in 6 points, one upon the other."""
    view = View(
        "i1", "benign", np.zeros((480, 360), np.float32), np.ones((480, 360), np.uint8), {}, 0.2
    )
    corners = [(200, 100), (203, 104), (206, 108), (2, 300)]
    boxes = np.array([(row, col, row + 60, col + 50) for row, col in corners], dtype=float)
    example = Example("hit", view, boxes[:1], boxes, np.array([0.91, 0.82, 0.73, 0.64]))
    figure = draw.page([example] * 4, 4)
    assert not complaints(figure)
    for axis in figure.axes[:4]:
        extents = [text.get_window_extent() for text in axis.texts if "." in text.get_text()]
        assert len(extents) == 4
        assert not any(first.overlaps(second) for first, second in combinations(extents, 2))
        assert all(axis.bbox.contains(*extent.max) for extent in extents), "not on the title"
