"""Figures of notebook 05 are drawn from tables alone and hold what they are given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_detections import made_images, made_truths, perfect
from second_look.evaluation.detection import by_group, froc_table
from second_look.evaluation.froc import curve, marks
from second_look.figures import detection as draw
from second_look.studies.mask_rcnn_findings import Example
from second_look.views import View


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def tables():
    images = made_images(20)
    truths = made_truths(images, seed=1)
    return perfect(images, truths), truths, images


def test_a_roc_has_a_panel_a_question_and_names_aucs_and_chance():
    points = pd.DataFrame({"specificity": [1.0, 0.5, 0.0], "sensitivity": [0.2, 0.7, 1.0],
                           "low": [0.1, 0.6, 1.0], "high": [0.3, 0.8, 1.0]})  # fmt: skip
    curves = {"malignant?": {"ours": points}, "any lesion?": {}}
    words = {"malignant?": {"ours": "0.70 [0.6, 0.8]"}, "any lesion?": {}}
    figure = draw.roc(curves, words, 0.93)
    left, right = figure.axes
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert texts == ["ours: 0.70 [0.6, 0.8]", "paper: AUC 0.93", "chance: 0.5"]
    np.testing.assert_allclose(left.lines[1].get_xdata(), [0, 0.5, 1])
    assert [text.get_text() for text in right.texts] == ["one class only"]


def test_a_froc_has_a_panel_a_rule_with_the_usual_rates(tables):
    found, truths, images = tables
    points = froc_table({"ours": found}, truths, images, seed=0, draws=20)
    curves = {rule: {"ours": curve(marks(found, truths, images, rule=rule))}
              for rule in ("centre", "iou")}  # fmt: skip
    figure = draw.froc(curves, points)
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == [
        "0.1", "0.3", "0.5", "1", "2", "4",
    ]  # fmt: skip
    axis = figure.axes[1]
    assert "IoU" in axis.get_title(loc="left") + axis.get_title()


def test_groups_are_named_with_their_size(tables):
    found, truths, images = tables
    table = by_group(found, truths, images, seed=0)
    figure = draw.groups(table)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[0] == "kind: calcification (n = 5)"
    assert len(labels) == len(table)


def test_a_page_draws_each_box_and_its_chance():
    view = View(
        "i1", "benign", np.zeros((40, 30), np.float32), np.ones((40, 30), np.uint8), {}, 0.2
    )
    lesions, found = np.array([[5, 6, 15, 18.0]]), np.array([[4, 6, 15, 18.0], [20, 2, 30, 9]])
    example = Example("hit: i1", view, lesions, found, np.array([0.7, 0.2]))
    axis = draw.page([example], 2).axes[0]
    corners = [patch.get_xy() for patch in axis.patches]
    assert corners == [(6, 5), (6, 4), (2, 20)]
    assert {"0.70", "0.20"} <= {text.get_text() for text in axis.texts}
