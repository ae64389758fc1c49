"""Scheme A compared with values computed by hand and by enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.made_predictions import binary_predictions
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.models.classifier import build_classifier
from second_look.studies.transfer import scheme_a
from second_look.studies.transfer.scheme_a import MALIGNANT, RULES
from sklearn.metrics import roc_auc_score

RULE = "scheme A, any window"


def windows(image_id, malignant):
    """Windows with these scores for malignant; the remaining probability is for normal."""
    scores = np.asarray(malignant, dtype=float)
    table = pd.DataFrame(0.0, index=range(len(scores)), columns=list(CLASS_SCORES))
    return table.assign(image_id=image_id, score_normal=1 - scores, score_malignant=scores)


def images(labels, split="test"):
    """One image per label, two images per patient."""
    ids = [f"i{number}" for number in range(len(labels))]
    patients = [f"p{number // 2}" for number in range(len(labels))]
    return pd.DataFrame(
        {
            "dataset": "d",
            "image_id": ids,
            "patient_id": patients,
            "split": split,
            "label": labels,
            "laterality": "L",
            "view": "CC",
        }
    )


def counts(totals, hits):
    return pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(len(totals))],
            "windows": totals,
            "positive_windows": hits,
            "any window": (np.array(hits) > 0).astype(float),
        }
    )


def test_rules_equal_a_calculation_by_hand():
    scored = pd.concat([windows("b", [0.2, 0.3, 0.1]), windows("a", [0.9, 0.1, 0.6, 0.2])])
    reference = [0.05, 0.15, 0.25, 0.35]
    scores = scheme_a.image_scores(scored, reference, top=2).set_index("image_id")
    assert scores.index.tolist() == ["a", "b"]
    assert scores["windows"].tolist() == [4, 3]
    assert scores["positive_windows"].tolist() == [2, 0]
    assert scores["any window"].tolist() == [1, 0]
    assert scores["highest"].tolist() == [0.9, 0.3]
    assert scores["top mean"].tolist() == pytest.approx([0.75, 0.25])
    # All 4 reference scores are below 0.9, 3 of 4 below 0.3, each with half a window added.
    assert scores["highest, for its number"].tolist() == pytest.approx([0.9**4, 0.7**3])


def test_a_window_is_positive_if_malignant_is_its_most_probable_class():
    table = windows("a", [0.4, 0.4]).assign(
        score_normal=[0.5, 0.3], score_benign=[0.1, 0.3], score_malignant=[0.4, 0.4]
    )
    assert scheme_a.image_scores(table, [0.1])["positive_windows"].tolist() == [1]


def test_for_its_number_the_same_score_counts_less_among_more_windows():
    numbers = [1, 2, 4, 16, 64]
    scored = pd.concat([windows(f"i{n:02d}", [0.8] + [0.1] * (n - 1)) for n in numbers])
    scores = scheme_a.image_scores(scored, np.linspace(0, 1, 101))
    assert scores["highest"].tolist() == [0.8] * 5
    column = scores["highest, for its number"]
    assert (column.diff().dropna() < 0).all()
    assert column.between(0, 1).all()


def test_for_its_number_is_the_share_of_images_with_lower_scores():
    rng = np.random.default_rng(0)
    reference = rng.random(4000) ** 3
    scores = scheme_a.image_scores(windows("a", [0.7] + [0.0] * 7), reference)
    drawn = rng.choice(reference, (20_000, 8)).max(axis=1)
    assert scores["highest, for its number"][0] == pytest.approx((drawn < 0.7).mean(), abs=0.02)


def test_reference_windows_are_those_of_validation_images_without_a_malignancy():
    scored = pd.concat([windows(f"i{n}", [n / 10]) for n in range(4)])
    table = images(["normal", "malignant", "benign", "normal"]).assign(
        split=["val", "val", "val", "test"]
    )
    assert scheme_a.reference_scores(scored, table).tolist() == [0.0, 0.2]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_flagged_shares_equal_an_enumeration_of_all_subsets(k):
    totals, hits = [5, 4, 3, 6, 5], [2, 0, 3, 1, 5]
    table = scheme_a.flagged_by_number(counts(totals, hits), images(["malignant"] * 5), [k])
    shares = []
    for total, hit in zip(totals, hits, strict=True):
        subsets = list(combinations(range(total), min(k, total)))
        shares.append(np.mean([any(index < hit for index in subset) for subset in subsets]))
    assert table["flagged"].tolist() == pytest.approx([np.mean(shares)])
    assert table["independent"].tolist() == pytest.approx([1 - (1 - 11 / 23) ** k])


def test_malignant_images_are_counted_separately_and_only_in_the_test_split():
    table = images(["malignant", "benign", "normal", "malignant"]).assign(
        split=["test", "test", "test", "val"]
    )
    flagged = scheme_a.flagged_by_number(counts([4, 4, 4, 4], [4, 1, 0, 0]), table, [1, 4])
    rows = flagged.set_index(["malignant", "windows"])
    assert rows["images"].to_dict() == {(False, 1): 2, (False, 4): 2, (True, 1): 1, (True, 4): 1}
    assert rows.loc[(True, 1), "flagged"] == pytest.approx(1)
    assert rows.loc[(False, 1), "flagged"] == pytest.approx(0.125)
    assert rows.loc[(False, 4), "flagged"] == pytest.approx(0.5)


def test_sensitivity_and_specificity_of_the_papers_rule():
    labels = ["malignant"] * 40 + ["normal"] * 20 + ["benign"] * 20
    flags = [1] * 30 + [0] * 10 + [1] * 10 + [0] * 30
    table = scheme_a.any_window_operating_point(counts([4] * 80, flags), images(labels), seed=0)
    rows = table.set_index("measure")
    assert rows["value"].to_dict() == {"sensitivity": 0.75, "specificity": 0.75}
    assert rows["n"].to_dict() == {"sensitivity": 40, "specificity": 40}
    # Two equal images per patient: as wide as 20 independent ones.
    width = rows["high"] - rows["low"]
    assert width.to_numpy() == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 20), rel=0.2)


def test_a_rule_that_flags_everything_still_has_an_interval():
    labels = ["malignant"] * 10 + ["normal"] * 10
    table = scheme_a.any_window_operating_point(counts([4] * 20, [2] * 20), images(labels), seed=0)
    rows = table.set_index("measure")
    # 5 of 5 patients: the interval ends 1 - 0.025^(1/5) from the limit (Clopper & Pearson).
    far = 0.025 ** (1 / 5)
    assert rows.loc["sensitivity", ["value", "low", "high"]].tolist() == pytest.approx([1, far, 1])
    assert rows.loc["specificity", ["value", "low", "high"]].tolist() == pytest.approx(
        [0, 0, 1 - far]
    )


def test_rules_become_models_of_images():
    scored = pd.concat([windows(f"i{n}", [n / 10, 0.1]) for n in range(4)])
    scores = scheme_a.image_scores(scored, [0.05, 0.15])
    table = scheme_a.predictions(
        scores, images(["normal"] * 4), seed=3, architecture="small", start="random"
    )
    assert table["model"].unique().tolist() == [f"scheme A, {rule}" for rule in RULES]
    assert len(table) == 16
    assert set(table["target"]) == {"malignant"}
    assert set(table["unit"]) == {"image"}
    for rule in RULES:
        of_rule = table[table["model"] == f"scheme A, {rule}"]
        assert of_rule.set_index("image_id")["score"].to_dict() == pytest.approx(
            scores.set_index("image_id")[rule].to_dict()
        )


def predictions_with(score):
    table = binary_predictions(patients=300, units_per_patient=1, model=RULE)
    return table.assign(score=score(table))


def noise(table):
    return np.random.default_rng(1).random(len(table))


def test_the_auc_of_a_rule_is_the_mean_over_the_trainings_of_the_patch_model():
    by_seed = [predictions_with(score).assign(seed=seed) for seed, score in enumerate((
        lambda t: t["score"], noise, lambda t: 0.1 * noise(t) + 0.9 * (t["label"] == "malignant"),
    ))]  # fmt: skip
    over = scheme_a.auc(pd.concat(by_seed).sample(frac=1, random_state=0), "any window", seed=0)
    tests = [table[table["split"] == "test"] for table in by_seed]
    expected = [roc_auc_score(test["label"] == "malignant", test["score"]) for test in tests]
    assert over.values.tolist() == pytest.approx(expected)
    assert over.estimate.value == pytest.approx(np.mean(expected))
    assert over.estimate.low < over.estimate.value < over.estimate.high
    assert over.estimate.n == len(tests[0])


def test_a_rule_that_flags_every_image_has_an_auc_of_a_half():
    over = scheme_a.auc(predictions_with(lambda t: 1.0), "any window", seed=0)
    assert over.estimate.value == 0.5
    assert over.estimate.reason == "all scores are equal: 0.5"


def test_heat_maps_are_chosen_at_both_ends_of_the_scores():
    table = images(["malignant"] * 3 + ["normal"] * 3)
    scores = counts([1] * 6, [0] * 6).assign(highest=[0.2, 0.9, 0.5, 0.1, 0.8, 0.4])
    assert scheme_a.choose_heat_maps(scores, table, per_kind=1) == [
        ("i1", "malignant, highest score: 0.90"),
        ("i0", "malignant, lowest score: 0.20"),
        ("i4", "not malignant, highest score: 0.80"),
        ("i3", "not malignant, lowest score: 0.10"),
    ]
    assert MALIGNANT == "score_malignant"


def test_a_heat_map_shows_the_probability_of_malignancy(phantom_data):
    network = build_classifier("small", seed=0).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]).log())
    image_ids = list(phantom_data.prepared.images["image_id"].head(2))
    scales = dict.fromkeys(image_ids, 0.5)
    maps = scheme_a.heat_maps(network, phantom_data, image_ids, size=64, scales=scales)
    assert [view.image_id for view, _ in maps] == image_ids
    for view, heat in maps:
        assert heat.shape == view.picture.shape
        np.testing.assert_array_equal(np.isnan(heat), view.regions == 0)
        np.testing.assert_allclose(heat[view.regions > 0], 0.4, rtol=1e-5)
