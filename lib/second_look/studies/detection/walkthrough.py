"""Worked example of notebook 05: one mammogram through a Mask R-CNN."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torchvision.models.detection.image_list import ImageList

from second_look.batches.frames import Frame, Frames, detection_rows
from second_look.models.mask_rcnn import build_detector
from second_look.preparing.dataset import Dataset
from second_look.studies.steps import steps, upright
from second_look.training.detect import training_images

NETWORK = "small"


def picture_to_box(
    data: Dataset, frame: tuple[int, int], *, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first training image with a lesion through the small network before training.

    Args:
        data: The data set.
        frame: Rows and cols that every image is fitted into.
        seed: Of the weights.

    Returns:
        The steps, and the best detection as a row of the table of detections: column, value.
    """
    framed = Frames(data, Frame(*frame)).get(training_images(data, normal_share=0)[0][0])
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        network: Any = build_detector(NETWORK).eval()
        picture = framed.picture.float()[None, None]  # (1, 1, rows, cols)
        batch = (picture - network.mean) / network.spread
        levels = network.backbone(batch)
        proposals, _ = network.rpn(ImageList(batch, [frame]), levels)
        heads = network.roi_heads
        pooled = heads.box_roi_pool(levels, proposals, [frame])
        logits, boxes = heads.box_predictor(heads.box_head(pooled))
        detections, _ = heads(levels, proposals, [frame])
    way = {
        f"{framed.image_id} in its frame, 0 to 1": picture,
        "normalised, in three channels": batch,
        **{f"pyramid, level {name}": maps for name, maps in levels.items()},
        "proposals: x and y of two corners, px": proposals[0],
        "features cut out for each proposal": pooled,
        "logits of background and classes": logits,
        "corrections of the box, for each class": boxes,
        "detections: score of the class": detections[0]["scores"],
        "detections: mask in its box": detections[0]["masks"],
    }
    rows = detection_rows(framed, detections[0]).drop(columns="mask")
    return steps(way), upright(rows.round(3)) if len(rows) else rows
