"""Notebook 05: schedules, training, examples and sentences, on detections with known truth."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.made_detections import perfect, random_detections
from helpers.small_detector import small_detect_settings
from helpers.small_mammograms import small_mammograms
from second_look.errors import CheckpointError, MissingDataError, ParameterError
from second_look.evaluation.detection_tables import BOX
from second_look.evaluation.lesion_types import BLIND, GIVEN, POOLED
from second_look.inference.blobs import NAME as BLOBS
from second_look.models.mask_rcnn import CLASSES
from second_look.preparing.patches import HALF_RULE
from second_look.preparing.views import View
from second_look.studies.detection import findings, results, training
from second_look.training.detect import Stage

# ------------------------------------------------------------------ the network and its settings


def test_the_table_of_the_paper_s_network_costs_no_weights():
    table = training.paper_parameters().set_index("module")
    assert table.loc["all"].sum() == 63_744_170
    assert CLASSES == 4


def test_a_schedule_is_read_from_lists():
    assert training.schedule([[100, 0.002, "heads"], [50, 2e-4]]) == (
        Stage(100, 0.002, "heads"),
        Stage(50, 2e-4, "all"),
    )
    for wrong in ([["many", 0.1]], [[5]], [], [[0, 0.1]]):
        with pytest.raises(ParameterError, match="a s"):
            training.schedule(wrong)


def test_the_paper_s_schedule_is_recognised():
    stages = (Stage(9, 0.002), Stage(9, 0.0002))
    paper = small_detect_settings(model="paper", stages=stages, weights="mask_rcnn_coco.h5")
    assert training.schedule_verdict(paper) == "the same schedule"
    changed = replace(paper, batch_size=4, weights="imagenet.safetensors")
    assert training.schedule_verdict(changed) == (
        "another schedule: images per GPU 4 (paper: 2); start imagenet.safetensors (paper: COCO)"
    )
    assert "network" in training.schedule_verdict(small_detect_settings())
    assert training.in_words(paper) == (
        "paper: 2 images per step; learning rate 0.002, later 0.0002; 18 steps; mask_rcnn_coco.h5"
    )


def test_weights_are_named_from_the_data_root(tmp_path, monkeypatch):
    dataset = small_mammograms(tmp_path, 8)
    assert training.weights_file(dataset, "", "paper") == ""
    monkeypatch.setenv("SECOND_LOOK_DATA", str(tmp_path))
    named = training.weights_file(dataset, "weights/a.h5", "paper")
    assert named == str(tmp_path / "weights" / "a.h5")
    with pytest.raises(CheckpointError, match="the ImageNet weights of mobilenet_v2 are not in"):
        training.weights_file(dataset, "imagenet", "mobilenet")
    (tmp_path / "weights").mkdir()
    for name in ("mobilenet_v2-7ebf99e0.pth", "mobilenet_v2_imagenet.safetensors"):
        (tmp_path / "weights" / name).touch()
        path = training.weights_file(dataset, "imagenet", "mobilenet")
        assert path == str(tmp_path / "weights" / name)
    with pytest.raises(ParameterError, match="does not start from ImageNet weights alone"):
        training.weights_file(dataset, "imagenet", "paper")
    monkeypatch.setenv("SECOND_LOOK_DATA", str(tmp_path / "none"))
    with pytest.raises(MissingDataError, match="there is no data folder"):
        training.weights_file(dataset, "weights/a.h5", "paper")


def test_training_compares_with_and_without_normals(tmp_path):
    dataset = small_mammograms(tmp_path)
    settings = training.settings(
        dataset, model="small", weights="", frame=(96, 64), stages=[[1, 0.01]], rotation_deg=0,
        scale=1.0, contrast=0.0, max_detections=5, normal_share=0.5,
        optimizer="sgd", batch_size=2, seed=0,
    )  # fmt: skip
    loop = training.loop_settings(settings, validate_every=0, accelerator="cpu", precision="auto")
    assert (loop.steps, loop.log_every) == (1, 1)
    models = training.train_models(dataset, settings, loop, tmp_path / "c", compare_normals=True)
    assert [model.name for model in models] == ["Mask R-CNN (small)", training.WITHOUT_NORMALS]
    table = training.training_table(models)
    sentence = training.network_sentence(models[0])
    assert f"**Mask R-CNN (small)** has {table['parameters'][0]:,} parameters" in sentence
    assert "the paper's network 63,744,170: what follows is measured on a stand-in" in sentence
    assert table["normal images"].tolist() == [4, 0]
    assert table["images with lesions"].tolist() == [4, 4]
    targets = training.shown_targets(dataset, settings, count=2)
    assert [target.picture.shape for target in targets] == [(96, 64)] * 2
    assert len({target.image_id for target in targets}) == 2
    for target in targets:
        assert [mask.shape for mask in target.masks] == [(96, 64)]
        assert 0 < target.masks[0].sum() < 96 * 64
    curves = training.training_curves(models)
    assert set(curves["model"]) == {model.name for model in models}
    for model in models:
        model_curves = curves[curves["model"] == model.name]
        assert list(model_curves["curve"].unique())[:2] == [
            "proposals: object or not", "proposals: box",
        ]  # fmt: skip
        assert model_curves["curve"].nunique() == 6
        validation = model_curves.loc[model_curves["curve"] == "validation", ["step", "value"]]
        history = model.trained.curve("val_froc")
        assert validation.to_numpy().tolist() == history.to_numpy().tolist()
        assert len(history)
        assert set(model_curves["kept"]) == {model.trained.best_step}
    detected = results.detect_all(dataset, models, patch_size=32, stride=32, rule=HALF_RULE, seed=0)
    assert list(detected.detections) == [*(model.name for model in models), BLOBS]
    assert set(detected.all_detections["model"]) == set(detected.detections)
    assert set(detected.in_split("test").image_scores["split"]) == {"test"}
    assert len(detected.images) == 8
    assert sum(len(detected.in_split(split).images) for split in ("val", "test")) == 8


def test_examples_show_hits_misses_and_false_alarms_in_view_pixels(detected, monkeypatch):
    """Only the first lesion is found; views have a tenth of the images' rows."""
    image_id = detected.truths["image_id"].iloc[0]
    first_hit = perfect(detected.images, detected.truths.iloc[:1]).assign(model="some")
    noise = detected.detections[BLOBS]
    noise = noise[~noise["image_id"].isin(detected.truths["image_id"])]
    detections = pd.concat([first_hit, noise], ignore_index=True)
    changed = replace(detected, detections={"some": detections})
    view = View("", "", np.zeros((100, 100)), np.zeros((100, 100)), {}, 1.0)
    monkeypatch.setattr(findings, "original_view", lambda dataset, image_id, height: view)
    images = pd.DataFrame({"image_id": detected.images["image_id"], "rows": 1000})
    dataset = SimpleNamespace(catalogue=SimpleNamespace(images=images))
    pages = findings.examples(dataset, changed, "some", per_kind=2, height=100)
    kinds = [page.title.split(": ")[0] for page in pages]
    assert kinds == ["hit", "miss", "miss", "false alarm", "false alarm"]
    assert pages[0].title == f"hit: {image_id}"
    truth = detected.truths.iloc[0][list(BOX)].to_numpy(dtype=float) / 10
    np.testing.assert_allclose(pages[0].true_boxes[0], truth)
    np.testing.assert_allclose(pages[0].found_boxes[0], truth)
    assert pages[0].scores.tolist() == pytest.approx([0.9])
    assert len(pages[1].true_boxes) == 1
    assert len(pages[1].found_boxes) == 0
    best = noise.sort_values("score_normal").iloc[0]
    assert pages[3].title == f"false alarm: {best['image_id']}"
    assert len(pages[3].found_boxes) == 3
    assert pages[3].scores[0] == pytest.approx(1 - best["score_normal"])
    is_best = detected.images["image_id"] == best["image_id"]
    changed = replace(changed, images=detected.images.assign(unlocated=is_best.astype(int)))
    pages = findings.examples(dataset, changed, "some", per_kind=2, height=100)
    assert best["image_id"] not in [page.title.split(": ")[1] for page in pages]


