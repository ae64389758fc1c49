"""The paper's question to a patch and to an image: does it have a given type of lesion, or not?

There are as many questions as types. `GIVEN` asks them one by one and takes the mean of their AUCs:
only what tells units apart counts, so a rule that sees no picture reaches 0.5. `POOLED` puts the
questions of all types into one curve. There the frequency of a type ranks the questions, and a
rule that sees no picture (`BLIND`) exceeds 0.5: its AUC is the chance level of that curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation.comparisons import auc_difference
from second_look.evaluation.detection_tables import lesion_scores
from second_look.evaluation.intervals import DRAWS, Estimate, Floats, Patients
from second_look.evaluation.roc import Bools, auc_estimate, roc_band, roc_curve

GIVEN, POOLED = "a given type", "a given type, pooled"
# The rule that answers every question with the frequency of its type among training units.
BLIND = "frequency of types in training"
COLUMNS = [
    "target", "auc", "low", "high", "n", "positives", "patients", "reason", "chance", "gain",
    "gain_low", "gain_high",
]  # fmt: skip


def type_questions(
    units: pd.DataFrame, positive: Mapping[str, Bools], scores: Mapping[str, Floats]
) -> pd.DataFrame:
    """One row per unit and type of lesion.

    Args:
        units: dataset, patient_id and split of each unit; n rows.
        positive: Type -> which units have it, bool (n,).
        scores: Type -> score of each unit, float64 (n,).

    Returns:
        patient_id, split, type, positive, score; the units in the same order for every type.
    """
    facts = {"patient_id": patient_keys(units).to_numpy(), "split": units["split"].to_numpy()}
    tables = [
        pd.DataFrame(facts | {"type": name, "positive": truth, "score": scores[name]})
        for name, truth in positive.items()
    ]
    return pd.concat(tables, ignore_index=True)


def image_types(
    detections: pd.DataFrame, truths: pd.DataFrame, images: pd.DataFrame
) -> pd.DataFrame:
    """`type_questions` of images: the score is the highest of the image's detections, else 0.

    Args:
        detections: Of detection_tables.DETECTIONS.
        truths: Of detection_tables.TRUTHS.
        images: Of detection_tables.IMAGES.
    """
    scores: dict[str, Floats] = {}
    for name in LABELS[1:]:
        best = pd.Series(lesion_scores(detections, name)).groupby(detections["image_id"].to_numpy())
        scores[name] = images["image_id"].map(best.max()).fillna(0.0).to_numpy(dtype=np.float64)
    return type_questions(images, types_of_images(images, truths), scores)


def types_of_images(images: pd.DataFrame, truths: pd.DataFrame) -> dict[str, Bools]:
    """Type -> which images (n,) have a lesion of it; one without a location counts by its label."""
    return {
        name: (
            (images["label"] == name)
            | images["image_id"].isin(set(truths.loc[truths["pathology"] == name, "image_id"]))
        ).to_numpy()
        for name in LABELS[1:]
    }


def blind(types: pd.DataFrame, frequencies: Mapping[str, float]) -> pd.DataFrame:
    """The questions as a rule answers them that sees no picture.

    Args:
        types: Of `type_questions`.
        frequencies: Type -> share of the training units that have it.
    """
    return types.assign(score=types["type"].map(frequencies))


def auc_row(
    target: str, area: Estimate, positives: int, chance: float = 0.5, gain: Estimate | None = None
) -> dict[str, object]:
    """An AUC beside its chance level as a row with the columns COLUMNS.

    Args:
        target: What is asked.
        area: The AUC.
        positives: Units that are positive.
        chance: AUC of a rule that sees no picture.
        gain: AUC less that of the rule, paired over patients; for constant chance it is computed.
    """
    ends = (area.value, area.low, area.high)
    gains = tuple(end - chance for end in ends) if gain is None else (
        gain.value, gain.low, gain.high
    )  # fmt: skip
    facts = (area.n, positives, area.patients, area.reason)
    return dict(zip(COLUMNS, (target, *ends, *facts, chance, *gains), strict=True))


def type_table(
    types: pd.DataFrame, without_picture: pd.DataFrame, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """AUCs of "this type or not": the mean over types, all pooled, and of each type.

    Args:
        types: Of `type_questions`, test units.
        without_picture: The same questions, answered by `blind`.
        seed: Of the draws.
        draws: Bootstrap samples.

    Returns:
        COLUMNS; n counts units, not questions; gain is over the chance level of the same row.
        GIVEN takes the mean over the types that some test units have, and others do not.
    """
    scores, truth, patients = _arrays(types)
    rows = []
    asked = {GIVEN: _occurring(truth)}
    asked |= {f"type {name}": [code] for code, name in enumerate(types["type"].unique())}
    for target, codes in asked.items():
        area = auc_estimate(scores[codes], truth[codes], patients, seed=seed, draws=draws)
        rows.append(auc_row(target, area, int(truth[codes].sum())))
    pooled, pooled_truth, pooled_patients = _pooled(types)
    blind_scores, _, _ = _pooled(without_picture)
    area, chance = (
        auc_estimate(answers, pooled_truth, pooled_patients, seed=seed, draws=draws)
        for answers in (pooled, blind_scores)
    )
    gain = auc_difference(
        pooled, blind_scores, pooled_truth, pooled_patients, seed=seed, draws=draws
    )
    area = replace(area, n=len(patients.codes))
    rows.insert(1, auc_row(POOLED, area, int(truth.sum()), chance.value, gain))
    return pd.DataFrame(rows, columns=COLUMNS)


def given_questions(types: pd.DataFrame) -> tuple[Floats, Bools, Patients]:
    """What GIVEN averages: scores and truth of each type that occurs, (types, units), patients."""
    scores, truth, patients = _arrays(types)
    codes = _occurring(truth)
    return scores[codes], truth[codes], patients


def type_curve(types: pd.DataFrame, target: str, *, seed: int) -> pd.DataFrame | None:
    """The ROC curve of GIVEN (mean over types) or POOLED, of roc.roc_band; None if undefined."""
    scores, truth, patients = _pooled(types) if target == POOLED else given_questions(types)
    if not truth.any() or truth.all():
        return None
    return roc_band(scores, truth, patients, seed=seed)


def blind_curve(without_picture: pd.DataFrame, target: str) -> pd.DataFrame:
    """The ROC curve of `blind`, whose answers are the same for all units.

    Straight lines join its few points, as answers that are tied are ordered by chance.

    Returns:
        specificity (falling), sensitivity.
    """
    if target == GIVEN:
        return pd.DataFrame({"specificity": [1.0, 0.0], "sensitivity": [0.0, 1.0]})
    scores, truth, _ = _pooled(without_picture)
    return roc_curve(scores, truth)[["specificity", "sensitivity"]]


def _occurring(truth: Bools) -> list[int]:
    """Types (rows) that some units have and others do not; where there is none, the first."""
    codes = np.flatnonzero(truth.any(axis=1) & ~truth.all(axis=1)).tolist()
    return codes or [0]


def _arrays(types: pd.DataFrame) -> tuple[Floats, Bools, Patients]:
    """Scores and truth, both (types, units), and the patient of each unit."""
    parts = [rows for _, rows in types.groupby("type", sort=False)]
    scores: npt.NDArray[np.float64] = np.stack([part["score"].to_numpy(float) for part in parts])
    truth: Bools = np.stack([part["positive"].to_numpy(bool) for part in parts])
    return scores, truth, Patients.from_ids(parts[0]["patient_id"])


def _pooled(types: pd.DataFrame) -> tuple[Floats, Bools, Patients]:
    """Scores, truth and patient of every question, (types × units,)."""
    patients = Patients.from_ids(types["patient_id"])
    return types["score"].to_numpy(float), types["positive"].to_numpy(bool), patients
