"""The library's own code as data: which files a piece of it can reach, and what they say."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

PACKAGE = "second_look"
_LIBRARY = Path(__file__).parent


def library_files(sources: Iterable[str]) -> list[Path]:
    """The files of this library that pieces of code can reach through their imports.

    Imports are followed as text, those inside functions too; nothing is executed.
    """
    waiting = [path for source in sources for path in _imported(source)]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path.read_text(encoding="utf-8"))
    return sorted(found)


def content_hash(parts: Iterable[bytes]) -> str:
    """Hex digest of several pieces; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()


def meaning(source: str) -> str:
    """Code without comments, docstrings and layout: what changes when its behaviour may."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _imported(source: str) -> list[Path]:
    """Files of this library that a piece of code names; none where it is not valid Python."""
    # What IPython alone understands imports nothing from here.
    source = re.sub(r"^\s*[%!?].*$|^.*\?$", "", source, flags=re.MULTILINE)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [path for name in names for path in _files_of(name)]


def _files_of(module: str) -> list[Path]:
    """The file of a module of this library, and those of the packages around it."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return []
    found = []
    for depth in range(len(parts)):
        base = _LIBRARY.joinpath(*parts[1 : depth + 1])
        found += [
            path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()
        ]
    return found
