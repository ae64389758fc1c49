"""Cards: whole in JSON, read back as they were, and refused where a field is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.small_published import card
from scipy.special import expit, logit
from second_look.errors import DataError, ParameterError
from second_look.published.card import (
    DISCLAIMER,
    Calibration,
    Result,
    in_markdown,
    read_card,
    write_card,
)


@pytest.mark.parametrize("kind", ["image", "patch", "detector"])
def test_a_card_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    write_card(tmp_path / "card.json", card(kind))
    assert read_card(tmp_path / "card.json") == card(kind)


def test_an_undefined_interval_is_null(tmp_path: Path) -> None:
    result = Result("AUC", "image", None, None, None, 4, 2, "predictions/x")
    write_card(tmp_path / "card.json", replace(card(), results=(result,)))
    assert read_card(tmp_path / "card.json").results == (result,)
    assert result.text == "–"


def changed(path: Path, **changes: object) -> None:
    write_card(path, card())
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"kind": "oracle"}, "'oracle'"),
        ({"colour": "red"}, "colour"),
        ({"data": {"name": "x"}}, "TrainingData"),
        ({"calibrations": {"image": {"slope": 1}}}, "Calibration"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    changed(tmp_path / "card.json", **changes)
    with pytest.raises(DataError, match=message) as error:
        read_card(tmp_path / "card.json")
    assert "card.json" in str(error.value)


def test_no_card_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    for name in ("a.json", "missing.json"):
        with pytest.raises(DataError, match="expected the card of a model"):
            read_card(tmp_path / name)


def test_a_probability_is_platts() -> None:
    part = Calibration(0.7, -0.4, 0.3, 100, 50, {})
    scores = np.array([0.01, 0.2, 0.9])
    assert part.probability(scores) == pytest.approx(expit(0.7 * logit(scores) - 0.4))


def test_a_probability_moves_with_the_prevalence() -> None:
    """Bayes' rule: odds grow by the ratio of the prior odds."""
    part = Calibration(1.0, 0.0, 0.3, 100, 50, {})
    (moved,) = part.probability([0.4], 0.01)
    odds = 0.4 / 0.6 * (0.01 / 0.99) / (0.3 / 0.7)
    assert moved == pytest.approx(odds / (1 + odds))
    assert part.probability([0.4], 0.3) == pytest.approx(part.probability([0.4]))
    with pytest.raises(ParameterError, match="between 0 and 1"):
        part.probability([0.4], 1.5)


def test_a_card_for_people_holds_numbers_limits_and_the_disclaimer() -> None:
    text = in_markdown(card())
    assert DISCLAIMER in text
    assert "| AUC | image | 0.75 [0.60, 0.85] | 4 | 2 |" in text
    assert "25.0% of them malignant" in text
    assert "Research only." in text
