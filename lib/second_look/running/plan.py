"""What a run would do, before it does it: what is missing, how long it takes, what cannot work."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from second_look.running import speed
from second_look.running.costs import CLASSIFIER, cost
from second_look.running.needs import SURVEY, Lack, lacks
from second_look.running.speed import Machine, Speeds
from second_look.running.time_left import duration
from second_look.running.work import (
    KERNEL_BYTES,
    Cohort,
    Training,
    Work,
    cohort_of,
    pictures_of,
    updates_of,
    work_of,
)
from second_look.sources.fetching import free_bytes, gigabytes

# Gradients and workspaces beside what the backward pass needs.
_OVERHEAD = 1.15
_DAY_S = 86_400
# Memory of the GPUs that estimates without one are made for, bytes.
H100_BYTES, H200_BYTES = 80e9, 141e9
# Numbers on disk for each weight of a training: weights, the best of them, Adam's moments.
_NUMBERS_ON_DISK = 4


@dataclass(frozen=True)
class Step:
    """Trainings of one kind, with what they take.

    Attributes:
        training: What is trained.
        memory: Bytes of an update on the device.
        seconds: All of them here, on an idle machine.
        gpu_seconds: Estimate for one H100 or H200.
        gpu_memory: Bytes of an update there, in bf16.
    """

    training: Training
    memory: float
    seconds: float
    gpu_seconds: float
    gpu_memory: float


@dataclass(frozen=True)
class Row:
    """A notebook in a plan.

    Attributes:
        notebook: Its name.
        state: Whether it would run.
        runs: The same as a yes or no.
        work: What it has to do.
        steps: Its trainings.
        seconds: In all, on an idle machine; None where nothing is known.
        gpu_seconds: Estimate for one H100 or H200.
        recorded: Whether the time is that of its last run with the same parameters.
    """

    notebook: str
    state: str
    runs: bool
    work: Work
    steps: tuple[Step, ...]
    seconds: float | None
    gpu_seconds: float | None
    recorded: bool = False

    @property
    def memory(self) -> float:
        """Bytes of this machine, or of its GPU, at most."""
        return KERNEL_BYTES + max((step.memory for step in self.steps), default=0.0)

    @property
    def gpu_memory(self) -> float:
        """The same on an H100 or H200."""
        return KERNEL_BYTES + max((step.gpu_memory for step in self.steps), default=0.0)

    @property
    def disk(self) -> float:
        """Bytes that it writes."""
        weights = sum(
            4 * _NUMBERS_ON_DISK * step.training.trainings * cost(step.training.network).parameters
            for step in self.steps
        )
        return self.work.disk + weights


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        name: Of the set.
        outputs: Its folder.
        machine: That it would run on.
        cohort: The images.
        rows: A notebook each.
        missing: What the notebooks that would run need and is not there.
    """

    name: str
    outputs: Path
    machine: Machine
    cohort: Cohort | None
    rows: tuple[Row, ...]
    missing: tuple[Lack, ...]

    def refusals(self) -> list[str]:
        """Which notebooks the images do not suffice for, and why."""
        reasons = {} if self.cohort is None else self.cohort.refusals
        return [
            f"{row.notebook}: {reasons[row.notebook]}"
            for row in self.rows
            if row.notebook in reasons
        ]

    @property
    def seconds(self) -> float:
        """Of all notebooks that would run."""
        return sum(row.seconds or 0.0 for row in self.rows if row.runs)

    @property
    def gpu_seconds(self) -> float:
        """The same on one H100 or H200, as an estimate."""
        return sum(row.gpu_seconds or 0.0 for row in self.rows if row.runs)

    @property
    def disk(self) -> float:
        """Bytes that they write."""
        return sum(row.disk for row in self.rows if row.runs)

    @property
    def memory(self) -> float:
        """The largest need of a notebook that would run, bytes."""
        needs = [
            row.gpu_memory if self.is_for_a_gpu else row.memory for row in self.rows if row.runs
        ]
        return max(needs, default=0.0)

    @property
    def is_for_a_gpu(self) -> bool:
        """Whether it would take more than a day here, without a GPU."""
        return self.machine.device == "cpu" and self.seconds > _DAY_S

    def impossible(self) -> list[str]:
        """What needs more memory than there is, and what would fit."""
        lines = []
        limit, name = self.machine.memory, f"this machine ({self.machine.name})"
        if self.is_for_a_gpu:
            limit, name = int(H200_BYTES), "an H200"
        for row in self.rows:
            for step in row.steps if row.runs else ():
                need = step.gpu_memory if self.is_for_a_gpu else step.memory
                if need > limit:
                    lines.append(_too_large(row.notebook, step, limit, name, self._bits))
        if self.disk > (free := free_bytes(self.outputs)):
            lines.append(f"{gigabytes(self.disk)} of disk are needed, {gigabytes(free)} are free.")
        return lines

    @property
    def _bits(self) -> int:
        return 16 if self.is_for_a_gpu or self.machine.device == "cuda" else 32


