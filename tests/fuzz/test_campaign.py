"""The campaign of damaged files finds errors, dead processes, hangs and lost rows."""

from __future__ import annotations

import sys

from helpers import campaign, lost_rows
from helpers.fuzzing import Format, fuzz

# A child: case 1 is a finding, case 2 ends it, case 4 never ends.
CHILD = """
import json, os, sys, time
folder, first, count = sys.argv[1], int(sys.argv[3]), int(sys.argv[5])
for case in range(first, first + count):
    with open(folder + "/case.json", "w", encoding="utf-8") as stream:
        json.dump(["small", case, 0], stream)
    if case == 1:
        print(json.dumps({"case": 1, "reason": "KeyError"}), flush=True)
    if case == 2:
        os._exit(3)
    if case == 4:
        time.sleep(60)
"""


def test_foreign_exceptions_dead_processes_and_hangs_are_findings_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(campaign, "SECONDS", 0.3)
    assert list(campaign.watched([sys.executable, "-c", CHILD], range(6))) == [
        (1, "KeyError"),
        (2, "the process ended with 3: "),
        (4, "more than 0.3 s"),
    ]


def test_the_reader_of_a_table_that_loses_a_row_in_silence_is_found(tmp_path, monkeypatch):
    def rows():
        return Format("rows", lost_rows.make_cbis, read, change=lost_rows.damaged_row)

    read = lost_rows.Descriptions()
    assert list(fuzz(rows(), tmp_path / "sound", range(2), 0)) == []
    complete = lost_rows.read_descriptions
    monkeypatch.setattr(lost_rows, "read_descriptions", lambda paths: complete(paths)[:-1])
    assert list(fuzz(rows(), tmp_path / "lost", range(2), 0))
