"""Downloads: a server and a commons of this machine, that break in every way."""

from __future__ import annotations

import functools
import hashlib
import shutil
import sys
import tarfile
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from second_look import __main__ as command
from second_look import download
from second_look.download import (
    MIAS_ARCHIVE,
    Selection,
    cbis_series,
    download_cbis,
    download_mias,
    fetch_series,
    open_client,
    series_problem,
)
from second_look.errors import DataError, MissingDataError, OutputError, ParameterError
from second_look.pixels import write_pgm
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


@pytest.fixture
def server(archive, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
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

    def test_a_broken_connection_is_tried_again(self, server, tmp_path, archive):
        server.breaks = 2
        assert download_mias(tmp_path, address=server.address).read_bytes() == archive
        assert len(server.asked) == 3
        other = tmp_path / "other"
        server.breaks = 9
        with pytest.raises(MissingDataError, match="the download failed"):
            download_mias(other, address=server.address, retries=1)
        assert len(server.asked) == 5
        assert names(other) == []

    def test_no_server_and_no_such_file(self, server, tmp_path):
        server.status = 404
        with pytest.raises(MissingDataError, match=r"404.*put the archive at"):
            download_mias(tmp_path, address=server.address, retries=0)
        with pytest.raises(MissingDataError, match="the download failed"):
            download_mias(tmp_path, address="http://127.0.0.1:9/x.tar.gz", retries=0)
        assert names(tmp_path) == []

    def test_the_disk_is_looked_at_first(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**8))
        with pytest.raises(OutputError, match=r"0\.60 GB are needed.*0\.10 GB are free"):
            download_mias(tmp_path, address=server.address)
        assert server.asked == []
