"""Notebook 05 over several trainings, against its baseline, and the memory of a step."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.small_detector import small_detect_settings
from helpers.small_mammograms import small_mammograms
from second_look.evaluation.intervals import Estimate
from second_look.evaluation.seeds import over_trainings
from second_look.inference.blobs import NAME as BLOBS
from second_look.outputs import load_results, open_run
from second_look.preparing.patches import HALF_RULE
from second_look.studies.detection import memory, training
from second_look.studies.detection import trainings as study
from second_look.studies.detection.results import auc_table, detect_all
from second_look.training.detect import Stage
from second_look.verdicts import SYNTHETIC, UNDECIDED
from sklearn.metrics import roc_auc_score
from torch import nn


def test_an_auc_over_trainings_is_put_beside_the_papers(detected, tmp_path):
    """Three trainings; the third one finds nothing that the blobs do not."""
    names = ["perfect", "again", "poor"]
    trainings = {name: renamed(detected, source, name) for name, source in zip(
        names, ["perfect", "perfect", BLOBS], strict=True
    )}  # fmt: skip
    over = study.over_all(trainings, seed=0)
    alone = [study.over_all({name: part}, seed=0) for name, part in trainings.items()]
    for measure in study.MEASURES:
        values = [part[measure].estimate.value for part in alone]
        assert over[measure].values.tolist() == pytest.approx(values)
        assert over[measure].estimate.value == pytest.approx(np.mean(values))
        assert over[measure].estimate.low <= alone[0][measure].estimate.low
    scores = detected.image_scores.query(f"model == '{BLOBS}' and target == 'malignant'")
    assert over["image"].values[2] == pytest.approx(
        roc_auc_score(scores["label"] == "malignant", scores["score"])
    )
    table = study.table(over)
    assert table["trainings"].tolist() == [3, 3, 3]
    assert table["each"].str.count(",").tolist() == [2, 2, 2]


@pytest.mark.parametrize("synthetic", [True, False])
def test_one_training_is_recorded_without_deciding_anything(detected, tmp_path, synthetic):
    run = open_run(tmp_path, notebook="05_mask_rcnn")
    over = study.over_all({"perfect": detected}, seed=0)
    data = SimpleNamespace(name="made", synthetic=synthetic)
    study.report(run, over, auc_tables(detected), "perfect", data)
    rows = {row["claim"]: row for row in load_results(tmp_path)}
    assert set(rows) == {"fig-3a", "fig-3b", "state-of-the-art"}
    how = rows["fig-3a"]["how"]
    assert how.startswith("perfect, malignant, test patients of made; a given type: 1.00")
    assert "a given type, pooled: " in how
    assert how.endswith("one training")
    expected = SYNTHETIC if synthetic else f"{UNDECIDED}: one training, at least 3 are needed"
    assert {row["verdict"] for row in rows.values()} == {expected}


def test_an_undefined_auc_is_not_recorded(detected, tmp_path):
    run = open_run(tmp_path, notebook="05_mask_rcnn")
    over = study.over_all({"perfect": detected}, seed=0)
    nothing = over_trainings(Estimate(np.nan, np.nan, np.nan, 3, 1, "none"), [np.nan], share=True)
    data = SimpleNamespace(name="made", synthetic=False)
    study.report(run, {**over, "image": nothing}, auc_tables(detected), "perfect", data)
    assert [row["claim"] for row in load_results(tmp_path)] == ["fig-3b"]


def test_the_detector_is_compared_with_the_blobs_on_the_same_patients(detected):
    rows = study.against_baseline({"perfect": detected}, seed=0).set_index("measure")
    assert rows.loc["sensitivity", "value"] > 0
    assert rows.loc["sensitivity", "low"] <= rows.loc["sensitivity", "value"]
    area = auc_table(detected, "image", seed=0).set_index(["model", "target"])["auc"]
    gap = area[("perfect", "malignant")] - area[(BLOBS, "malignant")]
    assert rows.loc["auc", "value"] == pytest.approx(gap)
    assert rows.loc["auc", "low"] < gap < rows.loc["auc", "high"]
    assert (rows["p_holm"].dropna() >= rows["p"].dropna()).all()
    itself = renamed(detected, BLOBS, "blobs again")
    zero = study.against_baseline({"blobs again": itself}, seed=0).set_index("measure")
    assert zero.loc["sensitivity", "value"] == 0
    assert zero.loc["sensitivity", "low"] < 0 < zero.loc["sensitivity", "high"]


def auc_tables(detected):
    return {unit: auc_table(detected, unit, seed=0) for unit in ("image", "patch")}


def renamed(detected, source, name):
    """The results with the detections of one model under another name, and the blobs."""
    parts = {
        key: pd.concat(
            [table[table["model"] == source].assign(model=name), table[table["model"] == BLOBS]]
        )
        for key, table in (("images", detected.image_scores), ("patches", detected.patch_scores))
    }
    return replace(
        detected,
        detections={name: detected.detections[source], BLOBS: detected.detections[BLOBS]},
        image_scores=parts["images"],
        patch_scores=parts["patches"],
        types={
            unit: {**by_model, name: by_model[source]} for unit, by_model in detected.types.items()
        },
    )


# ------------------------------------------------------------------ another training, and memory


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two trainings of two steps with different seeds."""
    folder = tmp_path_factory.mktemp("trainings")
    dataset = small_mammograms(folder / "data")
    settings = small_detect_settings(stages=(Stage(2, 0.01),), seed=3)
    loop = training.loop_settings(
        settings, validate_every=0, accelerator="cpu", precision="32-true"
    )
    checkpoints = folder / "checkpoints"
    first = training.train_models(dataset, settings, loop, checkpoints, compare_normals=False)
    again = training.train_again(dataset, settings, loop, checkpoints, seeds=[3, 4])
    return dataset, settings, [*first, *again]


