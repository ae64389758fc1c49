"""Phantoms in the form of CBIS-DDSM: a plain reader finds what was planted, and every fault."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import real_data
from helpers.cbis_on_disk import SETS, Written, write
from second_look.errors import DataError
from second_look.phantoms.cbis import COLUMNS, LAYOUTS, csv_name, write_cbis_layout
from second_look.phantoms.cbis_plan import plan_views
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient

SMALL = PhantomSettings(patients=9, rows=256, cols=208, seed=8)
FULL, CROP, MASK = "full mammogram images", "cropped images", "ROI mask images"
UID = r"[\d.]{20,64}"
SUBJECT = r"(Mass|Calc)-(Training|Test)_P_\d{5}_(LEFT|RIGHT)_(CC|MLO)(_\d)?"
PLACES = {
    "classic": rf"{SUBJECT}/{UID}/{UID}/00000[01]\.dcm",
    "nbia": rf"CBIS-DDSM/{SUBJECT}/\d\d-\d\d-201[67]-DDSM-NA-\d{{5}}"
    rf"/1\.000000-({FULL}|{CROP}|{MASK})-\d{{5}}/1-[12]\.dcm",
    "old": rf"CBIS-DDSM/{SUBJECT}/\d\d-\d\d-201[67]-DDSM-\d{{5}}"
    rf"/1-({FULL}|{CROP}|{MASK})-\d{{5}}/00000[01]\.dcm",
    "idc": rf"cbis_ddsm/{SUBJECT}/{UID}/MG_{UID}/[0-9a-f-]{{36}}\.dcm",
}
HEADER = (
    "patient_id,{density},left or right breast,image view,abnormality id,abnormality type,"
    "{findings},assessment,pathology,subtlety,image file path,cropped image file path,"
    "ROI mask file path"
)
HEADERS = {
    "mass": HEADER.format(density="breast_density", findings="mass shape,mass margins"),
    "calcification": HEADER.format(
        density="breast density", findings="calc type,calc distribution"
    ),
}


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Written:
    return write(tmp_path_factory.mktemp("clean"), SMALL)


@pytest.fixture(scope="module", params=LAYOUTS)
def layout_set(request, tmp_path_factory) -> tuple[str, Written]:
    """A layout and a set in it."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, write(folder, SMALL, layout=request.param)


class TestCleanSets:
    def test_the_places_are_those_of_the_layout(self, layout_set):
        layout, written = layout_set
        paths = [path for files in written.series.values() for path in files]
        assert len(paths) == 3 * len(written.planted)  # one lesion a view
        wrong = [path for path in paths if not re.fullmatch(PLACES[layout], path)]
        assert wrong == []

    def test_places_follow_the_headers(self, layout_set):
        layout, written = layout_set
        for files in written.series.values():
            for path, file in files.items():
                study, series = file.StudyInstanceUID, file.SeriesInstanceUID
                if layout in ("classic", "idc"):
                    assert f"/{study}/" in path
                    assert f"{series}/" in path
                else:
                    assert f"-{study[-5:]}/" in path
                    assert f"-{series[-5:]}/" in path
                    date = file.StudyDate
                    assert f"{date[4:6]}-{date[6:]}-{date[:4]}-DDSM" in path

    def test_every_planted_image_and_mask_is_there_pixel_for_pixel(self, layout_set):
        _, written = layout_set
        for planted in written.planted:
            image = draw_image(SMALL, planted.breast, planted.view)
            (full,) = written.files(planted.image_series)
            assert full.pixel_array.dtype == np.uint16
            assert np.array_equal(full.pixel_array, image.pixels)
            mask = written.mask_file(planted).pixel_array
            assert np.array_equal(mask == 255, image.lesions[0].mask)
            assert set(np.unique(mask)) == {0, 255}

    def test_crops_are_cut_around_the_lesion(self, layout_set):
        _, written = layout_set
        for planted in written.planted:
            crop = written.crop_file(planted).pixel_array
            image, mask = written.drawn_image(planted), written.drawn_mask(planted)
            rows, cols = np.nonzero(mask)
            # Its top left corner is found by trying every place near the lesion.
            places = [
                (row, col)
                for row in range(max(0, rows.min() - 15), rows.min() + 1)
                for col in range(max(0, cols.min() - 15), cols.min() + 1)
                if np.array_equal(image[row:, col:][: crop.shape[0], : crop.shape[1]], crop)
            ]
            assert len(places) == 1
            assert places[0][0] + crop.shape[0] > rows.max()
            assert places[0][1] + crop.shape[1] > cols.max()
            assert crop.size < image.size / 4

    def test_the_csvs_do_not_depend_on_the_layout(self, layout_set, clean):
        for kind, split in SETS:
            name = csv_name(kind, split)
            assert (layout_set[1].folder / name).read_bytes() == (clean.folder / name).read_bytes()

    def test_series_descriptions_tell_what_a_file_is(self, layout_set):
        for planted in layout_set[1].planted:
            assert layout_set[1].files(planted.image_series)[0].SeriesDescription == FULL
            assert layout_set[1].mask_file(planted).SeriesDescription == MASK
            assert layout_set[1].crop_file(planted).SeriesDescription == CROP


