"""Weights of Matterport's Keras files: read layer by layer, checked, transposed, reported.

The file is HDF5 with a group for each layer; the region proposals are a model within the model,
one level deeper. A weight is known by the names of its layer and its own: conv1, kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from second_look.errors import DataError, first_few
from second_look.models.detection_parts import Detector
from second_look.models.resnet_matterport import BLOCKS, StoredBatchNorm

# Layers that depend on the classes, which a start on other classes leaves out.
OUTPUT_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask")
RELEASE = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
_ARCHITECTURE = (
    f"Expected Matterport's Mask R-CNN with ResNet-101, as in {RELEASE}; it is of another "
    "architecture or number of classes."
)
# Keras' names of a weight -> torch's.
_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def keras_layers(detector: Detector) -> dict[str, nn.Module]:
    """Keras' name of each layer that has weights -> our module of it, from the picture on."""
    backbone, heads = detector.backbone, detector.roi_heads
    layers = {name: getattr(backbone, name) for name in ("conv1", "bn_conv1")}
    for stage in BLOCKS:
        for index, block in enumerate(getattr(backbone, f"res{stage}")):
            letter = chr(ord("a") + index)
            for part, module in block.named_children():
                kind, branch = ("res", part) if part.startswith("branch") else ("bn", part)
                branch = branch.removeprefix("bn").removeprefix("branch")
                layers[f"{kind}{stage}{letter}_branch{branch}"] = module
    for name in ("c5p5", "c4p4", "c3p3", "c2p2", "p2", "p3", "p4", "p5"):
        layers[f"fpn_{name}"] = getattr(backbone, f"fpn_{name}")
    parts = ("box_head", "box_predictor", "mask_head", "mask_predictor")
    for owner in (detector.rpn.head, *(getattr(heads, part) for part in parts)):
        layers |= dict(owner.named_children())
    return layers


def load_matterport(
    detector: Detector, path: Path, *, leave_out: tuple[str, ...] = OUTPUT_LAYERS
) -> pd.DataFrame:
    """Load a Keras file into the paper's network; nothing changes unless all of it fits.

    Args:
        detector: Of resnet_matterport.paper_detector.
        path: Such as mask_rcnn_coco.h5.
        leave_out: Layers that keep their weights.

    Returns:
        One row per weight: layer, weight, shape (in the file), loaded, reason (why it was not).

    Raises:
        DataError: The file cannot be read, or a layer is missing, unknown, or of another shape.
    """
    rows, pairs, problems = [], [], []
    with opened(path) as stored_arrays:
        for layer, module in keras_layers(detector).items():
            for weight, name in _names(module).items():
                stored, target = stored_arrays.pop((layer, weight), None), getattr(module, name)
                shape = "" if stored is None else str(stored.shape)
                if layer in leave_out:
                    rows.append((layer, weight, shape, False, "output layer of other classes"))
                elif stored is None:
                    problems.append(f"{layer}/{weight} is missing")
                elif stored.dtype.kind != "f" or stored.shape is None:
                    problems.append(f"{layer}/{weight} holds no decimal numbers")
                elif _torch_shape(stored.shape) != tuple(target.shape):
                    expected = tuple(target.shape)
                    problems.append(f"{layer}/{weight} has shape {shape}, wanted for {expected}")
                else:
                    pairs.append((target, layer, module, stored))
                    rows.append((layer, weight, shape, True, ""))
        problems += [f"{layer}/{weight} is not known" for layer, weight in stored_arrays]
        if problems:
            further = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise DataError(f"{'; '.join(problems[:3])}{further}.", path, _ARCHITECTURE)
        tensors = _tensors(pairs, path)
        with torch.no_grad():
            for (target, *_), tensor in zip(pairs, tensors, strict=True):
                target.copy_(tensor)
    return pd.DataFrame(rows, columns=["layer", "weight", "shape", "loaded", "reason"])


def _tensors(pairs: Sequence[tuple[Tensor, str, nn.Module, Any]], path: Path) -> list[Tensor]:
    """The weights of (target, layer, module, stored) in torch's order.

    Raises:
        DataError: They cannot be read, or are not finite.
    """
    try:
        tensors = [converted(stored[()], layer, module) for _, layer, module, stored in pairs]
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"is damaged ({error}).", path, "Get it anew.") from None
    paired = zip(pairs, tensors, strict=True)
    if broken := [layer for (_, layer, *_), tensor in paired if not tensor.isfinite().all()]:
        problem = f"weights of {first_few(broken, 3)} are not finite."
        raise DataError(problem, path, "Get it anew.")
    return tensors


@contextmanager
def opened(path: Path) -> Iterator[dict[tuple[str, str], Any]]:
    """(layer, weight) -> data set, for every weight of a Keras file, read when it is looked at.

    Raises:
        DataError: It is no such file.
    """
    arrays: dict[tuple[str, str], Any] = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            *parents, last = name.split("/")
            arrays[parents[-1] if parents else "", last.split(":")[0]] = item

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"cannot be read as HDF5 ({error}).", path, _ARCHITECTURE) from None
    with file:
        try:
            file.visititems(collect)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise DataError(f"is damaged ({error}).", path, "Get it anew.") from None
        yield arrays


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a Keras weight once it is `converted`."""
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


def converted(array: npt.NDArray[np.float32], layer: str, module: nn.Module) -> Tensor:
    """A Keras weight in torch's order of axes.

    Keras has (rows, cols, in, out) for a convolution, (rows, cols, out, in) for a transposed one,
    (in, out) for a dense layer, and writes box offsets (rows, cols, rows, cols), which torchvision
    writes (cols, rows, cols, rows).
    """
    value = torch.from_numpy(np.asarray(array, dtype=np.float32))
    if value.ndim == 4:
        value = value.permute(3, 2, 0, 1)
    elif value.ndim == 2:
        value = value.T
    if layer in ("rpn_bbox_pred", "mrcnn_bbox_fc") and len(value) % 4 == 0:
        order = torch.arange(len(value)).reshape(-1, 4)[:, [1, 0, 3, 2]].flatten()
        value = value[order]
    return value.contiguous()


def _names(module: nn.Module) -> dict[str, str]:
    """Keras' names of the weights of a layer -> torch's."""
    if isinstance(module, StoredBatchNorm):
        return _BATCH_NORM
    return {"kernel": "weight", "bias": "bias"}
