"""Settings of a detector that learns within seconds, for the tests of detection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from second_look.batches.affine import Augmentation
from second_look.batches.frames import Frame
from second_look.training.detect import DetectSettings, Stage

_SMALL = DetectSettings(
    model="small",
    frame=Frame(96, 64),
    stages=(Stage(4, 0.01),),
    batch_size=2,
    optimizer="sgd",
    normal_share=0.3,
    max_detections=5,
    seed=0,
    augmentation=Augmentation(rotation_deg=15, mirror=True, flip=True, scale=1.2, contrast=0.1),
)


def small_detect_settings(**changes: Any) -> DetectSettings:
    """The settings, with some of them changed."""
    return replace(_SMALL, **changes)
