"""The case descriptions: every figure of the real CSVs, and every way a CSV can be broken."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import real_data
from helpers.small_cbis import NAMES, Roi, csv_text, write_csvs
from second_look.errors import DataError, MissingDataError
from second_look.sources.cbis_ddsm import read_descriptions, survey_descriptions

# Every figure of the four official CSVs that is published or was counted by hand from them.
SIZES = {  # ROIs, images, patients, benign, benign without callback, malignant, malignant images
    "mass train": (1318, 1231, 691, 577, 104, 637, 602),
    "mass test": (378, 361, 201, 194, 37, 147, 145),
    "calcification train": (1546, 1227, 602, 528, 474, 544, 509),
    "calcification test": (326, 284, 151, 130, 67, 129, 119),
    "merged train": (2864, 2420, 1248, 1105, 578, 1181, 1097),
    "merged test": (704, 641, 349, 324, 104, 276, 262),
}
FIGURES = {
    "rows that cannot be used": 0,
    "all: ROIs": 3568,
    "all: images": 3032,
    "all: patients": 1566,
    "all: patients with a malignancy": 752,
    "breasts": 1708,
    "breasts with a malignancy": 761,
    "breasts with one view only": 384,
    "patients in train and test": 31,
    "patients in calcification train and mass test": 18,
    "patients in mass train and calcification test": 13,
    "images in train and test": 29,
    "cleaned train: patients": 1217,
    "cleaned train: images": 2356,
    "cleaned train: ROIs": 2781,
    "files of images": 3103,
    "images with several ROIs": 334,
    "most ROIs on an image": 7,
    "images of mixed pathology": 39,
    "malignant images missed by the first row": 11,
    "images with masses and calcifications": 71,
    "of these malignant by one kind only": 16,
    "ROIs of density 0": 2,
    "ROIs of subtlety 0": 2,
    "malignant ROIs of assessment 0": 59,
    "malignant ROIs of assessment 1 or 2": 5,
    "ROIs that name 000000.dcm for crop and mask": 104,
    "ROIs with crop and mask in one series": 3464,
}


@pytest.fixture(scope="module")
def real():
    folder = real_data(*(f"cbis-ddsm/{name}" for name in NAMES.values())) / "cbis-ddsm"
    return read_descriptions([folder / name for name in NAMES.values()])


@pytest.mark.real_data
def test_every_figure_of_the_real_csvs(real):
    survey = survey_descriptions(real)
    assert list(survey.columns) == ["what", "value"]
    counted = dict(survey.itertuples(index=False))
    assert {figure: counted[figure] for figure in FIGURES} == FIGURES
    names = ("ROIs", "images", "patients", "ROIs benign", "ROIs benign_without_callback")
    names = (*names, "ROIs malignant", "malignant images")
    assert {part: tuple(counted[f"{part}: {name}"] for name in names) for part in SIZES} == SIZES


@pytest.mark.real_data
def test_the_real_rows_are_read_whole(real):
    assert set(real["unknown_values"]) == {"", "density '0' is none of 1, 2, 3, 4"}
    # 6,775 series, as the download manifest counts them: 3,103 images and 3,672 of ROIs.
    series = [set(real[f"{name}_series"]) for name in ("image", "crop", "mask")]
    assert len(series[0]) == 3103
    assert len(series[1] | series[2]) == 3672
    assert len(set().union(*series)) == 6775
    assert all(uid.startswith("1.3.6.1.4.1.9590.100.1.2.") for uid in set().union(*series))
    for name in ("image_path", "crop_path", "mask_path"):
        assert real[name].str.endswith(".dcm").all()  # no newline is left
    # The last row of a file is the one that a spreadsheet numbers with the count of ROIs plus 1.
    assert real.groupby("csv")["row"].max().to_dict() == {
        NAMES["mass", "train"]: 1319,
        NAMES["mass", "test"]: 379,
        NAMES["calc", "train"]: 1547,
        NAMES["calc", "test"]: 327,
    }
    first = real.iloc[0]
    assert first[["patient_id", "side", "view"]].tolist() == ["P_00001", "LEFT", "CC"]
    assert first["form"] == "IRREGULAR-ARCHITECTURAL_DISTORTION"
    assert first[["spread", "assessment", "subtlety"]].tolist() == ["SPICULATED", 4, 4]


@pytest.mark.real_data
def test_every_series_of_the_real_manifest_is_in_the_csvs(real):
    manifest = real_data("cbis-ddsm/CBIS-DDSM-All.tcia") / "cbis-ddsm" / "CBIS-DDSM-All.tcia"
    manifest_series = {
        line for line in manifest.read_text().split() if line.startswith("1.3.6.1.4.1.9590.")
    }
    named = set(real[["image_series", "crop_series", "mask_series"]].to_numpy().ravel())
    assert len(manifest_series) == 6775
    assert manifest_series == named


def read_text(tmp_path, text, kind="mass", encoding="utf-8"):
    path = tmp_path / NAMES[kind, "train"]
    path.write_bytes(text.encode(encoding))
    return read_descriptions([path])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", ["mass", "calc"])
def test_spelling_of_columns_newlines_and_byte_order_mark_do_not_matter(
    tmp_path, encoding, newline, kind
):
    rois = [Roi(kind=kind), Roi(kind=kind, number="2", side="RIGHT", view="MLO")]
    text = csv_text(kind, rois, newline)
    assert f'000001.dcm\n"{newline}' in text  # a newline stands inside the quoted path
    for spelling in (text, text.replace("breast density", "breast_density"), text + newline):
        rows = read_text(tmp_path, spelling, kind, encoding)
        assert list(rows["row"]) == [2, 3]
        assert list(rows["image_key"]) == ["P_00001_LEFT_CC", "P_00001_RIGHT_MLO"]
        assert list(rows["mask_series"]) == [roi.mask for roi in rois]
        assert list(rows["crop_series"]) == [roi.crop for roi in rois]
        assert list(rows["image_series"]) == [roi.image for roi in rois]
        assert set(rows["kind"]) == {"mass" if kind == "mass" else "calcification"}
        assert set(rows["pathology"]) == {"malignant"}
        assert set(rows["problem"]) == {""}


def test_file_and_column_are_named_where_one_is_missing(tmp_path):
    intact = csv_text("calc", [Roi(kind="calc")])
    for name in ("breast density", "pathology", "calc type", "ROI mask file path"):
        with pytest.raises(DataError) as error:
            read_text(tmp_path, intact.replace(name, "other"), "calc")
        assert f"no column {'_'.join(name.split())!r}" in str(error.value)
        assert NAMES["calc", "train"] in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda text: "", "no column 'patient_id' among none"),
        (lambda text: text[:-220], r"train_set\.csv row 3: expected 14 values\. Got 1[123]\."),
        (lambda text: text.replace("OVAL", "OVAL,x", 1), "row 2: expected 14 values. Got 15"),
        (lambda text: text + '"' + "x" * 200_000, "not valid CSV .field larger than field limit"),
        (lambda text: text.replace("OVAL", "\xd6", 1), "not UTF-8"),
    ],
    ids=["empty", "cut", "a comma too many", "a quote too many", "Latin-1"],
)
def test_a_broken_csv_is_an_error_that_names_it(tmp_path, spoil, problem):
    text = csv_text("mass", [Roi(), Roi(number="2")])
    with pytest.raises(DataError, match=problem):
        read_text(tmp_path, spoil(text), encoding="latin-1")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda text: text.replace("N/A", '"N/A', 1), "train_set.csv line 2 or after: not valid"),
        (lambda text: text.replace(",5,", ',"5,', 1), "not valid CSV .*Download"),
    ],
    ids=["of a cell that is not read", "of a grade"],
)
def test_a_quote_that_is_not_closed_swallows_no_row(tmp_path, spoil, problem):
    text = csv_text("mass", [Roi(number=str(number)) for number in range(1, 6)])
    with pytest.raises(DataError, match=problem) as error:
        read_text(tmp_path, spoil(text))
    assert NAMES["mass", "train"] in str(error.value)
    assert "Download the file again" in str(error.value)


def test_a_row_that_stands_twice_is_counted_once(tmp_path):
    rows = read_text(tmp_path, csv_text("mass", [*[roi := Roi()] * 2, Roi(number="2"), roi]))
    assert rows["repeats"].tolist() == [0, 2, 0, 2]
    counted = dict(survey_descriptions(rows).itertuples(index=False))
    assert counted["all: ROIs"] == 2


def test_two_images_of_one_file_cannot_be_used(tmp_path):
    first = Roi()
    rois = [first, Roi(patient="P_00002", image=first.image), Roi(patient="P_00003")]
    problems = read_text(tmp_path, csv_text("mass", rois))["problem"]
    assert problems.tolist() == ["rows of another image name the same file"] * 2 + [""]


def test_a_csv_that_is_not_there_or_has_another_name(tmp_path):
    with pytest.raises(MissingDataError, match=r"mass_case.*not there.*https://doi.org/10.7937"):
        read_descriptions([tmp_path / NAMES["mass", "train"]])
    with pytest.raises(DataError, match=r"mine.csv: expected one of the names mass_case_desc"):
        read_descriptions([tmp_path / "mine.csv"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"pathology": "MALIGNENT"}, "unknown pathology 'MALIGNENT'"),
        ({"pathology": ""}, "unknown pathology ''"),
        ({"side": "MIDDLE"}, "the side 'MIDDLE' is none of LEFT, RIGHT"),
        ({"view": "XCCL"}, "the view 'XCCL' is none of CC, MLO"),
        ({"patient": ""}, "patient_id is empty"),
        ({"number": ""}, "abnormality_id is empty"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(tmp_path, change, problem):
    rows = read_text(tmp_path, csv_text("mass", [Roi(), Roi(**change)]))
    assert list(rows["problem"]) == ["", problem]
    assert dict(survey_descriptions(rows).itertuples(index=False))["all: ROIs"] == 1


def test_paths_without_a_series_and_rows_of_another_kind(tmp_path):
    roi = Roi()
    text = csv_text("mass", [roi]).replace(f"1.2.1/{roi.image}/", "")
    assert read_text(tmp_path, text)["problem"].item() == "the image file path names no series"
    text = csv_text("mass", [roi]).replace(",mass,OVAL", ",calcification,OVAL")
    assert "the type 'calcification' is not 'mass'" in read_text(tmp_path, text)["problem"].item()
    text = csv_text("mass", [roi]).replace(f"/1.2.1/{roi.crop}/", f"\\1.2.1\\{roi.crop}\\")
    assert read_text(tmp_path, text)["mask_series"].item() == roi.crop


def test_values_out_of_range_become_unknown_and_zeros_stay(tmp_path):
    rois = [
        Roi(assessment="0", subtlety="0", density="0"),
        Roi(assessment="7", subtlety="-1", density=""),
        Roi(assessment="", subtlety="4.5", density="4"),
    ]
    rows = read_text(tmp_path, csv_text("mass", rois))
    assert rows.loc[0, ["assessment", "subtlety"]].tolist() == [0, 0]
    assert rows.loc[1:, ["assessment", "subtlety"]].isna().all(axis=None)
    assert rows.loc[0, "unknown_values"] == "density '0' is none of 1, 2, 3, 4"
    for figure in ("assessment '7'", "subtlety '-1'", "density ''"):
        assert figure in rows.loc[1, "unknown_values"]
    assert set(rows["problem"]) == {""}


def test_the_survey_counts_a_set_that_can_be_counted_by_hand(tmp_path):
    shared = {"patient": "P_1", "side": "LEFT", "view": "CC"}
    rois = [
        Roi(**shared, pathology="BENIGN"),
        Roi(**shared, number="2", pathology="MALIGNANT"),  # missed by the first row
        Roi(**shared, kind="calc", split="test", pathology="BENIGN"),  # leaks
        Roi(patient="P_1", view="MLO", pathology="MALIGNANT", assessment="0"),
        Roi(patient="P_2", side="RIGHT", pathology="BENIGN_WITHOUT_CALLBACK", subtlety="0"),
        Roi(patient="P_2", side="LEFT", split="test", pathology="MALIGNANT", assessment="2"),
        Roi(patient="P_3", pathology="BENIGN", density="0"),
    ]
    write_csvs(tmp_path, rois)
    paths = [tmp_path / name for name in NAMES.values() if (tmp_path / name).is_file()]
    counted = dict(survey_descriptions(read_descriptions(paths)).itertuples(index=False))
    expected = {
        "all: ROIs": 7,
        "all: images": 5,
        "all: patients": 3,
        "all: patients with a malignancy": 2,
        "breasts": 4,
        "breasts with a malignancy": 2,
        "breasts with one view only": 3,
        "images with several ROIs": 1,
        "most ROIs on an image": 3,
        "images of mixed pathology": 1,
        "malignant images missed by the first row": 1,
        "images with masses and calcifications": 1,
        "of these malignant by one kind only": 1,
        "patients in train and test": 2,
        "patients in mass train and calcification test": 1,
        "images in train and test": 1,
        "cleaned train: patients": 1,
        "cleaned train: images": 1,
        "ROIs of density 0": 1,
        "ROIs of subtlety 0": 1,
        "malignant ROIs of assessment 0": 1,
        "malignant ROIs of assessment 1 or 2": 1,
    }
    assert {figure: counted[figure] for figure in expected} == expected


def test_the_survey_of_nothing_is_zeros():
    survey = survey_descriptions(read_descriptions([]))
    assert isinstance(survey, pd.DataFrame)
    assert set(survey["value"]) == {0}
