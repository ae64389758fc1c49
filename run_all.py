"""Rebuild the report: python run_all.py --params params/smoke.yaml."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks that are not up to date; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.train and (options.force or options.plan):
        parser.error("--train continues from the last checkpoint: no --force or --plan with it")
    if options.list is not None and options.plan:
        parser.error("--list and --plan exclude each other")
    try:
        # Here rather than at the top: --help needs none of the libraries.
        from second_look import version

        if options.version:
            print(f"second_look {version()}")
            return 0
        from second_look.running import commands
    except ModuleNotFoundError as error:
        sys.exit(
            f"{error.name} is not installed for this Python. `make report` sets up .venv and runs "
            "this; afterwards: .venv/bin/python run_all.py"
        )
    run = commands.RunOptions(
        params=options.params,
        notebooks=HERE / "notebooks",
        outputs=options.outputs,
        overrides=tuple(options.set),
        only=options.only,
        start=options.start,
        force=options.force,
    )
    if options.list is not None:
        return commands.exit_status(lambda: commands.list_parameters(run, options.list))
    if options.plan:
        return commands.exit_status(lambda: commands.show_plan(run))
    if options.train:
        return commands.exit_status(lambda: commands.train_notebook(run, options.train))
    return commands.exit_status(lambda: commands.run_notebooks(run))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run the notebooks and build the report.")
    parser.add_argument(
        "--params",
        type=Path,
        default=HERE / "params" / "smoke.yaml",
        metavar="FILE",
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
    task.add_argument(
        "--list",
        nargs="?",
        const="",
        metavar="NOTEBOOK",
        help="show the notebooks and what this set changes; of one notebook, all parameters",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="run nothing: show what would run, what is missing, and the time and memory it takes",
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
    parser.add_argument("--version", action="store_true", help="show the version")
    return parser


if __name__ == "__main__":
    sys.exit(main())
