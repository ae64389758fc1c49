"""Work goes to processes that nobody else can reach; a cluster's safety is looked at."""

from __future__ import annotations

import math
import os
import signal

import psutil
import pytest
from second_look.errors import MissingDataError, OutputError
from second_look.preparing import workers
from second_look.preparing.workers import Workers


def listening(_item):
    """Ports that this process, or the one that started it, listens on."""
    process = psutil.Process()
    return [
        str(connection.laddr)
        for member in (process, process.parent())
        for connection in member.net_connections("inet")
        if connection.status == "LISTEN"
    ]


def test_processes_of_this_machine_listen_on_no_port():
    assert list(Workers(1).results(listening, [0])) == [listening(0)[:0]]


def test_work_is_done_here_without_workers_and_no_work_needs_none():
    assert list(Workers(0).results(math.sqrt, [4, 9])) == [2, 3]
    assert list(Workers(5).results(math.sqrt, [])) == []


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("tcp://10.0.0.9:8786", True),
        ("cluster:8786", True),
        ("tls://10.0.0.9:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("localhost:8786", False),
    ],
)
def test_a_plain_connection_to_another_machine_is_warned_of(address, warned):
    if warned:
        with pytest.warns(UserWarning, match="without encryption or key.*scheduler_tls"):
            workers._warn_of_plain_connection(address)
    else:
        workers._warn_of_plain_connection(address)


def test_files_for_tls_are_asked_for_by_name(tmp_path):
    assert workers._security("") is None
    with pytest.raises(MissingDataError, match=r"ca\.pem: the file is not there.*scheduler_tls"):
        workers._security(str(tmp_path))
    for name in workers.TLS_FILES:
        (tmp_path / name).touch()
    security = workers._security(str(tmp_path))
    assert security.require_encryption
    assert security.tls_client_key == str(tmp_path / "key.pem")


def end(_item):
    """A process that the system ends."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_die_again_and_again_are_one_clear_error(monkeypatch):
    monkeypatch.setattr(workers, "_DEATHS", 0)
    with pytest.raises(OutputError, match="smaller number of workers"):
        list(Workers(1).results(end, [0]))
