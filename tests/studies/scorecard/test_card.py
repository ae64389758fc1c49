"""Paper and measurements side by side."""

from __future__ import annotations

import pytest
from second_look.claims import ARCHITECTURE, CLAIMS, DATA, RESULT, STATEMENT, TOPICS
from second_look.outputs import load_results, open_run
from second_look.paper import RELATED_WORK
from second_look.studies.scorecard import card as scorecard
from second_look.studies.scorecard import conclusions
from second_look.verdicts import CANNOT, NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, SYNTHETIC


@pytest.fixture
def results(tmp_path):
    """What three notebooks would have measured, through the run that writes it."""
    survey = open_run(tmp_path, notebook="01_data_survey")
    survey.result("data-mias", 322, how="read", figure="counts")
    survey.result("size-range", 4096, low=1024, high=4096, how="films")
    patches = open_run(tmp_path, notebook="06_patch_transfer_learning")
    patches.result(
        "scheme-b", 0.7512, low=0.7, high=0.8012, n=1361, how="AUC", figure="whole_image_auc",
        verdict=REPRODUCED,
    )  # fmt: skip
    patches.result("transfer", 1.5, low=-1, high=4, how="gain", verdict=REPRODUCED)
    dcgan = open_run(tmp_path, notebook="03_dcgan")
    dcgan.result("fig-1a", 33_081_761, how="counted")
    return load_results(tmp_path)


def measured(claim, verdict="see the notebook", value=0.7, low=0.6, high=0.8):
    facts = {"n": 10, "how": "measured", "figure": None, "notebook": "06_x"}
    return {
        "claim": claim, "value": value, "low": low, "high": high, "verdict": verdict, **facts
    }  # fmt: skip


def test_every_claim_has_a_row_in_the_papers_order(results):
    for card_rows in (scorecard.rows([]), scorecard.rows(results)):
        assert [row["id"] for row in card_rows] == [claim.id for claim in CLAIMS]
        assert [row["paper"] for row in card_rows] == [claim.formatted for claim in CLAIMS]
    empty = {row["id"]: row["verdict"] for row in scorecard.rows([])}
    assert empty == {
        claim.id: f"{CANNOT}: {claim.unmeasured}" if claim.unmeasured else NOT_MEASURED
        for claim in CLAIMS
    }
    assert len(scorecard.table(results)) == len(CLAIMS)


def test_rows_hold_what_was_measured(results):
    rows = {row["id"]: row for row in scorecard.rows(results)}
    assert rows["data-mias"]["measured"] == "322"
    assert rows["data-mias"]["verdict"] == REPRODUCED
    assert rows["size-range"]["measured"] == "1,024 to 4,096 px"
    scheme_b = rows["scheme-b"]
    assert scheme_b["measured"] == "0.751 [0.7, 0.801]"
    assert (scheme_b["n"], scheme_b["how"]) == ("1,361", "AUC")
    assert scheme_b["figure"] == "06_whole_image_auc"
    gan = rows["gan-check"]
    assert (gan["verdict"], gan["measured"], gan["figure"]) == (NOT_MEASURED, "", "")
    assert gan["notebook"] == next(c.notebook for c in CLAIMS if c.id == "gan-check")


def test_two_measurements_of_a_claim_are_two_rows(results):
    two_results = [*results, measured("data-mias", NOT_REPRODUCED, 330, None, None)]
    values = [row["measured"] for row in scorecard.rows(two_results) if row["id"] == "data-mias"]
    assert values == ["322", "330"]


def test_links_lead_to_files_that_are_there(results, tmp_path):
    """Claims that a table shows had links to a picture of it, which there is not."""
    for name in ("tables/01_counts.csv", "figures/06_whole_image_auc.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    lines = scorecard.links(results, tmp_path).splitlines()
    assert len(lines) == 2
    assert f"[01_counts](../tables/01_counts.csv), {REPRODUCED}" in lines[0]
    assert "[06_whole_image_auc](../figures/06_whole_image_auc.png)" in lines[1]
    paths = [line.split("](../")[1].split(")")[0] for line in lines]
    assert all((tmp_path / path).is_file() for path in paths)
    assert scorecard.links([], tmp_path) == "Nothing has been measured yet."


def test_verdicts_are_counted_results_apart_from_settings(results):
    """Five parameter counts once stood as "5 reproduced" beside the results."""
    counts = scorecard.counts(results)
    topics = list(dict.fromkeys(counts["topic"]))
    assert topics == list(TOPICS)
    table = counts.set_index(["topic", "verdict"])["rows"]
    assert table[RESULT, REPRODUCED] == 2
    assert table[ARCHITECTURE, REPRODUCED] == 1
    assert table[DATA, REPRODUCED] == 2
    assert table.sum() == len(CLAIMS)
    assert CANNOT in table[STATEMENT].index


def test_margins_show_what_decides_each_claim():
    table = scorecard.margins().set_index("statement")
    row = table.loc["AUC of Mask R-CNN per image"]
    assert row["paper"] == "0.93"
    assert (row["holds_from"], row["holds_to"]) == pytest.approx((0.88, 0.98))
    assert "equivalent" in row["reason"]
    assert table.loc["samples after 50 epochs", "budget"] == (
        "epochs 50; patches 4000; size in px 256"
    )


def test_arithmetic_needs_no_image(tmp_path):
    run = open_run(tmp_path, notebook="08_scorecard")
    scorecard.report_arithmetic(run)
    rows = {row["claim"]: row for row in load_results(tmp_path)}
    assert rows["order-of-magnitude"]["value"] == pytest.approx(60_000 / 10_561)
    assert rows["order-of-magnitude"]["verdict"] == "differs: 5.7 times as many"
    assert "886,000" in rows["misprint"]["verdict"]


def test_related_work_stands_above_this_run(results):
    table = scorecard.related(results, "cbis")
    assert len(table) == len(RELATED_WORK) + 1
    assert table["value"].iloc[: len(RELATED_WORK)].dropna().tolist() == [
        row.value for row in RELATED_WORK if row.value is not None
    ]
    last = table.iloc[-1]
    assert (last["authors"], last["value"]) == ("this run, cbis", 0.7512)


@pytest.mark.parametrize("synthetic", [True, False])
def test_related_work_is_compared_without_a_verdict(results, tmp_path, synthetic):
    run = open_run(tmp_path, notebook="08_scorecard")
    scorecard.report_related(run, run.results_of_others(), synthetic=synthetic)
    (row,) = [row for row in load_results(tmp_path) if row["claim"] == "related"]
    assert (row["value"], row["low"], row["high"], row["n"]) == (0.7512, 0.7, 0.8012, 1361)
    assert "no verdict" in row["verdict"]
    assert (row["verdict"] == SYNTHETIC) == synthetic


def test_findings_hold_the_runs_numbers(results):
    evidence = conclusions.table(results, {}, synthetic=False)
    text = scorecard.findings(results, evidence)
    assert f"5 of {len(CLAIMS)} rows have a measurement" in text
    assert f"rows on {RESULT}: " in text
    assert f"2 “{REPRODUCED}”" in text
    patches, _, transfer, _ = (conclusion.text for conclusion in conclusions.CONCLUSIONS)
    assert f"{patches} Evidence here: none; not measured." in text
    assert f"{transfer} Evidence here: 1 {conclusions.FOR}." in text
    synthetic = scorecard.findings(results, conclusions.table(results, {}, synthetic=True))
    sentence = "Evidence here: none; 1 measurement of synthetic images, which judge nothing."
    assert f"{transfer} {sentence}" in synthetic
