"""Free-response ROC: what share of the lesions is found, at how many false alarms an image.

A lesion is hit by a detection whose centre lies in its box ("centre"), or whose box shares at least
half with it ("iou": intersection over union of 0.5 or more). A detection that hits no lesion is a
false positive, on whatever image; further hits of one lesion are neither. The denominator of the
false positives is the number of images, with lesions and without, or of the normal ones alone. An
image that has a lesion without a known place is left out, because nothing on it can be called
false.

For the target "malignant" only malignant lesions count, and a detection on a benign one is false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.catalogue import patient_keys
from second_look.evaluation.detection_tables import boxes, lesion_scores, overlap
from second_look.evaluation.intervals import (
    CURVE_DRAWS,
    LEVEL,
    Estimate,
    Floats,
    Patients,
    Statistic,
    estimate,
    point_estimate,
    share,
    undefined,
)
from second_look.evaluation.resampling import replicate

Ints = npt.NDArray[np.int64]
HIT_IOU = 0.5
# Hit rule -> what it asks for, in words.
RULES = {"centre": "centre in the lesion's box", "iou": f"IoU ≥ {HIT_IOU:g}"}
# False positives an image at which the field states sensitivities.
RATES = (0.1, 0.3, 0.5, 1.0, 2.0, 4.0)


def pairs(
    detections: pd.DataFrame, truths: pd.DataFrame, rule: str, min_iou: float = HIT_IOU
) -> pd.DataFrame:
    """Which detection hits which lesion, for all images at once.

    Args:
        detections: Of detection_tables.DETECTIONS.
        truths: Of detection_tables.TRUTHS.
        rule: One of RULES.
        min_iou: Of a hit by the rule "iou".

    Returns:
        One row per hit: detection and truth (rows of the two tables, from 0), iou.

    Raises:
        ValueError: There is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"a hit rule must be one of {tuple(RULES)}. Got {rule!r}.")
    detection_keys = pd.DataFrame({"image_id": detections["image_id"].to_numpy()})
    truth_keys = pd.DataFrame({"image_id": truths["image_id"].to_numpy()})
    detection_keys["detection"], truth_keys["truth"] = (
        np.arange(len(detection_keys)),
        np.arange(len(truth_keys)),
    )
    candidates = detection_keys.merge(truth_keys, on="image_id")[["detection", "truth"]]
    first, second = boxes(detections)[candidates["detection"]], boxes(truths)[candidates["truth"]]
    candidates["iou"] = overlap(first, second)
    if rule == "iou":
        return candidates[candidates["iou"] >= min_iou].reset_index(drop=True)
    centre = (first[:, :2] + first[:, 2:]) / 2
    hit = ((centre >= second[:, :2]) & (centre < second[:, 2:])).all(axis=1)
    return candidates[hit].reset_index(drop=True)


@dataclass(frozen=True)
class Marks:
    """What a FROC curve is made of.

    Attributes:
        alarms: Scores of the false positives, falling, float64 (m,).
        alarm_patients: Their patients, int64 (m,).
        best: Highest score among the hits of each lesion (or image with lesions), −inf where it is
            missed, float64 (lesions,).
        lesion_patients: Their patients, int64 (lesions,).
        image_patients: Patients of the images of the denominator, int64 (images,).
        patients: How many there are.
        description: Rule and denominators, in words.
    """

    alarms: Floats
    alarm_patients: Ints
    best: Floats
    lesion_patients: Ints
    image_patients: Ints
    patients: int
    description: str

    @property
    def everybody(self) -> Patients:
        """The patients, by lesion, as intervals want them."""
        return Patients(self.lesion_patients, self.patients)


