"""Matterport's Mask R-CNN, the paper's network, layer for layer (github.com/matterport/Mask_RCNN).

What differs from torchvision's: every convolution has a bias and a batch normalisation that runs
on stored statistics; the stride is in the first 1×1 of a block; the proposals have two classes an
anchor; classes and boxes come from a 7×7 convolution. Layers bear the names that they have in
Matterport's Keras files.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import MultiScaleRoIAlign

from second_look.models.detection_parts import (
    BOX_WEIGHTS,
    Anchors,
    Detector,
    LesionHeads,
    Proposals,
)

EPSILON = 1e-3  # of Keras' batch normalisation
BLOCKS = {2: 3, 3: 4, 4: 23, 5: 3}
ANCHOR_SIZES = (32, 64, 128, 256, 512)
# Height to width, in the order of Matterport's width to height 0.5, 1, 2.
ANCHOR_RATIOS = (2.0, 1.0, 0.5)
# Mean of the photographs that the start weights saw, of 255.
MEAN_PIXEL = (123.7, 116.8, 103.9)
CHANNELS = 256
# A region goes to level 4 + round(log2(side / 224)); torchvision's pooling rounds down instead,
# which is the same for a side larger by half a level.
_CANONICAL_SIDE = 224 / 2**0.5


class StoredBatchNorm(nn.Module):
    """Batch normalisation on stored statistics, in training too; scale and shift are learnt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised features, (n, channels, rows, cols)."""
        scale = self.weight * torch.rsqrt(self.running_var + EPSILON)
        shift = self.bias - self.running_mean * scale
        return x * scale[None, :, None, None].to(x.dtype) + shift[None, :, None, None].to(x.dtype)


class Block(nn.Module):
    """Bottleneck: 1×1 (with the stride), 3×3, 1×1, and the way past it."""

    def __init__(self, channels_in: int, width: int, *, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.branch2a, self.bn2a = nn.Conv2d(channels_in, width, 1, stride), StoredBatchNorm(width)
        self.branch2b, self.bn2b = nn.Conv2d(width, width, 3, padding=1), StoredBatchNorm(width)
        self.branch2c, self.bn2c = nn.Conv2d(width, 4 * width, 1), StoredBatchNorm(4 * width)
        if shortcut:
            self.branch1 = nn.Conv2d(channels_in, 4 * width, 1, stride)
            self.bn1 = StoredBatchNorm(4 * width)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, 4 · width, rows, cols)."""
        past = self.bn1(self.branch1(x)) if self.shortcut else x
        x = functional.relu(self.bn2a(self.branch2a(x)))
        x = functional.relu(self.bn2b(self.branch2b(x)))
        return functional.relu(self.bn2c(self.branch2c(x)) + past)


class ResNetFPN(nn.Module):
    """ResNet-101 with a feature pyramid P2 to P6 of 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn_conv1 = nn.Conv2d(3, 64, 7, 2, padding=3), StoredBatchNorm(64)
        channels_in = 64
        for stage, blocks in BLOCKS.items():
            width = 64 * 2 ** (stage - 2)
            blocks_of_stage = []
            for index in range(blocks):
                stride = 2 if index == 0 and stage > 2 else 1
                blocks_of_stage.append(
                    Block(channels_in, width, stride=stride, shortcut=index == 0)
                )
                channels_in = 4 * width
            setattr(self, f"res{stage}", nn.ModuleList(blocks_of_stage))
            setattr(self, f"fpn_c{stage}p{stage}", nn.Conv2d(channels_in, CHANNELS, 1))
            setattr(self, f"fpn_p{stage}", nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Feature maps "p2" to "p6", (n, 256, rows / 4 to / 64, cols / 4 to / 64)."""
        x = functional.relu(self.bn_conv1(self.conv1(x)))
        # Keras pads an even length at its end only.
        x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1)), 3, 2)
        stages = {}
        for stage in BLOCKS:
            for block in getattr(self, f"res{stage}"):
                x = block(x)
            stages[stage] = x
        merged: Tensor | None = None
        levels = {}
        for stage in reversed(BLOCKS):
            lateral = getattr(self, f"fpn_c{stage}p{stage}")(stages[stage])
            merged = (
                lateral
                if merged is None
                else lateral + functional.interpolate(merged, scale_factor=2)
            )
            levels[f"p{stage}"] = getattr(self, f"fpn_p{stage}")(merged)
        levels["p6"] = functional.max_pool2d(levels["p5"], 1, 2)
        return OrderedDict(sorted(levels.items()))


