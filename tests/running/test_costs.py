"""Operations and memory that are counted without computing: against a real step."""

from __future__ import annotations

import pytest
import torch
from second_look.models import dcgan, progressive
from second_look.models.classifier import Classifier
from second_look.running.costs import (
    CLASSIFIER,
    DCGAN,
    DETECTOR,
    PROGRESSIVE,
    Network,
    cost,
    passed,
)


def real_pass(name: str, count: int, side: int) -> tuple[float, float]:
    """The same count, of a forward pass that is computed."""
    network = Classifier(name, channels=3)
    pictures = torch.rand(count, 1, side, side)
    return passed(lambda: network.maps(pictures), network, pictures=count)


@pytest.mark.parametrize("name", ["small", "mobilenet_v2"])
def test_what_is_counted_is_what_a_real_pass_keeps(name: str) -> None:
    counted = cost(Network(CLASSIFIER, name, 64, 64))
    flops, kept_bytes = real_pass(name, 2, 64)
    assert counted.forward_flops == flops
    assert counted.kept_bytes == pytest.approx(kept_bytes, rel=0.01)
    assert counted.step_flops == 3 * flops


def test_memory_grows_with_pixels_and_pictures() -> None:
    quarter, full = (cost(Network(CLASSIFIER, "resnet18", n, n)) for n in (128, 256))
    assert full.kept_bytes == pytest.approx(4 * quarter.kept_bytes, rel=0.02)
    assert full.weight_bytes == 16 * full.parameters
    assert full.memory(8) - full.memory(4) == pytest.approx(4 * full.kept_bytes)
    halved = full.memory(8) - full.memory(8, bits=16)
    assert halved == pytest.approx(4 * full.kept_bytes)


def test_resnet50_is_as_published() -> None:
    counted = cost(Network(CLASSIFIER, "resnet50", 224, 224))
    assert counted.forward_flops == pytest.approx(8.2e9, rel=0.02)  # 4.1 G multiply-adds
    assert counted.parameters == pytest.approx(23.5e6, rel=0.01)


def test_native_pictures_in_batches_of_eight_need_300_gigabytes() -> None:
    native = cost(Network(CLASSIFIER, "resnet50", 5500, 3900))
    assert native.memory(8) > 290e9
    assert native.memory(8, bits=16) > 141e9  # an H200


def test_a_detector_costs_by_pixels_and_by_regions() -> None:
    small, large = (cost(Network(DETECTOR, "small", n, n)) for n in (256, 512))
    assert 2 < large.forward_flops / small.forward_flops < 4
    assert 2 < large.kept_bytes / small.kept_bytes < 4.5
    assert cost(Network(DETECTOR, "paper", 1024, 1024)).parameters == 63_632_682


def test_generators_count_both_networks() -> None:
    settings = dcgan.DcganSettings(256, 4000, 0.2, 0.25, "tanh")
    counted = cost(Network(DCGAN, "", 256, 256, 1, settings))
    # benchmarks/results/speed.csv: 39.9 GFLOP for a step with 8 patches
    assert 8 * counted.step_flops == pytest.approx(39.9e9, rel=0.05)
    grown = progressive.ProgressiveSettings(32, 64, 32, 1024, 8)
    fixed = progressive.ProgressiveSettings(32, 64, 32, 1024, 32)
    growing, full = (cost(Network(PROGRESSIVE, "", 32, 32, 1, s)) for s in (grown, fixed))
    assert growing.step_flops < full.step_flops
    assert full.kept_bytes <= growing.kept_bytes < 1.5 * full.kept_bytes  # fading in keeps more


def test_a_gan_needs_settings() -> None:
    with pytest.raises(ValueError, match="needs the settings"):
        cost(Network(DCGAN, "", 64, 64))
