"""Paper and measurements side by side: every claim, the related work, the four conclusions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from second_look.outputs import Run, shown
from second_look.paper import (
    CLAIMS,
    NOT_MEASURED,
    NOT_REPRODUCED,
    RELATED_WORK,
    REPRODUCED,
    SYNTHETIC,
    Claim,
)

FOR, AGAINST, OPEN = "for", "against", "undecided"
Results = Sequence[Mapping[str, Any]]


def rows(results: Results) -> list[dict[str, str]]:
    """One row a claim and measurement, in the paper's order.

    Args:
        results: Content of results.json.

    Returns:
        id, where, what, paper, ours (with its interval), n, how, verdict, notebook, figure (its
        place on the page, "" where there is none).
    """
    found = []
    for stated in CLAIMS:
        own = [result for result in results if result["claim"] == stated.id]
        found += [_row(stated, result) for result in own or [{}]]
    return found


def table(results: Results) -> pd.DataFrame:
    """The rows as a table, for people: where, what, paper, ours, n, how, verdict, notebook."""
    columns = ["where", "what", "paper", "ours", "n", "how", "verdict", "notebook"]
    return pd.DataFrame(rows(results))[columns]


def links(results: Results) -> str:
    """Where each measured claim is shown, as Markdown."""
    lines = [
        f"- {row['what']}: [{row['figure']}](../figures/{row['figure']}.png), {row['verdict']}"
        for row in rows(results)
        if row["figure"]
    ]
    return "\n".join(lines) or "Nothing has been measured yet."


def counts(results: Results) -> pd.DataFrame:
    """How many rows got which verdict: verdict, rows."""
    verdicts = pd.Series([row["verdict"] for row in rows(results)], name="verdict")
    return verdicts.value_counts(sort=True).rename("rows").reset_index()


def related(results: Results, name: str) -> pd.DataFrame:
    """What others reached, as the paper cites it, and this run's numbers below.

    Args:
        results: Content of results.json.
        name: Of the data set.

    Returns:
        ref, who, what, measure, value.
    """
    others = [
        {
            "ref": str(row.ref),
            "who": row.who,
            "what": row.what,
            "measure": row.measure,
            "value": row.value,
        }
        for row in RELATED_WORK
    ]
    ours = [
        {
            "ref": "",
            "who": f"this run, {name}",
            "what": result["how"],
            "measure": "AUC",
            "value": result["value"],
        }
        for result in results
        if result["claim"] in ("scheme-a", "scheme-b", "fig-3a")
    ]
    return pd.DataFrame(others + ours)


def report_related(run: Run, results: Results, *, synthetic: bool) -> None:
    """Put this run's AUC of whole images beside those that the paper cites."""
    for result in results:
        if result["claim"] == "scheme-b":
            run.result(
                "related", result["value"], low=result["low"], high=result["high"], n=result["n"],
                how="this run's AUC by image, scheme B, beside those of refs 2, 5, 6 and 7",
                verdict=None if synthetic else "other data sets and splits: no verdict",
                figure="related", synthetic=synthetic,
            )  # fmt: skip
            return


@dataclass(frozen=True)
class Conclusion:
    """One of the paper's four conclusions.

    Attributes:
        text: In our words.
        claims: Ids of the claims whose measurements bear on it.
        side: Result -> whether it speaks for or against the conclusion.
    """

    text: str
    claims: tuple[str, ...]
    side: Callable[[Mapping[str, Any]], str]


def _by_verdict(result: Mapping[str, Any]) -> str:
    """A claim that was reproduced speaks for the conclusion that was drawn from it."""
    return {REPRODUCED: FOR, NOT_REPRODUCED: AGAINST}.get(str(result["verdict"]), OPEN)


def _whole_image_above_chance(result: Mapping[str, Any]) -> str:
    """A model of whole images that beats chance shows that patches are not indispensable."""
    return {FOR: AGAINST, AGAINST: FOR}.get(_above_chance(result), OPEN)


