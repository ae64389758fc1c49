"""What is out of date is refused, whoever reads it: two data sets of small phantoms, one folder."""

from __future__ import annotations

import ast
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from helpers.made_predictions import binary_predictions
from helpers.shared_builds import build_once
from helpers.small_mammograms import small_settings
from safetensors.torch import save
from second_look.batches.pictures import make_pictures
from second_look.catalogue import Catalogue, assign_splits
from second_look.errors import OutputError
from second_look.files import read_json, write_bytes, write_json, write_parquet
from second_look.models.dcgan import PAPER, Generator
from second_look.outputs import Run, open_run, silenced
from second_look.preparing.dataset import LAB, Dataset, build_dataset, open_dataset
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.records import Records, fingerprint, load_results
from second_look.studies.calibration.measures import load_groups
from second_look.studies.gan.generators import GENERATORS, open_generators
from second_look.studies.scorecard import card, conclusions
from second_look.studies.windows import WINDOWS, open_windows
from second_look.verdicts import NOT_MEASURED, Conditions

REPO = Path(__file__).resolve().parents[1]
SURVEY, PATCHING, GANS = "01_data_survey", "02_patching", "03_dcgan"
MASK_RCNN, TRANSFER, CALIBRATION = "05_mask_rcnn", "06_patch_transfer_learning", "07_calibration"
CARD = "08_scorecard"
FIRST, SECOND = 0, 1  # seeds of the split
WEIGHTS = "checkpoints/gan/weights.safetensors"
PREDICTIONS = "predictions/06_scheme_b.parquet"


def survey(folder: Path, seed: int = FIRST) -> None:
    """As notebook 01 leaves the data set: the images that are there, split with a seed."""
    run = open_run(folder, notebook=SURVEY)
    catalogue = Catalogue.load(folder / "dataset")
    unsplit = replace(catalogue, images=catalogue.images.assign(split=""))
    assign_splits(unsplit, seed=seed, val_share=0.25, test_share=0.25).save(folder / "dataset")
    run.wrote(*open_dataset(folder).files)


def opened(folder: Path, notebook: str) -> Run:
    """As notebooks 02 to 06 and 08 begin."""
    run = open_run(folder, notebook=notebook)
    run.uses(*open_dataset(folder).files)
    return run


def patch(folder: Path, stride: int = 32) -> None:
    run, data = opened(folder, PATCHING), open_dataset(folder)
    run.parquet(
        window_table(data.prepared, data.catalogue, size=32, stride=stride, rule=HALF_RULE), WINDOWS
    )


def learn(folder: Path) -> None:
    """As notebooks 03, 05, 06 and 07 leave generators, results, tables and predictions."""
    gans = opened(folder, GANS)
    gans.read_parquet(WINDOWS)
    settings = replace(PAPER, size=16, latent_size=8)
    states = {f"generator/{key}": value for key, value in Generator(settings).state_dict().items()}
    write_bytes(folder / WEIGHTS, save(states))
    row = {"architecture": "dcgan", "label": "benign", "weights": WEIGHTS, "low": 0.0, "high": 1.0}
    gans.parquet(pd.DataFrame([row | {"network": json.dumps(asdict(settings))}]), GENERATORS)
    gans.wrote(folder / WEIGHTS)
    detection = opened(folder, MASK_RCNN)
    detection.result("fig-3a", 0.93, low=0.9, high=0.95, how="AUC", conditions=Conditions(3))
    detection.table(pd.DataFrame({"x": [1]}), "against_baseline", "")
    transfer = opened(folder, TRANSFER)
    transfer.read_parquet(WINDOWS)
    transfer.result("scheme-b", 0.7, low=0.6, high=0.8, n=40, how="AUC by image")
    predictions = binary_predictions(patients=30).assign(start="random", averaged=False)
    transfer.parquet(predictions, PREDICTIONS)
    calibration = open_run(folder, notebook=CALIBRATION)
    load_groups(calibration)
    calibration.parquet(pd.DataFrame({"x": [1]}), "tables/07_measures.parquet")


