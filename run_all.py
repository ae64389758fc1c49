"""Rebuild the report: python run_all.py --params params/smoke.yaml."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

try:
    from second_look.errors import SecondLookError
    from second_look.running.notebooks import find_notebooks
    from second_look.running.parameters import load_params
    from second_look.running.pipeline import Choice, NotebookFailedError, read_cells, run
    from second_look.running.processes import train
except ModuleNotFoundError as error:
    sys.exit(
        f"{error.name} is not installed for this Python. `make report` sets up .venv and runs "
        "this; afterwards: .venv/bin/python run_all.py"
    )

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE / "notebooks"


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks that are not up to date; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.train and options.force:
        parser.error("--train goes on from the last checkpoint: --force does not apply to it")
    choice = Choice(options.only, options.start, options.force)
    try:
        if options.list:
            _list(options.params, options.set)
            return 0
        if options.train:
            train(options.params, options.train, NOTEBOOKS, options.outputs, overrides=options.set)
            return 0
        report = run(
            options.params, NOTEBOOKS, options.outputs, choice=choice, overrides=options.set
        )
    except NotebookFailedError as error:
        print(error, file=sys.stderr)
        return 1
    except SecondLookError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to continue.", file=sys.stderr)
        return 130
    print(f"The report: {report}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run the notebooks and build the report.")
    parser.add_argument(
        "--params",
        type=Path,
        default=HERE / "params" / "smoke.yaml",
        help="parameter file; its name is the name of the set (default: params/smoke.yaml)",
    )
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--only", default="", metavar="NOTEBOOK", help="just this one, such as 02")
    task.add_argument(
        "--from", dest="start", default="", metavar="NOTEBOOK", help="this one and those after it"
    )
    task.add_argument(
        "--train",
        default="",
        metavar="NOTEBOOK",
        help="only what this one trains, by all processes that torchrun or Slurm started; "
        "afterwards run it as usual",
    )
    parser.add_argument("--force", action="store_true", help="run also what is up to date")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of every notebook that has it, or NOTEBOOK.NAME=VALUE; may be repeated",
    )
    parser.add_argument(
        "--outputs",
        type=Path,
        default=HERE / "outputs",
        metavar="FOLDER",
        help="folder of all sets (default: outputs)",
    )
    task.add_argument(
        "--list", action="store_true", help="show notebooks and the parameters of this set"
    )
    return parser


def _list(params: Path, overrides: list[str]) -> None:
    """Print the parameters as a run with these options would get them."""
    cells = read_cells(find_notebooks(NOTEBOOKS))
    values = load_params(params, cells, overrides)
    lines = []
    for name, cell in cells.items():
        lines.append(name)
        for parameter in cell.values():
            value = values[name][parameter.name]
            default = "" if value == parameter.default else f" (default: {parameter.default!r})"
            lines.append(f"    {parameter.name}: {parameter.type} = {value!r}{default}")
            lines.append(f"        {parameter.help}")
    try:
        print("\n".join(lines), flush=True)
    except (
        BrokenPipeError
    ):  # `--list | head` has read enough; what is left would fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