def test_each_seed_is_a_training_with_its_own_checkpoints(trained):
    dataset, _, models = trained
    assert [model.name for model in models] == ["Mask R-CNN (small)", "Mask R-CNN (small), seed 4"]
    assert models[0].trained.folder != models[1].trained.folder
    weights = [next(model.task.detector.parameters()) for model in models]
    assert not torch.equal(*weights)
    facts = {"patch_size": 32, "stride": 32, "rule": HALF_RULE}
    detected = detect_all(dataset, models[:1], seed=3, **facts)
    results = study.detect_each(dataset, models, detected, seeds=[3, 4], **facts)
    assert list(results) == [model.name for model in models]
    assert results["Mask R-CNN (small)"] is detected
    assert set(results["Mask R-CNN (small), seed 4"].image_scores["seed"]) >= {4}


def test_memory_grows_with_the_images_of_a_step(trained, tmp_path):
    _, settings, models = trained
    copies = [p.clone() for p in models[0].task.detector.state_dict().values()]
    table = memory.memory_table(models[0], settings)
    current = models[0].task.detector.state_dict().values()
    assert all(torch.equal(*pair) for pair in zip(copies, current, strict=True))
    assert table["images"].tolist() == [1, 2, 4]
    numbers = sum(p.numel() for p in models[0].task.detector.parameters())
    assert table["weights_gb"].tolist() == pytest.approx([3 * 4 * numbers / 1e9] * 3)
    ratio = table["activations_gb"].to_numpy()
    assert 1.5 < ratio[1] / ratio[0] < 2.5
    assert 1.5 < ratio[2] / ratio[1] < 2.5
    run = open_run(tmp_path, notebook="05_mask_rcnn")
    memory.report(run, table, settings, synthetic=False)
    (row,) = load_results(tmp_path)
    assert row["value"] == pytest.approx(table["total_gb"][1])
    assert "small, 96×64 px, 32 bits: 1 image " in row["how"]


def test_what_autograd_keeps_is_counted_once():
    """Two squares of one tensor of 1,000 numbers keep it once, 4,000 bytes; weights are none."""

    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1000))

        def forward(self, picture):
            product = picture * self.weight
            return product**2 + product**2

    assert memory._saved(Squares(), torch.ones(1000)) == 2 * 4000
