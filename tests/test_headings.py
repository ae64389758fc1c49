"""Tables are read in words; names of files and of the users' images stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from second_look.catalogue import LABELS
from second_look.headings import HEADINGS, WORDS, heading, in_words


def test_columns_have_headings_in_words() -> None:
    assert heading("macro_auc") == "macro AUC"
    assert heading("between_patients") == "SD between patients"
    assert heading("rows × cols, px") == "rows × cols, px"
    assert heading("commonest_class") == "commonest class"
    assert not [text for text in (*HEADINGS.values(), *WORDS.values()) if "_" in text]


def test_every_label_and_notebook_has_words() -> None:
    notebooks = sorted(path.stem for path in Path("notebooks").glob("*.py"))
    assert not [name for name in (*LABELS, *notebooks) if "_" in in_words(name)]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("type benign_without_callback", "type benign without callback"),
        ("logits of normal, benign_without_callback, benign",
         "logits of normal, benign without callback, benign"),
        ("06_scheme_b, by patient", "notebook 06, scheme B, by patient"),
        ("tables/06_scheme_b.csv", "tables/06_scheme_b.csv"),
        ("06_scheme_b.csv", "06_scheme_b.csv"),
        ("my_macro_auc", "my_macro_auc"),
        ("conv2d_1", "conv2d_1"),
        ("case_a", "case_a"),
    ],
)  # fmt: skip
def test_known_names_become_words_and_nothing_else_does(cell: str, words: str) -> None:
    assert in_words(cell) == words