@pytest.fixture(scope="module")
def complete(phantom_data: Dataset, run_folder: Path) -> Path:
    """Outputs of all notebooks that others read from, on the first data set."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("second_look.outputs.display", lambda markup: None)
            shutil.copytree(
                phantom_data.folder, folder / "dataset", ignore=shutil.ignore_patterns("raw")
            )
            survey(folder)
            patch(folder)
            learn(folder)

    return build_once(run_folder / "fresh outputs", build)


@pytest.fixture
def outputs(complete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, to be changed."""
    monkeypatch.setattr("second_look.outputs.display", lambda markup: None)
    shutil.copytree(complete, tmp_path / "set", copy_function=os.link)  # files are replaced whole
    return tmp_path / "set"


READERS: dict[str, Callable[[Run], object]] = {
    "windows": lambda run: open_windows(run, open_dataset(run.folder), size=32),
    "generators": lambda run: open_generators(run, "dcgan"),
    "weights": lambda run: run.uses(run.folder / WEIGHTS),
    "predictions": load_groups,
    "measures": lambda run: run.read_parquet("tables/07_measures.parquet"),
}


# ------------------------------------------------------------------ another data set


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("context", [nullcontext, silenced])
def test_what_was_made_from_another_data_set_is_refused(
    outputs: Path, kind: str, context: Callable[[], AbstractContextManager[None]]
) -> None:
    with context():  # silenced: a process that only trains
        run = open_run(outputs, notebook="09_reader")
    READERS[kind](run)
    survey(outputs, SECOND)
    with pytest.raises(OutputError, match=r"dataset/.* has changed since notebook 0.*--from 0"):
        READERS[kind](run)


def test_the_refusal_names_file_difference_and_remedy(outputs: Path) -> None:
    survey(outputs, SECOND)
    with pytest.raises(OutputError) as error:
        opened(outputs, TRANSFER).read_parquet(WINDOWS)
    message = str(error.value)
    assert message.startswith(f"{outputs / WINDOWS}: is out of date: dataset/images.parquet has ")
    assert "Run notebook 02_patching again, and what follows (run_all.py … --from 02)." in message


def test_the_lab_refuses_as_the_command_line_does(outputs: Path) -> None:
    lab = outputs.with_name(LAB)
    outputs.rename(lab)
    READERS["windows"](opened(lab, TRANSFER))
    survey(lab, SECOND)
    with pytest.raises(OutputError, match="--from 02"):
        READERS["windows"](opened(lab, TRANSFER))


def test_the_same_data_set_again_changes_nothing(outputs: Path) -> None:
    survey(outputs)
    for kind in ("windows", "predictions", "measures"):
        READERS[kind](open_run(outputs, notebook="09_reader"))
    survey(outputs, SECOND)
    survey(outputs)
    READERS["windows"](open_run(outputs, notebook="09_reader"))


def test_notebooks_run_by_hand_are_fresh_if_their_inputs_are(outputs: Path) -> None:
    """01, 02 and 06 with another stride, in that order, without a pipeline."""
    survey(outputs, SECOND)
    patch(outputs, stride=16)
    opened(outputs, TRANSFER).read_parquet(WINDOWS)
    assert not Records(outputs).causes(TRANSFER)


# ------------------------------------------------------------------ what was made from what


def test_what_builds_on_other_windows_is_refused(outputs: Path) -> None:
    patch(outputs, stride=16)
    with pytest.raises(OutputError, match=rf"{WINDOWS} has changed since notebook {TRANSFER} "):
        load_groups(open_run(outputs, notebook=CALIBRATION))


def test_inputs_of_inputs_count(outputs: Path) -> None:
    """Notebook 07 reads no data set, and its predictions are what they were."""
    assert not Records(outputs).causes(CALIBRATION)
    survey(outputs, SECOND)
    causes = Records(outputs).causes(CALIBRATION)
    assert set(causes) == {TRANSFER, PATCHING}
    with pytest.raises(OutputError, match="--from 02"):
        READERS["measures"](open_run(outputs, notebook=CARD))


