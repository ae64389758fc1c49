"""What notebook 06 says of the paper's claims, with models whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from second_look.evaluation.intervals import Estimate
from second_look.evaluation.seeds import over_trainings
from second_look.outputs import load_results, open_run
from second_look.studies.transfer import transfer_claims as study
from second_look.verdicts import AT_EDGE, HIGHER, NO_CONTROL, REPRODUCED, SYNTHETIC, UNDECIDED

FULL, FEW = 400_000, 2048
BASELINE = pd.DataFrame({"baseline": ["always the commonest class"], "balanced_accuracy": [0.25]})


@pytest.fixture
def data(phantom_data):
    return replace(phantom_data, synthetic=False)


@pytest.fixture
def run(tmp_path):
    return open_run(tmp_path, notebook="06_patch_transfer_learning")


def row(value, low, high, trainings=3, **names):
    numbers = {"value": value, "low": low, "high": high, "n": 1000, "patients": 100, "reason": ""}
    parts = {"between_patients": 0.02, "between_trainings": 0.01, "trainings": trainings}
    return {**names, **numbers, **parts}


def curve(*, random=0.5, imagenet=0.5, patches=FULL, trainings=3):
    """Balanced accuracies (±0.03), accuracies of 65 % and macro AUCs of both starts."""
    rows = []
    for start, value in (("random", random), ("imagenet", imagenet)):
        names = {"start": start, "patches": patches, "trainings": trainings}
        rows += [
            row(value, value - 0.03, value + 0.03, measure="balanced_accuracy", **names),
            row(0.65, 0.62, 0.68, measure="accuracy", **names),
            row(value + 0.25, value + 0.2, value + 0.3, measure="macro_auc", **names),
        ]
    return pd.DataFrame(rows)


def effect(low, high, *, start="imagenet", patches=FULL, trainings=3):
    names = {"start": start, "patches": patches, "measure": "balanced_accuracy"}
    return pd.DataFrame([row((low + high) / 2, low, high, trainings, **names)])


def verdict_of(run, claim_id):
    (result,) = [item for item in load_results(run.folder) if item["claim"] == claim_id]
    return result["verdict"]


def test_accuracies_are_compared_at_about_the_papers_numbers_of_patches(run, data):
    curves = pd.concat([curve(patches=390_000), curve(patches=204_800), curve(patches=FEW)])
    study.report_accuracy(run, curves, data, "random")
    assert verdict_of(run, "patch-accuracy-400k") == REPRODUCED
    assert verdict_of(run, "patch-accuracy-200k") == f"{HIGHER}: ours better"
    results = {item["claim"]: item for item in load_results(run.folder)}
    assert results["patch-accuracy-400k"]["value"] == pytest.approx(65)
    assert results["patch-accuracy-200k"]["how"].startswith("204,800 patches, start random")
    assert results["patch-accuracy-200k"]["how"].endswith("mean of 3 trainings")


def test_few_patches_are_not_compared_and_one_training_decides_nothing(run, data):
    study.report_accuracy(run, curve(patches=FEW), data, "random")
    assert load_results(run.folder) == []
    study.report_accuracy(run, curve(trainings=1), data, "random")
    assert verdict_of(run, "patch-accuracy-400k") == (
        f"{UNDECIDED}: one training, at least 3 are needed"
    )


def test_the_gain_of_twice_the_patches_is_recorded_at_the_papers_numbers(run, data):
    names = {"start": "random", "measure": "accuracy"}
    few = row(0.2, 0.17, 0.23, fewer=512, patches=2048, **names)
    study.report_growth(run, pd.DataFrame([few]), data, "random")
    assert load_results(run.folder) == []
    full = row(0.2, 0.17, 0.23, fewer=200_000, patches=400_000, **names)
    study.report_growth(run, pd.DataFrame([few, full]), data, "random")
    assert verdict_of(run, "patch-accuracy-gain") == REPRODUCED


@pytest.mark.parametrize(
    ("low", "high", "settings", "expected"),
    [
        (-0.02, 0.04, {}, REPRODUCED),
        (-0.30, -0.1, {}, REPRODUCED),
        (-0.02, 0.09, {}, AT_EDGE),
        (0.01, 0.30, {}, AT_EDGE),
        (0.08, 0.30, {}, f"{HIGHER}: ours better"),
        (0.08, 0.30, {"random": 0.25}, study.AT_CHANCE),
        (-0.02, 0.04, {"random": 0.25, "imagenet": 0.25},
         f"{NO_CONTROL}: start random and imagenet at chance"),
        (-0.02, 0.04, {"patches": FEW}, f"{UNDECIDED}: patches 2,048 (paper: 400,000)"),
        (-0.02, 0.04, {"trainings": 1}, f"{UNDECIDED}: one training, at least 3 are needed"),
        (np.nan, np.nan, {}, f"{UNDECIDED}: no interval"),
    ],
)  # fmt: skip
def test_transfer_does_not_help_only_where_it_could(run, data, low, high, settings, expected):
    patches, trainings = settings.get("patches", FULL), settings.get("trainings", 3)
    gains = effect(low, high, patches=patches, trainings=trainings).assign(value=0.02)
    study.report_transfer(run, curve(**settings), gains, BASELINE, data)
    assert verdict_of(run, "transfer") == expected


def test_neither_other_starts_nor_phantoms_give_a_verdict(run, data, phantom_data):
    """A start from phantoms stood in the row, and the conclusion, on ImageNet."""
    table = curve().replace("imagenet", "phantom")
    study.report_transfer(run, table, effect(-0.02, 0.04, start="phantom"), BASELINE, data)
    assert load_results(run.folder) == []
    study.report_transfer(run, curve(), effect(-0.02, 0.04), BASELINE, phantom_data)
    assert verdict_of(run, "transfer") == SYNTHETIC
    second = open_run(run.folder / "other", notebook="06_patch_transfer_learning")
    study.report_transfer(second, curve(), effect(0, 1).iloc[:0], BASELINE, data)
    assert load_results(second.folder) == []


def best(patches=FULL):
    return SimpleNamespace(start="random", patches=patches)


def area(value, low, high, trainings=3):
    estimate = Estimate(value, low, high, 300, 100)
    return over_trainings(estimate, [value] * trainings, share=True)


@pytest.mark.parametrize(
    ("low", "high", "model", "patches", "expected"),
    [
        (0.65, 0.75, 0.5, FULL, REPRODUCED),
        (0.44, 0.56, 0.5, FULL, REPRODUCED),
        (0.44, 0.56, 0.25, FULL, NO_CONTROL),  # the patch model is at chance itself
        (0.65, 0.75, 0.5, FEW, f"{UNDECIDED}: patches 2,048 (paper: 400,000)"),
        (0.78, 0.84, 0.5, FULL, AT_EDGE),
        (0.88, 0.91, 0.5, FULL, f"{HIGHER}: ours better"),
    ],
)
def test_scheme_a_fails_only_with_a_patch_model_that_works(
    run, data, low, high, model, patches, expected
):
    table = curve(random=model, patches=patches)
    if model == 0.25:
        table = table.assign(low=table["low"].where(table["measure"] != "macro_auc", 0.49))
    measured = area((low + high) / 2, low, high)
    study.report_scheme_a(run, measured, table, best(patches), data)
    assert verdict_of(run, "scheme-a").startswith(expected)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.65, 0.75, REPRODUCED), (0.44, 0.56, NO_CONTROL), (0.88, 0.91, HIGHER)],
)
def test_scheme_b_fails_only_above_chance(run, data, low, high, expected):
    aucs = pd.DataFrame([row((low + high) / 2, low, high, model="b", unit="image")])
    study.report_scheme_b(run, aucs, "b", best(), data)
    assert verdict_of(run, "scheme-b").startswith(expected)


def test_an_undefined_auc_is_not_recorded(run, data):
    nothing = Estimate(np.nan, np.nan, np.nan, 3, 1, "no positive among them")
    undefined = over_trainings(nothing, [np.nan], share=True)
    study.report_scheme_a(run, undefined, curve(), best(), data)
    aucs = pd.DataFrame([row(np.nan, np.nan, np.nan, model="b", unit="image")])
    study.report_scheme_b(run, aucs, "b", best(), data)
    study.report_resizing(run, aucs.iloc[:0], data)
    assert load_results(run.folder) == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.02, 0.1, REPRODUCED), (-0.02, 0.1, AT_EDGE), (-0.1, -0.02, "lower than the paper")],
)
def test_resizing_is_judged_by_what_larger_images_gain(run, data, low, high, expected):
    gains = pd.DataFrame([row((low + high) / 2, low, high, model="large", reference="small")])
    study.report_resizing(run, gains, data)
    assert verdict_of(run, "resizing").startswith(expected)
