"""The findings of notebook 07 as sentences made from its numbers, and its row of the scorecard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from second_look.claims import CONFIDENT
from second_look.evaluation import miscalibration as mis
from second_look.evaluation.groups import KEYS, Group
from second_look.evaluation.intervals import in_words
from second_look.outputs import Run
from second_look.studies.calibration.measures import (
    AS_IT_IS,
    MEASURE_NAMES,
    TEMPERATURE,
    Calibrated,
)
from second_look.verdicts import MIN_TRAININGS, luck

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


def _with_interval(row: pd.Series, form: str = ".3f", factor: float = 1.0) -> str:
    value, low, high = (factor * row[name] for name in ("value", "low", "high"))
    return in_words(value, low, high, form, reason=row["reason"])


def written_errors(
    measured: pd.DataFrame, chosen: Sequence[Calibrated], measure: str
) -> dict[tuple[str, str], str]:
    """(title, method) -> the calibration error to be written into a diagram."""
    texts = {}
    for model in chosen:
        for method in model.methods:
            row = cell(measured, model.group, method, measure)
            perfect = cell(measured, model.group, method, "ece_perfect")
            if row is not None and perfect is not None:
                expected = f" (perfect: {perfect['value']:.3f})" if measure == "ece" else ""
                texts[model.group.title, method] = f"ECE {_with_interval(row)}{expected}"
    return texts


def one_measure(measured: pd.DataFrame, chosen: Sequence[Calibrated], measure: str) -> pd.DataFrame:
    """A measure of the chosen groups after every method; `group` is a key of `titles`."""
    rows = measured[measured["measure"] == measure]
    parts = [of_group(rows, model.group).assign(group=index) for index, model in enumerate(chosen)]
    return pd.concat(parts, ignore_index=True)


def titles(chosen: Sequence[Calibrated]) -> dict[int, str]:
    """The titles of the chosen groups, for a figure."""
    return {index: model.group.title for index, model in enumerate(chosen)}


def _percent(row: pd.Series, name: str, form: str = ".0%") -> str:
    return in_words(row[name], row[f"{name}_low"], row[f"{name}_high"], form)


def report(
    run: Run, chosen: Sequence[Calibrated], measured: pd.DataFrame, *, synthetic: bool
) -> None:
    """Record the debiased error of the first chosen model; the paper has no number of its own."""
    model = chosen[0]
    debiased = cell(measured, model.group, AS_IT_IS, "debiased")
    assert debiased is not None
    facts = []
    for name, form, factor in (("ece", ".1f", 100), ("slope", ".2f", 1), ("oe", ".2f", 1)):
        row = cell(measured, model.group, AS_IT_IS, name)
        assert row is not None
        facts.append(f"{MEASURE_NAMES[name]} {_with_interval(row, form, factor)}")
    perfect = cell(measured, model.group, AS_IT_IS, "ece_perfect")
    assert perfect is not None
    facts.insert(1, f"that of a perfect model of this size {100 * perfect['value']:.1f}")
    run.result(
        "calibration",
        100 * debiased["value"],
        low=100 * debiased["low"],
        high=100 * debiased["high"],
        n=int(debiased["n"]),
        how=f"debiased calibration error in %, {model.group.title}, as it is; {', '.join(facts)}",
        verdict=f"now measured: {_verdict(model)}",
        figure="reliability_width",
        synthetic=synthetic,
    )


def _verdict(model: Calibrated) -> str:
    return mis.verdict(model.calibration(AS_IT_IS), binary=model.group.binary)


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
    cells = {
        name: cell(measured, model.group, AS_IT_IS, name)
        for name in ("ece", "ece_perfect", "debiased", "slope", "oe")
    }
    rows = {name: row for name, row in cells.items() if row is not None}
    text = (
        f"**{model.group.title}**: {_verdict(model)}. Slope "
        f"{_with_interval(rows['slope'], '.2f')}, O:E {_with_interval(rows['oe'], '.2f')}, "
        f"debiased error {_with_interval(rows['debiased'])}; ECE {_with_interval(rows['ece'])}, "
        f"where a perfect model of this size shows {rows['ece_perfect']['value']:.3f} on average "
        f"and up to {rows['ece_perfect']['high']:.3f}"
    )
    if _verdict(model) == mis.NOTHING_SHOWN:
        text += _could_have_been_seen(model.calibration(AS_IT_IS))
    heat = cell(measured, model.group, TEMPERATURE, "temperature")
    scaled = cell(measured, model.group, TEMPERATURE, "ece")
    change = cell(measured, model.group, TEMPERATURE, "ece_change")
    if scaled is None or change is None or heat is None:
        return f"{text}; no temperature: {model.failed[TEMPERATURE].rstrip('.')}."
    if abs(change["value"]) < SMALL_CHANGE:
        effect = "temperature changes nothing"
    elif change["high"] < 0:
        effect = "temperature lowers it"
    elif change["low"] > 0:
        effect = "temperature raises it"
    else:
        effect = "no difference is shown"
    degree = _with_interval(heat, ".2f")
    if not np.isfinite(heat["value"]):
        degree = f"{model.temperature:g}, the bound of the search,"
    return (
        f"{text}. After a temperature of {degree} the ECE is "
        f"{_with_interval(scaled)}; the change is {_with_interval(change)}: {effect}."
    )


def _could_have_been_seen(calibration: mis.Line) -> str:
    """What miscalibration would have been found in most samples of this size."""
    ends = [(e.low, e.high) for e in (calibration.slope, calibration.ratio)]
    if not np.isfinite(ends).all():
        return ""
    slope, ratio = mis.detectable(calibration.slope), mis.detectable(calibration.ratio)
    return (
        f"; in {mis.POWER:.0%} of samples of this size, a slope below {slope[0]:.2f} or above "
        f"{slope[1]:.2f}, or an O:E below {ratio[0]:.2f} or above {ratio[1]:.2f}, would have been "
        "found"
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
    in_band = np.isclose(table["from"], CONFIDENT)
    return [
        f"Where **{row.title}** ({row.method}) was {100 * row.confidence:.0f} % sure, in the band "
        f"from {100 * CONFIDENT:g} % to {100 * row.to:g} %, "
        f"{in_words(row.observed, row.low, row.high, '.1%')} were wrong; "
        f"{row.promised:.1%} were promised "
        f"({row.units:,} units)."
        for row in table[in_band].itertuples()
    ]


def _depth(table: pd.DataFrame) -> list[str]:
    lines = []
    for row in table.itertuples():
        if np.isnan(row.low):
            outcome = "not judged"
        elif row.seeds < MIN_TRAININGS:
            outcome = luck(row.seeds, "depth")
        elif row.low > 0:
            outcome = "the deeper network is worse calibrated, as Guo et al. found"
        elif row.high < 0:
            outcome = "the deeper network is better calibrated, against Guo et al."
        else:
            outcome = "no difference by depth is shown"
        lines.append(
            f"ResNet-{row.deep} minus ResNet-{row.shallow} ({row.family}, {row.unit}, "
            f"{row.target}): ECE {in_words(row.difference, row.low, row.high, '+.3f')}; "
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
        text += (
            f"; {_percent(raw, 'observed')} of the test units next to it are positive. Its "
            f"sensitivity is {_percent(raw, 'sensitivity')}, its specificity "
            f"{_percent(raw, 'specificity')}. Of the units called positive "
            f"{_percent(raw, 'ppv')} are positive"
        )
        if np.isfinite(raw["ppv_screening"]):
            text += (
                f"; with as few positives as in screening {_percent(raw, 'ppv_screening', '.1%')} "
                "would be, if patients without cancer there were called as often as the test "
                "patients without it"
            )
        lines.append(f"{text}.")
    return lines


def _prevalence(table: pd.DataFrame) -> list[str]:
    lines = []
    for title, rows in table.groupby("title", sort=False):
        rarest = rows[rows["prevalence"] == rows["prevalence"].min()].set_index("corrected")
        corrected = rows.loc[rows["corrected"] == "yes", "ratio"]
        lines.append(
            f"**{title}**, where {100 * rarest['prevalence'].iloc[0]:.2g} % are positive: it "
            f"states {100 * rarest.loc['no', 'mean_probability']:.1f} % on average, "
            f"{rarest.loc['no', 'ratio']:.0f} times the true share; corrected for the prevalence, "
            f"{100 * rarest.loc['yes', 'mean_probability']:.2f} %. Over all these prevalences the "
            f"corrected mean is {corrected.min():.2f} to {corrected.max():.2f} times the true one."
        )
    return lines or ["Screening: this run has no calibrated scores per patient."]