def test_a_file_that_was_changed_or_comes_from_elsewhere_is_refused(outputs: Path) -> None:
    run = open_run(outputs, notebook=CALIBRATION)
    write_parquet(outputs / "predictions" / "mine.parquet", binary_predictions(patients=9))
    with pytest.raises(OutputError, match=r"mine\.parquet: no record .* may be removed"):
        load_groups(run)
    (outputs / "predictions" / "mine.parquet").unlink()
    write_parquet(outputs / PREDICTIONS, binary_predictions(patients=9))
    with pytest.raises(OutputError, match=rf"was changed after notebook {TRANSFER} wrote it"):
        load_groups(run)


def test_what_a_notebook_has_not_written_again_is_refused(outputs: Path) -> None:
    opened(outputs, TRANSFER)
    opened(outputs, TRANSFER)  # what earlier runs wrote is remembered
    with pytest.raises(OutputError, match=rf"is of an earlier run of notebook {TRANSFER}, .*06"):
        load_groups(open_run(outputs, notebook=CALIBRATION))


def test_a_folder_of_outputs_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "set" / "tables").mkdir(parents=True)
    table = tmp_path / "set" / "tables" / "a.csv"
    table.write_text("1")
    first = fingerprint(table.parent, tmp_path / "set")
    table.write_text("1")
    assert fingerprint(table.parent, tmp_path / "set") == first
    table.write_text("2")
    assert fingerprint(table.parent, tmp_path / "set") != first


# ------------------------------------------------------------------ a data set that is not whole


