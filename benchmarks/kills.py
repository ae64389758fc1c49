"""Runs that are killed at random points and go on: do they end with the results of an unbroken one?

Notebooks 01 to 08 run on few phantoms, once undisturbed and then killed again and again, with all
their processes at once (SIGKILL, as when power or memory fails). Whenever a run is complete, its
results.json, tables and predictions are compared with the undisturbed run's, but for columns of
times and memory, and no unfinished file may be there; then it begins anew, until so many were
killed.

    python benchmarks/kills.py --kills 100 --work /tmp/kills       hours; 10 take about half an hour

Prints a line for each kill and run. Ends with 1 where anything differs; what is compared stays in
the work folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

HERE = Path(__file__).resolve().parents[1]
LAST_NOTEBOOK = "08"
# Fewer steps than params/ci.yaml, which is the base.
SETTINGS = (
    "03_dcgan.epochs=2",
    "03_dcgan.early_epochs=1",
    "05_mask_rcnn.stages=[[12, 5e-4, all]]",
    "05_mask_rcnn.validate_every=6",
    "06_patch_transfer_learning.patch_counts=[64, 128]",
    "06_patch_transfer_learning.test_windows=200",
)
# Columns that hold times, speeds or memory, which no two runs share.
_TIMING = re.compile(r"seconds|per_second|minutes|memory|(^|_)(s|ms|us|mb|gb)(_|$)|time", re.I)


def project_in(work: Path) -> Path:
    """A copy of the notebooks to run, with the script that runs them; returns its folder."""
    project = work / "project"
    shutil.rmtree(project, ignore_errors=True)
    (project / "notebooks").mkdir(parents=True)
    shutil.copy(HERE / "run_all.py", project)
    shutil.copytree(HERE / "params", project / "params")
    for path in sorted((HERE / "notebooks").glob("0[1-9]_*")):
        if path.name[:2] <= LAST_NOTEBOOK:
            shutil.copy(path, project / "notebooks")
    return project


def started(project: Path, outputs: Path, log: Path) -> subprocess.Popen[bytes]:
    """A run in a session of its own, its words at the end of a log."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [
        sys.executable,
        "run_all.py",
        "--params",
        "params/ci.yaml",
        "--outputs",
        str(outputs),
    ]
    with log.open("ab") as stream:
        return subprocess.Popen(
            [*command, *settings], cwd=project, stdout=stream, stderr=stream,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def wait_for_notebook(process: subprocess.Popen[bytes], log: Path, size: int) -> None:
    """Wait until a run has begun a notebook, by what its log has beyond `size` bytes, or ended.

    To start takes longer than many a draw on a busy machine, and would take all of the kills.
    """
    while process.poll() is None and b": running" not in log.read_bytes()[size:]:
        time.sleep(0.2)


def underway(log: Path) -> str:
    """The notebook that was begun last."""
    names = re.findall(rb"(\w+): running", log.read_bytes())
    return names[-1].decode() if names else "no notebook"


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a run and all that it started, at once."""
    with suppress(psutil.NoSuchProcess):
        run = psutil.Process(process.pid)
        for part in [run, *run.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                part.kill()
    process.wait()


def differences(expected: Path, outputs: Path) -> list[str]:
    """What the results of a run have that those of the undisturbed one have not, in words."""
    problems = [f"left over: {path}" for path in outputs.rglob(".*") if path.name != ".lock"]
    names = [
        {str(path.relative_to(folder)) for part in ("tables", "predictions", "figures")
         for path in (folder / part).rglob("*") if path.is_file()}
        for folder in (expected, outputs)
    ]  # fmt: skip
    problems += [f"only in one run: {name}" for name in sorted(names[0] ^ names[1])]
    for name in sorted(names[0] & names[1]):
        if not name.endswith((".csv", ".parquet")):
            continue
        try:
            pd.testing.assert_frame_equal(
                _table(expected / name), _table(outputs / name), check_exact=True
            )
        except AssertionError as error:
            problems.append(f"{name}: {' '.join(str(error).split())[:200]}")
    rows = [_results(folder) for folder in (expected, outputs)]
    problems += [
        f"results.json, {claim}: {rows[0].get(claim)} → {rows[1].get(claim)}"
        for claim in sorted(rows[0].keys() | rows[1].keys())
        if rows[0].get(claim) != rows[1].get(claim)
    ]
    return problems


def _table(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    # The ratio of 06_dense.csv is one of two times; in other tables it is a result.
    times = ["ratio"] if path.name == "06_dense.csv" else []
    return table[[name for name in table if name not in times and not _TIMING.search(str(name))]]


def _results(folder: Path) -> dict[str, Any]:
    rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {row["claim"]: row for row in rows}


def complete(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the end of a run; stop where it failed."""
    if process.wait() != 0:
        sys.exit(f"a run ended with {process.returncode}; its words: {log}")


def main() -> int:
    """Kill runs, compare what they end with; returns 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--longest",
        type=float,
        default=60.0,
        help="s from the first notebook to a kill",
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many threads, as many sums
    work = options.work.resolve()
    project, log, draws = project_in(work), work / "log.txt", random.Random(options.seed)
    log.touch()
    expected, outputs = work / "undisturbed" / "ci", work / "killed" / "ci"
    if not (expected / "report.html").is_file():
        begun = time.monotonic()
        complete(started(project, expected.parent, log), log)
        print(f"undisturbed: {time.monotonic() - begun:.0f} s", flush=True)
    shutil.rmtree(outputs.parent, ignore_errors=True)
    killed, problems = 0, 0
    while killed < options.kills or outputs.is_dir():
        size = log.stat().st_size
        process = started(project, outputs.parent, log)
        moment = draws.uniform(0.0, options.longest)
        wait_for_notebook(process, log, size)
        try:
            process.wait(moment if killed < options.kills else None)
        except subprocess.TimeoutExpired:
            kill(process)
            killed += 1
            print(f"kill {killed}: {underway(log)}, after {moment:.1f} s", flush=True)
            continue
        complete(process, log)
        different = differences(expected, outputs)
        problems += len(different)
        print("\n".join(different) or f"equal after {killed} kills in all", flush=True)
        if different:
            shutil.move(outputs, work / f"different_{killed}")
        shutil.rmtree(outputs.parent, ignore_errors=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
