"""CBIS-DDSM: small sets in its form, with every trap that the real one holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import real_data
from helpers.small_cbis import IMAGE, NAMES, Roi, drawn, picture, uid, write_dicom, write_set
from pydicom import dcmread
from second_look.catalogue import assign_splits, clean_official_split
from second_look.decoding.masks import read_mask
from second_look.errors import DataError, LeakageError, MissingDataError
from second_look.quarantine import Code
from second_look.sources.cbis_ddsm import find_csvs, read_cbis, read_descriptions


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def read(root, tmp_path):
    def read(*rois, **options):
        if rois:
            write_set(root, *rois)
        return read_cbis(root, tmp_path / "cache", **options)

    return read


def noted(catalogue):
    """(effect, reason) of each row of the quarantine."""
    return list(zip(catalogue.quarantine["effect"], catalogue.quarantine["reason"], strict=True))


def test_rows_become_images_and_lesions(read, root):
    catalogue = read(
        Roi("P_00001", "LEFT", "CC", pathology="BENIGN", density="2"),
        Roi("P_00001", "RIGHT", "MLO", split="test", subtlety="0", assessment="0"),
        Roi("P_00007", "LEFT", "CC", kind="calc", pathology="BENIGN_WITHOUT_CALLBACK"),
    )
    images, lesions = catalogue.images, catalogue.lesions
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
    assert catalogue.quarantine.empty


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
    catalogue = read(*rois)
    assert catalogue.images[["image_id", "label"]].to_numpy().tolist() == [
        ["P_00001_LEFT_CC", "malignant"]
    ]
    assert sorted(catalogue.lesions["lesion_id"].str.removeprefix("P_00001_LEFT_CC_")) == [
        "calcification_1",
        "calcification_3",
        "mass_1",
        "mass_2",
    ]
    assert catalogue.lesions["mask_path"].nunique() == 4
    assert rois[0].image in catalogue.images["path"].item()
    ((effect, reason),) = noted(catalogue)
    assert effect == "kept, corrected"
    assert reason.startswith("1 images have several files")
    assert reason.endswith(": P_00001_LEFT_CC")


def test_the_leak_of_the_merged_split_is_closed_by_cleaning(read):
    catalogue = read(
        Roi("P_1", view="CC", pathology="BENIGN"),
        Roi("P_1", view="CC", kind="calc", split="test"),
        Roi("P_1", view="MLO"),
        Roi("P_2"),
        Roi("P_3", split="test"),
    )
    split = dict(zip(catalogue.images["image_id"], catalogue.images["split"], strict=True))
    assert split == {
        "P_1_LEFT_CC": "test",
        "P_1_LEFT_MLO": "train",
        "P_2_LEFT_CC": "train",
        "P_3_LEFT_CC": "test",
    }
    assert (catalogue.lesions["image_id"] == "P_1_LEFT_CC").sum() == 2
    row = catalogue.quarantine[catalogue.quarantine["reason"].str.contains("CSV of the test set")]
    assert row[["image_id", "row"]].to_numpy().tolist() == [["P_1_LEFT_CC", "row 2"]]
    assert row["file"].item().endswith(NAMES["mass", "train"])
    with pytest.raises(LeakageError, match="P_1"):
        assign_splits(catalogue, seed=0, val_share=0.2, test_share=0.2)
    clean = clean_official_split(catalogue)
    assert sorted(clean.images["image_id"]) == ["P_1_LEFT_CC", "P_2_LEFT_CC", "P_3_LEFT_CC"]
    assert "P_1_LEFT_MLO" in set(clean.quarantine["image_id"])


def test_the_test_file_of_an_image_in_both_parts_is_used(read):
    rois = [Roi(), Roi(kind="calc", split="test")]
    catalogue = read(*rois)
    assert rois[1].image in catalogue.images["path"].item()


def test_the_patient_of_the_dicom_header_is_never_used(read, root):
    catalogue = read(Roi("P_00001", view="CC"), Roi("P_00001", view="MLO"))
    headers = {dcmread(path).PatientID for path in catalogue.images["path"]}
    assert len(headers) == 2  # it differs from view to view, as in the real files
    assert set(catalogue.images["patient_id"]) == {"P_00001"}


CROP, MASK = picture((9, 8), 16), drawn(IMAGE)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("series", ["one", "two"])
def test_mask_and_crop_are_told_apart_by_content(read, swapped, series):
    files = (MASK, CROP) if swapped else (CROP, MASK)
    roi = Roi(files=files, crop=uid(), mask=uid() if series == "two" else "")
    catalogue = read(roi)
    path = Path(catalogue.lesions["mask_path"].item())
    assert np.array_equal(dcmread(path).pixel_array, MASK)
    assert catalogue.quarantine.empty


def test_doubtful_masks_leave_the_lesion_without_a_place(read):
    image = uid()
    catalogue = read(
        Roi(image=image, files=(CROP, picture((10, 12), 16))),
        Roi(image=image, number="2", files=(CROP, drawn((60, 55)))),
        Roi(image=image, number="3", files=(CROP, drawn((58, 39)))),
    )
    lesions = catalogue.lesions.set_index("lesion_id")["mask_path"]
    assert [bool(path) for path in lesions] == [False, False, True]
    rows = catalogue.quarantine.set_index("lesion_id")
    assert rows.loc["P_00001_LEFT_CC_mass_1", ["effect", "row"]].tolist() == [
        "location unknown",
        "row 2",
    ]
    assert "as small as a crop" in rows.loc["P_00001_LEFT_CC_mass_1", "reason"]
    assert "mask of another image?" in rows.loc["P_00001_LEFT_CC_mass_2", "reason"]
    assert rows.loc["P_00001_LEFT_CC_mass_3", ["effect", "row"]].tolist() == [
        "kept, corrected",
        "row 4",
    ]
    resampled = read_mask(Path(lesions["P_00001_LEFT_CC_mass_3"]), *IMAGE)
    assert resampled.shape == IMAGE


def test_what_is_not_there_is_one_row_a_csv_and_kind_of_absence(read, root):
    rois = [Roi(f"P_{index:05d}") for index in range(1, 12)]
    rois += [Roi(f"P_{index:05d}", kind="calc", split="test") for index in range(21, 24)]
    write_set(root, *rois)
    for roi in rois[:7] + rois[12:13]:
        shutil.rmtree(root / f"{roi.kind.title()}-Training_{roi.key}")
    for roi in rois[8:10]:
        shutil.rmtree(root / f"{roi.kind.title()}-Training_{roi.key}_1")
    catalogue = read()
    assert len(catalogue.images) == 14 - 8
    assert list(catalogue.lesions["mask_path"] == "") == [False, True, True, False, False, False]
    listed = catalogue.quarantine[["file", "effect", "reason"]].to_numpy().tolist()
    mass, calc = (str(root.resolve() / NAMES[key]) for key in (("mass", "train"), ("calc", "test")))
    absent = "the series of {} are not among the files: "
    few = ", ".join(f"P_{index:05d}_LEFT_CC" for index in range(1, 6)) + " and 2 more"
    masks = "P_00009_LEFT_CC_mass_1, P_00010_LEFT_CC_mass_1"
    assert sorted(listed) == [
        [calc, "image left out", absent.format("1 images") + "P_00022_LEFT_CC"],
        [mass, "image left out", absent.format("7 images") + few],
        [mass, "location unknown", absent.format("2 masks") + masks],
    ]
    with pytest.raises(DataError, match="Correct it, or run without strict"):
        read(strict=True)


def test_without_csvs_or_images_the_error_says_how_to_get_them(read, root):
    root.mkdir()
    with pytest.raises(MissingDataError, match=r"mass_case_description_train_set.*https://doi.org"):
        read()
    write_set(root, Roi(), Roi("P_2", split="test"))
    for folder in root.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    with pytest.raises(MissingDataError, match=r"none of the 2 images.*second_look download cbis"):
        read()


def test_one_csv_of_four_is_enough_and_its_absence_shows(read, root):
    write_set(root, Roi("P_1"), Roi("P_2", split="test"))
    (root / NAMES["mass", "test"]).unlink()
    catalogue = read()
    assert list(catalogue.images["patient_id"]) == ["P_1"]
    (effect, reason), (label_effect, label_reason) = noted(catalogue)
    assert effect == "image left out"
    assert reason.startswith("3 files have no row in the CSVs: Mass-Training_P_2_LEFT_CC")
    assert label_effect == "kept, label uncertain"
    assert label_reason.startswith("without mass_case_description_test_set.csv, an image may hold")


def test_csvs_are_found_anywhere_once(read, root):
    write_set(root, Roi())
    deep = root / "tables" / "deep" / NAMES["mass", "train"]
    deep.parent.mkdir(parents=True)
    (root / deep.name).rename(deep)
    assert len(find_csvs(root)) == 4
    assert find_csvs(root)[deep.name] == deep
    shutil.copy(deep, root / deep.name)
    assert find_csvs(root)[deep.name] == root / deep.name
    assert len(read().images) == 1
    deep.write_text("other")
    with pytest.raises(DataError, match=r"deep.*differs from .*Keep only the right one"):
        read()


def test_two_downloads_side_by_side_are_one(read, root):
    write_set(root, Roi())
    shutil.copytree(root / "Mass-Training_P_00001_LEFT_CC", root / "again" / "image")
    shutil.copytree(root / "Mass-Training_P_00001_LEFT_CC_1", root / "again" / "roi")
    catalogue = read()
    assert len(catalogue.images) == len(catalogue.lesions) == 1
    assert "again" not in catalogue.images["path"].item()
    ((effect, reason),) = noted(catalogue)
    assert (effect, reason[:27]) == ("kept, corrected", "3 files are copies of other")
    # A whole copy stands in for a truncated one.
    path = Path(catalogue.images["path"].item())
    path.write_bytes(path.read_bytes()[:-500])
    assert "again" in read().images["path"].item()


def test_broken_files_are_named(read, root):
    rois = [Roi("P_1"), Roi("P_2"), Roi("P_3")]
    write_set(root, *rois)
    image = root / "Mass-Training_P_1_LEFT_CC" / rois[0].image / "000000.dcm"
    image.write_bytes(image.read_bytes()[:-1000])
    mask = root / "Mass-Training_P_2_LEFT_CC_1" / rois[1].mask / "000001.dcm"
    mask.write_bytes(mask.read_bytes()[:-1500])
    (root / "page.dcm").write_text("<html>not found</html>")
    catalogue = read()
    assert list(catalogue.images["patient_id"]) == ["P_2", "P_3"]
    rows = catalogue.quarantine.set_index("effect")
    assert rows.loc["location unknown", "lesion_id"] == "P_2_LEFT_CC_mass_1"
    assert "000001.dcm: truncated" in rows.loc["location unknown", "reason"]
    left_out = rows.loc["image left out"].set_index("image_id")
    assert left_out.loc["P_1_LEFT_CC", "file"] == str(image.resolve())
    assert "truncated: expected 5" in left_out.loc["P_1_LEFT_CC", "reason"]
    assert "1 files cannot be read: page.dcm" in left_out.loc["", "reason"]


def test_an_image_with_an_unusable_row_is_left_out(read):
    image = uid()
    catalogue = read(
        Roi(image=image, pathology="BENIGN"),
        Roi(image=image, number="2", pathology="UNPROVEN"),
        Roi("P_2"),
    )
    assert list(catalogue.images["patient_id"]) == ["P_2"]
    row = catalogue.quarantine.iloc[0]
    assert row[["image_id", "row", "effect", "reason"]].tolist() == [
        "P_00001_LEFT_CC",
        "row 3",
        "image left out",
        "unknown pathology 'UNPROVEN'",
    ]
    with pytest.raises(DataError, match=r"train_set\.csv row 3: unknown pathology"):
        read(strict=True)


def test_a_row_that_stands_twice_makes_one_lesion(read):
    roi = Roi()
    catalogue = read(roi, roi, Roi(number="2", image=roi.image))
    assert catalogue.lesions["lesion_id"].tolist() == [
        "P_00001_LEFT_CC_mass_1",
        "P_00001_LEFT_CC_mass_2",
    ]
    quarantine = catalogue.quarantine.set_index("code")
    assert quarantine.loc[Code.DESCRIPTION_REPEATED, "row"] == "row 3"
    assert "repeats row 2" in quarantine.loc[Code.DESCRIPTION_REPEATED, "reason"]


def test_odd_values_are_mended_and_said(read):
    image = uid()
    catalogue = read(
        Roi("P_1", density="0", assessment="9"),
        Roi("P_2", image=image, density="2"),
        Roi("P_2", image=image, density="3"),
    )
    assert list(catalogue.images["density"]) == ["", "2"]
    assert catalogue.lesions["assessment"].isna().tolist() == [True, False, False]
    texts = [reason for effect, reason in noted(catalogue) if effect == "kept, corrected"]
    assert any("density '0' is none of 1, 2, 3, 4" in text for text in texts)
    assert any("assessment '9'" in text for text in texts)
    assert any("give the densities 2, 3; the first is taken" in text for text in texts)
    assert any("is called P_2_LEFT_CC_mass_1_2" in text for text in texts)
    assert set(catalogue.lesions["lesion_id"]) >= {"P_2_LEFT_CC_mass_1", "P_2_LEFT_CC_mass_1_2"}


@pytest.mark.real_data
def test_the_real_folder_names_of_the_retriever_are_found(tmp_path):
    """Every 85th of the real ROIs in its real folder: the join is by header, not by name."""
    folder = real_data("cbis-ddsm/nbia-metadata-rois.csv") / "cbis-ddsm"
    csvs = [folder / name for name in NAMES.values()]
    rois = read_descriptions(csvs).iloc[::85]
    lines = (folder / "nbia-metadata-rois.csv").read_text().splitlines()[1:]
    location = {line.split('","')[0].strip('"'): line.split('","')[-1].strip('"') for line in lines}
    for path in csvs:
        shutil.copy(path, tmp_path)
    for index, roi in enumerate(rois.itertuples()):
        write_dicom(tmp_path / f"images/{index}.dcm", roi.image_series, uid(), picture(IMAGE, 16))
        # The mask is the second file of the series here and the first there.
        one_series = roi.crop_series == roi.mask_series
        files = [(roi.crop_series, CROP), (roi.mask_series, MASK)][:: 1 if index % 2 else -1]
        for number, (series, pixels) in enumerate(files, start=1):
            name = f"1-{number if one_series else 1}.dcm"
            full_path = location[series].replace("\\", "/") + f"/{name}"
            write_dicom(tmp_path / full_path, series, uid(), pixels)
    catalogue = read_cbis(tmp_path, tmp_path / "cache")
    assert len(rois) > 40
    assert set(catalogue.images["image_id"]) == set(rois["image_key"])
    expected_ids = {f"{roi.image_key}_{roi.kind}_{roi.abnormality_id}" for roi in rois.itertuples()}
    masks = catalogue.lesions.set_index("lesion_id")["mask_path"]
    assert set(masks.index[masks != ""]) == expected_ids
    assert all(dcmread(path).BitsAllocated == 8 for path in masks[masks != ""])
