"""What notebook 07 found, in sentences made from its numbers, and the paper's claim beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from second_look.evaluation.groups import KEYS, Group
from second_look.outputs import Run
from second_look.studies.calibration.measures import AS_IT_IS, TEMPERATURE, Calibrated

# The band of confidence that the paper speaks of.
PAPER_BAND = 0.8
# Changes of an ECE that nobody would notice, however certain they are.
SMALL_CHANGE = 0.001


def of_group(measured: pd.DataFrame, group: Group) -> pd.DataFrame:
    """Rows of one group in a table with the columns KEYS."""
    here = np.logical_and.reduce([measured[name] == group.key[name] for name in KEYS])
    rows: pd.DataFrame = measured[here]
    return rows


def cell(measured: pd.DataFrame, group: Group, method: str, measure: str) -> pd.Series | None:
    """Value, low and high of a measure of a group; None where it was not measured."""
    rows = of_group(measured, group)
    rows = rows[(rows["method"] == method) & (rows["measure"] == measure)]
    return None if rows.empty else rows.iloc[0]


def _shown(row: pd.Series, factor: float = 1.0, digits: int = 3) -> str:
    value, low, high = (f"{factor * row[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def written_errors(
    measured: pd.DataFrame, chosen: Sequence[Calibrated], measure: str
) -> dict[tuple[str, str], str]:
    """(title, method) -> the calibration error to be written into a diagram."""
    found = {}
    for one in chosen:
        for method in one.methods:
            row = cell(measured, one.group, method, measure)
            if row is not None:
                found[one.group.title, method] = f"ECE {_shown(row)}"
    return found


def one_measure(
    measured: pd.DataFrame, chosen: Sequence[Calibrated], measure: str
) -> tuple[pd.DataFrame, dict[int, str]]:
    """A measure of the chosen groups after every method, and the groups' titles, for a figure."""
    rows = measured[measured["measure"] == measure]
    parts = [of_group(rows, one.group).assign(group=place) for place, one in enumerate(chosen)]
    titles = {place: one.group.title for place, one in enumerate(chosen)}
    return pd.concat(parts, ignore_index=True), titles


def _ends(low: float, high: float, digits: int = 0) -> str:
    """An interval of shares in percent, or that there is none."""
    if np.isnan(low) or np.isnan(high):
        return "[too few patients for an interval]"
    return f"[{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def direction(temperature: float) -> str:
    """What a temperature says of a model."""
    if np.isnan(temperature):
        return "no temperature could be fitted"
    if temperature > 1.05:
        return "too sure of itself"
    return "not sure enough" if temperature < 0.95 else "neither too sure nor too unsure"


def report(
    run: Run, chosen: Sequence[Calibrated], measured: pd.DataFrame, *, synthetic: bool
) -> None:
    """Put the ECE of the first chosen model beside what the paper only discussed."""
    one = chosen[0]
    before = cell(measured, one.group, AS_IT_IS, "ece")
    after = cell(measured, one.group, TEMPERATURE, "ece")
    assert before is not None
    mended = f", {100 * after['value']:.1f} % after temperature" if after is not None else ""
    run.result(
        "calibration",
        100 * before["value"],
        low=100 * before["low"],
        high=100 * before["high"],
        n=int(before["n"]),
        how=f"ECE in %, {one.group.title}, as it is{mended}",
        verdict=f"now measured: {direction(one.temperature)}",
        figure="reliability_width",
        synthetic=synthetic,
    )


def findings(
    chosen: Sequence[Calibrated],
    measured: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    *,
    synthetic: bool,
) -> str:
    """What was found, as Markdown sentences.

    Args:
        chosen: The models of the figures.
        measured: From studies.calibration.measure.
        tables: "bands", "depth", "points", "prevalence": from studies.decisions and
            studies.network_depth; any may be empty.
        synthetic: Whether predictions of phantoms are among them.
    """
    lines = [
        *(_mended(one, measured) for one in chosen),
        _ranks(measured),
        *_bands(tables["bands"]),
        *_depth(tables["depth"]),
        *_points(tables["points"]),
        *_prevalence(tables["prevalence"]),
    ]
    if synthetic:
        lines.append(
            "**Phantoms are among the images:** the numbers check the code, not the paper."
        )
    return "\n".join(f"- {line}" for line in lines)