def marks(
    detections: pd.DataFrame,
    truths: pd.DataFrame,
    images: pd.DataFrame,
    *,
    target: str = "lesion",
    rule: str = "centre",
    by: str = "lesion",
    alarms_on: str = "all",
) -> Marks:
    """Sort detections into hits and false alarms.

    Args:
        detections: Of DETECTIONS, of these images; those of other images are passed over.
        truths: Of TRUTHS.
        images: Of IMAGES: the denominator.
        target: "lesion", or "malignant".
        rule: One of RULES.
        by: "lesion" counts lesions; "image" counts images with lesions, found if one is hit.
        alarms_on: "all" images, or "normal" ones, on which false alarms are counted.

    Raises:
        ValueError: There is no such rule, or no such way of counting.
    """
    if by not in ("lesion", "image") or alarms_on not in ("all", "normal"):
        raise ValueError(f"expected by lesion or image, on all or normal. Got {by}, {alarms_on}.")
    located = images[images["unlocated"] == 0]
    counted = located if alarms_on == "all" else located[located["label"] == "normal"]
    patients = Patients.from_ids(patient_keys(images))
    patient_of = pd.Series(patients.codes, index=images["image_id"])
    used = detections[detections["image_id"].isin(located["image_id"])]
    lesions = truths[truths["image_id"].isin(located["image_id"])]
    if target != "lesion":
        lesions = lesions[lesions["pathology"] == target]
    scores = lesion_scores(used, target)
    hits = pairs(used, lesions, rule)
    alarms = _false_positives(used, hits, scores, counted)
    best, image_ids = _best_hits(lesions, hits, scores, by)
    skipped = len(images) - len(located)
    return Marks(
        scores[alarms],
        patient_of[used["image_id"].iloc[alarms]].to_numpy(dtype=np.int64),
        best,
        patient_of[image_ids].to_numpy(dtype=np.int64),
        patient_of[counted["image_id"]].to_numpy(dtype=np.int64),
        patients.count,
        _in_words(rule, by, target, len(best), len(counted), alarms_on, skipped),
    )


def _false_positives(
    detections: pd.DataFrame, hits: pd.DataFrame, scores: Floats, counted: pd.DataFrame
) -> Ints:
    """Rows of the detections on counted images that hit nothing, by falling score, int64 (m,)."""
    false = detections["image_id"].isin(counted["image_id"]).to_numpy(copy=True)
    false[hits["detection"].to_numpy()] = False
    rows = np.flatnonzero(false)
    return rows[np.argsort(-scores[rows], kind="stable")]


def _best_hits(
    lesions: pd.DataFrame, hits: pd.DataFrame, scores: Floats, by: str
) -> tuple[Floats, pd.Series]:
    """Highest score among the hits of each lesion or image, −inf without any; their image ids."""
    best = np.full(len(lesions), -np.inf)
    np.maximum.at(best, hits["truth"].to_numpy(), scores[hits["detection"].to_numpy()])
    if by == "lesion":
        return best, lesions["image_id"]
    by_image = pd.Series(best).groupby(lesions["image_id"].to_numpy(), sort=False).max()
    return by_image.to_numpy(dtype=np.float64), pd.Series(by_image.index)


def _in_words(
    rule: str, by: str, target: str, lesions: int, images: int, alarms_on: str, left_out: int
) -> str:
    kind = "malignant " if target == "malignant" else ""
    unit = f"{kind}lesions" if by == "lesion" else f"images with {kind}lesions"
    normal = "normal " if alarms_on == "normal" else ""
    unlocated = f"{left_out} image{'s' * (left_out != 1)}"
    skipped = f"; {unlocated} with a lesion of unknown place left out" if left_out else ""
    return (
        f"hit: {RULES[rule]}; {lesions} {unit}; "
        f"false positives over {images} {normal}images{skipped}"
    )


def curve(marked: Marks) -> pd.DataFrame:
    """Every operating point: threshold (falling), false_positives an image, sensitivity."""
    hits = marked.best[np.isfinite(marked.best)]
    thresholds = np.unique(np.concatenate([hits, marked.alarms]))[::-1]
    alarms = np.searchsorted(-marked.alarms, -thresholds, side="right")
    found_lesions = np.searchsorted(-np.sort(hits)[::-1], -thresholds, side="right")
    return pd.DataFrame(
        {
            "threshold": np.append(np.inf, thresholds),
            "false_positives": np.append(0, alarms) / max(1, len(marked.image_patients)),
            "sensitivity": np.append(0, found_lesions) / max(1, len(marked.best)),
        }
    )


