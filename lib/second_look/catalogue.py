"""The catalogue: one table of images, one of lesions, one of what could not be used.

Every reader in `sources` ends here and everything after it starts here, so this is the one
definition of label order, kinds, splits and columns. Absent text is "", absent numbers are NaN/NA.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from second_look.errors import DataError, LeakageError, first_few
from second_look.files import read_parquet, write_parquet
from second_look.quarantine import QUARANTINE, Code
from second_look.source_code import content_hash

# Order of suspicion: the label of an image is the worst of its lesions, and the code of a class
# in every model, table and figure is its index in this tuple.
LABELS = ("normal", "benign_without_callback", "benign", "malignant")
KINDS = ("mass", "calcification", "distortion", "asymmetry", "other")
SPLITS = ("train", "val", "test")
LATERALITIES = ("", "L", "R")
# Photometric interpretation (PS3.3 C.7.6.3.1.2): the lowest level of a file is white, or black.
PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2")

_text = str
# Digests of the tables that passed `_check` in this process.
_passed: set[str] = set()
IMAGES = pa.DataFrameSchema(
    {
        "image_id": pa.Column(_text, pa.Check.str_length(min_value=1), unique=True),
        "dataset": pa.Column(_text, pa.Check.str_length(min_value=1)),
        "patient_id": pa.Column(_text, pa.Check.str_length(min_value=1)),
        "laterality": pa.Column(_text, pa.Check.isin(LATERALITIES)),
        "view": pa.Column(_text),
        # Size with square pixels; a stretched file is resampled to it when it is read.
        "rows": pa.Column(int, pa.Check.ge(1)),
        "cols": pa.Column(int, pa.Check.ge(1)),
        # Of the brightest level that a pixel can have; 0 where the file does not say.
        "bits": pa.Column(int, pa.Check.in_range(0, 16)),
        # MONOCHROME1: the file does not say that its lowest level is white. "": as the file says.
        "photometric": pa.Column(_text, pa.Check.isin(("", *PHOTOMETRIC))),
        "pixel_spacing_mm": pa.Column(float, pa.Check.gt(0), nullable=True),
        "density": pa.Column(_text),
        "label": pa.Column(_text, pa.Check.isin(LABELS)),
        "split": pa.Column(_text, pa.Check.isin(("", *SPLITS))),
        "path": pa.Column(_text, pa.Check.str_length(min_value=1)),
    },
    strict=True,
    ordered=True,
    coerce=True,
)
LESIONS = pa.DataFrameSchema(
    {
        "lesion_id": pa.Column(_text, pa.Check.str_length(min_value=1), unique=True),
        "image_id": pa.Column(_text, pa.Check.str_length(min_value=1)),
        "kind": pa.Column(_text, pa.Check.isin(KINDS)),
        "pathology": pa.Column(_text, pa.Check.isin(LABELS[1:])),
        "assessment": pa.Column("Int64", pa.Check.in_range(0, 6), nullable=True),
        "subtlety": pa.Column("Int64", pa.Check.in_range(0, 5), nullable=True),
        # Box and outline in px of the square-pixel image; all empty where the source gives none.
        "row_min": pa.Column(float, nullable=True),
        "col_min": pa.Column(float, nullable=True),
        "row_max": pa.Column(float, nullable=True),
        "col_max": pa.Column(float, nullable=True),
        "mask_path": pa.Column(_text),
        "circle_row": pa.Column(float, nullable=True),
        "circle_col": pa.Column(float, nullable=True),
        "circle_radius": pa.Column(float, pa.Check.gt(0), nullable=True),
        "area_px": pa.Column(float, pa.Check.gt(0), nullable=True),
    },
    strict=True,
    ordered=True,
    coerce=True,
)


@dataclass(frozen=True)
class Catalogue:
    """Images, their lesions and the quarantine, each a table of the schema of that name."""

    images: pd.DataFrame
    lesions: pd.DataFrame
    quarantine: pd.DataFrame

    @classmethod
    def from_rows(
        cls,
        images: Iterable[Mapping[str, Any]],
        lesions: Iterable[Mapping[str, Any]] = (),
        quarantine: Iterable[Mapping[str, Any]] = (),
    ) -> Catalogue:
        """Tables from records; absent columns become empty. The result is checked."""
        return cls(
            table(IMAGES, images), table(LESIONS, lesions), table(QUARANTINE, quarantine)
        ).checked()

    def checked(self) -> Catalogue:
        """This catalogue after every check that needs no pixels.

        Raises:
            DataError: A column, a value, an id or a reference is wrong; names the rows.
        """
        images = _check(IMAGES, self.images, "images")
        lesions = _check(LESIONS, self.lesions, "lesions")
        quarantine = _check(QUARANTINE, self.quarantine, "quarantine")
        orphans = lesions.loc[~lesions["image_id"].isin(images["image_id"]), "lesion_id"]
        if len(orphans):
            raise DataError(
                f"lesions without an image: {first_few(orphans)}.", location="table lesions"
            )
        result = Catalogue(images, lesions, quarantine)
        _check_labels(result)
        _check_boxes(result)
        return result

    def with_quarantine(self, rows: Iterable[Mapping[str, Any]]) -> Catalogue:
        """This catalogue with more rows in its quarantine."""
        added = table(QUARANTINE, rows)
        return replace(self, quarantine=pd.concat([self.quarantine, added], ignore_index=True))

    def without_images(self, image_ids: Iterable[str]) -> Catalogue:
        """This catalogue without some images and their lesions (say why in the quarantine)."""
        removed = set(image_ids)
        return replace(
            self,
            images=self.images[~self.images["image_id"].isin(removed)].reset_index(drop=True),
            lesions=self.lesions[~self.lesions["image_id"].isin(removed)].reset_index(drop=True),
        )

    def lesions_of(self, image_id: str) -> pd.DataFrame:
        """The rows of `lesions` that belong to one image."""
        return self.lesions[self.lesions["image_id"] == image_id]

    def save(self, folder: Path) -> list[Path]:
        """Write images.parquet, lesions.parquet and quarantine.parquet; returns the paths."""
        paths = []
        for name in ("images", "lesions", "quarantine"):
            paths.append(folder / f"{name}.parquet")
            write_parquet(paths[-1], getattr(self, name))
        return paths

    @classmethod
    def load(cls, folder: Path) -> Catalogue:
        """Read what `save` wrote, and check it.

        Raises:
            OutputError: A table is gone or damaged.
            DataError: The tables were changed, or written by another version.
        """
        names, remedy = ("images", "lesions", "quarantine"), "Run notebook 01_data_survey again."
        paths = (folder / f"{name}.parquet" for name in names)
        catalogue = cls(*(read_parquet(path, remedy=remedy) for path in paths))
        try:
            return catalogue.checked()
        except DataError as error:
            raise DataError(error.problem, f"{folder}, {error.location}", remedy) from None


def table(schema: pa.DataFrameSchema, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Records -> a table with the schema's columns in its order, absent cells filled in.

    Raises:
        DataError: A record has a column that the schema does not know.
    """
    records = list(rows)
    unknown = {key for record in records for key in record} - set(schema.columns)
    if unknown:
        raise DataError(
            f"unknown columns {sorted(unknown)}.", location=f"table of {next(iter(schema.columns))}"
        )
    frame = pd.DataFrame(records, columns=list(schema.columns))
    for name, column in schema.columns.items():
        if isinstance(column.dtype.type, pd.StringDtype):
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
        else:
            frame[name] = pd.to_numeric(frame[name]).astype(column.dtype.type)
    return frame


