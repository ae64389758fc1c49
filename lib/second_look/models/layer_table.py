"""A network's layers as Keras prints them: name, type, output shape, number of parameters."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

COLUMNS = ("layer", "type", "output_shape", "parameters")
# Class -> Keras's name of the type; any other class keeps its own.
_KERAS: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str], ...] = (
    (nn.Linear, "Dense"),
    (nn.Conv2d, "Conv2D"),
    ((nn.BatchNorm1d, nn.BatchNorm2d), "BatchNormalization"),
    (nn.LeakyReLU, "LeakyReLU"),
    ((nn.Dropout, nn.Dropout2d), "Dropout"),
    (nn.Upsample, "UpSampling2D"),
    (nn.AvgPool2d, "AveragePooling2D"),
    (nn.Unflatten, "Reshape"),
    (nn.Flatten, "Flatten"),
    ((nn.Tanh, nn.Sigmoid, nn.Identity), "Activation"),
)


def layer_table(
    network: nn.Module, example: Tensor, numbers: Counter[str] | None = None
) -> pd.DataFrame:
    """The layers that an input runs through, in their order.

    Args:
        network: Is run once, in evaluation mode.
        example: An input, (1, ...).
        numbers: How many layers of each name were counted before; a second network of one figure
            goes on with the numbers of the first, as Keras does in one session.

    Returns:
        COLUMNS; shapes are (None, rows, cols, channels), Keras's order. BatchNorm counts four
        parameters a channel, as Keras does: scale, offset, and the running mean and variance.
    """
    numbers = Counter() if numbers is None else numbers
    rows: list[tuple[str, str, str, int]] = []

    def note(module: nn.Module, _arguments: Any, result: Tensor) -> None:  # noqa: ANN401
        kind = _kind(module)
        base = _snake(kind)
        numbers[base] += 1
        rows.append((f"{base}_{numbers[base]}", kind, _shape(result), parameters(module)))

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return pd.DataFrame(rows, columns=list(COLUMNS))


def parameters(module: nn.Module, *, trainable: bool = False) -> int:
    """Parameters of a module in Keras's count: running means and variances are parameters too.

    Args:
        module: With all that is in it.
        trainable: Leave them out after all.
    """
    count = sum(parameter.numel() for parameter in module.parameters())
    running = (
        buffer.numel()
        for name, buffer in module.named_buffers()
        if name.split(".")[-1] in ("running_mean", "running_var")
    )
    return count if trainable else count + sum(running)


def _kind(module: nn.Module) -> str:
    for classes, kind in _KERAS:
        if isinstance(module, classes):
            return kind
    return type(module).__name__


def _snake(kind: str) -> str:
    """Keras's name of a layer from its type: conv2d, leaky_re_lu, batch_normalization."""
    spaced = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower().replace("_2d", "2d")


def _shape(result: Tensor) -> str:
    """(None, rows, cols, channels) of a tensor (1, channels, rows, cols)."""
    sizes = list(result.shape[1:])
    if len(sizes) == 3:
        sizes = [*sizes[1:], sizes[0]]
    return f"(None, {', '.join(str(size) for size in sizes)})"
