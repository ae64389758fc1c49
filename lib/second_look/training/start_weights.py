"""The weights that a detector starts from: where they come from, what of them was loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights

from second_look.errors import DataError, MissingDataError
from second_look.models.backbones import TimmPyramid
from second_look.models.classifier import imagenet_url
from second_look.models.detection_parts import Detector
from second_look.models.matterport import RELEASE, load_matterport
from second_look.models.weights import read_tensors

# Where the weights that each network starts from can be had.
SOURCES = {
    "paper": RELEASE,
    "torchvision": MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1.url,
    "mobilenet": imagenet_url("mobilenet_v2"),
}
_COLUMNS = ["layer", "weight", "shape", "loaded", "reason"]
# Layers of torchvision's heads that depend on the classes.
_OUTPUTS = (
    "roi_heads.box_predictor.cls_score",
    "roi_heads.box_predictor.bbox_pred",
    "roi_heads.mask_predictor.mask_fcn_logits",
)


def start_from(detector: Detector, model: str, weights: str) -> pd.DataFrame:
    """Load the start weights of a detector; "" leaves it as it was drawn.

    Args:
        detector: Of models.mask_rcnn.build_detector.
        model: Its name.
        weights: The file.

    Returns:
        One row per weight: layer, weight, shape, loaded, reason (why it was not).

    Raises:
        MissingDataError: There is no such file; says where it can be had.
        DataError: It is of another architecture or number of classes.
    """
    if not weights:
        return pd.DataFrame(columns=_COLUMNS)
    path = Path(weights).expanduser()
    source = SOURCES[model] if model in SOURCES else imagenet_url(model)
    if not source:
        raise DataError(
            f"the network {model!r} has no weights to start from.", path, 'Set weights to "".'
        )
    if not path.is_file():
        raise MissingDataError(
            "there is no such file of weights.",
            path,
            f"Download {source} and give its place as the parameter weights, or set "
            'weights to "" to train from scratch on purpose.',
        )
    if model == "paper":
        return load_matterport(detector, path)
    tensors = read_tensors(path)
    if model == "mobilenet":
        body = {
            key.removeprefix("features."): value
            for key, value in tensors.items()
            if key.startswith("features.") and not key.startswith("features.18.")
        }
        return _load(detector.backbone.body, body, (), path)  # type: ignore[arg-type]
    if isinstance(detector.backbone, TimmPyramid):
        return _load(detector.backbone.body, _of_body(detector.backbone, tensors), (), path)
    return _load(detector, tensors, _OUTPUTS, path)


def _of_body(pyramid: TimmPyramid, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a classifier of timm that its pyramid has too, under the pyramid's names.

    What lies above the last level is left out: last layers, and convolutions before them. timm
    names a part of a sequence stages_0 in the one, stages.0 in the other.
    """
    state = pyramid.body.state_dict()
    flattened = {name: name.replace(".", "_", 1) for name in tensors if name not in state}
    named = {flattened.get(name, name): tensor.float() for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in named.items() if name in state}


def _load(
    module: nn.Module, tensors: Mapping[str, Tensor], left_out: tuple[str, ...], path: Path
) -> pd.DataFrame:
    """Load a state dict but for some layers; nothing changes unless all the rest fits."""
    state = module.state_dict()
    rows, problems = [], []
    for name, target in state.items():
        layer, _, weight = name.rpartition(".")
        tensor = tensors.get(name)
        if layer in left_out:
            reason = "output layer: depends on the classes"
            shape = "" if tensor is None else str(tuple(tensor.shape))
            rows.append((layer, weight, shape, False, reason))
        elif tensor is None and weight == "num_batches_tracked":
            continue
        elif tensor is None:
            problems.append(f"{name} is missing")
        elif tensor.shape != target.shape:
            problems.append(f"{name} has shape {tuple(tensor.shape)}, not {tuple(target.shape)}")
        else:
            rows.append((layer, weight, str(tuple(tensor.shape)), True, ""))
    problems += [
        f"{name} is not known"
        for name in tensors
        if name not in state and not name.endswith("num_batches_tracked")
    ]
    if problems:
        further = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(
            f"does not fit: {'; '.join(problems[:3])}{further}.",
            path,
            "It is of another architecture or number of classes.",
        )
    with torch.no_grad():
        for layer, weight, _, loaded, _ in rows:
            if loaded:
                state[f"{layer}.{weight}"].copy_(tensors[f"{layer}.{weight}"])
    return pd.DataFrame(rows, columns=_COLUMNS)
