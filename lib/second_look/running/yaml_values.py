"""YAML from files and the command line: plain values within bounds, and what is wrong in a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

# Values that a text may hold once its aliases are written out, and how deep they may be nested.
MAX_VALUES, MAX_DEPTH = 100_000, 50
# Characters of a message.
MAX_MESSAGE = 300


class InvalidYAMLError(ValueError):
    """What is wrong in a text.

    Args:
        problem: In words.
        line: Where, from 1; 0 where it is not known.
    """

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem, line)
        self.problem, self.line = problem, line


def parse_yaml(text: str) -> Any:  # noqa: ANN401
    """The value of a text in YAML 1.2, in which 1e-4 is a number.

    Raises:
        InvalidYAMLError: It is not valid, or too large.
    """
    try:
        _check_size(text)
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidYAMLError(str(error.problem), mark.line + 1 if mark else 0) from None
    except (YAMLError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InvalidYAMLError(str(error)) from None  # of a value, such as the 45th day of a month


def _check_size(text: str) -> None:
    """Refuse what would grow when it is constructed: aliases of aliases, thousands of brackets.

    Raises:
        ValueError: It is too large or too deep, or holds itself.
    """
    sizes: dict[str | None, int] = {}
    open_values: list[tuple[str | None, int]] = [(None, 0)]
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            open_values.append((event.anchor, 1))
            if len(open_values) > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
            continue
        if isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias {event.anchor!r} holds itself, or nothing")
            size = sizes[event.anchor]
        elif isinstance(event, ScalarEvent):
            size = sizes[event.anchor] = 1
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            anchor, size = open_values.pop()
            sizes[anchor] = size
        else:
            continue
        open_values[-1] = (open_values[-1][0], open_values[-1][1] + size)
        if open_values[-1][1] > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values once its aliases are written out")


def clipped(message: str, *, source: str = "") -> str:
    """A message in one line of at most MAX_MESSAGE characters, long words and itself shortened.

    Args:
        message: To be shown in one line.
        source: What it may begin with and is kept as it is, such as the path of a file.
    """
    if source and message.startswith(source):
        return source + clipped(message.removeprefix(source))
    words = (f"{word[:40]}…{word[-15:]}" if len(word) > 80 else word for word in message.split())
    line = " ".join(words)
    if len(line) <= MAX_MESSAGE:
        return line
    ending = MAX_MESSAGE // 3
    return f"{line[: MAX_MESSAGE - ending - 3]} … {line[-ending:]}"


def _stage_problem(stage: object) -> str:
    valid = (
        isinstance(stage, list)
        and 2 <= len(stage) <= 3
        and _is_number(stage[0], integer=True)
        and stage[0] >= 1
        and _is_number(stage[1])
        and 0 < stage[1] < math.inf
        and (len(stage) == 2 or stage[2] in ("heads", "upper", "all"))
    )
    return "" if valid else "[steps, learning rate, heads or upper or all]"


def _size_problem(size: object) -> str:
    valid = (
        isinstance(size, list)
        and len(size) == 2
        and all(_is_number(side, integer=True) for side in size)
        and (size == [0, 0] or 32 <= min(size) <= max(size) <= 16_384)
    )
    return "" if valid else "[rows, columns] of 32 to 16384 px, or [0, 0]"


def _is_number(value: object, *, integer: bool = False) -> bool:
    return not isinstance(value, bool) and isinstance(value, int if integer else int | float)


# Parameters whose elements are lists: name -> what an element must be, or "" where it is.
_ELEMENTS: Mapping[str, Callable[[object], str]] = {
    "stages": _stage_problem,
    "image_sizes": _size_problem,
}


def element_problem(name: str, values: object) -> str:
    """What is wrong with an element of a list of lists, or ""."""
    check = _ELEMENTS.get(name)
    if check is None or not isinstance(values, list):
        return ""
    return next(
        (
            f"{name} must hold elements of the form {form}. Got {element!r}."
            for element in values
            if (form := check(element))
        ),
        "",
    )
