"""Parameters: defined in the notebooks, set by params files, checked before anything runs.

A notebook's `parameters` cell is the one definition, a line each:

    stride: int = 64  # px between neighbouring windows [1, 4096]
    source: str = "phantom"  # where the mammograms come from {phantom | mias | folder}

Type, default, help, and at the end of the help a range [a, b] or a choice {a | b | c}, which hold
for every element of a list. Types are bool, int, float, str, list, dict and lists of one type such
as list[int]. A list may be empty only where its default is.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from second_look.errors import ParameterError, nearest
from second_look.running.yaml_values import InvalidYAMLError, clipped, element_problem, parse_yaml

COMMON = "common"
# run_all.py gives it to every notebook; a params file may not.
OUTPUTS = "outputs"
TYPES: Mapping[str, type] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "list": list,
    "dict": dict,
}
# Notebook (or COMMON: every one) -> old name of a parameter -> its name now. Old names are refused
# with the new one, so that a params file of an earlier version never sets less than it says.
RENAMED: Mapping[str, Mapping[str, str]] = {
    COMMON: {},
    "03_dcgan": {
        "latent": "latent_size",
        "last": "output_activation",
        "rate": "learning_rate",
        "momentum": "beta1",
        "progressive_most": "progressive_max_channels",
        "progressive_rate": "progressive_learning_rate",
        "progressive_start": "progressive_start_size",
        "progressive_latent": "progressive_latent_size",
        "progressive_batch": "progressive_batch_size",
        "progressive_early": "progressive_early_epochs",
        "measured": "max_measured_patches",
    },
    "04_gan_training_data": {"added": "added_shares", "rate": "learning_rate"},
    "05_mask_rcnn": {
        "normals": "normal_share",
        "warmup": "warmup_steps",
        "detections": "max_detections",
        "validate_images": "max_validation_images",
    },
    "06_patch_transfer_learning": {
        "sizes": "patch_counts",
        "rate": "learning_rate",
        "image_batch": "image_batch_size",
        "image_rate": "image_learning_rate",
    },
}
_LIST_OF = re.compile(r"list\[(\w+)\]")
_RANGE = re.compile(r"\[\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\]\s*$")
_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}\s*$")


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell.

    Attributes:
        name, type, default: As written; type is a key of TYPES, or list[one of them].
        help: The comment, range and choice included.
        low, high: The range, where there is one.
        choices: The choice, where there is one.
    """

    name: str
    type: str
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def problem(self, value: Any) -> str:  # noqa: ANN401
        """What is wrong with a value, or ""."""
        elements = _LIST_OF.fullmatch(self.type)
        if not _fits(value, "list" if elements else self.type):
            return f"{self.name} must be of type {self.type}. Got {value!r}."
        if isinstance(value, list) and not value and self.default:
            return f"{self.name} must hold at least one value. Got []."
        if not _plain(value):
            return f"{self.name} must hold plain finite numbers and text only. Got {value!r}."
        for element in value if isinstance(value, list) else [value]:
            if elements and not _fits(element, elements[1]):
                return f"{self.name} must be of type {self.type}. Got {value!r}."
            problem = self._outside(element)
            if problem:
                return problem
        return element_problem(self.name, value)

    def _outside(self, value: Any) -> str:  # noqa: ANN401
        if self.low is not None and self.high is not None:
            is_number = isinstance(value, int | float)
            if not is_number or not self.low <= value <= self.high:
                limits = f"{self.low:.15g} and {self.high:.15g}"
                return f"{self.name} must lie between {limits}. Got {value!r}."
        if self.choices and str(value) not in self.choices:
            return (
                f"{self.name} must be one of {', '.join(self.choices)}. Got {value!r}"
                f"{nearest(str(value), self.choices)}"
            )
        return ""


def _fits(value: Any, kind: str) -> bool:  # noqa: ANN401
    # In Python a bool is an int; a number of patients that is `true` is a slip all the same.
    if isinstance(value, bool):
        return kind == "bool"
    return isinstance(value, TYPES[kind]) or (kind == "float" and isinstance(value, int))


