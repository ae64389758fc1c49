"""The paper's claims as data, and the rule that judges them."""

from __future__ import annotations

import re

import pytest
from second_look import paper
from second_look.paper import CLAIMS, RELATED_WORK, Claim, claim, verdict

NUMBERS = {
    "data-mias": 322,
    "data-ddsm": 10_239,
    "data-total": 10_561,
    "area-calc": 0.5,
    "area-mass": 1.2,
    "gan-patches": 4000,
    "gan-check": 5,
    "mrcnn-params": 63_744_170,
    "mrcnn-trainable": 63_632_682,
    "mrcnn-nontrainable": 111_488,
    "fig-3a": 0.93,
    "fig-3b": 0.73,
    "patch-classes": 4,
    "patch-accuracy-200k": 45,
    "patch-accuracy-400k": 65,
}
RANGES = {"size-range": (1024, 4096), "patch-count": (40_000, 1_200_000)}
WORDS = {"fig-2a", "fig-2b", "mrcnn-schedule", "scheme-a", "scheme-b", "transfer", "calibration"}


def number(value: float) -> Claim:
    return Claim("x", "", "", "", value)


def test_every_claim_is_there_once_with_the_number_that_the_paper_prints() -> None:
    ids = [item.id for item in CLAIMS]
    assert len(ids) == len(set(ids))
    assert set(ids) == {*NUMBERS, *RANGES, *WORDS, "fig-1a", "fig-1b", "related"}
    assert {key: claim(key).value for key in NUMBERS} == NUMBERS
    assert {key: (claim(key).low, claim(key).high) for key in RANGES} == RANGES


def test_each_claim_is_a_number_or_a_range_or_words() -> None:
    for item in CLAIMS:
        is_range = item.low is not None and item.high is not None
        assert (item.value is not None) + is_range + bool(item.text) == 1, item.id
        assert item.section
        assert re.fullmatch(r"0[1-8]_\w+", item.notebook)


def test_counts_of_the_paper_add_up() -> None:
    assert claim("data-mias").value + claim("data-ddsm").value == claim("data-total").value  # type: ignore[operator]
    parts = claim("mrcnn-trainable").value + claim("mrcnn-nontrainable").value  # type: ignore[operator]
    assert parts == claim("mrcnn-params").value
    # Fig. 1a: weights and biases of six layers, and four numbers a channel of BatchNorm.
    convolutions = [(128, 64), (64, 32), (32, 16), (16, 8)]
    total = 4000 * 8192 + 8192 + 4 * 8192 + 25 * 8 * 1 + 1
    total += sum(25 * a * b + b + 4 * b for a, b in convolutions)
    assert claim("fig-1a").value == total
    # Fig. 1b: two convolutions and one dense layer.
    assert claim("fig-1b").value == 25 * 32 + 32 + 25 * 32 * 64 + 64 + 64 * 64 * 64 + 1


def test_claims_are_shown_as_people_read_them() -> None:
    assert claim("data-total").formatted == "10,561"
    assert claim("area-mass").formatted == "1.2 % of image"
    assert claim("mrcnn-params").formatted == "63,744,170"
    assert claim("patch-count").formatted == "40,000 to 1,200,000"
    assert claim("transfer").formatted == "does not seem to help"


def test_an_unknown_claim_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no claim 'fig3a'\. Did you mean 'fig-3a'\?"):
        claim("fig3a")


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.90, 0.85, 0.95, paper.REPRODUCED),
        (0.90, 0.85, 0.93, paper.REPRODUCED),
        (0.95, 0.93, 0.97, paper.REPRODUCED),
        (0.90, 0.85, 0.92, paper.NOT_REPRODUCED),
        (0.96, 0.94, 0.98, paper.NOT_REPRODUCED),
        (0.93, None, None, paper.REPRODUCED),
        (0.92, None, None, paper.NOT_REPRODUCED),
    ],
)
def test_a_number_is_reproduced_in_its_interval(
    value: float, low: float | None, high: float | None, expected: str
) -> None:
    assert verdict(number(0.93), value, low, high, synthetic=False) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (40_000, 1_200_000, paper.REPRODUCED),
        (10, 2_000_000, paper.REPRODUCED),
        (50_000, 2_000_000, paper.IN_PART),
        (10, 50_000, paper.IN_PART),
        (10, 39_999, paper.NOT_REPRODUCED),
        (1_200_001, 2_000_000, paper.NOT_REPRODUCED),
    ],
)
def test_a_range_is_reproduced_where_ours_covers_it(low: float, high: float, expected: str) -> None:
    assert verdict(claim("patch-count"), high, low, high, synthetic=False) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1024, 4096, paper.REPRODUCED),
        (1024, 4084, paper.REPRODUCED),
        (1024, 4056, paper.REPRODUCED),
        (1024, 4055, paper.IN_PART),
        (1024, 1024, paper.IN_PART),
        (1025, 4084, paper.IN_PART),
        (4097, 5000, paper.NOT_REPRODUCED),
    ],
)
def test_an_approximate_end_may_be_missed_by_a_hundredth(
    low: float, high: float, expected: str
) -> None:
    """Only the upper end: the paper gives the lower one as it is."""
    assert verdict(claim("size-range"), high, low, high, synthetic=False) == expected


def test_the_settings_that_a_claim_names_are_the_constants() -> None:
    assert claim("mrcnn-schedule").formatted == (
        "2 images per GPU; learning rate 0.002, later 0.0002; COCO start"
    )
    assert "25 epochs" in claim("gan-check").statement
    assert {45.0, 65.0} == set(paper.PATCH_ACCURACY.values())


def test_words_and_synthetic_images_get_no_verdict() -> None:
    assert verdict(claim("transfer"), 0.1, 0.0, 0.2, synthetic=False) == paper.IN_WORDS
    assert verdict(number(4), 4, None, None, synthetic=True) == paper.SYNTHETIC


def test_an_interval_that_patients_are_too_few_for_decides_nothing() -> None:
    nan = float("nan")
    for low, high in ((nan, nan), (3.0, nan)):
        assert verdict(number(4), 4, low, high, synthetic=False) == paper.NO_INTERVAL


def test_related_work_covers_the_references() -> None:
    assert {item.ref for item in RELATED_WORK} == set(range(1, 12))
    assert max(item.value or 0 for item in RELATED_WORK if item.measure == "AUC") == 0.98
    assert all((item.value is None) == (item.measure == "") for item in RELATED_WORK)
    review = next(item for item in RELATED_WORK if item.ref == 2)
    assert "“ROC scores of up to 0.98”" in review.task


def test_a_cited_number_is_the_only_one_of_its_reference() -> None:
    assert paper.FIELD == (0.81, 0.87)
    assert paper.cited(11) == 0.88
    for ref, count in ((1, 0), (5, 2), (99, 0)):
        with pytest.raises(ValueError, match=f"ref {ref} must have one number. It has {count}"):
            paper.cited(ref)
