"""Files are whole or not there; errors say what to do."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.tiff import write_tiff
from second_look.decoding.pixels import read_header, read_pixels, write_pgm, write_png
from second_look.errors import DataError, OutputError
from second_look.files import (
    folder_fingerprint,
    harmless,
    harmless_text,
    open_bounded,
    read_bytes,
    read_object,
    read_parquet,
    remove_drafts,
    sha256,
    write_csv,
    write_json,
    write_parquet,
    write_text,
    written_whole,
)
from second_look.preparing.store import save_array


def break_off(path):
    with written_whole(path) as draft:
        draft.write_text("half of it")
        raise RuntimeError("power cut")


def test_a_file_that_breaks_off_leaves_the_one_before(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "whole")
    with pytest.raises(RuntimeError, match="power cut"):
        break_off(path)
    assert path.read_text() == "whole"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


def test_tables_and_json_are_read_back(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["×", "y"]})
    write_parquet(tmp_path / "t.parquet", frame)
    write_csv(tmp_path / "t.csv", frame)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame, check_dtype=False)
    assert (tmp_path / "t.csv").read_text().splitlines() == ["a,b", "1,×", "2,y"]
    write_json(tmp_path / "j.json", {"ß": [1.5]})
    assert json.loads((tmp_path / "j.json").read_text()) == {"ß": [1.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EACCES, "cannot be written"),
        (errno.EROFS, "cannot be written"),
    ],
)
def test_a_full_or_locked_disk_is_one_clear_error(tmp_path, code, message):
    def fail():
        with written_whole(tmp_path / "a.txt") as draft:
            draft.write_text("some")
            raise OSError(code, os.strerror(code))

    with pytest.raises(OutputError, match=message):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_really_full(tmp_path):
    full = "/dev/full"
    if not os.path.exists(full):  # noqa: PTH110
        pytest.skip("this system has no /dev/full")

    def fail():
        with written_whole(tmp_path / "a.txt") as draft:
            draft.symlink_to(full)
            draft.write_text("x" * 100_000)

    with pytest.raises(OutputError, match=r"a\.txt: no space left on the disk"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_other_system_errors_stay_what_they_are(tmp_path):
    def fail():
        with written_whole(tmp_path / "a.txt"):
            raise OSError(errno.EIO, "bad disk")

    with pytest.raises(OSError, match="bad disk"):
        fail()


def test_digests_follow_the_content(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    assert sha256(path) == hashlib.sha256(b"abc").hexdigest()
    first = folder_fingerprint(tmp_path)
    assert folder_fingerprint(tmp_path) == first
    assert folder_fingerprint(path) == folder_fingerprint(path)
    (tmp_path / "b").mkdir()
    assert folder_fingerprint(tmp_path) == first, "an empty folder is no content"
    (tmp_path / "b" / "c.txt").write_text("new")
    two = folder_fingerprint(tmp_path)
    assert two != first
    os.utime(path, ns=(1, 1))
    assert folder_fingerprint(tmp_path) not in (first, two)
    (tmp_path / "b" / "c.txt").rename(tmp_path / "b" / "d.txt")
    assert folder_fingerprint(tmp_path) != two


PIXELS = np.random.default_rng(0).integers(0, 65536, (200, 200), dtype=np.uint16)
FRAME = pd.DataFrame({"a": np.random.default_rng(0).random(50_000)})


WRITERS = {
    "json": lambda path: write_json(path, list(range(50_000))),
    "csv": lambda path: write_csv(path, FRAME),
    "parquet": lambda path: write_parquet(path, FRAME),
    "npy": lambda path: save_array(path, PIXELS),
    "pgm": lambda path: write_pgm(path, PIXELS),
    "png": lambda path: write_png(path, PIXELS),
    "tiff": lambda path: write_tiff(path, PIXELS),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_writer_says_that_a_file_could_be_written_in_part_only(tmp_path, write):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            write(tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_writer_says_that_the_disk_is_full(tmp_path, write):
    path = tmp_path / "a"
    # What is written to the draft goes to a device that is always full.
    with written_whole(path) as draft:
        name = draft.name
        draft.write_text("the file before")
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OutputError, match="no space left on the disk"):
        write(path)
    assert path.read_text() == "the file before"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_an_array_is_saved_as_numpy_reads_it(tmp_path):
    for array in (PIXELS, PIXELS[:, ::-1], np.zeros((3, 0), dtype=np.float32)):
        save_array(tmp_path / "a.npy", array)
        again = np.load(tmp_path / "a.npy", allow_pickle=False)
        np.testing.assert_array_equal(again, array)
        assert again.dtype == array.dtype


@pytest.mark.parametrize("durable", [False, True])
def test_what_took_long_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch, durable):
    synced = []

    def note(descriptor):
        state = os.fstat(descriptor)
        names = [path for path in (tmp_path, written) if path.exists()]
        name = next(str(path) for path in names if os.path.samestat(path.stat(), state))
        synced.append((name, (tmp_path / "a").exists()))

    written = tmp_path / f".a.{os.getpid()}.tmp"
    monkeypatch.setattr(os, "fsync", note)
    with written_whole(tmp_path / "a", durable=durable) as draft:
        draft.write_text("weights")
    folder = str(tmp_path)
    assert synced == ([(f"{folder}/.a.{os.getpid()}.tmp", False), (folder, True)] * durable)


def test_drafts_of_killed_processes_are_removed_and_no_others(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    (tmp_path / "deep").mkdir()
    gone = tmp_path / "deep" / f".x.npy.{dead}.tmp"
    names = [gone, tmp_path / f".y.{os.getpid()}.tmp", tmp_path / ".of_another.tmp", tmp_path / "z"]
    for path in names:
        path.write_text("half")
    assert remove_drafts(tmp_path) == [gone]
    assert [path.exists() for path in names] == [False, True, True, True]


def test_a_folder_in_the_way_is_named_with_a_remedy(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report.html: a folder stands .* Remove or"):
        write_text(tmp_path / "report.html", "page")


@pytest.mark.parametrize("content", ["", "[1]", "3", "{", "nul\0", "[" * 100_000])
def test_what_is_no_object_is_none(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    assert read_object(tmp_path / "run.json") == {}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"noise" * 99])
def test_a_damaged_table_is_named(tmp_path, content):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot be read as a table .*Run the notebook"):
        read_parquet(path)
    write_parquet(path, pd.DataFrame({"a": [1]}))
    with pytest.raises(OutputError, match="cannot be read as a table"):
        read_parquet(path, ["b"])


def test_cells_act_on_no_spreadsheet_or_terminal(tmp_path):
    texts = ["=1+1", "+A1", "-2+3+cmd|' /C calc'!A0", "@x", " =x", "a\x1b]0;b", "\u202ea"]
    plain = ["-0.5", "+3", "-0.1 to 0.2", "a=b", "–", "two\nlines", ""]
    frame = pd.DataFrame({"text": texts + plain, "number": -1.5})
    cleaned, changed = harmless(frame)
    assert changed == len(texts)
    assert all(cell.startswith("'") for cell in cleaned["text"][:5])
    assert cleaned["text"].tolist()[5:] == ["a\\x1b]0;b", "\\u202ea", *plain]
    write_csv(tmp_path / "t.csv", frame)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "t.csv", keep_default_na=False), cleaned, check_dtype=False
    )
    assert harmless_text("\ud800") == "\\ud800"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for read in (read_pixels, read_header, open_bounded, lambda path: read_bytes(path, "")):
        with pytest.raises(DataError, match=r"pipe\.png: this is a pipe"):
            read(tmp_path / "pipe.png")
