"""Downloads: a server and a commons of this machine, that break in every way."""

from __future__ import annotations

import csv
import functools
import hashlib
import inspect
import io
import shutil
import sys
import tarfile
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from second_look import __main__ as command
from second_look.decoding.pixels import write_pgm
from second_look.errors import DataError, MissingDataError, OutputError, ParameterError
from second_look.sources import download
from second_look.sources.download import (
    MIAS_ARCHIVE,
    Selection,
    cbis_series,
    download_cbis,
    download_mias,
    fetch_series,
    open_client,
    series_problem,
)
from second_look.sources.mias import read_mias

Usage = namedtuple("Usage", "total used free")
RECORD = f"{MIAS_ARCHIVE}.sha256"
SMALL = Selection("test", patients=2)


def write_archive(path, images=322, missing=()):
    """An archive of the right number of tiny pictures."""
    folder = path.parent / f"{path.name}-content"
    folder.mkdir(parents=True)
    names = [f"mdb{number:03d}" for number in range(1, images + 1)]
    for name in names:
        if name not in missing:
            write_pgm(folder / f"{name}.pgm", np.arange(16, dtype=np.uint8).reshape(4, 4))
    (folder / "Info.txt").write_text("".join(f"{name} G NORM\n" for name in names))
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname=".")
    shutil.rmtree(folder)
    return path.read_bytes()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("archive") / "whole.tar.gz")


