"""The rule that judges claims: by hand, and by how often it is wrong in simulations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm
from second_look import verdicts
from second_look.claims import claim
from second_look.evaluation.intervals import Patients
from second_look.evaluation.roc import auc_estimate
from second_look.verdicts import (
    AT_EDGE,
    HIGHER,
    IN_PART,
    IN_WORDS,
    LOWER,
    NO_CONTROL,
    NO_INTERVAL,
    NOT_REPRODUCED,
    REPRODUCED,
    SYNTHETIC,
    UNDECIDED,
    WIDE,
    Claim,
    Conditions,
    Control,
    head,
    verdict,
)

NAN = float("nan")
PASSED, MISSED = Control(True, "works"), Control(False, "at chance")
THREE = Conditions(3)


def claim_with(**fields: object) -> Claim:
    plain = {"id": "x", "topic": "", "section": "", "statement": "", "notebook": ""}
    return Claim(**{**plain, **fields})  # type: ignore[arg-type]


def verdict_on(item: Claim, low: float | None, high: float | None, **settings: object) -> str:
    value = 0.0 if low is None or high is None else (low + high) / 2
    return verdict(item, value, low, high, synthetic=False, **settings)  # type: ignore[arg-type]


AUC = claim_with(value=0.93, margin=0.05, better="higher")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.90, 0.95, REPRODUCED),
        (0.88, 0.98, REPRODUCED),
        (
            0.85,
            0.95,
            AT_EDGE,
        ),  # the paper's number lies in it
        (0.879, 0.93, AT_EDGE),
        (0.70, 0.95, WIDE),
        (0.80, 0.87, f"{LOWER}: ours worse"),
        (0.981, 0.99, f"{HIGHER}: ours better"),
        (NAN, NAN, NO_INTERVAL),
        (None, None, NO_INTERVAL),
    ],
)
def test_the_whole_interval_must_lie_within_the_margin(
    low: float | None, high: float | None, expected: str
) -> None:
    assert verdict_on(AUC, low, high) == expected


def test_better_and_worse_follow_the_claim() -> None:
    assert verdict_on(claim_with(value=0.73, margin=0.05, better="higher"), 0.91, 0.94).endswith(
        "ours better"
    )
    assert (
        verdict_on(claim_with(value=20, margin=5, better="lower"), 30, 40)
        == f"{HIGHER}: ours worse"
    )
    assert verdict_on(claim_with(value=1.2, margin=0.2), 0.5, 0.6) == LOWER


def test_the_reason_of_a_missing_interval_is_said() -> None:
    text = verdict_on(AUC, NAN, NAN, reason="no positive among them")
    assert text == f"{UNDECIDED}: no positive among them"


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (322, None, None, REPRODUCED),
        (321, None, None, NOT_REPRODUCED),
        (322, 322, 322, REPRODUCED),
        (322, 300, 322, IN_PART),
        (300, 200, 300, NOT_REPRODUCED),
    ],
)
def test_a_count_must_be_equal(
    value: float, low: float | None, high: float | None, expected: str
) -> None:
    assert verdict(claim_with(value=322), value, low, high, synthetic=False) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (40_000, 1_200_000, REPRODUCED),
        (10, 2_000_000, REPRODUCED),
        (50_000, 2_000_000, IN_PART),
        (10, 50_000, IN_PART),
        (10, 39_999, NOT_REPRODUCED),
        (1_200_001, 2_000_000, NOT_REPRODUCED),
    ],
)
def test_what_could_be_had_is_reproduced_where_ours_covers_it(
    low: float, high: float, expected: str
) -> None:
    assert verdict_on(claim("patch-count"), low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1024, 4096, REPRODUCED),
        (1024, 4084, REPRODUCED),
        (1024, 4056, REPRODUCED),
        (1024, 4136, REPRODUCED),
        (1024, 4055, IN_PART),
        (1024, 7111, IN_PART),
        (1000, 4096, IN_PART),
        (1024, 1024, IN_PART),
        (1025, 4084, IN_PART),
        (4097, 5000, NOT_REPRODUCED),
    ],
)
def test_both_ends_of_a_range_must_agree(low: float, high: float, expected: str) -> None:
    """The upper one to a hundredth, where the paper says "approximately"."""
    assert verdict_on(claim("size-range"), low, high) == expected


@pytest.mark.parametrize(
    ("trainings", "text"), [(0, "no trainings"), (1, "one training"), (2, "two trainings")]
)
def test_fewer_than_three_trainings_decide_nothing(trainings: int, text: str) -> None:
    for low, high in ((0.90, 0.95), (0.5, 0.6)):
        answer = verdict_on(claim("fig-3a"), low, high, conditions=Conditions(trainings))
        assert answer == f"{UNDECIDED}: {text}, at least 3 are needed"
    assert verdict_on(claim("fig-3a"), 0.90, 0.95, conditions=THREE) == REPRODUCED


FULL = {"patches": 400_000}


@pytest.mark.parametrize(
    ("low", "high", "conditions", "expected"),
    [
        (0.4, 0.6, Conditions(3, FULL, PASSED), REPRODUCED),
        (0.4, 0.6, Conditions(3, FULL, MISSED), f"{NO_CONTROL}: at chance"),
        (0.4, 0.6, Conditions(3, FULL), NO_CONTROL),
        (0.4, 0.6, Conditions(3, {"patches": 1024}, PASSED),
         f"{UNDECIDED}: patches 1,024 (paper: 400,000)"),
        (0.4, 0.6, Conditions(3, {}, PASSED), f"{UNDECIDED}: patches unknown (paper: 400,000)"),
        (0.7, 0.9, Conditions(3, FULL, PASSED), AT_EDGE),
        (0.82, 0.86, Conditions(3, FULL, PASSED), AT_EDGE),
        (0.88, 0.9, Conditions(3), f"{HIGHER}: ours better"),  # success needs no control
    ],
)  # fmt: skip
def test_a_failure_is_reproduced_at_the_budget_and_with_a_control(
    low: float, high: float, conditions: Conditions, expected: str
) -> None:
    assert verdict_on(claim("scheme-a"), low, high, conditions=conditions) == expected


def test_each_field_that_falls_short_is_named() -> None:
    conditions = Conditions(3, {"epochs": 2, "patches": 4000, "size in px": 64}, PASSED)
    answer = verdict_on(claim("fig-2a"), 3, 4, conditions=conditions)
    assert answer == f"{UNDECIDED}: epochs 2 (paper: 50); size in px 64 (paper: 256)"
    noted = verdicts.noted(claim("fig-2a"), conditions)
    assert noted == [
        "mean of 3 trainings", "epochs 2 (paper: 50)", "size in px 64 (paper: 256)",
        "positive control passed: works",
    ]  # fmt: skip
    assert verdicts.noted(claim("fig-2a"), None) == []


def test_settings_differ_field_by_field() -> None:
    claimed = claim("mrcnn-schedule").budget
    assert verdicts.differences(claimed, dict(claimed)) == []
    changed = {**claimed, "images per GPU": 4, "learning rate": [0.002, 0.001], "start": ""}
    assert verdicts.differences(claimed, changed) == [
        "images per GPU 4 (paper: 2)",
        "learning rate 0.002, then 0.001 (paper: 0.002, then 0.0002)",
        "start none (paper: COCO)",
    ]


def test_words_and_synthetic_images_get_no_verdict() -> None:
    assert verdict_on(claim("related"), 0.0, 0.2) == IN_WORDS
    assert verdict(claim_with(value=4), 4, None, None, synthetic=True) == SYNTHETIC
    assert verdict(AUC, 0.93, 0.92, 0.94, synthetic=True) == SYNTHETIC


def test_a_verdict_is_counted_without_its_reason() -> None:
    assert [head(text) for text in (WIDE, f"{HIGHER}: ours better", REPRODUCED)] == [
        UNDECIDED, HIGHER, REPRODUCED,
    ]  # fmt: skip


# ------------------------------------------------------------------ how often it is wrong


def rates(item: Claim, true: float, error: float, conditions: Conditions) -> Counter[str]:
    """Shares of the verdicts over 2,000 estimates with that standard error and their intervals."""
    estimates = np.random.default_rng(0).normal(true, error, 2000)
    half_width = 1.96 * error
    counts = Counter(
        head(verdict_on(item, value - half_width, value + half_width, conditions=conditions))
        for value in estimates.tolist()
    )
    return Counter({name: count / 2000 for name, count in counts.items()})  # type: ignore[misc]


@pytest.mark.parametrize("error", [0.005, 0.015, 0.024, 0.05])
@pytest.mark.parametrize("name", ["fig-3a", "fig-3b"])
def test_wrong_verdicts_are_rare(name: str, error: float) -> None:
    item = claim(name)
    assert item.value is not None
    assert item.margin is not None
    for distance in (1.0, 1.5, 2.5):
        for sign in (-1, 1):
            at_edge = rates(item, item.value + sign * distance * item.margin, error, THREE)
            assert at_edge[REPRODUCED] < 0.05
    equal = rates(item, item.value, error, THREE)
    assert equal[HIGHER] + equal[LOWER] < 0.05
    assert (equal[REPRODUCED] > 0.5) == (error < 0.02)


@pytest.mark.parametrize("name", ["scheme-a", "scheme-b"])
def test_schemes_at_chance_are_never_reproduced_without_a_control(name: str) -> None:
    for error in (0.01, 0.05, 0.1):
        for conditions in (THREE, Conditions(3, FULL), Conditions(3, FULL, MISSED)):
            assert rates(claim(name), 0.5, error, conditions)[REPRODUCED] == 0
    assert rates(claim(name), 0.81, 0.03, Conditions(3, FULL, PASSED))[REPRODUCED] < 0.05


def test_a_gain_of_nothing_is_seldom_refuted_and_one_that_matters_seldom_reproduced() -> None:
    conditions = Conditions(3, FULL, PASSED)
    for error in (0.5, 2.0, 5.0):
        nothing = rates(claim("transfer"), 0.0, error, conditions)
        assert nothing[HIGHER] < 0.05
        assert rates(claim("transfer"), 5.0, error, conditions)[REPRODUCED] < 0.05


def auc_interval(
    true: float, positives: int, negatives: int
) -> Callable[[int], tuple[float, float]]:
    """The interval of an AUC on one set of independent patients, by the set's number."""
    truth = np.arange(positives + negatives) < positives
    patients = Patients(np.arange(len(truth)), len(truth))
    shift = np.sqrt(2) * norm.ppf(true)

    def interval(number: int) -> tuple[float, float]:
        scores = np.random.default_rng(number).normal(size=len(truth)) + shift * truth
        area = auc_estimate(scores, truth, patients, seed=number, draws=100)
        return area.low, area.high

    return interval


@pytest.mark.parametrize("true", [0.80, 0.93])
def test_a_set_of_the_size_of_mini_mias_reproduces_no_auc(true: float) -> None:
    """By whether 0.93 lies in the interval, 58 % and 79 % of such sets "reproduced" it."""
    interval = auc_interval(true, 12, 52)
    answers = [verdict_on(claim("fig-3a"), *interval(n), conditions=THREE) for n in range(60)]
    assert REPRODUCED not in answers
    assert (LOWER in map(head, answers)) == (true == 0.80)


def test_a_large_set_can_reproduce_an_auc() -> None:
    interval = auc_interval(0.93, 150, 250)
    answers = [verdict_on(claim("fig-3a"), *interval(n), conditions=THREE) for n in range(40)]
    assert answers.count(REPRODUCED) > 30
