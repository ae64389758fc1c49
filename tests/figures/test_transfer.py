"""Figures of notebook 06 show the numbers that they are given, also where there are few."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from helpers.figure_checks import complaints
from matplotlib.colors import to_hex
from second_look.catalogue import LABELS
from second_look.claims import CLAIMS
from second_look.figures import transfer as draw
from second_look.figures.style import LABEL_COLOURS, PAPER_COLOUR, start_colours
from second_look.paper import RELATED_WORK
from second_look.preparing.views import View
from second_look.studies.transfer.patch_transfer import MEASURES


def legend(figure):
    (outside,) = figure.legends
    return [text.get_text() for text in outside.get_texts()]


def ticks(labels):
    return [label.get_text() for label in labels]


def points(container):
    """Places (n, 2) of the markers of an error bar."""
    return np.column_stack(container.lines[0].get_data()).astype(float)


def ends(container):
    """Its bars (n, 2 ends, 2 coordinates); those without ends are not drawn."""
    segments = container.lines[2][0].get_segments()
    return np.array([segment for segment in segments if len(segment)])


def named(axis, label):
    """The only line with that label."""
    (line,) = [line for line in axis.lines if line.get_label() == label]
    return line


def fits_inside(figure):
    """Whether all that is drawn lies on the page, and no title upon another."""
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    margins = (drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1)
    titles = [
        title.get_window_extent()
        for axis in figure.axes
        for title in (axis.title, axis._left_title)
        if title.get_text()
    ]
    overlap = any(first.overlaps(second) for first, second in combinations(titles, 2))
    return min(margins) > -0.02 and not overlap


# ------------------------------------------------------------------ curves


STARTS = ("random", "imagenet")


def curve(starts=("random", "imagenet"), sizes=(512, 2048), seeds=1):
    """Values that tell apart the start, the number and the measure; not in order of size."""
    rows = [
        {"start": start, "patches": patches, "measure": measure,
         "value": 0.3 + 0.1 * s + 0.01 * p + 0.001 * m, "trainings": seeds, "n": 1234,
         "patients": 56}
        for s, start in enumerate(starts)
        for p, patches in reversed(list(enumerate(sizes)))
        for m, measure in enumerate(MEASURES)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(low=table["value"] - 0.05, high=table["value"] + 0.1)


BASELINES = pd.DataFrame(
    {
        "baseline": ["a guess by frequency", "always the commonest class"],
        "accuracy": [0.6, 0.8],
        "balanced_accuracy": [0.2, 0.25],
    }
)


def test_learning_curves_stand_at_their_values_beside_floor_and_paper():
    figure = draw.learning_curve(curve(), BASELINES, MEASURES)
    assert [axis.get_ylabel() for axis in figure.axes] == list(MEASURES.values())
    for m, (axis, floor) in enumerate(zip(figure.axes, (0.8, 0.25, 0.5), strict=True)):
        assert axis.get_xscale() == "log"
        assert axis.get_title(loc="left") == "1,234 test patches,\n56 patients, 1 training"
        label = "chance" if m == 2 else "always the commonest class"
        assert set(named(axis, label).get_ydata()) == {floor}
        assert len(axis.containers) == 2
        for s, line in enumerate(axis.containers):
            low = 0.3 + 0.1 * s + 0.001 * m
            expected = np.array([[512, low], [2048, low + 0.01]])
            assert points(line).tolist() == pytest.approx(expected)
            bars = ends(line)[..., 1] - points(line)[:, 1:]
            assert bars == pytest.approx(np.array([[-0.05, 0.1]] * 2))
            assert line.lines[0].get_color() == start_colours(["random", "imagenet"])[STARTS[s]]
    starts = ["start random", "start imagenet"]
    assert legend(figure) == ["always the commonest class", "the paper", *starts, "chance"]
    assert fits_inside(figure)
    assert not complaints(figure)


def test_a_start_has_one_colour_and_shares_it_with_nothing():
    """In the learning curve phantom was blue and random orange, in the training the other way."""
    ordered = pd.concat([curve(["phantom"]), curve(["random"])])
    lines = draw.learning_curve(ordered, BASELINES, MEASURES).axes[0].containers
    colours = dict(zip(("phantom", "random"), (c.lines[0].get_color() for c in lines), strict=True))
    axis = draw.training_curves(history(["random", "phantom"]), MEASURES).axes[0]
    named_lines = {line.get_label().removeprefix("start "): line for line in axis.lines}
    for start, colour in colours.items():
        assert named_lines[start].get_color() == colour
        assert colour not in LABEL_COLOURS.values()
    units = {c.lines[0].get_color() for c in draw.auc_forest(areas()).axes[0].containers}
    assert not units & {*colours.values(), *LABEL_COLOURS.values()}


def test_numbers_of_patches_are_plain_and_do_not_overlap():
    figure = draw.learning_curve(curve(sizes=(2048, 16_384, 196_608)), BASELINES, MEASURES)
    figure.canvas.draw()
    assert ticks(figure.axes[1].get_xticklabels()) == ["196,608", "16,384", "2,048"]
    assert "200,000" not in ticks(figure.axes[0].get_xticklabels()), "on that of 196,608"
    assert not complaints(figure)


def test_the_papers_points_are_its_claims():
    figure = draw.learning_curve(curve(), BASELINES, MEASURES)
    claims = {claim.id: claim.value for claim in CLAIMS}
    cross = named(figure.axes[0], "the paper")
    assert cross.get_xdata().tolist() == [200_000, 400_000]
    assert 100 * np.array(cross.get_ydata()) == pytest.approx(
        [claims["patch-accuracy-200k"], claims["patch-accuracy-400k"]]
    )
    left, right = figure.axes[0].get_xlim()
    assert left < 512
    assert right > 400_000


def test_a_learning_curve_of_one_model_without_an_interval_is_a_point():
    lone = curve(starts=["random"], sizes=[512], seeds=3).assign(low=np.nan, high=np.nan)
    figure = draw.learning_curve(lone, BASELINES, {"macro_auc": "macro AUC"})
    (axis,) = figure.axes
    assert points(axis.containers[0]).tolist() == [[512, pytest.approx(0.302)]]
    assert not ends(axis.containers[0]).size
    assert axis.get_title(loc="left").endswith("3 trainings")
    assert fits_inside(figure)


def test_a_learning_curve_without_models_still_shows_what_they_would_stand_beside():
    figure = draw.learning_curve(curve().iloc[:0], BASELINES, MEASURES)
    assert legend(figure) == ["always the commonest class", "the paper", "chance"]
    assert fits_inside(figure)


def history(starts=("random", "file"), seeds=(0, 1), measures=("macro_auc",)):
    rows = [
        (start, seed, patches, measure, 0.5 + 0.1 * s + 0.01 * seed + patches / 4e6)
        for s, start in enumerate(starts)
        for seed in seeds
        for measure in measures
        for patches in (200_000, 400_000)
    ]
    return pd.DataFrame(rows, columns=["start", "seed", "patches", "measure", "value"])


def test_training_curves_have_a_line_a_seed_and_a_name_a_start():
    two_measures = history(measures=("macro_auc", "balanced_accuracy"))
    figure = draw.training_curves(two_measures, MEASURES)
    assert [axis.get_ylabel() for axis in figure.axes] == [
        "balanced accuracy, validation",
        "macro AUC, validation",
    ]
    for axis in figure.axes:
        colours = start_colours(["random", "file"])
        assert [line.get_color() for line in axis.lines] == [
            colours[start] for start in ("random", "random", "file", "file")
        ]
        last = [line.get_ydata()[-1] for line in axis.lines]
        assert last == pytest.approx([0.6, 0.61, 0.7, 0.71])
        assert axis.lines[0].get_xdata().tolist() == [200_000, 400_000]
    assert legend(figure) == ["start random", "start file"]
    assert not complaints(figure)
    assert "400,000" in ticks(figure.axes[0].get_xticklabels())
    assert fits_inside(figure)


def test_training_curves_leave_out_what_was_not_validated():
    assert len(draw.training_curves(history(), MEASURES).axes) == 1
    (axis,) = draw.training_curves(history().iloc[:0], MEASURES).axes
    assert axis.get_title(loc="left") == "nothing was validated"
    assert not axis.lines


# ------------------------------------------------------------------ gains


def effect(starts=("imagenet", "file"), sizes=(512, 400_000)):
    rows = [
        (start, patches, measure, 0.1 * s - 0.02 * p + 0.001 * m)
        for p, patches in enumerate(sizes)
        for s, start in enumerate(starts)
        for m, measure in enumerate(MEASURES)
    ]
    table = pd.DataFrame(rows, columns=["start", "patches", "measure", "value"])
    return table.assign(low=table["value"] - 0.05, high=table["value"] + 0.1, answer="helps")


def test_gains_stand_right_of_the_line_where_a_start_helps():
    figure = draw.transfer(effect(), MEASURES)
    rows = ["imagenet, 512", "file, 512", "imagenet, 400,000", "file, 400,000"]
    assert ticks(figure.axes[0].get_yticklabels()) == [f"{row} patches" for row in rows]
    for m, (axis, name) in enumerate(zip(figure.axes, MEASURES.values(), strict=True)):
        assert axis.get_xlabel() == f"gain in {name}\nover a random start"
        gains = points(axis.containers[0])
        assert gains[:, 0] == pytest.approx(np.array([0, 0.1, -0.02, 0.08]) + 0.001 * m)
        bars = ends(axis.containers[0])[..., 0] - gains[:, :1]
        assert bars == pytest.approx(np.array([[-0.05, 0.1]] * 4))
        assert any(set(line.get_xdata()) == {0} for line in axis.lines), "no gain"
        bottom, top = axis.get_ylim()
        assert bottom > 3 > 0 > top, "the first row is at the top"
    assert fits_inside(figure)


def test_a_gain_without_an_interval_is_a_point_and_no_gain_is_said():
    lone = effect(["file"], [512]).assign(low=np.nan, high=np.nan)
    for axis in draw.transfer(lone, MEASURES).axes:
        assert points(axis.containers[0]).shape == (1, 2)
        assert not ends(axis.containers[0]).size
    nothing = draw.transfer(effect([], []), MEASURES)
    assert nothing.axes[0].get_title(loc="left") == "only one start: nothing to compare"
    assert fits_inside(nothing)


# ------------------------------------------------------------------ one model


def test_confusion_is_a_row_a_true_class_with_its_number():
    shares = np.array([[0.9, 0.06, 0.03, 0.01], [0.2, 0.1, 0.3, 0.4]])
    table = pd.DataFrame(shares, columns=list(LABELS))
    table.insert(0, "class", ["normal", "malignant"])
    table.insert(1, "windows", [12_345, 10])
    figure = draw.confusion(table)
    (axis,) = figure.axes
    assert ticks(axis.get_yticklabels()) == ["normal\n(n = 12,345)", "malignant\n(n = 10)"]
    assert ticks(axis.get_xticklabels()) == [
        "normal",
        "benign\nwithout callback",
        "benign",
        "malignant",
    ]
    words = [text.get_text() for text in axis.texts]
    assert words == ["90%", "6%", "3%", "1%", "20%", "10%", "30%", "40%"]
    cells = axis.collections[0]
    assert np.ravel(cells.get_array()).tolist() == shares.ravel().tolist()
    assert cells.get_clim() == (0, 1), "colours of figures can be compared"
    assert fits_inside(figure)


def looked_at(kinds=(False, True), numbers=(1, 4, 128)):
    rows = [
        (kind, number, 0.1 + 0.2 * kind + k / 10, 0.2 + 0.2 * kind + k / 10, 30 + kind)
        for kind in kinds
        for k, number in enumerate(numbers)
    ]
    columns = ["malignant", "windows", "flagged", "independent", "images"]
    return pd.DataFrame(rows, columns=columns)


def test_flagged_images_have_a_line_a_kind_and_one_for_independence():
    figure = draw.flagged(looked_at())
    (axis,) = figure.axes
    names = {
        "malignant (n = 31)": ("malignant", [0.3, 0.4, 0.5]),
        "malignant, were windows independent": ("malignant", [0.4, 0.5, 0.6]),
        "without a malignancy (n = 30)": ("benign", [0.1, 0.2, 0.3]),
        "without a malignancy, were windows independent": ("benign", [0.2, 0.3, 0.4]),
    }
    assert legend(figure) == list(names)
    assert not complaints(figure)
    for name, (label, values) in names.items():
        line = named(axis, name)
        assert line.get_ydata().tolist() == pytest.approx(values)
        assert line.get_xdata().tolist() == [1, 4, 128]
        assert to_hex(line.get_color()).upper() == LABEL_COLOURS[label]
    assert ticks(axis.get_xticklabels()) == ["1", "4", "128"]
    assert axis.get_xscale() == "log"
    assert fits_inside(figure)


def test_without_a_malignant_image_only_the_others_are_drawn():
    figure = draw.flagged(looked_at([False], [1]))
    assert [name.split(" (")[0] for name in legend(figure)] == [
        "without a malignancy",
        "without a malignancy, were windows independent",
    ]


# ------------------------------------------------------------------ whole images


def areas(models=("scheme A, any window", "scheme B, 1152×896, start imagenet tta")):
    rows = [
        (model, unit, 0.6 + 0.1 * m + 0.02 * u, 200 - 50 * u)
        for u, unit in enumerate(("image", "breast", "patient"))
        for m, model in enumerate(models)
    ]
    table = pd.DataFrame(rows, columns=["model", "unit", "value", "n"])
    return table.assign(low=table["value"] - 0.1, high=table["value"] + 0.05)


def test_a_forest_has_a_row_a_model_with_a_point_a_unit():
    table = areas()
    figure = draw.auc_forest(table)
    (axis,) = figure.axes
    models = list(table["model"].unique())
    assert ticks(axis.get_yticklabels()) == models
    assert len(axis.containers) == 3
    for u, container in enumerate(axis.containers):
        assert points(container)[:, 0] == pytest.approx([0.6 + 0.02 * u, 0.7 + 0.02 * u])
        # Beside the model's own line, the first unit above it.
        assert np.round(points(container)[:, 1]).tolist() == [0, 1]
        bars = ends(container)[..., 0] - points(container)[:, :1]
        assert bars == pytest.approx(np.array([[-0.1, 0.05]] * 2))
    heights = [points(container)[0, 1] for container in axis.containers]
    assert heights == sorted(set(heights))
    bottom, top = axis.get_ylim()
    assert bottom > 1 > 0 > top, "the first model is at the top"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"by image (n = 200)", "by breast (n = 150)", "by patient (n = 100)"} < set(texts)
    assert fits_inside(figure)


def test_dashed_lines_are_the_results_that_the_paper_compares_itself_with():
    (axis,) = draw.auc_forest(areas()).axes
    dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [
        result.value for result in RELATED_WORK if result.ref in (6, 7)
    ]
    assert {line.get_color() for line in dashed} == {PAPER_COLOUR}
    assert named(axis, "chance").get_xdata()[0] == 0.5


def test_an_undefined_area_keeps_its_row_without_a_point():
    table = areas()
    table.loc[table["model"] == "scheme A, any window", ["value", "low", "high"]] = np.nan
    (axis,) = draw.auc_forest(table).axes
    assert len(axis.get_yticklabels()) == 2
    for container in axis.containers:
        assert np.isnan(points(container)[0, 0])
        assert np.isfinite(points(container)[1, 0])
    assert [text.get_text() for text in axis.texts] == ["none: not measured"]
    told_why = draw.auc_forest(table.assign(reason="no positive among them")).axes[0]
    assert [text.get_text() for text in told_why.texts] == ["none: no positive among them"]
    only = draw.auc_forest(areas(["scheme A, any window"]))
    assert fits_inside(only)
    assert not draw.auc_forest(areas([])).axes[0].containers


def film(cols, heat):
    """A film, 64 px high, with a breast, a lesion and a map of one value on the breast."""
    regions = np.zeros((64, cols), dtype=np.uint8)
    regions[8:56, : cols - 8] = 1
    regions[20:30, 5:15] = 2
    view = View(
        "i", "malignant", np.full((64, cols), 0.5, np.float32), regions, {2: "malignant"}, 1.0
    )
    return view, np.where(regions > 0, heat, np.nan).astype(np.float32)


TITLES = ["malignant, highest score: 0.99", "not malignant, highest score: 0.75"]


@pytest.mark.parametrize("widths", [(50, 50), (50, 24), (24, 60)])
def test_heat_maps_lie_below_their_films_on_one_scale(widths):
    views = [film(width, heat) for width, heat in zip(widths, (0.99, 0.75), strict=True)]
    figure = draw.heat_maps(views, TITLES)
    *pictures, bar = figure.axes
    upper, lower = pictures[:2], pictures[2:]
    assert [axis.get_title() for axis in upper] == TITLES
    for axis, (view, heat) in zip(lower, views, strict=True):
        grey, warm = axis.images
        assert np.array_equal(grey.get_array(), view.picture)
        assert np.array_equal(warm.get_array().filled(np.nan), heat, equal_nan=True)
        assert np.array_equal(warm.get_alpha() > 0, view.regions > 0), "seen on the breast alone"
        assert warm.get_clim() == (0, pytest.approx(0.99))
    assert bar.get_xlabel() == "probability of malignant"
    assert [len(axis.images) for axis in upper] == [1, 1]
    assert fits_inside(figure)
    for row in (upper, lower):
        tops = [axis.get_position().y1 for axis in row]
        assert tops[0] == pytest.approx(tops[1]), "pictures hang from one line"


def test_one_heat_map_and_one_without_scores():
    assert fits_inside(draw.heat_maps([film(50, 0.2)], TITLES[:1]))
    figure = draw.heat_maps([film(50, np.nan), film(50, 0.2)], TITLES)
    for axis in figure.axes[2:4]:
        assert axis.images[1].get_clim() == (0, pytest.approx(0.2))
