"""The library's own code as data: which files a piece of it can reach, and what they mean."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "second_look"
_LIBRARY = Path(__file__).parent


def code_digest(definitions: Iterable[type | Callable[..., Any]]) -> str:
    """Changes with the meaning of the code of classes and functions, and of all that it reaches.

    That is every file of this library that can be reached from theirs through imports. Of code
    that lies outside this library, the file itself counts, and what it imports from here.
    """
    modules = {definition.__module__: definition for definition in definitions}
    internal = {name for name in modules if name.split(".")[0] == PACKAGE}
    external = {inspect.getfile(modules[name]) for name in set(modules) - internal}
    texts = sorted(Path(name).read_text(encoding="utf-8") for name in external)
    reached = library_files([*texts, *(f"import {name}" for name in internal)])
    texts += [path.read_text(encoding="utf-8") for path in reached]
    return content_hash(meaning(text).encode() for text in texts)


def library_files(sources: Iterable[str]) -> list[Path]:
    """The files of this library that pieces of code can reach through their imports.

    Imports are followed as text, those inside functions too; nothing is executed. What is imported
    for type checkers alone (`if TYPE_CHECKING:`) never runs, so it is not reached.
    """
    modules = _modules()
    pending = [name for source in sources for name in _imported(source)]
    reached: set[str] = set()
    while pending:
        name = pending.pop()
        if name in modules and name not in reached:
            reached.add(name)
            pending += _imported(modules[name].read_text(encoding="utf-8"))
    return sorted(modules[name] for name in reached)


def content_hash(parts: Iterable[bytes]) -> str:
    """Hex digest of several pieces; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()


@cache  # by content: a file that was changed is read anew
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


def _modules() -> dict[str, Path]:
    """The files of this library by the name of their module or package."""
    names = {}
    for path in _LIBRARY.rglob("*.py"):
        parts = path.relative_to(_LIBRARY).with_suffix("").parts
        names[".".join([PACKAGE, *parts]).removesuffix(".__init__")] = path
    return names


@cache
def _imported(source: str) -> frozenset[str]:
    """Names that a piece of code imports from this library, and those of the packages around.

    Some may be of classes and functions.
    """
    tree = _parsed(source)
    names: list[str] = []
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    internal = [name.split(".") for name in names if name.split(".")[0] == PACKAGE]
    return frozenset(".".join(parts[:n]) for parts in internal for n in range(1, len(parts) + 1))


def _parsed(source: str) -> ast.Module:
    """The syntax tree of a module or a cell; empty where it is not valid Python."""
    # Lines that only IPython understands import nothing from here. Valid Python has none of them,
    # although a line of a docstring may look like one.
    for text in (source, re.sub(r"^\s*[%!?].*$|^.*\?$", "", source, flags=re.MULTILINE)):
        try:
            return ast.parse(text)
        except SyntaxError:
            continue
    return ast.Module([], [])


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers read."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            pending += node.orelse
        else:
            yield node
            pending += ast.iter_child_nodes(node)
