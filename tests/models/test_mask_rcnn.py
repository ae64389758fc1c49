"""The detectors: the paper's to the last parameter, and one interface for all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from second_look.errors import ParameterError
from second_look.models.detection_parts import LOSSES, Anchors, Detector
from second_look.models.mask_rcnn import DETECTORS, build_detector, parameter_table
from second_look.models.resnet_matterport import (
    ANCHOR_RATIOS,
    ANCHOR_SIZES,
    ResNetFPN,
    StoredBatchNorm,
)
from torch import nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.poolers import LevelMapper

# Trainable and fixed parameters of Matterport's ResNet-101-FPN with four classes.
BREAKDOWN = {
    "stem": (9_600, 128),
    "res2": (217_216, 2_816),
    "res3": (1_223_168, 7_168),
    "res4": (26_126_848, 72_704),
    "res5": (14_976_000, 22_528),
    "FPN 1×1": (984_064, 0),
    "FPN 3×3": (2_360_320, 0),
    "RPN shared 3×3": (1_180_160, 0),
    "RPN class": (3_078, 0),
    "RPN box": (6_156, 0),
    "head 7×7": (12_846_080, 0),
    "head 1×1": (1_049_600, 0),
    "head normalisation": (4_096, 4_096),
    "class logits": (4_100, 0),
    "class boxes": (16_400, 0),
    "mask convolutions": (2_360_320, 0),
    "mask normalisation": (2_048, 2_048),
    "mask deconvolution": (262_400, 0),
    "mask 1×1": (1_028, 0),
    "all": (63_632_682, 111_488),
}


@pytest.fixture(scope="module")
def paper() -> Detector:
    with torch.device("meta"):
        return build_detector("paper")


def targets(rows=64, cols=64):
    """A picture with a lesion of class 2, and one without."""
    masks = torch.zeros((1, rows, cols), dtype=torch.uint8)
    masks[0, 20:44, 10:40] = 1
    none = {"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64)}
    lesion = {"boxes": torch.tensor([[10.0, 20.0, 40.0, 44.0]]), "labels": torch.tensor([2])}
    return [{**lesion, "masks": masks}, {**none, "masks": masks[:0]}]


# ------------------------------------------------------------------ the paper's network


def test_the_paper_s_network_has_the_paper_s_parameters(paper):
    table = parameter_table(paper).set_index("module")
    counts = {name: tuple(row) for name, row in table.iterrows()}
    assert counts == BREAKDOWN
    assert sum(counts["all"]) == 63_744_170


def test_other_numbers_of_classes_do_not_fit():
    with torch.device("meta"):
        for classes in (2, 3, 5, 81):
            total = parameter_table(build_detector("paper", classes=classes)).iloc[-1]
            assert total["trainable"] + total["fixed"] != 63_744_170


def test_every_convolution_has_a_bias(paper):
    layers = [m for m in paper.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 104 + 8 + 3 + 2 + 6
    assert all(layer.bias is not None for layer in layers)


def test_the_stride_is_in_the_first_convolution_of_a_block(paper):
    for stage, stride in ((2, 1), (3, 2), (4, 2), (5, 2)):
        first, *later_blocks = getattr(paper.backbone, f"res{stage}")
        assert (first.branch2a.stride, first.branch1.stride) == ((stride,) * 2,) * 2
        assert first.branch2b.stride == (1, 1)
        assert all(block.branch2a.stride == (1, 1) for block in later_blocks)


def test_batch_normalisation_runs_on_stored_statistics_in_training():
    layer = StoredBatchNorm(2).train()
    layer.running_mean.copy_(torch.tensor([1.0, -2.0]))
    layer.running_var.copy_(torch.tensor([4.0, 9.0]))
    nn.init.constant_(layer.weight, 3.0)
    nn.init.constant_(layer.bias, 0.5)
    x = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    mean, var = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 9.0])
    expected = 3 * (x - mean[:, None, None]) / (var[:, None, None] + 1e-3).sqrt() + 0.5
    torch.testing.assert_close(layer(x), expected)
    assert layer.running_mean.tolist() == [1.0, -2.0]


def test_p6_is_every_second_pixel_of_p5_and_levels_halve():
    with torch.no_grad():
        levels = ResNetFPN()(torch.rand(1, 3, 128, 64))
    assert [tuple(x.shape) for x in levels.values()] == [
        (1, 256, 128 // stride, 64 // stride) for stride in (4, 8, 16, 32, 64)
    ]
    torch.testing.assert_close(levels["p6"], levels["p5"][:, :, ::2, ::2])


def test_anchors_are_matterport_s(paper):
    """Sides of scale · √ratio by scale / √ratio, centred on every pixel of a level, unrounded."""
    generator = Anchors(tuple((size,) for size in ANCHOR_SIZES), (ANCHOR_RATIOS,) * 5)
    assert paper.rpn.anchor_generator.sizes == generator.sizes
    assert paper.rpn.anchor_generator.aspect_ratios == generator.aspect_ratios
    features = [torch.zeros(1, 1, 128 // s, 64 // s) for s in (4, 8, 16, 32, 64)]
    anchors = generator(ImageList(torch.zeros(1, 3, 128, 64), [(128, 64)]), features)[0]
    expected = []
    for stride, scale in zip((4, 8, 16, 32, 64), (32, 64, 128, 256, 512), strict=True):
        for row in range(128 // stride):
            for col in range(64 // stride):
                for ratio in (0.5, 1, 2):  # width to height
                    height, width = scale / ratio**0.5, scale * ratio**0.5
                    x, y = col * stride, row * stride
                    expected.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    np.testing.assert_allclose(anchors.numpy(), expected, atol=1e-4)


def test_a_region_goes_to_the_level_of_matterport_s_rule(paper):
    pool = paper.roi_heads.box_roi_pool
    mapper = LevelMapper(2, 5, pool.canonical_scale, pool.canonical_level)
    sides = torch.tensor([10.0, 50, 78, 81, 111, 150, 170, 224, 310, 320, 600, 1000])
    squares = torch.stack([sides * 0, sides * 0, sides, sides], dim=1)
    expected = [min(5, max(2, 4 + round(np.log2(side / 224)))) - 2 for side in sides.tolist()]
    assert mapper([squares]).tolist() == expected


def test_proposals_heads_and_losses_are_set_as_matterport_sets_them(paper):
    rpn, heads = paper.rpn, paper.roi_heads
    assert (rpn.proposal_matcher.high_threshold, rpn.proposal_matcher.low_threshold) == (0.7, 0.3)
    assert (rpn.fg_bg_sampler.batch_size_per_image, rpn.nms_thresh) == (256, 0.7)
    assert rpn.box_coder.weights == heads.box_coder.weights == (10, 10, 5, 5)
    assert (heads.fg_bg_sampler.batch_size_per_image, heads.fg_bg_sampler.positive_fraction) == (
        200,
        0.33,
    )
    assert (heads.nms_thresh, heads.score_thresh) == (0.3, 0.0)
    rpn.train()
    assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (6000, 2000)
    rpn.eval()
    assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (6000, 1000)


def test_the_paper_s_losses_are_means_over_what_is_there():
    heads = build_detector("small").roi_heads
    logits = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 3.0]])
    deltas = torch.zeros(2, 16)
    deltas[1, 12:] = torch.tensor([0.5, 2.0, 0.0, -3.0])  # class 3's box
    labels, offsets = [torch.tensor([0]), torch.tensor([3])], [torch.zeros(1, 4)] * 2
    classes, boxes = heads._mean_losses(logits, deltas, labels, offsets)
    chances = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    assert float(classes) == pytest.approx(-np.log([chances[0, 0], chances[1, 3]]).mean())
    assert float(boxes) == pytest.approx((0.5 * 0.25 + 1.5 + 0 + 2.5) / 4)
    _, none = heads._mean_losses(logits, deltas, [torch.zeros(2, dtype=torch.int64)], offsets)
    assert float(none) == 0


# ------------------------------------------------------------------ one interface


@pytest.mark.parametrize("name", ["paper", "torchvision", "mobilenet", "small"])
def test_training_gives_five_losses_and_inference_detections(name):
    torch.manual_seed(0)
    detector = build_detector(name, detections=5)
    # Few regions, so that the large networks take seconds.
    detector.roi_heads.fg_bg_sampler.batch_size_per_image = 8
    detector.rpn._pre_nms_top_n = detector.rpn._post_nms_top_n = {"training": 20, "testing": 20}
    pictures, sizes = torch.rand(2, 1, 64, 64), [(64, 64), (60, 40)]
    with torch.no_grad():
        losses = detector.train()(pictures, sizes, targets())
        assert tuple(losses) == LOSSES
        assert all(bool(torch.isfinite(loss)) for loss in losses.values())
        results = detector.eval()(pictures, sizes)
    for detections, (rows, cols) in zip(results, sizes, strict=True):
        count = len(detections["boxes"])
        assert 0 < count <= 5
        assert detections["class_scores"].shape == (count, 4)
        assert detections["masks"].shape[:2] == (count, 1)
        torch.testing.assert_close(detections["class_scores"].sum(dim=1), torch.ones(count))
        best = detections["class_scores"][:, 1:].max(dim=1)
        torch.testing.assert_close(detections["scores"], best.values)
        assert detections["labels"].tolist() == (best.indices + 1).tolist()
        assert bool((detections["boxes"] >= 0).all())
        assert bool((detections["boxes"] <= torch.tensor([cols, rows, cols, rows])).all())


def test_a_place_is_found_once_whatever_its_classes():
    heads = build_detector("small").roi_heads
    box = torch.tensor([10.0, 10.0, 30.0, 30.0])
    boxes = torch.stack([box, box + 1, box + 30]).repeat(1, 4)
    chances = torch.tensor([[0.2, 0.7, 0.1, 0.0], [0.1, 0.1, 0.0, 0.8], [0.9, 0.1, 0.0, 0.0]])
    detections = heads._best_of(boxes, chances, (64, 64))
    assert detections["labels"].tolist() == [3, 1]
    torch.testing.assert_close(detections["scores"], torch.tensor([0.8, 0.1]))


def test_a_picture_without_lesions_trains_the_heads_too():
    detector = build_detector("small").train()
    losses = detector(torch.rand(1, 1, 64, 64), [(64, 64)], targets()[1:])
    sum(losses.values()).backward()
    assert float(losses["loss_mask"].detach()) == float(losses["loss_box_reg"].detach()) == 0
    assert float(losses["loss_classifier"].detach()) > 0


@pytest.mark.parametrize("name", DETECTORS)
def test_stages_freeze_what_they_name(name):
    with torch.device("meta"):
        detector = build_detector(name)
    names = [key for key, _ in detector.named_parameters()]
    assert detector.frozen_in("all") == ()
    if name == "small":
        with pytest.raises(ValueError, match="a stage must be one of"):
            detector.frozen_in("heads")
        return
    frozen = {
        stage: {key for key in names if key.startswith(detector.frozen_in(stage))}
        for stage in ("heads", "upper")
    }
    assert frozen["upper"] < frozen["heads"]
    assert all(key.startswith("backbone") for key in frozen["heads"])
    assert not any("fpn" in key for key in frozen["heads"])


def test_a_grey_picture_is_brought_to_what_the_backbone_knows():
    with torch.device("cpu"):
        small = build_detector("small")
    white = (torch.ones(1, 1, 1, 1) - small.mean) / small.spread
    np.testing.assert_allclose(
        white.flatten().numpy(),
        (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225],
        rtol=1e-5,
    )


def test_wrong_names_and_sizes_are_named():
    with pytest.raises(ParameterError, match=r"no network 'resnet'. Did you mean"):
        build_detector("resnet")
    with pytest.raises(ValueError, match="two classes or more"):
        build_detector("small", classes=1)
    with pytest.raises(ValueError, match=r"multiples of 32. Got \(64, 50\)"):
        build_detector("small").eval()(torch.zeros(1, 1, 64, 50), [(64, 50)])
