"""Tables of predictions taken apart: one group a model, question and seed, as arrays by split.

A table with probabilities of the classes answers two questions: which class is it, and is it
malignant or not. Each becomes a group of its own, so that every group is judged in one way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation.calibration import two_columns
from second_look.evaluation.intervals import Floats, Patients
from second_look.evaluation.predictions import binary_scores, classes, positive, probabilities

KEYS = ("file", "model", "unit", "target", "seed")
# Target of a table -> the questions that it answers.
QUESTIONS = {"label": ("label", "malignant"), "malignant": ("malignant",), "lesion": ("lesion",)}


@dataclass(frozen=True)
class Part:
    """The units of one split.

    Attributes:
        probabilities: Of the group's classes, (n, k); of two, the positive one comes second.
        classes: The true ones, int64 (n,).
        ids: Data set and patient of each, str (n,).
        image_ids: The image that each is, or lies in; of a breast or patient its first one, str
            (n,).
    """

    probabilities: Floats
    classes: npt.NDArray[np.int64]
    ids: npt.NDArray[np.str_]
    image_ids: npt.NDArray[np.str_]

    @property
    def patients(self) -> Patients:
        """The patient of each unit."""
        return Patients.from_ids(self.ids)


@dataclass(frozen=True)
class Group:
    """What one model says to one question.

    Attributes:
        file: Table that it comes from.
        model: Its name.
        unit: What is judged: patch, image, breast, patient.
        target: The question: "label" (which class), "malignant" or "lesion" (or not).
        seed: Of the model's training.
        names: Of the classes that occur; the others' probabilities are left out.
        left_out: Mean probability of the classes that are left out.
        architecture: Of the network; "" where the table does not say.
        parts: "val" and "test" -> their units; a split without units is missing.
    """

    file: str
    model: str
    unit: str
    target: str
    seed: int
    names: tuple[str, ...]
    left_out: float
    architecture: str
    parts: Mapping[str, Part]

    @property
    def key(self) -> dict[str, object]:
        """The columns KEYS by which tables name this group."""
        return {name: getattr(self, name) for name in KEYS}

    @property
    def binary(self) -> bool:
        """Whether the question is one of yes or no."""
        return self.target != "label"

    @property
    def title(self) -> str:
        """The group in a few words, for figures."""
        question = {"label": "which class"}.get(self.target, f"{self.target} or not")
        return f"{self.model}, {self.unit}: {question}"


def groups(tables: Mapping[str, pd.DataFrame]) -> list[Group]:
    """Every model, unit, question and seed of the tables that `predictions.load_all` found.

    Training units are passed over: nothing is fitted to them here, nothing judged by them.
    """
    result = []
    for file, table in tables.items():
        held_out = table[table["split"] != "train"]
        rows_by_key = dict(iter(held_out.groupby(["model", "unit", "seed", "target"])))
        for (model, unit, seed, target), rows in rows_by_key.items():
            for question in QUESTIONS[target]:
                if question == target or (model, unit, seed, question) not in rows_by_key:
                    result.append(_group(rows, file, model, unit, question, int(seed)))
    return result


def _group(rows: pd.DataFrame, file: str, model: str, unit: str, target: str, seed: int) -> Group:
    architectures = rows["architecture"].unique() if "architecture" in rows else [""]
    codes, shares, names, left_out = _answers(rows, target)
    ids = patient_keys(rows).to_numpy(dtype=str)
    image_ids = rows["image_id"].to_numpy(dtype=str)
    splits = rows["split"].to_numpy(dtype=str)
    return Group(
        file=file,
        model=model,
        unit=unit,
        target=target,
        seed=seed,
        names=names,
        left_out=left_out,
        architecture=str(architectures[0]) if len(architectures) == 1 else "",
        parts={
            str(split): Part(
                *(values[splits == split] for values in (shares, codes, ids, image_ids))
            )
            for split in np.unique(splits)
        },
    )


def _answers(
    rows: pd.DataFrame, target: str
) -> tuple[npt.NDArray[np.int64], Floats, tuple[str, ...], float]:
    """True classes, probabilities, names of the classes, mean probability left out."""
    if target != "label":
        truth = positive(rows["label"], target).astype(np.int64)
        return truth, two_columns(binary_scores(rows, target)), (f"not {target}", target), 0.0
    codes, shares = classes(rows), probabilities(rows)
    present = np.isin(np.arange(len(LABELS)), codes)
    if present.sum() < 2:  # nothing to tell apart: kept as it is
        present[:] = True
    shares_of_present = shares[:, present]
    sums = shares_of_present.sum(axis=1, keepdims=True)
    # A model that gives nothing to the classes that occur does not tell them apart.
    scaled = np.where(
        sums > 0, shares_of_present / np.where(sums > 0, sums, 1.0), 1 / present.sum()
    )
    places = np.cumsum(present) - 1
    names = tuple(name for name, is_present in zip(LABELS, present, strict=True) if is_present)
    return places[codes], scaled, names, float(shares[:, ~present].sum(axis=1).mean())
