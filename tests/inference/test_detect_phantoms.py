"""The smallest proof that all of it works: a small network finds lesions of unseen phantoms."""

from __future__ import annotations

import pytest
from helpers.small_detector import small_detect_settings
from helpers.small_mammograms import small_settings
from second_look.evaluation.detection_tables import image_table, truth_table
from second_look.evaluation.froc import marks, sensitivity_statistic
from second_look.evaluation.intervals import point_estimate
from second_look.inference.blobs import detect_blobs
from second_look.inference.detections import detect
from second_look.preparing.dataset import build_dataset
from second_look.training.detect import DetectionTask, Frame, Stage
from second_look.training.loop import LoopSettings, train

PHANTOMS = small_settings(
    patients=36, image_rows=512, image_cols=416, lesion_contrast=3.0, val_share=0.1,
    test_share=0.35, seed=0,
)  # fmt: skip
LEARNING = small_detect_settings(
    model="small", frame=Frame(256, 192), stages=(Stage(400, 5e-4), Stage(100, 5e-5)),
    optimizer="adamw", warmup_steps=50, normal_share=0.3, max_detections=20,
)  # fmt: skip


def sensitivity(detections, truths, images):
    """By lesion, at one false positive an image over all images, by the centre in the box."""
    marked = marks(detections, truths, images)
    return float(point_estimate(sensitivity_statistic(marked, (1.0,)), marked.everybody)[0])


@pytest.mark.slow
def test_lesions_of_held_out_phantoms_are_found_and_the_baseline_is_beaten(tmp_path):
    dataset = build_dataset(tmp_path, PHANTOMS, workers=0)
    task = DetectionTask(dataset, LEARNING)
    train(
        task,
        LoopSettings(steps=LEARNING.steps, seed=0, accelerator="cpu", validate_every=250),
        tmp_path,
    )
    images, truths = image_table(dataset, splits=("test",)), truth_table(dataset, splits=("test",))
    learnt = image_table(dataset, splits=("train",))
    assert not set(images["patient_id"]) & set(learnt["patient_id"])
    names = list(images["image_id"])
    network = sensitivity(
        detect(task.detector, task.frames, names, model="small", seed=0), truths, images
    )
    blobs = sensitivity(detect_blobs(task.frames, names), truths, images)
    print(f"{len(truths)} lesions: {network:.2f}, brightest blobs {blobs:.2f}")
    assert network >= 0.8
    assert network > blobs + 0.1
