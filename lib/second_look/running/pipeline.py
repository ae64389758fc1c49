"""From a params file to a report: which notebooks run, in what order, and what is up to date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from second_look.errors import NotebookFailedError
from second_look.running.exclusive import absolute_data_variable, locked
from second_look.running.execution import NOT_APPLICABLE, UP_TO_DATE, Notebook
from second_look.running.needs import SURVEY, check_needs
from second_look.running.notebooks import choose_notebook, find_notebooks
from second_look.running.parameters import load_params, read_cells
from second_look.running.provenance import QUARANTINE, quarantine_in_words
from second_look.running.report import build_report
from second_look.running.run_log import RunLog, check_same_set
from second_look.running.time_left import TimeLeft

if TYPE_CHECKING:
    from second_look.running.plan import Plan

DONE, FAILED, INTERRUPTED = "done", "failed", "interrupted"


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
        check_same_set(outputs, params_file)
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
        if damage := notebook.damage():
            print(f"{notebook.name}: made again: {damage}")
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


def _chosen(names: Sequence[str], choice: Choice) -> list[str]:
    if choice.only:
        return [choose_notebook(choice.only, names)]
    if choice.start:
        return list(names[names.index(choose_notebook(choice.start, names)) :])
    return list(names)
