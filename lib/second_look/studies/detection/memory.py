"""What a step of training needs of memory, by the number of images: measured, on any device."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from second_look.batches.affine import Variations
from second_look.batches.frames import Frames, target_of, varied
from second_look.models.mask_rcnn import CLASSES
from second_look.outputs import Run
from second_look.paper import IMAGES_PER_GPU
from second_look.studies.detection.training import Model
from second_look.training.detect import DetectSettings, training_images

GIGABYTE = 1e9
# Numbers beside a weight: its gradient, and the moments of the optimizer.
_BESIDE = {"sgd": 2, "adamw": 3}


def memory_table(
    model: Model, settings: DetectSettings, *, images: Sequence[int] = (1, 2, 4)
) -> pd.DataFrame:
    """Memory of a training step by the number of its images.

    What the backward pass needs is counted as autograd saves it, each block of memory once, so the
    numbers are the same on a CPU and a GPU. Workspaces of libraries come on top.

    Args:
        model: A trained detector; it is copied, and stays as it is.
        settings: Of its training.
        images: Numbers of images per step.

    Returns:
        images, weights_gb (with gradients and moments), activations_gb, total_gb.
    """
    detector = copy.deepcopy(model.task.detector).cpu().train()
    numbers = sum(parameter.numel() for parameter in detector.parameters())
    weights = 4 * numbers * (1 + _BESIDE[settings.optimizer]) / GIGABYTE
    rows = []
    for count in images:
        activations = _saved(detector, *_batch(model, settings, count)) / GIGABYTE
        rows.append((count, weights, activations, weights + activations))
    return pd.DataFrame(rows, columns=["images", "weights_gb", "activations_gb", "total_gb"])


def report(run: Run, table: pd.DataFrame, settings: DetectSettings, *, synthetic: bool) -> None:
    """Record the memory of a step of the paper's size; the paper names no GPU to compare it with.

    Args:
        run: Of the notebook.
        table: Of `memory_table`.
        settings: Of the training.
        synthetic: Whether the images are phantoms.
    """
    total = table.set_index("images")["total_gb"]
    needs = ", ".join(
        f"{count} image{'s' * (count != 1)} {gigabytes:.2g} GB"
        for count, gigabytes in total.items()
    )
    run.result(
        "mrcnn-memory", float(total[IMAGES_PER_GPU]), figure="memory", synthetic=synthetic,
        how=f"{settings.model}, {settings.frame.rows}×{settings.frame.cols} px, 32 bits: {needs}",
        verdict="no verdict: the paper does not name its GPU",
    )  # fmt: skip


Batch = tuple[Tensor, list[tuple[int, int]], list[dict[str, Tensor]]]


def _batch(model: Model, settings: DetectSettings, count: int) -> Batch:
    """Pictures, sizes and targets of so many training images with lesions."""
    frames = Frames(model.task.frames.dataset, settings.frame)  # the task's may be on a GPU
    names, _ = training_images(frames.dataset, normal_share=0)
    framed = [frames.get(name) for name in np.resize(names, count)]
    variations = Variations.draw(np.random.default_rng(settings.seed), count, settings.augmentation)
    pictures, regions = varied(framed, variations, settings.frame, torch.device("cpu"))
    targets = [
        target_of(codes, part.labels, part.image_id, CLASSES)
        for codes, part in zip(regions, framed, strict=True)
    ]
    return pictures, [(settings.frame.rows, settings.frame.cols)] * count, targets


def _saved(detector: torch.nn.Module, *batch: object) -> int:
    """Bytes that autograd keeps between the forward and the backward pass, weights aside."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in detector.parameters()}
    blocks: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            blocks[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # so that no address is used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        detector(*batch)
    return sum(blocks.values())
