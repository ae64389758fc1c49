"""Region proposals and heads of every Mask R-CNN here: torchvision's, with what differs.

torchvision names boxes (x_min, y_min, x_max, y_max); inside the networks so do we.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import (
    RoIHeads,
    fastrcnn_loss,
    maskrcnn_inference,
    maskrcnn_loss,
)
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import boxes as box_ops

LOSSES = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")
# Divisors of box offsets, 1 / 0.1 and 1 / 0.2: their standard deviations in Matterport's network.
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# A box narrower than this, px, is none.
_MIN_SIDE = 1e-2


class Anchors(AnchorGenerator):  # type: ignore[misc]
    """torchvision's anchors without its rounding to whole pixels, as Matterport lays them."""

    def generate_anchors(
        self,
        scales: Any,  # noqa: ANN401
        aspect_ratios: Any,  # noqa: ANN401
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> Tensor:
        """Boxes around (0, 0) of every ratio (height to width) and size, (anchors, 4)."""
        sides = torch.as_tensor(scales, dtype=dtype, device=device)
        tall = torch.as_tensor(aspect_ratios, dtype=dtype, device=device).sqrt()
        widths = (sides[None, :] / tall[:, None]).flatten()
        heights = (sides[None, :] * tall[:, None]).flatten()
        return torch.stack([-widths, -heights, widths, heights], dim=1) / 2


class Proposals(RegionProposalNetwork):  # type: ignore[misc]
    """Matterport's proposals: the best of all levels together; losses are means."""

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: list[tuple[int, int]],
        num_anchors_per_level: list[int],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The best boxes of each image after suppression, whatever level they come from.

        Args:
            proposals: (images, anchors, 4).
            objectness: Logits, (images · anchors, 1).
            image_shapes: Rows and columns of each picture without its padding.
            num_anchors_per_level: Not used.
        """
        scores = objectness.detach().reshape(len(proposals), -1)
        scores, best = scores.topk(min(self.pre_nms_top_n(), scores.shape[1]), dim=1)
        boxes = proposals.gather(1, best[:, :, None].expand(-1, -1, 4))
        regions, chances = [], []
        for candidates, logits, shape in zip(boxes, scores, image_shapes, strict=True):
            clipped = box_ops.clip_boxes_to_image(candidates, shape)
            wide = box_ops.remove_small_boxes(clipped, _MIN_SIDE)
            clipped, logits = clipped[wide], logits[wide]
            best = box_ops.nms(clipped, logits.float(), self.nms_thresh)[: self.post_nms_top_n()]
            regions.append(clipped[best])
            chances.append(logits[best].sigmoid())
        return regions, chances

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy over the drawn anchors, mean smooth L1 over the positive ones."""
        positive, negative = (torch.cat(part) > 0 for part in self.fg_bg_sampler(labels))
        drawn = torch.where(positive | negative)[0]
        truth = torch.cat(labels)
        class_loss = functional.binary_cross_entropy_with_logits(
            objectness.flatten()[drawn].float(), truth[drawn]
        )
        hits = torch.where(positive)[0]
        offsets = torch.cat(regression_targets)[hits]
        return class_loss, _mean_smooth_l1(pred_bbox_deltas[hits], offsets)


class LesionHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's heads, which give the scores of every class with each detection.

    A region gives one detection: of its likeliest lesion class, with that class's box. Boxes
    suppress each other whatever their classes, so that a place is found once. Nothing is left out
    for a low score, because a threshold would cut off the ROC and FROC curves.

    Args:
        parts: As torchvision's RoIHeads takes them.
        mean_losses: Losses as means over positive regions (Matterport) rather than sums over all
            (torchvision).
    """

    def __init__(self, parts: dict[str, Any], *, mean_losses: bool) -> None:
        super().__init__(**parts)
        self.mean_losses = mean_losses

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Detections of each picture (empty in training), and losses (empty otherwise)."""
        if self.training:
            return [], self._losses(features, proposals, image_shapes, targets or [])
        return self._detections(features, proposals, image_shapes), {}

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        drawn, matched, labels, offsets = self.select_training_samples(proposals, targets)
        logits, deltas = self._classify(features, drawn, image_shapes)
        positive = [torch.where(values > 0)[0] for values in labels]
        regions = [values[rows] for values, rows in zip(drawn, positive, strict=True)]
        masks = self.mask_predictor(
            self.mask_head(self.mask_roi_pool(features, regions, image_shapes))
        )
        class_loss, box_loss = (self._mean_losses if self.mean_losses else fastrcnn_loss)(
            logits, deltas, labels, offsets
        )
        mask_loss = maskrcnn_loss(
            masks.float(),
            regions,
            [target["masks"] for target in targets],
            [target["labels"] for target in targets],
            [values[rows] for values, rows in zip(matched, positive, strict=True)],
        )
        losses = (class_loss, box_loss, mask_loss)
        return dict(zip(LOSSES[2:], losses, strict=True))

    def _classify(
        self, features: dict[str, Tensor], regions: list[Tensor], shapes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Class logits (regions, classes) and box offsets (regions, classes · 4), float32."""
        pooled = self.box_roi_pool(features, regions, shapes)
        logits, deltas = self.box_predictor(self.box_head(pooled))
        return logits.float(), deltas.float()

    @staticmethod
    def _mean_losses(
        logits: Tensor, deltas: Tensor, labels: list[Tensor], offsets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        truth = torch.cat(labels)
        hits = torch.where(truth > 0)[0]
        predicted = deltas.reshape(len(truth), -1, 4)[hits, truth[hits]]  # the true class's box
        return (
            functional.cross_entropy(logits, truth),
            _mean_smooth_l1(predicted, torch.cat(offsets)[hits]),
        )

    def _detections(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> list[dict[str, Tensor]]:
        """Of each picture: boxes, labels, scores, class_scores, masks (n, 1, side, side)."""
        logits, deltas = self._classify(features, proposals, image_shapes)
        counts = [len(item) for item in proposals]
        boxes = torch.split(self.box_coder.decode(deltas, proposals), counts)
        chances = torch.split(logits.softmax(dim=1), counts)
        detections = [
            self._best_of(*item) for item in zip(boxes, chances, image_shapes, strict=True)
        ]  # fmt: skip
        regions = [item["boxes"] for item in detections]
        masks = self.mask_predictor(
            self.mask_head(self.mask_roi_pool(features, regions, image_shapes))
        )
        parts = maskrcnn_inference(masks.float(), [item["labels"] for item in detections])
        return [item | {"masks": mask} for item, mask in zip(detections, parts, strict=True)]

    def _best_of(self, boxes: Tensor, chances: Tensor, shape: tuple[int, int]) -> dict[str, Tensor]:
        """The detections of one picture, best first, from boxes (n, classes, 4)."""
        scores, labels = chances[:, 1:].max(dim=1)
        labels = labels + 1
        clipped = boxes.reshape(len(chances), -1, 4)[torch.arange(len(chances)), labels]
        clipped = box_ops.clip_boxes_to_image(clipped, shape)
        wide = box_ops.remove_small_boxes(clipped, _MIN_SIDE)
        # Suppression goes by the chance of any lesion: classes that compete lose no detection.
        best = wide[
            box_ops.nms(clipped[wide], 1 - chances[wide, 0], self.nms_thresh)[
                : self.detections_per_img
            ]
        ]
        return {
            "boxes": clipped[best],
            "labels": labels[best],
            "scores": scores[best],
            "class_scores": chances[best],
        }


class Detector(nn.Module):
    """A Mask R-CNN on grey pictures: five losses in training, detections otherwise.

    Grey levels come as shares of the brightest level that the image's depth can hold, 0 to 1, and
    are brought to what the backbone knows: (grey - mean) / spread in each of three channels.

    Args:
        backbone: Picture (n, 3, rows, cols) -> feature maps by name.
        rpn: Region proposals.
        roi_heads: Classes, boxes and masks.
        mean, spread: Of the three channels, for grey levels from 0 to 1.
        multiple: Rows and columns of a batch must be multiples of it.
        frozen: Layers by stage of training -> prefixes of parameters that stay as they are.
    """

    def __init__(
        self,
        backbone: nn.Module,
        rpn: nn.Module,
        roi_heads: nn.Module,
        *,
        mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        spread: tuple[float, ...] = (0.229, 0.224, 0.225),
        multiple: int = 32,
        frozen: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.rpn, self.roi_heads = backbone, rpn, roi_heads
        self.multiple, self.frozen = multiple, frozen or {}
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(spread).reshape(1, -1, 1, 1), persistent=False)

    def forward(
        self,
        pictures: Tensor,
        sizes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses in training, else detections.

        Args:
            pictures: Grey levels 0 to 1, (n, 1, rows, cols), padded with 0 at the right and below.
            sizes: Rows and columns of each without the padding.
            targets: In training, of each picture: boxes (lesions, 4) as (x_min, y_min, x_max,
                y_max), labels (lesions,) int64 from 1, masks (lesions, rows, cols).

        Returns:
            In training the LOSSES; else of each picture boxes, labels, scores of the label,
            class_scores (n, classes) and masks (n, 1, side, side) inside the boxes, 0 to 1.

        Raises:
            ValueError: Rows or columns are no multiples of `multiple`.
        """
        if pictures.shape[2] % self.multiple or pictures.shape[3] % self.multiple:
            raise ValueError(
                f"rows and columns must be multiples of {self.multiple}. "
                f"Got {tuple(pictures.shape[2:])}."
            )
        batch = (pictures - self.mean) / self.spread
        features = self.backbone(batch)
        if isinstance(features, Tensor):
            features = OrderedDict([("0", features)])
        images = ImageList(batch, sizes)
        proposals, losses = self.rpn(images, features, targets)
        detections, further_losses = self.roi_heads(features, proposals, sizes, targets)
        result: dict[str, Tensor] | list[dict[str, Tensor]]
        result = {**losses, **further_losses} if self.training else detections
        return result

    def frozen_in(self, stage: str) -> tuple[str, ...]:
        """Prefixes of the parameters that a stage of training leaves as they are.

        Raises:
            ValueError: The network knows no such stage.
        """
        stages = {"all": (), **self.frozen}
        if stage not in stages:
            raise ValueError(f"a stage must be one of {sorted(stages)}. Got {stage!r}.")
        return stages[stage]


def _mean_smooth_l1(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean smooth L1 with its corner at 1; 0, but with a gradient's path, where there is none."""
    total = functional.smooth_l1_loss(predicted.float(), target, reduction="sum")
    return total / max(1, predicted.numel())
