"""The road from disk to batch, and what follows a prediction, side by side with peers.

pip install -e '.[bench]'       the peers; without them only ours is measured
python benchmarks/speed.py      writes results/speed.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from measures import evaluation, gan, gpu, headers, patches, preparing, stores, windows
from second_look.files import write_csv

RESULTS = Path(__file__).parent / "results" / "speed.csv"
SUBJECTS = {
    "windows": windows.measure,
    "patches": patches.measure,
    "gpu": gpu.measure,
    "stores": stores.measure,
    "preparing": preparing.measure,
    "headers": headers.measure,
    "evaluation": evaluation.measure,
    "gan": gan.measure,
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
    rows = []
    for subject in options.only:
        found = SUBJECTS[subject]()
        print(pd.DataFrame(found).to_string(index=False), end="\n\n", flush=True)
        rows += found
    write_csv(options.out, pd.DataFrame(rows))
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
