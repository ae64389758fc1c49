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
from second_look.evaluation.intervals import point_estimate, replicate


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
    found = []
    scores = 1 - detections["score_normal"].to_numpy()
    best = np.full(len(truths), -np.inf)
    false = []
    for place, one in enumerate(detections.to_dict("records")):
        hits = [
            other
            for other, lesion in enumerate(truths.to_dict("records"))
            if lesion["image_id"] == one["image_id"] and hit(one, lesion)
        ]
        for other in hits:
            best[other] = max(best[other], scores[place])
        if not hits:
            false.append(scores[place])
    for rate in rates:
        thresholds = [*sorted(set(scores)), np.inf]
        allowed = [t for t in thresholds if sum(s >= t for s in false) <= rate * len(images)]
        found.append(np.mean(best >= min(allowed)))
    return found


def centre_in(one, lesion):
    row, col = (one["row_min"] + one["row_max"]) / 2, (one["col_min"] + one["col_max"]) / 2
    return (
        lesion["row_min"] <= row < lesion["row_max"]
        and lesion["col_min"] <= col < lesion["col_max"]
    )


def half_shared(one, lesion):
    down = min(one["row_max"], lesion["row_max"]) - max(one["row_min"], lesion["row_min"])
    across = min(one["col_max"], lesion["col_max"]) - max(one["col_min"], lesion["col_min"])
    shared = max(down, 0) * max(across, 0)
    areas = [(b["row_max"] - b["row_min"]) * (b["col_max"] - b["col_min"]) for b in (one, lesion)]
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
    found = random_detections(many, seed=3, boxes_per_image=10)
    marked = marks(found, truths, many)
    hit = pairs(found, truths, "centre").groupby("truth").size().reindex(range(len(truths)))
    per_lesion = hit.fillna(0).to_numpy()
    for rate, sensitivity in zip(RATES, at_rates(marked), strict=True):
        share = rate * len(many) / len(marked.alarms)
        # A lesion is found unless the threshold drops each of its hits.
        expected = 1 - np.mean((1 - share) ** per_lesion)
        assert sensitivity == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("rule", "hit"), [("centre", centre_in), ("iou", half_shared)])
def test_the_curve_is_what_a_plain_count_gives(images, truths, rule, hit):
    rng = np.random.default_rng(4)
    near = perfect(images, truths)
    near[list(BOX)] += rng.normal(0, 40, (len(near), 4)).clip(-90, 90)
    near = near[(near["row_max"] > near["row_min"]) & (near["col_max"] > near["col_min"])]
    near["score_normal"] = rng.uniform(0, 1, len(near)).round(1)  # with ties
    noise = random_detections(images, seed=5, boxes_per_image=6)
    noise["score_normal"] = noise["score_normal"].round(1)
    found = pd.concat([near, noise], ignore_index=True)
    found["score_benign"] = 0.0
    found["score_benign_without_callback"] = 0.0
    found["score_malignant"] = 1 - found["score_normal"]
    marked = marks(found, truths, images, rule=rule)
    wanted = plain_froc(found, truths, images, RATES, hit=hit)
    np.testing.assert_allclose(at_rates(marked), wanted)
    points = curve(marked)
    for rate, sensitivity in zip(RATES, wanted, strict=True):
        allowed = points[points["false_positives"] <= rate + 1e-12]
        assert allowed["sensitivity"].max() == pytest.approx(sensitivity)
    assert (points["sensitivity"].diff().dropna() >= 0).all()


# ------------------------------------------------------------------ what counts


def test_a_second_hit_of_a_lesion_is_no_false_alarm(images, truths):
    found = perfect(images, truths)
    twice = pd.concat([found, found.assign(score_normal=0.5)], ignore_index=True)
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
    found = random_detections(images, seed=6, boxes_per_image=1)
    marked = marks(found, truths, hidden)
    assert len(marked.image_patients) == 59
    assert len(marked.best) == len(truths) - 2
    assert "1 images with a lesion of unknown place left out" in marked.description


def test_false_alarms_may_be_counted_on_normal_images_only(images, truths):
    found = random_detections(images, seed=7, boxes_per_image=3)
    marked = marks(found, truths, images, alarms_on="normal")
    assert len(marked.image_patients) == (images["label"] == "normal").sum() == 30
    assert len(marked.alarms) == 90
    assert "over 30 normal images" in marked.description


def test_the_words_state_rule_and_denominators(images, truths):
    found = perfect(images, truths)
    assert marks(found, truths, images).description == (
        "hit: centre in the lesion's box; 60 lesions; false positives over 60 images"
    )
    assert marks(found, truths, images, rule="iou", by="image", target="malignant").description == (
        "hit: IoU ≥ 0.5; 10 images with malignant lesions; false positives over 60 images"
    )
    with pytest.raises(ValueError, match="a hit rule must be one of"):
        pairs(found, truths, "touch")
    with pytest.raises(ValueError, match="expected by lesion or image"):
        marks(found, truths, images, by="patient")


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
        found = perfect(images, truths).iloc[::2]  # every second lesion
        estimate = sensitivities(marks(found, truths, images), seed=0)
        one = estimate["1"]
        assert one.value == 0.5
        assert one.low <= 0.5 <= one.high
        assert estimate["mean"].value == 0.5
        widths.append(one.high - one.low)
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
    found = perfect(images, truths).iloc[:1]
    estimate = sensitivities(marks(found, truths, images), seed=0)["1"]
    assert estimate.value == 0.5
    assert np.isnan(estimate.low)
    assert "of the draws" in estimate.reason


