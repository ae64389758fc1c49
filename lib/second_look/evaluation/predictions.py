"""What models say, as a table: the only way from a network to a metric.

One row per patch, image, breast or patient and model, with the truth beside it. Everything in
`evaluation` and `figures` works from such tables, so a figure can be redrawn and a metric tested
without a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from second_look.catalogue import LABELS, SPLITS
from second_look.errors import DataError, OutputError

# What a row is about.
UNITS = ("patch", "image", "breast", "patient")
# What a score is for: the class among LABELS, a malignant lesion, or any lesion at all.
TARGETS = ("label", "malignant", "lesion")
CLASS_SCORES = tuple(f"score_{label}" for label in LABELS)
# How far probabilities may miss 1 in sum: networks in half precision write three digits.
SUM_TOLERANCE = 1e-2

_score = pa.Column(float, pa.Check.in_range(0, 1), nullable=True)
SCHEMA = pa.DataFrameSchema(
    {
        "dataset": pa.Column(str, pa.Check.str_length(min_value=1)),
        "image_id": pa.Column(str),
        "patient_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "split": pa.Column(str, pa.Check.isin(SPLITS)),
        "unit": pa.Column(str, pa.Check.isin(UNITS)),
        "target": pa.Column(str, pa.Check.isin(TARGETS)),
        "model": pa.Column(str, pa.Check.str_length(min_value=1)),
        "seed": pa.Column(int, pa.Check.ge(0)),
        # The truth: worst label of the unit.
        "label": pa.Column(str, pa.Check.isin(LABELS)),
        # For target "label": probabilities of the classes, which sum to 1; else NaN.
        **dict.fromkeys(CLASS_SCORES, _score),
        # For the other targets: probability that the unit is positive; else NaN.
        "score": _score,
    },
    # A patch has its place beside that, a detection its box.
    strict=False,
    coerce=True,
)


def checked(predictions: pd.DataFrame, source: object = "predictions") -> pd.DataFrame:
    """The table after every check.

    Args:
        predictions: Columns of SCHEMA, others may follow.
        source: Names the table in errors.

    Raises:
        DataError: A column is missing, a value is out of range, a score is missing, or
            probabilities do not sum to one; names the row.
    """
    try:
        table = SCHEMA.validate(predictions, lazy=True)
    except pa.errors.SchemaErrors as error:
        case = error.failure_cases.iloc[0]
        row = f", row {int(case['index'])}" if pd.notna(case["index"]) else ""
        raise DataError(
            f"{case['column'] or 'table'}: {case['check']} does not hold for "
            f"{case['failure_case']!r}{row}.",
            source,
        ) from None
    by_class = table["target"] == "label"
    _check_rows(by_class | table["score"].notna(), "there is no score", source)
    sums = table.loc[by_class, list(CLASS_SCORES)].sum(axis=1, skipna=False)
    sums_to_one = (sums - 1).abs() <= SUM_TOLERANCE
    _check_rows(sums_to_one, "the probabilities of the classes do not sum to one", source)
    return table


def _check_rows(holds: pd.Series, problem: str, source: object) -> None:
    if not holds.all():
        wrong = holds.index[~holds]
        further = f", and {len(wrong) - 1} more rows" if len(wrong) > 1 else ""
        raise DataError(f"{problem} in row {wrong[0]}{further}.", source)


def from_classes(
    units: pd.DataFrame,
    probabilities: npt.ArrayLike,
    *,
    unit: str,
    model: str,
    seed: int,
    **facts: object,
) -> pd.DataFrame:
    """The table of a model that gives every class a probability.

    Args:
        units: dataset, image_id, patient_id, split, label; other columns are kept.
        probabilities: (n, len(LABELS)).
        unit: One of UNITS.
        model: Its name in figures.
        seed: Of its training.
        facts: More columns, the same in every row, such as the architecture.
    """
    scores = dict(zip(CLASS_SCORES, np.asarray(probabilities, dtype=np.float64).T, strict=True))
    return _table(units, {**scores, "score": np.nan}, unit, "label", model, seed, facts)


def from_scores(
    units: pd.DataFrame,
    scores: npt.ArrayLike,
    *,
    unit: str,
    target: str,
    model: str,
    seed: int,
    **facts: object,
) -> pd.DataFrame:
    """The table of a model that gives one probability, (n,), that a unit is positive."""
    columns = {**dict.fromkeys(CLASS_SCORES, np.nan), "score": np.asarray(scores, np.float64)}
    return _table(units, columns, unit, target, model, seed, facts)


def _table(
    units: pd.DataFrame,
    scores: Mapping[str, object],
    unit: str,
    target: str,
    model: str,
    seed: int,
    facts: Mapping[str, object],
) -> pd.DataFrame:
    named = {"unit": unit, "target": target, "model": model, "seed": seed}
    return checked(units.reset_index(drop=True).assign(**named, **scores, **facts))


def combine(predictions: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Scores of images as scores of breasts or patients.

    The views of a breast are averaged, as two readings of the same tissue; a patient is as
    suspicious as the more suspicious of the two breasts. The label is the worst one.

    Args:
        predictions: Of images, of one target, with column laterality.
        unit: "breast" or "patient".

    Returns:
        Binary scores for "malignant", one row per unit and model.

    Raises:
        ValueError: There is no such unit, or the scores are for another target.
    """
    if unit not in UNITS[2:]:
        raise ValueError(f"unit must be one of {UNITS[2:]}. Got {unit!r}.")
    images = predictions.assign(score=binary_scores(predictions, "malignant"))
    images["rank"] = classes(images)
    shared = ["dataset", "patient_id", "split", "model", "seed"]
    facts = [name for name in ("architecture", "start") if name in images]
    ways = {"score": ("score", "mean"), "rank": ("rank", "max"), "image_id": ("image_id", "min")}
    ways |= {name: (name, "first") for name in facts}
    breasts = images.groupby([*shared, "laterality"], as_index=False, sort=True).agg(**ways)
    units = breasts
    if unit == "patient":
        ways["score"] = ("score", "max")
        units = breasts.groupby(shared, as_index=False, sort=True).agg(**ways)
    units["label"] = [LABELS[rank] for rank in units["rank"]]
    units = units.drop(columns="rank").assign(unit=unit, target="malignant")
    return checked(units.assign(**dict.fromkeys(CLASS_SCORES, np.nan)))


