"""CBIS-DDSM: small sets in its form, with every trap that the real one holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from second_look.catalogue import assign_splits, clean_official_split
from second_look.errors import LeakageError
from second_look.pixels import read_mask
from second_look.sources.cbis_ddsm import read_cbis
from small_cbis import IMAGE, NAMES, Roi, drawn, picture, uid, write_set


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def read(root, tmp_path):
    def read(*rois, **more):
        if rois:
            write_set(root, *rois)
        return read_cbis(root, tmp_path / "cache", **more)

    return read


def noted(found):
    """(effect, reason) of each row of the quarantine."""
    return list(zip(found.quarantine["effect"], found.quarantine["reason"], strict=True))


def test_rows_become_images_and_lesions(read, root):
    found = read(
        Roi("P_00001", "LEFT", "CC", pathology="BENIGN", density="2"),
        Roi("P_00001", "RIGHT", "MLO", split="test", subtlety="0", assessment="0"),
        Roi("P_00007", "LEFT", "CC", kind="calc", pathology="BENIGN_WITHOUT_CALLBACK"),
    )
    images, lesions = found.images, found.lesions
    assert list(images["image_id"]) == ["P_00001_LEFT_CC", "P_00001_RIGHT_MLO", "P_00007_LEFT_CC"]
    assert list(images["patient_id"]) == ["P_00001", "P_00001", "P_00007"]
    assert list(images["laterality"]) == ["L", "R", "L"]
    assert list(images["view"]) == ["CC", "MLO", "CC"]
    assert list(images["label"]) == ["benign", "malignant", "benign_without_callback"]
    assert list(images["split"]) == ["train", "test", "train"]
    assert list(images["density"]) == ["2", "3", "3"]
    assert (images[["rows", "cols", "bits"]] == [*IMAGE, 16]).all(axis=None)
    assert images["pixel_spacing_mm"].isna().all()
    assert list(lesions["lesion_id"]) == [
        "P_00001_LEFT_CC_mass_1",
        "P_00001_RIGHT_MLO_mass_1",
        "P_00007_LEFT_CC_calcification_1",
    ]
    assert list(lesions["kind"]) == ["mass", "mass", "calcification"]
    assert lesions.loc[1, ["assessment", "subtlety"]].tolist() == [0, 0]
    assert lesions[["row_min", "col_max", "circle_radius", "area_px"]].isna().all(axis=None)
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in images["path"])
    for path in lesions["mask_path"]:
        assert Path(path).is_absolute()
        assert np.array_equal(read_mask(Path(path), *IMAGE), drawn(IMAGE) > 0)
    assert found.quarantine.empty


def test_an_image_is_the_union_of_its_rows(read):
    """First-row labelling would call this image benign, and lose three of its lesions."""
    image = uid()
    rois = [
        Roi(image=image, pathology="BENIGN"),
        Roi(image=image, number="2", pathology="MALIGNANT"),
        Roi(kind="calc", pathology="BENIGN_WITHOUT_CALLBACK"),
        Roi(kind="calc", number="3", pathology="BENIGN"),
    ]
    rois[3].image = rois[2].image
    found = read(*rois)
    assert found.images[["image_id", "label"]].to_numpy().tolist() == [
        ["P_00001_LEFT_CC", "malignant"]
    ]
    assert sorted(found.lesions["lesion_id"].str.removeprefix("P_00001_LEFT_CC_")) == [
        "calcification_1",
        "calcification_3",
        "mass_1",
        "mass_2",
    ]
    assert found.lesions["mask_path"].nunique() == 4
    assert rois[0].image in found.images["path"].item()
    ((effect, reason),) = noted(found)
    assert effect == "kept, mended"
    assert reason.startswith("1 images have several files")
    assert reason.endswith(": P_00001_LEFT_CC")


def test_the_leak_of_the_merged_split_is_closed_by_cleaning(read):
    found = read(
        Roi("P_1", view="CC", pathology="BENIGN"),
        Roi("P_1", view="CC", kind="calc", split="test"),
        Roi("P_1", view="MLO"),
        Roi("P_2"),
        Roi("P_3", split="test"),
    )
    split = dict(zip(found.images["image_id"], found.images["split"], strict=True))
    assert split == {
        "P_1_LEFT_CC": "test",
        "P_1_LEFT_MLO": "train",
        "P_2_LEFT_CC": "train",
        "P_3_LEFT_CC": "test",
    }
    assert (found.lesions["image_id"] == "P_1_LEFT_CC").sum() == 2
    row = found.quarantine[found.quarantine["reason"].str.contains("official test set too")]
    assert row[["image_id", "row"]].to_numpy().tolist() == [["P_1_LEFT_CC", "row 2"]]
    assert row["file"].item().endswith(NAMES["mass", "train"])
    with pytest.raises(LeakageError, match="P_1"):
        assign_splits(found, seed=0)
    clean = clean_official_split(found)
    assert sorted(clean.images["image_id"]) == ["P_1_LEFT_CC", "P_2_LEFT_CC", "P_3_LEFT_CC"]
    assert "P_1_LEFT_MLO" in set(clean.quarantine["image_id"])


def test_the_test_file_of_an_image_in_both_parts_is_used(read):
    rois = [Roi(), Roi(kind="calc", split="test")]
    found = read(*rois)
    assert rois[1].image in found.images["path"].item()


def test_the_patient_of_the_dicom_header_is_never_used(read, root):
    found = read(Roi("P_00001", view="CC"), Roi("P_00001", view="MLO"))
    headers = {dcmread(path).PatientID for path in found.images["path"]}
    assert len(headers) == 2  # it differs from view to view, as in the real files
    assert set(found.images["patient_id"]) == {"P_00001"}


CROP, MASK = picture((9, 8), 16), drawn(IMAGE)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("series", ["one", "two"])
def test_mask_and_crop_are_told_apart_by_content(read, swapped, series):
    files = (MASK, CROP) if swapped else (CROP, MASK)
    roi = Roi(files=files, crop=uid(), mask=uid() if series == "two" else "")
    found = read(roi)
    path = Path(found.lesions["mask_path"].item())
    assert np.array_equal(dcmread(path).pixel_array, MASK)
    assert found.quarantine.empty
