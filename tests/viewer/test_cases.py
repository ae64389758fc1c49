"""Which cases are shown: outcomes outcomes from tables with a known truth, and a bounded choice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_detections import made_detections, made_images, made_truths
from second_look.evaluation.detection_tables import BOX
from second_look.preparing.dataset import Dataset
from second_look.viewer.cases import (
    FALSE_ALARM,
    HIT,
    MISS,
    NO_ALARM,
    UNLOCATED,
    Case,
    breast_views,
    choose_cases,
    detection_cases,
    image_cases,
    operating_threshold,
)


@pytest.fixture
def images() -> pd.DataFrame:
    """Four images with a lesion each, four normal ones."""
    return made_images(8)


@pytest.fixture
def truths(images: pd.DataFrame) -> pd.DataFrame:
    return made_truths(images, seed=0)


def detected(images: pd.DataFrame, truths: pd.DataFrame) -> pd.DataFrame:
    """Lesion 0 at 0.9, lesion 1 at 0.3; a false alarm of 0.6 on image 2, of 0.4 on image 4."""
    boxes = truths[list(BOX)].to_numpy()
    beside = [[0.0, 0.0, 5.0, 5.0]]
    return made_detections(
        images.loc[[0, 1, 2, 4]],
        np.concatenate([boxes[:2], beside, beside]),
        np.array([0.9, 0.3, 0.6, 0.4]),
        ["malignant"] * 4,
    )


def test_every_lesion_false_alarm_and_quiet_image_is_a_case(
    images: pd.DataFrame, truths: pd.DataFrame
) -> None:
    cases = detection_cases(detected(images, truths), truths, images, threshold=0.5)
    outcomes = {(case.image_id, case.outcome): round(case.score, 6) for case in cases}
    assert outcomes == {
        ("i00000", HIT): 0.9, ("i00001", MISS): 0.3, ("i00002", MISS): 0, ("i00003", MISS): 0,
        ("i00002", FALSE_ALARM): 0.6,
        ("i00004", NO_ALARM): 0.4, ("i00005", NO_ALARM): 0, ("i00006", NO_ALARM): 0,
        ("i00007", NO_ALARM): 0,
    }  # fmt: skip
    hit = cases[0]
    assert (hit.kind, hit.label) == (truths.at[0, "kind"], truths.at[0, "pathology"])
    assert hit.box is not None
    assert [getattr(hit.box, name) for name in BOX] == truths.loc[0, list(BOX)].tolist()


def test_a_lower_threshold_turns_a_miss_into_a_hit(
    images: pd.DataFrame, truths: pd.DataFrame
) -> None:
    cases = detection_cases(detected(images, truths), truths, images, threshold=0.3)
    assert [case.outcome for case in cases].count(HIT) == 2
    assert [case.outcome for case in cases].count(FALSE_ALARM) == 2


def test_an_image_with_a_lesion_of_unknown_place_is_one_case(
    images: pd.DataFrame, truths: pd.DataFrame
) -> None:
    images.loc[2, "unlocated"] = 1
    cases = detection_cases(detected(images, truths), truths, images, threshold=0.5)
    of_image = [case for case in cases if case.image_id == "i00002"]
    assert of_image == [
        Case("i00002", UNLOCATED, pytest.approx(0.6), None, "", images.at[2, "label"])
    ]


def test_the_operating_threshold_allows_the_stated_alarms(
    images: pd.DataFrame, truths: pd.DataFrame
) -> None:
    tables = (detected(images, truths), truths, images)
    # Two false alarms, 0.6 and 0.4, over eight images.
    assert operating_threshold(*tables, alarms=1 / 8) == pytest.approx(0.6)
    assert operating_threshold(*tables, alarms=0) == pytest.approx(0.9)
    assert operating_threshold(*tables, alarms=1) == pytest.approx(0.3)


def test_images_are_cases_of_the_papers_rule() -> None:
    images = pd.DataFrame({"image_id": list("abcd"), "label": ["malignant"] * 2 + ["benign"] * 2})
    lesions = pd.DataFrame({"image_id": ["a", "a", "c"], "kind": ["mass", "calcification", "mass"]})
    scores = pd.DataFrame({"image_id": list("abcd"), "s": [0.9, 0.2, 0.8, 0.1], "f": [1, 0, 1, 0]})
    cases = image_cases(scores, images, lesions, score="s", flagged="f")
    assert [(case.image_id, case.outcome, case.kind) for case in cases] == [
        ("a", HIT, "calcification, mass"), ("b", MISS, ""), ("c", FALSE_ALARM, "mass"),
        ("d", NO_ALARM, ""),
    ]  # fmt: skip


def test_a_choice_reaches_from_the_highest_to_the_lowest_score() -> None:
    scores = np.linspace(0, 1, 21)
    cases = [Case(f"i{s}", HIT, float(s), None, "", "") for s in scores]
    cases.append(Case("m", MISS, 0.5, None, "", ""))
    chosen = choose_cases(cases, per_outcome=5)
    assert [case.score for case in chosen if case.outcome == HIT] == [1, 0.75, 0.5, 0.25, 0]
    # In turn, so that whoever stops early has one of each.
    assert [case.outcome for case in chosen[:2]] == [HIT, MISS]
    assert choose_cases(cases, per_outcome=1)[0].score == 1
    assert choose_cases([], per_outcome=5) == []


def test_the_other_view_of_the_same_breast_comes_along(phantom_data: Dataset) -> None:
    images = phantom_data.catalogue.images
    row = images.iloc[0]
    views = breast_views(row["image_id"], images)
    of_breast = images[images["image_id"].isin(views)]
    assert list(of_breast.set_index("image_id").loc[views, "view"]) == ["CC", "MLO"]
    assert of_breast["patient_id"].nunique() == of_breast["laterality"].nunique() == 1
    assert breast_views(row["image_id"], images.assign(laterality="")) == [row["image_id"]]
    alone = images[images["image_id"] == row["image_id"]]
    assert breast_views(row["image_id"], alone) == [row["image_id"]]