def merge(catalogues: Iterable[Catalogue]) -> Catalogue:
    """Several data sets as one catalogue.

    Raises:
        DataError: Two of them use the same image_id or lesion_id.
    """
    parts = list(catalogues)
    if not parts:
        raise DataError("no catalogue to merge.")
    return Catalogue(
        *(
            pd.concat([getattr(part, name) for part in parts], ignore_index=True)
            for name in ("images", "lesions", "quarantine")
        )
    ).checked()


def whole_number(text: str, maximum: int) -> int | None:
    """A whole number from 0 to `maximum` as people write it; None for any other text."""
    # int() raises for very long numbers and for digits such as ².
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) + 3):
        return None
    return int(text) if int(text) <= maximum else None


def worst(labels: Iterable[str]) -> str:
    """The most suspicious label; "normal" without any."""
    return max(labels, key=LABELS.index, default="normal")


def patient_keys(table: pd.DataFrame) -> pd.Series:
    """A unique key of each patient, from dataset and patient_id: ids repeat across data sets."""
    keys: pd.Series = table["dataset"] + "\n" + table["patient_id"]
    return keys


def check_no_patient_leak(images: pd.DataFrame) -> None:
    """Every patient in one split only.

    Raises:
        LeakageError: Names the patients that are in several splits.
    """
    used = images[images["split"] != ""]
    splits = used.groupby(["dataset", "patient_id"])["split"].nunique()
    leaking = [patient for _, patient in splits[splits > 1].index]
    if leaking:
        raise LeakageError(
            f"{len(leaking)} patients are in more than one split: {first_few(leaking)}.",
            location="table images, column split",
            remedy="Use clean_official_split, or let assign_splits draw the splits.",
        )