def _mended(one: Calibrated, measured: pd.DataFrame) -> str:
    before = cell(measured, one.group, AS_IT_IS, "ece")
    assert before is not None
    text = f"**{one.group.title}**: ECE {_shown(before)} as it is"
    after = cell(measured, one.group, TEMPERATURE, "ece")
    change = cell(measured, one.group, TEMPERATURE, "ece_change")
    if after is None or change is None:
        return f"{text}; no temperature: {one.failed[TEMPERATURE].rstrip('.')}."
    if abs(change["value"]) < SMALL_CHANGE:
        effect = "temperature changes nothing"
    elif change["high"] < 0:
        effect = "temperature lowers it"
    elif change["low"] > 0:
        effect = "temperature raises it"
    else:
        effect = "no difference is shown"
    return (
        f"{text}, {_shown(after)} after a temperature of {one.temperature:.2f} "
        f"({direction(one.temperature)}); the change is {_shown(change)}: {effect}."
    )


def _ranks(measured: pd.DataFrame) -> str:
    """How far temperature moves AUC and accuracy, over all groups."""
    wide = measured.pivot(index=[*KEYS, "measure"], columns="method", values="value").reset_index()
    if TEMPERATURE not in wide:
        return "No temperature could be fitted to any model."
    wide["moved"] = (wide[TEMPERATURE] - wide[AS_IT_IS]).abs()
    binary = wide["target"] != "label"

    def largest(measure: str, rows: pd.Series) -> float:
        return float(wide.loc[(wide["measure"] == measure) & rows, "moved"].max())

    parts = [f"Temperature moved no accuracy by more than {largest('accuracy', binary | True):.2g}"]
    if np.isfinite(largest("auc", binary)):
        parts.append(f"no AUC of two classes by more than {largest('auc', binary):.2g}")
    if np.isfinite(largest("auc", ~binary)):
        parts.append(f"no mean AUC of several classes by more than {largest('auc', ~binary):.2g}")
    return ", ".join(parts) + "."


def _bands(table: pd.DataFrame) -> list[str]:
    here = np.isclose(table["from"], PAPER_BAND)
    return [
        f"Where **{row.title}** ({row.method}) was {100 * row.confidence:.0f} % sure, in the band "
        f"from {100 * PAPER_BAND:g} %, {100 * row.observed:.1f} % "
        f"{_ends(row.low, row.high, 1)} were wrong; {100 * row.promised:.1f} % were promised "
        f"({row.units:,} units)."
        for row in table[here].itertuples()
    ]


def _depth(table: pd.DataFrame) -> list[str]:
    lines = []
    for row in table.itertuples():
        if row.low > 0:
            says = "the deeper network is worse calibrated, as Guo et al. found"
        elif row.high < 0:
            says = "the deeper network is better calibrated, against Guo et al."
        else:
            says = "no difference by depth is shown"
        lines.append(
            f"ResNet-{row.deep} less ResNet-{row.shallow} ({row.family}, {row.unit}, "
            f"{row.target}): ECE {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]: {says}."
        )
    return lines or ["Network depth: no two depths of one family of ResNets were at hand."]


def _points(table: pd.DataFrame) -> list[str]:
    lines = []
    for title, rows in table.groupby("title", sort=False):
        by_method = rows.set_index("method")
        raw = by_method.loc[AS_IT_IS]
        text = f"**{title}**: the threshold lies at {raw['threshold']:.2f} as it is"
        if TEMPERATURE in by_method.index:
            text += f" and at {by_method.loc[TEMPERATURE, 'threshold']:.2f} after temperature"
        near = _ends(raw["observed_low"], raw["observed_high"])
        caught = _ends(raw["sensitivity_low"], raw["sensitivity_high"])
        lines.append(
            f"{text}; {100 * raw['observed']:.0f} % {near} of the test units next to it are "
            f"positive. It catches {100 * raw['sensitivity']:.0f} % {caught} at a specificity of "
            f"{100 * raw['specificity']:.0f} %. Of those called positive {100 * raw['ppv']:.0f} % "
            f"are, in screening {100 * raw['ppv_screening']:.1f} %."
        )
    return lines


def _prevalence(table: pd.DataFrame) -> list[str]:
    lines = []
    for title, rows in table.groupby("title", sort=False):
        rarest = rows[rows["prevalence"] == rows["prevalence"].min()].set_index("corrected")
        lines.append(
            f"**{title}** where {100 * rarest['prevalence'].iloc[0]:.2g} % are positive: it states "
            f"{100 * rarest.loc['no', 'said']:.1f} % on average, "
            f"{rarest.loc['no', 'ratio']:.0f} times too much; corrected for the prevalence, "
            f"{100 * rarest.loc['yes', 'said']:.2f} %."
        )
    return lines