def classes(predictions: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Place of the true label in LABELS, int64 (n,)."""
    codes: npt.NDArray[np.int64] = (
        predictions["label"].map(LABELS.index).to_numpy(dtype=np.int64, na_value=-1)
    )
    return codes


def probabilities(predictions: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Probabilities of the classes, float64 (n, len(LABELS)); NaN for targets of another kind."""
    scores: npt.NDArray[np.float64] = predictions[list(CLASS_SCORES)].to_numpy(dtype=np.float64)
    return scores


def positive(labels: Iterable[str], target: str) -> npt.NDArray[np.bool_]:
    """Which units are positive for a target, bool (n,).

    Args:
        labels: Of catalogue.LABELS.
        target: "malignant", or "lesion" for anything but normal.

    Raises:
        ValueError: It is another target, which has no positives.
    """
    if target not in TARGETS[1:]:
        raise ValueError(f"only {TARGETS[1:]} have positives. Got {target!r}.")
    names = np.asarray(list(labels), dtype=str)
    result: npt.NDArray[np.bool_] = (
        names == "malignant" if target == "malignant" else names != "normal"
    )
    return result


def binary_scores(predictions: pd.DataFrame, target: str) -> npt.NDArray[np.float64]:
    """Probability that each unit is positive for a target, float64 (n,).

    Rows with probabilities of classes give the sum over the positive ones.

    Raises:
        ValueError: A row's score is for another target.
    """
    positive_labels = positive(LABELS, target)
    foreign_targets = sorted(set(predictions["target"]) - {"label", target})
    if foreign_targets:
        raise ValueError(
            f"scores for {target!r} cannot come from those for {foreign_targets[0]!r}."
        )
    summed = probabilities(predictions)[:, positive_labels].sum(axis=1)
    by_class = (predictions["target"] == "label").to_numpy()
    scores: npt.NDArray[np.float64] = predictions["score"].to_numpy(dtype=np.float64)
    return np.where(by_class, summed, scores)


def load_all(folder: Path) -> dict[str, pd.DataFrame]:
    """File name without ending -> predictions, for every table of this kind in a folder.

    Tables of another kind, such as windows or detections, are passed over.

    Raises:
        OutputError: There is no such folder.
        DataError: A table of predictions does not hold what it should.
    """
    if not folder.is_dir():
        raise OutputError(f"{folder} is not there: run the notebooks that write predictions first.")
    import pyarrow.parquet as pq

    tables = {}
    for path in sorted(folder.glob("*.parquet")):
        if set(SCHEMA.columns) <= set(pq.read_schema(path).names):
            tables[path.stem] = checked(pd.read_parquet(path), path)
    return tables
