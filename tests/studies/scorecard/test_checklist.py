"""The filled-in CLAIM table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from second_look.studies.scorecard import checklist


@pytest.fixture(scope="module")
def filled(phantom_data):
    """The checklist of the phantoms."""
    results = [{"claim": "fig-3a", "how": "AUC by image", "value": 0.8123}]
    facts = checklist.facts(phantom_data, results, standards="exact", precision="little")
    return checklist.table(facts)


def test_all_44_items_are_answered_in_the_words_of_the_checklist(filled):
    assert list(filled["item"]) == list(range(1, 45))
    answers = {checklist.YES, checklist.PARTLY, checklist.NO, checklist.NOT_APPLICABLE}
    assert set(filled["reported"]) <= answers
    assert (filled[["asks", "answer", "where"]] != "").all(axis=None)


def test_the_answers_hold_the_run_s_numbers(filled, phantom_data):
    text = " ".join(filled["answer"])
    images = phantom_data.catalogue.images
    assert f"{len(images)} images of {images['patient_id'].nunique()} patients" in text
    assert "AUC by image: 0.812" in text
    assert "{" not in text


def test_synthetic_images_are_not_called_retrospective_data(filled, phantom_data):
    """Phantoms were "retrospective, on public data", "de-identified by their publishers"."""
    text = " ".join(filled["answer"])
    for word in ("retrospective", "publishers", "public data"):
        assert word not in text
    original = replace(phantom_data, synthetic=False)
    facts = checklist.facts(original, [], standards="exact", precision="little")
    answers = checklist.table(facts).set_index("item")["answer"]
    assert answers[5].startswith("retrospective")
    assert "published" in answers[11]


def test_without_an_auc_the_checklist_says_so(phantom_data):
    facts = checklist.facts(phantom_data, [], standards="", precision="")
    assert "no AUC was measured" in facts["aucs"]
