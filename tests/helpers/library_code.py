"""A copy of the library whose code tests may change, and what Python loads with a module of it."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from second_look import source_code

LIBRARY = Path(source_code.__file__).parent


def copy_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that the library takes for its own code from now on."""
    copy = folder / "second_look"
    shutil.copytree(LIBRARY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_code, "_LIBRARY", copy)
    return copy


def loaded_modules(names: Iterable[str]) -> set[str]:
    """Modules of the library that Python loads when it imports these, and these alone."""
    modules = _take_out_of_python()
    try:
        for name in names:
            importlib.import_module(name)
        return set(_take_out_of_python())
    finally:
        _take_out_of_python()
        sys.modules.update(modules)


def _take_out_of_python() -> dict[str, object]:
    names = [name for name in sys.modules if name.split(".")[0] == source_code.PACKAGE]
    return {name: sys.modules.pop(name) for name in names}


def check_what_counts(library: Path, digest: Callable[[], str], loaded: set[str]) -> None:
    """A digest follows the meaning of every loaded module, and of nothing else.

    Args:
        library: From `copy_library`.
        digest: Of some code.
        loaded: Modules that Python loads with that code.
    """
    start = digest()
    paths = source_code._modules()
    for name in sorted(loaded):
        text = paths[name].read_text()
        paths[name].write_text(f"{text}\n_CHANGED = 1\n")
        assert digest() != start, name
        paths[name].write_text(f"# More.\n{text}".replace('"""', '"""More. ', 1))
        assert digest() == start, name
    for name in set(paths) - loaded:
        paths[name].write_text("raise NotImplementedError\n")
    assert digest() == start
    for path in paths.values():
        shutil.copy(LIBRARY / path.relative_to(library), path)