# ------------------------------------------------------------------ what is measured and said


@pytest.fixture(scope="module")
def tables(detected):
    return {
        "image": results.auc_table(detected, "image", seed=0),
        "patch": results.auc_table(detected, "patch", seed=0),
        "froc": results.sensitivity_table(detected, seed=0),
        "precision": results.precision_table(detected, seed=0),
        "dice": results.dice_table(detected, seed=0),
    }


def test_tables_have_every_model(tables):
    per_image = tables["image"].set_index(["model", "target"])
    assert per_image.loc[("perfect", "malignant"), "auc"] == 1
    assert per_image.loc[(BLOBS, "lesion"), "auc"] < 0.8
    per_patch = tables["patch"]
    for table in (tables["image"], per_patch):
        assert set(table["target"]) >= {GIVEN, POOLED, "type benign", "malignant", "lesion"}
        assert results.row(table, model="perfect", target=GIVEN)["n"] == 40
        assert results.row(table, model=BLIND, target=GIVEN)["auc"] == 0.5
        pooled = results.row(table, model=BLIND, target=POOLED)
        assert pooled["auc"] == results.row(table, model="perfect", target=POOLED)["chance"]
        assert pooled["gain"] == 0
        assert np.isnan([pooled["gain_low"], pooled["gain_high"]]).all(), "the same answers"
    precision = tables["precision"].set_index(["model", "of"])
    assert precision.loc[("perfect", "any lesion"), "mAP50"] == pytest.approx(1)
    dice = tables["dice"]
    assert results.row(dice, model="perfect", measure="dice")["value"] == 1
    with pytest.raises(KeyError, match="no row with"):
        results.row(dice, model="none")


