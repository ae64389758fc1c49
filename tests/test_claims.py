"""The paper's claims as data."""

from __future__ import annotations

import math
import re

import pytest
from second_look import paper
from second_look.claims import CLAIMS, RESULT, TOPICS, claim
from second_look.verdicts import Claim, limits

NUMBERS = {
    "data-mias": 322,
    "data-ddsm": 10_239,
    "data-total": 10_561,
    "area-calc": 0.5,
    "area-mass": 1.2,
    "gan-patches": 4000,
    "gan-classes": 3,
    "gan-check": 5,
    "rcnn-cost": 2000,
    "mrcnn-params": 63_744_170,
    "mrcnn-trainable": 63_632_682,
    "mrcnn-nontrainable": 111_488,
    "fig-1a": 33_081_761,
    "fig-1b": 314_241,
    "fig-3a": 0.93,
    "fig-3b": 0.73,
    "patch-classes": 4,
    "patch-accuracy-200k": 45,
    "patch-accuracy-400k": 65,
    "patch-accuracy-gain": 20,
    "confidence-80": 20,
}
RANGES = {
    "size-range": (1024, 4096),
    "patch-count": (40_000, 1_200_000),
    "patches-of-others": (1_200_000, 1_600_000),
}
LIMITS = {
    "state-of-the-art", "fig-2a", "fig-2b", "resizing", "on-breast", "scheme-a", "scheme-b",
    "depth-calibration", "temperature", "newer-gans", "transfer",
}  # fmt: skip
WORDS = {
    "more-negatives", "related", "misprint", "no-outlines", "order-of-magnitude", "fpn",
    "mrcnn-memory", "mrcnn-schedule", "size-largest", "calibration", "only-ref-6",
    "other-radiology", "first-of-its-kind",
}  # fmt: skip
FAILURES = {"fig-2a", "fig-2b", "gan-check", "scheme-a", "scheme-b", "transfer"}


def test_every_claim_is_there_once_with_the_number_that_the_paper_prints() -> None:
    ids = [item.id for item in CLAIMS]
    assert len(ids) == len(set(ids))
    assert set(ids) == {*NUMBERS, *RANGES, *LIMITS, *WORDS}
    assert {key: claim(key).value for key in NUMBERS} == NUMBERS
    assert {key: (claim(key).low, claim(key).high) for key in RANGES} == RANGES


@pytest.mark.parametrize("item", CLAIMS, ids=lambda item: item.id)
def test_each_claim_is_a_number_or_a_range_or_words(item: Claim) -> None:
    is_range = item.low is not None and item.high is not None
    assert (item.value is not None) + is_range + bool(item.text) == 1
    assert item.section
    assert item.topic in TOPICS
    assert re.fullmatch(r"0[1-8]_\w+", item.notebook)
    assert not (item.unmeasured and item.trained)


@pytest.mark.parametrize("item", CLAIMS, ids=lambda item: item.id)
def test_what_decides_a_claim_has_its_reason(item: Claim) -> None:
    bounded = item.margin is not None or item.lower_than is not None or item.higher_than is not None
    assert bounded == bool(item.reason)
    if bounded:
        low, high = limits(item)
        assert low < high
        assert math.isfinite(low) or math.isfinite(high)
    elif not item.unmeasured:
        with pytest.raises(ValueError, match=item.id):
            limits(item)


def test_every_result_has_limits_and_every_failure_a_budget() -> None:
    assert all(item.reason for item in CLAIMS if item.topic == RESULT)
    assert {item.id for item in CLAIMS if item.failure} == FAILURES
    assert all(item.budget and item.trained for item in CLAIMS if item.failure)


def test_counts_of_the_paper_add_up() -> None:
    numbers = NUMBERS
    assert numbers["data-mias"] + numbers["data-ddsm"] == numbers["data-total"]
    parts = numbers["mrcnn-trainable"] + numbers["mrcnn-nontrainable"]
    assert parts == numbers["mrcnn-params"]
    # Fig. 1a: weights and biases of six layers, and four numbers a channel of BatchNorm.
    convolutions = [(128, 64), (64, 32), (32, 16), (16, 8)]
    total = 4000 * 8192 + 8192 + 4 * 8192 + 25 * 8 * 1 + 1
    total += sum(25 * a * b + b + 4 * b for a, b in convolutions)
    assert numbers["fig-1a"] == total
    # Fig. 1b: two convolutions and one dense layer.
    assert numbers["fig-1b"] == 25 * 32 + 32 + 25 * 32 * 64 + 64 + 64 * 64 * 64 + 1


def test_claims_are_shown_as_people_read_them() -> None:
    assert claim("data-total").formatted == "10,561"
    assert claim("area-mass").formatted == "1.2 % of image"
    assert claim("mrcnn-params").formatted == "63,744,170"
    assert claim("patch-count").formatted == "40,000 to 1,200,000"
    assert claim("transfer").formatted == "does not seem to help"


def test_an_unknown_claim_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no claim 'fig3a'\. Did you mean 'fig-3a'\?"):
        claim("fig3a")


def test_the_settings_that_a_claim_names_are_the_constants() -> None:
    assert claim("mrcnn-schedule").formatted == (
        "2 images per GPU; learning rate 0.002, later 0.0002; COCO start"
    )
    assert claim("gan-check").budget["epochs"] == 25
    assert "25 epochs" in claim("gan-check").statement
    assert {45.0, 65.0} == set(paper.PATCH_ACCURACY.values())
    assert claim("scheme-a").budget == {"patches": 400_000}
