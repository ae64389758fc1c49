"""Paper and measurements side by side: every claim and the related work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from second_look.outputs import Run, readable
from second_look.paper import (
    CLAIMS,
    NOT_MEASURED,
    RELATED_WORK,
    Claim,
)
from second_look.records import is_out_of_date

Results = Sequence[Mapping[str, Any]]


def rows(results: Results) -> list[dict[str, str]]:
    """One row per claim and measurement, in the paper's order.

    Args:
        results: From `Run.results`.

    Returns:
        id, section, statement, paper, measured (with its interval), n, how, verdict, notebook,
        figure (its anchor on the page, "" where there is none).
    """
    card_rows = []
    for paper_claim in CLAIMS:
        results_of_claim = [result for result in results if result["claim"] == paper_claim.id]
        card_rows += [_row(paper_claim, result) for result in results_of_claim or [{}]]
    return card_rows


def table(results: Results) -> pd.DataFrame:
    """The rows as a table for people: section to notebook, without id and figure."""
    columns = ["section", "statement", "paper", "measured", "n", "how", "verdict", "notebook"]
    return pd.DataFrame(rows(results))[columns]


def links(results: Results) -> str:
    """Where each measured claim is shown, as Markdown."""
    lines = [
        f"- {row['statement']}: [{row['figure']}](../figures/{row['figure']}.png), {row['verdict']}"
        for row in rows(results)
        if row["figure"]
    ]
    return "\n".join(lines) or "Nothing has been measured yet."


def counts(results: Results) -> pd.DataFrame:
    """How many rows got which verdict: verdict, rows."""
    verdicts = pd.Series([row["verdict"] for row in rows(results)], name="verdict")
    return verdicts.value_counts(sort=True).rename("rows").reset_index()


def related(results: Results, name: str) -> pd.DataFrame:
    """Published results that the paper cites, and this run's numbers below.

    Args:
        results: From `Run.results`.
        name: Of the data set.

    Returns:
        ref, authors, task, measure, value.
    """
    cited = [
        {
            "ref": str(row.ref),
            "authors": row.authors,
            "task": row.task,
            "measure": row.measure,
            "value": row.value,
        }
        for row in RELATED_WORK
    ]
    measured = [
        {
            "ref": "",
            "authors": f"this run, {name}",
            "task": result["how"],
            "measure": "AUC",
            "value": result["value"],
        }
        for result in results
        if result["claim"] in ("scheme-a", "scheme-b", "fig-3a") and not is_out_of_date(result)
    ]
    return pd.DataFrame(cited + measured)


def report_related(run: Run, results: Results, *, synthetic: bool) -> None:
    """Put this run's AUC of whole images beside those that the paper cites."""
    for result in results:
        if result["claim"] == "scheme-b" and not is_out_of_date(result):
            run.result(
                "related", result["value"], low=result["low"], high=result["high"], n=result["n"],
                how="this run's AUC by image, scheme B, beside those of refs 2, 5, 6 and 7",
                verdict=None if synthetic else "other data sets and splits: no verdict",
                figure="related", synthetic=synthetic,
            )  # fmt: skip
            return


def findings(results: Results, evidence: pd.DataFrame) -> str:
    """The scorecard as sentences made from its numbers.

    Args:
        results: From `Run.results`.
        evidence: From studies.scorecard.conclusions.table.
    """
    card = rows(results)
    measured = [row for row in card if row["verdict"] != NOT_MEASURED]
    lines = [f"{len(measured)} of {len(card)} rows have a measurement in this run."]
    lines += [
        f"{row.rows} {'row is' if row.rows == 1 else 'rows are'} “{row.verdict}”."
        for row in counts(results).itertuples()
    ]
    for text, rows_of_conclusion in evidence.groupby("conclusion", sort=False):
        sides = ", ".join(
            f"{n} {side}" for side, n in rows_of_conclusion["speaks"].value_counts().items()
        )
        lines.append(f"{text} Evidence here: {sides}.")
    return "\n".join(f"- {line}" for line in lines)


def _row(paper_claim: Claim, result: Mapping[str, Any]) -> dict[str, str]:
    n = result.get("n")
    return {
        "id": paper_claim.id,
        "section": paper_claim.section,
        "statement": paper_claim.statement,
        "paper": paper_claim.formatted,
        "measured": format_measurement(paper_claim, result) if result else "",
        "n": "" if n is None else readable(n),
        "how": str(result.get("how", "")),
        "verdict": str(result.get("verdict", NOT_MEASURED)),
        "notebook": str(result.get("notebook", paper_claim.notebook)),
        "figure": str(result.get("figure") or ""),
    }


def format_measurement(paper_claim: Claim, result: Mapping[str, Any]) -> str:
    """A measurement with its interval or range and its unit."""
    unit = f" {paper_claim.unit}" if paper_claim.unit else ""
    value, low, high = (_three_digits(result[key]) for key in ("value", "low", "high"))
    if result["low"] is None or result["high"] is None:
        return f"{value}{unit}"
    if paper_claim.low is not None:
        return f"{low} to {high}{unit}"
    return f"{value} [{low}, {high}]{unit}"


def _three_digits(value: float | None) -> str:
    """As many digits as an estimate deserves; counts keep all of theirs."""
    estimate = isinstance(value, float) and not value.is_integer() and abs(value) < 1000
    return f"{value:.3g}" if estimate else readable(value)
