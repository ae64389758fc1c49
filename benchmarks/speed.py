"""From disk to batch, training, inference and metrics, beside other libraries: one table.

pip install -e '.[bench]'                         the other libraries; optional
python benchmarks/speed.py                        writes results/speed.csv
python benchmarks/speed.py --only inference       measures only these rows again
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pandas as pd
from second_look.files import write_csv

_RANGE = ["lowest", "highest"]  # of the factor over the turns
RESULTS = Path(__file__).parent / "results" / "speed.csv"
# Modules of `measures` and their functions, imported only when needed: processes that a measure
# starts import this file, and its imports would count as their memory.
SUBJECTS = {
    "windows": "windows.measure",
    "patches": "patches.measure",
    "gpu": "gpu.measure",
    "stores": "stores.measure",
    "preparing": "preparing.measure",
    "headers": "headers.measure",
    "training": "training.measure",
    "training_gpu": "training.measure_gpu",
    "inference": "inference.measure",
    "inference_gpu": "inference.measure_gpu",
    "detection": "detection.measure",
    "gan": "gan.measure",
    "evaluation": "evaluation.measure",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=SUBJECTS, nargs="+", default=list(SUBJECTS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    # One thread for all, so that the ratios hold on any number of cores.
    importlib.import_module("torch").set_num_threads(1)
    for subject in options.only:
        module, function = SUBJECTS[subject].split(".")
        measure = getattr(importlib.import_module(f"measures.{module}"), function)
        rows = pd.DataFrame(measure())
        if rows.empty:  # a subject for GPUs on a machine without one
            continue
        print(rows.to_string(index=False), end="\n\n", flush=True)
        _replace_rows(options.out, subject, rows)
        print(f"written: {options.out}")


def _replace_rows(table: Path, subject: str, rows: pd.DataFrame) -> None:
    """Replace the rows of a subject; those of other subjects stay.

    Rows of libraries that are not installed this time stay too, with the ratios of their own run.
    """
    old = pd.read_csv(table) if table.is_file() else pd.DataFrame(columns=[*rows, "subject"])
    rows = rows.reindex(columns=[*rows.columns.union(_RANGE, sort=False)])
    by_subject = {name: old[old["subject"] == name] for name in SUBJECTS}
    previous = by_subject[subject]
    replaced = _keys(previous).isin(_keys(rows)) | ~previous["measure"].isin(rows["measure"])
    by_subject[subject] = pd.concat([rows.assign(subject=subject), previous[~replaced]])
    tables = [part for part in by_subject.values() if len(part)]
    joined = pd.concat(tables, ignore_index=True)
    columns = [*joined.columns.difference(["subject"], sort=False), "subject"]
    write_csv(table, joined[columns])


def _keys(table: pd.DataFrame) -> pd.Series:
    """Measure and implementation, without the version at its end."""
    return (
        table["measure"]
        + "\n"
        + table["implementation"].str.replace(r" \d[\w.+]*$", "", regex=True)
    )


if __name__ == "__main__":
    main()
