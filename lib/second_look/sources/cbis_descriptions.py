"""The four case description CSVs of CBIS-DDSM: one row per region of interest (ROI)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from second_look.catalogue import whole_number, worst
from second_look.errors import DataError
from second_look.files import read_bytes
from second_look.sources.csv_rows import csv_rows

ADDRESS = "https://doi.org/10.7937/K9/TCIA.2016.7O02S9CY"
# Kind of lesion -> how its CSVs call it.
KINDS = {"mass": "mass", "calcification": "calc"}
SPLITS = ("train", "test")
PATHOLOGIES = {
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign_without_callback",
    "MALIGNANT": "malignant",
}
SIDES = {"LEFT": "L", "RIGHT": "R"}
_VIEWS = ("CC", "MLO")
DENSITIES = ("1", "2", "3", "4")
_LARGEST = {"assessment": 6, "subtlety": 5}
# Column here -> column of the CSV; spaces count as underscores, since the files use both.
_OF_BOTH = {
    "patient_id": "patient_id",
    "density": "breast_density",
    "side": "left_or_right_breast",
    "view": "image_view",
    "abnormality_id": "abnormality_id",
    "abnormality_type": "abnormality_type",
    "assessment": "assessment",
    "pathology": "pathology",
    "subtlety": "subtlety",
    "image_path": "image_file_path",
    "crop_path": "cropped_image_file_path",
    "mask_path": "ROI_mask_file_path",
}
_OF_KIND = {
    "mass": {"form": "mass_shape", "spread": "mass_margins"},
    "calcification": {"form": "calc_type", "spread": "calc_distribution"},
}
_PATHS = {"image": "image_path", "crop": "crop_path", "mask": "mask_path"}


def csv_names() -> list[str]:
    """The official names of the four CSVs."""
    return [
        f"{name}_case_description_{split}_set.csv" for name in KINDS.values() for split in SPLITS
    ]


def read_descriptions(csvs: Sequence[Path]) -> pd.DataFrame:
    """Read case description CSVs; kind and split of the lesions follow from the official name.

    Returns:
        One row an ROI: csv (file name), row (as a spreadsheet counts: the header is row 1), kind,
        split (train, test), patient_id, side (LEFT, RIGHT), view (CC, MLO), image_key
        (patient_side_view), abnormality_id, abnormality_type, pathology (label of the catalogue),
        assessment (0 to 6) and subtlety (0 to 5; both NaN where they are nothing of the kind),
        density (as written: 0 means unknown), form (shape of a mass, type of calcifications),
        spread (margins, distribution), image_path, crop_path, mask_path (as written),
        image_series, crop_series, mask_series (SeriesInstanceUIDs from these paths),
        unknown_values ("", or which values are taken as unknown), problem ("", or why the row
        cannot be used) and repeats (the row of the same CSV that it repeats wholly, or 0).

    Raises:
        MissingDataError: A file is not there.
        DataError: A file has another name, is no UTF-8, or lacks a column or a value.
    """
    rows = [row for path in csvs for row in _rows(path)]
    names = ["csv", "row", "kind", "split", "image_key", *_OF_BOTH, *_OF_KIND["mass"]]
    series = [f"{name}_series" for name in _PATHS]
    frame = pd.DataFrame(rows, columns=[*names, *series, "unknown_values", "problem"])
    frame = frame.astype(dict.fromkeys(_LARGEST, float))
    named, keys = frame["image_series"] != "", frame.groupby("image_series")["image_key"]
    shared = named & (keys.transform("nunique") > 1) & (frame["problem"] == "")
    frame.loc[shared, "problem"] = "rows of another image name the same file"
    contents = [name for name in frame if name != "row"]
    first_row = frame.groupby(contents, dropna=False)["row"].transform("min")
    return frame.assign(repeats=first_row.where(first_row < frame["row"], 0).astype(int))


def survey_descriptions(descriptions: pd.DataFrame) -> pd.DataFrame:
    """Count what the CSVs hold; rows with a problem are counted separately, repeated ones once.

    An image is a (patient, side, view), however many files and CSVs show it.

    Args:
        descriptions: From `read_descriptions`.

    Returns:
        Columns what and value (a whole number), one row per figure.
    """
    unusable = descriptions["problem"] != ""
    usable = descriptions[~unusable & (descriptions["repeats"] == 0)]
    figures = {"rows that cannot be used": int(unusable.sum())}
    for (kind, split), part in usable.groupby(["kind", "split"], sort=False):
        figures |= _sizes(part, f"{kind} {split}")
    for split in SPLITS:
        figures |= _sizes(usable[usable["split"] == split], f"merged {split}")
    figures |= _sizes(usable, "all") | _leaks(usable) | _images(usable) | _oddities(usable)
    return pd.DataFrame(list(figures.items()), columns=["what", "value"])


def _sizes(part: pd.DataFrame, name: str) -> dict[str, int]:
    """ROIs, images and patients of one part, and the malignant ones among them."""
    malignant = part[part["pathology"] == "malignant"]
    figures = {
        f"{name}: ROIs": len(part),
        f"{name}: images": part["image_key"].nunique(),
        f"{name}: patients": part["patient_id"].nunique(),
        f"{name}: malignant images": malignant["image_key"].nunique(),
        f"{name}: patients with a malignancy": malignant["patient_id"].nunique(),
    }
    for label in PATHOLOGIES.values():
        figures[f"{name}: ROIs {label}"] = int((part["pathology"] == label).sum())
    return figures


def _leaks(usable: pd.DataFrame) -> dict[str, int]:
    """What the merged official split has in training and test, and the cleaned training set."""
    train, test = (usable[usable["split"] == split] for split in SPLITS)
    figures = {
        "patients in train and test": len(set(train["patient_id"]) & set(test["patient_id"])),
        "images in train and test": len(set(train["image_key"]) & set(test["image_key"])),
    }
    for train_kind, test_kind in (("calcification", "mass"), ("mass", "calcification")):
        train_patients = set(train.loc[train["kind"] == train_kind, "patient_id"])
        test_patients = set(test.loc[test["kind"] == test_kind, "patient_id"])
        key = f"patients in {train_kind} train and {test_kind} test"
        figures[key] = len(train_patients & test_patients)
    clean = train[~train["patient_id"].isin(test["patient_id"])]
    return figures | _sizes(clean, "cleaned train")


def _images(usable: pd.DataFrame) -> dict[str, int]:
    """Breasts and images, and how many are special."""
    malignant = usable["pathology"] == "malignant"
    breast = usable["patient_id"] + " " + usable["side"]
    worst_of = usable.groupby(["image_key", "kind"])["pathology"].agg(worst).unstack()
    in_both = worst_of.dropna() == "malignant" if len(worst_of.columns) == 2 else worst_of.iloc[:0]
    lesions = usable.groupby("image_key")["pathology"].agg(["size", "nunique"])
    # Labelling an image by its first row is done CSV by CSV.
    first = usable.assign(malignant=malignant).groupby(["csv", "image_key"])["malignant"]
    return {
        "breasts": breast.nunique(),
        "breasts with a malignancy": breast[malignant].nunique(),
        "breasts with one view only": int((usable.groupby(breast)["view"].nunique() == 1).sum()),
        "files of images": usable["image_series"].nunique(),
        "images with several ROIs": int((lesions["size"] > 1).sum()),
        "most ROIs on an image": int(lesions["size"].max()) if len(lesions) else 0,
        "images of mixed pathology": int((lesions["nunique"] > 1).sum()),
        "malignant images missed by the first row": int((first.max() & ~first.first()).sum()),
        "images with masses and calcifications": len(in_both),
        "of these malignant by one kind only": int((in_both.nunique(axis=1) == 2).sum()),
    }


def _oddities(usable: pd.DataFrame) -> dict[str, int]:
    """Rows with misleading values or paths."""
    malignant = usable[usable["pathology"] == "malignant"]
    names = {name: usable[column].str.split("/").str[-1] for name, column in _PATHS.items()}
    both_zero = (names["crop"] == "000000.dcm") & (names["mask"] == "000000.dcm")
    return {
        "ROIs of density 0": int((usable["density"] == "0").sum()),
        "ROIs of subtlety 0": int((usable["subtlety"] == 0).sum()),
        "malignant ROIs of assessment 0": int((malignant["assessment"] == 0).sum()),
        "malignant ROIs of assessment 1 or 2": int(malignant["assessment"].isin([1, 2]).sum()),
        "ROIs that name 000000.dcm for crop and mask": int(both_zero.sum()),
        "ROIs with crop and mask in one series": int(
            (usable["crop_series"] == usable["mask_series"]).sum()
        ),
    }


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The ROIs of one CSV."""
    official = dict(zip(csv_names(), product(KINDS, SPLITS), strict=True))
    if path.name not in official:
        expected = ", ".join(official)
        raise DataError(f"expected one of the names {expected}.", path, "Rename the file.")
    kind, split = official[path.name]
    try:
        text = read_bytes(path, f"Get it at {ADDRESS}").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8 ({error.reason}).", path, f"Download it again: {ADDRESS}"
        ) from None
    remedy = f"Download the file again: {ADDRESS}"
    first, *lines = [values for _, values in csv_rows(text, path, remedy=remedy)] or [[]]
    names = ["_".join(name.split()) for name in first]
    columns = _OF_BOTH | _OF_KIND[kind]
    for column in columns.values():
        if column not in names:
            raise DataError(
                f"no column {column!r} among {', '.join(names) or 'none'}.",
                path,
                remedy,
            )
    indices = {name: names.index(column) for name, column in columns.items()}
    for number, values in enumerate(lines, start=2):
        if not any(value.strip() for value in values):
            continue
        if len(values) != len(names):
            raise DataError(
                f"expected {len(names)} values. Got {len(values)}.",
                f"{path} row {number}",
                remedy,
            )
        row = {name: values[index].strip() for name, index in indices.items()}
        yield {"csv": path.name, "row": number, "kind": kind, "split": split} | _parsed(row, kind)


