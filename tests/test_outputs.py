"""What a run leaves behind: whole files, results beside claims, the record of reads and writes."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from second_look import outputs as module
from second_look.errors import OutputError
from second_look.evaluation.intervals import Estimate
from second_look.figures import style
from second_look.outputs import Run, load_results, open_run, readable, table_html
from second_look.verdicts import Conditions, Control

NAME = "01_data_survey"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return open_run(tmp_path / "set", notebook=NAME)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The HTML that a notebook would show."""
    displayed: list[str] = []
    monkeypatch.setattr(module, "display", lambda markup: displayed.append(markup.data))
    return displayed


def line() -> Figure:
    figure, axis = plt.subplots(figsize=(2, 1))
    axis.plot([0, 1], [1, 0])
    return figure


def record(run: Run) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run.folder / "manifests" / f"{NAME}.json").read_text())
    return content


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# ------------------------------------------------------------------ figures and tables


def test_a_figure_is_saved_twice_shown_with_its_caption_and_closed(
    run: Run, screen: list[str]
) -> None:
    assert run.figure(line(), "labels", "Images of <each> label.") is None
    png, svg = (run.folder / "figures" / f"01_labels.{end}" for end in ("png", "svg"))
    with Image.open(png) as picture:
        assert picture.size == (300, 150)  # 2 × 1 inches at 150 dots an inch
    assert "<svg" in svg.read_text()
    assert plt.get_fignums() == []

    (markup,) = screen
    assert '<figure id="01_labels">' in markup
    assert 'alt="Images of &lt;each&gt; label."' in markup
    assert "<figcaption>Images of &lt;each&gt; label.</figcaption>" in markup
    embedded = re.search(r'src="data:image/png;base64,([^"]+)"', markup)
    assert embedded is not None
    assert base64.b64decode(embedded[1]) == png.read_bytes()
    assert record(run)["writes"] == {
        "figures/01_labels.png": sha(png),
        "figures/01_labels.svg": sha(svg),
    }


def test_equal_figures_are_equal_files(run: Run, screen: list[str]) -> None:
    run.figure(line(), "one", "a")
    run.figure(line(), "two", "a")
    for end in ("png", "svg"):
        first, second = (run.folder / "figures" / f"01_{name}.{end}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    assert "Date" not in (run.folder / "figures" / "01_one.svg").read_text()


def test_a_table_is_saved_whole_and_shown_in_part(run: Run, screen: list[str]) -> None:
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(60)], "area_px": range(60)})
    run.table(table, "areas", "Areas.")
    path = run.folder / "tables" / "01_areas.csv"
    pd.testing.assert_frame_equal(pd.read_csv(path), table)
    (markup,) = screen
    assert markup.count("<tr>") == 1 + 50
    assert "Areas. 10 more rows are in tables/01_areas.csv." in markup
    assert '<th scope="col">image</th><th scope="col" class="number">area px</th>' in markup
    assert record(run)["writes"] == {"tables/01_areas.csv": sha(path)}


