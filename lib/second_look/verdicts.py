"""When a claim of the paper counts as reproduced: the one rule for all of them, in RULE."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# What a training was given, or what a claim asks for: field -> number, text, or several numbers.
Budget = Mapping[str, float | str | Sequence[float]]

RULE = """\
- A claim of a number has an equivalence margin, fixed beforehand with its reason. It is
  **reproduced** only if our whole 95 % interval lies within the claimed value ± that margin.
- If the interval lies wholly outside, ours is **higher** or **lower than the paper**: better or
  worse, as the claim has it.
- Everything else is **undecided**: the interval is wider than the margin, reaches over its edge,
  or is missing. Few patients decide nothing, whichever way the estimate points.
- A count must be equal, and so must both ends of a range, to 1 % where the paper says
  "approximately".
- A number that depends on training needs at least 3 trainings; their spread is in the interval.
- A failure of the paper is reproduced only at the paper's budget (epochs, samples, patches), and
  only after a positive control has shown that the same code can succeed.
- Synthetic images judge nothing. Parameter counts and settings are counted apart from results.
"""

REPRODUCED, IN_PART, NOT_REPRODUCED = "reproduced", "reproduced in part", "not reproduced"
HIGHER, LOWER = "higher than the paper", "lower than the paper"
UNDECIDED = "undecided"
WIDE = f"{UNDECIDED}: the interval is wider than the margin"
AT_EDGE = f"{UNDECIDED}: the interval reaches over the edge of the margin"
NO_INTERVAL = f"{UNDECIDED}: no interval"
NO_CONTROL = f"{UNDECIDED}: no positive control"
SYNTHETIC = "no verdict: synthetic images"
NOT_MEASURED = "not measured"
CANNOT = "can't be measured here"
IN_WORDS = "see the notebook"
# Fewer trainings say nothing about the luck of a training.
MIN_TRAININGS = 3
_IN_LETTERS = {0: "no trainings", 1: "one training", 2: "two trainings"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement of the paper.

    Attributes:
        id: How notebooks refer to it.
        topic: One of claims.TOPICS; summaries count each topic apart.
        section: Section, figure or table of the paper.
        statement: What is claimed, in our words.
        notebook: Which notebook measures it.
        value: The number, where it is one. Without a margin it is a count.
        margin: How far from the value a number is still the same, in its unit.
        reason: Of the margin, or of the limits.
        low, high: Ends, where the claim is a range.
        about: Share by which ours may miss the upper end, where the paper says "approximately".
        covered: Whether ours only has to cover the range, where it says what could be had.
        lower_than: The claim is that a number is below the first; it is refuted above the second.
        higher_than: The claim is that a number is above the first; it is refuted below the second.
        better: "higher" or "lower", where one of them is.
        trained: Whether the number depends on a training.
        failure: Whether the claim is that something failed.
        budget: What the paper spent on it.
        unit: Of the numbers.
        text: The statement, where it is no number.
        unmeasured: Why no run can measure it here; "" where one can.
    """

    id: str
    topic: str
    section: str
    statement: str
    notebook: str
    value: float | None = None
    margin: float | None = None
    reason: str = ""
    low: float | None = None
    high: float | None = None
    about: float = 0.0
    covered: bool = False
    lower_than: tuple[float, float] | None = None
    higher_than: tuple[float, float] | None = None
    better: str = ""
    trained: bool = False
    failure: bool = False
    budget: Budget = field(default_factory=dict)
    unit: str = ""
    text: str = ""
    unmeasured: str = ""

    @property
    def formatted(self) -> str:
        """The claim's value as people read it."""
        unit = f" {self.unit}" if self.unit else ""
        if self.text:
            return self.text
        if self.value is not None:
            return f"{self.value:,.10g}{unit}"
        return f"{self.low:,.10g} to {self.high:,.10g}{unit}"