def clean_official_split(catalogue: Catalogue) -> Catalogue:
    """Remove the patients of the test set from training; the test set stays as it is.

    The removed images are counted in the quarantine.
    """
    images = catalogue.images
    key = patient_keys(images)
    tested = set(key[images["split"] == "test"])
    leaking = images[key.isin(tested) & (images["split"] != "test")]
    rows = [
        {
            "dataset": row.dataset,
            "image_id": row.image_id,
            "file": row.path,
            "effect": "image left out",
            "code": Code.PATIENT_IN_TEST_SET.value,
            "reason": f"patient {row.patient_id} is in the official test set too",
        }
        for row in leaking.itertuples()
    ]
    return catalogue.without_images(leaking["image_id"]).with_quarantine(rows)


def assign_splits(
    catalogue: Catalogue, *, seed: int, val_share: float, test_share: float
) -> Catalogue:
    """Give every image a split, patient by patient, stratified by the patient's worst label.

    Images that have a split keep it: with an official test set only validation is drawn, from the
    patients of its training set. Without one, test and validation are drawn.

    Args:
        catalogue: Images with or without splits, but within a data set all or none of them.
        seed: Of the draw; the same patients are drawn whatever the order of the rows.
        val_share: Share of the patients that may be drawn from, 0 to 1.
        test_share: The same for test; unused where there is an official test set.

    Raises:
        LeakageError: The official split has a patient in training and test.
        DataError: A data set has splits for only some of its images.
    """
    if not 0 <= val_share < 1 or not 0 <= test_share < 1 or val_share + test_share >= 1:
        raise ValueError(f"shares must leave something to train on. Got {val_share}, {test_share}.")
    check_no_patient_leak(catalogue.images)
    images = catalogue.images.copy()
    for dataset, part in images.groupby("dataset", sort=True):
        has_split = part["split"] != ""
        if has_split.any() and not has_split.all():
            raise DataError(
                f"{int((~has_split).sum())} of {len(part)} images have no split.",
                location=f"data set {dataset}",
                remedy="Give every image a split, or none of them.",
            )
        rng = np.random.default_rng([seed, *dataset.encode()])
        if has_split.all():
            open_part = part[part["split"] == "train"]
            shares = {} if (part["split"] == "val").any() else {"val": val_share}
        else:
            open_part, shares = part, {"test": test_share, "val": val_share}
        drawn = _draw_patients(open_part, shares, rng)
        images.loc[open_part.index, "split"] = open_part["patient_id"].map(drawn)
    check_no_patient_leak(images)
    return replace(catalogue, images=images)