def _plain(value: Any) -> bool:  # noqa: ANN401
    """Whether run.json can hold it: YAML also knows dates, sets and not-a-number."""
    try:
        json.dumps(value, allow_nan=False, sort_keys=True, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


Cells = Mapping[str, Mapping[str, Parameter]]


def read_cell(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook, in their order.

    Raises:
        ParameterError: It is no notebook, has no parameters cell, or a line in it that does not
            follow the grammar.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{notebook}: cannot be read as a notebook ({error}).") from None
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ParameterError(f"{notebook}: expected one parameters cell. Got {len(tagged)}.")
    source = "".join(tagged[0]["source"])
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError(
            f"{notebook}, parameters cell, line {error.lineno}: {error.msg}."
        ) from None
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    parameters = [_parse(notebook, line, comments.get(line.end_lineno or 0, "")) for line in lines]
    return {parameter.name: parameter for parameter in parameters}


def read_cells(notebooks: Mapping[str, Path]) -> dict[str, dict[str, Parameter]]:
    """Notebook -> the parameters that its cell defines."""
    return {name: read_cell(path) for name, path in notebooks.items()}


def _parse(notebook: Path, line: ast.stmt, text: str) -> Parameter:
    line_name = f"{notebook}, parameters cell, line {line.lineno}"
    kind = ast.unparse(line.annotation) if isinstance(line, ast.AnnAssign) else ""
    elements = _LIST_OF.fullmatch(kind)
    if (
        not isinstance(line, ast.AnnAssign)
        or not isinstance(line.target, ast.Name)
        or line.value is None
        or (elements[1] if elements else kind) not in TYPES
    ):
        raise ParameterError(
            f"{line_name}: expected `name: type = value  # help`, of type {', '.join(TYPES)}."
        )
    try:
        default = ast.literal_eval(line.value)
    except ValueError:
        raise ParameterError(f"{line_name}: the default must be a plain value.") from None
    limits, choice = _RANGE.search(text), _CHOICE.search(text)
    parameter = Parameter(
        line.target.id,
        kind,
        default,
        text,
        float(limits[1]) if limits else None,
        float(limits[2]) if limits else None,
        tuple(part.strip() for part in choice[1].split("|")) if choice else (),
    )
    if parameter.problem(default):
        raise ParameterError(f"{line_name}: the default does not fit: {parameter.problem(default)}")
    return parameter


def check_parameters(notebook: str, values: Mapping[str, Any]) -> None:
    """Check the parameters of a notebook whose cells are run by hand.

    `run_all.py` checks them before anything starts; in JupyterLab nothing else does.

    Args:
        notebook: Its name without ending. Its file is looked for in the working folder, in that
            folder's notebooks, and beside this package; a notebook of another name is not checked.
        values: Of the parameters by name, such as globals().

    Raises:
        ParameterError: Values of the wrong type or out of range; all of them are named at once.
    """
    folders = (Path(), Path("notebooks"), Path(__file__).parents[3] / "notebooks")
    files = [folder / f"{notebook}.ipynb" for folder in folders]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return
    cell = read_cell(path)
    problems = [cell[name].problem(values[name]) for name in cell if name in values]
    wrong = [problem for problem in problems if problem]
    if wrong:
        listed = " ".join(map(clipped, wrong))
        raise ParameterError(f"parameters cell of {notebook}: {listed}")


def load_params(
    path: Path, cells: Cells, overrides: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """The value of every parameter of every notebook.

    Args:
        path: The params file: a section `common` and one a notebook.
        cells: Notebook -> its parameters.
        overrides: `name=value` for every notebook that has it, or `notebook.name=value`; they win.

    Raises:
        ParameterError: The file cannot be read, or holds unknown sections or names, wrong types or
            values out of range; all of them are named at once.
    """
    if not path.stem.strip("."):
        raise ParameterError(f"{path}: its name is that of the set. Give it one of letters.")
    sections = _load_yaml(path)
    problems: list[str] = []
    values = {
        notebook: {name: parameter.default for name, parameter in cell.items()}
        for notebook, cell in cells.items()
    }
    for section in sections:
        if section not in cells and section != COMMON:
            hint = nearest(section, [COMMON, *cells])
            problems.append(f"{path}: unknown section {section!r}{hint}")
    # The common section comes first, so that a notebook's own one wins.
    for section in sorted(set(sections) & {COMMON, *cells}, key=lambda name: name != COMMON):
        targets = list(cells) if section == COMMON else [section]
        for name, value in sections[section].items():
            _put(values, cells, targets, (name, value), f"{path}: {section}", problems)
    for override in overrides:
        _override(values, cells, override, problems)
    if problems:
        raise ParameterError("\n".join(clipped(problem, source=str(path)) for problem in problems))
    return values


def _put(
    values: dict[str, dict[str, Any]],
    cells: Cells,
    targets: Sequence[str],
    item: tuple[str, Any],
    source: str,
    problems: list[str],
) -> None:
    """Set a parameter in all target notebooks that have it; one at least must."""
    name, value = item
    if name == OUTPUTS:
        problems.append(f"{source}: {OUTPUTS} is set by run_all.py, see its option --outputs")
        return
    new_names = sorted(
        {
            repr(new)
            for notebook in targets
            if name not in cells[notebook] and (new := _new_name(notebook, name)) in cells[notebook]
        }
    )
    if new_names:
        problems.append(f"{source}: {name!r} is now called {' or '.join(new_names)}.")
        return
    owners = [notebook for notebook in targets if name in cells[notebook]]
    if not owners:
        valid_names = {key for notebook in targets for key in cells[notebook] if key != OUTPUTS}
        problems.append(f"{source}: unknown parameter {name!r}{nearest(name, valid_names)}")
    for notebook in owners:
        problem = cells[notebook][name].problem(value)
        if problem and f"{source}: {problem}" not in problems:
            problems.append(f"{source}: {problem}")
        values[notebook][name] = value


def _new_name(notebook: str, name: str) -> str:
    """Today's name of a parameter that a notebook had under an old one, or ""."""
    return RENAMED.get(notebook, {}).get(name) or RENAMED[COMMON].get(name, "")


def _override(
    values: dict[str, dict[str, Any]], cells: Cells, override: str, problems: list[str]
) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        problems.append(f"--set {override}: expected name=value")
        return
    section, _, key = name.rpartition(".")
    if section and section not in cells:
        problems.append(f"--set {override}: unknown notebook{nearest(section, cells)}")
        return
    try:
        value = parse_yaml(text) if text.strip() else ""
    except InvalidYAMLError as error:
        reason = f"the value is not valid YAML; put it in quotes ({clipped(error.problem)[:100]})"
        problems.append(f"--set {override}: {reason}")
        return
    targets = [section] if section else list(cells)
    _put(values, cells, targets, (key.strip(), value), f"--set {override}", problems)


def _load_yaml(path: Path) -> dict[str, dict[str, Any]]:
    """Sections of a params file, YAML 1.2, in which 1e-4 is a number."""
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        existing = ", ".join(sorted(map(str, path.parent.glob("*.yaml")))) or "none"
        raise ParameterError(f"{path}: there is no such file. Here are: {existing}.") from None
    except OSError as error:
        raise ParameterError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise ParameterError(f"{path}: is not text in UTF-8.") from None
    except InvalidYAMLError as error:
        line = f", line {error.line}" if error.line else ""
        raise ParameterError(f"{path}{line}: not valid YAML: {clipped(error.problem)}.") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ParameterError(
            clipped(
                f"{path}: expected sections with parameters. Got {content!r}.", source=str(path)
            )
        )
    sections = {str(name): {} if section is None else section for name, section in content.items()}
    for name, section in sections.items():
        if not isinstance(section, dict):
            raise ParameterError(
                clipped(
                    f"{path}: section {name!r} must hold parameters. Got {section!r}.",
                    source=str(path),
                )
            )
    return {
        name: {str(key): value for key, value in section.items()}
        for name, section in sections.items()
    }
