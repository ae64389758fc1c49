"""Worked example of notebook 08: from a measurement to its verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from second_look.claims import claim
from second_look.verdicts import SYNTHETIC, limits


def measurement_to_verdict(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The first result with an interval whose claim has limits, through the rule.

    Args:
        results: Rows of results.json.

    Returns:
        step, values; no rows where there is no such result.
    """
    for row in results:
        paper = claim(row["claim"])
        has_limits = paper.margin is not None or paper.lower_than or paper.higher_than
        if has_limits and None not in (row["value"], row["low"], row["high"]):
            break
    else:
        return pd.DataFrame(columns=["step", "values"])
    low, high = limits(paper)
    if low <= row["low"] and row["high"] <= high:
        position = "lies within"
    elif row["high"] < low or row["low"] > high:
        position = "lies outside"
    else:
        position = "reaches over an end of"
    bounds = [f"above {low:.4g}"] * math.isfinite(low) + [f"below {high:.4g}"] * math.isfinite(high)
    rows = {
        "claim": paper.statement,
        "the paper's value": paper.formatted,
        "it holds": f"{' and '.join(bounds)}, because: {paper.reason}",
        "measured in this run": f"{row['value']:.4g}",
        "95 % interval": f"{row['low']:.4g} to {row['high']:.4g}",
        "the interval": f"{position} these limits",
        "what else counts": "phantoms judge no claim"
        if row["verdict"] == SYNTHETIC
        else (row["how"] or "nothing"),
        "verdict": row["verdict"],
    }
    return pd.DataFrame({"step": list(rows), "values": list(rows.values())})
