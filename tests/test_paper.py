"""What the paper prints, and the results of others that it cites."""

from __future__ import annotations

import pytest
from second_look import paper
from second_look.paper import NOT_FOUND, RELATED_WORK


def test_related_work_covers_the_references() -> None:
    assert {item.ref for item in RELATED_WORK} == set(range(1, 12))
    assert max(item.value or 0 for item in RELATED_WORK if item.measure == "AUC") == 0.98
    assert all((item.value is None) == (item.measure == "") for item in RELATED_WORK)
    review = next(item for item in RELATED_WORK if item.ref == 2)
    assert "“ROC scores of up to 0.98”" in review.task


def test_each_cited_number_was_looked_for_at_its_source() -> None:
    assert all(item.source for item in RELATED_WORK)
    missing = [(item.ref, item.value) for item in RELATED_WORK if item.source == NOT_FOUND]
    assert missing == [(1, None), (2, 0.98), (5, 0.84), (10, 0.787)]
    # Where the number is given at the source, it is the one that the paper cites.
    agreeing = {
        item.ref for item in RELATED_WORK if item.value and f"{item.value:g}" in item.source
    }
    assert agreeing == {5, 8, 9}


def test_a_cited_number_is_the_only_one_of_its_reference() -> None:
    assert paper.FIELD == (0.81, 0.87)
    assert paper.cited(11) == 0.88
    for ref, count in ((1, 0), (5, 2), (99, 0)):
        with pytest.raises(ValueError, match=f"ref {ref} must have one number. It has {count}"):
            paper.cited(ref)


def test_figures_add_up_to_the_claims() -> None:
    assert sum(layer.parameters for layer in paper.FIG_1A) == 33_081_761
    assert sum(layer.parameters for layer in paper.FIG_1B) == 314_241