def test_panels_hold_a_curve_and_words_for_every_model(detected, tables):
    table = tables["image"]
    panels, words, drawn = results.roc_panels(detected, table, "image", seed=0)
    assert list(panels)[2:] == ["malignant?", "any lesion?"]
    assert all("a given type" in question for question in list(panels)[:2])
    assert BLIND in panels[next(iter(panels))]
    assert set(panels["any lesion?"]) == {"perfect", BLOBS}
    assert words["any lesion?"]["perfect"] == "1.00 [0.69, 1.00]"
    assert set(drawn["question"]) == set(panels), "each AUC stands beside the paper's"
    curves = results.froc_panels(detected)
    assert list(curves) == ["centre", "iou"]
    assert curves["iou"]["perfect"]["sensitivity"].max() == 1


def test_an_auc_without_interval_or_value_is_reported_as_such():
    line = {"auc": 0.75, "low": 0.5, "high": 1.0, "reason": ""}
    assert results.auc_in_words(pd.Series(line), 2) == "0.75 [0.50, 1.00]"
    few = results.auc_in_words(pd.Series(line | {"low": np.nan}), 3)
    assert few == "0.750 [too few patients for an interval]"
    none = line | {"auc": np.nan, "reason": "no positive among them"}
    assert results.auc_in_words(pd.Series(none), 2) == "none: no positive among them"


def test_groups_give_the_sensitivity_for_each(detected):
    """A model that finds the masses and has one false alarm on every normal image."""
    masses = perfect(detected.images, detected.truths[detected.truths["kind"] == "mass"])
    normal = detected.images[detected.images["label"] == "normal"]
    alarms = random_detections(normal, seed=3, boxes_per_image=1)
    detections = {"masses": pd.concat([masses, alarms], ignore_index=True), **detected.detections}
    with_masses = replace(detected, detections=detections)
    table = results.group_table(with_masses, "masses", seed=0).set_index(["group", "value"])
    truths = detected.truths
    assert table.loc["kind", "sensitivity"].to_dict() == {"calcification": 0, "mass": 1}
    for group in ("kind", "pathology", "density"):
        hits = truths.assign(seen=truths["kind"] == "mass").groupby(group)["seen"]
        assert table.loc[group, "lesions"].to_dict() == hits.size().to_dict()
        assert table.loc[group, "sensitivity"].to_dict() == pytest.approx(hits.mean().to_dict())
    perfect_groups = results.group_table(with_masses, "perfect", seed=0)
    assert (perfect_groups["sensitivity"] == 1).all()


def test_findings_are_sentences_from_the_tables(tables):
    paper = {"fig-3a": 0.93, "fig-3b": 0.73}
    text = findings.findings(tables, "perfect", paper=paper, synthetic=True)
    assert "AUC per image (malignant): **1.000 [0.541, 1.000]**, 40 images" in text
    assert "paper 0.93; chance 0.5" in text
    assert "AUC per image (a given type): **1.000 [" in text
    (line,) = (line for line in text.splitlines() if "AUC per patch (a given type)" in line)
    assert ": **1.000 [" in line
    assert ", 40 patches, 20 patients; " in line
    blind_auc = results.row(tables["patch"], model=BLIND, target=POOLED)
    assert f"frequency of each type in training reaches {blind_auc['auc']:.3f} [" in text
    assert ("no evidence of sight" in text) == (blind_auc["high"] >= 0.73)
    assert "perfect: 100% [69%, 100%] of 20 lesions at one false positive per image" in text
    assert "Masks of 20 hit lesions: Dice 1.00 [0.69, 1.00]; Dhungel et al. 0.88." in text
    assert "These images are phantoms" in text
    assert "phantoms" not in findings.findings(tables, "perfect", paper=paper, synthetic=False)


def test_without_a_second_training_the_effect_of_normals_is_unknown(detected):
    text = findings.normals_sentence(detected, pd.DataFrame(), pd.DataFrame(), [])
    assert "not measured in this run" in text
