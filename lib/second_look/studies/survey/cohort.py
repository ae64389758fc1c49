"""Whose mammograms these are: flow of images and patients, baseline table, reference standard.

What STARD-AI, TRIPOD+AI and CLAIM 2024 ask of every study before its first result.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from second_look.catalogue import KINDS, LABELS, SPLITS, patient_keys
from second_look.evaluation import expected_intervals
from second_look.preparing import splits
from second_look.preparing.dataset import Dataset
from second_look.quarantine import Code
from second_look.studies.survey.standards import REFERENCE_STANDARDS, UNKNOWN_STANDARD

LEFT_OUT = "image left out"
# Stages of `flow`; the splits follow them.
READ, EXCLUDED, USED = "in the source", "left out", "used"


def reference_standards(dataset: Dataset) -> pd.DataFrame:
    """What the labels of each data set rest on: dataset, labels, outlines, source and licence."""
    names = sorted(dataset.catalogue.images["dataset"].unique())
    rows = [(name, *REFERENCE_STANDARDS.get(name, UNKNOWN_STANDARD)) for name in names]
    return pd.DataFrame(rows, columns=["dataset", "labels", "outlines", "source and licence"])


def flow(dataset: Dataset) -> pd.DataFrame:
    """From what was read to the splits: how many images and patients, and who was left out why.

    Returns:
        stage (READ, EXCLUDED, USED, or a split), reason (of EXCLUDED, else ""), images, patients
        (NaN where unreadable images do not say whose they are), positives (images with a
        malignancy), positive_patients (both NaN where unknown).
    """
    images = dataset.catalogue.images
    excluded = _excluded(dataset)
    nan = float("nan")
    rows: list[tuple[str, str, float, float, float, float]] = [
        (READ, "", len(images) + sum(excluded.values()), nan, nan, nan)
    ]
    rows += [(EXCLUDED, reason, count, nan, nan, nan) for reason, count in excluded.items()]
    rows.append((USED, "", *_counts(images)))
    rows += [(split, "", *_counts(images[images["split"] == split])) for split in SPLITS]
    columns = ["stage", "reason", "images", "patients", "positives", "positive_patients"]
    return pd.DataFrame(rows, columns=columns)


def _excluded(dataset: Dataset) -> dict[str, int]:
    """Reason -> images left out for it; each image once, for the first reason."""
    rows = dataset.catalogue.quarantine
    rows = rows[rows["effect"] == LEFT_OUT]
    unnamed = rows["image_id"] == ""
    item = rows["image_id"].mask(unnamed, rows["file"] + " " + rows["row"])
    rows = rows.assign(item=item).drop_duplicates(["dataset", "item"])
    counts = rows["code"].value_counts()
    texts = {code.value: code.text for code in Code}
    return {texts[str(code)]: int(count) for code, count in counts.items()}


def _counts(images: pd.DataFrame) -> tuple[int, int, int, int]:
    """Images, patients, malignant images, patients with one."""
    keys, malignant = patient_keys(images), images["label"] == "malignant"
    return len(images), keys.nunique(), int(malignant.sum()), keys[malignant].nunique()


def baseline(dataset: Dataset) -> pd.DataFrame:
    """Characteristics of the images and lesions in each split, as in a paper's first table.

    Returns:
        characteristic, level, and a column for each split and all: counts with the share of the
        split in per cent, or median [quartiles].
    """
    images = dataset.catalogue.images
    lesions = _described_lesions(dataset)
    groups = {split: images["split"] == split for split in SPLITS} | {"all": images["split"] != ""}
    members = {name: images[chosen] for name, chosen in groups.items()}
    marked = {
        name: lesions[lesions["image_id"].isin(part["image_id"])] for name, part in members.items()
    }
    rows = [
        (
            "patients",
            "",
            {name: f"{patient_keys(part).nunique():,}" for name, part in members.items()},
        ),
        ("images", "", {name: f"{len(part):,}" for name, part in members.items()}),
    ]
    rows += _levels("worst label of the image", "label", members, LABELS)
    for characteristic, column in (("breast density", "density"), ("view", "view")):
        rows += _levels(characteristic, column, members)
    rows += _levels("side", "laterality", members)
    rows.append(("lesions", "", {name: f"{len(part):,}" for name, part in marked.items()}))
    rows += _levels("kind of lesion", "kind", marked, KINDS)
    rows += _levels("pathology of the lesion", "pathology", marked, LABELS[1:])
    rows += _levels("BI-RADS assessment", "assessment", marked)
    rows.append(
        ("diameter of the lesion (mm)", "", {n: _median(p["mm"]) for n, p in marked.items()})
    )
    share = {name: _median(100 * part["share_of_breast"]) for name, part in marked.items()}
    rows.append(("lesion area (% of the breast)", "", share))
    rows.append(("age, ethnicity, scanner", "", dict.fromkeys(groups, "not recorded")))
    table = [{"characteristic": name, "level": level, **cells} for name, level, cells in rows]
    return pd.DataFrame(table)


def _described_lesions(dataset: Dataset) -> pd.DataFrame:
    """Lesions with the diameter (mm) of a disc of their area, and their share of the breast."""
    measured = dataset.prepared.lesions[["lesion_id", "area_px", "share_of_breast", "code"]]
    lesions = dataset.catalogue.lesions.drop(columns="area_px").merge(measured, on="lesion_id")
    spacing = dataset.catalogue.images.set_index("image_id")["pixel_spacing_mm"]
    area = lesions["area_px"].where(lesions["code"] > 0)
    diameter = 2 * np.sqrt(area / np.pi) * lesions["image_id"].map(spacing)
    share = lesions["share_of_breast"].where(lesions["code"] > 0)
    return lesions.assign(mm=diameter, share_of_breast=share)


def _levels(
    characteristic: str,
    column: str,
    groups: dict[str, pd.DataFrame],
    order: tuple[str, ...] = (),
) -> list[tuple[str, str, dict[str, str]]]:
    """A row for each value of a column: its count and share in each group."""
    values = {name: part[column].astype("string").fillna("") for name, part in groups.items()}
    present = pd.unique(pd.concat(values.values()))
    levels = [value for value in order if value in present]
    levels += sorted(set(present) - set(levels), key=lambda value: (value == "", value))
    rows = []
    for level in levels:
        counts = {name: int((part == level).sum()) for name, part in values.items()}
        cells = {
            name: f"{count:,} ({100 * count / max(len(values[name]), 1):.0f} %)"
            for name, count in counts.items()
        }
        rows.append((characteristic, (level or "not given").replace("_", " "), cells))
    return rows


def _median(values: pd.Series) -> str:
    """Median [quartiles] of the values that are there, and how many are missing."""
    present = values.dropna()
    if present.empty:
        return "not given"
    low, middle, high = present.quantile([0.25, 0.5, 0.75])
    missing = len(values) - len(present)
    note = f", {missing:,} unknown" if missing else ""
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]{note}"


def expected_precision(dataset: Dataset) -> tuple[pd.DataFrame, str]:
    """What the test patients can show of “malignant or not”, as a table and in words."""
    images = dataset.catalogue.images
    test = images[images["split"] == "test"]
    positives, negatives = expected_intervals.patients_by_class(
        patient_keys(test).to_numpy(dtype=str), (test["label"] == "malignant").to_numpy()
    )
    table = expected_intervals.table(positives, negatives)
    return table, expected_intervals.statement(positives, negatives)


def later_notebooks(dataset: Dataset) -> pd.DataFrame:
    """Which notebooks can work with these images: notebook, can_run, reason."""
    located = int((dataset.prepared.lesions["code"] > 0).sum())
    return splits.later_notebooks(dataset.catalogue.images, located)