def _too_large(notebook: str, step: Step, limit: float, name: str, bits: int) -> str:
    training, needed = step.training, cost(step.training.network)
    fitting = int((limit / _OVERHEAD - needed.weight_bytes) / (needed.kept_bytes * bits / 32))
    remedy = f"A batch of {fitting} would fit." if fitting > 0 else "Not even one picture fits."
    full = _OVERHEAD * needed.memory(training.batch)
    halved = _OVERHEAD * needed.memory(training.batch, bits=16)
    return (
        f"{notebook}: {training.title}, {training.batch} in a batch: an update needs "
        f"{gigabytes(full)} at 32 bits, {gigabytes(halved)} in bf16; {name} has "
        f"{gigabytes(limit)}. {remedy}"
    )


def make_plan(
    outputs: Path,
    values: Mapping[str, Mapping[str, Any]],
    states: Mapping[str, str],
    pending: Collection[str],
    records: Mapping[str, Mapping[str, Any]],
    *,
    measure: bool,
) -> Plan:
    """Plan a run.

    Args:
        outputs: Folder of the set.
        values: Notebook -> its parameters.
        states: Notebook -> up to date, out of date, not run.
        pending: Notebooks that would run.
        records: Notebook -> record of its last complete run.
        measure: Time steps of networks that were not timed in the last day; otherwise speeds that
            are not known are those of a common CPU core.
    """
    machine = speed.this_machine()
    speeds = Speeds(machine, speed.cache_file(), speed.time_step if measure else None)
    survey = values.get(SURVEY, {})
    cohort = cohort_of(outputs, survey) if "source" in survey else None
    rows = []
    for name, parameters in values.items():
        work = work_of(name, parameters, cohort, survey) if cohort else Work(0)
        runs, state = name in pending, states[name]
        if runs and cohort and name in cohort.refusals:
            runs, state, work = False, "cannot run", Work(cohort.images)
        rows.append(_row(name, state, runs, work, records.get(name, {}), parameters, speeds))
    missing = tuple(lacks(values, pending))
    return Plan(outputs.name, outputs, machine, cohort, tuple(rows), missing)


def _row(
    name: str,
    state: str,
    runs: bool,
    work: Work,
    record: Mapping[str, Any],
    parameters: Mapping[str, Any],
    speeds: Speeds,
) -> Row:
    steps = tuple(_step(training, speeds) for training in work.trainings) if runs else ()
    parameter_values = {key: value for key, value in parameters.items() if key != "outputs"}
    if record.get("seconds") and record.get("parameters") == parameter_values:
        seconds = float(record["seconds"])
        return Row(name, state, runs, work, steps, seconds, None, recorded=True)
    if not work.other_s:
        return Row(name, state, runs, work, steps, None, None)
    untrained_s = work.other_s * speeds.slowness() if runs else work.other_s
    seconds = untrained_s + sum(step.seconds for step in steps)
    gpu_seconds = work.other_s + sum(step.gpu_seconds for step in steps)
    return Row(name, state, runs, work, steps, seconds, gpu_seconds)


def _step(training: Training, speeds: Speeds) -> Step:
    needed, batch = cost(training.network), training.batch
    update = speeds.seconds(training.network, batch) + batch * training.feed_s
    forward = needed.forward_flops / needed.step_flops / batch
    seconds = training.updates * update
    seconds += training.looked_at * (forward * update + training.feed_s)
    on_gpu = speed.gpu_seconds(training.network, batch)
    gpu_seconds = training.updates * on_gpu + training.looked_at * forward * on_gpu
    bits = 16 if speeds.machine.device == "cuda" else 32
    return Step(
        training,
        _OVERHEAD * needed.memory(batch, bits=bits),
        seconds,
        gpu_seconds,
        _OVERHEAD * needed.memory(batch, bits=16),
    )


