"""From a params file to a report: which notebooks run, in what order, and what is up to date."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from second_look.errors import NotApplicableError, NotebookFailedError, OutputError
from second_look.files import DATA_VARIABLE, read_object, write_json
from second_look.records import MANIFESTS, Records, begin_record, load_json
from second_look.running.exclusive import (
    absolute_data_variable,
    locked,
    with_absolute_data_root,
)
from second_look.running.needs import SURVEY, check_needs
from second_look.running.notebooks import cells_to_run, choose_notebook, find_notebooks
from second_look.running.parameters import OUTPUTS, load_params, read_cells
from second_look.running.provenance import (
    QUARANTINE,
    dependencies,
    describe,
    peak_memory,
    quarantine_in_words,
)
from second_look.running.report import OUT_OF_DATE, build_report
from second_look.running.time_left import TimeLeft
from second_look.source_code import content_hash, library_files

if TYPE_CHECKING:
    from second_look.running.plan import Plan

DONE, UP_TO_DATE = "done", "up to date"
FAILED, INTERRUPTED = "failed", "interrupted"
NOT_RUN, NOT_REACHED = "not run", "not reached"
# The data set does not hold what the notebook is about: nothing is wrong with either.
NOT_APPLICABLE = "not applicable"
# Kernels log warnings about their transport, and tracebacks when they are stopped. Errors of a
# notebook are reported by this module instead.
_QUIET = ["--IPKernelApp.log_level=CRITICAL"]


@dataclass(frozen=True)
class Choice:
    """Which notebooks to run.

    Attributes:
        only: Just this one; "" all.
        start: This one and those after it; "" all.
        force: Also where they are up to date.
    """

    only: str = ""
    start: str = ""
    force: bool = False


def run(
    params_file: Path,
    notebooks_folder: Path,
    outputs_root: Path,
    *,
    choice: Choice | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Run what is not up to date, and build the report.

    Args:
        params_file: Its stem names the set: outputs_root/<stem>.
        notebooks_folder: With the numbered notebooks.
        outputs_root: Folder of all sets.
        choice: Which notebooks; all by default.
        overrides: As `parameters.load_params` takes them.

    Returns:
        The report.

    Raises:
        ParameterError: Before anything runs, if a parameter or a notebook's name is wrong.
        NotebookFailedError: A notebook stopped with an error.
        OutputError: The outputs cannot be written, or another run is writing them.
    """
    choice = choice or Choice()
    paths = find_notebooks(notebooks_folder)
    values = load_params(params_file, read_cells(paths), overrides)
    chosen = _chosen(list(paths), choice)
    outputs = (outputs_root / params_file.stem).resolve()
    with locked(outputs, by_digest=choice.force), absolute_data_variable():
        _check_same_set(outputs, params_file)
        notebooks = [
            Notebook(name, path.resolve(), outputs, values[name]) for name, path in paths.items()
        ]
        pending = _pending(notebooks, chosen, force=choice.force)
        check_needs(values, pending)
        time_left = _expected_times(notebooks, pending)
        log = RunLog(outputs, params_file, notebooks, chosen)
        for notebook in notebooks:
            status = log.statuses[notebook.name]
            if notebook.name in chosen:
                _bring_up_to_date(notebook, log, time_left, force=choice.force)
            elif chosen[0] > notebook.name and status not in (UP_TO_DATE, NOT_APPLICABLE):
                print(f"{notebook.name}: {status}, not chosen to run")
        log.look_again()
        return build_report(outputs, list(paths))


