"""Paper and measurements side by side: every claim and the related work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from second_look.claims import CLAIMS, TOPICS, claim
from second_look.outputs import Run, readable
from second_look.paper import RELATED_WORK
from second_look.records import is_out_of_date
from second_look.verdicts import CANNOT, NOT_MEASURED, SYNTHETIC, Claim, head, limits

Results = Sequence[Mapping[str, Any]]
# Images of MNIST, and of CIFAR-10, as the paper counts them.
STANDARD_IMAGES = 60_000


def rows(results: Results) -> list[dict[str, str]]:
    """One row per claim and measurement, in the paper's order.

    Args:
        results: From `Run.results`.

    Returns:
        id, topic, section, statement, paper, measured (with its interval), n, how, verdict,
        notebook, figure (its anchor on the page, "" where there is none).
    """
    card_rows = []
    for paper_claim in CLAIMS:
        results_of_claim = [result for result in results if result["claim"] == paper_claim.id]
        card_rows += [_row(paper_claim, result) for result in results_of_claim or [{}]]
    return card_rows


def current_tables(run: Run, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Name -> table that an earlier notebook of this run left; only those that are up to date."""
    paths = {name: run.current(f"tables/{name}.csv") for name in names}
    return {name: pd.read_csv(path) for name, path in paths.items() if path}


def table(results: Results) -> pd.DataFrame:
    """The rows as a table for people: section to notebook, without id and figure."""
    columns = ["section", "statement", "paper", "measured", "n", "how", "verdict", "notebook"]
    return pd.DataFrame(rows(results))[columns]


def links(results: Results, folder: Path) -> str:
    """Where each measured claim is shown, as Markdown: figures, or tables where there is no figure.

    Args:
        results: From `Run.results`.
        folder: Of the run; executed notebooks lie in a folder of it.
    """
    lines = []
    for row in filter(lambda row: row["figure"], rows(results)):
        path = f"figures/{row['figure']}.png"
        if not (folder / path).is_file():
            path = f"tables/{row['figure']}.csv"
        lines.append(f"- {row['statement']}: [{row['figure']}](../{path}), {row['verdict']}")
    return "\n".join(lines) or "Nothing has been measured yet."


def counts(results: Results) -> pd.DataFrame:
    """How many rows got which verdict, results apart from settings: topic, verdict, rows.

    An agreement of parameter counts shows that a network was built as printed, not that a result
    was reproduced. Reasons of a verdict are left out.
    """
    table_rows = pd.DataFrame(
        [(row["topic"], head(row["verdict"])) for row in rows(results)],
        columns=["topic", "verdict"],
    )
    sizes = table_rows.value_counts().rename("rows").reset_index()
    order = sizes["topic"].map(TOPICS.index)
    return sizes.iloc[np.lexsort((-sizes["rows"], order))].reset_index(drop=True)


def margins() -> pd.DataFrame:
    """What decides each claim of a number: statement, paper, holds from, to, reason, budget."""
    return pd.DataFrame(
        {
            "statement": item.statement,
            "paper": item.formatted,
            "holds_from": limits(item)[0],
            "holds_to": limits(item)[1],
            "reason": item.reason,
            "budget": "; ".join(f"{name} {value}" for name, value in item.budget.items()),
        }
        for item in CLAIMS
        if item.reason
    )


def related(results: Results, name: str) -> pd.DataFrame:
    """Published results that the paper cites, and this run's numbers below.

    Args:
        results: From `Run.results`.
        name: Of the data set.

    Returns:
        ref, authors, task, measure, value (as the paper has it), source (what the source says).
    """
    cited = [
        {
            "ref": str(row.ref),
            "authors": row.authors,
            "task": row.task,
            "measure": row.measure,
            "value": row.value,
            "source": row.source,
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
            "source": "",
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


def report_arithmetic(run: Run) -> None:
    """Record what follows from the paper's own numbers; no image is needed."""
    total = claim("data-total").value
    assert total is not None
    run.result(
        "order-of-magnitude", STANDARD_IMAGES / total, figure="card",
        how=f"{STANDARD_IMAGES:,} images of MNIST or CIFAR-10 over {total:,.0f}",
        verdict=f"differs: {STANDARD_IMAGES / total:.1f} times as many",
    )  # fmt: skip
    run.result(
        "misprint", 886_000, how="a summary of ref 6", figure="related",
        verdict="differs: a misprint, 886,000 are meant",
    )  # fmt: skip


def findings(results: Results, evidence: pd.DataFrame) -> str:
    """The scorecard as sentences made from its numbers.

    Args:
        results: From `Run.results`.
        evidence: From studies.scorecard.conclusions.table.
    """
    card = rows(results)
    measured = [row for row in card if row["measured"]]
    lines = [f"{len(measured)} of {len(card)} rows have a measurement in this run."]
    for topic, of_topic in counts(results).groupby("topic", sort=False):
        parts = [f"{row.rows} “{row.verdict}”" for row in of_topic.itertuples()]
        lines.append(f"Of the {of_topic['rows'].sum()} rows on {topic}: {', '.join(parts)}.")
    for text, rows_of_conclusion in evidence.groupby("conclusion", sort=False):
        sides = rows_of_conclusion["speaks"].value_counts()
        evidence_text = ", ".join(f"{n} {side}" for side, n in sides.items())
        if SYNTHETIC in sides:
            n = len(rows_of_conclusion)
            evidence_text = f"none; {n} measurement{'s' * (n != 1)} of synthetic images, which "
            evidence_text += "judge nothing"
        elif set(rows_of_conclusion["evidence"]) == {NOT_MEASURED}:
            evidence_text = f"none; {NOT_MEASURED}"
        lines.append(f"{text} Evidence here: {evidence_text}.")
    return "\n".join(f"- {line}" for line in lines)


def _row(paper_claim: Claim, result: Mapping[str, Any]) -> dict[str, str]:
    n = result.get("n")
    return {
        "id": paper_claim.id,
        "topic": paper_claim.topic,
        "section": paper_claim.section,
        "statement": paper_claim.statement,
        "paper": paper_claim.formatted,
        "measured": format_measurement(paper_claim, result) if result else "",
        "n": "" if n is None else readable(n),
        "how": str(result.get("how", "")),
        "verdict": str(result.get("verdict", _unmeasured(paper_claim))),
        "notebook": str(result.get("notebook", paper_claim.notebook)),
        "figure": str(result.get("figure") or ""),
    }


def _unmeasured(paper_claim: Claim) -> str:
    return f"{CANNOT}: {paper_claim.unmeasured}" if paper_claim.unmeasured else NOT_MEASURED


def format_measurement(paper_claim: Claim, result: Mapping[str, Any]) -> str:
    """A measurement with its interval or range and its unit."""
    unit = f" {paper_claim.unit}" if paper_claim.unit else ""
    value, low, high = (_three_digits(result[key]) for key in ("value", "low", "high"))
    if result["low"] is None or result["high"] is None or low == value == high:
        return f"{value}{unit}"
    if paper_claim.low is not None:
        return f"{low} to {high}{unit}"
    return f"{value} [{low}, {high}]{unit}"


def _three_digits(value: float | None) -> str:
    """As many digits as an estimate deserves; counts keep all of theirs."""
    estimate = isinstance(value, float) and not value.is_integer() and abs(value) < 1000
    return f"{value:.3g}" if estimate else readable(value)
