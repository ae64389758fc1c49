"""Every known fault of CBIS-DDSM is really there in the phantoms that ask for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
from helpers.cbis_on_disk import SETS, Written, key_of, write
from PIL import Image
from second_look.decoding.pixels import read_pixels
from second_look.errors import DataError
from second_look.phantoms.cbis import FAULTS, LAYOUTS, Planted
from second_look.phantoms.cbis_plan import plan_views
from second_look.phantoms.phantom import PhantomSettings, draw_image

MANY = PhantomSettings(patients=36, rows=256, cols=208, seed=3)
PATHS = ("image file path", "cropped image file path", "ROI mask file path")
Test = TypeVar("Test", bound=Callable[..., Any])


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> Written:
    """All faults, each in another breast, in the classic layout, where CSV paths are real ones."""
    return write(tmp_path_factory.mktemp("faulty"), MANY, faults=FAULTS)


def only(faulty: Written, fault: str, count: int = 2) -> list[Planted]:
    """The lesions with a fault, `count` of them: by default one in each view."""
    planted = faulty.with_fault(fault)
    assert len(planted) == count
    return planted


def malignant(planted: Planted) -> bool:
    return planted.pathology == "malignant"


def by_view(planted: list[Planted]) -> list[list[Planted]]:
    return [[lesion for lesion in planted if lesion.view == view] for view in ("CC", "MLO")]


def shows(*faults: str) -> Callable[[Test], Test]:
    """Says of a test which faults it shows, so that one without a test is seen."""

    def marked(test: Test) -> Test:
        test.faults = faults
        return test

    return marked


class TestEveryFault:
    @shows("several_rois")
    def test_several_rois_of_one_image_have_a_row_and_a_mask_each(self, faulty):
        for view in by_view(only(faulty, "several_rois", 6)):
            assert [lesion.abnormality_id for lesion in view] == [1, 2, 3]
            assert len({lesion.image_series for lesion in view}) == 1
            assert len({lesion.mask_series for lesion in view}) == 3
            assert {faulty.row(lesion)["image file path"] for lesion in view} == {
                next(iter(faulty.series[view[0].image_series]))
            }
            masks = [faulty.mask_file(lesion).pixel_array > 0 for lesion in view]
            # Not the same place three times: the union is larger than any one of them.
            assert np.any(masks, axis=0).sum() > 1.5 * max(mask.sum() for mask in masks)

    @shows("mixed_pathology")
    def test_one_image_has_a_benign_row_before_a_malignant_one(self, faulty):
        for view in by_view(only(faulty, "mixed_pathology", 4)):
            rows = [faulty.row(lesion) for lesion in view]
            assert [row["pathology"] for row in rows] == ["BENIGN", "MALIGNANT"]
            order = [row for row in faulty.rows[view[0].kind, view[0].split] if row in rows]
            assert order == rows

    @shows("in_both_csvs")
    def test_an_image_in_both_csvs_is_two_files_with_the_same_pixels(self, faulty):
        for view in by_view(only(faulty, "in_both_csvs", 4)):
            mass, calcification = view
            assert (mass.kind, calcification.kind) == ("mass", "calcification")
            assert mass.image_key == calcification.image_key
            assert mass.split == calcification.split
            assert mass.abnormality_id == calcification.abnormality_id == 1
            assert malignant(mass)
            assert not malignant(calcification)
            (mass_file,), (calcification_file,) = (
                faulty.files(lesion.image_series) for lesion in view
            )
            assert mass_file.SOPInstanceUID != calcification_file.SOPInstanceUID
            assert mass_file.StudyInstanceUID != calcification_file.StudyInstanceUID
            assert np.array_equal(mass_file.pixel_array, calcification_file.pixel_array)
            masks = [faulty.mask_file(lesion).pixel_array for lesion in view]
            assert not np.array_equal(*masks)

    @shows("leaking_image")
    def test_a_training_image_of_a_mass_is_a_test_image_of_a_calcification(self, faulty):
        for mass, calcification in by_view(only(faulty, "leaking_image", 4)):
            assert mass.image_key == calcification.image_key
            assert (mass.kind, mass.split) == ("mass", "train")
            assert (calcification.kind, calcification.split) == ("calcification", "test")
            assert faulty.row(mass)["image file path"].startswith("Mass-Training_")
            assert faulty.row(calcification)["image file path"].startswith("Calc-Test_")

    @shows("leaking_patient")
    def test_a_patient_has_one_breast_in_training_and_one_in_test(self, faulty):
        planted = only(faulty, "leaking_patient", 4)
        assert len({lesion.image_key[:7] for lesion in planted}) == 1
        assert len({lesion.image_key for lesion in planted}) == 4
        kinds = {(lesion.breast.laterality, lesion.kind, lesion.split) for lesion in planted}
        assert {kind[1:] for kind in kinds} == {("mass", "train"), ("calcification", "test")}
        assert len(kinds) == 2

    @shows("one_view_only")
    def test_a_patient_may_have_one_view_and_no_other(self, faulty):
        (planted,) = only(faulty, "one_view_only", 1)
        assert planted.view == "CC"
        keys = [key_of(row) for kind_and_split in SETS for row in faulty.rows[kind_and_split]]
        assert [key for key in keys if key[:7] == planted.image_key[:7]] == [planted.image_key]

    @shows("density_zero")
    def test_a_density_may_be_0(self, faulty):
        for lesion in only(faulty, "density_zero"):
            row = faulty.row(lesion)
            assert (row.get("breast_density") or row.get("breast density")) == "0"

    @shows("subtlety_zero")
    def test_a_subtlety_may_be_0(self, faulty):
        assert {faulty.row(lesion)["subtlety"] for lesion in only(faulty, "subtlety_zero")} == {"0"}

    @shows("assessment_zero_malignant", "assessment_two_malignant")
    @pytest.mark.parametrize(
        ("fault", "grade"), [("assessment_zero_malignant", "0"), ("assessment_two_malignant", "2")]
    )
    def test_a_malignant_lesion_may_have_assessment_0_or_2(self, faulty, fault, grade):
        for lesion in only(faulty, fault):
            row = faulty.row(lesion)
            assert (row["assessment"], row["pathology"]) == (grade, "MALIGNANT")

    @shows("unknown_pathology")
    def test_a_pathology_may_be_unproven(self, faulty):
        for lesion in only(faulty, "unknown_pathology"):
            assert faulty.row(lesion)["pathology"] == "UNPROVEN"

    @shows("swapped_columns")
    def test_the_paths_of_mask_and_crop_may_be_swapped(self, faulty):
        for lesion in only(faulty, "swapped_columns"):
            row = {name: cell.strip() for name, cell in faulty.row(lesion).items()}
            files = faulty.series[lesion.mask_series]
            assert files[row["cropped image file path"]].BitsAllocated == 8
            assert files[row["ROI mask file path"]].BitsAllocated == 16

    @shows("both_000000")
    def test_mask_and_crop_may_have_one_file_name_in_two_series(self, faulty):
        for lesion in only(faulty, "both_000000"):
            row = {name: cell.strip() for name, cell in faulty.row(lesion).items()}
            crop, mask = row["cropped image file path"], row["ROI mask file path"]
            assert crop.endswith("/000000.dcm")
            assert mask.endswith("/000000.dcm")
            assert lesion.crop_series != lesion.mask_series
            assert crop.split("/")[1] != mask.split("/")[1]
            assert list(faulty.series[lesion.crop_series]) == [crop]
            assert list(faulty.series[lesion.mask_series]) == [mask]
            assert faulty.mask_file(lesion).SeriesDescription == "ROI mask images"

    @shows("wrong_description")
    def test_the_descriptions_of_mask_and_crop_may_be_swapped(self, faulty):
        for lesion in only(faulty, "wrong_description"):
            assert faulty.mask_file(lesion).SeriesDescription == "cropped images"
            assert faulty.crop_file(lesion).SeriesDescription == "ROI mask images"

    @shows("no_description")
    def test_a_mammogram_may_have_no_description_and_no_date(self, faulty):
        for lesion in only(faulty, "no_description"):
            (full,) = faulty.files(lesion.image_series)
            assert "SeriesDescription" not in full
            assert (full.StudyDate, full.PatientID) == ("", f"{lesion.image_key}.dcm")
            assert full.BodyPartExamined == f"{lesion.image_key.split('_')[2].title()} Breast"
            assert np.array_equal(full.pixel_array, faulty.drawn_image(lesion))

    @shows("other_patient_id")
    def test_a_mask_may_have_another_patient_id_than_its_crop(self, faulty):
        for lesion in only(faulty, "other_patient_id"):
            mask, crop = faulty.mask_file(lesion), faulty.crop_file(lesion)
            assert mask.PatientID == f"{lesion.image_key}_1.dcm"
            assert "SeriesDescription" not in mask
            assert mask.SeriesInstanceUID == crop.SeriesInstanceUID
            assert crop.PatientID == faulty.row(lesion)["ROI mask file path"].split("/")[0]

    @shows("mask_other_size")
    def test_a_mask_may_have_another_size_than_its_image(self, faulty):
        # 256 / 1.149 and 208 / 1.149; 256 * 4688 / 4624 and 208 * 3088 / 3056.
        for lesion, shape in zip(
            only(faulty, "mask_other_size"), [(223, 181), (260, 210)], strict=True
        ):
            stored = faulty.mask_file(lesion).pixel_array
            assert stored.shape == shape
            drawn = Image.fromarray(faulty.drawn_mask(lesion).astype(np.uint8) * 255)
            resized = drawn.resize(shape[::-1], Image.Resampling.NEAREST)
            assert np.array_equal(stored, np.asarray(resized))

    @shows("mask_and_crop_small")
    def test_a_mask_may_be_as_small_as_its_crop(self, faulty):
        for lesion in only(faulty, "mask_and_crop_small"):
            mask, crop = faulty.mask_file(lesion).pixel_array, faulty.crop_file(lesion).pixel_array
            assert mask.shape == crop.shape
            assert mask.size < 256 * 208 / 4
            assert (mask == 255).sum() == lesion.area_px

    @shows("mask_of_another_image")
    def test_a_mask_may_be_that_of_another_patient_s_other_side(self, faulty):
        masks = {
            lesion.image_key: faulty.drawn_mask(lesion)
            for lesion in faulty.planted
            if lesion.lesion == 0
        }
        for lesion in only(faulty, "mask_of_another_image"):
            stored = faulty.mask_file(lesion).pixel_array == 255
            owners = [key for key, mask in masks.items() if np.array_equal(mask, stored)]
            assert owners
            assert all(key[:7] != lesion.image_key[:7] for key in owners)
            assert all(("LEFT" in key) != ("LEFT" in lesion.image_key) for key in owners)

    @shows("missing_series")
    def test_mask_and_crop_may_be_missing_while_the_image_is_there(self, faulty):
        for lesion in only(faulty, "missing_series"):
            assert lesion.mask_series in faulty.row(lesion)["ROI mask file path"]
            assert lesion.mask_series not in faulty.series
            assert lesion.crop_series not in faulty.series
            assert lesion.image_series in faulty.series

    @shows("row_without_image")
    def test_a_row_may_have_a_mask_and_no_image(self, faulty):
        for lesion in only(faulty, "row_without_image"):
            assert lesion.image_series in faulty.row(lesion)["image file path"]
            assert lesion.image_series not in faulty.series
            assert lesion.mask_series in faulty.series

    @shows("image_without_row")
    def test_an_image_and_its_mask_may_have_no_row(self, faulty):
        keys = {key_of(row) for kind_and_split in SETS for row in faulty.rows[kind_and_split]}
        for lesion in only(faulty, "image_without_row"):
            assert lesion.image_key not in keys
            assert lesion.image_series in faulty.series
            assert lesion.mask_series in faulty.series

    @shows("duplicate_sop")
    def test_one_file_may_lie_there_twice(self, faulty):
        for lesion in only(faulty, "duplicate_sop"):
            first, second = faulty.series[lesion.image_series]
            assert first != second
            assert (faulty.folder / first).read_bytes() == (faulty.folder / second).read_bytes()
            assert len({file.SOPInstanceUID for file in faulty.files(lesion.image_series)}) == 1

    @shows("truncated_dicom")
    def test_a_file_may_be_cut_off_after_a_sound_header(self, faulty):
        for lesion in only(faulty, "truncated_dicom"):
            ((path, full),) = faulty.series[lesion.image_series].items()
            assert (full.Rows, full.Columns) == (256, 208)
            assert (faulty.folder / path).stat().st_size < 256 * 208 * 2
            with pytest.raises(DataError):
                read_pixels(faulty.folder / path)


def test_each_fault_has_its_test():
    tests = [test for name, test in vars(TestEveryFault).items() if name.startswith("test_")]
    assert sorted(fault for test in tests for fault in test.faults) == sorted(FAULTS)


def test_a_fault_stays_in_its_breast(faulty):
    breasts = [{lesion.image_key[:11] for lesion in faulty.with_fault(fault)} for fault in FAULTS]
    assert max(Counter(key for group in breasts for key in group).values()) == 1
    without_fault = faulty.with_fault("")
    assert len(without_fault) >= 4
    for lesion in without_fault:
        mask = faulty.mask_file(lesion).pixel_array
        assert np.array_equal(mask == 255, faulty.drawn_mask(lesion))
        assert np.array_equal(
            faulty.files(lesion.image_series)[0].pixel_array, faulty.drawn_image(lesion)
        )
        row = {name: cell.strip() for name, cell in faulty.row(lesion).items()}
        assert all((faulty.folder / row[name]).is_file() for name in PATHS)
        assert row["pathology"] == lesion.pathology.upper()


def test_no_two_files_share_an_instance_uid_but_the_duplicates(faulty):
    count = Counter(
        file.SOPInstanceUID for files in faulty.series.values() for file in files.values()
    )
    twice = {uid for uid, number in count.items() if number > 1}
    expected = {
        faulty.files(lesion.image_series)[0].SOPInstanceUID
        for lesion in only(faulty, "duplicate_sop")
    }
    assert twice == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_moves_files_and_changes_none(faulty, layout, tmp_path):
    moved = write(tmp_path, MANY, layout=layout, faults=FAULTS)
    contents = [
        Counter(path.read_bytes() for path in written.folder.rglob("*") if path.is_file())
        for written in (faulty, moved)
    ]
    assert contents[0] == contents[1]
    assert moved.planted == faulty.planted


def test_the_order_of_the_faults_does_not_matter(tmp_path):
    faults = ("density_zero", "both_000000", "several_rois")
    few = replace(MANY, patients=6)
    first = write(tmp_path / "first", few, faults=faults)
    second = write(tmp_path / "second", few, faults=faults[::-1])
    assert first.planted == second.planted


@pytest.mark.parametrize("fault", ["several_rois", "mixed_pathology", "in_both_csvs"])
def test_lesions_of_one_breast_lie_apart(fault):
    for seed in range(40):
        settings = PhantomSettings(
            patients=1, rows=64, cols=64, seed=seed, label_shares=(0.0, 0.0, 0.0, 1.0)
        )
        for view in plan_views(settings, [fault])[:2]:
            offsets = sorted(plan.offset for plan in view.breast.lesions)
            assert min(np.diff(offsets)) >= 0.35
            assert max(map(abs, offsets)) <= 0.65
            # That they are drawn at all is the same for all seeds: a few show it.
            assert seed >= 10 or all(
                lesion.mask.any() for lesion in draw_image(settings, view.breast, view.view).lesions
            )
