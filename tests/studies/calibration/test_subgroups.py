"""Groups of images, errors and decisions of a model whose scores are set by hand."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers.figure_checks import complaints
from second_look.evaluation.groups import groups
from second_look.evaluation.predictions import from_scores
from second_look.figures import decisions as draw
from second_look.studies.calibration import clinical_value, measures, subgroups
from sklearn.metrics import roc_auc_score


@pytest.fixture(scope="module")
def model(phantom_data):
    """Scores of the phantoms' images: right in CC views, at random in MLO views."""
    images = phantom_data.catalogue.images
    rng = np.random.default_rng(0)
    malignant = (images["label"] == "malignant").to_numpy()
    right = np.clip(0.3 + 0.4 * malignant + rng.normal(0, 0.05, len(images)), 0, 1)
    scores = np.where(images["view"] == "CC", right, rng.random(len(images)))
    columns = ["dataset", "image_id", "patient_id", "split", "label"]
    table = from_scores(
        images[columns], scores, unit="image", target="malignant", model="by hand", seed=0
    )
    return measures.calibrate(groups({"06": table}))


def test_a_group_s_auc_is_that_of_its_images(model, phantom_data):
    table = subgroups.table(model, phantom_data, seed=0, draws=100)
    by_view = table[table["attribute"] == "view"].set_index("level")
    assert by_view.loc["CC", "auc"] == 1.0
    test = model[0].test
    views = phantom_data.catalogue.images.set_index("image_id")["view"].reindex(test.image_ids)
    chosen = (views == "MLO").to_numpy()
    expected = roc_auc_score(test.classes[chosen], test.probabilities[chosen, 1])
    assert by_view.loc["MLO", "auc"] == pytest.approx(expected)


def test_malignant_lesions_are_compared_with_all_negatives(model, phantom_data):
    table = subgroups.table(model, phantom_data, seed=0, draws=50)
    by_kind = table[table["attribute"] == "kind"]
    test = model[0].test
    assert (by_kind["negatives"] == (test.classes == 0).sum()).all()
    assert by_kind["positives"].sum() == (test.classes == 1).sum()
    assert by_kind["observed_expected"].isna().all()


def test_a_group_without_an_interval_says_why(model, phantom_data):
    table = subgroups.table(model, phantom_data, seed=0, draws=50)
    without = table["auc_low"].isna()
    assert (table.loc[without, "auc_reason"] != "").all()


def test_errors_are_counted_against_the_images_that_could_have_been_one(model, phantom_data):
    title = model[0].group.title
    table = subgroups.errors(model, phantom_data, {title: 0.5}).set_index(["error", "attribute"])
    test = model[0].test
    recalled, positive = test.probabilities[:, 1] >= 0.5, test.classes == 1
    missed = table.loc[("missed", "all")]
    assert (missed["errors"], missed["of"]) == ((positive & ~recalled).sum(), positive.sum())
    alarms = table.loc[("false alarm", "all")]
    assert (alarms["errors"], alarms["of"]) == ((~positive & recalled).sum(), (~positive).sum())
    by_view = table.loc[("false alarm", "view")]
    assert by_view["errors"].sum() == alarms["errors"]
    assert by_view["of"].sum() == alarms["of"]


def test_the_worst_errors_come_first(model):
    worst = subgroups.worst_errors(model, per_kind=3)
    missed = worst[worst["error"] == "missed"]["score"]
    alarms = worst[worst["error"] == "false alarm"]["score"]
    assert missed.is_monotonic_increasing
    assert alarms.is_monotonic_decreasing
    test = model[0].test
    assert missed.iloc[0] == test.probabilities[test.classes == 1, 1].min()
    assert alarms.iloc[0] == test.probabilities[test.classes == 0, 1].max()


def test_nobody_is_recalled_for_a_patch(model):
    patches = [
        replace(calibrated, group=replace(calibrated.group, unit="patch")) for calibrated in model
    ]
    assert clinical_value.decision_units(patches) == []
    assert clinical_value.decision_units(model) == model


def test_tables_and_figures_of_decisions(model, phantom_data):
    recalls = clinical_value.by_recall_rate(model, rates=[0.1, 0.3], seed=0, draws=50)
    readable = clinical_value.readable(recalls)
    assert list(readable["rate"]) == [0.1, 0.3]
    assert not readable.apply(lambda column: column.astype(str).str.contains(r"\bnan\b")).any(
        axis=None
    )
    curves = clinical_value.decision_curves(model, thresholds=[0.1, 0.5], seed=0, draws=50)
    everybody = curves[curves["strategy"] == clinical_value.ALL].set_index("probability")["value"]
    prevalence = float((model[0].test.classes == 1).mean())
    assert everybody[0.5] == pytest.approx(prevalence - (1 - prevalence))
    table = subgroups.table(model, phantom_data, seed=0, draws=50)
    decisions, groups = draw.decision_curves(curves), draw.subgroups(table)
    for figure in (decisions, groups):
        assert not complaints(figure)
        plt.close(figure)
    assert len(decisions.axes[0].collections) == 2, "recalling everybody has an interval too"
    wide = curves.assign(low=curves["value"] - 0.3, high=curves["value"] + 0.9)
    top = draw.decision_curves(wide).axes[0].get_ylim()[1]
    assert top > wide["high"].max(), "no interval is cut at the top"
    empty = table["auc"].isna()
    reasons = [text.get_text() for text in groups.axes[0].texts if "none: " in text.get_text()]
    assert reasons == [f"none: {reason}" for reason in table.loc[empty, "auc_reason"]]
    assert empty.any()


def test_average_precision_stands_beside_its_chance(model):
    row = clinical_value.average_precisions(model, seed=0, draws=50).iloc[0]
    assert row["chance"] == pytest.approx((model[0].test.classes == 1).mean())
    assert row["value"] > row["chance"]


def test_no_model_of_images_gives_empty_tables(phantom_data):
    assert subgroups.table([], phantom_data, seed=0, draws=50).empty
    assert subgroups.errors([], phantom_data, {}).empty
    assert subgroups.worst_errors([], per_kind=3).empty
    recalls = clinical_value.by_recall_rate([], rates=[0.1], seed=0, draws=50)
    assert clinical_value.readable(recalls).empty
    curves = clinical_value.decision_curves([], thresholds=[0.1], seed=0, draws=50)
    assert isinstance(curves, pd.DataFrame)
