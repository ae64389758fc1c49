"""Flow of patients, baseline table and reference standard of a data set whose counts are known."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from second_look.catalogue import SPLITS
from second_look.figures.cohort import flow as draw_flow
from second_look.quarantine import Code
from second_look.studies.survey import cohort


def _left_out(image_id: str, code: Code, file: str = "a.png") -> dict[str, str]:
    return {
        "dataset": "phantom",
        "image_id": image_id,
        "file": file,
        "effect": cohort.LEFT_OUT,
        "code": code.value,
        "reason": "for the test",
    }


@pytest.fixture(scope="module")
def with_exclusions(phantom_data):
    """The phantoms and four images that were left out, one of them for two reasons."""
    rows = [
        _left_out("x1", Code.IMAGE_UNUSABLE),
        _left_out("x1", Code.LABEL_UNKNOWN),
        _left_out("x2", Code.PATIENT_IN_TEST_SET),
        _left_out("", Code.IMAGE_UNUSABLE, "b.png"),
        _left_out("", Code.IMAGE_UNUSABLE, "c.png"),
    ]
    return replace(phantom_data, catalogue=phantom_data.catalogue.with_quarantine(rows))


def test_every_image_is_used_or_left_out_for_one_reason(with_exclusions):
    table = cohort.flow(with_exclusions).set_index(["stage", "reason"])["images"]
    used = len(with_exclusions.catalogue.images)
    assert table[cohort.READ, ""] == used + 4
    assert table[cohort.USED, ""] == used == sum(table[split, ""] for split in SPLITS)
    assert table[cohort.EXCLUDED, Code.IMAGE_UNUSABLE.text] == 3
    assert table[cohort.EXCLUDED, Code.PATIENT_IN_TEST_SET.text] == 1


def test_the_diagram_names_every_split_and_reason(with_exclusions):
    figure = draw_flow(cohort.flow(with_exclusions))
    texts = " ".join(text.get_text() for text in figure.axes[0].texts)
    plt.close(figure)
    assert all(word in texts for word in ("training", "validation", "test", "official test set"))
    assert "4 images left out" in texts


def test_the_baseline_table_counts_what_the_catalogue_holds(phantom_data):
    table = cohort.baseline(phantom_data).set_index(["characteristic", "level"])
    images = phantom_data.catalogue.images
    assert table.loc[("images", ""), "all"] == f"{len(images)}"
    malignant = (images["split"] == "test") & (images["label"] == "malignant")
    cell = table.loc[("worst label of the image", "malignant"), "test"]
    assert cell.startswith(f"{malignant.sum()} (")
    shares = table.loc["view", "train"].str.extract(r"\((\d+) %\)")[0].astype(int)
    assert shares.sum() == pytest.approx(100, abs=1)
    assert table.loc[("age, ethnicity, scanner", ""), "all"] == "not recorded"


def test_a_median_says_how_many_values_are_missing():
    assert cohort._median(pd.Series([1.0, 2.0, 3.0, None])) == "2 [1.5, 2.5], 1 unknown"
    assert cohort._median(pd.Series([None], dtype=float)) == "not given"


def test_the_standard_of_a_user_s_folder_is_not_invented(phantom_data):
    images = phantom_data.catalogue.images.assign(dataset="clinic")
    renamed = replace(phantom_data, catalogue=replace(phantom_data.catalogue, images=images))
    assert "not known" in cohort.reference_standards(renamed)["labels"].item()
    assert "no patient" in cohort.reference_standards(phantom_data)["labels"].item()


def test_the_test_patients_are_counted_not_their_images(phantom_data):
    table, statement = cohort.expected_precision(phantom_data)
    test = phantom_data.catalogue.images.query("split == 'test'")
    patients = int(table[["positive_patients", "negative_patients"]].iloc[0].sum())
    assert patients == test["patient_id"].nunique() < len(test)
    assert "malignancy: 1, without: 3. No AUC gets an interval" in statement