def test_without_lesions_a_sensitivity_is_undefined_and_says_why():
    images = made_images(4, with_lesions=0)
    found = random_detections(images, seed=9, boxes_per_image=2)
    estimate = sensitivities(marks(found, made_truths(images, seed=0), images), seed=0)["1"]
    assert np.isnan(estimate.value)
    assert estimate.reason == "no lesion among them"


def test_a_draw_that_needs_more_alarms_than_were_kept_at_hand_gets_them(images):
    """One patient has nearly all images of the denominator, the alarms are all of the others."""
    few = made_images(6, per_patient=1)
    truths = made_truths(few, seed=10)
    found = random_detections(few, seed=11, boxes_per_image=200)
    marked = marks(found, truths, few)
    statistic = sensitivity_statistic(marked, (4.0,))
    counts = np.zeros((1, 6))
    counts[0, 0] = 5.0  # one patient with a lesion, five times
    own = found[found["image_id"] == "i00000"]
    alone = marks(own, truths.iloc[:1], few.iloc[:1])
    assert statistic(counts)[0, 0] == at_rates(alone, (4.0,))[0]


def drawn_froc(detections, truths, images, counts, rates):
    """Sensitivity at each rate where each patient stands there as often as `counts` says."""
    often = dict(zip(sorted(set(images["patient_id"])), counts.astype(int), strict=True))
    scores = 1 - detections["score_normal"].to_numpy()
    both = detections.assign(one=range(len(detections)))[["image_id", "one", *BOX]].merge(
        truths.assign(lesion=range(len(truths)))[["image_id", "lesion", *BOX]],
        on="image_id", suffixes=("", "_true"),
    )  # fmt: skip
    inside = np.ones(len(both), dtype=bool)
    for axis in ("row", "col"):
        centre = (both[f"{axis}_min"] + both[f"{axis}_max"]) / 2
        inside &= centre.between(both[f"{axis}_min_true"], both[f"{axis}_max_true"], "left")
    hits = both[inside]
    best = hits.assign(score=scores[hits["one"]]).groupby("lesion")["score"].max()
    best = best.reindex(range(len(truths)), fill_value=-np.inf).to_numpy()
    best = np.repeat(best, truths["patient_id"].map(often))
    false = ~np.isin(np.arange(len(scores)), hits["one"])
    alarms = np.repeat(scores[false], detections["patient_id"].map(often)[false])
    falling = np.append(-np.sort(-alarms), -np.inf)
    allowed = [int(rate * images["patient_id"].map(often).sum() + 1e-9) for rate in rates]
    return [np.mean(best > falling[min(most, len(alarms))]) for most in allowed]


def test_the_interval_is_that_of_sets_that_repeat_the_drawn_patients():
    images = made_images(300)
    truths = made_truths(images, seed=12)
    found = random_detections(images, seed=13, boxes_per_image=30).reset_index(drop=True)
    marked = marks(found, truths, images)
    assert len(marked.alarms) > 2 * max(RATES) * len(images)  # far more than any draw needs
    draws = replicate({"who": lambda counts: counts}, marked.everybody, seed=0, draws=40)["who"]
    drawn = np.array([drawn_froc(found, truths, images, counts, RATES) for counts in draws])
    whole = drawn_froc(found, truths, images, np.ones(marked.patients), RATES)
    estimates = sensitivities(marked, seed=0, draws=40)
    ends = np.quantile(drawn, [0.025, 0.975], axis=0)
    for place, rate in enumerate(RATES):
        one = estimates[f"{rate:g}"]
        assert one.low < one.value < one.high
        assert (one.value, one.low, one.high) == pytest.approx((whole[place], *ends[:, place]))
    mean = estimates["mean"]
    wanted = (np.mean(whole), *np.quantile(drawn.mean(axis=1), [0.025, 0.975]))
    assert (mean.value, mean.low, mean.high) == pytest.approx(wanted)


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
        found = random_detections(images, seed=13, boxes_per_image=3)
        sensitivities(marks(found, truths, images), seed=0, draws=draws)
    # Each detection on an image with a lesion, beside that lesion.
    assert searches == [3 * 5, 3 * 100]


def test_boxes_are_read_in_their_order(truths):
    assert boxes(truths).shape == (len(truths), 4)
    assert (boxes(truths)[:, 2] <= SIDE).all()
    one = truths.iloc[:1]
    image = one[["dataset", "image_id", "patient_id", "split"]]
    found = made_detections(image, boxes(one), np.array([0.4]), ["benign"])
    assert pairs(found, one, "iou")["iou"].tolist() == pytest.approx([1.0])


def test_the_table_of_froc_has_every_model_rule_and_rate(images, truths):
    found = {"perfect": perfect(images, truths), "none": perfect(images, truths).iloc[:0]}
    table = froc_table(found, truths, images, seed=0, draws=20)
    assert len(table) == 2 * 2 * 4 * 7
    own = table[(table["model"] == "perfect") & (table["target"] == "lesion")]
    assert own["sensitivity"].tolist() == [1.0] * 28
    assert table.loc[table["model"] == "none", "sensitivity"].max() == 0
