"""Second Look: get data and weights, survey a data set, plan and compare runs, read images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from second_look import version

# Every handler imports what it needs itself, so that --help and --version answer at once.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its status as `running.commands.exit_status` does."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        print(f"second_look {version()}")
        return 0
    if options.handler is None:
        parser.error("expected a command, such as download; --help shows them")
    from second_look.running.commands import exit_status

    return exit_status(lambda: options.handler(options))


def _mias(options: argparse.Namespace) -> None:
    from second_look.sources.download import download_mias

    print(download_mias(options.folder))


def _cbis(options: argparse.Namespace) -> None:
    from second_look.sources.download import Selection, download_cbis

    offers: list[str] = []

    def confirm(offer: str) -> bool:
        offers.append(offer)
        return _confirmed(offer, options)

    selection = Selection(options.split, options.patients)
    count = download_cbis(options.folder, selection, confirm=confirm)
    if count:
        print(f"{count:,} series fetched into {options.folder}.")
    else:
        print("Nothing was fetched." if offers else "Everything is there already.")


def _weights(options: argparse.Namespace) -> None:
    from second_look.errors import ParameterError
    from second_look.running.notebooks import find_notebooks
    from second_look.running.parameters import read_cells
    from second_look.running.weights import (
        choose_weights,
        download_weights,
        known_weights,
        weights_of_params,
    )

    if options.names:
        files = choose_weights(options.names)
    elif params := sorted(Path("params").glob("*.yaml")):
        files = weights_of_params(params, read_cells(find_notebooks(Path("notebooks"))))
    else:
        raise ParameterError(
            "there is no folder params here whose files name weights. Name them: "
            f"{', '.join(known_weights())}."
        )
    offers: list[str] = []

    def confirm(offer: str) -> bool:
        offers.append(offer)
        return _confirmed(offer, options)

    paths = download_weights(files, options.folder, confirm=confirm)
    for path in paths:
        print(path)
    if not paths:
        print("Nothing was fetched." if offers else "Everything is there already.")


def _plan(options: argparse.Namespace) -> int:
    from second_look.running.commands import RunOptions, show_plan

    run = RunOptions(
        params=options.params,
        notebooks=options.notebooks,
        outputs=options.outputs,
        overrides=tuple(options.set),
    )
    return show_plan(run)


def _survey(options: argparse.Namespace) -> int:
    from second_look.running.commands import print_lines
    from second_look.running.survey import survey

    lines, taken = survey(options.params, options.notebooks, options.set)
    print_lines(lines)
    return 0 if taken else 2


def _compare(options: argparse.Namespace) -> int:
    from second_look.running.commands import print_lines
    from second_look.running.compare import MOVED, compare_runs, describe_changes

    changes = compare_runs(options.first, options.second)
    print_lines(describe_changes(changes))
    return 1 if any(change.verdict == MOVED for change in changes) else 0


def _predict(options: argparse.Namespace) -> int:
    from second_look.published.mammograms import Acquisition
    from second_look.running.commands import from_here, print_lines
    from second_look.running.predict import predict

    acquisition = Acquisition(
        tuple(options.side), tuple(options.view), options.pixel_size, options.bits
    )
    lines, complete = predict(
        options.images, options.model, options.output, acquisition, options.prevalence
    )
    print_lines([from_here(line) for line in lines])
    return 0 if complete else 1


def _publish(options: argparse.Namespace) -> None:
    from second_look.running.commands import from_here, print_lines
    from second_look.running.publish import publish

    print_lines([from_here(str(path)) for path in publish(options.run, options.reference)])


def _confirmed(offer: str, options: argparse.Namespace) -> bool:
    """Show what would be fetched; whether the user wants it."""
    from second_look.errors import ParameterError

    print(offer)
    if options.yes:
        return True
    try:
        return input("Fetch them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise ParameterError(
            "There is no terminal to ask: use --yes to fetch without confirmation."
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="second_look", description=__doc__)
    parser.add_argument("--version", action="store_true", help="show the version")
    parser.set_defaults(handler=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    download = commands.add_parser("download", help="get a public data set, or start weights")
    _add_downloads(download.add_subparsers(required=True, metavar="WHAT"))
    survey = commands.add_parser("survey", help="read a data set and count it; prepares nothing")
    survey.set_defaults(handler=_survey)
    plan = commands.add_parser("plan", help="what a run needs, what is missing, how long it takes")
    plan.set_defaults(handler=_plan)
    for command in (survey, plan):
        command.add_argument(
            "--params", type=Path, default=Path("params/smoke.yaml"), metavar="FILE",
            help="parameter file (default: params/smoke.yaml)",
        )  # fmt: skip
        command.add_argument("--notebooks", type=Path, default=Path("notebooks"), metavar="FOLDER")
        command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    plan.add_argument("--outputs", type=Path, default=Path("outputs"), metavar="FOLDER")
    compare = commands.add_parser(
        "compare", help="which numbers of two runs moved by more than their intervals"
    )
    compare.add_argument("first", type=Path, metavar="A", help="folder of a set: outputs/smoke")
    compare.add_argument("second", type=Path, metavar="B")
    compare.set_defaults(handler=_compare)
    _add_models(commands)
    return parser


def _add_models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    predict = commands.add_parser(
        "predict", help="mammograms of one patient in, an answer out; research only, no diagnosis"
    )
    predict.set_defaults(handler=_predict)
    predict.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="DICOM or picture, of one patient"
    )
    predict.add_argument(
        "--model", type=Path, default=Path("outputs/reference/cbis_mass"), metavar="FOLDER",
        help="of a published set (default: outputs/reference/cbis_mass)",
    )  # fmt: skip
    predict.add_argument(
        "--output", type=Path, default=Path("answer"), metavar="FOLDER",
        help="where JSON, tables and pictures go (default: answer)",
    )  # fmt: skip
    for name, values in (("side", "L or R"), ("view", "such as CC or MLO")):
        predict.add_argument(
            f"--{name}", nargs="+", default=[], metavar=name.upper(),
            help=f"{values}, where the files do not say: one for all, or one for each",
        )  # fmt: skip
    predict.add_argument(
        "--pixel-size", type=float, default=0.0, metavar="MM", help="where the files do not say"
    )
    predict.add_argument(
        "--bits", type=int, default=0, metavar="N", help="of the grey levels in files of 16 bits"
    )
    predict.add_argument(
        "--prevalence", type=float, default=None, metavar="SHARE",
        help="for which the probability shall hold, such as 0.006 (default: as in validation)",
    )  # fmt: skip
    publish = commands.add_parser("publish", help="results, report and models of a finished run")
    publish.set_defaults(handler=_publish)
    publish.add_argument("run", type=Path, metavar="RUN", help="its folder: outputs/cbis_mass")
    publish.add_argument(
        "--reference", type=Path, default=Path("outputs/reference"), metavar="FOLDER",
        help="of all published sets (default: outputs/reference)",
    )  # fmt: skip


def _add_downloads(downloads: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    mias = downloads.add_parser("mias", help="mini-MIAS, 322 images; for research only")
    mias.set_defaults(handler=_mias)
    cbis = downloads.add_parser("cbis", help="CBIS-DDSM, 1,566 patients, 164 GB; CC BY 3.0")
    cbis.add_argument("--split", choices=("train", "test"), default="", help="only this one")
    cbis.add_argument(
        "--patients", type=int, default=0, metavar="N", help="only the first N patients"
    )
    cbis.add_argument("--yes", action="store_true", help="fetch without confirmation")
    cbis.set_defaults(handler=_cbis)
    weights = downloads.add_parser("weights", help="what networks start from: ImageNet, COCO")
    weights.add_argument(
        "names", nargs="*", metavar="NAME", help="such as resnet50; default: all of params/*.yaml"
    )
    weights.add_argument("--yes", action="store_true", help="fetch without confirmation")
    weights.set_defaults(handler=_weights)
    for parser in (mias, cbis, weights):
        parser.add_argument(
            "--folder", type=Path, default=Path("data"), help="where it goes (default: data)"
        )


if __name__ == "__main__":
    sys.exit(main())
