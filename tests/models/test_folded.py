"""Batch normalisation that was folded away is put back without changing what the network says."""

from __future__ import annotations

import pytest
import torch
from second_look.models.classifier import build_classifier
from second_look.models.folded import folded, is_folded, restore_normalisation
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def folded_network() -> nn.Module:
    """A classifier whose normalisation torch's own fusion has folded into its convolutions."""
    network = build_classifier("small", seed=0).train()
    with torch.no_grad():
        network(torch.rand(16, 1, 64, 64, generator=torch.Generator().manual_seed(0)))
    layers = list(network.backbone)
    for conv, norm in zip(layers[::3], layers[1::3], strict=True):
        weight, bias = fuse_conv_bn_weights(
            conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.weight.data, norm.bias.data = weight.data, bias.data
        norm.weight.data.fill_(1)
        norm.running_mean.zero_()
        norm.running_var.fill_(1)
    return network.eval()


def test_the_function_stays_and_the_statistics_are_those_of_the_pictures() -> None:
    network = folded_network()
    assert is_folded(network)
    pixels = torch.rand(8, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(pixels)
        restore_normalisation(network, pixels)
        assert torch.allclose(network(pixels), expected, atol=1e-5)
        assert not is_folded(network)
        # In training mode the batch's own statistics are used: now they are the same ones.
        network.train()
        first = network.backbone[0]((pixels.expand(-1, 3, -1, -1) - network.mean) / network.std)
        normed = network.backbone[1](first)
        network.eval()
        assert torch.allclose(normed, network.backbone[1](first), atol=1e-4)


@pytest.mark.parametrize(
    "architecture", ["small", "mobilenet_v2", "resnet18", "tf_efficientnet_lite0", "convnext_atto"]
)
def test_folding_keeps_the_function(architecture) -> None:
    network = build_classifier(architecture, seed=0)
    pixels = torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(pixels)  # statistics that are not those of the start
        quick = folded(network)
        assert torch.allclose(quick(pixels), network.eval()(pixels), atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())


def test_an_ordinary_network_is_not_folded() -> None:
    network = build_classifier("small", seed=0)
    with torch.no_grad():
        network.train()(torch.rand(4, 1, 64, 64))
    assert not is_folded(network)
    assert not is_folded(nn.Conv2d(1, 1, 1))
