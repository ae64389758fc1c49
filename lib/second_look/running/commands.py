"""What the two command lines, run_all.py and second_look, do: run, plan, list, train.

What is slow to import is imported by the command that needs it.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from second_look.errors import NotebookFailedError, SecondLookError
from second_look.files import plain
from second_look.running.interruptions import MORE_FILES, signal_of, steady_output, stoppable
from second_look.running.notebooks import choose_notebook, find_notebooks, notebook_title
from second_look.running.parameters import Parameter, load_params, read_cells


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """A set of notebooks and what is to be done with it.

    Attributes:
        params: The params file.
        notebooks: Their folder.
        outputs: Folder of all sets.
        overrides: NAME=VALUE.
        only, start, force: Of `pipeline.Choice`.
    """

    params: Path
    notebooks: Path
    outputs: Path
    overrides: tuple[str, ...] = ()
    only: str = ""
    start: str = ""
    force: bool = False

    @property
    def folders(self) -> tuple[Path, Path, Path]:
        """Params file, notebooks and outputs, in the order of `pipeline.run`."""
        return self.params, self.notebooks, self.outputs


def exit_status(command: Callable[[], int | None]) -> int:
    """Run a command; what the user can correct is one message.

    Returns:
        What the command returns, 0 for None; 1 after a failed notebook, 2 after an error that the
        user can correct, 128 and its number after a signal, such as 130 after Ctrl-C.
    """
    with steady_output():
        return _exit_status(command)


def _exit_status(command: Callable[[], int | None]) -> int:
    try:
        with stoppable():
            return command() or 0
    except NotebookFailedError as error:
        print(from_here(str(error)), file=sys.stderr)
        return 1
    except SecondLookError as error:
        print(from_here(str(error)), file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        number = signal_of(error)
        reason = "" if number == signal.SIGINT else f" by {number.name}"
        print(f"\nStopped{reason}. Run the same command again to continue.", file=sys.stderr)
        return 128 + number
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        print(f"Too many open files. {MORE_FILES}", file=sys.stderr)
        return 2


def from_here(text: str) -> str:
    """A message for the terminal: paths relative to the current folder, `plain` text."""
    return plain(text.replace(f"{Path.cwd()}{os.sep}", ""))


def run_notebooks(options: RunOptions) -> None:
    """Run what is not up to date, and say where the report is."""
    from second_look.running.pipeline import Choice, run

    choice = Choice(options.only, options.start, options.force)
    report = run(*options.folders, choice=choice, overrides=options.overrides)
    print(from_here(f"The report: {report}"))


def show_plan(options: RunOptions) -> int:
    """Print what a run with these options would do; returns 2 where something is missing."""
    from second_look.running.pipeline import Choice, plan_run
    from second_look.running.plan import describe

    choice = Choice(options.only, options.start, options.force)
    plan = plan_run(*options.folders, choice=choice, overrides=options.overrides)
    print_lines([from_here(line) for line in describe(plan)])
    return 2 if plan.missing else 0


def train_notebook(options: RunOptions, notebook: str) -> None:
    """Run what one notebook trains, by all processes that were started."""
    from second_look.running.processes import train

    train(
        options.params,
        notebook,
        options.notebooks,
        options.outputs,
        overrides=options.overrides,
    )


def list_parameters(options: RunOptions, notebook: str = "") -> None:
    """Print the parameters as a run with these options would get them.

    Args:
        options: Of the set.
        notebook: All parameters of this one, with types and help; "" for all notebooks, with what
            this set changes.
    """
    paths = find_notebooks(options.notebooks)
    cells = read_cells(paths)
    values = load_params(options.params, cells, options.overrides)
    if notebook:
        name = choose_notebook(notebook, list(paths))
        lines = [notebook_title(paths[name]), *_described(cells[name], values[name])]
    else:
        lines = []
        for name, path in paths.items():
            lines += [name, f"    {notebook_title(path)}", *_changed(cells[name], values[name])]
        lines += [f"All parameters of one, with their meaning: --list {next(iter(paths))[:2]}"]
    print_lines(lines)


def print_lines(lines: list[str]) -> None:
    """Print; quietly where the reader of a pipe, such as `head`, has read enough."""
    with steady_output():
        print("\n".join(map(plain, lines)), flush=True)


def _described(cell: Mapping[str, Parameter], values: Mapping[str, Any]) -> list[str]:
    """All parameters of a notebook: type, value, default where it differs, help."""
    lines = []
    for name, parameter in cell.items():
        value = values[name]
        default = "" if value == parameter.default else f" (default: {parameter.default!r})"
        lines += [f"    {name}: {parameter.type} = {value!r}{default}", f"        {parameter.help}"]
    return lines


def _changed(cell: Mapping[str, Parameter], values: Mapping[str, Any]) -> list[str]:
    """The parameters of a notebook that do not have their default."""
    return [
        f"    {name} = {values[name]!r} (default: {parameter.default!r})"
        for name, parameter in cell.items()
        if values[name] != parameter.default
    ]
