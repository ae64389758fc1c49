"""Detections with known truth."""

from __future__ import annotations

import pandas as pd
import pytest
from helpers.made_detections import made_images, made_truths, perfect, random_detections
from second_look.catalogue import LABELS
from second_look.evaluation.detection import image_scores, patch_scores
from second_look.evaluation.detection_tables import BOX
from second_look.evaluation.lesion_types import BLIND, blind, image_types
from second_look.inference.blobs import NAME as BLOBS
from second_look.preparing.patches import HALF_RULE
from second_look.studies.detection import results


@pytest.fixture(scope="module")
def detected():
    """A perfect model, and a baseline of random detections."""
    images = made_images(40)
    truths = made_truths(images, seed=1)
    detections = {"perfect": perfect(images, truths),
                  BLOBS: random_detections(images, seed=2, boxes_per_image=5)}  # fmt: skip
    windows = images.assign(**dict(zip(BOX, (0.0, 0.0, 1000.0, 1000.0), strict=True)))
    windows = windows.drop(columns=["density", "unlocated"])
    scores, patches, types = [], [], {"image": {}, "patch": {}}
    for name, rows in detections.items():
        scores.append(image_scores(rows, images, model=name, seed=0))
        types["image"][name] = image_types(rows, truths, images)
        table, types["patch"][name] = patch_scores(rows, windows, HALF_RULE, model=name, seed=0)
        patches.append(table)
    for by_model in types.values():
        by_model[BLIND] = blind(
            by_model[BLOBS], dict(zip(LABELS[1:], (0.2, 0.1, 0.1), strict=True))
        )
    return results.DetectionResults(
        images, truths, detections, pd.concat(scores), pd.concat(patches), types
    )