def plan_run(
    params_file: Path,
    notebooks_folder: Path,
    outputs_root: Path,
    *,
    choice: Choice | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """What `run` would do with the same arguments; nothing is written."""
    choice = choice or Choice()
    paths = find_notebooks(notebooks_folder)
    values = load_params(params_file, read_cells(paths), overrides)
    chosen = _chosen(list(paths), choice)
    outputs = (outputs_root / params_file.stem).resolve()
    with absolute_data_variable():
        notebooks = [
            Notebook(name, path.resolve(), outputs, values[name]) for name, path in paths.items()
        ]
        pending = _pending(notebooks, chosen, force=choice.force)
        return _plan(notebooks, pending, measure=True)


def _pending(notebooks: Sequence[Notebook], chosen: Sequence[str], *, force: bool) -> list[str]:
    """The notebooks that would run; later ones may follow, where these change what they read."""
    return [
        notebook.name
        for notebook in notebooks
        if notebook.name in chosen
        and (force or notebook.state() not in (UP_TO_DATE, NOT_APPLICABLE))
    ]


def _plan(notebooks: Sequence[Notebook], pending: Sequence[str], *, measure: bool) -> Plan:
    # It brings torch with it, which is not needed where everything is up to date.
    from second_look.running.plan import make_plan

    return make_plan(
        notebooks[0].outputs,
        {notebook.name: notebook.values for notebook in notebooks},
        {notebook.name: notebook.state() for notebook in notebooks},
        pending,
        {notebook.name: notebook.record() for notebook in notebooks},
        measure=measure,
    )


def _expected_times(notebooks: Sequence[Notebook], pending: Sequence[str]) -> TimeLeft:
    """Say how long the run takes, where the notebooks are those of this project."""
    if not pending or notebooks[0].name != SURVEY:
        return TimeLeft({})
    from second_look.running.plan import short

    plan = _plan(notebooks, pending, measure=False)
    print(short(plan), flush=True)
    for line in plan.impossible():
        print(f"This cannot work: {line}", flush=True)
    return TimeLeft({row.notebook: row.seconds for row in plan.rows if row.runs and row.seconds})


def _bring_up_to_date(notebook: Notebook, log: RunLog, time_left: TimeLeft, *, force: bool) -> None:
    """Run one notebook unless it is up to date, and record its status."""
    status = INTERRUPTED
    try:
        if not force and (state := notebook.state()) in (UP_TO_DATE, NOT_APPLICABLE):
            status = state
            time_left.finish(notebook.name)
            print(f"{notebook.name}: {status}")
            return
        print(f"{notebook.name}: running{time_left.announce(notebook.name)}", flush=True)
        seconds, megabytes = notebook.execute(log.made_with)
        time_left.finish(notebook.name, seconds)
        reason = notebook.record().get("not_applicable")
        status = NOT_APPLICABLE if reason else DONE
        if reason:
            print(f"{notebook.name}: {status}: {reason}")
            return
        print(f"{notebook.name}: done in {seconds:.0f} s, {megabytes:.0f} MB at most", flush=True)
        if QUARANTINE in notebook.record()["writes"]:
            print(f"    {quarantine_in_words(notebook.outputs / QUARANTINE)}")
    except NotebookFailedError as error:
        status = FAILED
        log.statuses[notebook.name] = FAILED
        log.look_again()
        report = build_report(notebook.outputs, list(log.statuses))
        raise NotebookFailedError(
            f"{error}\nThe report so far: {report}\nFix it and run the same command again: "
            "finished notebooks are not repeated, and training continues from its last checkpoint."
        ) from None
    finally:
        log.statuses[notebook.name] = status
        log.save()


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
        content = load_json(self._record)
        return content if isinstance(content, dict) and content.get("finished") else {}

    def state(self) -> str:
        """UP_TO_DATE, NOT_APPLICABLE, OUT_OF_DATE or NOT_RUN."""
        record = self.record()
        if not record or not self.executed.is_file():
            return OUT_OF_DATE if self.executed.is_file() else NOT_RUN
        records = Records(self.outputs)
        unchanged = (
            record["key"] == self.key()
            and records.unchanged({**record["reads"], **record["writes"]})
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
        record = {"reads": {}, "writes": {}} | (load_json(self._record) or {})
        record |= {"finished": True, "key": key, "parameters": self.values}
        if reason:
            record["not_applicable"] = reason
        record |= {"seconds": seconds, "peak_memory_mb": round(peak.megabytes), **made_with}
        write_json(self._record, record, durable=True)
        return seconds, peak.megabytes

    def _run(self) -> str:
        """Execute the cells; returns why the notebook does not apply to the data set, or ""."""
        # Slow to import, and not needed where everything is up to date.
        import papermill
        from nbclient.exceptions import DeadKernelError
        from papermill.exceptions import PapermillExecutionError

        # papermill writes after every cell; under its own name the notebook appears whole.
        draft = self.executed.with_name(f".{self.name}.draft.ipynb")
        hint = f"The notebook with its traceback: {self.executed}"
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            papermill.execute_notebook(
                cells_to_run(self.path, self.outputs),
                str(draft),
                parameters={**self._passed, **self._outputs_parameter},
                kernel_name="python3",
                cwd=str(self.path.parent),
                extra_arguments=_QUIET,
            )
            draft.replace(self.executed)
            return ""
        except PapermillExecutionError as error:
            draft.replace(self.executed)
            if error.ename == NotApplicableError.__name__:
                return str(error.evalue)
            message = f"{self.name} failed: {error.ename}: {error.evalue}"
            raise NotebookFailedError(f"{message}\n{hint}") from None
        except DeadKernelError:
            draft.replace(self.executed)
            raise NotebookFailedError(
                f"{self.name} failed: its kernel died, usually because memory ran out.\n{hint}"
            ) from None
        except OSError as error:
            raise OutputError(
                f"{self.executed}: cannot be written ({error.strerror or error}). "
                "Finished notebooks are kept."
            ) from error
        finally:
            draft.unlink(missing_ok=True)


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


def _chosen(names: Sequence[str], choice: Choice) -> list[str]:
    if choice.only:
        return [choose_notebook(choice.only, names)]
    if choice.start:
        return list(names[names.index(choose_notebook(choice.start, names)) :])
    return list(names)


def _relative(params_file: Path, outputs: Path) -> str:
    """The params file relative to the outputs, so that both may be moved together."""
    return Path(os.path.relpath(params_file.resolve(), outputs)).as_posix()


def _check_same_set(outputs: Path, params_file: Path) -> None:
    """Params files of one name in different folders are different sets: they share no outputs."""
    earlier = outputs / str(read_object(outputs / "run.json").get("params_file", ""))
    if earlier.is_file() and not earlier.samefile(params_file):
        raise OutputError(
            f"{outputs}: holds what {earlier.resolve()} made. Give {params_file} another name, or "
            "choose another folder with --outputs."
        )
