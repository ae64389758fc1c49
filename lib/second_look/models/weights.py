"""Weights from files: tensors only, never code; what does not fit is named."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from second_look.errors import CheckpointError

# What reading a broken file of torch may raise: its reader trusts the order of what it finds.
BROKEN = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def reason(error: Exception) -> str:
    """What a broken file's error says, in one line; its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, safetensors or a plain state dict of torch, on the CPU.

    Raises:
        CheckpointError: It is not there, or holds anything else than tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file of weights.")
    try:
        content: Any
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (*BROKEN, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as weights ({reason(error)}). "
            "Expected .safetensors, or a state dict saved by torch without code in it."
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path}: expected tensors by name, as a state dict has them.")
    if problems := unusable(content):
        raise CheckpointError(f"{path}: {_first(problems)}. Get or train the weights anew.")
    return content


def unusable(tensors: Mapping[str, Tensor]) -> list[str]:
    """Which tensors are no weights, in words: plain floating-point numbers, finite, by a name."""
    problems = []
    for name, tensor in tensors.items():
        counter = str(name).endswith("num_batches_tracked")
        if not isinstance(name, str):
            problems.append(f"the name {name!r} is no text")
        elif tensor.layout != torch.strided or tensor.is_quantized:
            problems.append(f"{name} is sparse or quantised")
        elif not tensor.dtype.is_floating_point and not (counter and not tensor.is_complex()):
            problems.append(f"{name} holds {str(tensor.dtype).removeprefix('torch.')} numbers")
        elif not torch.isfinite(tensor).all():
            problems.append(f"{name} holds numbers that are not finite")
    return problems


def load_weights(module: nn.Module, path: Path, name: str = "") -> None:
    """Load a module's weights from a file, every tensor of it.

    Args:
        module: Gets them.
        path: As a training leaves it, or of a state dict.
        name: Of the module in that file; "" where the file holds just one.

    Raises:
        CheckpointError: The file does not fit; names the tensors.
    """
    tensors = read_tensors(path)
    state = {
        key.removeprefix(f"{name}/"): value
        for key, value in tensors.items()
        if not name or key.startswith(f"{name}/")
    }
    load_states({name or "network": module}, {name or "network": state}, path)


def mismatches(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """What of a state dict does not fit a module, in words; empty where all of it does."""
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    return [
        *(f"{key} is missing" for key in expected if key not in shapes),
        *(f"{key} is not known" for key in shapes if key not in expected),
        *(
            f"{key} has shape {shapes[key]}, expected {shape}"
            for key, shape in expected.items()
            if key in shapes and shapes[key] != shape
        ),
    ]


def load_states(
    modules: Mapping[str, nn.Module], states: Mapping[str, Mapping[str, Tensor]], path: Path
) -> None:
    """Load several networks' states.

    Raises:
        CheckpointError: One does not fit its network; names the tensors.
    """
    for name, module in modules.items():
        problems = mismatches(module, states.get(name, {}))
        if problems:
            raise CheckpointError(
                f"{path}: does not fit the {name}: {_first(problems)}. "
                "It is of another architecture or number of classes."
            )
        module.load_state_dict(states[name])


def _first(problems: Sequence[str]) -> str:
    further = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return f"{'; '.join(problem[:120] for problem in problems[:3])}{further}"
