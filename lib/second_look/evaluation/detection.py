"""Detections measured: scores of images and patches, mean average precision, masks, groups.

An image's score is the highest of its detections, for any lesion or for a malignant one; 0 where
nothing was found. A patch's score is the highest of the detections that count for it, by the rule
by which lesions count for patches: the window holds a given share of the box, or the box covers a
given share of the window.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation.detection_tables import BOX, boxes, lesion_scores, unpack_mask
from second_look.evaluation.froc import HIT_IOU, marks, pairs
from second_look.evaluation.intervals import (
    DRAWS,
    Estimate,
    Floats,
    Patients,
    bootstrap_mean,
    undefined,
)
from second_look.evaluation.lesion_types import COLUMNS, auc_row, type_questions
from second_look.evaluation.predictions import CLASS_SCORES, TARGETS, checked, positive
from second_look.evaluation.roc import auc_estimate
from second_look.preparing.patches import LabelRule

# Side of the grid on which two masks are compared.
_GRID = 224
# Lesions by the longest side of their box, mm.
SIZES = {"below 10 mm": (0, 10), "10 to 20 mm": (10, 20), "20 mm and more": (20, np.inf)}


def image_scores(
    detections: pd.DataFrame, images: pd.DataFrame, *, model: str, seed: int
) -> pd.DataFrame:
    """Predictions of every image, for each target: its highest score.

    Args:
        detections: Of detection_tables.DETECTIONS.
        images: Of detection_tables.IMAGES.
        model: Name for the table.
        seed: Of the model's training.

    Returns:
        A table of predictions.SCHEMA, unit "image", targets "malignant" and "lesion".
    """
    parts = []
    for target in TARGETS[1:]:
        best = pd.Series(lesion_scores(detections, target)).groupby(
            detections["image_id"].to_numpy()
        )
        score = images["image_id"].map(best.max()).fillna(0.0)
        parts.append(_predictions(images, "image", target, score, model, seed))
    return checked(pd.concat(parts, ignore_index=True), "image scores")


def patch_scores(
    detections: pd.DataFrame, windows: pd.DataFrame, rule: LabelRule, *, model: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of every labelled window, for each target, and its score for each type.

    Args:
        detections: Of detection_tables.DETECTIONS.
        windows: dataset, image_id, patient_id, split, label, and BOX in original px.
        rule: When a box counts for a window.
        model: Name for the table.
        seed: Of the model's training.

    Returns:
        A table of predictions.SCHEMA with BOX, unit "patch", targets "malignant" and "lesion"; and
        `lesion_types.type_questions`.
    """
    windows = windows.reset_index(drop=True)
    pairs_in_windows = _boxes_in_windows(detections, windows, rule)
    parts, of_types = [], {}
    for target in ("lesion", *LABELS[1:]):
        scores = np.zeros(len(windows))
        chances = lesion_scores(detections, target)[pairs_in_windows["detection"].to_numpy()]
        np.maximum.at(scores, pairs_in_windows["window"].to_numpy(), chances)
        if target in TARGETS[1:]:
            table = _predictions(windows, "patch", target, pd.Series(scores), model, seed)
            parts.append(table.assign(**{name: windows[name] for name in BOX}))
        if target != "lesion":
            of_types[target] = scores
    predictions = checked(pd.concat(parts, ignore_index=True), "patch scores")
    truth = {name: (windows["label"] == name).to_numpy() for name in LABELS[1:]}
    return predictions, type_questions(windows, truth, of_types)


def _boxes_in_windows(
    detections: pd.DataFrame, windows: pd.DataFrame, rule: LabelRule
) -> pd.DataFrame:
    """Which detection counts for which window: rows detection, window (from 0)."""
    first = windows[["image_id"]].assign(window=np.arange(len(windows)))
    second = pd.DataFrame({"image_id": detections["image_id"].to_numpy()})
    groups = dict(tuple(second.assign(detection=np.arange(len(second))).groupby("image_id")))
    parts = []
    areas, detection_boxes = boxes(windows), boxes(detections)
    for image_id, windows_of_image in first.groupby("image_id", sort=False):
        if image_id not in groups:
            continue
        rows, cols = windows_of_image["window"].to_numpy(), groups[image_id]["detection"].to_numpy()
        window, box = areas[rows][:, None], detection_boxes[cols][None]
        low = np.maximum(window[..., :2], box[..., :2])
        shared = np.prod(np.clip(np.minimum(window[..., 2:], box[..., 2:]) - low, 0, None), axis=2)
        of_box = shared / np.prod(box[..., 2:] - box[..., :2], axis=2)
        of_window = shared / np.prod(window[..., 2:] - window[..., :2], axis=2)
        counts = (shared > 0) & (
            (of_box >= rule.min_lesion_share) | (of_window >= rule.min_window_share)
        )
        window_rows, detection_rows = np.nonzero(counts)
        parts.append(pd.DataFrame({"detection": cols[detection_rows], "window": rows[window_rows]}))
    empty = pd.DataFrame({"detection": [], "window": []}, dtype=np.int64)
    return pd.concat([empty, *parts], ignore_index=True)


def _predictions(
    units: pd.DataFrame, unit: str, target: str, score: pd.Series, model: str, seed: int
) -> pd.DataFrame:
    identity = units[["dataset", "image_id", "patient_id", "split", "label"]].reset_index(drop=True)
    return identity.assign(
        unit=unit,
        target=target,
        model=model,
        seed=seed,
        **dict.fromkeys(CLASS_SCORES, np.nan),
        score=score.to_numpy(dtype=np.float64).clip(0, 1),
    )