def test_all_breasts_with_a_lesion_are_planted_and_no_others(clean):
    expected = {}
    for patient in range(SMALL.patients):
        for breast in plan_patient(SMALL, patient):
            for view in ("CC", "MLO") if breast.lesions else ():
                side = {"R": "RIGHT", "L": "LEFT"}[breast.laterality]
                first = breast.lesions[0]
                expected[f"P_{patient + 1:05d}_{side}_{view}"] = (first.kind, first.pathology)
    planted_lesions = {
        planted.image_key: (planted.kind, planted.pathology) for planted in clean.planted
    }
    assert planted_lesions == expected
    assert len(planted_lesions) == len(clean.planted) > 10
    assert {kind for kind, _ in planted_lesions.values()} == {"mass", "calcification"}


def test_what_is_planted_says_where_the_mask_is(clean):
    for planted in clean.planted:
        rows, cols = np.nonzero(clean.drawn_mask(planted))
        assert planted.area_px == rows.size
        assert (planted.box.row_min, planted.box.row_max) == (rows.min(), rows.max() + 1)
        assert (planted.box.col_min, planted.box.col_max) == (cols.min(), cols.max() + 1)
        assert (planted.rows, planted.cols, planted.fault) == (256, 208, "")


def test_every_fifth_woman_is_in_the_test_set():
    views = plan_views(replace(SMALL, patients=200), ())
    women = {(view.patient_id, view.kind, view.split) for view in views}
    count = Counter((kind, split) for _, kind, split in women)
    for kind in ("mass", "calcification"):
        share = count[kind, "test"] / (count[kind, "test"] + count[kind, "train"])
        assert 0.15 < share < 0.25
    assert len({woman for woman, _, _ in women}) == len(women)


class TestCsvs:
    def test_the_header_is_the_official_one(self, clean):
        for kind, split in SETS:
            text = (clean.folder / csv_name(kind, split)).read_text(encoding="utf-8")
            assert text.split("\n", 1)[0] == HEADERS[kind]

    def test_the_files_are_called_like_the_official_ones(self):
        assert [csv_name(*kind_and_split) for kind_and_split in SETS] == [
            "mass_case_description_train_set.csv",
            "mass_case_description_test_set.csv",
            "calc_case_description_train_set.csv",
            "calc_case_description_test_set.csv",
        ]

    def test_rows_say_what_was_planted(self, clean):
        assert sum(map(len, clean.rows.values())) == len(clean.planted)
        for planted in clean.planted:
            row, plan = clean.row(planted), planted.breast.lesions[0]
            assert row["pathology"] == planted.pathology.upper()
            assert row["abnormality type"] == planted.kind
            assert (row["assessment"], row["subtlety"]) == (
                str(plan.assessment),
                str(plan.subtlety),
            )
            density = row.get("breast_density") or row.get("breast density")
            assert density == str(planted.breast.density)

    def test_paths_are_classic_and_name_the_files(self, clean):
        for planted in clean.planted:
            row = clean.row(planted)
            subject = row["image file path"].split("/")[0]
            kind = "Mass" if planted.kind == "mass" else "Calc"
            split = "Training" if planted.split == "train" else "Test"
            assert subject == f"{kind}-{split}_{planted.image_key}"
            assert row["ROI mask file path"].startswith(f"{subject}_1/")
            mask, crop = row["ROI mask file path"].strip(), row["cropped image file path"].strip()
            assert clean.series[planted.mask_series][mask].BitsAllocated == 8
            assert clean.series[planted.crop_series][crop].BitsAllocated == 16
            assert row["image file path"] in clean.series[planted.image_series]

    def test_a_newline_ends_the_second_file_of_a_series(self, clean):
        for planted in clean.planted:
            row = clean.row(planted)
            second, first = ("ROI mask file path", "cropped image file path")
            if planted.kind == "calcification":
                second, first = first, second
            assert row[second].endswith("/000001.dcm\n")
            assert row[first].endswith("/000000.dcm")