def test_a_data_set_that_was_not_finished_is_refused(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New images under the names of old ones, and the old tables."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    catalogue = Catalogue.load(outputs / "dataset")
    monkeypatch.setattr("second_look.preparing.dataset.read_source", lambda *_: catalogue)
    monkeypatch.setattr("second_look.preparing.dataset.prepare", stopped)
    with pytest.raises(KeyboardInterrupt):
        build_dataset(outputs, small_settings(), workers=0)
    lab = outputs.with_name(LAB)
    for folder in (outputs, lab):
        outputs.rename(folder)
        outputs = folder
        with pytest.raises(OutputError, match="is incomplete: run notebook 01_data_survey"):
            open_dataset(folder)


# ------------------------------------------------------------------ results


def verdicts(folder: Path) -> dict[str, str]:
    return {row["claim"]: row["verdict"] for row in Records(folder).results()}


def test_results_of_another_data_set_get_no_verdict(outputs: Path) -> None:
    fresh = verdicts(outputs)
    assert fresh["fig-3a"] == "reproduced"
    survey(outputs, SECOND)
    outdated = {"fig-3a": "out of date: run 05 again", "scheme-b": "out of date: run 02 again"}
    assert verdicts(outputs) == outdated
    survey(outputs)
    assert verdicts(outputs) == fresh


def test_the_scorecard_leaves_out_what_is_out_of_date(outputs: Path) -> None:
    run = opened(outputs, CARD)
    assert set(conclusions.read_tables(run)) == {conclusions.OVER_BLOBS, conclusions.STARTS}
    survey(outputs, SECOND)
    run = opened(outputs, CARD)
    results, tables = run.results_of_others(), conclusions.read_tables(run)
    assert tables == {}
    card.report_related(run, results, synthetic=False)
    assert {row["claim"] for row in load_results(outputs)} == {"fig-3a", "scheme-b"}
    assert "this run" not in " ".join(card.related(results, "phantoms")["authors"])
    evidence = conclusions.table(results, tables, synthetic=False).set_index("conclusion")
    assert set(evidence["speaks"]) == {conclusions.OPEN}
    texts = [text for text in evidence["evidence"] if text != NOT_MEASURED]
    assert texts == ["out of date: run 02 again", "out of date: run 05 again"]


def test_the_scorecard_is_out_of_date_when_what_it_left_out_is_current_again(
    outputs: Path,
) -> None:
    survey(outputs, SECOND)
    run = opened(outputs, CARD)
    run.results()
    conclusions.read_tables(run)
    reads = read_json(outputs / "manifests" / f"{CARD}.json")["reads"]
    assert Records(outputs).unchanged(reads)
    survey(outputs)
    changed = [name for name in reads if not Records(outputs).unchanged({name: reads[name]})]
    assert {name.partition("#")[0] for name in changed} >= {
        "results.json", f"tables/{conclusions.OVER_BLOBS}.csv", PREDICTIONS,
    }  # fmt: skip


# ------------------------------------------------------------------ no reader escapes

READS = {
    "read_parquet", "read_csv", "read_table", "read_feather", "read_json", "load", "load_file",
    "open_memmap", "load_results", "load_json", "load_all", "load_weights", "read_bytes",
    "read_text", "open", "loads", "memmap", "safe_open", "ParquetFile", "load_generators",
}  # fmt: skip
# Function -> why it may read: what it is given was checked, or it is no artefact of a notebook.
PERMITTED = {
    "studies/windows.py": {},
    "studies/gan/generators.py": {
        "load_generators": "its files are checked by open_generators",
        "open_generators": "checks them",
    },
    "studies/gan/dcgan.py": {
        "samples_at": "strips of this notebook's trainings",
        "sample_history": "strips of this notebook's trainings",
    },
    "studies/gan/quality.py": {"progress": "strips of this notebook's trainings"},
    "studies/survey/data_survey.py": {"public_ddsm_files": "a table of an installed package"},
    "studies/scorecard/conclusions.py": {"read_tables": "paths from Run.current"},
    "studies/scorecard/card.py": {"current_tables": "paths from Run.current"},
    "studies/calibration/measures.py": {"load_groups": "checks them"},
    "studies/detection/training.py": {"weights_file": "settings of the data set"},
}


def reading_calls(source: str) -> Iterator[tuple[str, str]]:
    """(function, call) of everything in a file that reads files other than by `run.read_…`."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    target = node.func
                    name = getattr(target, "attr", getattr(target, "id", ""))
                    receiver = getattr(getattr(target, "value", None), "id", "")
                    if name in READS and receiver not in ("run", "json"):
                        yield function.name, name


def test_every_reader_of_the_studies_checks_what_it_reads() -> None:
    library = REPO / "lib" / "second_look"
    escaped = [
        f"{name}: {function} calls {call}"
        for path in sorted((library / "studies").rglob("*.py"))
        for function, call in reading_calls(path.read_text())
        if function not in PERMITTED.get(name := str(path.relative_to(library)), {})
    ]
    assert escaped == [], "read it by run.read_parquet, or check it by run.uses or run.current"


def test_notebooks_read_only_through_the_library() -> None:
    for path in sorted((REPO / "notebooks").glob("*.py")):
        body = "".join(f"    {line}\n" for line in path.read_text().splitlines())
        assert list(reading_calls(f"def notebook():\n    ...\n{body}")) == [], path.name


def test_a_reader_that_checks_nothing_is_found() -> None:
    source = "def mine(run):\n    return pd.read_parquet(run.folder / 'predictions/x.parquet')\n"
    assert list(reading_calls(source)) == [("mine", "read_parquet")]


def test_every_artefact_kind_has_its_reader_here() -> None:
    """Every file that a notebook writes for others is read in one of the tests above."""
    written = set()
    for path in sorted((REPO / "notebooks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parquet":
                target = node.args[1]
                written.add(getattr(target, "value", None) if isinstance(target, ast.Constant)
                            else getattr(target, "attr", getattr(target, "id", "")))  # fmt: skip
    kinds = {name.split("/")[0] for name in written if "/" in name} | {
        name for name in written if "/" not in name
    }
    assert kinds == {"WINDOWS", "GENERATORS", "predictions", "tables"}


def test_pictures_of_other_images_are_made_anew(outputs: Path) -> None:
    first = make_pictures(open_dataset(outputs).prepared, (32, 32), outputs / "pictures")
    images = open_dataset(outputs).prepared.images
    renamed = replace(
        open_dataset(outputs).prepared,
        images=images.assign(content_hash=[f"other {text}" for text in images["content_hash"]]),
    )
    second = make_pictures(renamed, (32, 32), outputs / "pictures")
    assert first.digest != second.digest
    assert len(list((outputs / "pictures").iterdir())) == 2


def test_older_records_are_read(outputs: Path) -> None:
    """Records of earlier versions do not say what earlier runs wrote."""
    for path in (outputs / "manifests").glob("*.json"):
        record = json.loads(path.read_text())
        write_json(path, {key: record[key] for key in ("reads", "writes")})
    READERS["predictions"](open_run(outputs, notebook="09_reader"))
