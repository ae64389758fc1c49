"""Questions about types of lesion: what is chance, and what tells units apart."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from second_look.catalogue import LABELS
from second_look.evaluation.intervals import Estimate
from second_look.evaluation.lesion_types import (
    GIVEN,
    POOLED,
    auc_row,
    blind,
    blind_curve,
    image_types,
    type_curve,
    type_questions,
    type_table,
)
from sklearn.metrics import roc_auc_score

TYPES = LABELS[1:]
FREQUENCIES = dict(zip(TYPES, (0.01, 0.05, 0.15), strict=True))
DRAWS = 60


@pytest.fixture(scope="module")
def type_blind():
    """600 patches of 60 patients; a detector that sees lesions but cannot tell their types."""
    rng = np.random.default_rng(0)
    labels = rng.choice(LABELS, size=600, p=[0.79, 0.01, 0.05, 0.15])
    lesion = rng.normal(size=600) + 1.2 * (labels != "normal")
    units = pd.DataFrame({"dataset": "d", "split": "test", "label": labels})
    units["patient_id"] = [f"p{index // 10}" for index in range(600)]
    score = 1 / (1 + np.exp(-lesion))
    truth = {name: labels == name for name in TYPES}
    return type_questions(units, truth, dict.fromkeys(TYPES, score))


def aucs(types):
    table = type_table(types, blind(types, FREQUENCIES), seed=0, draws=DRAWS)
    return table.set_index("target")


def by_hand(types):
    return [roc_auc_score(rows["positive"], rows["score"]) for _, rows in types.groupby("type")]


def test_a_rule_that_sees_no_picture_is_at_chance_over_types_and_above_it_pooled(type_blind):
    table = aucs(blind(type_blind, FREQUENCIES))
    assert table.loc[GIVEN, "auc"] == 0.5
    assert table.loc[GIVEN, "reason"] == "all scores are equal: 0.5"
    assert table.loc[POOLED, "auc"] > 0.65
    assert table.loc[POOLED, "chance"] == table.loc[POOLED, "auc"]
    assert table.loc[POOLED, "gain"] == 0
    # The same answers as chance: nothing is drawn from a difference that is none.
    assert table.loc[POOLED, ["gain_low", "gain_high"]].isna().all()


def test_a_detector_that_cannot_tell_types_does_not_rise_with_their_frequencies(type_blind):
    weighted = type_blind.assign(
        score=type_blind["score"] * type_blind["type"].map(FREQUENCIES).to_numpy()
    )
    plain, helped = aucs(type_blind), aucs(weighted)
    assert helped.loc[POOLED, "auc"] > plain.loc[POOLED, "auc"] + 0.05
    assert helped.loc[GIVEN, "auc"] == pytest.approx(plain.loc[GIVEN, "auc"])
    assert plain.loc[GIVEN, "auc"] == pytest.approx(np.mean(by_hand(type_blind)))


def test_units_are_counted_and_the_gain_is_paired(type_blind):
    table = aucs(type_blind)
    assert (table["n"] == 600).all()
    assert (table["patients"] == 60).all()
    pooled, over_types = table.loc[POOLED], table.loc[GIVEN]
    assert pooled["gain"] == pytest.approx(pooled["auc"] - pooled["chance"])
    assert pooled["gain_low"] < pooled["gain"] < pooled["gain_high"]
    assert pooled["gain_high"] < pooled["high"] - 0.5  # over 0.5 it would be larger
    assert over_types["chance"] == 0.5
    assert over_types["gain_low"] == pytest.approx(over_types["low"] - 0.5)


def test_types_that_do_not_occur_are_left_out_of_the_mean(type_blind):
    rare = type_blind["type"] == TYPES[0]
    types = type_blind.assign(positive=type_blind["positive"] & ~rare)
    table = aucs(types)
    assert "no positive" in table.loc[f"type {TYPES[0]}", "reason"]
    present = [table.loc[f"type {name}", "auc"] for name in TYPES[1:]]
    assert table.loc[GIVEN, "auc"] == pytest.approx(np.mean(present))
    nothing = aucs(type_blind.assign(positive=False))
    assert nothing["auc"].isna().all()
    assert type_curve(type_blind.assign(positive=False), GIVEN, seed=0) is None


def test_the_area_below_the_curves_is_their_auc(type_blind):
    table = aucs(type_blind)
    for target in (GIVEN, POOLED):
        curve = type_curve(type_blind, target, seed=0).sort_values("specificity")
        area = np.trapezoid(curve["sensitivity"], curve["specificity"])
        assert area == pytest.approx(table.loc[target, "auc"], abs=0.01)


def test_the_curve_of_the_blind_rule_joins_its_few_points(type_blind):
    answers = blind(type_blind, FREQUENCIES)
    curve = blind_curve(answers, POOLED)
    assert len(curve) == len(TYPES) + 1
    area = np.trapezoid(curve["sensitivity"], 1 - curve["specificity"])
    assert area == pytest.approx(aucs(answers).loc[POOLED, "auc"])
    diagonal = blind_curve(answers, GIVEN)
    assert diagonal["sensitivity"].tolist() == (1 - diagonal["specificity"]).tolist() == [0, 1]


def test_an_image_has_every_type_among_its_lesions():
    images = pd.DataFrame({"image_id": ["a", "b", "c"], "label": ["malignant", "benign", "normal"]})
    images = images.assign(dataset="d", patient_id=["p", "q", "r"], split="test")
    truths = pd.DataFrame({"image_id": ["a", "a"], "pathology": ["malignant", "benign"]})
    scores = {f"score_{name}": [0.2, 0.6] for name in LABELS}
    detections = pd.DataFrame({"image_id": ["a", "a"], **scores})
    types = image_types(detections, truths, images).set_index("type")
    assert types.loc["benign", "positive"].tolist() == [True, True, False]
    assert types.loc["malignant", "positive"].tolist() == [True, False, False]
    assert types.loc["benign", "score"].tolist() == [0.6, 0.0, 0.0]


def test_a_row_holds_the_estimate_and_its_chance():
    area = Estimate(0.75, 0.7, 0.8, 10, 5)
    row = auc_row("lesion", area, 4)
    assert (row["auc"], row["chance"], row["gain"]) == (0.75, 0.5, 0.25)
    assert row["gain_low"] == pytest.approx(0.2)
    assert set(row) >= set(asdict(area)) - {"value", "p"}