def test_the_same_settings_write_the_same_bytes(clean, tmp_path):
    write_cbis_layout(tmp_path, SMALL)
    first, second = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (clean.folder, tmp_path)
    )
    assert first == second


def test_another_seed_has_other_uids(clean, tmp_path):
    other_seed = write(tmp_path, replace(SMALL, seed=3))
    assert not clean.series.keys() & other_seed.series.keys()


def test_odd_sizes_and_8_bit_settings_come_back(tmp_path):
    # An odd number of pixels needs a padded mask; mammograms have 16 bits whatever is asked for.
    settings = replace(SMALL, patients=2, rows=129, cols=97, bits=8, seed=1)
    written = write(tmp_path, settings)
    assert written.planted
    for planted in written.planted:
        (full,) = written.files(planted.image_series)
        assert (full.BitsStored, full.pixel_array.shape) == (16, (129, 97))
        assert full.pixel_array.max() > 255
        mask = written.mask_file(planted).pixel_array
        assert np.array_equal(mask == 255, written.drawn_mask(planted))


def test_a_set_without_lesions_has_headers_only(tmp_path):
    written = write(tmp_path, replace(SMALL, label_shares=(1.0, 0.0, 0.0, 0.0)))
    assert (written.planted, written.series) == ([], {})
    assert set(map(len, written.rows.values())) == {0}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"layout": "zip"}, "unknown layout 'zip'.*classic, nbia, old, idc"),
        ({"faults": ["one_view_only", "no_such"]}, "unknown faults no_such.*several_rois"),
        ({"faults": ["density_zero"] * 2 + ["subtlety_zero"]}, "2 faults need.*Got 1"),
        ({"faults": ["mask_of_another_image"]}, "needs a second breast"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, options, problem):
    single_patient = replace(SMALL, patients=1, label_shares=(0.0, 0.0, 0.0, 1.0))
    with pytest.raises(DataError, match=problem):
        write_cbis_layout(tmp_path, single_patient, **options)


@pytest.fixture(scope="module")
def real_folder() -> Path:
    """The folder with the four official CSVs."""
    names = [f"cbis-ddsm/{csv_name(*kind_and_split)}" for kind_and_split in SETS]
    return real_data(*names) / "cbis-ddsm"


@pytest.mark.real_data
class TestAgainstTheRealCsvs:
    def test_the_headers_are_equal(self, real_folder, clean):
        for kind, split in SETS:
            lines = [
                (folder / csv_name(kind, split)).read_bytes().split(b"\n", 1)[0]
                for folder in (real_folder, clean.folder)
            ]
            assert lines[0] == lines[1] == ",".join(COLUMNS[kind]).encode()

    def test_rows_look_like_the_real_ones(self, real_folder, clean):
        """Digits aside, a planted row has the form and the words of some real row."""
        for kind, split in SETS:
            path = real_folder / csv_name(kind, split)
            with path.open(newline="", encoding="utf-8") as stream:
                real = {form_of(row) for row in csv.DictReader(stream)}
            forms = {form_of(row) for row in clean.rows[kind, split]}
            assert forms <= real
        assert any(clean.rows.values())


def form_of(row: dict[str, str]) -> tuple[str, ...]:
    """The words of a row, its findings and pathology together, with every digit as 0."""
    left_out = ("breast_density", "breast density", "assessment", "subtlety", "abnormality id")
    words = [cell for name, cell in row.items() if name not in left_out]
    # Roots and lengths of UIDs differ; their number and what follows them must not.
    forms = [re.sub(r"\d(\.\d+){5,}", "UID", cell) for cell in words]
    return tuple(re.sub(r"\d+(?=_|\b)(?!\.dcm)", "0", form) for form in forms)
