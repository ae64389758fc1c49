"""The records of what notebooks read and wrote, and what follows from them: is it out of date?

manifests/<notebook>.json holds path -> fingerprint of what a notebook read and path -> sha256 of
what it wrote. Everything in a folder of outputs is judged by the data set that lies there now:
pipeline, reading notebooks and report ask the same `Records`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from second_look.errors import OutputError
from second_look.files import folder_fingerprint, read_json, read_object, sha256, write_json
from second_look.source_code import content_hash

MANIFESTS = "manifests"
RESULTS = "results.json"
# Of the records: those of another version are made anew.
VERSION = 1
# The data set that notebook 01 leaves is what all other files are judged by.
DATASET = "dataset"
# In a record, what follows OTHERS names the notebook whose own rows of RESULTS do not count.
OTHERS = "#without:"
# In a record, a file that is read only if it is not out of date.
IF_CURRENT = "#if current"
GONE = "gone"
_OUT_OF_DATE = "out of date: run "
_REMOVE = "A file that nothing needs any more may be removed."


def load_results(folder: Path) -> list[dict[str, Any]]:
    """The rows of results.json as they were written; none where no notebook wrote any.

    Rows that are not of today's form are passed over: their notebooks are made again, since
    `results_digest` differs from the one in their record.
    """
    rows = read_json(folder / RESULTS)
    return [row for row in rows if _is_result(row)] if isinstance(rows, list) else []


def _is_result(row: object) -> bool:
    """Whether a row of results.json has the fields that its readers need, of their types."""
    if not isinstance(row, dict):
        return False
    texts = all(isinstance(row.get(name), str) for name in ("claim", "notebook", "verdict"))
    numbers = all(
        row.get(name) is None or isinstance(row[name], int | float)
        for name in ("value", "low", "high", "n")
    )
    return texts and numbers


def results_digest(folder: Path, notebook: str) -> str:
    """Changes with the rows of a notebook in results.json."""
    rows = [row for row in load_results(folder) if row["notebook"] == notebook]
    return content_hash([json.dumps(rows, sort_keys=True).encode()])


def read_record(path: Path) -> dict[str, Any]:
    """The record of a notebook; {} where there is none, or none that this version can read."""
    record = read_object(path)
    valid = all(
        isinstance(part := record.get(name, {}), dict)
        and all(isinstance(digest, str) for digest in part.values())
        for name in ("reads", "writes")
    )
    earlier = record.get("earlier", [])
    listed = isinstance(earlier, list) and all(isinstance(name, str) for name in earlier)
    return record if valid and listed and record.get("version", VERSION) == VERSION else {}


def begin_record(folder: Path, notebook: str) -> list[str]:
    """Start the record of a notebook anew; returns the files that its earlier runs wrote.

    They may still lie there, but nothing says any more what they were made from.
    """
    path = folder / MANIFESTS / f"{notebook}.json"
    record = read_record(path)
    earlier = sorted({*record.get("earlier", []), *record.get("writes", {})})
    write_json(path, {"version": VERSION, "reads": {}, "writes": {}, "earlier": earlier})
    return earlier


def out_of_date(notebook: str) -> str:
    """The verdict of a result that is out of date, with the notebook to begin with."""
    return f"{_OUT_OF_DATE}{notebook.split('_', 1)[0]} again"


def is_out_of_date(result: Mapping[str, Any]) -> bool:
    """Whether a row of `Records.results` is out of date."""
    return str(result.get("verdict", "")).startswith(_OUT_OF_DATE)


def fingerprint(path: Path, outputs: Path) -> str:
    """What changes when a file or folder changes: its content among outputs, its state outside.

    Data sets outside are too large to read for this: names, sizes and times must do.
    """
    name, marker, notebook = path.name.partition(OTHERS)
    if marker and name == RESULTS:
        rows = [row for row in Records(outputs).results() if row["notebook"] != notebook]
        return content_hash([json.dumps(rows, sort_keys=True).encode()])
    if path.name.endswith(IF_CURRENT):
        file = path.with_name(path.name.removesuffix(IF_CURRENT))
        return sha256(file) if file.is_file() and not Records(outputs).problem(file) else GONE
    if not path.exists():
        return GONE
    if not path.is_relative_to(outputs):
        return folder_fingerprint(path)
    if path.is_file():
        return sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return content_hash(f"{file.relative_to(path)} {sha256(file)}".encode() for file in files)


class Records:
    """The records of a folder of outputs, and its files, as they are now.

    Attributes:
        folder: Of the outputs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._records: dict[str, dict[str, Any]] = {
            path.stem: read_record(path) for path in sorted((folder / MANIFESTS).glob("*.json"))
        }
        self._writers = {
            name: notebook
            for notebook, record in self._records.items()
            for name in record.get("writes", {})
        }
        self._fingerprints: dict[str, str] = {}
        self._causes: dict[str, dict[str, str]] = {}

    def fingerprint(self, name: str) -> str:
        """Of a file or folder by its name in a record; computed once."""
        if name not in self._fingerprints:
            self._fingerprints[name] = fingerprint(self.folder / name, self.folder)
        return self._fingerprints[name]

    def unchanged(self, names: Mapping[str, str]) -> bool:
        """Whether files and folders have their recorded fingerprints."""
        return all(self.fingerprint(name) == recorded for name, recorded in names.items())

    def causes(self, notebook: str) -> dict[str, str]:
        """Why what a notebook left is not of today's inputs; {} where it is.

        What lies outside the outputs does not count: notebook 01 turns it into the data set, and
        until it does so again, the data set is what it was.

        Returns:
            Notebook -> what has changed since it was read; the notebook itself, and those that
            wrote what it read.
        """
        if notebook in self._causes:
            return self._causes[notebook]
        causes = self._causes[notebook] = {}
        for name, recorded in self._records.get(notebook, {}).get("reads", {}).items():
            # Results and files that are read if they are current may be out of date themselves.
            if Path(name).is_absolute() or OTHERS in name or name.endswith(IF_CURRENT):
                continue
            if self.fingerprint(name) != recorded:
                change = "is gone" if self.fingerprint(name) == GONE else "has changed"
                causes.setdefault(notebook, f"{name} {change} since notebook {notebook} read it")
            causes |= self.causes(self._writers.get(name, notebook))
        return causes

    def problem(self, path: Path) -> str:
        """Why a file must not be read, and the notebook to run; "" where nothing speaks against it.

        Files outside the outputs and those of the data set itself may be read.
        """
        path = path.resolve()
        if not path.is_relative_to(self.folder):
            return ""
        name = path.relative_to(self.folder).as_posix()
        if name.split("/", 1)[0] == DATASET:
            return ""
        writer = self._writers.get(name)
        if writer is None:
            return self._unrecorded(name)
        if self.fingerprint(name) != self._records[writer]["writes"][name]:
            return f"was changed after notebook {writer} wrote it. {remedy(writer)} {_REMOVE}"
        causes = self.causes(writer)
        if not causes:
            return ""
        start = min(causes)
        return f"is out of date: {causes[start]}. {remedy(start)} {_REMOVE}"

    def check(self, path: Path) -> None:
        """Refuse a file of another data set, or made from what has changed since.

        Raises:
            OutputError: Names the file, what differs and which notebook to run.
        """
        if path.is_file() and (problem := self.problem(path)):
            raise OutputError(f"{path}: {problem}")

    def results(self) -> list[dict[str, Any]]:
        """The rows of results.json; those that are out of date say so instead of a verdict."""
        return self.with_verdicts(load_results(self.folder))

    def with_verdicts(
        self, results: Iterable[Mapping[str, Any]], outdated: Iterable[str] = ()
    ) -> list[dict[str, Any]]:
        """Results with a verdict only where their notebook is of today's inputs.

        Args:
            results: Rows of results.json.
            outdated: Notebooks that are known to be out of date for other reasons.
        """
        outdated_notebooks = set(outdated)
        rows = []
        for row in results:
            notebook = str(row["notebook"])
            start = min({*self.causes(notebook), *({notebook} & outdated_notebooks)}, default="")
            rows.append({**row, "verdict": out_of_date(start) if start else row["verdict"]})
        return rows

    def _unrecorded(self, name: str) -> str:
        for notebook, record in self._records.items():
            if name in record.get("earlier", []):
                return (
                    f"is of an earlier run of notebook {notebook}, which was started again and has "
                    f"not written it since. {remedy(notebook)} {_REMOVE}"
                )
        return (
            "no record in the folder manifests says what it was made from. Run the notebook that "
            f"writes it again. {_REMOVE}"
        )


def remedy(notebook: str) -> str:
    """What to do about a file or a page that is out of date."""
    number = notebook.split("_", 1)[0]
    return f"Run notebook {notebook} again, and what follows (run_all.py … --from {number})."
