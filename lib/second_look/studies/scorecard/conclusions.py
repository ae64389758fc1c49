"""The paper's four conclusions, each with a run's evidence for and against it.

The rules are low bars, named so that each can be judged by its numbers; notebook 08 states them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from second_look.claims import claim
from second_look.files import read_parquet
from second_look.outputs import Run
from second_look.records import is_out_of_date
from second_look.studies.scorecard.card import Results, current_tables, format_measurement
from second_look.verdicts import (
    HIGHER,
    LOWER,
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    SYNTHETIC,
    head,
    luck,
)

FOR, AGAINST, OPEN = "for", "against", "undecided"
# Name -> table, from `read_tables`.
Tables = Mapping[str, pd.DataFrame]
# Tables of notebooks 04, 05 and 06. Two methods on the same patients are compared by differences
# that these notebooks took in pairs, never by whether their intervals overlap.
SAMPLES, WITHOUT_LOOKING = "04_accuracy", "04_baselines"
SAMPLES_OVER_REAL, OVER_BLOBS = "04_samples_against_real", "05_against_baseline"
WHOLE_IMAGES = "06_whole_image_table"
TABLES = (SAMPLES, WITHOUT_LOOKING, SAMPLES_OVER_REAL, OVER_BLOBS, WHOLE_IMAGES)
_OVER_BLOBS = {
    "auc": "AUC per image, malignant or not",
    "sensitivity": "share of lesions found at one false positive per image",
    "dice": "Dice of the masks of lesions that both hit",
}
# The AUC of scores that know nothing.
CHANCE = 0.5
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
            return f"{self.value:.3g}, no interval"
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


def read_tables(run: Run) -> dict[str, pd.DataFrame]:
    """What earlier notebooks left that bears on a conclusion, by name; only what is up to date."""
    starts = run.current(f"predictions/{STARTS}.parquet")
    tables = current_tables(run, TABLES)
    if starts:
        models = read_parquet(starts, columns=["model", "start", "averaged"])
        tables[STARTS] = models.drop_duplicates(ignore_index=True)
    return tables


def side(measured: Measured, null: float) -> str:
    """Is a measurement above (FOR) or below (AGAINST) the value of no effect, with its interval?

    An interval that reaches it says nothing, however low its value: too few patients have the same
    effect.

    Args:
        measured: Or a difference that was taken in pairs.
        null: 0.5 for an AUC, 0 for a difference.
    """
    if measured.low > null:
        return FOR
    return AGAINST if measured.high < null else OPEN


def taught(samples: Measured, over_real: Measured, chance: float) -> str:
    """Do standard GANs fail: did samples teach what a classifier has to know of original patches?

    FOR where a classifier that learnt from samples is not above chance and clearly below one that
    learnt from original patches; AGAINST where it is above chance and not clearly below. Samples
    that teach something, but less, leave it open, and so do original patches that teach nothing.

    Args:
        samples: Balanced accuracy on original patches, trained on samples only.
        over_real: The same less that of as many original patches, paired.
        chance: Without looking.
    """
    above_chance, below_real = samples.low > chance, over_real.high < 0
    if above_chance == below_real or np.isnan([*samples, *over_real]).any():
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
        evidence.append(Evidence(WHOLE_IMAGES, text, turned[side(area, CHANCE)]))
    return evidence


def _gans(results: Results, tables: Tables) -> list[Evidence]:
    """What the samples look like, and what they teach."""
    evidence = _by_verdict(results, "fig-2a", "fig-2b")
    if {SAMPLES, WITHOUT_LOOKING, SAMPLES_OVER_REAL} <= set(tables):
        samples_rows, differences = tables[SAMPLES], tables[SAMPLES_OVER_REAL]
        samples_rows = samples_rows[samples_rows["measure"] == "balanced_accuracy"]
        samples = _measured(samples_rows[samples_rows["real"] == 0].iloc[0])
        differences = differences[differences["measure"] == "balanced_accuracy"]
        over_real = _measured(differences.iloc[0])
        chance = float(tables[WITHOUT_LOOKING]["balanced_accuracy"].max())
        how = "".join(f"; {result['how']}" for result in _results_of(results, "gan-check"))
        text = (
            f"balanced accuracy on original patches: {samples.formatted} trained on samples only, "
        )
        text += f"{over_real.formatted} compared with the same number of original patches, "
        text += f"{chance:.3g} without looking at an image{how}"
        hasty = luck(int(differences.iloc[0]["trainings"]), "what samples teach")
        answer = OPEN if hasty else taught(samples, over_real, chance)
        evidence.append(Evidence(SAMPLES, f"{text}; {hasty}" if hasty else text, answer))
    return evidence


def _transfer(results: Results, _: Tables) -> list[Evidence]:
    """A claim that was reproduced speaks for the conclusion that was drawn from it."""
    return _by_verdict(results, "transfer")


def _by_verdict(results: Results, *claims: str) -> list[Evidence]:
    """Reproduced speaks for the conclusion, refuted against it, by the rule of the scorecard."""
    sides = {REPRODUCED: FOR, NOT_REPRODUCED: AGAINST, HIGHER: AGAINST, LOWER: AGAINST}
    return [
        Evidence(
            str(result["claim"]), _evidence(result), sides.get(head(str(result["verdict"])), OPEN)
        )
        for result in _results_of(results, *claims)
    ]


def _mask_rcnn(results: Results, tables: Tables) -> list[Evidence]:
    """Diagnosis by the AUCs against chance, location by FROC and masks against the baseline."""
    evidence = []
    for result in _results_of(results, "fig-3a", "fig-3b"):
        area = Measured(
            *(np.nan if result[key] is None else result[key] for key in Measured._fields)
        )
        evidence.append(Evidence(str(result["claim"]), _evidence(result), side(area, CHANCE)))
    if OVER_BLOBS in tables:
        for row in tables[OVER_BLOBS].dropna(subset=["low", "high"]).itertuples():
            gain = Measured(row.value, row.low, row.high)
            text = f"{_OVER_BLOBS[row.measure]}: {gain.formatted} more than the brightest blobs "
            text += f"(n = {row.n:,}, paired over patients)"
            evidence.append(Evidence(OVER_BLOBS, text, side(gain, 0)))
    return evidence


def _measured(row: pd.Series) -> Measured:
    return Measured(*(float(row[name]) for name in Measured._fields))


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
        ("fig-3a", "fig-3b", OVER_BLOBS),
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
