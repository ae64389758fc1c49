"""The command predict: what it prints, what it writes, and with which status it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.small_published import drawn_breast, known_classifier, png
from second_look import __main__ as command
from second_look.published.card import DISCLAIMER
from second_look.published.weights import save_model


def test_one_image_that_cannot_be_read_ends_with_1_after_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(known_classifier(), tmp_path / "set" / "weights")
    good = png(tmp_path / "a.png", drawn_breast())
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    options = ["--model", str(tmp_path / "set"), "--output", str(tmp_path / "out")]
    assert command.main(["predict", str(good), *options, "--side", "L"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(DISCLAIMER)
    assert "breast L: chance of malignancy 40.0% where 25.0% are malignant" in printed
    assert (tmp_path / "out" / "a.png").is_file()
    assert command.main(["predict", str(good), str(broken), *options]) == 1
    assert "broken.png: refused: expected PGM" in capsys.readouterr().out
    assert command.main(["predict", str(broken), *options]) == 2
    assert "no picture can be used" in capsys.readouterr().err


def test_a_set_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["predict", "a.png", "--model", str(tmp_path / "none")]) == 2
    assert "there is no card of a model here" in capsys.readouterr().err
