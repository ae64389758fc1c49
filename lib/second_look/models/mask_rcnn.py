"""Mask R-CNN under one interface: the paper's, today's, and those that a CPU can train.

=============  ==========================================  ==========================
name           network                                     start weights
=============  ==========================================  ==========================
paper          Matterport's ResNet-101-FPN                 mask_rcnn_coco.h5
torchvision    ResNet-50-FPN v2, what one would take now   COCO, from torchvision
mobilenet      MobileNetV2-FPN with narrow heads           ImageNet, MobileNetV2
any of timm    its pyramid with narrow heads               ImageNet, of timm
small          1 million parameters, group normalisation   none
=============  ==========================================  ==========================
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pandas as pd
from torch import nn
from torchvision.models import mobilenet_v2
from torchvision.models.detection import maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from second_look.catalogue import LABELS
from second_look.models.backbones import IMAGENET_MEAN, IMAGENET_STD, TimmPyramid, colours
from second_look.models.detection_parts import BOX_WEIGHTS, Detector, LesionHeads
from second_look.models.resnet_matterport import paper_detector

# Background, then the lesion classes in the order of LABELS.
CLASSES = len(LABELS)
# Boxes of an image that are kept, in the papers and here.
DETECTIONS = 100
_RATIOS = (0.5, 1.0, 2.0)
# Sides of the anchors on each level of the small pyramids, px.
_SMALL_ANCHORS = ((12, 17), (24, 34), (48, 68), (96, 136))

# What belongs to which row of the table of the paper's network: names of its parameters.
_PAPER_GROUPS = {
    "stem": r"backbone\.(bn_)?conv1\.",
    "res2": r"backbone\.res2\.",
    "res3": r"backbone\.res3\.",
    "res4": r"backbone\.res4\.",
    "res5": r"backbone\.res5\.",
    "FPN 1×1": r"backbone\.fpn_c\dp\d\.",
    "FPN 3×3": r"backbone\.fpn_p\d\.",
    "RPN shared 3×3": r"rpn\.head\.rpn_conv_shared\.",
    "RPN class": r"rpn\.head\.rpn_class_raw\.",
    "RPN box": r"rpn\.head\.rpn_bbox_pred\.",
    "head 7×7": r"roi_heads\.box_head\.mrcnn_class_conv1\.",
    "head 1×1": r"roi_heads\.box_head\.mrcnn_class_conv2\.",
    "head normalisation": r"roi_heads\.box_head\.mrcnn_class_bn\d\.",
    "class logits": r"roi_heads\.box_predictor\.mrcnn_class_logits\.",
    "class boxes": r"roi_heads\.box_predictor\.mrcnn_bbox_fc\.",
    "mask convolutions": r"roi_heads\.mask_head\.mrcnn_mask_conv\d\.",
    "mask normalisation": r"roi_heads\.mask_head\.mrcnn_mask_bn\d\.",
    "mask deconvolution": r"roi_heads\.mask_predictor\.mrcnn_mask_deconv\.",
    "mask 1×1": r"roi_heads\.mask_predictor\.mrcnn_mask\.",
}
_OTHER_GROUPS = {
    "backbone": r"backbone\.",
    "region proposals": r"rpn\.",
    "classes and boxes": r"roi_heads\.box_",
    "masks": r"roi_heads\.mask_",
}


def build_detector(name: str, *, classes: int = CLASSES, detections: int = DETECTIONS) -> Detector:
    """A Mask R-CNN without its start weights.

    Args:
        name: One of DETECTORS, or a convolutional network of timm.
        classes: With background.
        detections: Boxes of an image that are kept, best first.

    Raises:
        ParameterError: There is no such network, or it has no pyramid.
        ValueError: Fewer than two classes.
    """
    if classes < 2 or detections < 1:
        raise ValueError(
            f"expected two classes or more and a detection at least. Got {classes}, {detections}."
        )
    if name in DETECTORS:
        return DETECTORS[name](classes, detections)
    return _on_timm(name, classes, detections)


def parameter_table(detector: Detector) -> pd.DataFrame:
    """What the parameters of a network are spent on, counted on the live network.

    Returns:
        module, trainable, fixed (batch normalisation's stored numbers), and a last row "all".
    """
    paper = hasattr(detector.backbone, "fpn_p2")
    patterns = _PAPER_GROUPS if paper else _OTHER_GROUPS
    counts = {group: [0, 0] for group in patterns}
    learnt = dict(detector.named_parameters())
    for name, tensor in detector.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():  # batch normalisation counts its batches, too
            group = next(group for group, pattern in patterns.items() if re.match(pattern, name))
            counts[group][0 if name in learnt else 1] += tensor.numel()
    table = pd.DataFrame(
        [{"module": name, "trainable": n, "fixed": fixed} for name, (n, fixed) in counts.items()]
    )
    total = {"module": "all", **table[["trainable", "fixed"]].sum().to_dict()}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


class SmallBackbone(nn.Module):
    """Four stages of two 3×3 convolutions with group normalisation, from 1/4 to 1/32.

    Group normalisation works on two images at a time, and without weights to start from.
    """

    CHANNELS = (32, 48, 64, 96)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_small_layer(3, 16, 2), _small_layer(16, 32, 2))
        channels_in = 32
        for level, channels_out in enumerate(self.CHANNELS, start=1):
            stride = 1 if level == 1 else 2
            layers = nn.Sequential(
                _small_layer(channels_in, channels_out, stride),
                _small_layer(channels_out, channels_out, 1),
            )
            setattr(self, f"layer{level}", layers)
            channels_in = channels_out

    def forward(self, x: Any) -> Any:  # noqa: ANN401
        """The last stage, (n, 96, rows / 32, cols / 32); the pyramid reads the others by name."""
        x = self.stem(x)
        for level in range(1, 5):
            x = getattr(self, f"layer{level}")(x)
        return x


def _small_layer(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.GroupNorm(8, channels_out),
        nn.ReLU(inplace=True),
    )


def _small(classes: int, detections: int) -> Detector:
    stages = {f"layer{level}": str(level - 2) for level in range(2, 5)}
    backbone = BackboneWithFPN(SmallBackbone(), stages, list(SmallBackbone.CHANNELS[1:]), 64)
    return _assembled(backbone, 64, 128, classes, detections)


def _mobilenet(classes: int, detections: int) -> Detector:
    body = mobilenet_v2(weights=None, norm_layer=FrozenBatchNorm2d).features[:18]
    stages = {"6": "0", "13": "1", "17": "2"}
    backbone = BackboneWithFPN(body, stages, [32, 96, 320], 96)
    return _assembled(
        backbone,
        96,
        256,
        classes,
        detections,
        frozen={
            "heads": ("backbone.body",),
            "upper": tuple(f"backbone.body.{index}." for index in range(7)),
        },
    )


def _on_timm(name: str, classes: int, detections: int) -> Detector:
    pyramid = TimmPyramid(name, 96)
    return _assembled(
        pyramid,
        96,
        256,
        classes,
        detections,
        frozen={"heads": ("backbone.body",), "upper": pyramid.lower_parts()},
        normalization=colours(name),
    )


def _assembled(
    backbone: nn.Module,
    channels: int,
    wide: int,
    classes: int,
    detections: int,
    frozen: dict[str, tuple[str, ...]] | None = None,
    normalization: tuple[tuple[float, ...], tuple[float, ...]] = (IMAGENET_MEAN, IMAGENET_STD),
) -> Detector:
    """Torchvision's parts on a pyramid from 1/8 to 1/64, narrow and with few proposals."""
    anchors = AnchorGenerator(_SMALL_ANCHORS, (_RATIOS,) * len(_SMALL_ANCHORS))
    rpn = RegionProposalNetwork(
        anchors,
        RPNHead(channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.6,
        bg_iou_thresh=0.3,
        batch_size_per_image=128,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 400, "testing": 400},
        post_nms_top_n={"training": 200, "testing": 100},
        nms_thresh=0.7,
    )
    levels = ["0", "1", "2"]
    heads = {
        "box_roi_pool": MultiScaleRoIAlign(levels, 7, 1, canonical_scale=64),
        "box_head": TwoMLPHead(channels * 7**2, wide),
        "box_predictor": FastRCNNPredictor(wide, classes),
        "fg_iou_thresh": 0.5,
        "bg_iou_thresh": 0.5,
        "batch_size_per_image": 48,
        "positive_fraction": 0.33,
        "bbox_reg_weights": BOX_WEIGHTS,
        "score_thresh": 0.0,
        "nms_thresh": 0.3,
        "detections_per_img": detections,
        "mask_roi_pool": MultiScaleRoIAlign(levels, 14, 1, canonical_scale=64),
        "mask_head": MaskRCNNHeads(channels, (64, 64), 1),
        "mask_predictor": MaskRCNNPredictor(64, 64, classes),
    }
    mean, spread = normalization
    parts = LesionHeads(heads, mean_losses=False)
    return Detector(backbone, rpn, parts, mean=mean, spread=spread, frozen=frozen)


def _torchvision(classes: int, detections: int) -> Detector:
    """maskrcnn_resnet50_fpn_v2 with its own settings, but for thresholds that would cut curves."""
    network = maskrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None, num_classes=classes, box_detections_per_img=detections
    )
    parts = network.roi_heads
    heads = {
        **{name: getattr(parts, name) for name in _HEAD_MODULES},
        "fg_iou_thresh": 0.5,
        "bg_iou_thresh": 0.5,
        "batch_size_per_image": 512,
        "positive_fraction": 0.25,
        "bbox_reg_weights": None,
        "score_thresh": 0.0,
        "nms_thresh": 0.5,
        "detections_per_img": detections,
    }
    stem = ("backbone.body.conv1", "backbone.body.bn1")
    lower = tuple(f"backbone.body.layer{level}." for level in (1, 2))
    return Detector(
        network.backbone,
        network.rpn,
        LesionHeads(heads, mean_losses=False),
        frozen={"heads": ("backbone.body",), "upper": (*stem, *lower)},
    )


_HEAD_MODULES = (
    "box_roi_pool",
    "box_head",
    "box_predictor",
    "mask_roi_pool",
    "mask_head",
    "mask_predictor",
)
DETECTORS: dict[str, Callable[[int, int], Detector]] = {
    "paper": paper_detector,
    "torchvision": _torchvision,
    "mobilenet": _mobilenet,
    "small": _small,
}
# Detectors whose backbone starts from ImageNet weights → its name as a classifier; a detector on a
# network of timm has that network's name.
BACKBONES = {"mobilenet": "mobilenet_v2"}
