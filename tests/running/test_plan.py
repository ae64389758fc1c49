"""Plans: what would run, what it takes, what is missing and what cannot work."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.small_project import Project, small_project
from second_look import __main__ as command
from second_look.errors import MissingDataError
from second_look.running import needs, pipeline, plan, speed, work
from second_look.running.costs import CLASSIFIER, DCGAN, DETECTOR, PROGRESSIVE, Network, cost
from second_look.running.needs import check_needs, lacks
from second_look.running.notebooks import find_notebooks
from second_look.running.parameters import load_params, read_cells
from second_look.running.plan import describe, make_plan, short
from second_look.running.speed import Machine, Speeds, reduced, time_step
from second_look.running.time_left import TimeLeft, duration

REPO = Path(__file__).resolve().parents[2]
SMALL = Network(CLASSIFIER, "small", 64, 64)
LAPTOP = Machine("CPU", "cpu", 16_000_000_000, 2)
H200 = Machine("NVIDIA H200", "cuda", 141_000_000_000, 2)
Values = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def cells() -> Any:
    return read_cells(find_notebooks(REPO / "notebooks"))


@pytest.fixture(autouse=True)
def laptop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine whose every network does 20 GFLOP/s; nothing is timed."""
    monkeypatch.setattr(speed, "this_machine", lambda: LAPTOP)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "time_step", at_20_gflops)
    monkeypatch.setattr(plan, "free_bytes", lambda _: 10**12)


def at_20_gflops(network: Network, batch: int, device: str) -> float:
    return batch * cost(network).step_flops / 2e10


def values_of(name: str, cells: Any, *overrides: str) -> Values:
    return load_params(REPO / "params" / f"{name}.yaml", cells, overrides)


def planned(
    values: Values, outputs: Path, *, measure: bool = True, **records: Mapping[str, Any]
) -> plan.Plan:
    states = dict.fromkeys(values, "not run")
    return make_plan(outputs, values, states, list(values), records, measure=measure)


def test_smoke_takes_minutes_and_needs_nothing(cells: Any, tmp_path: Path) -> None:
    smoke = planned(values_of("smoke", cells), tmp_path / "outputs" / "smoke")
    assert smoke.missing == ()
    assert smoke.impossible() == []
    assert 120 < smoke.seconds < 3600
    assert smoke.memory < 3e9
    text = "\n".join(describe(smoke))
    for name in cells:
        assert re.search(rf"^{name} +not run", text, flags=re.MULTILINE)
    assert "H100" not in text
    assert short(smoke).startswith("10 notebooks to run: about ")


def test_full_is_one_night_of_a_gpu(cells: Any, tmp_path: Path) -> None:
    full = planned(values_of("full", cells), tmp_path, measure=False)
    assert full.is_for_a_gpu
    assert full.impossible() == []
    assert 4 * 3600 < full.gpu_seconds < 14 * 3600
    largest = max(step.gpu_memory for row in full.rows for step in row.steps)
    assert largest < plan.H100_BYTES


def test_native_pictures_in_batches_of_eight_cannot_work(cells: Any, tmp_path: Path) -> None:
    full = planned(values_of("full", cells, "image_sizes=[[0, 0]]"), tmp_path, measure=False)
    (line,) = full.impossible()
    needed = re.search(r"an update needs ([\d.]+) GB at 32 bits", line)
    assert needed is not None
    assert float(needed[1]) > 300
    assert "A batch of " in line
    assert "Cannot work:" in describe(full)