# ------------------------------------------------------------------ as text


def short(plan: Plan) -> str:
    """One line for the start of a run."""
    count = sum(row.runs for row in plan.rows)
    return (
        f"{count} notebook{'s' * (count != 1)} to run: about {duration(plan.seconds)}, "
        f"{plan.memory / 1e9:.1f} GB of memory, {gigabytes(plan.disk)} of disk "
        "(--plan says more)"
    )


def describe(plan: Plan) -> list[str]:
    """A plan in full, as lines."""
    return [
        *_head(plan),
        "",
        *_table(plan),
        "",
        *_notes(plan),
        *_section("Missing", [str(lack) for lack in plan.missing]),
        *_section("Cannot run on these images", plan.refusals()),
        *_section("Cannot work", plan.impossible()),
    ]


def _head(plan: Plan) -> list[str]:
    machine, cohort = plan.machine, plan.cohort
    busy = os.getloadavg()[0]
    cores = os.cpu_count() or 1
    lines = [
        f"Plan of {plan.name}, results in {plan.outputs}",
        f"Machine: {machine.name}, {cores} cores, {gigabytes(machine.memory)} of memory"
        f"{'' if machine.device == 'cuda' else ', no GPU'}; "
        f"{gigabytes(free_bytes(plan.outputs))} free on the disk",
    ]
    if busy > cores / 2:
        lines.append(f"Other work keeps {busy:.1f} of {cores} cores busy: all takes longer now.")
    if cohort:
        basis = "prepared" if cohort.prepared else "expected"
        size = f", up to {cohort.rows}×{cohort.cols} px" if cohort.rows else ""
        lines.append(
            f"Images {basis}: {cohort.images:,} (train {cohort.train:,}, val {cohort.val:,}, "
            f"test {cohort.test:,}){size}"
        )
    return lines


def _table(plan: Plan) -> list[str]:
    gpu = ["1 H100/H200"] if plan.is_for_a_gpu else []
    header = ["notebook", "state", "images", "pictures", "updates", "memory", "time here", *gpu]
    table = [header]
    for row in plan.rows:
        trainings = row.work.trainings
        cells = [
            row.notebook,
            row.state,
            _number(row.work.images),
            _number(pictures_of(trainings)),
            _number(updates_of(trainings)),
            f"{(row.gpu_memory if gpu else row.memory) / 1e9:.1f} GB",
            duration(row.seconds) + (" (last run)" if row.recorded else ""),
        ]
        table.append([*cells, *([duration(row.gpu_seconds)] if gpu else [])])
        table += [_training_cells(step, gpu=bool(gpu)) for step in row.steps]
    total = ["in all", "", "", "", "", f"{plan.memory / 1e9:.1f} GB", duration(plan.seconds)]
    table.append([*total, *([duration(plan.gpu_seconds)] if gpu else [])])
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def _training_cells(step: Step, *, gpu: bool) -> list[str]:
    training, network = step.training, step.training.network
    memory = step.gpu_memory if gpu else step.memory
    return [
        f"   {training.title}",
        f"{network.name} {network.rows}×{network.cols}".strip(),
        "",
        f"{training.trainings} × {training.batch}",
        _number(training.updates),
        f"{memory / 1e9:.1f} GB",
        duration(step.seconds),
        *([duration(step.gpu_seconds)] if gpu else []),
    ]


def _number(count: int) -> str:
    return f"{count:,}" if count else "–"


def _notes(plan: Plan) -> list[str]:
    lines = [
        "Trainings: number × pictures of an update. Times are for a machine that does nothing "
        "else: steps of each network were timed here; tables and figures are scaled from smoke.",
        f"Disk: {gigabytes(plan.disk)}.",
    ]
    if plan.is_for_a_gpu:
        tera = speed.GPU_SPEEDS[CLASSIFIER] / 1e12
        lines.append(
            f"Times and memory of one H100 or H200 are estimates ({tera:.0f} TFLOP/s in bf16 for "
            "classifiers, a third of that for the untrained_s); no run on a GPU stands behind them."
        )
    return lines


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for line in lines)] if lines else []