def _draw_patients(
    images: pd.DataFrame, shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, str]:
    """patient_id -> split: the same shares of the patients of every label; the others train."""
    patients = images.groupby("patient_id", sort=True)["label"].agg(worst)
    drawn = dict.fromkeys(patients.index, "train")
    for label in LABELS:
        of_label = rng.permutation(patients.index[patients == label].to_numpy(dtype=object))
        start = 0
        for split, share in shares.items():
            count = round(share * of_label.size)
            drawn.update(dict.fromkeys(of_label[start : start + count], split))
            start += count
    return drawn


def split_counts(images: pd.DataFrame) -> pd.DataFrame:
    """Images and patients of every label by split: columns split, label, images, patients."""
    counts = images.groupby(["split", "label"]).agg(
        images=("image_id", "size"), patients=("patient_id", "nunique")
    )
    full = pd.MultiIndex.from_product([SPLITS, LABELS], names=["split", "label"])
    return counts.reindex(full, fill_value=0).reset_index()


def _check(schema: pa.DataFrameSchema, frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with the schema's types; one that has passed before passes again without a look.

    pandera needs 1 to 5 ms a column, however few rows there are: 0.1 s a catalogue. The same tables
    come by again and again, from a reader, a merge, the disk.
    """
    mark = _digest(name, frame)
    if mark and mark in _passed:
        return frame.copy(deep=False)
    try:
        validated = schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        worst_case = error.failure_cases.iloc[0]
        problem = f"column {worst_case['column']}: {worst_case['check']} does not hold"
        if pd.notna(worst_case["index"]):
            problem += f" for {worst_case['failure_case']!r} in row {int(worst_case['index'])}"
        else:
            problem += f" ({worst_case['failure_case']})"
        count = len(error.failure_cases)
        ending = f"; {count - 1} more like it." if count > 1 else "."
        raise DataError(problem + ending, location=f"table {name}") from None
    _passed.add(_digest(name, validated))
    return validated


def _digest(name: str, frame: pd.DataFrame) -> str:
    """Changes with name, columns, types and content of a table; "" where it has no types yet."""
    if any(map(pd.api.types.is_object_dtype, frame.dtypes)):
        return ""
    rows = pd.util.hash_pandas_object(frame).to_numpy().tobytes()
    return content_hash([repr((name, *frame.dtypes.items())).encode(), rows])


def _check_labels(catalogue: Catalogue) -> None:
    """An image is at least as suspicious as the worst of its lesions, and normal without any."""
    worst_of_image = catalogue.lesions.groupby("image_id")["pathology"].agg(worst)
    expected = catalogue.images["image_id"].map(worst_of_image)
    wrong = catalogue.images[expected.notna() & (expected != catalogue.images["label"])]
    if len(wrong):
        raise DataError(
            f"the label is not the worst of the image's lesions: {first_few(wrong['image_id'])}.",
            location="table images, column label",
        )


def _check_boxes(catalogue: Catalogue) -> None:
    """Boxes have an area and lie in their image."""
    boxes = catalogue.lesions.dropna(subset=["row_min", "col_min", "row_max", "col_max"])
    boxes = boxes.merge(catalogue.images[["image_id", "rows", "cols"]], on="image_id")
    wrong = boxes[
        (boxes["row_min"] < 0)
        | (boxes["col_min"] < 0)
        | (boxes["row_max"] > boxes["rows"])
        | (boxes["col_max"] > boxes["cols"])
        | (boxes["row_min"] >= boxes["row_max"])
        | (boxes["col_min"] >= boxes["col_max"])
    ]
    if len(wrong):
        raise DataError(
            f"the box is empty or reaches outside the image: {first_few(wrong['lesion_id'])}.",
            location="table lesions",
        )