def test_a_table_without_rows_says_so(run: Run, screen: list[str]) -> None:
    run.table(pd.DataFrame({"reason": []}), "quarantine", "Nothing here.")
    run.table(pd.DataFrame({"a": []}), "pairs", "Pairs.", empty="All images had one size.")
    assert "<p>Nothing to list: this table has no rows in this run.</p>" in screen[0]
    assert "more rows" not in screen[0]
    assert "<p>All images had one size.</p>" in screen[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_200_000, "1,200,000"),
        (np.int64(1024), "1,024"),
        (0.123456, "0.1235"),
        (np.float32(0.5), "0.5"),
        (1234.567, "1,235"),
        (3.0, "3"),
        (1e-7, "1e-07"),
        (True, "yes"),
        (np.bool_(False), "no"),
        (float("nan"), "–"),
        (None, "–"),
        (pd.NA, "–"),
        (pd.NaT, "–"),
        ("mdb001", "mdb001"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_values_are_shown_as_people_read_them(value: object, expected: str) -> None:
    assert readable(value) == expected


def test_text_of_a_table_cannot_become_markup() -> None:
    markup = table_html(pd.DataFrame({"<b>": ["<script>alert(1)</script>"]}))
    assert "<script>" not in markup
    assert "<b>" not in markup


@pytest.mark.parametrize("name", ["../up", "a/b", "A b", ""])
def test_a_name_that_is_no_file_name_is_refused(run: Run, name: str) -> None:
    with pytest.raises(ValueError, match="small letters"):
        run.table(pd.DataFrame({"a": [1]}), name, "x")


# ------------------------------------------------------------------ results


def test_results_stand_beside_their_claims(run: Run) -> None:
    run.result("data-mias", np.int64(322), n=322, how="counted")
    run.result("area-mass", Estimate(0.6, 0.5, 0.7, 54, 20), figure="lesion_areas")
    run.result("patch-classes", 4, synthetic=True)
    run.result("related", 0.1, verdict="helps a little")
    run.result("scheme-a", 0.8, verdict="words say nothing of phantoms either", synthetic=True)
    rows = json.loads((run.folder / "results.json").read_text())
    assert rows[0] == {
        "claim": "data-mias",
        "value": 322,
        "low": None,
        "high": None,
        "n": 322,
        "how": "counted",
        "verdict": "reproduced",
        "figure": None,
        "notebook": NAME,
    }
    assert [row["verdict"] for row in rows] == [
        "reproduced",
        "lower than the paper",
        "no verdict: synthetic images",
        "helps a little",
        "no verdict: synthetic images",
    ]
    assert rows[1]["figure"] == "01_lesion_areas"
    assert [rows[1][key] for key in ("value", "low", "high", "n")] == [0.6, 0.5, 0.7, 54]


def test_a_row_says_what_its_verdict_depended_on(run: Run) -> None:
    control = Control(False, "at chance")
    nothing = Estimate(0.6, float("nan"), float("nan"), 54, 20, "too few patients")
    run.result("fig-3a", nothing, how="AUC", conditions=Conditions(3))
    run.result("scheme-a", Estimate(0.6, 0.5, 0.7, 54, 20), conditions=Conditions(1, {}, control))
    rows = load_results(run.folder)
    assert rows[0]["verdict"] == "undecided: too few patients"
    assert rows[0]["how"] == "AUC; too few patients; mean of 3 trainings"
    assert rows[1]["verdict"] == "undecided: one training, at least 3 are needed"
    assert rows[1]["how"] == (
        "one training; patches unknown (paper: 400,000); positive control not passed: at chance"
    )


def test_a_result_replaces_only_its_own_earlier_one(run: Run) -> None:
    second_run = open_run(run.folder, notebook="02_patching")
    second_run.result("patch-classes", 4)
    run.result("data-mias", 100)
    run.result("data-mias", 322)
    results = [(row["notebook"], row["claim"], row["value"]) for row in load_results(run.folder)]
    assert results == [(NAME, "data-mias", 322), ("02_patching", "patch-classes", 4)]
    open_run(run.folder, notebook=NAME)
    assert [row["notebook"] for row in load_results(run.folder)] == ["02_patching"]


def test_a_result_without_claim_or_number_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="Did you mean 'data-mias'"):
        run.result("data-mia", 1)
    with pytest.raises(ValueError, match=r"area-mass: .* a finite number\. Got nan"):
        run.result("area-mass", float("nan"))
    assert load_results(run.folder) == []


def test_an_interval_that_could_not_be_had_is_null(run: Run) -> None:
    run.result("area-mass", 1.2, low=float("nan"), high=np.float64("nan"))
    assert load_results(run.folder)[0]["low"] is None


# ------------------------------------------------------------------ the record


def test_tables_for_later_notebooks_come_back_and_are_recorded(run: Run) -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "score": [0.25, 0.5]})
    run.parquet(table, "predictions/windows.parquet")
    path = run.folder / "predictions" / "windows.parquet"
    later = open_run(run.folder, notebook="02_patching")
    pd.testing.assert_frame_equal(later.read_parquet("predictions/windows.parquet"), table)
    reads = json.loads((run.folder / "manifests" / "02_patching.json").read_text())["reads"]
    assert reads == {"predictions/windows.parquet": sha(path)}
    assert record(run)["writes"] == {"predictions/windows.parquet": sha(path)}
    with pytest.raises(OutputError, match=r"other.parquet is not there: run the notebook that"):
        later.read_parquet("predictions/other.parquet")