def sensitivity_statistic(marked: Marks, rates: Sequence[float] = RATES) -> Statistic:
    """Largest sensitivities at no more than these false positives an image, (draws, rates).

    The threshold moves with the draw. A rate that the detections never reach gives the share of
    the lesions that was hit at all.
    """
    limits = np.asarray(rates, dtype=np.float64)
    images = np.bincount(marked.image_patients, minlength=marked.patients).astype(np.float64)
    lesions = np.bincount(marked.lesion_patients, minlength=marked.patients).astype(np.float64)
    falling = np.argsort(-marked.best, kind="stable")
    falling = falling[np.isfinite(marked.best[falling])]
    owners = marked.lesion_patients[falling]
    # Alarms of one score come together: lesions count that score above the first one too many.
    lesions_above = np.searchsorted(-marked.best[falling], -marked.alarms, side="left")
    # Alarms beyond these are needed only where a draw has hardly any of the first.
    enough = int(3 * limits.max() * len(marked.image_patients)) + 100

    def sensitivities_of_draw(count: Floats) -> Floats:
        total, allowed = count @ lesions, limits * (count @ images) * (1 + 1e-12)
        if not total:
            return np.full(limits.shape, np.nan)
        alarms = np.cumsum(count[marked.alarm_patients[:enough]])
        if len(alarms) == enough and alarms[-1] <= allowed.max():
            alarms = np.cumsum(count[marked.alarm_patients])
        first = np.searchsorted(alarms, allowed, side="right")
        over = first < len(alarms)
        reached = np.full(limits.shape, len(owners))
        reached[over] = lesions_above[first[over]]
        shares: Floats = np.append(0.0, np.cumsum(count[owners]))[reached] / total
        return shares

    def statistic(counts: Floats) -> Floats:
        return np.stack([sensitivities_of_draw(count) for count in counts])

    return statistic


def sensitivities(
    marked: Marks,
    rates: Sequence[float] = RATES,
    *,
    seed: int,
    draws: int = CURVE_DRAWS,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Sensitivity at each rate of false positives an image, with its interval over patients.

    Returns:
        Rate as text -> estimate, and "mean" -> the mean over all rates.
    """
    names = [*(f"{rate:g}" for rate in rates), "mean"]
    patients = marked.everybody
    if not len(marked.best):
        return {name: undefined("no lesion among them", patients) for name in names}
    statistic = sensitivity_statistic(marked, rates)
    drawn = replicate({"froc": statistic}, patients.count, seed=seed, draws=draws)["froc"]
    value = point_estimate(statistic, patients)
    metric = share(np.isfinite(marked.best), patients, kind="patients with lesions")
    columns = [*zip(value, drawn.T, strict=True), (value.mean(), drawn.mean(axis=1))]
    return {
        name: estimate(float(number), draws_of_it, metric, patients, level)
        for name, (number, draws_of_it) in zip(names, columns, strict=True)
    }


def froc_table(
    detections: Mapping[str, pd.DataFrame],
    truths: pd.DataFrame,
    images: pd.DataFrame,
    *,
    seed: int,
    targets: Sequence[str] = ("lesion", "malignant"),
    draws: int = CURVE_DRAWS,
) -> pd.DataFrame:
    """Sensitivity at the usual rates for every model, target, rule and way of counting.

    Args:
        detections: Model -> its detections.
        truths: Of TRUTHS.
        images: Of IMAGES.
        seed: Of the draws.
        targets: "lesion", "malignant".
        draws: Bootstrap samples.

    Returns:
        model, target, rule, by, false_positives (an image, "mean" over all), sensitivity, low,
        high, n, description (rule and denominators in words).
    """
    rows = []
    for model, detections_of_model in detections.items():
        for target in targets:
            for rule, by in product(RULES, ("lesion", "image")):
                marked = marks(detections_of_model, truths, images, target=target, rule=rule, by=by)
                start = {"model": model, "target": target, "rule": rule, "by": by}
                rows += _froc_rows(marked, start, seed, draws)
    return pd.DataFrame(rows)


def _froc_rows(
    marked: Marks, start: Mapping[str, str], seed: int, draws: int
) -> list[dict[str, Any]]:
    return [
        {
            **start,
            "false_positives": rate,
            "sensitivity": sensitivity.value,
            "low": sensitivity.low,
            "high": sensitivity.high,
            "n": sensitivity.n,
            "description": marked.description,
        }
        for rate, sensitivity in sensitivities(marked, seed=seed, draws=draws).items()
    ]
