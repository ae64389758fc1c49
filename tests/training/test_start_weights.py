"""Start weights: what is loaded, what is left out, what the error says when a file is missing."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file
from second_look.errors import DataError, MissingDataError, ParameterError
from second_look.models.mask_rcnn import build_detector
from second_look.training.start_weights import SOURCES, start_from
from torchvision.models import mobilenet_v2
from torchvision.models.detection import maskrcnn_resnet50_fpn_v2


@pytest.mark.parametrize("model", ["paper", "torchvision", "mobilenet"])
def test_a_missing_file_says_what_to_download_and_how_to_do_without(tmp_path, model):
    path = tmp_path / "weights" / "start.pth"
    with torch.device("meta"):
        detector = build_detector(model)
    with pytest.raises(MissingDataError) as error:
        start_from(detector, model, str(path))
    text = str(error.value)
    assert str(path) in text
    assert f"Download {SOURCES[model]} and give its place" in text
    assert 'set weights to "" to train from scratch on purpose' in text


def test_without_a_file_nothing_is_loaded():
    assert start_from(build_detector("small"), "small", "").empty


def test_the_small_network_has_no_file_to_start_from():
    with pytest.raises(DataError, match="'small' has no weights to start from"):
        start_from(build_detector("small"), "small", "any.pth")


def test_the_backbone_starts_from_a_file_of_mobilenet(tmp_path):
    torch.manual_seed(3)
    source = mobilenet_v2(num_classes=7).state_dict()
    save_file(source, tmp_path / "imagenet.safetensors")
    detector = build_detector("mobilenet")
    report = start_from(detector, "mobilenet", str(tmp_path / "imagenet.safetensors"))
    body = detector.backbone.body.state_dict()
    assert report["loaded"].all()
    assert len(report) == len(body)
    for name, value in body.items():
        assert torch.equal(value, source[f"features.{name}"]), name


@pytest.mark.parametrize(
    "name", ["mobilenetv3_small_050", "convnext_atto", "tf_efficientnet_lite0"]
)
def test_the_backbone_starts_from_a_classifier_of_timm(tmp_path, name):
    torch.manual_seed(3)
    classifier = timm.create_model(name, pretrained=False).eval()
    save_file(classifier.state_dict(), tmp_path / "imagenet.safetensors")
    detector = build_detector(name).eval()
    report = start_from(detector, name, str(tmp_path / "imagenet.safetensors"))
    assert report["loaded"].all()
    assert len(report) > 100
    picture = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        levels = detector.backbone.body(picture)
        expected = classifier.forward_intermediates(picture, intermediates_only=True)
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 12), (4, 6), (2, 3)]
    assert torch.allclose(levels[-1], expected[-1], atol=1e-4)
    lower = detector.frozen_in("upper")
    learnt = [k for k, _ in detector.backbone.body.named_parameters()]
    assert 0 < len(lower) < len(learnt) / 2
    assert all(prefix.removeprefix("backbone.body.") in learnt for prefix in lower)


def test_a_network_without_a_pyramid_is_refused():
    with pytest.raises(ParameterError, match="no feature maps of 1/8, 1/16, 1/32"):
        build_detector("vit_tiny_patch16_224")
    with pytest.raises(ParameterError, match="there is no network 'papper'"):
        build_detector("papper")


def test_torchvision_s_own_file_loads_but_for_the_layers_of_its_classes(tmp_path):
    with torch.device("meta"):
        shapes = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict()
    state = {
        name: torch.full(value.shape, 0.5) if value.is_floating_point() else torch.tensor(1)
        for name, value in shapes.items()
    }
    torch.save(state, tmp_path / "coco.pth")
    with torch.device("meta"):
        detector = build_detector("torchvision")
    detector.to_empty(device="cpu")
    torch.nn.init.zeros_(detector.roi_heads.box_predictor.cls_score.weight)
    report = start_from(detector, "torchvision", str(tmp_path / "coco.pth"))
    left = report[~report["loaded"]]
    assert set(left["layer"]) == {
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
        "roi_heads.mask_predictor.mask_fcn_logits",
    }
    assert left["shape"].iloc[0] == "(91, 1024)"
    assert bool((detector.backbone.body.conv1.weight == 0.5).all())
    assert bool((detector.roi_heads.mask_head[3][0].weight == 0.5).all())
    assert bool((detector.roi_heads.box_predictor.cls_score.weight == 0).all())


def test_a_file_of_another_architecture_is_named_and_changes_nothing(tmp_path):
    detector = build_detector("mobilenet")
    initial = detector.backbone.body["0"][0].weight.detach().clone()
    state = mobilenet_v2().state_dict()
    state["features.0.0.weight"] = torch.zeros(16, 3, 3, 3)
    del state["features.1.conv.0.0.weight"]
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"0.0.weight has shape \(16, 3, 3, 3\), not \(32,.*1.conv"):
        start_from(detector, "mobilenet", str(tmp_path / "other.pth"))
    assert torch.equal(detector.backbone.body["0"][0].weight, initial)
