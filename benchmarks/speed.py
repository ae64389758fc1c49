"""From disk to batch, training, inference and metrics, side by side with peers: one table.

pip install -e '.[bench]'                         the peers; without them only ours is measured
python benchmarks/speed.py                        writes results/speed.csv
python benchmarks/speed.py --only inference       measures these rows anew and leaves the others
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pandas as pd
from second_look.files import write_csv

RESULTS = Path(__file__).parent / "results" / "speed.csv"
# Modules of `measures` and functions in them, imported when their turn comes: processes that a
# measure starts import this file, and what it imports would count as their memory.
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
    # One thread for everybody, so that the ratios hold on any number of cores.
    importlib.import_module("torch").set_num_threads(1)
    for subject in options.only:
        module, function = SUBJECTS[subject].split(".")
        measure = getattr(importlib.import_module(f"measures.{module}"), function)
        found = pd.DataFrame(measure())
        if found.empty:  # a subject for GPUs on a machine without one
            continue
        print(found.to_string(index=False), end="\n\n", flush=True)
        _put(options.out, subject, found)
        print(f"written: {options.out}")


def _put(table: Path, subject: str, found: pd.DataFrame) -> None:
    """Write the rows of a subject in place of its old ones; the other subjects stay.

    So do the rows of peers that are not installed this time, with the ratios of their own run.
    """
    old = pd.read_csv(table) if table.is_file() else pd.DataFrame(columns=[*found, "subject"])
    parts = {name: old[old["subject"] == name] for name in SUBJECTS}
    before = parts[subject]
    again = _names(before).isin(_names(found)) | ~before["what"].isin(found["what"])
    parts[subject] = pd.concat([found.assign(subject=subject), before[~again]])
    write_csv(table, pd.concat([part for part in parts.values() if len(part)], ignore_index=True))


def _names(table: pd.DataFrame) -> pd.Series:
    """What was measured of whom, without the version at its end."""
    return table["what"] + "\n" + table["who"].str.replace(r" \d[\w.+]*$", "", regex=True)


if __name__ == "__main__":
    main()
