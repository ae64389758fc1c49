"""A campaign of damaged files: every format byte by byte, cuts inside containers, lost rows.

    make fuzz                          20,000 files, seed 0
    make fuzz CASES=100000 SEED=3
    make fuzz FORM="JPEG" SEED=3 FIRST=17 CASES=1          one of them again

Files are read in child processes with at most 2 GB more than they start with; a file that takes
20 s is a hang and its process is ended. Prints each failure with the line that repeats it, and ends
with 1 where there was one.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "lib"), str(REPO / "tests")]

from second_look.decoding.pixels import read_pixels  # noqa: E402

from helpers import cut_pictures, fuzzing, lost_rows  # noqa: E402

SECONDS, START_SECONDS = 20.0, 200.0
# Threads of libraries take address space.
_LIMITS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
_CHUNK = 500


def _container_form(case: cut_pictures.Case) -> fuzzing.Format:
    """A sound container that is damaged within: what is read of it is the very picture."""

    def make(folder: Path) -> Path:
        path = folder / "a"
        path.write_bytes(case.content)
        return path

    sound: list[np.ndarray] = []

    def read(_folder: Path, path: Path) -> None:
        picture = read_pixels(path)
        if not sound:
            sound.append(picture)
        expected = sound[0][: len(picture), : picture.shape[1]]
        assert np.array_equal(picture, expected), "made-up pixels"

    def change(content: bytes, rng: fuzzing.random.Random) -> bytes:
        return rng.choice(case.changes)(content, rng)

    return fuzzing.Format(f"inside {case.name}", make, read, change=change)


def forms(folder: Path) -> list[fuzzing.Format]:
    """All kinds of damage to all formats; a folder holds what is made on the way."""
    rows = partial(fuzzing.Format, change=lost_rows.damaged_row)
    return [
        *fuzzing.formats(),
        *map(_container_form, cut_pictures.cases(folder)),
        rows("rows of Info.txt", lost_rows.make_mias, lost_rows.read_mias_rows(), share=0.12),
        rows("rows of a table", lost_rows.make_folder, lost_rows.read_folder_rows(), share=1),
        rows("rows of CBIS", lost_rows.make_cbis, lost_rows.Descriptions(), share=2),
    ]


def read_some(folder: Path, name: str, cases: range, seed: int) -> None:
    """In a process of its own: damage and read files of one form; prints a line a finding."""
    fuzzing.bound_process()
    form = next(form for form in forms(folder) if form.name == name)
    for finding in fuzzing.fuzz(form, folder / "files", cases, seed):
        print(json.dumps(finding), flush=True)


def watched(command: list[str], cases: range) -> Iterator[tuple[int | str, str]]:
    """Run `command FOLDER --first N --cases N` until all cases are tried, those that end it too.

    Yields:
        Case and what went wrong with it.
    """
    while cases:
        chunk = range(cases.start, min(cases.stop, cases.start + _CHUNK))
        with tempfile.TemporaryDirectory(prefix="second-look-fuzz-") as name:
            folder = Path(name)
            error = _child(command, folder, chunk)
            for line in (folder / "out").read_text(encoding="utf-8").splitlines():
                finding = json.loads(line)
                yield finding["case"], finding["reason"]
            last = _case(folder)
        if error:
            yield "none" if last is None else last, error
        next_case = chunk.stop if not error or last is None else last + 1
        cases = range(next_case, cases.stop)


def _child(command: list[str], folder: Path, cases: range) -> str:
    """Read files in a fresh process: a forked one may wait for ever; "" where it ended well."""
    command = [*command, str(folder), "--first", str(cases.start), "--cases", str(len(cases))]
    with (folder / "out").open("wb") as out, (folder / "errors").open("wb") as errors:
        child = subprocess.Popen(
            command, stdout=out, stderr=errors, env=os.environ | _LIMITS, start_new_session=True
        )
        last, since = None, time.monotonic()
        while child.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.2)
            if _case(folder) != last:
                last, since = _case(folder), time.monotonic()
            # The first case waits for the libraries to be imported.
            if time.monotonic() - since > (START_SECONDS if last is None else SECONDS):
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return f"more than {SECONDS} s"
    if child.returncode == 0:
        return ""
    words = (folder / "errors").read_text(encoding="utf-8", errors="replace").strip()
    return f"the process ended with {child.returncode}: {words[-300:]}"


def _case(folder: Path) -> int | None:
    try:
        return int(json.loads((folder / "case.json").read_text(encoding="utf-8"))[1])
    except (OSError, ValueError):
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--form", default="")
    parser.add_argument("folder", type=Path, nargs="?", help=argparse.SUPPRESS)  # of a child
    options = parser.parse_args()
    if options.folder:
        cases = range(options.first, options.first + options.cases)
        read_some(options.folder, options.form, cases, options.seed)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        all_forms = forms(Path(folder))
    chosen = [form for form in all_forms if options.form in ("", form.name)]
    if not chosen:
        parser.error(f"--form is one of: {', '.join(form.name for form in all_forms)}")
    cases_per_share = options.cases / sum(form.share for form in chosen)
    done = failures = 0
    print(f"seed {options.seed}", flush=True)
    for form in chosen:
        begun, count = time.monotonic(), max(1, round(cases_per_share * form.share))
        cases = range(options.first, options.first + count)
        command = [sys.executable, __file__, "--form", form.name, "--seed", str(options.seed)]
        for case, reason in watched(command, cases):
            failures += 1
            again = (
                f"make fuzz FORM={shlex.quote(form.name)} SEED={options.seed} FIRST={case} CASES=1"
            )
            print(f"{again}\n    {reason.strip().splitlines()[-1][:300]}", flush=True)
        done += count
        print(f"{form.name}: {count:,} in {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{done:,} damaged files, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
