"""One notebook of a set: is it up to date, and if not, run it through papermill and record it."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from second_look.errors import NotApplicableError, NotebookFailedError, OutputError
from second_look.files import DATA_VARIABLE, sha256, write_json
from second_look.records import (
    MANIFESTS,
    RESULTS,
    Records,
    begin_record,
    read_record,
    results_digest,
)
from second_look.running.exclusive import with_absolute_data_root
from second_look.running.interruptions import MORE_FILES
from second_look.running.notebooks import cells_to_run, execute
from second_look.running.parameters import OUTPUTS
from second_look.running.provenance import peak_memory
from second_look.running.report import OUT_OF_DATE
from second_look.source_code import content_hash, library_files

# How long a kernel that is told to stop may take before it is killed, s: a training finishes its
# step and writes a checkpoint. Slurm waits as long.
STOP_S = 30.0
UP_TO_DATE, NOT_RUN = "up to date", "not run"
# The data set does not hold what the notebook is about: nothing is wrong with either.
NOT_APPLICABLE = "not applicable"


class Notebook:
    """One notebook of a set.

    Attributes:
        name: Without ending.
        path: The notebook as it stands in the project.
        outputs: Folder of the set.
        values: Its parameters as they were given, but for the outputs.
        executed: Where it lies with its outputs.
    """

    def __init__(self, name: str, path: Path, outputs: Path, values: Mapping[str, Any]) -> None:
        self.name, self.path, self.outputs = name, path, outputs
        self.values = {key: value for key, value in values.items() if key != OUTPUTS}
        self.executed = outputs / "notebooks" / f"{name}.ipynb"
        self._passed = with_absolute_data_root(self.values)
        self._outputs_parameter = {OUTPUTS: str(outputs)} if OUTPUTS in values else {}
        self._record = outputs / MANIFESTS / f"{name}.json"

    def record(self) -> dict[str, Any]:
        """What its last complete run left: key, seconds, parameters …; {} where there is none."""
        content = read_record(self._record)
        return content if content.get("finished") else {}

    def damage(self) -> str:
        """What of its results is not as its last complete run left it; "" for nothing."""
        record = self.record()
        if not record:
            spoiled = self._record.is_file() and not read_record(self._record)
            return f"{MANIFESTS}/{self._record.name} cannot be read" if spoiled else ""
        if self.executed.is_file() and sha256(self.executed) != record.get("executed"):
            return f"notebooks/{self.executed.name} is not as it was written"
        if results_digest(self.outputs, self.name) != record.get("results"):
            return f"{RESULTS} does not hold its results as they were written"
        return ""

    def state(self) -> str:
        """UP_TO_DATE, NOT_APPLICABLE, OUT_OF_DATE or NOT_RUN."""
        record = self.record()
        if not record or not self.executed.is_file():
            return OUT_OF_DATE if self.executed.is_file() else NOT_RUN
        records = Records(self.outputs)
        unchanged = (
            record.get("key") == self.key()
            and not self.damage()
            and records.unchanged({**record.get("reads", {}), **record.get("writes", {})})
            and not records.causes(self.name)
        )
        if not unchanged:
            return OUT_OF_DATE
        return NOT_APPLICABLE if record.get("not_applicable") else UP_TO_DATE

    def key(self) -> str:
        """A digest of the notebook, its parameters and the library code that it can reach."""
        cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells]
        code = [
            source
            for cell, source in zip(cells, sources, strict=True)
            if cell["cell_type"] == "code"
        ]
        values = json.dumps(self._passed, sort_keys=True)
        # An empty data_root means this variable, so it is a parameter too.
        data = os.environ.get(DATA_VARIABLE, "") if "data_root" in self.values else ""
        files = [path.read_bytes() for path in library_files(code)]
        return content_hash([text.encode() for text in (*sources, values, data)] + files)

    def execute(self, made_with: Mapping[str, Any]) -> tuple[float, float]:
        """Run it and keep its record; returns seconds and the most memory, MB.

        Args:
            made_with: Facts about this run that the record keeps.

        Raises:
            NotebookFailedError: A cell failed, or the kernel died.
            OutputError: The executed notebook cannot be written.
        """
        key = self.key()
        begin_record(self.outputs, self.name)
        start = time.perf_counter()
        with peak_memory() as peak:
            reason = self._run()
        seconds = round(time.perf_counter() - start, 1)
        record = {"reads": {}, "writes": {}} | read_record(self._record)
        record |= {"finished": True, "key": key, "parameters": self.values}
        record["executed"] = sha256(self.executed)
        record["results"] = results_digest(self.outputs, self.name)
        if reason:
            record["not_applicable"] = reason
        record |= {"seconds": seconds, "peak_memory_mb": round(peak.megabytes), **made_with}
        write_json(self._record, record, durable=True)
        return seconds, peak.megabytes

    def _run(self) -> str:
        """Execute the cells; returns why the notebook does not apply to the data set, or ""."""
        # Slow to import, and not needed where everything is up to date.
        from nbclient.exceptions import DeadKernelError
        from papermill.exceptions import PapermillExecutionError

        # papermill writes after every cell; under its own name the notebook appears whole.
        draft = self.executed.with_name(f".{self.name}.draft.ipynb")
        hint = f"The notebook with its traceback: {self.executed}"
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            execute(
                cells_to_run(self.path, self.outputs),
                draft,
                {**self._passed, **self._outputs_parameter},
                self.path.parent,
                stop_s=2 * STOP_S,
            )
            draft.replace(self.executed)
            return ""
        except PapermillExecutionError as error:
            draft.replace(self.executed)
            if error.ename == NotApplicableError.__name__:
                return str(error.evalue)
            message = f"{self.name} failed: {error.ename}: {error.evalue}"
            remedy = f" {MORE_FILES}" if os.strerror(errno.EMFILE) in message else ""
            raise NotebookFailedError(f"{message}{remedy}\n{hint}") from None
        except DeadKernelError:
            draft.replace(self.executed)
            raise NotebookFailedError(
                f"{self.name} failed: its kernel died, usually because memory ran out."
                f"{self._smaller()}\n{hint}"
            ) from None
        except RuntimeError as error:  # of jupyter_client, which has no class for it
            if "Kernel died before replying" not in str(error):
                raise
            raise NotebookFailedError(
                f"{self.name} failed: its kernel died while it started. Free memory, or allow more "
                f"open files. {MORE_FILES}"
            ) from None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            raise OutputError(
                f"{self.executed}: cannot be written ({error.strerror or error}). "
                "Finished notebooks are kept."
            ) from error
        finally:
            draft.unlink(missing_ok=True)

    def _smaller(self) -> str:
        """Which parameters to lower where memory ran out; "" where none decides it."""
        names = [name for name in self.values if name.endswith("batch_size") or name == "workers"]
        return f" Lower {' or '.join(names)} (--set {self.name}.{names[0]}=…)." if names else ""
