"""Checkpoints and weights: plain tensors and numbers, never code, each file whole or not at all.

A folder of a training holds `last.pt` and, in case that one is broken, `previous.pt`; weights that
others use lie in `weights.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from inspect import isroutine
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor

from second_look.errors import CheckpointError
from second_look.files import write_bytes, written_whole
from second_look.models.weights import BROKEN, load_states, load_weights, reason, unusable
from second_look.source_code import code_digest, content_hash
from second_look.training.task import Task

T = TypeVar("T")


def full_identity(task: Task, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides what comes out of a training, as plain values."""
    return {"task": task.name, **task.identity(), **settings, "code": code_of(task)}


def code_of(task: Task) -> str:
    """Changes with the meaning of the code that decides what comes out of a task."""
    return code_digest(part if isroutine(part) else type(part) for part in all_parts(task))


def all_parts(thing: object) -> Iterator[object]:
    """A task, its parts, and theirs."""
    yield thing
    parts = getattr(thing, "parts", None)
    for part in parts() if callable(parts) else ():
        yield from all_parts(part)


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
            "optimizers": {
                name: optimizer.state_dict() for name, optimizer in task.optimizers.items()
            },
        }
        with written_whole(self.last, durable=True) as draft:
            # Through Python's own file: torch hides what the system said of a full disk.
            with draft.open("wb") as stream:
                torch.save(content, stream)
            if self.last.is_file():
                self.last.replace(self.previous)

    def resume(self, task: Task, begin: Callable[..., T]) -> T:
        """Load the newest checkpoint that is sound.

        Args:
            task: Gets its networks and optimizers.
            begin: Makes the progress from what the checkpoint holds of it, from nothing where there
                is none; raises ValueError or TypeError where that is no progress.

        Returns:
            What `begin` made.

        Raises:
            CheckpointError: It is of something else, or none of those that are there can be read.
        """
        existing_paths = [path for path in (self.last, self.previous) if path.is_file()]
        problems = []
        for path in existing_paths:
            try:
                content = torch.load(path, map_location="cpu", weights_only=True)
                stored = dict(json.loads(content["identity"]))
            except BROKEN as error:
                problems.append(f"{path}: cannot be read ({reason(error)})")
                continue
            self._check_identity(path, stored)
            try:
                progress = begin(**content["progress"])
                _load(task, content, path)
            except (*BROKEN, CheckpointError) as error:
                problems.append(f"{path}: is damaged ({reason(error)})")
                continue
            if problems:
                print(f"{problems[0]}; going on from the one before it, {path.name}.")
            return progress
        if problems:
            raise CheckpointError(
                f"{'; '.join(problems)}. Remove {self.folder} to train from the start."
            )
        return begin()

    def save_weights(self, task: Task) -> None:
        """Keep the weights as they are now."""
        tensors = {
            f"{name}/{key}": value.detach().cpu().contiguous()
            for name, module in task.modules.items()
            for key, value in module.state_dict().items()
        }
        metadata = {"identity": json.dumps(self._identity, sort_keys=True)}
        write_bytes(self.best, save(_unshared(tensors), metadata), durable=True)

    def load_best(self, task: Task) -> None:
        """Put the kept weights into the task's modules.

        Raises:
            CheckpointError: They are gone, damaged, or of something else.
        """
        try:
            for name, module in task.modules.items():
                load_weights(module, self.best, name)
        except CheckpointError as error:
            raise CheckpointError(f"{error} Remove {self.folder} to train again.") from None

    def _check_identity(self, path: Path, stored: Mapping[str, Any]) -> None:
        names = sorted(set(stored) | set(self._identity))
        differences = [
            f"{name} {stored.get(name)!r} (wanted: {self._identity.get(name)!r})"
            for name in names
            if stored.get(name) != self._identity.get(name)
        ]
        if differences:
            raise CheckpointError(
                f"{path}: is a checkpoint of another training: {'; '.join(differences)}. "
                f"Move it away, or remove {self.folder} to train from the start."
            )


def _load(task: Task, content: Mapping[str, Any], path: Path) -> None:
    """Put networks and optimizers of a checkpoint into a task.

    Raises:
        CheckpointError: A network does not fit, or has numbers that are not finite.
        LookupError, TypeError, ValueError …: What else of BROKEN a damaged content leads to.
    """
    for name, state in content["modules"].items():
        if problems := unusable(state):
            raise CheckpointError(f"{name}: {problems[0]}")
    load_states(task.modules, content["modules"], path)
    for name, optimizer in task.optimizers.items():
        optimizer.load_state_dict(content["optimizers"][name])


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors that share their memory with another one, which safetensors refuses."""
    pointers: set[int] = set()
    result = {}
    for key, value in tensors.items():
        pointer = value.untyped_storage().data_ptr()
        result[key] = value.clone() if pointer in pointers else value
        pointers.add(pointer)
    return result
