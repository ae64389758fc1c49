"""Tables of images, lesions and detections with a known truth, for the tests of their measures."""

from __future__ import annotations

import numpy as np
import pandas as pd
from second_look.catalogue import KINDS, LABELS
from second_look.evaluation.detection_tables import BOX, pack_mask
from second_look.evaluation.predictions import CLASS_SCORES

SIDE = 1000  # px of an image


def disc(side: int) -> np.ndarray:
    """A disc that fills a grid, bool (side, side)."""
    middle = (np.arange(side) + 0.5) / side - 0.5
    return np.hypot(middle[:, None], middle[None]) <= 0.5


def made_images(count: int, *, per_patient: int = 2, with_lesions: float = 0.5) -> pd.DataFrame:
    """Images of which the first ones have lesions, of the labels in turn."""
    lesion_images = round(count * with_lesions)
    return pd.DataFrame(
        {
            "dataset": "made",
            "image_id": [f"i{index:05d}" for index in range(count)],
            "patient_id": [f"p{index // per_patient:05d}" for index in range(count)],
            "split": "test",
            "label": [LABELS[1 + p % 3] if p < lesion_images else "normal" for p in range(count)],
            "density": [str(1 + p % 4) for p in range(count)],
            "unlocated": 0,
        }
    )


def made_truths(images: pd.DataFrame, *, seed: int, lesions_per_image: int = 1) -> pd.DataFrame:
    """Round lesions, which do not overlap, on every image that is not normal."""
    rng = np.random.default_rng(seed)
    with_lesions = images[images["label"] != "normal"]
    table = with_lesions.loc[
        with_lesions.index.repeat(lesions_per_image), ["dataset", "image_id", "patient_id", "split"]
    ]
    table = table.assign(
        pathology=with_lesions["label"], density=with_lesions["density"]
    ).reset_index(drop=True)
    count, band = len(table), SIDE // lesions_per_image
    size = rng.uniform(30, 0.6 * band, count)
    top = band * (np.arange(count) % lesions_per_image) + rng.uniform(0, 1, count) * (band - size)
    left = rng.uniform(0, SIDE - size)
    return table.assign(
        lesion_id=[f"l{index:05d}" for index in range(count)],
        kind=[KINDS[index % 2] for index in range(count)],
        size_mm=size / 20,
        **dict(zip(BOX, (top, left, top + size, left + size), strict=True)),
        mask=pack_mask(disc(112)),
    )


def made_detections(
    images: pd.DataFrame, boxes: np.ndarray, scores: np.ndarray, labels: list[str], model="made"
) -> pd.DataFrame:
    """One detection for each image given (rows may repeat), with all its chance on one label."""
    table = images[["dataset", "image_id", "patient_id", "split"]].reset_index(drop=True)
    table = table.assign(model=model, seed=0, label=labels, score=scores)
    chances = dict.fromkeys(CLASS_SCORES, 0.0) | {"score_normal": 1 - scores}
    table = table.assign(**chances)
    for label in LABELS[1:]:
        table[f"score_{label}"] = np.where(table["label"] == label, scores, 0.0)
    table[list(BOX)] = boxes
    return table.assign(mask=pack_mask(disc(28)))


def perfect(images: pd.DataFrame, truths: pd.DataFrame) -> pd.DataFrame:
    """Every lesion found exactly, with its mask."""
    identity = truths[["dataset", "image_id", "patient_id", "split"]]
    detections = made_detections(
        identity, truths[list(BOX)].to_numpy(), np.full(len(truths), 0.9), list(truths["pathology"])
    )
    return detections.assign(mask=truths["mask"].to_numpy())


def random_detections(images: pd.DataFrame, *, seed: int, boxes_per_image: int) -> pd.DataFrame:
    """`boxes_per_image` boxes anywhere on every image, with scores that know nothing."""
    rng = np.random.default_rng(seed)
    rows = images.loc[images.index.repeat(boxes_per_image)]
    size = rng.uniform(30, 300, len(rows))
    corner = rng.uniform(0, SIDE - 300, (len(rows), 2))
    boxes = np.column_stack([corner, corner + size[:, None]])
    labels = [LABELS[1 + code] for code in rng.integers(0, 3, len(rows))]
    return made_detections(rows, boxes, rng.uniform(0, 1, len(rows)), labels)
