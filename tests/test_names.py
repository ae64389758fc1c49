"""Names say the thing: no variable, argument, attribute or function is called by a pronoun."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Words that stand for whatever was meant when they were written, and for nothing to a reader.
WORDS = """
own found one once there here having sick well told rival maker that such what who whose which
where said seen known wanted given made kept most least ours theirs near each of at works alike
stated caught away same both every why judged before after below above inside across down whole
rest other others place reach more less much shown
"""
PRONOUNS = frozenset(WORDS.split())
CODE = ("lib", "notebooks", "benchmarks", "run_all.py", "tests")


def bindings(source: str) -> Iterator[tuple[str, int]]:
    """Every name that a piece of code binds, with its line."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno


def test_bindings_are_seen():
    source = "import a.b as own\nfor one in x:\n    self.kept = 1\ndef told(most): ...\n"
    names = [name for name, _ in bindings(source)]
    assert sorted(names) == ["kept", "most", "one", "own", "told"]


@pytest.mark.parametrize("part", CODE)
def test_names_say_the_thing(repo: Path, part: str) -> None:
    start = repo / part
    files = sorted(start.rglob("*.py")) if start.is_dir() else [start]
    assert files
    vague = [
        f"{path.relative_to(repo)}:{line} {name}"
        for path in files
        for name, line in bindings(path.read_text(encoding="utf-8"))
        if name.strip("_") in PRONOUNS
    ]
    assert not vague, f"{len(vague)} names that do not say the thing:\n" + "\n".join(vague)