def roc_table(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """AUC of each target with its interval.

    Args:
        predictions: Of predictions.SCHEMA, one unit.
        seed: Of the draws.
        draws: Bootstrap samples.

    Returns:
        lesion_types.COLUMNS.
    """
    rows = []
    for target, rows_of_target in predictions.groupby("target", sort=False):
        truth = positive(rows_of_target["label"], str(target))
        patients = Patients.from_ids(patient_keys(rows_of_target))
        area = auc_estimate(rows_of_target["score"], truth, patients, seed=seed, draws=draws)
        rows.append(auc_row(str(target), area, int(truth.sum())))
    return pd.DataFrame(rows, columns=COLUMNS)


def mask_agreement(
    detections: pd.DataFrame, truths: pd.DataFrame, *, min_iou: float = HIT_IOU
) -> pd.DataFrame:
    """Dice and IoU of the masks of hit lesions, each by its best-scored hit of that overlap.

    Returns:
        One row per hit lesion: lesion_id, patient_id, box_iou, dice, iou.
    """
    hits = pairs(detections, truths, "iou", min_iou)
    hits["score"] = lesion_scores(detections, "lesion")[hits["detection"].to_numpy()]
    hits = hits.sort_values("score", ascending=False, kind="stable").drop_duplicates("truth")
    rows = []
    for hit in hits.itertuples():
        detection, lesion = detections.iloc[hit.detection], truths.iloc[hit.truth]
        shared, detection_area, lesion_area = _shared(detection, lesion)
        rows.append(
            {
                "lesion_id": lesion["lesion_id"],
                "patient_id": f"{lesion['dataset']}\n{lesion['patient_id']}",
                "box_iou": hit.iou,
                "dice": 2 * shared / max(detection_area + lesion_area, 1e-9),
                "iou": shared / max(detection_area + lesion_area - shared, 1e-9),
            }
        )
    return pd.DataFrame(rows, columns=["lesion_id", "patient_id", "box_iou", "dice", "iou"])


def _shared(first: pd.Series, second: pd.Series) -> tuple[float, float, float]:
    """Shared and own pixels of two masks, counted on one grid over both boxes."""
    ends = np.array([[float(row[name]) for name in BOX] for row in (first, second)])
    low, high = ends[:, :2].min(axis=0), ends[:, 2:].max(axis=0)
    rows, cols = (low + (np.arange(_GRID)[:, None] + 0.5) / _GRID * (high - low)).T
    drawn = [
        _drawn(unpack_mask(row["mask"]), box, rows, cols)
        for row, box in zip((first, second), ends, strict=True)
    ]
    return (
        float((drawn[0] & drawn[1]).sum()),
        float(drawn[0].sum()),
        float(drawn[1].sum()),
    )


def _drawn(
    mask: npt.NDArray[np.bool_], box: Floats, rows: Floats, cols: Floats
) -> npt.NDArray[np.bool_]:
    """A mask over its box, looked up at points of a grid, bool (rows, cols)."""
    row_index = np.floor((rows - box[0]) / (box[2] - box[0]) * len(mask)).astype(int)
    col_index = np.floor((cols - box[1]) / (box[3] - box[1]) * len(mask)).astype(int)
    on_mask = ((row_index >= 0) & (row_index < len(mask)))[:, None] & (
        (col_index >= 0) & (col_index < len(mask))
    )
    looked = mask[np.ix_(row_index.clip(0, len(mask) - 1), col_index.clip(0, len(mask) - 1))]
    result: npt.NDArray[np.bool_] = looked & on_mask
    return result


def mask_table(agreement: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Mean Dice and IoU with intervals over patients: measure, value, low, high, n, reason."""
    rows = []
    for name in ("dice", "iou"):
        if agreement.empty:
            estimate = undefined("no lesion was hit", Patients.from_ids([]))
        else:
            estimate = bootstrap_mean(
                agreement[name], agreement["patient_id"], seed=seed, shares=True
            )
        ends = {"low": estimate.low, "high": estimate.high}
        facts = {"n": estimate.n, "reason": estimate.reason}
        rows.append({"measure": name, "value": estimate.value, **ends, **facts})
    return pd.DataFrame(rows)


def by_group(
    detections: pd.DataFrame, truths: pd.DataFrame, images: pd.DataFrame, *, seed: int
) -> pd.DataFrame:
    """Sensitivity at one false positive per image by lesion kind, pathology, size and density.

    The threshold is that of the FROC curve of all these images, the same in every group and draw:
    what differs between groups is what is found, not what is asked.

    Returns:
        group, value, lesions, patients, sensitivity, low, high.
    """
    marked = marks(detections, truths, images)
    limit = len(marked.image_patients)
    threshold = marked.alarms[limit] if len(marked.alarms) > limit else -np.inf
    used = images.loc[images["unlocated"] == 0, "image_id"]
    lesions = truths[truths["image_id"].isin(used)].assign(found=marked.best > threshold)
    size = pd.Series("unknown", index=lesions.index)
    for name, (low, high) in SIZES.items():
        size[(lesions["size_mm"] >= low) & (lesions["size_mm"] < high)] = name
    size = size.astype(pd.CategoricalDtype([*SIZES, "unknown"], ordered=True))
    lesions = lesions.assign(size=size, density=lesions["density"].replace("", "unknown"))
    rows = []
    for group in ("kind", "pathology", "size", "density"):
        for value, members in lesions.groupby(group, sort=True, observed=True):
            patient_ids = patient_keys(members)
            sensitivity: Estimate = bootstrap_mean(
                members["found"].astype(float), patient_ids, seed=seed, shares=True
            )
            rows.append({"group": group, "value": value, "lesions": len(members),
                         "patients": sensitivity.patients, "sensitivity": sensitivity.value,
                         "low": sensitivity.low, "high": sensitivity.high})  # fmt: skip
    return pd.DataFrame(rows)
