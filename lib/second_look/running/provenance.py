"""Where a run comes from: commit, versions, machine."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from second_look.files import plain, read_parquet

_NAME = re.compile(r"[\w.-]+")

# Of a set of outputs: what of the data set could not be used, as notebook 01 left it.
QUARANTINE = "dataset/quarantine.parquet"
# Kinds of problems that are named in the terminal, the commonest first.
_NAMED = 4


def quarantine_in_words(path: Path) -> str:
    """One line for the terminal: how much of a data set could not be used, and why.

    Args:
        path: The quarantine as parquet; a CSV lies beside it.
    """
    rows = read_parquet(path, columns=["effect", "code", "image_id", "reason"])
    if rows.empty:
        return "quarantine: empty"
    effects = ", ".join(f"{n} {effect}" for effect, n in rows["effect"].value_counts().items())
    counts = rows["code"].value_counts()
    codes = ", ".join(f"{code} {count}" for code, count in counts[:_NAMED].items())
    ending = f" and {len(counts) - _NAMED} more kinds" if len(counts) > _NAMED else ""
    # What a whole table has lost stands in one row of no image: it is repeated.
    lost = rows[(rows["effect"] == "image left out") & (rows["image_id"] == "")]
    losses = "".join(f"; {reason}" for reason in lost["reason"].unique()[:_NAMED])
    return plain(f"quarantine: {effects} ({codes}{ending}){losses}; see {path.with_suffix('.csv')}")


def describe(folder: Path, packages: Iterable[str]) -> dict[str, Any]:
    """Commit, versions and machine, for run.json.

    Args:
        folder: In the git checkout that is asked for its commit. Where git does not say, or does
            not know the files of the folder, commit and dirty are None.
        packages: Distributions whose versions matter.
    """
    # A copy that lies in another repository is not of that one's commit.
    tracked = _git(folder, "ls-tree", "--name-only", "HEAD", ".")
    commit = _git(folder, "rev-parse", "HEAD") if tracked else None
    changes = _git(folder, "status", "--porcelain") if commit else None
    return {
        "second_look": _version("second-look"),
        "commit": commit or None,
        "dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": _device(),
        "versions": {name: _version(name) for name in sorted(packages)},
    }


def dependencies() -> list[str]:
    """Names of the distributions that this one declares, extras aside."""
    try:
        required = importlib.metadata.requires("second-look") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    lines = (line.partition(";") for line in required)
    plain = [name.strip() for name, _, marker in lines if "extra" not in marker]
    return [match[0] for name in plain if (match := _NAME.match(name))]


class PeakMemory:
    """Peak memory of this process's children together, MB.

    Memory that they share counts once where the system reports it (proportional set size, Linux);
    elsewhere it counts for each of them (resident set size).
    """

    def __init__(self) -> None:
        self.megabytes = 0.0


@contextmanager
def peak_memory(interval: float = 0.5) -> Iterator[PeakMemory]:
    """Watch the children of this process for the length of the block.

    Args:
        interval: Between two measurements, s; longer where one is slow, since it walks through
            all pages of large processes: measuring takes 1 % of the time at most.
    """
    peak, done = PeakMemory(), threading.Event()

    def watch() -> None:
        pause = interval
        while not done.wait(pause):
            begun = time.perf_counter()
            peak.megabytes = max(peak.megabytes, _children_mb())
            pause = max(interval, 100 * (time.perf_counter() - begun))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _children_mb() -> float:
    return sum(_bytes(child) for child in psutil.Process().children(recursive=True)) / 1e6


def _bytes(process: psutil.Process) -> int:
    try:
        return int(getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss)
    except (psutil.Error, OSError):  # it ended meanwhile
        return 0


def _git(folder: Path, *command: str) -> str | None:
    """What git prints; None where it fails."""
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(
        [git, "-C", str(folder), *command], capture_output=True, check=False,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    """Name of the GPU, else of the processor, without importing torch, which is slow."""
    smi = shutil.which("nvidia-smi")
    if smi is not None:
        command = [smi, "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        if done.returncode == 0 and done.stdout.strip():
            return ", ".join(done.stdout.strip().splitlines())
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    lines = text.splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"CPU, {psutil.cpu_count()} cores, {name}"
