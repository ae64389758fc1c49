"""Calls of notebooks into lib fit what they call, and a parameter has its default in one place.

For every call in a notebook, the arguments are matched with the signature of the function or
settings class in lib. An argument that is a parameter of the notebook must have no default there,
or a neutral one that switches something off, or a constant of paper.py.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import pytest
from second_look import paper

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))
# Values that switch something off. A seed of 0 is as good as any other, so it is none of them.
NEUTRAL = ("", (), [], {}, None, False, 0, 0.0)
# "module.callee(argument)" -> why it may have a default that is not neutral.
EXCEPTIONS = {
    "preparing.reading.DataSettings(max_lost)": "1 allows any loss",
    "preparing.reading.DataSettings(lesion_contrast)": "a factor; 1 leaves the contrast as it is",
}
# Second defaults that are still to be removed.
OPEN: set[str] = set()


def cells(notebook: Path) -> tuple[set[str], list[ast.Module]]:
    """Names of the parameters, and the syntax trees of all other code cells."""
    parameters, trees = set(), []
    for cell in jupytext.read(notebook).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        if "parameters" in cell.metadata.get("tags", []):
            assigned = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
            parameters = {node.target.id for node in assigned if isinstance(node.target, ast.Name)}
        else:
            trees.append(tree)
    return parameters, trees


def imported(trees: list[ast.Module]) -> dict[str, Any]:
    """The objects that the cells import from this library, by the names they are given."""
    names = {}
    for tree in trees:
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("second_"):
                continue
            for alias in node.names:
                module = importlib.import_module(str(node.module))
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                names[alias.asname or alias.name] = getattr(module, alias.name)
    return names


def resolve(node: ast.expr, names: dict[str, Any]) -> Any:
    """The object that an expression such as `dcgan.Schedule` refers to; None if not imported."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolve(node.value, names)
        return None if owner is None else getattr(owner, node.attr)
    return None


def passed_on(function: Callable[..., Any], keywords: str) -> Callable[..., Any]:
    """The callee that a function passes its `**keywords` on to."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg is None and getattr(keyword.value, "id", "") == keywords:
                    callee = resolve(node.func, vars(sys.modules[function.__module__]))
                    if callee is not None:
                        return callee
    raise AssertionError(f"{function.__qualname__} passes **{keywords} on to nothing in lib")


def misfits(trees: list[ast.Module]) -> list[str]:
    """Calls into lib whose arguments do not fit: they would fail after hours of training."""
    names, wrong = imported(trees), []
    for node in (node for tree in trees for node in ast.walk(tree)):
        callee = resolve(node.func, names) if isinstance(node, ast.Call) else None
        if not str(getattr(callee, "__module__", "")).startswith("second_look."):
            continue
        starred = any(isinstance(argument, ast.Starred) for argument in node.args)
        if starred or any(keyword.arg is None for keyword in node.keywords):
            continue  # what they hold is known only as the notebook runs
        try:
            inspect.signature(callee).bind(
                *node.args, **{str(keyword.arg): keyword.value for keyword in node.keywords}
            )
        except TypeError as error:
            wrong.append(f"{ast.unparse(node)}: {error}")
    return wrong


def filled(trees: list[ast.Module], parameters: set[str]) -> Iterator[tuple[Any, str, str]]:
    """Callee in lib, its argument, and the notebook parameter that fills it."""
    names = imported(trees)
    for node in (node for tree in trees for node in ast.walk(tree)):
        callee = resolve(node.func, names) if isinstance(node, ast.Call) else None
        if not str(getattr(callee, "__module__", "")).startswith("second_look."):
            continue
        arguments = list(inspect.signature(callee).parameters.values())
        values = [(arguments[min(i, len(arguments) - 1)].name, v) for i, v in enumerate(node.args)]
        values += [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg]
        for argument, value in values:
            if isinstance(value, ast.Name) and value.id in parameters:
                target = callee
                while argument not in inspect.signature(target).parameters:
                    kinds = inspect.signature(target).parameters.values()
                    (keywords,) = (p.name for p in kinds if p.kind is p.VAR_KEYWORD)
                    target = passed_on(target, keywords)
                yield target, argument, value.id


def default_node(callee: Any, argument: str) -> ast.expr | None:
    """The expression of a default as it is written in lib."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(callee))).body
    if isinstance(definition, ast.ClassDef):
        for node in definition.body:
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == argument:
                return node.value
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                definition = node
                break
    if not isinstance(definition, ast.FunctionDef):
        return None
    signature = definition.args
    positional = signature.posonlyargs + signature.args
    pairs = zip(positional[::-1], signature.defaults[::-1], strict=False)
    pairs = [*pairs, *zip(signature.kwonlyargs, signature.kw_defaults, strict=True)]
    return next((default for name, default in pairs if name.arg == argument), None)


