"""The table of predictions: what is refused, what is derived from it, what is found in a folder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_predictions import binary_predictions, class_predictions
from second_look.catalogue import LABELS
from second_look.errors import DataError, OutputError
from second_look.evaluation.predictions import (
    CLASS_SCORES,
    SCHEMA,
    binary_scores,
    checked,
    classes,
    combine,
    from_classes,
    from_scores,
    load_all,
    positive,
    probabilities,
)
from second_look.files import write_parquet


@pytest.fixture
def by_class() -> pd.DataFrame:
    return class_predictions(patients=6, units_per_patient=2)


@pytest.fixture
def binary() -> pd.DataFrame:
    return binary_predictions(patients=6)


def test_a_good_table_passes_with_further_columns(by_class, binary):
    table = pd.concat([by_class, binary], ignore_index=True)
    pd.testing.assert_frame_equal(checked(table), table)
    assert {"architecture", "start"} <= set(checked(table).columns)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("split", "holdout", "split: .*'holdout'.* row 3"),
        ("unit", "pixel", "unit: .*'pixel'.* row 3"),
        ("target", "cancer", "target: .*'cancer'"),
        ("label", "cyst", "label: .*'cyst'"),
        ("patient_id", "", "patient_id: "),
        ("model", "", "model: "),
        ("seed", -1, "seed: "),
        ("score_normal", 1.5, "score_normal: .*1.5.* row 3"),
        ("score_normal", np.nan, "do not sum to one in row 3"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(by_class, column, value, message):
    by_class.loc[3, column] = value
    with pytest.raises(DataError, match=f"some.parquet: .*{message}"):
        checked(by_class, "some.parquet")


def test_probabilities_that_do_not_sum_to_one_are_named_with_their_rows(by_class):
    by_class.loc[[3, 5], list(CLASS_SCORES)] = 0.3
    with pytest.raises(DataError, match="do not sum to one in row 3, and 1 more rows"):
        checked(by_class)


def test_a_missing_column_is_named(by_class):
    with pytest.raises(DataError, match="score_benign"):
        checked(by_class.drop(columns="score_benign"))


def test_a_missing_score_is_named_with_its_row(binary):
    binary.loc[[4, 7], "score"] = np.nan
    with pytest.raises(DataError, match="no score in row 4, and 1 more rows"):
        checked(binary)


def test_sums_may_miss_one_by_the_rounding_of_half_precision(by_class):
    by_class[list(CLASS_SCORES)] = (
        by_class[list(CLASS_SCORES)].to_numpy().astype(np.float16).astype(float)
    )
    assert len(checked(by_class)) == len(by_class)


def test_classes_and_probabilities(by_class, binary):
    assert [LABELS[code] for code in classes(by_class)] == by_class["label"].tolist()
    assert classes(by_class).dtype == np.int64
    assert probabilities(by_class).shape == (12, 4)
    np.testing.assert_allclose(probabilities(by_class).sum(axis=1), 1)
    assert np.isnan(probabilities(binary)).all()


def test_what_counts_as_positive():
    assert positive(LABELS, "malignant").tolist() == [False, False, False, True]
    assert positive(LABELS, "lesion").tolist() == [False, True, True, True]
    with pytest.raises(ValueError, match="only"):
        positive(LABELS, "label")


def test_binary_scores_of_both_kinds_of_rows(by_class, binary):
    table = pd.concat([by_class, binary], ignore_index=True)
    result = binary_scores(table, "malignant")
    np.testing.assert_allclose(result[:12], by_class["score_malignant"])
    np.testing.assert_allclose(result[12:], binary["score"])
    np.testing.assert_allclose(binary_scores(by_class, "lesion"), 1 - by_class["score_normal"])
    with pytest.raises(ValueError, match="'lesion' cannot come from those for 'malignant'"):
        binary_scores(binary, "lesion")


def test_every_table_of_the_kind_in_a_folder_is_found(by_class, binary, tmp_path):
    write_parquet(tmp_path / "06_patches.parquet", by_class)
    write_parquet(tmp_path / "05_images.parquet", binary)
    write_parquet(tmp_path / "02_windows.parquet", pd.DataFrame({"image_id": ["a"], "row": [1]}))
    result = load_all(tmp_path)
    assert list(result) == ["05_images", "06_patches"]
    assert set(SCHEMA.columns) <= set(result["06_patches"].columns)
    pd.testing.assert_frame_equal(result["05_images"], binary, check_dtype=False)


def test_a_wrong_table_in_a_folder_is_named(binary, tmp_path):
    write_parquet(tmp_path / "05_images.parquet", binary.assign(score=2.0))
    with pytest.raises(DataError, match=r"05_images\.parquet: score: .*2\.0"):
        load_all(tmp_path)


def test_no_folder_says_what_to_run(tmp_path):
    with pytest.raises(OutputError, match="run the notebooks that write predictions"):
        load_all(tmp_path / "predictions")


# ------------------------------------------------------------------ made from models, combined


def units(*rows):
    columns = ["image_id", "patient_id", "laterality", "label"]
    table = pd.DataFrame(rows, columns=columns, index=range(5, 5 + len(rows)))
    return table.assign(dataset="d", split="test")


VIEWS = units(
    ("a", "p", "L", "normal"),
    ("b", "p", "L", "benign"),
    ("c", "p", "R", "malignant"),
    ("d", "q", "L", "benign_without_callback"),
)
SCORES = [0.2, 0.6, 0.5, 0.9]


def of_images(seed=1, model="m", **facts):
    return from_scores(
        VIEWS, SCORES, unit="image", target="malignant", model=model, seed=seed, **facts
    )


def test_probabilities_of_classes_become_a_table():
    shares = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    table = from_classes(VIEWS[:2], shares, unit="image", model="m", seed=2, start="random")
    np.testing.assert_array_equal(probabilities(table), shares)
    assert table.index.tolist() == [0, 1]
    assert table["score"].isna().all()
    assert table["laterality"].tolist() == ["L", "L"]
    facts = table[["unit", "target", "model", "seed", "start"]].drop_duplicates()
    assert facts.to_numpy().tolist() == [["image", "label", "m", 2, "random"]]
    with pytest.raises(DataError, match="do not sum to one in row 1"):
        from_classes(VIEWS[:2], [[1, 0, 0, 0], [1, 1, 0, 0]], unit="image", model="m", seed=2)


def test_one_score_a_unit_becomes_a_table():
    table = of_images(architecture="small")
    assert table["score"].tolist() == SCORES
    assert np.isnan(probabilities(table)).all()
    assert set(table["architecture"]) == {"small"}
    with pytest.raises(DataError, match="there is no score in row 0"):
        from_scores(VIEWS, [np.nan] * 4, unit="image", target="malignant", model="m", seed=1)


def test_views_of_a_breast_are_averaged_and_the_worse_label_counts():
    result = combine(of_images(), "breast").set_index(["patient_id", "laterality"])
    assert result["score"].to_dict() == pytest.approx(
        {("p", "L"): 0.4, ("p", "R"): 0.5, ("q", "L"): 0.9}
    )
    assert result["label"].tolist() == ["benign", "malignant", "benign_without_callback"]
    assert set(result["unit"]) == {"breast"}
    assert set(result["target"]) == {"malignant"}


def test_a_patient_is_as_suspicious_as_her_more_suspicious_breast():
    result = combine(of_images(architecture="small", start="x"), "patient").set_index("patient_id")
    assert result["score"].to_dict() == pytest.approx({"p": 0.5, "q": 0.9})
    assert result["label"].to_dict() == {"p": "malignant", "q": "benign_without_callback"}
    assert set(result["architecture"] + result["start"]) == {"smallx"}


def test_models_seeds_data_sets_and_splits_are_combined_apart():
    tables = [
        of_images(),
        of_images(seed=2),
        of_images(model="other"),
        of_images().assign(dataset="e"),
        of_images().assign(split="val"),
    ]
    result = combine(pd.concat(tables, ignore_index=True), "patient")
    assert len(result) == 5 * 2
    assert result.groupby("patient_id")["score"].nunique().tolist() == [1, 1]


def test_the_order_of_the_rows_changes_nothing():
    table = of_images()
    for unit in ("breast", "patient"):
        pd.testing.assert_frame_equal(combine(table[::-1], unit), combine(table, unit))


def test_only_breasts_and_patients_are_made_of_images():
    with pytest.raises(ValueError, match=r"unit must be one of .*'image'"):
        combine(of_images(), "image")
