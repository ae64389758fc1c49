"""Published sets, README and the cards of their models say the same."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from second_look.published.card import DISCLAIMER, IMAGE, read_card
from second_look.published.weights import MOST_BYTES, load_model
from second_look.running.publish import REPORT_BYTES

REPO = Path(__file__).resolve().parents[1]
REFERENCE = REPO / "outputs" / "reference"
SETS = sorted(path.parent for path in REFERENCE.glob("*/run.json"))
ALL_BYTES = 100_000_000


@pytest.fixture(params=SETS or [None], ids=lambda path: getattr(path, "name", "none"))
def published(request: pytest.FixtureRequest) -> Path:
    if request.param is None:
        pytest.skip("outputs/reference holds no set: make reference SET=cbis_mass publishes a run")
    return request.param


def test_weights_are_those_of_their_cards(published: Path) -> None:
    cards = sorted((published / "weights").glob("*.json"))
    assert cards
    for path in cards:
        model = load_model(path)
        assert (path.parent / model.card.weights).stat().st_size <= MOST_BYTES
        assert DISCLAIMER in path.with_suffix(".md").read_text(encoding="utf-8")


def test_a_set_is_of_a_clean_commit_and_small(published: Path) -> None:
    run = json.loads((published / "run.json").read_text(encoding="utf-8"))
    assert run["commit"]
    assert not run["dirty"]
    assert (published / "report.html").stat().st_size <= REPORT_BYTES
    assert sum(path.stat().st_size for path in REFERENCE.rglob("*") if path.is_file()) <= ALL_BYTES


def test_cards_and_tables_agree(published: Path) -> None:
    """Where a table is of one training, the AUC of the card is in it."""
    table = pd.read_csv(published / "tables" / "06_whole_image_table.csv")
    card = read_card(published / "weights" / "image.json")
    for result in card.results:
        rows = table[(table["model"] == card.model) & (table["unit"] == result.unit)]
        if result.measure == "AUC" and len(rows) and rows["trainings"].iloc[0] == 1:
            row = rows.iloc[0]
            numbers = [result.value, result.low, result.high]
            assert numbers == pytest.approx([row["value"], row["low"], row["high"]], abs=1e-9)
            assert (result.n, result.patients) == (row["n"], row["patients"])


def test_readme_names_the_numbers_of_the_cards(published: Path) -> None:
    """Where README links a published model's card, its AUC by image stands in the same line."""
    text = (REPO / "README.md").read_text(encoding="utf-8")
    link = f"outputs/reference/{published.name}/weights/{IMAGE}.md"
    lines = [line for line in text.splitlines() if link in line]
    card = read_card(published / "weights" / f"{IMAGE}.json")
    (area,) = (part for part in card.results if (part.measure, part.unit) == ("AUC", "image"))
    assert [line for line in lines if area.text not in line] == []
    page = (published / "README.md").read_text(encoding="utf-8")
    assert all(result.text in page for result in card.results if result.measure == "AUC")
