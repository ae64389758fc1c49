"""The figures of notebooks 03 and 04 draw what they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.figure_checks import complaints
from second_look.figures import gan as draw

PICTURES = np.linspace(0, 1, 17 * 8 * 8, dtype=np.float32).reshape(17, 8, 8)
CLASSES = ["benign", "malignant"]


def visible_axes(figure):
    return [axis for axis in figure.axes if axis.images]


def test_panels_show_pictures_at_their_own_grey_levels() -> None:
    rows = {
        "original patches": dict.fromkeys(CLASSES, PICTURES),
        "samples": {"benign": PICTURES[:5]},
    }
    figure = draw.panels(rows, 0.8, {"samples": "Pictures without numbers."})
    framed = [axis.get_title(loc="left") for axis in figure.axes if axis.axison]
    assert framed == ["the paper"], "beside the samples alone"
    assert not complaints(figure)
    axes = visible_axes(figure)
    assert [axis.get_title(loc="left") for axis in axes] == [
        "original patches: benign",
        "original patches: malignant",
        "samples: benign",
    ]
    assert axes[0].images[0].get_array().shape == (32, 32)
    assert axes[2].images[0].get_array().shape == (16, 16)  # 2×2 of the five
    np.testing.assert_array_equal(axes[0].images[0].get_array()[:8, 8:16], PICTURES[1])
    assert axes[0].images[0].get_clim() == (0, 0.8)


def test_history_and_neighbours_have_a_picture_each() -> None:
    strip = [("0 epochs", PICTURES[0]), ("5 epochs", PICTURES[1])]
    strips = {"DCGAN, benign": strip, "DCGAN, normal": strip[:1]}
    assert len(visible_axes(draw.sample_history(strips, 1.0))) == 3
    pairs = {"DCGAN, benign": (PICTURES[:3], PICTURES[3:6])}
    figure = draw.neighbours(pairs, 1.0)
    axes = visible_axes(figure)
    assert len(axes) == 6
    assert not complaints(figure)
    np.testing.assert_array_equal(axes[4].images[0].get_array(), PICTURES[4])


def test_curves_have_a_line_a_set() -> None:
    kinds = [(kind, label) for kind in ("dcgan", "progressive") for label in CLASSES]
    losses = pd.DataFrame(
        [(*kind, name, epoch, 1.0) for kind in kinds for name in ("discriminator", "generator")
         for epoch in (1, 2)],
        columns=["architecture", "label", "name", "epoch", "value"],
    )  # fmt: skip
    figure = draw.losses(losses)
    assert [len(axis.lines) for axis in figure.axes] == [2] * 4
    assert figure.axes[0].get_title(loc="left") == "DCGAN, benign"
    assert figure.axes[3].get_title(loc="left") == "progressive growing, malignant"
    assert not complaints(figure)
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks()), "whole epochs"
    progress = pd.DataFrame(
        [(*kind, seed, epoch, 9.0 - epoch + seed, 2.0)
         for kind in kinds for seed in (0, 1) for epoch in (0, 1)],
        columns=["architecture", "label", "seed", "epoch", "swd", "floor"],
    )  # fmt: skip
    figure = draw.progress(progress)
    assert [len(axis.lines) for axis in figure.axes] == [6, 6]  # a curve a training, and the floor
    assert len(figure.legends[0].get_texts()) == 2, "each class once"
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["DCGAN", "progressive growing"]
    assert not complaints(figure)
    assert {"2", "5"} <= {text.get_text() for text in figure.axes[0].get_yticklabels()}
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())
    spectra = pd.DataFrame(
        [(name, label, 32, f, 1 / f) for name in ("dcgan", "real") for label in CLASSES
         for f in (0.1, 0.2)],
        columns=["architecture", "label", "size", "frequency", "power"],
    )  # fmt: skip
    figure = draw.spectra(spectra)
    (axis,) = figure.axes
    assert len(axis.lines) == 5
    assert not complaints(figure)


def test_accuracy_stands_beside_baselines_and_the_paper() -> None:
    curve = pd.DataFrame(
        [(name, epoch, 0.5, 0.4, 0.6) for name in ("a", "b", "c") for epoch in (1, 2)],
        columns=["name", "epoch", "accuracy", "low", "high"],
    )
    baselines = pd.DataFrame({"baseline": ["guess", "always normal"], "accuracy": [0.33, 0.8]})
    figure = draw.accuracy_by_epoch(curve, baselines, 0.05, ["a", "b"])
    (axis,) = figure.axes
    assert not complaints(figure)
    assert all(tick == round(tick) for tick in axis.get_xticks())
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["a", "b", "guess", "always normal", "the paper's 5%"]
    assert axis.lines[-1].get_ydata()[0] == 5


def test_confusion_shows_shares_and_counts() -> None:
    matrix = pd.DataFrame([[3, 1], [0, 0]], index=CLASSES, columns=CLASSES)
    (axis,) = draw.confusion({"samples only": matrix}).axes
    assert axis.texts[0].get_text() == "75%\n3"
    assert axis.texts[3].get_text() == "0%\n0"


def test_added_samples_are_a_share_of_the_real_ones() -> None:
    rows = [(name, real, generated, measure, 0.5, 0.4, 0.6)
            for name, real, generated in (("alone", 0, 8), ("real", 8, 0), ("half", 8, 4))
            for measure in ("accuracy", "balanced_accuracy")]  # fmt: skip
    columns = ["name", "real", "generated", "measure", "value", "low", "high"]
    looks = pd.DataFrame({"baseline": ["guess", "always normal"], "accuracy": [1 / 3, 0.9],
                          "balanced_accuracy": [1 / 3, 1 / 3]})  # fmt: skip
    figure = draw.augmentation(pd.DataFrame(rows, columns=columns), looks)
    # The right panel had none, where answering with the commonest class is right most of the time.
    for axis, chance in zip(figure.axes, (100 / 3, 90), strict=True):
        (line,) = [line for line in axis.lines if line.get_linestyle() == "--"]
        assert line.get_ydata()[0] == pytest.approx(chance)
    assert not complaints(figure)
    mixed = figure.axes[0].containers[0].lines[0]
    assert mixed.get_xdata().tolist() == [0, 50]
    assert mixed.get_ydata().tolist() == [50, 50]
    ticks = zip(figure.axes[0].get_xticks(), figure.axes[0].get_xticklabels(), strict=True)
    names = {float(position): label.get_text() for position, label in ticks}
    assert names == {-15: "only", 0: "0", 50: "50"}
