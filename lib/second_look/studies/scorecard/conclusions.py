"""The paper's four conclusions, each with a run's evidence for and against it.

The rules are low bars, named so that each can be judged by its numbers; notebook 08 states them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from second_look.outputs import Run
from second_look.paper import (
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    SUFFICIENT,
    SYNTHETIC,
    claim,
)
from second_look.records import is_out_of_date
from second_look.studies.scorecard.card import Results, format_measurement

FOR, AGAINST, OPEN = "for", "against", "undecided"
# Name -> table, from `read_tables`.
Tables = Mapping[str, pd.DataFrame]
# Tables of notebooks 04, 05 and 06.
SAMPLES, WITHOUT_LOOKING = "04_accuracy", "04_baselines"
FROC, DICE, WHOLE_IMAGES = "05_froc", "05_dice", "06_whole_image_table"
TABLES = (SAMPLES, WITHOUT_LOOKING, FROC, DICE, WHOLE_IMAGES)
# Predictions that say what each whole-image model started from.
STARTS = "06_scheme_b"
NEVER_SAW_A_PATCH = ("imagenet", "random")


class Measured(NamedTuple):
    """A value and its interval; NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def formatted(self) -> str:
        """As people read it."""
        if np.isnan(self.low):
            return f"{self.value:.3g}, too few patients for an interval"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


class Evidence(NamedTuple):
    """A measurement that bears on a conclusion.

    Attributes:
        source: The claim or the table that it stands in.
        text: In words and numbers.
        side: FOR, AGAINST or OPEN.
    """

    source: str
    text: str
    side: str


@dataclass(frozen=True)
class Conclusion:
    """One of the paper's four conclusions.

    Attributes:
        text: In our words.
        sources: Claims and tables whose measurements bear on it.
        evidence: Results and tables -> what they say; nothing where nothing was measured.
    """

    text: str
    sources: tuple[str, ...]
    evidence: Callable[[Results, Tables], list[Evidence]]


# The AUC of scores that know nothing.
CHANCE = Measured(0.5, 0.5, 0.5)


def read_tables(run: Run) -> dict[str, pd.DataFrame]:
    """What earlier notebooks left that bears on a conclusion, by name; only what is up to date."""
    paths = {name: run.current(f"tables/{name}.csv") for name in TABLES}
    starts = run.current(f"predictions/{STARTS}.parquet")
    tables = {name: pd.read_csv(path) for name, path in paths.items() if path}
    if starts:
        models = pd.read_parquet(starts, columns=["model", "start", "averaged"])
        tables[STARTS] = models.drop_duplicates(ignore_index=True)
    return tables


def apart(first: Measured, second: Measured) -> str:
    """Is one measurement higher (FOR) or lower (AGAINST) than another, their intervals apart?

    An interval that reaches the other says nothing, however low its value: too
    few patients have the same effect.
    """
    if first.low > second.high:
        return FOR
    return AGAINST if first.high < second.low else OPEN


def taught(samples: Measured, real: Measured, chance: float) -> str:
    """Do standard GANs fail: did samples teach what a classifier has to know of real patches?

    FOR where a classifier that learnt from samples is not above chance and clearly below one that
    learnt from real patches; AGAINST where it is above chance and not clearly below. Samples that
    teach something, but less, leave it open, and so do real patches that teach nothing either.

    Args:
        samples: Balanced accuracy on real patches, trained on samples only.
        real: The same, trained on the same number of real patches.
        chance: Without looking.
    """
    above_chance, below_real = samples.low > chance, samples.high < real.low
    if above_chance == below_real or np.isnan([*samples, *real]).any():
        return OPEN
    return AGAINST if above_chance else FOR


def _whole_images(_: Results, tables: Tables) -> list[Evidence]:
    """A whole-image model that never saw a patch and beats chance: patches are not necessary."""
    if not {WHOLE_IMAGES, STARTS} <= set(tables):
        return []
    models, areas = tables[STARTS], tables[WHOLE_IMAGES]
    # One that averages over mirror images is the same network once more.
    unseen = models[models["start"].isin(NEVER_SAW_A_PATCH) & ~models["averaged"].astype(bool)]
    areas = areas[(areas["unit"] == "image") & areas["model"].isin(unseen["model"])]
    turned = {FOR: AGAINST, AGAINST: FOR, OPEN: OPEN}
    evidence = []
    for row in areas.dropna(subset=["value"]).itertuples():
        area = Measured(row.value, row.low, row.high)
        text = f"AUC by image of a model never trained on patches: {area.formatted} ({row.model}, "
        text += f"{row.n:,} test images; chance 0.5)"
        evidence.append(Evidence(WHOLE_IMAGES, text, turned[apart(area, CHANCE)]))
    return evidence


def _gans(results: Results, tables: Tables) -> list[Evidence]:
    """What the samples look like, and what they teach."""
    evidence = [
        Evidence(
            str(result["claim"]), _evidence(result), FOR if result["value"] > SUFFICIENT else OPEN
        )
        for result in _results_of(results, "fig-2a", "fig-2b")
    ]
    if {SAMPLES, WITHOUT_LOOKING} <= set(tables):
        result = tables[SAMPLES]
        result = result[result["measure"] == "balanced_accuracy"]
        samples, real = (
            Measured(*result.loc[result[absent] == 0, ["value", "low", "high"]].iloc[0])
            for absent in ("real", "generated")
        )
        chance = float(tables[WITHOUT_LOOKING]["balanced_accuracy"].max())
        how = "".join(f"; {result['how']}" for result in _results_of(results, "gan-check"))
        text = f"balanced accuracy on real patches: {samples.formatted} trained on samples only, "
        text += f"{real.formatted} trained on the same number of real patches, "
        text += f"{chance:.3g} without looking at an image{how}"
        evidence.append(Evidence(SAMPLES, text, taught(samples, real, chance)))
    return evidence


