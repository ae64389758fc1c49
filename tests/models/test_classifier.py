"""Classifiers: every architecture, both inputs, every start, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from second_look.catalogue import LABELS
from second_look.errors import CheckpointError, ParameterError
from second_look.models import backbones
from second_look.models.classifier import (
    build_classifier,
    find_imagenet,
    freeze_statistics,
    load_imagenet,
    load_own,
    load_start,
)
from torch import nn
from torchvision import models as zoo

# The project's, torchvision's, and of timm: with what follows the mean of the maps (ConvNeXt,
# MobileNetV3), with another padding and other levels (EfficientNet-Lite).
ARCHITECTURES = (
    "small",
    "mobilenet_v2",
    "resnet18",
    "convnext_atto",
    "mobilenetv3_small_050",
    "tf_efficientnet_lite0",
)


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0))


def save(network: torch.nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_architecture_scores_pictures_of_any_size(architecture, channels, pictures) -> None:
    network = build_classifier(architecture, seed=0, channels=channels).eval()
    with torch.no_grad():
        maps, logits = network.maps(pictures), network(pictures)
    assert maps.shape == (2, network.width, 2, 3)
    assert logits.shape == (2, len(LABELS))
    assert torch.allclose(logits, network.score(maps.mean((2, 3))), atol=1e-6)


def test_the_seed_decides_the_weights() -> None:
    first, second, of_other_seed = (
        build_classifier("small", seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], of_other_seed[key]) for key in first)


def published(architecture: str) -> nn.Module:
    """The network of the library that publishes its weights, with random ones."""
    torch.manual_seed(0)
    if architecture == "mobilenet_v2":
        return zoo.mobilenet_v2(weights=None, num_classes=1000).eval()
    return timm.create_model(architecture, pretrained=False).eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES[1:])
def test_an_imagenet_start_computes_what_its_library_does(
    architecture, pictures, tmp_path: Path
) -> None:
    reference = published(architecture)
    path = save(reference, tmp_path / "weights.pth")
    network = build_classifier(architecture, seed=1).eval()
    left_out = load_imagenet(network, path)
    assert len(left_out) == 2, "weight and bias of ImageNet's own last layer"
    mean, std = backbones.colours(architecture)
    if architecture == "tf_efficientnet_lite0":
        assert (mean, std) == ((0.5,) * 3, (0.5,) * 3)
    colour, spread = (torch.tensor(values)[:, None, None] for values in (mean, std))
    of_torchvision = architecture == "mobilenet_v2"
    last = reference.classifier[-1] if of_torchvision else reference.get_classifier()
    with torch.no_grad():
        network.head = last
        expected = reference((pictures.expand(-1, 3, -1, -1) - colour) / spread)
        assert torch.allclose(network(pictures), expected, atol=1e-4)


def test_one_channel_sums_the_colours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = zoo.resnet18(weights=None)
    path = save(reference, tmp_path / "weights.pth")
    grey = build_classifier("resnet18", seed=1, channels=1)
    load_imagenet(grey, path)
    assert torch.allclose(
        grey.state_dict()["backbone.network.conv1.weight"],
        reference.conv1.weight.sum(1, keepdim=True),
    )


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = save(zoo.resnet18(weights=None), tmp_path / "resnet18.pth")
    with pytest.raises(CheckpointError, match=r"does not fit mobilenet_v2: .* is missing"):
        load_imagenet(build_classifier("mobilenet_v2", seed=0), path)
    with pytest.raises(CheckpointError, match="project's own"):
        load_imagenet(build_classifier("small", seed=0), path)
    for content in (b"PK\x03\x04 nonsense", b"", b"\x80\x02"):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read as weights"):
            load_imagenet(build_classifier("resnet18", seed=0), tmp_path / "broken.pth")


def test_no_code_is_run_from_a_file_of_weights(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_imagenet(build_classifier("resnet18", seed=0), tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    for name in ("resnet50", "tf_efficientnet_lite0", "mobilenet_v2"):
        with pytest.raises(
            CheckpointError, match=rf"Download https://\S+{name}\S+ into one of them"
        ):
            find_imagenet(name, [tmp_path])
    with pytest.raises(CheckpointError, match="no ImageNet weights for 'small'"):
        find_imagenet("small", [tmp_path])
    mine = tmp_path / "resnet50_imagenet.safetensors"
    mine.touch()
    assert find_imagenet("resnet50", [tmp_path]) == mine
    of_torchvision = tmp_path / "resnet18-f37072fd.pth"
    of_torchvision.touch()
    assert find_imagenet("resnet18", [tmp_path]) == of_torchvision


def test_another_classifier_is_a_start_too(tmp_path: Path) -> None:
    first, second = build_classifier("small", seed=1), build_classifier("small", seed=2)
    load_own(second, save(first, tmp_path / "first.pth"))
    assert torch.equal(first.head.weight, second.head.weight)
    with pytest.raises(CheckpointError, match=r"head\.weight has shape \(4, 128\), expected \(2"):
        load_own(build_classifier("small", seed=0, classes=2), tmp_path / "first.pth")


def test_a_start_is_named_with_the_digest_of_its_file(tmp_path: Path) -> None:
    network = build_classifier("resnet18", seed=0)
    initial = network.state_dict()["backbone.network.conv1.weight"].clone()
    assert load_start(network, "random", []) == "random"
    assert torch.equal(network.state_dict()["backbone.network.conv1.weight"], initial)
    path = save(zoo.resnet18(weights=None), tmp_path / "resnet18_imagenet.pth")
    path = path.rename(tmp_path / "resnet18-f37072fd.pth")
    named = load_start(network, "imagenet", [tmp_path])
    assert named.startswith("imagenet ")
    assert load_start(network, str(path), []) == named.replace("imagenet", "file")
    weights = {
        f"network/{key}": value
        for key, value in build_classifier("small", seed=3).state_dict().items()
    }
    torch.save(weights, tmp_path / "own.pt")
    small = build_classifier("small", seed=0)
    load_start(small, str(tmp_path / "own.pt"), [])
    assert torch.equal(small.head.weight, weights["network/head.weight"])
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_start(small, str(tmp_path / "none.pt"), [])


def test_frozen_statistics_stay_while_weights_learn(pictures) -> None:
    network = build_classifier("mobilenet_v2", seed=0).train()
    freeze_statistics(network)
    initial = {key: value.clone() for key, value in network.state_dict().items()}
    network(pictures).sum().backward()
    final = network.state_dict()
    statistics = [key for key in initial if key.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(torch.equal(initial[key], final[key]) for key in statistics)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_statistics_that_several_gpus_share_are_frozen_too() -> None:
    network = nn.SyncBatchNorm.convert_sync_batchnorm(build_classifier("small", seed=0)).train()
    freeze_statistics(network)
    norms = [m for m in network.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert norms
    assert not any(norm.training for norm in norms)


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "tf_efficientnet_lite0"])
def test_the_real_imagenet_weights_fit(data_root: Path, architecture) -> None:
    network = build_classifier(architecture, seed=0)
    left_out = load_imagenet(network, find_imagenet(architecture, [data_root / "weights"]))
    assert [name.split(".")[0] for name in left_out] == ["classifier"] * 2


@pytest.mark.parametrize(("channels", "classes"), [(2, 4), (3, 1)])
def test_an_input_or_output_that_makes_no_sense(channels, classes) -> None:
    with pytest.raises(ValueError, match="must be"):
        build_classifier("small", seed=0, channels=channels, classes=classes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_lite_0", "there is no network 'efficientnet_lite_0'.*'efficientnet_lite0'"),
        ("vit_tiny_patch16_224", "no feature maps for pictures of any size"),
    ],
)
def test_a_network_that_is_unknown_or_has_no_maps(name, message) -> None:
    with pytest.raises(ParameterError, match=message):
        build_classifier(name, seed=0)


def test_a_new_last_layer_is_quiet() -> None:
    """timm draws that of an EfficientNet from ±1/√classes: huge scores ruin what it knows."""
    network = build_classifier("tf_efficientnet_lite0", seed=0, classes=2)
    assert float(network.head.weight.detach().abs().max()) < 0.03


@pytest.mark.parametrize("architecture", ["small", "mobilenetv3_small_050"])
def test_the_last_layer_may_see_maxima_over_the_picture(architecture, tmp_path):
    mean = build_classifier(architecture, seed=1).eval()
    torch.save(
        {f"network/{key}": value for key, value in mean.state_dict().items()}, tmp_path / "m.pt"
    )
    network = build_classifier(architecture, seed=2, maxima=True).eval()
    load_own(network, tmp_path / "m.pt")
    pixels = torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = network.maps(pixels)
        expected = torch.cat(
            [network.finish(maps.mean((2, 3))), network.finish(maps.flatten(2).max(2).values)], 1
        )
        assert torch.equal(network.pooled(maps), expected)
        # Begun from a network of means, it answers as that one does.
        assert torch.allclose(network(pixels), mean(pixels), atol=1e-5)
    load_own(network, tmp_path / "m.pt")
    torch.save(network.state_dict(), tmp_path / "maxima.pt")
    with pytest.raises(CheckpointError, match=r"head\.weight"):
        load_own(mean, tmp_path / "maxima.pt")