class ProposalHead(nn.Module):
    """A 3×3 convolution of 512 channels, then background or object, and four offsets, an anchor."""

    def __init__(self, anchors: int) -> None:
        super().__init__()
        self.rpn_conv_shared = nn.Conv2d(CHANNELS, 512, 3, padding=1)
        self.rpn_class_raw = nn.Conv2d(512, 2 * anchors, 1)
        self.rpn_bbox_pred = nn.Conv2d(512, 4 * anchors, 1)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of an object (n, anchors, rows, cols), offsets (n, 4 · anchors, rows, cols).

        A softmax over two classes is a sigmoid of the difference of their logits.
        """
        logits, offsets = [], []
        for level in features:
            shared = functional.relu(self.rpn_conv_shared(level))
            pairs = self.rpn_class_raw(shared).unflatten(1, (-1, 2))  # (n, anchors, 2, rows, cols)
            logits.append(pairs[:, :, 1] - pairs[:, :, 0])
            offsets.append(self.rpn_bbox_pred(shared))
        return logits, offsets


class ClassHead(nn.Module):
    """Two dense layers of 1024, written as 7×7 and 1×1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.mrcnn_class_conv1, self.mrcnn_class_bn1 = (
            nn.Conv2d(CHANNELS, 1024, 7),
            StoredBatchNorm(1024),
        )
        self.mrcnn_class_conv2, self.mrcnn_class_bn2 = (
            nn.Conv2d(1024, 1024, 1),
            StoredBatchNorm(1024),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Pooled regions (n, 256, 7, 7) -> (n, 1024)."""
        x = functional.relu(self.mrcnn_class_bn1(self.mrcnn_class_conv1(x)))
        x = functional.relu(self.mrcnn_class_bn2(self.mrcnn_class_conv2(x)))
        return x.flatten(1)


class ClassPredictor(nn.Module):
    """Class logits, and four offsets a class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.mrcnn_class_logits = nn.Linear(1024, classes)
        self.mrcnn_bbox_fc = nn.Linear(1024, 4 * classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, classes) and (n, 4 · classes)."""
        return self.mrcnn_class_logits(x), self.mrcnn_bbox_fc(x)


class MaskHead(nn.Module):
    """Four 3×3 convolutions with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        for index in range(1, 5):
            setattr(self, f"mrcnn_mask_conv{index}", nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
            setattr(self, f"mrcnn_mask_bn{index}", StoredBatchNorm(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        """Pooled regions (n, 256, 14, 14) -> the same shape."""
        for index in range(1, 5):
            x = getattr(self, f"mrcnn_mask_conv{index}")(x)
            x = functional.relu(getattr(self, f"mrcnn_mask_bn{index}")(x))
        return x


class MaskPredictor(nn.Module):
    """Twice the size, then a mask for each class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.mrcnn_mask_deconv = nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, 2)
        self.mrcnn_mask = nn.Conv2d(CHANNELS, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 256, 14, 14) -> logits (n, classes, 28, 28)."""
        logits: Tensor = self.mrcnn_mask(functional.relu(self.mrcnn_mask_deconv(x)))
        return logits


def paper_detector(classes: int, detections: int) -> Detector:
    """The paper's network with Matterport's settings.

    Two rules of its training are torchvision's instead, because the network also learns from
    normal images here: regions that hold no lesion fill up the 200 of an image, and the true
    boxes are among its proposals.
    """
    anchors = Anchors(tuple((size,) for size in ANCHOR_SIZES), (ANCHOR_RATIOS,) * len(ANCHOR_SIZES))
    rpn = Proposals(
        anchors,
        ProposalHead(len(ANCHOR_RATIOS)),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 6000, "testing": 6000},
        post_nms_top_n={"training": 2000, "testing": 1000},
        nms_thresh=0.7,
    )
    rpn.box_coder.weights = BOX_WEIGHTS
    heads: dict[str, Any] = {
        "box_roi_pool": _pool(7),
        "box_head": ClassHead(),
        "box_predictor": ClassPredictor(classes),
        "fg_iou_thresh": 0.5,
        "bg_iou_thresh": 0.5,
        "batch_size_per_image": 200,
        "positive_fraction": 0.33,
        "bbox_reg_weights": BOX_WEIGHTS,
        "score_thresh": 0.0,
        "nms_thresh": 0.3,
        "detections_per_img": detections,
        "mask_roi_pool": _pool(14),
        "mask_head": MaskHead(),
        "mask_predictor": MaskPredictor(classes),
    }
    detector = Detector(
        ResNetFPN(),
        rpn,
        LesionHeads(heads, mean_losses=True),
        mean=tuple(value / 255 for value in MEAN_PIXEL),
        spread=(1 / 255,) * 3,
        multiple=64,
        frozen={
            "heads": ("backbone.conv1", "backbone.bn_conv1", "backbone.res"),
            "upper": (
                "backbone.conv1", "backbone.bn_conv1", "backbone.res2", "backbone.res3",
            ),
        },
    )  # fmt: skip
    detector.apply(_keras_start)
    return detector


def _pool(size: int) -> MultiScaleRoIAlign:
    return MultiScaleRoIAlign(
        ["p2", "p3", "p4", "p5"],
        output_size=size,
        sampling_ratio=1,
        canonical_scale=_CANONICAL_SIDE,
        canonical_level=4,
    )


def _keras_start(module: nn.Module) -> None:
    """Weights as Keras starts them: Glorot's uniform, biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