class Handler(BaseHTTPRequestHandler):
    """Gives the server's content; breaks off as often as the server says."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        content = self.server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.breaks > 0:
            self.server.breaks -= 1
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def content(archive, tmp_path_factory):
    """The digest of what the archive holds, in place of the true one."""
    folder = tmp_path_factory.mktemp("content")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return download.content_digest(folder)


@pytest.fixture
def server(archive, content, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "MIAS_CONTENT", content)
    monkeypatch.setattr("time.sleep", lambda _: None)  # pauses between attempts
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.content, running.breaks, running.status, running.asked = archive, 0, 200, []
        running.address = f"http://127.0.0.1:{running.server_port}/pix/all-mias.tar.gz"
        thread = threading.Thread(target=functools.partial(running.serve_forever, 0.01))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestMias:
    def test_the_archive_is_fetched_once_checked_and_recorded(self, server, tmp_path, archive):
        path = download_mias(tmp_path, address=server.address)
        assert path == tmp_path / MIAS_ARCHIVE
        assert path.read_bytes() == archive
        digest = hashlib.sha256(archive).hexdigest()
        assert (tmp_path / RECORD).read_text() == f"{digest}  {MIAS_ARCHIVE}\n"
        assert server.asked == ["/pix/all-mias.tar.gz"]
        assert download_mias(tmp_path, address=server.address) == path
        assert len(server.asked) == 1
        assert names(tmp_path) == [MIAS_ARCHIVE, RECORD]
        assert len(read_mias(tmp_path, tmp_path / "cache").images) == 322

    @pytest.mark.parametrize("kind", ["sha256", "md5"])
    def test_a_known_checksum_is_asked_for(self, server, tmp_path, archive, kind):
        good = f"{kind}:{hashlib.new(kind, archive).hexdigest()}"
        bad = f"{kind}:{hashlib.new(kind, b'other').hexdigest()}"
        with pytest.raises(DataError, match="has another checksum than"):
            download_mias(tmp_path, address=server.address, checksum=bad, retries=0)
        assert names(tmp_path) == []
        download_mias(tmp_path, address=server.address, checksum=good)
        assert (tmp_path / RECORD).is_file()

    def test_what_comes_later_is_compared_with_the_record(self, server, tmp_path, archive):
        download_mias(tmp_path, address=server.address)
        (tmp_path / MIAS_ARCHIVE).write_bytes(archive[:-9])
        # Spoilt since: it is fetched anew.
        assert download_mias(tmp_path, address=server.address).read_bytes() == archive
        assert len(server.asked) == 2
        (tmp_path / MIAS_ARCHIVE).unlink()
        server.content = archive + b"x"
        with pytest.raises(DataError, match=r"remove .*all-mias.tar.gz.sha256"):
            download_mias(tmp_path, address=server.address, retries=0)
        assert names(tmp_path) == [RECORD]
        (tmp_path / RECORD).write_text("nothing\n")
        with pytest.raises(DataError, match="expected a SHA-256"):
            download_mias(tmp_path, address=server.address)

    def test_an_archive_put_there_by_hand_is_checked_and_kept(self, server, tmp_path, archive):
        (tmp_path / MIAS_ARCHIVE).write_bytes(archive)
        download_mias(tmp_path, address=server.address)
        assert (tmp_path / RECORD).is_file()
        (tmp_path / RECORD).unlink()
        (tmp_path / MIAS_ARCHIVE).write_bytes(archive[:-9])
        with pytest.raises(DataError, match="broken"):
            download_mias(tmp_path, address=server.address)
        assert names(tmp_path) == [MIAS_ARCHIVE]
        assert server.asked == []

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"images": 321}, "expected 322 images that can be used. Got 321"),
            ({"missing": ["mdb007"]}, "Got 321; the file is not there"),
        ],
    )
    def test_another_archive_is_not_kept(self, server, tmp_path, options, words):
        server.content = write_archive(tmp_path / "other.tar.gz", **options)
        folder = tmp_path / "data"
        with pytest.raises(DataError, match=words):
            download_mias(folder, address=server.address)
        assert names(folder) == []

    def test_a_page_instead_of_the_archive_is_not_kept(self, server, tmp_path):
        server.content = b"<html>moved</html>"
        with pytest.raises(DataError, match="broken"):
            download_mias(tmp_path, address=server.address)
        assert names(tmp_path) == []

    def test_content_that_was_never_published_is_not_kept(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(download, "MIAS_CONTENT", "another")
        with pytest.raises(DataError, match=r"not as they were published\. Do not trust"):
            download_mias(tmp_path, address=server.address)
        assert names(tmp_path) == []

    def test_a_server_that_sends_too_much_does_not_fill_the_disk(
        self, server, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(download, "_MOST_MIAS_BYTES", 1000)
        with pytest.raises(DataError, match=r"more than 0\.00 GB come"):
            download_mias(tmp_path, address=server.address)
        assert names(tmp_path) == []

    def test_a_broken_connection_is_tried_again(self, server, tmp_path, archive):
        server.breaks = 2
        assert download_mias(tmp_path, address=server.address).read_bytes() == archive
        assert len(server.asked) == 3
        elsewhere = tmp_path / "other"
        server.breaks = 9
        with pytest.raises(MissingDataError, match="the download failed"):
            download_mias(elsewhere, address=server.address, retries=1)
        assert len(server.asked) == 5
        assert names(elsewhere) == [f".{MIAS_ARCHIVE}.part"]  # to continue with

    def test_no_server_and_no_such_file(self, server, tmp_path):
        server.status = 404
        with pytest.raises(MissingDataError, match=r"404.*put the file at"):
            download_mias(tmp_path, address=server.address, retries=0)
        with pytest.raises(MissingDataError, match="the download failed"):
            download_mias(tmp_path, address="http://127.0.0.1:9/x.tar.gz", retries=0)
        assert names(tmp_path) == []

    def test_the_disk_is_looked_at_first(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**8))
        with pytest.raises(OutputError, match=r"0\.60 GB are needed.*0\.10 GB are free"):
            download_mias(tmp_path, address=server.address)
        assert server.asked == []


class Commons:
    """Stands for `idc_index.IDCClient`: writes files as it does, and breaks when told to.

    Attributes:
        breaks: What happens in each call: "" all is well, "half" stops half way through the
            series, "short" cuts the last file, "nothing" is silent as the true client is without
            a network, an exception is raised after half of the series.
    """

    def __init__(self, table, *breaks):
        self.rows = {row.series: row for row in table.itertuples()}
        self.breaks = list(breaks)
        self.calls = []

    def download_from_selection(self, folder, *, seriesInstanceUID, quiet, show_progress_bar):  # noqa: N803
        uids = seriesInstanceUID
        self.calls.append(uids)
        trouble = self.breaks.pop(0) if self.breaks else ""
        if trouble == "nothing":
            return
        half = trouble == "half" or isinstance(trouble, BaseException)
        for uid in uids[: len(uids) // 2] if half else uids:
            write_series(folder, self.rows[uid], short=trouble == "short" and uid == uids[-1])
        if isinstance(trouble, BaseException):
            raise trouble


def write_series(folder, row, *, short=False, extra=False):
    """Files of the right number and size, without their weight on the disk."""
    target = Path(folder) / row.path
    target.mkdir(parents=True, exist_ok=True)
    sizes = [row.bytes // row.files] * (row.files - 1)
    sizes.append(row.bytes - sum(sizes) - short)
    for number, size in enumerate([*sizes, *[4] * extra]):
        with (target / f"{row.series[-8:]}{number}.dcm").open("wb") as stream:
            stream.truncate(size)


def yes(_):
    return True


def run(folder, *breaks, selection=SMALL, confirm=yes):
    commons = Commons(cbis_series(selection), *breaks)
    count = download_cbis(folder, selection, confirm=confirm, connect=lambda: commons, pause_s=0)
    return count, commons


class TestSeries:
    """The figures of the data set, counted from its CSVs and its index by other means."""

    @pytest.mark.parametrize(
        ("split", "series", "patients", "files"),
        [("", 6775, 1566, 10239), ("train", 5415, 1248, 8186), ("test", 1360, 349, 2053)],
    )
    def test_the_official_splits(self, split, series, patients, files):
        table = cbis_series(Selection(split))
        assert len(table) == series
        assert table["patient"].nunique() == patients
        assert table["files"].sum() == files
        assert table["series"].is_unique
        if not split:
            assert table["bytes"].sum() / 1e9 == pytest.approx(163.5, abs=0.05)
            # Every file is a DICOM of even length.
            assert (table["bytes"] % 2 == 0).all()

    def test_some_patients(self):
        table = cbis_series(Selection(patients=3))
        assert list(table["patient"].unique()) == ["P_00001", "P_00004", "P_00005"]
        tested = cbis_series(Selection("test", 3))
        assert tested["patient"].nunique() == 3
        assert set(tested["split"]) == {"test"}
        row = table.iloc[0]
        collection, patient, study, series = row["path"].split("/")
        assert (collection, series) == ("cbis_ddsm", f"MG_{row['series']}")
        assert patient.startswith("Mass-Training_P_00001_LEFT_")
        assert study.startswith("1.3.6.1.4.1.9590.")

    @pytest.mark.real_data
    def test_the_split_is_that_of_the_tables(self, data_root):
        folder = data_root / "cbis-ddsm"
        columns = ("image file path", "cropped image file path", "ROI mask file path")
        split_of = {}
        for path in folder.glob("*_case_description_*.csv"):
            split = "test" if "test" in path.name else "train"
            with path.open(newline="") as stream:
                for row in csv.DictReader(stream):
                    for column in columns:
                        split_of[row[column].split("/")[2]] = split
        table = cbis_series(Selection())
        assert dict(zip(table["series"], table["split"], strict=True)) == split_of

    @pytest.mark.parametrize("arguments", [("val", 0), ("", -1)])
    def test_a_selection_that_makes_no_sense(self, arguments):
        with pytest.raises(ParameterError, match="split train or test"):
            Selection(*arguments)

    def test_a_series_is_whole_by_number_and_bytes(self, tmp_path):
        assert series_problem(tmp_path, 2, 30) == "it is not there"
        (tmp_path / "a.dcm").write_bytes(bytes(10))
        (tmp_path / "notes.txt").write_text("mine")
        assert series_problem(tmp_path, 2, 30) == "expected 2 files. Got 1"
        (tmp_path / "b.dcm").write_bytes(bytes(10))
        assert series_problem(tmp_path, 2, 30) == "expected 30 bytes. Got 20"
        (tmp_path / "b.dcm").write_bytes(bytes(20))
        assert series_problem(tmp_path, 2, 30) == ""


class TestCbis:
    def is_complete(self, folder, selection=SMALL):
        table = cbis_series(selection)
        return all(
            not series_problem(folder / row.path, row.files, row.bytes)
            for row in table.itertuples()
        )

    def test_all_arrives_once(self, tmp_path):
        offers = []
        count, commons = run(tmp_path, confirm=lambda offer: offers.append(offer) or True)
        assert count == len(cbis_series(SMALL)) == sum(map(len, commons.calls))
        assert self.is_complete(tmp_path)
        assert names(tmp_path) == ["cbis_ddsm"]
        assert "2 patients, 8 series, 12 files, 0.17 GB. 0.00 GB of them are there" in offers[0]
        again, elsewhere = run(tmp_path, confirm=pytest.fail)
        assert (again, elsewhere.calls) == (0, [])

    def test_no_fetches_nothing(self, tmp_path):
        count, commons = run(tmp_path, confirm=lambda _: False)
        assert (count, commons.calls, names(tmp_path)) == (0, [], [])

    @pytest.mark.parametrize("trouble", ["half", "short", "nothing", ConnectionError("reset")])
    def test_what_did_not_arrive_is_asked_for_again(self, tmp_path, trouble):
        count, commons = run(tmp_path, trouble)
        assert count == 8
        assert self.is_complete(tmp_path)
        arrived = {"half": 4, "short": 7, "nothing": 0}.get(str(trouble), 4)
        assert [len(call) for call in commons.calls] == [8, 8 - arrived]

    def test_after_a_break_only_the_rest_is_fetched(self, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, KeyboardInterrupt())
        assert not self.is_complete(tmp_path)
        offers = []
        count, commons = run(tmp_path, confirm=lambda offer: offers.append(offer) or True)
        assert (count, len(commons.calls[0])) == (4, 4)
        assert self.is_complete(tmp_path)
        present_gb = cbis_series(SMALL)["bytes"][:4].sum() / 1e9
        assert f"{present_gb:.2f} GB of them are there" in offers[0]
        assert names(tmp_path) == ["cbis_ddsm"]

    def test_what_a_killed_run_left_is_used(self, tmp_path):
        table = cbis_series(SMALL)
        first, second = list(table.itertuples())[:2]
        write_series(tmp_path / ".fetching", first)
        write_series(tmp_path / ".fetching", second, short=True)
        count, commons = run(tmp_path)
        assert count == 7
        assert first.series not in commons.calls[0]
        assert self.is_complete(tmp_path)
        assert names(tmp_path) == ["cbis_ddsm"]

    def test_what_is_not_whole_is_fetched_anew_in_place(self, tmp_path):
        table = cbis_series(SMALL)
        first, second, third = list(table.itertuples())[:3]
        write_series(tmp_path, first, short=True)
        write_series(tmp_path, second, extra=True)
        write_series(tmp_path, third)
        inode = next((tmp_path / third.path).iterdir()).stat().st_ino
        count, commons = run(tmp_path)
        assert count == 7
        assert third.series not in commons.calls[0]
        assert next((tmp_path / third.path).iterdir()).stat().st_ino == inode
        assert self.is_complete(tmp_path)

    def test_without_a_network_it_says_so(self, tmp_path):
        with pytest.raises(MissingDataError, match=r"nothing arrived in 3 attempts\..*network"):
            run(tmp_path, "nothing", "nothing", "nothing")

        class Unreachable:
            def download_from_selection(self, *_, **__):
                raise OSError("no route to host")

        with pytest.raises(MissingDataError, match=r"attempts \(OSError: no route to host\)"):
            download_cbis(tmp_path, SMALL, confirm=yes, connect=Unreachable, pause_s=0)

    def test_what_never_comes_whole_is_named_and_the_rest_is_kept(self, tmp_path):
        last = cbis_series(SMALL).iloc[-1]
        with pytest.raises(DataError, match=r"1 series did not arrive whole.*bytes\. Got") as error:
            run(tmp_path, "short", "short", "short")
        assert error.value.location == last["series"]
        assert "run the same command again" in str(error.value)
        assert names(tmp_path) == ["cbis_ddsm"]
        assert not (tmp_path / last["path"]).exists()
        count, commons = run(tmp_path)
        assert (count, commons.calls) == (1, [[last["series"]]])

    def test_many_series_come_in_batches(self, tmp_path, monkeypatch):
        monkeypatch.setattr(download, "_BATCH", 3)
        _, commons = run(tmp_path, "", "half")
        assert [len(call) for call in commons.calls] == [3, 3, 2, 2]
        assert self.is_complete(tmp_path)

    def test_the_disk_is_looked_at_first(self, tmp_path, monkeypatch):
        need = int(cbis_series(SMALL)["bytes"].sum()) + 10**9
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, need - 1))
        with pytest.raises(OutputError, match=r"0\.17 GB are needed"):
            run(tmp_path / "new" / "folder", confirm=pytest.fail)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, need))
        assert run(tmp_path / "new" / "folder")[0] == 8

    def test_a_disk_that_fills_up_is_told_as_such(self, tmp_path, monkeypatch):
        class Full:
            def download_from_selection(self, *_, **__):
                monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 0))
                raise OSError(28, "No space left on device")

        with pytest.raises(OutputError, match=r"0\.00 GB are free"):
            download_cbis(tmp_path, SMALL, confirm=yes, connect=Full, pause_s=0)

    def test_the_client_is_asked_as_it_wants_to_be(self, tmp_path):
        asked = []

        class Client:
            def download_from_selection(self, *arguments, **options):
                asked.append((arguments, options))

        fetch_series(Client(), ("1.2", "1.3"), tmp_path)
        options = {"seriesInstanceUID": ["1.2", "1.3"], "quiet": True, "show_progress_bar": False}
        assert asked == [((str(tmp_path),), options)]

    def test_without_the_package_the_error_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "idc_index", None)
        with pytest.raises(MissingDataError, match=r"pip install second-look\[download\]"):
            open_client()

    def test_the_true_client_takes_what_it_is_given(self):
        idc_index = pytest.importorskip("idc_index", exc_type=ImportError)
        parameters = inspect.signature(idc_index.IDCClient.download_from_selection).parameters
        assert list(parameters)[1] == "downloadDir"
        assert {"seriesInstanceUID", "quiet", "show_progress_bar"} < set(parameters)
        assert parameters["dirTemplate"].default == (
            "%collection_id/%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID"
        )


class TestCommandLine:
    def test_the_command_fetches_mias_and_says_where_it_lies(
        self, server, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setattr(
            download, "download_mias", functools.partial(download_mias, address=server.address)
        )
        assert command.main(["download", "mias", "--folder", str(tmp_path)]) == 0
        assert capsys.readouterr().out == f"{tmp_path / MIAS_ARCHIVE}\n"

    @pytest.fixture
    def cbis(self, tmp_path, monkeypatch):
        commons = Commons(cbis_series(SMALL))
        monkeypatch.setattr(
            download, "download_cbis", functools.partial(download_cbis, connect=lambda: commons)
        )
        words = ["--folder", str(tmp_path), "--split", "test", "--patients", "2"]
        return lambda *extra: command.main(["download", "cbis", *words, *extra])

    def test_cbis_unasked_and_then_nothing_to_do(self, cbis, capsys):
        assert cbis("--yes") == 0
        out = capsys.readouterr().out
        assert "8 series, 12 files, 0.17 GB" in out
        assert "8 series fetched into" in out
        assert cbis() == 0
        assert capsys.readouterr().out == "Everything is there already.\n"

    @pytest.mark.parametrize(
        ("answer", "words"), [("y", "8 series fetched"), ("", "Nothing was fetched.")]
    )
    def test_cbis_asks(self, cbis, monkeypatch, capsys, answer, words):
        monkeypatch.setattr("builtins.input", lambda _: answer)
        assert cbis() == 0
        assert words in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("problem", "code", "words"),
        [(EOFError, 2, "use --yes"), (KeyboardInterrupt, 130, "Run the same command again")],
    )
    def test_nobody_answers_or_somebody_stops(
        self, cbis, monkeypatch, capsys, problem, code, words
    ):
        def answer(_):
            raise problem

        monkeypatch.setattr("builtins.input", answer)
        assert cbis() == code
        assert words in capsys.readouterr().err

    @pytest.mark.parametrize(
        "words", [[], ["download"], ["download", "ddsm"], ["download", "cbis", "--split", "val"]]
    )
    def test_wrong_words_are_refused(self, words, capsys):
        with pytest.raises(SystemExit) as error:
            command.main(words)
        assert error.value.code == 2
        assert "usage: second_look" in capsys.readouterr().err