def _above_chance(result: Mapping[str, Any]) -> str:
    """A detector that tells images apart speaks for it; one at chance against it."""
    if result["low"] is None:
        return OPEN
    if result["low"] > 0.5:
        return FOR
    return AGAINST if result["value"] <= 0.5 else OPEN


CONCLUSIONS = (
    Conclusion(
        "Dividing images into patches is necessary on current hardware.",
        ("scheme-b",),
        _whole_image_above_chance,
    ),
    Conclusion(
        "Standard GANs fail on mammograms, for want of detail.",
        ("gan-check", "fig-2a", "fig-2b"),
        _by_verdict,
    ),
    Conclusion(
        "Transfer learning from ImageNet does not seem to help.", ("transfer",), _by_verdict
    ),
    Conclusion(
        "Mask R-CNN is a fruitful way to locate and diagnose tumours.",
        ("fig-3a", "fig-3b"),
        _above_chance,
    ),
)


def conclusions(results: Results) -> pd.DataFrame:
    """The evidence of this run for and against each conclusion.

    Measurements on synthetic images judge nothing, and say so.

    Returns:
        conclusion, claim, evidence, speaks.
    """
    found = []
    for conclusion in CONCLUSIONS:
        own = [result for result in results if result["claim"] in conclusion.claims]
        for result in own or [{}]:
            found.append(
                {
                    "conclusion": conclusion.text,
                    "claim": result["claim"] if result else ", ".join(conclusion.claims),
                    "evidence": _evidence(result) if result else NOT_MEASURED,
                    "speaks": _side(conclusion, result) if result else OPEN,
                }
            )
    return pd.DataFrame(found)


def _side(conclusion: Conclusion, result: Mapping[str, Any]) -> str:
    return SYNTHETIC if result["verdict"] == SYNTHETIC else conclusion.side(result)


def findings(results: Results) -> str:
    """What the card says as a whole, as sentences made from its own numbers."""
    card = rows(results)
    judged = [row for row in card if row["verdict"] != NOT_MEASURED]
    lines = [f"{len(judged)} of {len(card)} rows have a measurement in this run."]
    lines += [
        f"{row.rows} {'row is' if row.rows == 1 else 'rows are'} “{row.verdict}”."
        for row in counts(results).itertuples()
    ]
    for text, own in conclusions(results).groupby("conclusion", sort=False):
        sides = ", ".join(f"{n} {side}" for side, n in own["speaks"].value_counts().items())
        lines.append(f"{text} Evidence here: {sides}.")
    return "\n".join(f"- {line}" for line in lines)


def _evidence(result: Mapping[str, Any]) -> str:
    stated = next(each for each in CLAIMS if each.id == result["claim"])
    return f"{stated.what}: {ours(stated, result)} ({result['how']})"


def _row(stated: Claim, result: Mapping[str, Any]) -> dict[str, str]:
    n = result.get("n")
    return {
        "id": stated.id,
        "where": stated.where,
        "what": stated.what,
        "paper": stated.shown,
        "ours": ours(stated, result) if result else "",
        "n": "" if n is None else shown(n),
        "how": str(result.get("how", "")),
        "verdict": str(result.get("verdict", NOT_MEASURED)),
        "notebook": str(result.get("notebook", stated.notebook)),
        "figure": str(result.get("figure") or ""),
    }


def ours(stated: Claim, result: Mapping[str, Any]) -> str:
    """A measurement as people read it, with its interval or range and its unit."""
    unit = f" {stated.unit}" if stated.unit else ""
    value, low, high = (_three_digits(result[key]) for key in ("value", "low", "high"))
    if result["low"] is None or result["high"] is None:
        return f"{value}{unit}"
    if stated.low is not None:
        return f"{low} to {high}{unit}"
    return f"{value} [{low}, {high}]{unit}"


def _three_digits(value: float | None) -> str:
    """As many digits as an estimate deserves; counts keep all of theirs."""
    estimate = isinstance(value, float) and not value.is_integer() and abs(value) < 1000
    return f"{value:.3g}" if estimate else shown(value)