def test_what_lies_outside_is_known_by_names_sizes_and_times(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.pgm").write_bytes(b"P5")
    run.uses(data, None, str(data / "a.pgm"))
    first = record(run)["reads"]
    assert set(first) == {str(data), str(data / "a.pgm")}
    (data / "b.pgm").write_bytes(b"P5")
    run.uses(data, data / "a.pgm")
    later = record(run)["reads"]
    assert later[str(data)] != first[str(data)]
    assert later[str(data / "a.pgm")] == first[str(data / "a.pgm")]


def test_opening_a_run_starts_a_new_record(run: Run) -> None:
    run.parquet(pd.DataFrame({"a": [1]}), "predictions/a.parquet")
    open_run(run.folder, notebook=NAME)
    assert record(run) == {
        "version": 1, "reads": {}, "writes": {}, "earlier": ["predictions/a.parquet"],
    }  # fmt: skip


# ------------------------------------------------------------------ what can go wrong


def test_outputs_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file.*cannot be written.*another folder"):
        open_run(tmp_path / "file" / "set", notebook=NAME)


def test_no_space_left_leaves_the_earlier_file_whole(
    run: Run, screen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.figure(line(), "labels", "a")
    first = (run.folder / "figures" / "01_labels.png").read_bytes()
    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(OutputError, match=r"01_labels\.png: no space left.*Free some"):
        run.figure(line(), "labels", "a")
    assert (run.folder / "figures" / "01_labels.png").read_bytes() == first
    assert [path.name for path in run.folder.rglob("*.tmp")] == []


# ------------------------------------------------------------------ results of other notebooks


def of_two(folder: Path) -> tuple[Run, Run]:
    survey, card = (open_run(folder, notebook=name) for name in (NAME, "08_scorecard"))
    survey.result("data-mias", 322)
    card.result("related", 0.8, verdict="none")
    return survey, card


def test_results_of_others_leave_out_its_own(tmp_path: Path) -> None:
    survey, card = of_two(tmp_path)
    assert [row["claim"] for row in card.results_of_others()] == ["data-mias"]
    assert [row["claim"] for row in survey.results_of_others()] == ["related"]


def test_a_notebook_is_out_of_date_when_results_of_others_change(tmp_path: Path) -> None:
    survey, card = of_two(tmp_path)
    card.results_of_others()
    record = json.loads((tmp_path / "manifests" / "08_scorecard.json").read_text())
    ((name, digest),) = record["reads"].items()
    path = tmp_path / name
    assert module.fingerprint(path, tmp_path) == digest
    card.result("related", 0.9, verdict="none")
    assert module.fingerprint(path, tmp_path) == digest, "its own rows do not count"
    survey.result("data-mias", 321)
    assert module.fingerprint(path, tmp_path) != digest


def test_dollars_of_names_are_no_formula_and_powers_of_ten_stay(tmp_path):
    with plt.rc_context():
        style.use_style()
        figure, axis = plt.subplots(figsize=(3, 2))
        axis.plot([1, 1000], [1, 2], label="$\\frac$")
        axis.set_xscale("log")
        axis.set_title("image $x_$ of $set{$")
        axis.legend()
        open_run(tmp_path, notebook="01_a").figure(figure, "f", "x")
    labels = [text for text in axis.get_xticklabels() if text.get_text()]
    assert all(text.get_parse_math() for text in labels)
    assert not axis.title.get_parse_math()


def test_a_table_says_which_cells_it_changed(tmp_path, capsys):
    open_run(tmp_path, notebook="01_a").table(pd.DataFrame({"a": ["=1", "b"]}), "t", "A table.")
    assert (tmp_path / "tables" / "01_t.csv").read_text() == "a\n'=1\nb\n"
