"""Batch normalisation folded into the layer before it, and taken out again.

Weights that were made ready for phones have it folded: mean 0, variance 1, factor 1. Such a network
computes the same, but nothing keeps its activations in bounds while it learns, and training at
usual rates ruins it. Measured statistics put in, with the affine part that undoes them, give the
same function with its normalisation at work.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Tracer
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval

from second_look.models.classifier import Classifier


def folded(network: Classifier) -> Classifier:
    """A copy that computes the same in evaluation mode, with fewer passes over its maps.

    On a CPU it takes a tenth (ResNet-18) to a third (MobileNetV2) off the time.
    """
    copied = copy.deepcopy(network).eval()
    try:
        traced = GraphModule(copied.backbone, _Convolutions().trace(copied.backbone))
    except TraceError:  # what it computes depends on its input: it stays as it is
        return copied
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        preceding = node.args[0]
        conv = modules.get(str(preceding.target)) if preceding.op == "call_module" else None
        if isinstance(conv, nn.Conv2d) and len(preceding.users) == 1:
            traced.set_submodule(str(preceding.target), fuse_conv_bn_eval(conv, norm))
            # timm's batch normalisation contains what follows it.
            traced.set_submodule(str(node.target), getattr(norm, "act", nn.Identity()))
    traced.delete_all_unused_submodules()
    traced.recompile()
    copied.backbone = traced
    return copied.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class _Convolutions(Tracer):
    """Convolutions and normalisations stay whole, also timm's own kinds of them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is called as it is."""
        basic = isinstance(m, (nn.Conv2d, nn.BatchNorm2d))
        return basic or super().is_leaf_module(m, module_qualified_name)


def is_folded(network: nn.Module) -> bool:
    """Whether every batch normalisation of a network does nothing but add a bias."""
    norms = _norms(network)
    return bool(norms) and all(
        norm.running_mean is not None
        and norm.running_var is not None
        and not torch.any(norm.running_mean)
        and not torch.any(norm.running_var - 1)
        for norm in norms
    )


def restore_normalisation(network: nn.Module, pixels: Tensor) -> None:
    """Give each batch normalisation the statistics of what it gets; the function stays the same.

    Args:
        network: In any mode; it is left in evaluation mode.
        pixels: Pictures like those that it will learn from, (n, 1, rows, cols).
    """
    statistics: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        maps = inputs[0]
        statistics[norm] = (maps.mean(dim=(0, 2, 3)), maps.var(dim=(0, 2, 3), unbiased=False))

    hooks = [norm.register_forward_hook(note) for norm in _norms(network)]
    network.eval()
    with torch.no_grad():
        network(pixels)
        for hook in hooks:
            hook.remove()
        for norm, (mean, variance) in statistics.items():
            _put(norm, mean, variance)


def _put(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """New statistics, and the factor and bias with which the layer computes what it did."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    norm.bias.copy_(norm.bias + (mean - norm.running_mean) * factor)
    norm.weight.copy_(factor * torch.sqrt(variance + norm.eps))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
