"""From disk to batch, training, inference and what follows, side by side with peers.

pip install -e '.[bench]'                         the peers; without them only ours is measured
python benchmarks/speed.py                        writes results/speed.csv
python benchmarks/speed.py --only inference       measures these rows anew and leaves the others
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from measures import (
    evaluation,
    headers,
    inference,
    patches,
    preparing,
    stores,
    training,
    windows,
)
from second_look.files import write_csv

RESULTS = Path(__file__).parent / "results" / "speed.csv"
SUBJECTS = {
    "windows": windows.measure,
    "patches": patches.measure,
    "stores": stores.measure,
    "preparing": preparing.measure,
    "headers": headers.measure,
    "training": training.measure,
    "training_gpu": training.measure_gpu,
    "inference": inference.measure,
    "inference_gpu": inference.measure_gpu,
    "evaluation": evaluation.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=SUBJECTS, nargs="+", default=list(SUBJECTS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    # One thread for everybody, so that the ratios hold on any number of cores.
    torch.set_num_threads(1)
    for subject in options.only:
        found = pd.DataFrame(SUBJECTS[subject]())
        if found.empty:
            continue
        print(found.to_string(index=False), end="\n\n", flush=True)
        write_csv(options.out, _with(options.out, subject, found))
        print(f"written: {options.out}")


def _with(path: Path, subject: str, found: pd.DataFrame) -> pd.DataFrame:
    """The table in `path` with the rows of a subject replaced, in the order of SUBJECTS."""
    table = found.assign(subject=subject)[["subject", *found.columns]]
    if path.is_file():
        before = pd.read_csv(path)
        table = pd.concat([before[before["subject"] != subject], table])
    places = {name: place for place, name in enumerate(SUBJECTS)}
    return table.sort_values("subject", key=lambda names: names.map(places), kind="stable")


if __name__ == "__main__":
    main()
