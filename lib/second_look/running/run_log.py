"""run.json: what ran for a set, with which parameters, code and versions, and how it went."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from second_look.errors import OutputError
from second_look.files import read_object, write_json
from second_look.running.execution import NOT_APPLICABLE, NOT_RUN, UP_TO_DATE, Notebook
from second_look.running.provenance import dependencies, describe
from second_look.running.report import OUT_OF_DATE

NOT_REACHED = "not reached"


class RunLog:
    """run.json: which notebooks ran, with which parameters, code and versions.

    Attributes:
        statuses: Notebook -> status of this run; of those not chosen, whether they are up to date.
        made_with: Commit and device of this run.
    """

    def __init__(
        self,
        outputs: Path,
        params_file: Path,
        notebooks: Sequence[Notebook],
        chosen: Sequence[str],
    ) -> None:
        self._outputs, self._notebooks = outputs, notebooks
        self.statuses = {
            notebook.name: NOT_REACHED if notebook.name in chosen else notebook.state()
            for notebook in notebooks
        }
        folder = notebooks[0].path.parent
        self._facts = {
            "set": outputs.name,
            "params_file": _relative(params_file, outputs),
            **describe(folder, dependencies()),
        }
        self.made_with = {key: self._facts[key] for key in ("commit", "dirty", "device")}

    def look_again(self) -> None:
        """Save what the notebooks that did not run are after what the others wrote."""
        for notebook in self._notebooks:
            status = self.statuses[notebook.name]
            if status in (UP_TO_DATE, NOT_APPLICABLE, OUT_OF_DATE, NOT_RUN, NOT_REACHED):
                state = notebook.state()
                ran_before = status != NOT_REACHED or state == OUT_OF_DATE
                self.statuses[notebook.name] = state if ran_before else NOT_REACHED
        self.save()

    def save(self) -> None:
        """Write the file with the statuses so far."""
        entries = {notebook.name: self._entry(notebook) for notebook in self._notebooks}
        write_json(self._outputs / "run.json", {**self._facts, "notebooks": entries})

    def _entry(self, notebook: Notebook) -> dict[str, Any]:
        record = notebook.record()
        values = record.get("parameters", notebook.values)
        facts = ("seconds", "peak_memory_mb", *self.made_with)
        return {
            "status": self.statuses[notebook.name],
            **{fact: record.get(fact) for fact in facts},
            "seed": values.get("seed"),
            "parameters": values,
        }


def _relative(params_file: Path, outputs: Path) -> str:
    """The params file relative to the outputs, so that both may be moved together."""
    return Path(os.path.relpath(params_file.resolve(), outputs)).as_posix()


def check_same_set(outputs: Path, params_file: Path) -> None:
    """Params files of one name in different folders are different sets: they share no outputs."""
    earlier = outputs / str(read_object(outputs / "run.json").get("params_file", ""))
    if earlier.is_file() and not earlier.samefile(params_file):
        raise OutputError(
            f"{outputs}: holds what {earlier.resolve()} made. Give {params_file} another name, or "
            "choose another folder with --outputs."
        )