def _transfer(results: Results, _: Tables) -> list[Evidence]:
    """A claim that was reproduced speaks for the conclusion that was drawn from it."""
    sides = {REPRODUCED: FOR, NOT_REPRODUCED: AGAINST}
    return [
        Evidence("transfer", _evidence(result), sides.get(str(result["verdict"]), OPEN))
        for result in _results_of(results, "transfer")
    ]


def _mask_rcnn(results: Results, tables: Tables) -> list[Evidence]:
    """Diagnosis by the AUCs against chance, location by FROC and masks against the baseline."""
    evidence = []
    for result in _results_of(results, "fig-3a", "fig-3b"):
        area = Measured(
            *(np.nan if result[key] is None else result[key] for key in Measured._fields)
        )
        evidence.append(Evidence(str(result["claim"]), _evidence(result), apart(area, CHANCE)))
    if FROC in tables:
        froc = tables[FROC]
        cell = {"target": "lesion", "rule": "centre", "by": "lesion", "false_positives": "1"}
        froc = froc[(froc[list(cell)].astype(str) == pd.Series(cell)).all(axis=1)]
        description = "lesions found at one false positive per image"
        evidence += _against_baseline(FROC, froc, "sensitivity", description)
    if DICE in tables:
        dice = tables[DICE]
        description = "Dice of the masks of hit lesions"
        # Each on the lesions that it hit itself: a baseline that hits the few plain ones may well
        # have the better masks.
        dice = dice[dice["measure"] == "dice"]
        evidence += _against_baseline(DICE, dice, "value", description)
    return evidence


def _against_baseline(
    source: str, table: pd.DataFrame, value: str, description: str
) -> list[Evidence]:
    """The first model of notebook 05 beside the last, its baseline; nothing where one is missing.

    Args:
        source: Name of the table.
        table: One row per model: model, low, high, n and the value.
        value: Name of its column.
        description: What was measured.
    """
    if len(table) < 2:
        return []
    model, baseline = table.iloc[0], table.iloc[-1]
    model_value, baseline_value = (
        Measured(*row[[value, "low", "high"]]) for row in (model, baseline)
    )
    if np.isnan([*model_value, *baseline_value]).any():
        return []
    text = f"{description}: {model_value.formatted} (n = {model['n']:,}, {model['model']}) against "
    text += f"{baseline_value.formatted} (n = {baseline['n']:,}, {baseline['model']})"
    return [Evidence(source, text, apart(model_value, baseline_value))]


CONCLUSIONS = (
    Conclusion(
        "Dividing images into patches is necessary on current hardware.",
        (WHOLE_IMAGES,),
        _whole_images,
    ),
    Conclusion(
        "Standard GANs fail on mammograms, for want of detail.",
        ("fig-2a", "fig-2b", SAMPLES),
        _gans,
    ),
    Conclusion("Transfer learning from ImageNet does not seem to help.", ("transfer",), _transfer),
    Conclusion(
        "Mask R-CNN is a fruitful way to locate and diagnose tumours.",
        ("fig-3a", "fig-3b", FROC, DICE),
        _mask_rcnn,
    ),
)


def table(results: Results, tables: Tables, *, synthetic: bool) -> pd.DataFrame:
    """The evidence of this run for and against each conclusion.

    Args:
        results: From `Run.results`.
        tables: From `read_tables`.
        synthetic: Whether the images are phantoms, which judge nothing.

    Returns:
        conclusion, source (claim or table), evidence, speaks.
    """
    rows = []
    current = [result for result in results if not is_out_of_date(result)]
    for conclusion in CONCLUSIONS:
        missing = Evidence(", ".join(conclusion.sources), _why_none(conclusion, results), OPEN)
        evidence = conclusion.evidence(current, tables)
        if synthetic:
            evidence = [item._replace(side=SYNTHETIC) for item in evidence]
        rows += [(conclusion.text, *item) for item in evidence or [missing]]
    return pd.DataFrame(rows, columns=["conclusion", "source", "evidence", "speaks"])


def _why_none(conclusion: Conclusion, results: Results) -> str:
    """Why there is no evidence: its notebooks are out of date, or it was not measured."""
    for row in filter(is_out_of_date, results):
        sources = (str(row["claim"]), str(row["notebook"])[:2])  # tables begin with the number
        if any(source.startswith(sources) for source in conclusion.sources):
            return str(row["verdict"])
    return NOT_MEASURED


def _results_of(results: Results, *claims: str) -> list[Mapping[str, Any]]:
    return [result for result in results if result["claim"] in claims]


def _evidence(result: Mapping[str, Any]) -> str:
    paper_claim = claim(str(result["claim"]))
    return f"{paper_claim.statement}: {format_measurement(paper_claim, result)} ({result['how']})"
