"""What the networks of a run learnt, on patients that none of them had seen.

A negative result says something about a method only if the same code can succeed. On phantoms,
whose truth is exact, every method has to; on real mammograms the same table shows which did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from second_look.evaluation.intervals import in_words
from second_look.paper import GENERATOR_NAMES, SUFFICIENT

# Tables of earlier notebooks that the rows are read from.
SAMPLES, IMAGES, LESIONS = "03_texture", "05_auc_images", "05_froc"
PATCHES, WHOLE_IMAGES = "06_learning_curve_table", "06_whole_image_table"
SOURCES = (SAMPLES, IMAGES, LESIONS, PATCHES, WHOLE_IMAGES)
# The table of notebook 08, which the report opens with.
TABLE = "08_positive_control"
YES, NOT_SHOWN = "yes", "not shown"
CHANCE = 0.5
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Skill:
    """One thing that a network has to learn, and how it did.

    Attributes:
        method: Of the paper.
        measure: What is measured on test patients.
        value, low, high: With its 95 % interval, of generators the range of the classes; NaN ends
            where there is none.
        n: Units that it is measured on.
        null: The value of what has learnt nothing.
        beside: What this null is.
        higher: Whether more is better.
        reason: Why there is no interval, or what the ends are.
    """

    method: str
    measure: str
    value: float
    low: float
    high: float
    n: int
    null: float
    beside: str = "chance"
    higher: bool = True
    reason: str = ""

    @property
    def learnt(self) -> str:
        """Yes only if the whole interval, or range, is on the better side of the null."""
        better = self.low > self.null if self.higher else self.high < self.null
        return YES if better else NOT_SHOWN


def skills(tables: Tables) -> list[Skill]:
    """What was learnt, in the order of the notebooks; nothing where nothing was measured.

    Args:
        tables: SOURCES, from `card.current_tables`.
    """
    readers: Sequence[tuple[str, Callable[[pd.DataFrame], list[Skill]]]] = (
        (SAMPLES, _samples),
        (LESIONS, _lesions),
        (IMAGES, _images),
        (PATCHES, _patches),
        (WHOLE_IMAGES, _whole_images),
    )
    return [skill for name, reader in readers if name in tables for skill in reader(tables[name])]


def table(measured: Sequence[Skill]) -> pd.DataFrame:
    """One row a skill: method, measure, value, low, high, n, null, beside, learnt, reason."""
    columns = ["method", "measure", "value", "low", "high", "n", "null", "beside", "reason"]
    rows = [{name: getattr(skill, name) for name in columns} for skill in measured]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(learnt=[skill.learnt for skill in measured])


def sentences(measured: pd.DataFrame, *, synthetic: bool) -> str:
    """The table as Markdown.

    Args:
        measured: From `table`.
        synthetic: Whether the patients are phantoms.
    """
    if measured.empty:
        return "Nothing that a network learnt has been measured yet."
    learnt = int((measured["learnt"] == YES).sum())
    patients = "phantom patients" if synthetic else "test patients"
    head = f"**{learnt} of {len(measured)} measures show that something was learnt**, on {patients}"
    lines = [
        f"- {row.method}, {row.measure}: "
        f"{in_words(row.value, row.low, row.high, '.2f', reason=_text(row.reason))} "
        f"({row.beside}: {row.null:.2f}): {row.learnt}"
        for row in measured.itertuples()
    ]
    return "\n".join([f"{head} that no network had seen:", "", *lines])


def _text(cell: object) -> str:
    return cell if isinstance(cell, str) else ""


def _samples(texture: pd.DataFrame) -> list[Skill]:
    """Samples of the generators: the distance of their texture, in floors, mean and range.

    One training gives a generator a class. Classes are no trainings, so their range is no interval.
    """
    learnt = []
    for architecture, rows in texture.groupby("architecture", sort=False):
        last = rows[rows["epoch"] == rows["epoch"].max()]
        ratios = last["swd"] / last["floor"]
        blind = bool((last["noise"] <= SUFFICIENT * last["floor"]).any())
        reason = "mere noise is as near: the measure cannot tell" if blind else "range of classes"
        low, high = (np.nan, np.nan) if blind else (ratios.min(), ratios.max())
        learnt.append(
            Skill(
                GENERATOR_NAMES.get(str(architecture), str(architecture)),
                "distance of its samples' texture, in floors", float(np.exp(np.log(ratios).mean())),
                low, high, n=int(last["samples"].sum()), null=SUFFICIENT,
                beside="most that is sufficient", higher=False, reason=reason,
            )
        )  # fmt: skip
    return learnt


def _lesions(froc: pd.DataFrame) -> list[Skill]:
    """Lesions at one false positive per image, beside the brightest blobs."""
    rows = froc[
        (froc["target"] == "lesion") & (froc["rule"] == "centre") & (froc["by"] == "lesion")
    ]
    rows = rows[rows["false_positives"].astype(str).isin(["1", "1.0"])]
    detector, blobs = rows.iloc[0], rows[rows["model"] == "brightest blob"].iloc[0]
    return [
        Skill(
            "Mask R-CNN", "share of lesions found at one false positive per image",
            detector["sensitivity"], detector["low"], detector["high"], n=int(detector["n"]),
            null=float(blobs["sensitivity"]), beside="brightest blobs",
            reason=_text(detector.get("reason")),
        )
    ]  # fmt: skip


def _images(areas: pd.DataFrame) -> list[Skill]:
    row = areas[areas["target"] == "malignant"].iloc[0]
    return [
        Skill(
            "Mask R-CNN", "AUC per image, malignant or not", row["auc"], row["low"], row["high"],
            n=int(row["n"]), null=CHANCE, reason=_text(row.get("reason")),
        )
    ]  # fmt: skip


def _patches(curve: pd.DataFrame) -> list[Skill]:
    """The macro AUC of the random start with the most patches."""
    rows = curve[(curve["measure"] == "macro_auc") & (curve["start"] == "random")]
    if rows.empty:
        return []
    row = rows.loc[rows["patches"].idxmax()]
    return [
        Skill(
            "patch classifier", f"macro AUC of four classes, {int(row['patches']):,} patches",
            row["value"], row["low"], row["high"], n=int(row["n"]), null=CHANCE,
            reason=_text(row.get("reason")),
        )
    ]  # fmt: skip


def _whole_images(areas: pd.DataFrame) -> list[Skill]:
    """Scheme A by its highest score, scheme B from the patch model at the last of its sizes."""
    by_image = areas[areas["unit"] == "image"]
    from_patches = by_image[by_image["model"].str.contains(r"^scheme B.*start patches$")]
    chosen = {
        "scheme A": by_image[by_image["model"] == "scheme A, highest"],
        "scheme B": from_patches.tail(1),
    }
    return [
        Skill(
            name, f"AUC per image, malignant or not ({row['model']})", row["value"], row["low"],
            row["high"], n=int(row["n"]), null=CHANCE, reason=_text(row.get("reason")),
        )
        for name, rows in chosen.items()
        for _, row in rows.iterrows()
    ]  # fmt: skip
