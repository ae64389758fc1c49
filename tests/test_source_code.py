"""The library's own code: what a piece of it reaches, and what changes its meaning."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from second_look import source_code
from second_look.source_code import code_digest, content_hash, library_files, meaning

REPO = Path(__file__).resolve().parents[1]
LIBRARY = REPO / "lib" / "second_look"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library in which a reaches b by an import in a function, and b reaches sub.c."""
    files = {
        "__init__.py": "",
        "a.py": "def f():\n    from second_look.b import g\n",
        "b.py": "import numpy\nimport second_look.sub.c as c\n",
        "sub/__init__.py": "",
        "sub/c.py": "from second_look import a\n",
        "other.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(source_code, "_LIBRARY", tmp_path)
    return tmp_path


def reached(library: Path, *sources: str) -> set[str]:
    return {path.relative_to(library).as_posix() for path in library_files(sources)}


def test_imports_are_followed_to_the_end(library: Path) -> None:
    assert reached(library, "from second_look import a") == {
        "__init__.py", "a.py", "b.py", "sub/__init__.py", "sub/c.py",
    }  # fmt: skip
    assert reached(library, "from second_look.other import x") == {"__init__.py", "other.py"}
    assert reached(library, "import numpy", "x = 1") == set()


def test_code_that_only_ipython_understands_is_read_past(library: Path) -> None:
    source = "%matplotlib inline\n!ls\nfrom second_look import other\nother?\n"
    assert reached(library, source) == {"__init__.py", "other.py"}
    assert reached(library, "this is no Python") == set()


def test_a_docstring_that_looks_like_ipython_hides_no_import(library: Path) -> None:
    """A question in the first line of a docstring, and a line that starts with an operator."""
    source = (
        'from second_look import other\n\ndef f():\n    """Is it?\n\n    Yes.\n    """\n'
        "    return (5\n    % 3)\n"
    )
    assert reached(library, source) == {"__init__.py", "other.py"}


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: path.stem)
def test_all_imports_of_the_library_are_seen(path: Path) -> None:
    """As a plain walk through its syntax tree finds them."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    runtime = "TYPE_CHECKING:" not in text
    for node in imported:
        if runtime and (node.module or "").startswith("second_look."):
            module = LIBRARY.joinpath(*node.module.split(".")[1:])
            file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
            assert file in library_files([text]), node.module


def test_what_type_checkers_alone_import_is_not_reached(library: Path) -> None:
    source = (
        "if TYPE_CHECKING:\n    from second_look import a\nelse:\n    import second_look.other\n"
    )
    assert reached(library, source) == {"__init__.py", "other.py"}
    assert "b.py" in reached(library, source.replace("if TYPE", "if not TYPE"))


def test_a_digest_of_code_follows_its_meaning_and_that_of_what_it_reaches(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function() -> None: ...

    monkeypatch.setattr(function, "__module__", "second_look.b")
    start = code_digest([function])
    assert code_digest([function, function]) == start
    for name in ("a.py", "b.py", "sub/c.py", "sub/__init__.py"):
        path = library / name
        text = path.read_text()
        path.write_text(f"# Only a comment.\n{text}")
        assert code_digest([function]) == start
        path.write_text(f"{text}x = 1\n")
        assert code_digest([function]) != start
        path.write_text(text)
    (library / "other.py").write_text("x = 1\n")
    assert code_digest([function]) == start


def test_code_outside_the_library_counts_with_its_file(library: Path) -> None:
    digest = code_digest([test_code_outside_the_library_counts_with_its_file])
    assert digest != code_digest([])
    assert digest == code_digest([reached, test_code_outside_the_library_counts_with_its_file])


def test_what_the_real_notebooks_reach() -> None:
    files = {
        path.relative_to(LIBRARY).as_posix()
        for path in library_files([(REPO / "notebooks" / "01_data_survey.py").read_text()])
    }
    assert files >= {
        "studies/survey/data_survey.py",
        "sources/mias.py",
        "preparing/store.py",
        "files.py",
        "errors.py",
    }
    assert not files & {"batches/sampler.py", "running/pipeline.py", "running/report.py"}


def test_the_library_imports_itself_by_full_names_only() -> None:
    """Imports are followed as text: a relative or computed one would go unseen."""
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                assert name not in {"import_module", "__import__"}, path


def test_meaning_leaves_out_what_only_people_read() -> None:
    bare = "def f(x):\n    return x + 1\n"
    documented = '"""A module."""\n\n\ndef f(x):  # adds\n    """One more."""\n    return (x + 1)\n'
    assert meaning(bare) == meaning(documented)
    assert meaning(bare) != meaning(bare.replace("1", "2"))
    assert meaning('def f():\n    """Nothing."""\n') == "def f():\n    pass"


def test_a_hash_knows_where_a_piece_ends() -> None:
    assert content_hash([b"ab", b"c"]) == content_hash([b"ab", b"c"])
    assert content_hash([b"ab", b"c"]) != content_hash([b"a", b"bc"])
