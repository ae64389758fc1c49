"""Catalogue, splits and quarantine against small tables whose right answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from second_look import catalogue as cat
from second_look.catalogue import Catalogue
from second_look.errors import DataError, LeakageError

SHARES = {"val_share": 0.2, "test_share": 0.2}


def image(image_id="a", patient_id="p", label="normal", **columns):
    row = {"image_id": image_id, "dataset": "set", "patient_id": patient_id, "rows": 100}
    return row | {"cols": 80, "bits": 8, "label": label, "path": f"{image_id}.png"} | columns


def lesion(lesion_id="l", image_id="a", pathology="benign", box=(10, 20, 30, 40), **columns):
    row = {"lesion_id": lesion_id, "image_id": image_id, "kind": "mass", "pathology": pathology}
    names = ("row_min", "col_min", "row_max", "col_max")
    return row | dict(zip(names, box, strict=True)) | columns


def many(count, labels=("normal", "benign", "malignant"), per_patient=4, **columns):
    return Catalogue.from_rows(
        image(f"i{n}", f"p{n // per_patient}", labels[n // per_patient % len(labels)], **columns)
        for n in range(count)
    )


def test_empty_cells_are_filled_by_kind():
    catalogue = Catalogue.from_rows([image(label="benign")], [lesion(box=(np.nan,) * 4)])
    assert catalogue.images.loc[0, "laterality"] == ""
    assert np.isnan(catalogue.images.loc[0, "pixel_spacing_mm"])
    assert catalogue.lesions.loc[0, "assessment"] is pd.NA
    assert catalogue.lesions.loc[0, "mask_path"] == ""


def test_saved_and_loaded_catalogue_is_the_same(tmp_path):
    catalogue = Catalogue.from_rows(
        [image(label="benign", density="3")],
        [lesion(assessment=4)],
        [
            {
                "dataset": "set",
                "file": "x.png",
                "effect": "image left out",
                "code": "image_unusable",
                "reason": "truncated",
            }
        ],
    )
    assert len(catalogue.save(tmp_path)) == 3
    again = Catalogue.load(tmp_path)
    for name in ("images", "lesions", "quarantine"):
        pd.testing.assert_frame_equal(getattr(catalogue, name), getattr(again, name))


def test_a_table_that_passed_is_looked_at_again_only_if_it_has_changed(monkeypatch):
    catalogue = Catalogue.from_rows([image(label="benign", bits=12)], [lesion(assessment=4)])
    checks = []
    validate = pa.DataFrameSchema.validate
    monkeypatch.setattr(
        pa.DataFrameSchema, "validate", lambda *a, **k: checks.append(a) or validate(*a, **k)
    )
    passed = catalogue.checked()
    assert checks == []
    passed.images.loc[0, "view"] = "CC"
    assert catalogue.images.loc[0, "view"] == "", "not the same table"
    passed.checked()
    assert len(checks) == 1
    table = catalogue.images
    for changed in (
        table.assign(label="bonign"),
        table.assign(bits=17),
        table.assign(image_id=""),
        table.rename(columns={"view": "side"}),
        table[table.columns[::-1]],
        table.astype({"rows": object}).assign(rows=["many"]),
        pd.concat([table, table]),
    ):
        with pytest.raises(DataError):
            replace(catalogue, images=changed).checked()
    as_objects = replace(catalogue, images=table.astype(object))
    count = len(checks)
    pd.testing.assert_frame_equal(as_objects.checked().images, table)
    pd.testing.assert_frame_equal(as_objects.checked().images, table)
    assert len(checks) == count + 2, "types are made by the check"


@pytest.mark.parametrize(
    ("rows", "lesions", "words"),
    [
        ([image(), image()], [], "image_id"),
        ([image(label="bonign")], [], "bonign"),
        ([image(rows=0)], [], "rows"),
        ([image(bits=17)], [], "bits"),
        ([image(laterality="left")], [], "laterality"),
        ([image(split="training")], [], "split"),
        ([image()], [lesion(image_id="b")], "without an image: l"),
        ([image(label="normal")], [lesion()], "not the worst of the image's lesions: a"),
        ([image(label="benign")], [lesion(box=(10, 20, 101, 40))], "reaches outside the image: l"),
        ([image(label="benign")], [lesion(box=(10, 20, 10, 40))], "the box is empty"),
        ([image(label="benign")], [lesion(kind="lump")], "lump"),
        ([image(label="benign")], [lesion(assessment=7)], "assessment"),
        ([image(colour="red")], [], "colour"),
    ],
)
def test_what_breaks_the_contract_is_named(rows, lesions, words):
    with pytest.raises(DataError, match=words):
        Catalogue.from_rows(rows, lesions)


def test_worst_label_follows_the_order_of_suspicion():
    assert cat.worst([]) == "normal"
    assert cat.worst(["benign", "malignant", "benign_without_callback"]) == "malignant"
    assert cat.worst(["benign_without_callback", "benign"]) == "benign"


def test_merge_keeps_everything_and_refuses_equal_ids():
    first, second = Catalogue.from_rows([image("a")]), Catalogue.from_rows([image("b")])
    assert list(cat.merge([first, second]).images["image_id"]) == ["a", "b"]
    with pytest.raises(DataError, match="image_id"):
        cat.merge([first, first])
    with pytest.raises(DataError, match="no catalogue"):
        cat.merge([])


def test_leaving_an_image_out_takes_its_lesions_along():
    catalogue = Catalogue.from_rows(
        [image("a", label="benign"), image("b", label="benign")],
        [lesion("l1", "a"), lesion("l2", "b")],
    ).without_images(["a"])
    assert list(catalogue.images["image_id"]) == ["b"]
    assert list(catalogue.lesions["lesion_id"]) == ["l2"]


def test_a_patient_in_two_splits_stops_the_run_and_is_named():
    leaking = Catalogue.from_rows([image("a", split="train"), image("b", split="test")])
    with pytest.raises(LeakageError, match="1 patients are in more than one split: p"):
        cat.check_no_patient_leak(leaking.images)
    with pytest.raises(LeakageError):
        cat.assign_splits(leaking, seed=0, **SHARES)


def test_equal_patient_names_of_two_data_sets_are_two_patients():
    images = pd.DataFrame([image("a", split="train"), image("b", split="test", dataset="other")])
    cat.check_no_patient_leak(images)
    with pytest.raises(LeakageError, match="1 patients are in more than one split: p"):
        cat.check_no_patient_leak(images.assign(dataset="set"))


def test_cleaning_drops_the_leaking_patients_from_training_only():
    rows = [
        image("a", "p1", split="train"),
        image("b", "p1", split="test"),
        image("c", "p2", split="train"),
        image("d", "p3", split="test"),
    ]
    cleaned = cat.clean_official_split(Catalogue.from_rows(rows))
    assert list(cleaned.images["image_id"]) == ["b", "c", "d"]
    assert list(cleaned.quarantine["image_id"]) == ["a"]
    assert "p1" in cleaned.quarantine.loc[0, "reason"]
    cat.check_no_patient_leak(cleaned.images)


def test_official_test_set_stays_and_validation_comes_from_training():
    rows = [image(f"i{n}", f"p{n}", split="test" if n < 20 else "train") for n in range(100)]
    split = cat.assign_splits(
        Catalogue.from_rows(rows), seed=3, val_share=0.25, test_share=0.2
    ).images
    assert set(split.loc[split["split"] == "test", "image_id"]) == {f"i{n}" for n in range(20)}
    assert (split["split"] == "val").sum() == 20
    assert (split["split"] == "train").sum() == 60


def test_half_given_splits_are_refused():
    with pytest.raises(DataError, match="1 of 2 images have no split"):
        cat.assign_splits(
            Catalogue.from_rows([image("a", "p", split="train"), image("b", "q")]), seed=0, **SHARES
        )


def test_a_catalogue_of_another_version_is_refused_with_the_remedy(tmp_path):
    many(8).save(tmp_path)
    path = tmp_path / "quarantine.parquet"
    pd.read_parquet(path).drop(columns="code").to_parquet(path)
    with pytest.raises(DataError, match=r"table quarantine: .*code.*Run notebook 01"):
        Catalogue.load(tmp_path)


def test_splits_do_not_depend_on_the_order_of_rows():
    catalogue = many(120)
    mixed = Catalogue(
        catalogue.images.sample(frac=1, random_state=1), catalogue.lesions, catalogue.quarantine
    )
    first = cat.assign_splits(catalogue, seed=5, **SHARES).images.set_index("image_id")["split"]
    second = cat.assign_splits(mixed, seed=5, **SHARES).images.set_index("image_id")["split"]
    pd.testing.assert_series_equal(first, second.reindex(first.index))
    reseeded = cat.assign_splits(catalogue, seed=6, **SHARES).images.set_index("image_id")["split"]
    assert (first != reseeded).any()


@pytest.fixture(scope="module")
def sixty_patients():
    return many(120, per_patient=2)


@given(patients=st.integers(3, 60), seed=st.integers(0, 99))
def test_every_image_has_one_split_and_every_patient_too(sixty_patients, patients, seed):
    # The first images of one checked catalogue: building another takes longer than splitting it.
    images = sixty_patients.images.head(2 * patients)
    split = cat.assign_splits(replace(sixty_patients, images=images), seed=seed, **SHARES).images
    assert len(split) == 2 * patients
    assert split["split"].isin(cat.SPLITS).all()
    assert (split.groupby("patient_id")["split"].nunique() == 1).all()


def test_split_shares_hold_within_every_label():
    split = cat.assign_splits(many(1200), seed=0, val_share=0.2, test_share=0.1)
    counts = cat.split_counts(split.images).set_index(["split", "label"])["patients"]
    for label in ("normal", "benign", "malignant"):
        assert [counts[name, label] for name in cat.SPLITS] == [70, 20, 10]
    assert counts["train", "benign_without_callback"] == 0


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ValueError, match="leave something to train on"):
        cat.assign_splits(many(8), seed=0, val_share=0.5, test_share=0.5)