def test_params_files_say_what_they_miss(
    cells: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    values = values_of("mias", cells, f"data_root={tmp_path / 'data'}")
    missing = "\n".join(map(str, lacks(values, list(values))))
    assert "01_data_survey" in missing
    assert "python -m second_look download mias" in missing
    assert missing.count("python -m second_look download weights tf_efficientnet_lite0") == 2
    with pytest.raises(MissingDataError, match="not everything is there that this run needs"):
        check_needs(values, list(values))
    assert lacks(values, ["02_patching"]) == []


def test_missing_libraries_come_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert needs.missing_libraries() == []
    monkeypatch.setattr(needs, "dependencies", lambda: ["numpy", "no-such-library"])
    (line,) = needs.missing_libraries()
    assert line == "not installed: no-such-library. Install: pip install -r requirements.lock"


def test_the_last_run_with_the_same_parameters_is_the_best_estimate(
    cells: Any, tmp_path: Path
) -> None:
    values = values_of("smoke", cells)
    name = "03_dcgan"
    parameters = {key: value for key, value in values[name].items() if key != "outputs"}
    record = {"seconds": 77.0, "parameters": parameters}
    (row,) = [
        row for row in planned(values, tmp_path, **{name: record}).rows if row.notebook == name
    ]
    assert (row.seconds, row.recorded) == (77.0, True)
    record["parameters"] = {**parameters, "epochs": 99}
    (row,) = [
        row for row in planned(values, tmp_path, **{name: record}).rows if row.notebook == name
    ]
    assert not row.recorded


def test_more_work_takes_longer(cells: Any, tmp_path: Path) -> None:
    def seconds(*overrides: str) -> float:
        return planned(values_of("smoke", cells, *overrides), tmp_path).seconds

    usual = seconds()
    for override in (
        "03_dcgan.epochs=900",
        "05_mask_rcnn.seeds=[0, 1, 2, 3, 4]",
        "patch_counts=[90000]",
    ):
        assert seconds(override) > 1.1 * usual


def test_a_gpu_is_planned_in_half_the_bits(
    cells: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = values_of("full", cells)
    on_cpu = planned(values, tmp_path, measure=False)
    monkeypatch.setattr(speed, "this_machine", lambda: H200)
    on_gpu = planned(values, tmp_path, measure=False)
    assert not on_gpu.is_for_a_gpu
    assert on_gpu.memory < 1.1 * on_cpu.memory


def test_a_disk_that_is_too_small_is_said(
    cells: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "free_bytes", lambda _: 10**7)
    (line,) = planned(values_of("smoke", cells), tmp_path).impossible()
    assert line.endswith("GB of disk are needed, 0.01 GB are free.")


def test_unknown_notebooks_are_planned_without_numbers(tmp_path: Path) -> None:
    planned_run = make_plan(
        tmp_path, {"01_make": {"rows": 3}}, {"01_make": "not run"}, ["01_make"], {}, measure=False
    )
    assert planned_run.rows[0].seconds is None
    assert "01_make" in "\n".join(describe(planned_run))


def test_planning_writes_nothing(tmp_path: Path) -> None:
    project: Project = small_project(tmp_path)
    planned_run = pipeline.plan_run(project.params, project.notebooks, project.outputs)
    assert [row.state for row in planned_run.rows] == ["not run", "not run"]
    assert not project.outputs.exists()


# ------------------------------------------------------------------ speeds


def test_speeds_are_measured_once_a_day(tmp_path: Path) -> None:
    calls: list[Network] = []

    def measure(network: Network, batch: int, device: str) -> float:
        calls.append(network)
        return at_20_gflops(network, batch, device)

    speeds = Speeds(LAPTOP, tmp_path / "speeds.json", measure)
    expected = 8 * cost(SMALL).step_flops / 2e10
    assert speeds.seconds(SMALL, 8) == pytest.approx(expected)
    assert Speeds(LAPTOP, tmp_path / "speeds.json", measure).seconds(SMALL, 8) == pytest.approx(
        expected
    )
    assert len(calls) == 1
    Speeds(replace(LAPTOP, threads=1), tmp_path / "speeds.json", measure).seconds(SMALL, 8)
    assert len(calls) == 2


@pytest.mark.parametrize("part", ["3", '{"x": 3}', '{"x": {"kind": "c", "flops": "many"}}', "[]"])
def test_speeds_of_another_form_are_measured_anew(tmp_path: Path, part: str) -> None:
    cache = tmp_path / "speeds.json"
    Speeds(LAPTOP, cache, at_20_gflops).seconds(SMALL, 8)
    (key,) = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: json.loads(part)}))
    expected = 8 * cost(SMALL).step_flops / 2e10
    assert Speeds(LAPTOP, cache, at_20_gflops).seconds(SMALL, 8) == pytest.approx(expected)


def test_what_is_not_measured_has_the_speed_of_its_kind(tmp_path: Path) -> None:
    unmeasured = Speeds(LAPTOP, tmp_path / "a.json", None)
    assert unmeasured.flops_per_second(SMALL, 8) == speed._CORE_SPEED
    Speeds(LAPTOP, tmp_path / "b.json", lambda *_: 1.0).seconds(SMALL, 8)
    later = Speeds(LAPTOP, tmp_path / "b.json", None)
    larger = Network(CLASSIFIER, "small", 128, 128)
    assert later.flops_per_second(larger, 8) == pytest.approx(8 * cost(SMALL).step_flops)


def test_large_steps_are_timed_on_less() -> None:
    for network, batch in (
        (Network(CLASSIFIER, "resnet50", 256, 256), 256),
        (Network(DETECTOR, "paper", 1024, 1024), 2),
    ):
        probe, pictures = reduced(network, batch, "cpu")
        assert pictures < batch
        assert probe.rows < network.rows
        assert probe.rows % 64 == 0
    assert reduced(SMALL, 8, "cpu") == (SMALL, 8)


@pytest.mark.parametrize(
    "network",
    [
        SMALL,
        Network(DETECTOR, "small", 128, 64),
        Network(DCGAN, "", 16, 16, 1, work.dcgan.DcganSettings(16, 8, 0.2, 0.25, "tanh")),
        Network(PROGRESSIVE, "", 16, 16, 1, work.progressive.ProgressiveSettings(16, 8, 8, 64, 8)),
    ],
    ids=lambda network: network.kind,
)
def test_every_kind_of_step_can_be_timed(network: Network) -> None:
    assert time_step(network, 4, "cpu") > 0


# ------------------------------------------------------------------ time left


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (8, "8 s"), (90, "1.5 min"), (5400, "1.5 h"), (86400 * 30, "30 days"),
     (86400 * 365 * 20, "20 years")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_follows_what_has_finished() -> None:
    left = TimeLeft({"01": 60.0, "02": 120.0, "03": 60.0})
    assert left.announce("01") == ", about 1.0 min; 4.0 min to go in all"
    left.finish("01", 120.0)
    # It took twice as long, but was a quarter of the plan: what remains takes a quarter longer.
    assert left.announce("02") == ", about 2.5 min; 3.8 min to go in all"
    left.finish("02")  # up to date
    assert left.seconds() == 90.0
    assert left.announce("09") == ""


# ------------------------------------------------------------------ the command


def test_the_command_shows_a_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(REPO)
    assert command.main(["plan", "--outputs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"Plan of smoke, results in {tmp_path}/smoke\n")
    monkeypatch.setenv("SECOND_LOOK_DATA", str(tmp_path))
    assert command.main(["plan", "--params", "params/mias.yaml", "--outputs", str(tmp_path)]) == 2
    assert "Missing:" in capsys.readouterr().out
