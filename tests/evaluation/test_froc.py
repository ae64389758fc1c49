"""FROC: oracles, a plain count beside it, its denominators, its intervals and its work."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_detections import (
    SIDE,
    made_detections,
    made_images,
    made_truths,
    perfect,
    random_detections,
)
from second_look.evaluation import froc
from second_look.evaluation.detection_tables import BOX, boxes, overlap
from second_look.evaluation.froc import (
    RATES,
    curve,
    froc_table,
    marks,
    pairs,
    sensitivities,
    sensitivity_statistic,
)
from second_look.evaluation.intervals import estimate, point_estimate, share
from second_look.evaluation.resampling import replicate


@pytest.fixture(scope="module")
def images():
    return made_images(60)


@pytest.fixture(scope="module")
def truths(images):
    return made_truths(images, seed=1, lesions_per_image=2)


def at_rates(marked, rates=RATES):
    return point_estimate(sensitivity_statistic(marked, rates), marked.everybody)


def plain_froc(detections, truths, images, rates, *, hit):
    """Sensitivity at each rate by trying every threshold, with loops."""
    result = []
    scores = 1 - detections["score_normal"].to_numpy()
    best = np.full(len(truths), -np.inf)
    false = []
    lesions = list(enumerate(truths.to_dict("records")))
    for index, detection in enumerate(detections.to_dict("records")):
        hits = [
            lesion_index
            for lesion_index, lesion in lesions
            if lesion["image_id"] == detection["image_id"] and hit(detection, lesion)
        ]
        for lesion_index in hits:
            best[lesion_index] = max(best[lesion_index], scores[index])
        if not hits:
            false.append(scores[index])
    for rate in rates:
        thresholds = [*sorted(set(scores)), np.inf]
        allowed = [t for t in thresholds if sum(s >= t for s in false) <= rate * len(images)]
        result.append(np.mean(best >= min(allowed)))
    return result


def centre_in(detection, lesion):
    row, col = (
        (detection["row_min"] + detection["row_max"]) / 2,
        (detection["col_min"] + detection["col_max"]) / 2,
    )
    return (
        lesion["row_min"] <= row < lesion["row_max"]
        and lesion["col_min"] <= col < lesion["col_max"]
    )


def half_shared(detection, lesion):
    height = min(detection["row_max"], lesion["row_max"]) - max(
        detection["row_min"], lesion["row_min"]
    )
    width = min(detection["col_max"], lesion["col_max"]) - max(
        detection["col_min"], lesion["col_min"]
    )
    shared = max(height, 0) * max(width, 0)
    areas = [
        (b["row_max"] - b["row_min"]) * (b["col_max"] - b["col_min"]) for b in (detection, lesion)
    ]
    return shared / (sum(areas) - shared) >= 0.5


# ------------------------------------------------------------------ oracles


@pytest.mark.parametrize("rule", ["centre", "iou"])
@pytest.mark.parametrize("by", ["lesion", "image"])
@pytest.mark.parametrize("target", ["lesion", "malignant"])
def test_perfect_detections_find_everything_without_false_alarms(images, truths, rule, by, target):
    marked = marks(perfect(images, truths), truths, images, rule=rule, by=by, target=target)
    if target == "lesion":
        assert len(marked.alarms) == 0
    assert at_rates(marked).tolist() == [1.0] * len(RATES)


def test_detections_that_know_nothing_find_what_chance_finds(images):
    """Scores without knowledge: a threshold keeps the same share of hits and of false alarms."""
    many = made_images(8000)
    truths = made_truths(many, seed=2)
    result = random_detections(many, seed=3, boxes_per_image=10)
    marked = marks(result, truths, many)
    hit = pairs(result, truths, "centre").groupby("truth").size().reindex(range(len(truths)))
    per_lesion = hit.fillna(0).to_numpy()
    for rate, sensitivity in zip(RATES, at_rates(marked), strict=True):
        share = rate * len(many) / len(marked.alarms)
        # A lesion is found unless the threshold drops each of its hits.
        expected = 1 - np.mean((1 - share) ** per_lesion)
        assert sensitivity == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("rule", "hit"), [("centre", centre_in), ("iou", half_shared)])
def test_the_curve_is_what_a_plain_count_gives(images, truths, rule, hit):
    rng = np.random.default_rng(4)
    exact = perfect(images, truths)
    exact[list(BOX)] += rng.normal(0, 40, (len(exact), 4)).clip(-90, 90)
    exact = exact[(exact["row_max"] > exact["row_min"]) & (exact["col_max"] > exact["col_min"])]
    exact["score_normal"] = rng.uniform(0, 1, len(exact)).round(1)  # with ties
    noise = random_detections(images, seed=5, boxes_per_image=6)
    noise["score_normal"] = noise["score_normal"].round(1)
    result = pd.concat([exact, noise], ignore_index=True)
    result["score_benign"] = 0.0
    result["score_benign_without_callback"] = 0.0
    result["score_malignant"] = 1 - result["score_normal"]
    marked = marks(result, truths, images, rule=rule)
    reference = plain_froc(result, truths, images, RATES, hit=hit)
    np.testing.assert_allclose(at_rates(marked), reference)
    points = curve(marked)
    for rate, sensitivity in zip(RATES, reference, strict=True):
        allowed = points[points["false_positives"] <= rate + 1e-12]
        assert allowed["sensitivity"].max() == pytest.approx(sensitivity)
    assert (points["sensitivity"].diff().dropna() >= 0).all()


# ------------------------------------------------------------------ what counts


def test_a_second_hit_of_a_lesion_is_no_false_alarm(images, truths):
    result = perfect(images, truths)
    twice = pd.concat([result, result.assign(score_normal=0.5)], ignore_index=True)
    marked = marks(twice, truths, images)
    assert len(marked.alarms) == 0
    assert marked.best.tolist() == pytest.approx([0.9] * len(truths))


def test_a_benign_lesion_is_a_false_alarm_where_malignant_ones_are_asked_for(images, truths):
    marked = marks(perfect(images, truths), truths, images, target="malignant")
    malignant = truths["pathology"] == "malignant"
    assert len(marked.best) == malignant.sum()
    assert len(marked.alarms) == (~malignant).sum()
    assert marked.alarms.max() == 0  # a perfect model gives them no chance of malignancy


def test_by_image_one_hit_is_enough(images, truths):
    one_each = perfect(images, truths).drop_duplicates("image_id")
    by_lesion, by_image = (marks(one_each, truths, images, by=by) for by in ("lesion", "image"))
    assert at_rates(by_lesion).tolist() == [0.5] * len(RATES)
    assert at_rates(by_image).tolist() == [1.0] * len(RATES)


def test_images_with_a_lesion_of_unknown_place_are_left_out_and_said(images, truths):
    hidden = images.assign(unlocated=(images["image_id"] == "i00000").astype(int))
    result = random_detections(images, seed=6, boxes_per_image=1)
    marked = marks(result, truths, hidden)
    assert len(marked.image_patients) == 59
    assert len(marked.best) == len(truths) - 2
    assert "; 1 image with a lesion of unknown place left out" in marked.description


def test_false_alarms_may_be_counted_on_normal_images_only(images, truths):
    result = random_detections(images, seed=7, boxes_per_image=3)
    marked = marks(result, truths, images, alarms_on="normal")
    assert len(marked.image_patients) == (images["label"] == "normal").sum() == 30
    assert len(marked.alarms) == 90
    assert "over 30 normal images" in marked.description


def test_the_words_state_rule_and_denominators(images, truths):
    result = perfect(images, truths)
    assert marks(result, truths, images).description == (
        "hit: centre in the lesion's box; 60 lesions; false positives over 60 images"
    )
    assert marks(
        result, truths, images, rule="iou", by="image", target="malignant"
    ).description == (
        "hit: IoU ≥ 0.5; 10 images with malignant lesions; false positives over 60 images"
    )
    with pytest.raises(ValueError, match="a hit rule must be one of"):
        pairs(result, truths, "touch")
    with pytest.raises(ValueError, match="expected by lesion or image"):
        marks(result, truths, images, by="patient")


def test_no_detection_at_all_finds_nothing(images, truths):
    none = perfect(images, truths).iloc[:0]
    marked = marks(none, truths, images)
    assert at_rates(marked).tolist() == [0.0] * len(RATES)
    assert curve(marked)["sensitivity"].tolist() == [0.0]


# ------------------------------------------------------------------ intervals and work


def test_intervals_cover_the_estimate_and_shrink_with_patients():
    widths = []
    for count in (40, 640):
        images = made_images(count)
        truths = made_truths(images, seed=8)
        result = perfect(images, truths).iloc[::2]  # every second lesion
        estimate = sensitivities(marks(result, truths, images), seed=0)
        at_one = estimate["1"]
        assert at_one.value == 0.5
        assert at_one.low <= 0.5 <= at_one.high
        assert estimate["mean"].value == 0.5
        widths.append(at_one.high - at_one.low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.35)


def test_where_all_are_found_the_interval_is_that_of_as_many_patients():
    images = made_images(6, per_patient=1)
    truths = made_truths(images, seed=8)
    estimate = sensitivities(marks(perfect(images, truths), truths, images), seed=0)["1"]
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(0.025 ** (1 / 3))  # three patients have lesions


def test_one_patient_with_lesions_among_many_gives_no_interval():
    images = made_images(60, per_patient=1, with_lesions=1 / 60)
    truths = made_truths(images, seed=8, lesions_per_image=2)
    result = perfect(images, truths).iloc[:1]
    estimate = sensitivities(marks(result, truths, images), seed=0)["1"]
    assert estimate.value == 0.5
    assert np.isnan(estimate.low)
    assert estimate.reason == "too few patients with lesions: 1, at least 3"


def test_without_lesions_a_sensitivity_is_undefined_and_says_why():
    images = made_images(4, with_lesions=0)
    result = random_detections(images, seed=9, boxes_per_image=2)
    estimate = sensitivities(marks(result, made_truths(images, seed=0), images), seed=0)["1"]
    assert np.isnan(estimate.value)
    assert estimate.reason == "no lesion among them"


def test_a_draw_that_needs_more_alarms_than_were_kept_at_hand_gets_them(images):
    """One patient has nearly all images of the denominator, the alarms are all of the others."""
    few = made_images(6, per_patient=1)
    truths = made_truths(few, seed=10)
    result = random_detections(few, seed=11, boxes_per_image=200)
    marked = marks(result, truths, few)
    statistic = sensitivity_statistic(marked, (4.0,))
    counts = np.zeros((1, 6))
    counts[0, 0] = 5.0  # one patient with a lesion, five times
    selected = result[result["image_id"] == "i00000"]
    alone = marks(selected, truths.iloc[:1], few.iloc[:1])
    assert statistic(counts)[0, 0] == at_rates(alone, (4.0,))[0]


def drawn_froc(detections, truths, images, counts, rates):
    """Sensitivity at each rate where each patient stands there as often as `counts` says."""
    often = dict(zip(sorted(set(images["patient_id"])), counts.astype(int), strict=True))
    scores = 1 - detections["score_normal"].to_numpy()
    numbered = detections.assign(detection=range(len(detections)))
    candidates = numbered[["image_id", "detection", *BOX]].merge(
        truths.assign(lesion=range(len(truths)))[["image_id", "lesion", *BOX]],
        on="image_id", suffixes=("", "_true"),
    )  # fmt: skip
    hit_mask = np.ones(len(candidates), dtype=bool)
    for axis in ("row", "col"):
        centre = (candidates[f"{axis}_min"] + candidates[f"{axis}_max"]) / 2
        hit_mask &= centre.between(
            candidates[f"{axis}_min_true"], candidates[f"{axis}_max_true"], "left"
        )
    hits = candidates[hit_mask]
    best = hits.assign(score=scores[hits["detection"]]).groupby("lesion")["score"].max()
    best = best.reindex(range(len(truths)), fill_value=-np.inf).to_numpy()
    best = np.repeat(best, truths["patient_id"].map(often))
    false = ~np.isin(np.arange(len(scores)), hits["detection"])
    alarms = np.repeat(scores[false], detections["patient_id"].map(often)[false])
    falling = np.append(-np.sort(-alarms), -np.inf)
    allowed = [int(rate * images["patient_id"].map(often).sum() + 1e-9) for rate in rates]
    return [np.mean(best > falling[min(allowed_alarms, len(alarms))]) for allowed_alarms in allowed]


def test_the_interval_is_that_of_sets_that_repeat_the_drawn_patients():
    images = made_images(300)
    truths = made_truths(images, seed=12)
    result = random_detections(images, seed=13, boxes_per_image=30).reset_index(drop=True)
    marked = marks(result, truths, images)
    assert len(marked.alarms) > 2 * max(RATES) * len(images)  # far more than any draw needs
    draws = replicate({"who": lambda counts: counts}, marked.patients, seed=0, draws=40)["who"]
    drawn = np.array([drawn_froc(result, truths, images, counts, RATES) for counts in draws])
    full_set = drawn_froc(result, truths, images, np.ones(marked.patients), RATES)
    estimates = sensitivities(marked, seed=0, draws=40)
    metric = share(np.isfinite(marked.best), marked.everybody)
    columns = [*zip(RATES, full_set, drawn.T, strict=True)]
    columns.append(("mean", np.mean(full_set), drawn.mean(axis=1)))
    for rate, value, draws_of_it in columns:
        actual = estimates[rate if rate == "mean" else f"{rate:g}"]
        expected = estimate(value, draws_of_it, metric, marked.everybody)
        assert actual.low < actual.value < actual.high
        assert (actual.value, actual.low, actual.high) == pytest.approx(
            (expected.value, expected.low, expected.high)
        )


def test_hits_are_sought_once_whatever_the_number_of_images_and_draws(monkeypatch):
    """A search an image, or a draw, would make large sets slow."""
    searches = []

    def counted(first, second):
        searches.append(len(first))
        return overlap(first, second)

    monkeypatch.setattr(froc, "overlap", counted)
    for count, draws in ((10, 5), (200, 50)):
        images = made_images(count)
        truths = made_truths(images, seed=12)
        result = random_detections(images, seed=13, boxes_per_image=3)
        sensitivities(marks(result, truths, images), seed=0, draws=draws)
    # Each detection on an image with a lesion, beside that lesion.
    assert searches == [3 * 5, 3 * 100]


def test_boxes_are_read_in_their_order(truths):
    assert boxes(truths).shape == (len(truths), 4)
    assert (boxes(truths)[:, 2] <= SIDE).all()
    detection = truths.iloc[:1]
    image = detection[["dataset", "image_id", "patient_id", "split"]]
    result = made_detections(image, boxes(detection), np.array([0.4]), ["benign"])
    assert pairs(result, detection, "iou")["iou"].tolist() == pytest.approx([1.0])


def test_the_table_of_froc_has_every_model_rule_and_rate(images, truths):
    result = {"perfect": perfect(images, truths), "none": perfect(images, truths).iloc[:0]}
    table = froc_table(result, truths, images, seed=0, draws=20)
    assert len(table) == 2 * 2 * 4 * 7
    selected = table[(table["model"] == "perfect") & (table["target"] == "lesion")]
    assert selected["sensitivity"].tolist() == [1.0] * 28
    assert table.loc[table["model"] == "none", "sensitivity"].max() == 0
