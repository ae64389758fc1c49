"""The findings of notebook 07 as sentences made from its numbers, and its row of the scorecard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from second_look.evaluation.groups import KEYS, Group
from second_look.outputs import Run
from second_look.studies.calibration.measures import AS_IT_IS, TEMPERATURE, Calibrated

# The band of confidence that the paper speaks of.
PAPER_BAND = 0.8
# Changes of an ECE that are too small to matter, however certain.
SMALL_CHANGE = 0.001


def of_group(measured: pd.DataFrame, group: Group) -> pd.DataFrame:
    """Rows of one group in a table with the columns KEYS."""
    selected = np.logical_and.reduce([measured[name] == group.key[name] for name in KEYS])
    rows: pd.DataFrame = measured[selected]
    return rows


def cell(measured: pd.DataFrame, group: Group, method: str, measure: str) -> pd.Series | None:
    """Value, low and high of a measure of a group; None where it was not measured."""
    rows = of_group(measured, group)
    rows = rows[(rows["method"] == method) & (rows["measure"] == measure)]
    return None if rows.empty else rows.iloc[0]


def _with_interval(row: pd.Series, factor: float = 1.0, digits: int = 3) -> str:
    value, low, high = (f"{factor * row[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def written_errors(
    measured: pd.DataFrame, chosen: Sequence[Calibrated], measure: str
) -> dict[tuple[str, str], str]:
    """(title, method) -> the calibration error to be written into a diagram."""
    texts = {}
    for model in chosen:
        for method in model.methods:
            row = cell(measured, model.group, method, measure)
            if row is not None:
                texts[model.group.title, method] = f"ECE {_with_interval(row)}"
    return texts


def one_measure(
    measured: pd.DataFrame, chosen: Sequence[Calibrated], measure: str
) -> tuple[pd.DataFrame, dict[int, str]]:
    """A measure of the chosen groups after every method, and the groups' titles, for a figure."""
    rows = measured[measured["measure"] == measure]
    parts = [of_group(rows, model.group).assign(group=index) for index, model in enumerate(chosen)]
    titles = {index: model.group.title for index, model in enumerate(chosen)}
    return pd.concat(parts, ignore_index=True), titles


def _ends(low: float, high: float, digits: int = 0) -> str:
    """An interval of shares in percent, or that there is none."""
    if np.isnan(low) or np.isnan(high):
        return "[too few patients for an interval]"
    return f"[{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def direction(temperature: float) -> str:
    """What a temperature says about a model."""
    if np.isnan(temperature):
        return "no temperature could be fitted"
    if temperature > 1.05:
        return "too sure of itself"
    return "not sure enough" if temperature < 0.95 else "neither too sure nor too unsure"


def report(
    run: Run, chosen: Sequence[Calibrated], measured: pd.DataFrame, *, synthetic: bool
) -> None:
    """Record the ECE of the first chosen model; the paper discusses calibration without numbers."""
    model = chosen[0]
    raw = cell(measured, model.group, AS_IT_IS, "ece")
    scaled = cell(measured, model.group, TEMPERATURE, "ece")
    assert raw is not None
    change = f", {100 * scaled['value']:.1f} % after temperature" if scaled is not None else ""
    run.result(
        "calibration",
        100 * raw["value"],
        low=100 * raw["low"],
        high=100 * raw["high"],
        n=int(raw["n"]),
        how=f"ECE in %, {model.group.title}, as it is{change}",
        verdict=f"now measured: {direction(model.temperature)}",
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
        measured: From studies.calibration.measures.measure.
        tables: "bands", "depth", "points", "prevalence": from studies.calibration.decisions and
            studies.calibration.network_depth; any may be empty.
        synthetic: Whether predictions of phantoms are among them.
    """
    lines = [
        *(_recalibrated(model, measured) for model in chosen),
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


def _recalibrated(model: Calibrated, measured: pd.DataFrame) -> str:
    raw = cell(measured, model.group, AS_IT_IS, "ece")
    assert raw is not None
    text = f"**{model.group.title}**: ECE {_with_interval(raw)} as it is"
    scaled = cell(measured, model.group, TEMPERATURE, "ece")
    change = cell(measured, model.group, TEMPERATURE, "ece_change")
    if scaled is None or change is None:
        return f"{text}; no temperature: {model.failed[TEMPERATURE].rstrip('.')}."
    if abs(change["value"]) < SMALL_CHANGE:
        effect = "temperature changes nothing"
    elif change["high"] < 0:
        effect = "temperature lowers it"
    elif change["low"] > 0:
        effect = "temperature raises it"
    else:
        effect = "no difference is shown"
    return (
        f"{text}, {_with_interval(scaled)} after a temperature of {model.temperature:.2f} "
        f"({direction(model.temperature)}); the change is {_with_interval(change)}: {effect}."
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
    in_band = np.isclose(table["from"], PAPER_BAND)
    return [
        f"Where **{row.title}** ({row.method}) was {100 * row.confidence:.0f} % sure, in the band "
        f"from {100 * PAPER_BAND:g} %, {100 * row.observed:.1f} % "
        f"{_ends(row.low, row.high, 1)} were wrong; {100 * row.promised:.1f} % were promised "
        f"({row.units:,} units)."
        for row in table[in_band].itertuples()
    ]


def _depth(table: pd.DataFrame) -> list[str]:
    lines = []
    for row in table.itertuples():
        if row.low > 0:
            outcome = "the deeper network is worse calibrated, as Guo et al. found"
        elif row.high < 0:
            outcome = "the deeper network is better calibrated, against Guo et al."
        else:
            outcome = "no difference by depth is shown"
        lines.append(
            f"ResNet-{row.deep} minus ResNet-{row.shallow} ({row.family}, {row.unit}, "
            f"{row.target}): ECE {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]; "
            f"{outcome}."
        )
    return lines or ["Network depth: this run has no family of ResNets with two depths."]


def _points(table: pd.DataFrame) -> list[str]:
    lines = []
    for title, rows in table.groupby("title", sort=False):
        by_method = rows.set_index("method")
        raw = by_method.loc[AS_IT_IS]
        text = f"**{title}**: the threshold lies at {raw['threshold']:.2f} as it is"
        if TEMPERATURE in by_method.index:
            text += f" and at {by_method.loc[TEMPERATURE, 'threshold']:.2f} after temperature"
        nearest = _ends(raw["observed_low"], raw["observed_high"])
        sensitivity = _ends(raw["sensitivity_low"], raw["sensitivity_high"])
        lines.append(
            f"{text}; {100 * raw['observed']:.0f} % {nearest} of the test units next to it are "
            f"positive. Its sensitivity is {100 * raw['sensitivity']:.0f} % {sensitivity}, its "
            f"specificity {100 * raw['specificity']:.0f} %. Of the units called positive "
            f"{100 * raw['ppv']:.0f} % are, in screening {100 * raw['ppv_screening']:.1f} %."
        )
    return lines


def _prevalence(table: pd.DataFrame) -> list[str]:
    lines = []
    for title, rows in table.groupby("title", sort=False):
        rarest = rows[rows["prevalence"] == rows["prevalence"].min()].set_index("corrected")
        lines.append(
            f"**{title}** where {100 * rarest['prevalence'].iloc[0]:.2g} % are positive: it states "
            f"{100 * rarest.loc['no', 'mean_probability']:.1f} % on average, "
            f"{rarest.loc['no', 'ratio']:.0f} times the true share; corrected for the prevalence, "
            f"{100 * rarest.loc['yes', 'mean_probability']:.2f} %."
        )
    return lines
