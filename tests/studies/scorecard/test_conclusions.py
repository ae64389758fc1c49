"""What speaks for and against the paper's conclusions: every rule, both ways, and without data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from second_look.files import read_json
from second_look.models.classifier import IMAGENET, RANDOM
from second_look.outputs import open_run
from second_look.studies.scorecard import conclusions
from second_look.studies.scorecard.conclusions import (
    AGAINST,
    FOR,
    OPEN,
    OVER_BLOBS,
    SAMPLES,
    SAMPLES_OVER_REAL,
    STARTS,
    WHOLE_IMAGES,
    WITHOUT_LOOKING,
)
from second_look.verdicts import NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, SYNTHETIC

PATCHES, GANS, TRANSFER, MRCNN = (conclusion.text for conclusion in conclusions.CONCLUSIONS)


def measured(claim, verdict="see the notebook", value=0.7, low=0.6, high=0.8):
    facts = {"n": 10, "how": "measured", "figure": None, "notebook": "06_x"}
    return {
        "claim": claim, "value": value, "low": low, "high": high, "verdict": verdict, **facts
    }  # fmt: skip


def sides(results=(), tables=None, synthetic=False):
    table = conclusions.table(results, tables or {}, synthetic=synthetic)
    return {text: rows["speaks"].tolist() for text, rows in table.groupby("conclusion")}


def whole_images(**areas):
    """Start -> (value, low, high) by image; a breast, and mirror images, say the opposite."""
    models, rows = [], []
    for start, area in areas.items():
        name = f"scheme B, 64×64, start {start}"
        models += [(name, start, False), (f"{name} tta", start, True)]
        opposite = tuple(1 - number for number in area)
        rows += [
            (name, "image", *area),
            (f"{name} tta", "image", *opposite),
            (name, "breast", *opposite),
        ]
    table = pd.DataFrame(rows, columns=["model", "unit", "value", "low", "high"])
    return {
        WHOLE_IMAGES: table.assign(n=361),
        STARTS: pd.DataFrame(models, columns=["model", "start", "averaged"]),
    }


def lessons(samples, over_real, trainings=3):
    """Balanced accuracies (value, low, high) from samples, and less those from original patches.

    Accuracies, and mixed sets, say the opposite.
    """
    sets = {"samples only": (0, 9), "real only": (9, 0), "real + 50% samples": (9, 5)}
    balanced = {
        "samples only": samples,
        "real only": (0.9, 0.8, 1),
        "real + 50% samples": (0, 0, 0),
    }
    rows = [
        (name, *sets[name], measure, *numbers)
        for name in sets
        for measure, numbers in (
            ("accuracy", tuple(1 - number for number in balanced[name])),
            ("balanced_accuracy", balanced[name]),
        )
    ]
    columns = ["name", "real", "generated", "measure", "value", "low", "high"]
    looks = pd.DataFrame({"baseline": ["guess", "always"], "balanced_accuracy": [1 / 3, 0.4]})
    differences = [("accuracy", *(-number for number in over_real), trainings)]
    differences.append(("balanced_accuracy", *over_real, trainings))
    columns_of_differences = ["measure", "value", "low", "high", "trainings"]
    return {
        SAMPLES: pd.DataFrame(rows, columns=columns),
        WITHOUT_LOOKING: looks,
        SAMPLES_OVER_REAL: pd.DataFrame(differences, columns=columns_of_differences),
    }


def over_blobs(sensitivity, dice=(np.nan, np.nan, np.nan)):
    """The table of notebook 05 with these differences (value, low, high)."""
    rows = [("sensitivity", *sensitivity, 40), ("dice", *dice, 12)]
    return {OVER_BLOBS: pd.DataFrame(rows, columns=["measure", "value", "low", "high", "n"])}


def test_without_evidence_every_conclusion_is_undecided():
    table = conclusions.table([], {}, synthetic=False)
    assert table["conclusion"].tolist() == [PATCHES, GANS, TRANSFER, MRCNN]
    assert set(table["evidence"]) == {NOT_MEASURED}
    assert set(table["speaks"]) == {OPEN}
    assert "05_against_baseline" in table.set_index("conclusion").loc[MRCNN, "source"]


@pytest.mark.parametrize(
    ("value", "low", "high", "for_patches", "for_mrcnn"),
    [
        (0.7, 0.6, 0.8, AGAINST, FOR),
        (0.7, 0.45, 0.9, OPEN, OPEN),
        (0.45, 0.4, 0.55, OPEN, OPEN),
        (0.3, 0.2, 0.4, FOR, AGAINST),
        (0.5, 0.36, 0.65, OPEN, OPEN),
        (0.7, None, None, OPEN, OPEN),
        (0.4, None, None, OPEN, OPEN),
    ],
)
def test_an_auc_speaks_where_its_interval_does(value, low, high, for_patches, for_mrcnn):
    assert sides([measured("fig-3a", "–", value, low, high)])[MRCNN] == [for_mrcnn]
    area = tuple(np.nan if number is None else number for number in (value, low, high))
    for start in ("imagenet", "random"):
        assert sides(tables=whole_images(**{start: area}))[PATCHES] == [for_patches]


def test_a_measurement_without_an_interval_says_so():
    assert conclusions.Measured(0.7, 0.6, 0.8).formatted == "0.7 [0.6, 0.8]"
    alone = conclusions.Measured(0.41, np.nan, np.nan).formatted
    assert alone == "0.41, no interval"


def test_a_model_that_learnt_from_patches_says_nothing_of_doing_without():
    """Nor does the claim on scheme B, which is about such a model."""
    good = (0.8, 0.7, 0.9)
    for start in ("patches", "phantom", "some_file"):
        tables = whole_images(**{start: good})
        assert sides([measured("scheme-b")], tables)[PATCHES] == [OPEN]
    tables_of_both = whole_images(patches=good, imagenet=(0.45, 0.4, 0.49), random=good)
    table = (
        conclusions.table([], tables_of_both, synthetic=False).set_index("conclusion").loc[PATCHES]
    )
    assert table["speaks"].tolist() == [FOR, AGAINST]
    assert (
        "0.45 [0.4, 0.49] (scheme B, 64×64, start imagenet, 361 test images"
        in (table["evidence"].iloc[0])
    )


def test_an_area_that_is_undefined_or_of_unknown_start_is_no_evidence():
    nan = (np.nan, np.nan, np.nan)
    assert sides(tables=whole_images(imagenet=nan))[PATCHES] == [OPEN]
    lone = whole_images(imagenet=(0.8, 0.7, 0.9))
    for missing in (WHOLE_IMAGES, STARTS):
        remaining = {name: rows for name, rows in lone.items() if name != missing}
        assert conclusions.table([], remaining, synthetic=False)["evidence"].iloc[0] == NOT_MEASURED


def test_the_starts_are_those_that_know_no_patch():
    assert set(conclusions.NEVER_SAW_A_PATCH) == {IMAGENET, RANDOM}


@pytest.mark.parametrize("claim", ["fig-2a", "fig-2b"])
@pytest.mark.parametrize(
    ("verdict", "side"),
    [
        (REPRODUCED, FOR),
        ("undecided: epochs 2 (paper: 50)", OPEN),
        ("undecided: no interval", OPEN),
    ],
)
def test_texture_speaks_by_the_scorecards_verdict(claim, verdict, side):
    """After 2 epochs any network is far from original patches: this said "as the paper"."""
    assert sides([measured(claim, verdict, 4.0, None, None)])[GANS] == [side]


@pytest.mark.parametrize(
    ("samples", "over_real", "side"),
    [
        ((0.4, 0.4, 0.4), (-0.3, -0.4, -0.2), FOR),  # a constant answer
        ((0.2, 0.1, 0.3), (-0.5, -0.6, -0.4), FOR),
        ((0.7, 0.6, 0.8), (0.0, -0.1, 0.1), AGAINST),
        ((0.9, 0.85, 0.95), (0.2, 0.1, 0.3), AGAINST),
        ((0.5, 0.45, 0.55), (-0.2, -0.3, -0.1), OPEN),  # something, but less
        ((0.4, 0.35, 0.45), (0.02, -0.05, 0.08), OPEN),  # original patches teach nothing either
        ((0.5, 0.3, 0.7), (-0.2, -0.4, 0.1), OPEN),  # too few patients
        ((0.4, np.nan, np.nan), (-0.3, -0.4, -0.2), OPEN),
        ((0.9, 0.85, 0.95), (0.2, np.nan, np.nan), OPEN),
    ],
)
def test_samples_are_judged_by_what_they_teach(samples, over_real, side):
    assert sides(tables=lessons(samples, over_real))[GANS] == [side]


def test_overlapping_intervals_hide_no_difference_in_pairs():
    """0.5 [0.4, 0.6] and 0.6 [0.5, 0.7] overlap; in pairs the difference is clear."""
    tables = lessons((0.3, 0.2, 0.39), (-0.1, -0.15, -0.05))
    assert sides(tables=tables)[GANS] == [FOR]
    assert sides(tables=over_blobs((0.1, 0.05, 0.15)))[MRCNN] == [FOR]


def test_the_papers_accuracy_in_our_interval_says_nothing_of_gans():
    for verdict in (REPRODUCED, NOT_REPRODUCED):
        measurements = [measured("gan-check", verdict, 5.0, 2.0, 8.0)]
        assert sides(measurements)[GANS] == [OPEN]
        tables = lessons((0.4, 0.4, 0.4), (-0.3, -0.4, -0.2))
        table = conclusions.table(measurements, tables, synthetic=False).set_index("conclusion")
        assert table.loc[GANS, "speaks"] == FOR
        assert table.loc[GANS, "evidence"] == (
            "balanced accuracy on original patches: 0.4 [0.4, 0.4] trained on samples only, "
            "-0.3 [-0.4, -0.2] compared with the same number of original patches, "
            "0.4 without looking at an image; measured"
        )
    assert sides(tables={SAMPLES: tables[SAMPLES]})[GANS] == [OPEN], "chance is not known"


def test_two_trainings_say_nothing_of_what_samples_teach():
    tables = lessons((0.4, 0.4, 0.4), (-0.3, -0.4, -0.2), trainings=2)
    table = conclusions.table([measured("gan-check")], tables, synthetic=False)
    evidence = table.set_index("conclusion").loc[GANS]
    assert evidence["speaks"] == OPEN
    assert evidence["evidence"].endswith(
        "; two trainings cannot separate what samples teach from luck"
    )


@pytest.mark.parametrize(
    ("verdict", "side"),
    [
        (REPRODUCED, FOR),
        (NOT_REPRODUCED, AGAINST),
        ("higher than the paper: ours better", AGAINST),
        ("undecided: too few", OPEN),
    ],
)
def test_what_was_reproduced_speaks_for_what_was_drawn_from_it(verdict, side):
    assert sides([measured("transfer", verdict)])[TRANSFER] == [side]


@pytest.mark.parametrize(
    ("difference", "side"),
    [
        ((0.4, 0.3, 0.5), FOR),
        ((0.4, -0.1, 0.7), OPEN),
        ((0.0, 0.0, 0.0), OPEN),
        ((-0.2, -0.3, -0.1), AGAINST),
    ],
)
def test_location_is_judged_against_the_baseline_in_pairs(difference, side):
    assert sides(tables=over_blobs(difference))[MRCNN] == [side]
    assert sides(tables=over_blobs(difference, difference))[MRCNN] == [side, side]


def test_location_without_a_difference_is_no_evidence():
    nothing = over_blobs((np.nan, np.nan, np.nan))
    assert conclusions.table([], nothing, synthetic=False)["evidence"].iloc[-1] == NOT_MEASURED


def test_diagnosis_and_location_stand_beside_each_other():
    tables = over_blobs((0.5, 0.4, 0.6), (0.01, -0.01, 0.03))
    measurements = [measured("fig-3a", NOT_REPRODUCED, 0.65, 0.58, 0.72), measured("fig-3b")]
    table = (
        conclusions.table(measurements, tables, synthetic=False).set_index("conclusion").loc[MRCNN]
    )
    assert table["source"].tolist() == ["fig-3a", "fig-3b", OVER_BLOBS, OVER_BLOBS]
    assert table["speaks"].tolist() == [FOR, FOR, FOR, OPEN]
    assert "0.65 [0.58, 0.72]" in table["evidence"].iloc[0]
    assert table["evidence"].iloc[2] == (
        "share of lesions found at one false positive per image: 0.5 [0.4, 0.6] more than the "
        "brightest blobs (n = 40, paired over patients)"
    )


def test_phantoms_speak_for_nothing():
    tables = whole_images(imagenet=(0.8, 0.7, 0.9)) | lessons((0.4, 0.4, 0.4), (-0.3, -0.4, -0.2))
    measurements = [measured(claim, SYNTHETIC) for claim in ("transfer", "fig-3a")]
    speaks = sides(measurements, tables, synthetic=True)
    assert speaks == {text: [SYNTHETIC] for text in (PATCHES, GANS, TRANSFER, MRCNN)}
    assert sides(synthetic=True)[GANS] == [OPEN]


def test_tables_are_read_where_they_are_and_watched_where_they_are_not(tmp_path):
    assert conclusions.read_tables(open_run(tmp_path, notebook="08_scorecard")) == {}
    reads = read_json(tmp_path / "manifests" / "08_scorecard.json")["reads"]
    blobs, starts = (
        f"tables/{OVER_BLOBS}.csv#if current",
        "predictions/06_scheme_b.parquet#if current",
    )
    assert reads[blobs] == reads[starts] == "gone"
    tables_given = whole_images(imagenet=(0.8, 0.7, 0.9))
    tables_given |= lessons((0.4, 0.4, 0.4), (-0.3, -0.4, -0.2))
    tables_given |= over_blobs((0.5, 0.4, 0.6))
    runs = {number: open_run(tmp_path, notebook=f"{number}_x") for number in ("04", "05", "06")}
    for name, table in tables_given.items():
        if name == STARTS:
            runs["06"].parquet(
                pd.concat([table, table]).assign(score=0.5), "predictions/06_scheme_b.parquet"
            )
        else:
            runs[name[:2]].table(table, name[3:], "")
    tables = conclusions.read_tables(open_run(tmp_path, notebook="08_scorecard"))
    assert set(tables) == set(tables_given)
    assert len(tables[STARTS]) == 2
    assert sides(tables=tables) == sides(tables=tables_given)
    assert sides(tables=tables)[MRCNN] == [FOR]
    reads = read_json(tmp_path / "manifests" / "08_scorecard.json")["reads"]
    assert reads[blobs] != "gone"