def _parsed(row: dict[str, str], kind: str) -> dict[str, Any]:
    """One ROI with its series, numbers and problems."""
    parsed: dict[str, Any] = dict(row)
    parsed["image_key"] = f"{row['patient_id']}_{row['side']}_{row['view']}"
    for name, column in _PATHS.items():
        parsed[f"{name}_series"] = _series(row[column])
    unknown_values = []
    for name, largest in _LARGEST.items():
        number = whole_number(row[name], largest)
        parsed[name] = np.nan if number is None else number
        if number is None:
            unknown_values.append(f"{name} {row[name]!r} is no whole number from 0 to {largest}")
    if row["density"] not in DENSITIES:
        unknown_values.append(f"density {row['density']!r} is none of {', '.join(DENSITIES)}")
    parsed["pathology"] = PATHOLOGIES.get(row["pathology"].upper(), "")
    parsed["unknown_values"] = "; ".join(unknown_values)
    checks = {
        "patient_id is empty": not row["patient_id"],
        f"the side {row['side']!r} is none of {', '.join(SIDES)}": row["side"] not in SIDES,
        f"the view {row['view']!r} is none of {', '.join(_VIEWS)}": row["view"] not in _VIEWS,
        "abnormality_id is empty": not row["abnormality_id"],
        f"the type {row['abnormality_type']!r} is not {kind!r}": row["abnormality_type"] != kind,
        f"unknown pathology {row['pathology']!r}": not parsed["pathology"],
        "the image file path names no series": not parsed["image_series"],
    }
    parsed["problem"] = "; ".join(text for text, is_so in checks.items() if is_so)
    return parsed


def _series(path: str) -> str:
    """SeriesInstanceUID, the third part of `<Subject>/<StudyUID>/<SeriesUID>/000000.dcm`."""
    parts = path.replace("\\", "/").split("/")
    return parts[2].strip() if len(parts) > 2 else ""
