"""Rebuild the report: python run_all.py --params params/smoke.yaml."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from second_look.errors import SecondLookError
    from second_look.running.pipeline import (
        Choice,
        NotebookFailedError,
        find_notebooks,
        read_cells,
        run,
    )
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
    options = _parser().parse_args(arguments)
    choice = Choice(options.only, options.start, options.force)
    try:
        if options.list:
            _list()
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
    parser.add_argument("--only", default="", metavar="NOTEBOOK", help="just this one, such as 02")
    parser.add_argument(
        "--from", dest="start", default="", metavar="NOTEBOOK", help="this one and those after it"
    )
    parser.add_argument(
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
    parser.add_argument("--list", action="store_true", help="show notebooks and parameters")
    return parser


def _list() -> None:
    for name, cell in read_cells(find_notebooks(NOTEBOOKS)).items():
        print(name)
        for parameter in cell.values():
            print(f"    {parameter.name}: {parameter.type} = {parameter.default!r}")
            print(f"        {parameter.help}")


if __name__ == "__main__":
    sys.exit(main())
