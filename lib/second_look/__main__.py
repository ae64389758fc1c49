"""The command line: python -m second_look download mias | cbis."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from second_look.errors import ParameterError, SecondLookError
from second_look.sources.download import SPLITS, Selection, download_cbis, download_mias


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns 0 on success, 2 after an error, 130 if it was interrupted."""
    options = _parser().parse_args(arguments)
    try:
        if options.data_set == "mias":
            print(download_mias(options.folder))
        else:
            _cbis(options)
    except SecondLookError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to continue.", file=sys.stderr)
        return 130
    return 0


def _cbis(options: argparse.Namespace) -> None:
    offers: list[str] = []

    def confirm(offer: str) -> bool:
        offers.append(offer)
        print(offer)
        return options.yes or _asked()

    selection = Selection(options.split, options.patients)
    count = download_cbis(options.folder, selection, confirm=confirm)
    if count:
        print(f"{count:,} series fetched into {options.folder}.")
    else:
        print("Nothing was fetched." if offers else "Everything is there already.")


def _asked() -> bool:
    try:
        return input("Fetch them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise ParameterError(
            "There is no terminal to ask: use --yes to fetch without confirmation."
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="second_look", description=__doc__)
    commands = parser.add_subparsers(required=True)
    download = commands.add_parser("download", help="get a public data set")
    sets = download.add_subparsers(dest="data_set", required=True)
    mias = sets.add_parser("mias", help="mini-MIAS, 322 images; for research only")
    cbis = sets.add_parser("cbis", help="CBIS-DDSM, 1,566 patients, 164 GB; CC BY 3.0")
    for data_set in (mias, cbis):
        data_set.add_argument(
            "--folder", type=Path, default=Path("data"), help="where it goes (default: data)"
        )
    cbis.add_argument("--split", choices=SPLITS, default="", help="only this official split")
    cbis.add_argument(
        "--patients", type=int, default=0, metavar="N", help="only the first N patients"
    )
    cbis.add_argument("--yes", action="store_true", help="fetch without confirmation")
    return parser


if __name__ == "__main__":
    sys.exit(main())
