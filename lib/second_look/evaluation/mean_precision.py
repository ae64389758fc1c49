"""COCO's mean average precision of boxes, and its interval over patients.

pycocotools matches detections with lesions once; a draw of patients only weights what was matched.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation.detection_tables import boxes, lesion_scores
from second_look.evaluation.intervals import (
    CURVE_DRAWS,
    LEAST_FOR_SHARE,
    Estimate,
    Floats,
    Metric,
    Patients,
    average,
    bootstrap,
    ratio,
    undefined,
)


def average_precision(
    detections: pd.DataFrame, truths: pd.DataFrame, images: pd.DataFrame, *, by_class: bool
) -> dict[str, float]:
    """COCO's mean average precision of boxes, by pycocotools.

    Args:
        detections: Of DETECTIONS.
        truths: Of TRUTHS.
        images: Of IMAGES; those with a lesion of unknown place are left out.
        by_class: Of each class of lesion, averaged; else of any lesion.

    Returns:
        "mAP50" and "mAP50-95", 0 to 1; NaN without lesions.
    """
    run = _matched(detections, truths, images, by_class=by_class)
    if run is None:
        return {"mAP50": float("nan"), "mAP50-95": float("nan")}
    with contextlib.redirect_stdout(io.StringIO()):
        run.accumulate()
    precision = run.eval["precision"]  # (IoU thresholds, recalls, classes, 1, 1); −1: no lesion
    classes_with_lesions = [
        code for code in range(precision.shape[2]) if precision[0, 0, code, 0, 0] > -1
    ]
    precision = precision[:, :, classes_with_lesions, 0, 0]
    return {"mAP50": float(precision[0].mean()), "mAP50-95": float(precision.mean())}


def map50_estimate(
    detections: pd.DataFrame,
    truths: pd.DataFrame,
    images: pd.DataFrame,
    *,
    by_class: bool,
    seed: int,
    draws: int = CURVE_DRAWS,
) -> Estimate:
    """mAP50 of `average_precision` with its interval over patients; n counts the lesions."""
    patients = Patients.from_ids(patient_keys(images))
    run = _matched(detections, truths, images, by_class=by_class)
    if run is None:
        return undefined("no lesion among them", Patients(np.zeros(0, np.int64), patients.count))
    patient_of = dict(zip(images["image_id"], patients.codes.tolist(), strict=True))
    by_code: dict[int, list[dict[str, Any]]] = {}
    for image in filter(None, run.evalImgs):
        by_code.setdefault(image["category_id"], []).append(image)
    metrics = [_class_metric(part, patient_of, patients.count) for part in by_code.values()]
    with_lesions = [metric for metric in metrics if metric.trials]
    lesions = truths["image_id"].isin(run.params.imgIds).sum()
    units = Patients(np.zeros(int(lesions), np.int64), patients.count)
    metric = average(with_lesions, classes=True)
    return bootstrap({"mAP50": metric}, units, seed=seed, draws=draws)["mAP50"]


def _class_metric(
    images: list[dict[str, Any]], patient_of: Mapping[str, int], count: int
) -> Metric:
    """Average precision of one class at IoU 0.5 in every draw, from what pycocotools matched."""
    codes = np.array([patient_of[image["image_id"]] for image in images])
    detected = np.repeat(codes, [len(image["dtScores"]) for image in images])
    lesion_owners = np.repeat(codes, [len(image["gtIds"]) for image in images])
    scores = np.concatenate([image["dtScores"] for image in images])
    matched = np.concatenate([image["dtMatches"][0] for image in images]) > 0
    order = np.argsort(-scores, kind="stable")
    detected, matched = detected[order], matched[order]
    lesions = np.bincount(lesion_owners, minlength=count).astype(np.float64)
    recalls = np.linspace(0, 1, 101)

    def in_draw(weights: Floats) -> float:
        total = weights @ lesions
        if not total:
            return float("nan")
        true, everything = np.cumsum(weights[detected] * matched), np.cumsum(weights[detected])
        precision = np.maximum.accumulate(np.nan_to_num(ratio(true, everything))[::-1])[::-1]
        first = np.searchsorted(true / total, recalls, side="left")
        return float(np.append(precision, 0.0)[first].mean())

    def statistic(counts: Floats) -> Floats:
        return np.array([in_draw(weights) for weights in counts])

    with_lesions = int(np.count_nonzero(lesions))
    clusters = {"patients with lesions of a class": with_lesions}
    return Metric(statistic, clusters, LEAST_FOR_SHARE, share=True, trials=with_lesions)


def _matched(
    detections: pd.DataFrame, truths: pd.DataFrame, images: pd.DataFrame, *, by_class: bool
) -> COCOeval | None:
    """Pycocotools' matches of boxes by image and class; None without lesions."""
    used = images.loc[images["unlocated"] == 0, "image_id"]
    used_detections = detections[detections["image_id"].isin(used)]
    used_truths = truths[truths["image_id"].isin(used)]
    if used_truths.empty:
        return None
    single = {"lesion": 1}
    codes = {name: code for code, name in enumerate(LABELS[1:], start=1)} if by_class else single
    names = ("pathology", "label") if by_class else (None, None)
    scores = (
        used_detections["score"].to_numpy(dtype=np.float64)
        if by_class
        else lesion_scores(used_detections, "lesion")
    )
    entries = [
        entry | {"score": float(score)}
        for entry, score in zip(_entries(used_detections, names[1], codes), scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image} for image in used],
            "categories": [{"id": code} for code in codes.values()],
            "annotations": [
                entry | {"id": number, "iscrowd": 0}
                for number, entry in enumerate(_entries(used_truths, names[0], codes), start=1)
            ],
        }
        truth.createIndex()
        detected = truth.loadRes(entries) if entries else COCO()
        run = COCOeval(truth, detected, "bbox")
        run.params.imgIds = sorted(used)
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.params.maxDets = [100]
        run.evaluate()
    return run


def _entries(
    table: pd.DataFrame, column: str | None, codes: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Boxes as COCO writes them: x, y, width, height."""
    box_array = boxes(table)
    sides = box_array[:, 2:] - box_array[:, :2]
    kinds = table[column].map(codes).to_numpy() if column else np.ones(len(table), dtype=int)
    return [
        {
            "image_id": image,
            "category_id": int(kind),
            "bbox": [box[1], box[0], side[1], side[0]],
            "area": float(side[0] * side[1]),
        }
        for image, kind, box, side in zip(
            table["image_id"], kinds, box_array.tolist(), sides.tolist(), strict=True
        )
    ]