def second_default(callee: Any, argument: str) -> Any:
    """The default of an argument, unless it is missing, neutral or a constant of paper.py."""
    default = inspect.signature(callee).parameters[argument].default
    if default is inspect.Parameter.empty:
        return None
    if dataclasses.is_dataclass(callee):
        factory = callee.__dataclass_fields__[argument].default_factory
        default = default if factory is dataclasses.MISSING else factory()
    if argument != "seed" and default in NEUTRAL:
        return None
    node = default_node(callee, argument)
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return None if name in vars(paper) and vars(paper)[name] == default else default


def second_defaults(trees: list[ast.Module], parameters: set[str]) -> dict[str, Any]:
    """ "module.callee(argument)" -> its second default."""
    duplicates = {}
    for callee, argument, _ in filled(trees, parameters):
        default = second_default(callee, argument)
        if default is not None:
            duplicates[f"{callee.__module__}.{callee.__qualname__}({argument})"] = default
    return duplicates


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_call_fits_the_signature_that_it_calls(notebook: Path) -> None:
    _, trees = cells(notebook)
    assert misfits(trees) == []


def test_a_call_without_its_seed_is_found() -> None:
    cell = "from second_look.evaluation.roc import auc_estimate\nauc_estimate([1], [True], None)"
    assert len(misfits([ast.parse(cell)])) == 1
    assert misfits([ast.parse(cell.replace("None", "None, seed=0"))]) == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_parameter_has_its_default_in_the_notebook_alone(notebook: Path) -> None:
    parameters, trees = cells(notebook)
    duplicates = second_defaults(trees, parameters)
    allowed = {f"second_look.{name}" for name in OPEN | set(EXCEPTIONS)}
    assert {name: value for name, value in duplicates.items() if name not in allowed} == {}


def test_most_parameters_are_followed_into_lib() -> None:
    """Others reach lib inside an expression, such as `patch_size_mm or None`."""
    followed, count = 0, 0
    for notebook in NOTEBOOKS:
        parameters, trees = cells(notebook)
        followed += len({parameter for _, _, parameter in filled(trees, parameters)})
        count += len(parameters)
    assert followed > 0.75 * count > 75


# ------------------------------------------------------------------ the checks can fail


def test_a_second_default_is_found() -> None:
    cell = ast.parse(
        "from second_look.models.classifier import build_classifier as build\n"
        "from second_look.training.loop import LoopSettings\n"
        "build(network, seed=seed, classes=labels, channels=3)\n"
        "LoopSettings(steps, log_every=every, patience=steps)\n"
    )
    duplicates = second_defaults([cell], {"network", "labels", "every", "steps"})
    assert set(duplicates) == {
        "second_look.models.classifier.build_classifier(classes)",
        "second_look.training.loop.LoopSettings(log_every)",
    }


def test_keywords_are_followed_to_where_they_are_passed_on() -> None:
    cell = ast.parse("from second_look.studies.detection import training\n"
                     "training.settings(data, batch_size=size)")  # fmt: skip
    ((callee, argument, parameter),) = filled([cell], {"size"})
    assert (callee.__name__, argument, parameter) == ("DetectSettings", "batch_size", "size")


def sample(a: int, b: str = "", c: int = paper.PATCH_SIZE, d: int = 256, seed: int = 0) -> None:
    """A function for the test below."""


def test_neutral_defaults_and_constants_of_the_paper_are_allowed() -> None:
    defaults = {name: second_default(sample, name) for name in ("a", "b", "c", "d", "seed")}
    assert defaults == {"a": None, "b": None, "c": None, "d": 256, "seed": 0}
