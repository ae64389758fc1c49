"""Two runs compared, and a data set surveyed, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from second_look import __main__ as command
from second_look.errors import OutputError
from second_look.running.compare import (
    MOVED,
    ONLY_FIRST,
    ONLY_SECOND,
    SAME,
    WITHIN,
    compare_runs,
    describe_changes,
)

REPO = Path(__file__).resolve().parents[2]


def results(folder: Path, **values: tuple[Any, Any, Any]) -> Path:
    folder.mkdir()
    rows = [
        {"claim": claim.replace("_", "-"), "value": value, "low": low, "high": high, "n": 9}
        | {"notebook": "01_data_survey", "verdict": "counted"}
        for claim, (value, low, high) in values.items()
    ]
    (folder / "results.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    first = results(
        tmp_path / "a",
        same=(0.5, 0.4, 0.6), wobbles=(0.50, 0.4, 0.6), moves=(0.5, 0.4, 0.6),
        narrow=(0.5, 0.2, 0.8), count=(322, None, None), gone=(1.0, None, None),
    )  # fmt: skip
    second = results(
        tmp_path / "b",
        same=(0.5, 0.3, 0.7), wobbles=(0.55, 0.45, 0.65), moves=(0.7, 0.6, 0.8),
        narrow=(0.6, 0.55, 0.65), count=(321, None, None), new=(None, None, None),
    )  # fmt: skip
    return first, second


def test_numbers_that_moved_by_more_than_their_interval(runs: tuple[Path, Path]) -> None:
    verdicts = {change.claim: change.verdict for change in compare_runs(*runs)}
    assert verdicts == {
        "same": SAME,
        "wobbles": WITHIN,
        "moves": MOVED,
        "narrow": MOVED,  # the old value lies outside the new interval
        "count": MOVED,
        "gone": ONLY_FIRST,
        "new": ONLY_SECOND,
    }


def test_only_what_differs_is_listed(runs: tuple[Path, Path]) -> None:
    lines = describe_changes(compare_runs(*runs))
    assert "moves: moved: 0.5 [0.4, 0.6] → 0.7 [0.6, 0.8]" in lines
    assert "count: moved: 322 → 321" in lines
    assert not any(line.startswith(("same", "wobbles")) for line in lines)
    assert lines[-1] == (
        "7 numbers: 3 moved, 1 within the intervals, 1 the same, 1 only in the first, "
        "1 only in the second."
    )


def test_the_command_says_by_its_status_whether_anything_moved(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = map(str, runs)
    assert command.main(["compare", first, second]) == 1
    assert command.main(["compare", first, f"{first}/results.json"]) == 0
    assert capsys.readouterr().out.endswith("6 numbers: 6 the same.\n")
    assert command.main(["compare", first, "nowhere"]) == 2
    assert "nowhere holds no results" in capsys.readouterr().err


def test_a_survey_counts_a_data_set_without_preparing_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPO)
    small = ["--set", "patients=16", "--set", "01_data_survey.image_rows=256"]
    assert command.main(["survey", *small, "--set", "01_data_survey.image_cols=208"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("64 images of 16 patients, ")
    assert "Size 256×208 to 256×208 px" in printed
    assert "Nothing is in the quarantine." in printed


@pytest.mark.parametrize("content", ["", "noise", '{"rows": []}', '[{"claim": 3}]', "[3]"])
def test_results_of_another_form_are_refused_with_the_remedy(
    runs: tuple[Path, Path], content: str
) -> None:
    path = runs[0] / "results.json"
    path.write_text(content)
    with pytest.raises(OutputError, match=r"results\.json: .*\s?run_all\.py"):
        compare_runs(*runs)
