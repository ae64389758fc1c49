"""Checkpoints and weights: plain tensors and numbers, never code, each file whole or not at all.

A folder of a training holds `last.pt` and, in case that one is broken, `previous.pt`; weights that
others use lie in `weights.safetensors`.
"""

from __future__ import annotations

import inspect
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from second_look.errors import SecondLookError
from second_look.files import write_with, written_whole
from second_look.source_code import content_hash, library_files, meaning

if TYPE_CHECKING:
    from second_look.training.loop import Task

# Code whose meaning decides what comes out of a training.
_DECIDING = ("models", "training", "sampler.py", "patches.py")
_BROKEN = (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile)


class CheckpointError(SecondLookError):
    """A checkpoint or a file of weights does not fit, or cannot be read."""


def full_identity(task: Task, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides what comes out of a training, as plain values."""
    source = inspect.getsource(inspect.getmodule(type(task)) or type(task))
    base = Path(__file__).parents[1]
    files = [
        path
        for path in library_files([source])
        if path.relative_to(base).parts[0] in _DECIDING and path.name != "__init__.py"
    ]
    code = content_hash(
        [meaning(text).encode() for text in (source, *(p.read_text("utf-8") for p in files))]
    )
    return {"task": task.name, **task.identity(), **settings, "code": code}


def folder_name(name: str, identity: Mapping[str, Any]) -> str:
    """Name of the folder of a training: the task's, and a digest of its identity."""
    text = json.dumps(identity, sort_keys=True, default=list)
    return f"{name}-{content_hash([text.encode()])[:10]}"


class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: Where they are.
        last, previous: The newest checkpoint and the one before it.
        best: The kept weights.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.last, self.previous = folder / "last.pt", folder / "previous.pt"
        self.best = folder / "weights.safetensors"
        self._identity = json.loads(json.dumps(identity, sort_keys=True, default=list))

    def save(self, task: Task, progress: Mapping[str, Any]) -> None:
        """Write a checkpoint; the one before it stays as `previous.pt`."""
        content = {
            "identity": json.dumps(self._identity, sort_keys=True),
            "progress": dict(progress),
            "modules": {name: module.state_dict() for name, module in task.modules.items()},
            "optimizers": {name: each.state_dict() for name, each in task.optimizers.items()},
        }
        with written_whole(self.last) as draft:
            torch.save(content, draft)
            if self.last.is_file():
                self.last.replace(self.previous)

    def resume(self, task: Task) -> dict[str, Any]:
        """Load the newest checkpoint that can be read; its progress, {} where there is none.

        Raises:
            CheckpointError: It is of something else, or none of those that are there can be read.
        """
        there = [path for path in (self.last, self.previous) if path.is_file()]
        problems = []
        for path in there:
            try:
                content = torch.load(path, map_location="cpu", weights_only=True)
                own = json.loads(content["identity"])
            except (*_BROKEN, KeyError) as error:
                problems.append(f"{path}: cannot be read ({str(error).splitlines()[0][:200]})")
                continue
            if problems:
                print(f"{problems[0]}; going on from the one before it, {path.name}.")
            self._check_identity(path, own)
            _load_states(task.modules, content["modules"], path)
            for name, optimizer in task.optimizers.items():
                optimizer.load_state_dict(content["optimizers"][name])
            return dict(content["progress"])
        if problems:
            raise CheckpointError(
                f"{'; '.join(problems)}. Remove {self.folder} to train from the start."
            )
        return {}

    def save_weights(self, task: Task) -> None:
        """Keep the weights as they are now."""
        tensors = {
            f"{name}/{key}": value.detach().cpu().contiguous()
            for name, module in task.modules.items()
            for key, value in module.state_dict().items()
        }
        metadata = {"identity": json.dumps(self._identity, sort_keys=True)}
        write_with(self.best, lambda draft: save_file(_unshared(tensors), draft, metadata))

    def load_best(self, task: Task) -> None:
        """Put the kept weights into the task's modules."""
        for name, module in task.modules.items():
            load_weights(module, self.best, name)

    def _check_identity(self, path: Path, own: Mapping[str, Any]) -> None:
        names = sorted(set(own) | set(self._identity))
        other = [
            f"{name} {own.get(name)!r} (wanted: {self._identity.get(name)!r})"
            for name in names
            if own.get(name) != self._identity.get(name)
        ]
        if other:
            raise CheckpointError(
                f"{path}: is a checkpoint of another training: {'; '.join(other)}. "
                f"Move it away, or remove {self.folder} to train from the start."
            )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, safetensors or a plain state dict of torch, on the CPU.

    Raises:
        CheckpointError: It is not there, or holds anything else than tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file of weights.")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (*_BROKEN, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as weights ({str(error).splitlines()[0][:200]}). "
            "Expected .safetensors, or a state dict saved by torch without code in it."
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path}: expected tensors by name, as a state dict has them.")
    return content


def load_weights(module: nn.Module, path: Path, name: str = "") -> None:
    """Load a module's weights from a file, every tensor of it.

    Args:
        module: Gets them.
        path: Of `Trained.weights`, or of a state dict.
        name: Of the module in that file; "" where the file holds just one.

    Raises:
        CheckpointError: The file does not fit; names the tensors.
    """
    tensors = read_tensors(path)
    own = {
        key.removeprefix(f"{name}/"): value
        for key, value in tensors.items()
        if not name or key.startswith(f"{name}/")
    }
    _load_states({name or "network": module}, {name or "network": own}, path)


def mismatches(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """What of a state dict does not fit a module, in words; empty where all of it does."""
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    return [
        *(f"{key} is missing" for key in wanted if key not in found),
        *(f"{key} is not known" for key in found if key not in wanted),
        *(
            f"{key} has shape {found[key]}, expected {shape}"
            for key, shape in wanted.items()
            if key in found and found[key] != shape
        ),
    ]


def _load_states(
    modules: Mapping[str, nn.Module], states: Mapping[str, Mapping[str, Tensor]], path: Path
) -> None:
    for name, module in modules.items():
        problems = mismatches(module, states.get(name, {}))
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise CheckpointError(
                f"{path}: does not fit the {name}: {'; '.join(problems[:3])}{more}. "
                "It is of another architecture or number of classes."
            )
        module.load_state_dict(states[name])


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors that share their memory with another one, which safetensors refuses."""
    seen: set[int] = set()
    result = {}
    for key, value in tensors.items():
        place = value.untyped_storage().data_ptr()
        result[key] = value.clone() if place in seen else value
        seen.add(place)
    return result