class Interval(Protocol):
    """What a verdict reads of an estimate: evaluation.intervals.Estimate has it."""

    @property
    def value(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float:
        """Lower end; NaN where there is none."""

    @property
    def high(self) -> float:
        """Upper end; NaN where there is none."""

    @property
    def n(self) -> int:
        """Observations."""

    @property
    def reason(self) -> str:
        """Why there is no interval."""


@dataclass(frozen=True)
class Control:
    """A positive control: whether the same code succeeds where success is possible.

    Attributes:
        passed: Whether it did.
        text: What was measured, with its number.
    """

    passed: bool
    text: str


@dataclass(frozen=True)
class Conditions:
    """What a verdict depends on beside the number.

    Attributes:
        trainings: How many the estimate is the mean of.
        budget: What they were given, by the names of the claim's budget.
        control: Where the claim is that something failed.
    """

    trainings: int = 0
    budget: Budget = field(default_factory=dict)
    control: Control | None = None


def verdict(
    claim: Claim,
    value: float,
    low: float | None,
    high: float | None,
    *,
    reason: str = "",
    conditions: Conditions | None = None,
    synthetic: bool,
) -> str:
    """Judge a claim by RULE.

    Args:
        claim: Of claims.CLAIMS.
        value: Our number.
        low: Lower end of its interval, or of our range; NaN or None where there is none.
        high: Upper end.
        reason: Why there is none.
        conditions: Trainings, budget and control.
        synthetic: Whether it was measured on phantoms.
    """
    support = conditions or Conditions()
    if synthetic:
        return SYNTHETIC
    if claim.trained and support.trainings < MIN_TRAININGS:
        number = _IN_LETTERS[support.trainings]
        return f"{UNDECIDED}: {number}, at least {MIN_TRAININGS} are needed"
    if claim.low is not None and claim.high is not None:
        return _of_range(claim, value if low is None else low, value if high is None else high)
    if claim.value is not None and claim.margin is None:
        return _of_count(claim.value, value, low, high)
    if claim.value is None and claim.lower_than is None and claim.higher_than is None:
        return IN_WORDS
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return f"{UNDECIDED}: {reason}" if reason else NO_INTERVAL
    answer = _of_interval(claim, low, high)
    if answer == REPRODUCED and claim.failure:
        return _of_failure(claim, support)
    return answer


def luck(trainings: int, effect: str) -> str:
    """Why so few trainings show nothing of an effect; "" where there are enough of them."""
    if trainings >= MIN_TRAININGS:
        return ""
    return f"{_IN_LETTERS[trainings]} cannot separate {effect} from luck"


def limits(claim: Claim) -> tuple[float, float]:
    """Between which values a claim holds; infinite where it is open on that side.

    Raises:
        ValueError: The claim has neither a margin nor a limit.
    """
    if claim.value is not None and claim.margin is not None:
        return claim.value - claim.margin, claim.value + claim.margin
    if claim.lower_than is not None:
        return -math.inf, claim.lower_than[0]
    if claim.higher_than is not None:
        return claim.higher_than[0], math.inf
    raise ValueError(f"{claim.id} has neither a margin nor a limit.")


def gaps(claimed: Budget, spent: Budget) -> list[str]:
    """Fields in which a budget falls short of the claimed one, in words.

    A number may be larger than claimed; texts and several numbers must be equal.
    """
    return [
        f"{name} {_in_words(spent.get(name))} (paper: {_in_words(target)})"
        for name, target in claimed.items()
        if not _reaches(target, spent.get(name))
    ]


def differences(claimed: Budget, spent: Budget) -> list[str]:
    """Fields that differ from the claimed ones, in words."""
    return [
        f"{name} {_in_words(spent.get(name))} (paper: {_in_words(target)})"
        for name, target in claimed.items()
        if not _equal(target, spent.get(name))
    ]


def noted(claim: Claim, conditions: Conditions | None) -> list[str]:
    """What a verdict depended on, in words: trainings, gaps of the budget, control."""
    if conditions is None:
        return []
    parts = []
    if claim.trained:
        number = conditions.trainings
        parts.append(f"mean of {number} trainings" if number > 1 else "one training")
    if claim.failure:
        parts += gaps(claim.budget, conditions.budget)
    if conditions.control is not None:
        outcome = "passed" if conditions.control.passed else "not passed"
        parts.append(f"positive control {outcome}: {conditions.control.text}")
    return parts


def head(full_verdict: str) -> str:
    """A verdict without its reason, to count by."""
    return full_verdict.split(":", 1)[0]


def _of_range(claim: Claim, low: float, high: float) -> str:
    assert claim.low is not None
    assert claim.high is not None
    if not (math.isfinite(low) and math.isfinite(high)):
        return NO_INTERVAL
    lowest_top = claim.high * (1 - claim.about)
    if claim.covered:
        agrees = low <= claim.low and lowest_top <= high
    else:
        agrees = low == claim.low and lowest_top <= high <= claim.high * (1 + claim.about)
    if agrees:
        return REPRODUCED
    return IN_PART if low <= claim.high and claim.low <= high else NOT_REPRODUCED


def _of_count(claimed: float, value: float, low: float | None, high: float | None) -> str:
    ends = (value if low is None else low, value if high is None else high)
    if ends == (claimed, claimed):
        return REPRODUCED
    return IN_PART if ends[0] <= claimed <= ends[1] else NOT_REPRODUCED


def _of_interval(claim: Claim, low: float, high: float) -> str:
    bottom, top = limits(claim)
    if bottom <= low and high <= top:
        return REPRODUCED
    refuted_above = claim.lower_than[1] if claim.lower_than else top
    refuted_below = claim.higher_than[1] if claim.higher_than else bottom
    if low > refuted_above or high < refuted_below:
        side, word = (HIGHER, "higher") if low > refuted_above else (LOWER, "lower")
        if not claim.better:
            return side
        return f"{side}: ours {'better' if claim.better == word else 'worse'}"
    return WIDE if high - low > top - bottom else AT_EDGE


def _of_failure(claim: Claim, support: Conditions) -> str:
    """A failure proves nothing where less was tried, or where the code cannot succeed at all."""
    short = gaps(claim.budget, support.budget)
    if short:
        return f"{UNDECIDED}: {'; '.join(short)}"
    if support.control is None:
        return NO_CONTROL
    return REPRODUCED if support.control.passed else f"{NO_CONTROL}: {support.control.text}"


def _equal(target: object, spent: object) -> bool:
    if isinstance(target, str) or not isinstance(target, Sequence):
        return target == spent
    return isinstance(spent, Sequence) and list(target) == list(spent)


def _reaches(target: object, spent: object) -> bool:
    if isinstance(target, int | float) and isinstance(spent, int | float):
        return spent >= target
    return _equal(target, spent)


def _in_words(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    if isinstance(value, str):
        return value or "none"
    assert isinstance(value, Sequence)
    return ", then ".join(f"{number:g}" for number in value)
