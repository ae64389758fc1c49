"""Nobody is lost from a table, made healthier, or counted as two."""

from __future__ import annotations

import numpy as np
import openpyxl
import pandas as pd
import pytest
from second_look.decoding.pixels import write_png
from second_look.errors import DataError, LostRowsError
from second_look.running.provenance import quarantine_in_words
from second_look.sources.folder import read_folder
from second_look.sources.folder_values import label

HEAD = "path,patient,label,side,view\n"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name in ("p1_L_CC", "p1_R_CC", "p2_L_CC"):
        pixels = rng.integers(0, 250, (40, 40), dtype=np.uint8)
        write_png(tmp_path / "images" / f"{name}.png", pixels)
    return tmp_path


def read(folder, text, **options):
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return read_folder(folder / "t.csv", folder, dataset="own", **options)


def test_paths_that_differ_in_capitals_only_are_one_file(folder):
    rows = "images/p1_L_CC.png,p1,benign,,\nIMAGES/P1_l_cc.PNG,p1,malignant,,\n"
    catalogue = read(folder, HEAD + rows)
    assert catalogue.images["label"].tolist() == ["malignant"]
    assert catalogue.lesions["pathology"].tolist() == ["benign", "malignant"]


@pytest.mark.parametrize(
    "row",
    [
        "images/p1_L_CC_.png,p1,malignant,,",
        "image/p1-L-CC.png,P1,malignant,,",
        "images/p1_LCC.jpg,p1,malignant,,",
        "images/p1_L_MC.png,p1,malignant,left,cc",
        "images/p1_L_CC_.png,p1,suspicious,,",
    ],
)
def test_a_worse_row_with_a_wrong_path_leaves_the_milder_image_out(folder, row):
    good_rows = "images/p1_R_CC.png,p1,benign,R,CC\nimages/p2_L_CC.png,p2,normal,L,CC\n"
    catalogue = read(folder, f"{HEAD}images/p1_L_CC.png,p1,benign,L,CC\n{good_rows}{row}\n")
    assert catalogue.images["image_id"].tolist() == ["images_p1_R_CC", "images_p2_L_CC"]
    by_line = catalogue.quarantine.set_index("row")
    assert "may be a misspelling of this" in by_line.loc["line 2", "reason"]
    assert by_line.loc["line 2", "effect"] == "image left out"


@pytest.mark.parametrize(
    "row",
    [
        "images/p1_R_CC.png,p1,benign,,",  # milder, and there
        "images/p1_L_MLO.png,p1,malignant,L,MLO",
        "images/p3_L_CC.png,p3,malignant,L,CC",
        "images/p1_X_CC.png,p1,malignant,,",
    ],
)
def test_rows_of_other_pictures_that_are_missing_cost_no_image(folder, row):
    catalogue = read(folder, f"{HEAD}images/p1_L_CC.png,p1,benign,L,CC\n{row}\n")
    assert "images_p1_L_CC" in catalogue.images["image_id"].tolist()


def test_malignant_rows_that_are_lost_are_counted_in_the_terminal(folder, tmp_path):
    rows = "images/p1_L_CC.png,p1,normal,,\nnone.png,p3,Cancer,,\nno.png,p4,malignant|benign,,\n"
    catalogue = read(folder, HEAD + rows + "nor.png,p5,benign,,\n")
    reason = "lost rows with the label malignant: 2 (line 3, line 4)"
    assert catalogue.quarantine["reason"].tolist()[-1] == reason
    catalogue.quarantine.to_parquet(tmp_path / "quarantine.parquet")
    assert reason in quarantine_in_words(tmp_path / "quarantine.parquet")
    pd.testing.assert_series_equal(catalogue.images["label"], pd.Series(["normal"], name="label"))


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("p0001", "P0001.0", "P0001"),
        ("1.0", "1", "1"),
        ("Ann  B", "ann b", "Ann B"),
        ("Mu\u0308ller", "M\u00fcller", "Mu\u0308ller"),
    ],
)
def test_a_patient_is_one_however_the_id_is_written(folder, first, second, name):
    rows = f"images/p1_L_CC.png,{first},benign,,\nimages/p1_R_CC.png,{second},normal,,\n"
    for text in (rows, "\n".join(reversed(rows.split("\n")))):
        catalogue = read(folder, HEAD + text)
        assert set(catalogue.images["patient_id"]) == {name}
        (row,) = catalogue.quarantine.to_dict("records")
        assert "patients spelled in several ways, each counted as one: 1" in row["reason"]


@pytest.mark.parametrize(("first", "second"), [("001", "1"), ("p-1", "p1"), ("A_07", "a7")])
def test_similar_ids_stay_apart_and_are_said(folder, first, second):
    rows = f"images/p1_L_CC.png,{first},benign,,\nimages/p1_R_CC.png,{second},normal,,\n"
    catalogue = read(folder, HEAD + rows)
    assert set(catalogue.images["patient_id"]) == {first, second}
    (row,) = catalogue.quarantine.to_dict("records")
    assert "groups of similar ids, counted as different patients: 1" in row["reason"]


def test_ids_of_one_spelling_stay_as_they_are(folder):
    rows = "images/p1_L_CC.png,1.2.840.0,benign,,\nimages/p1_R_CC.png,1.2.840,normal,,\n"
    catalogue = read(folder, HEAD + rows)
    assert catalogue.images["patient_id"].tolist() == ["1.2.840.0", "1.2.840"]
    assert catalogue.quarantine.empty


def test_decimal_commas_are_read_and_a_bad_pixel_size_costs_no_image(folder):
    head = "path;patient;label;pixel_size_mm;assessment\n"
    rows = "images/p1_L_CC.png;p;benign;0,64;4,0\nimages/p1_R_CC.png;p;benign;wide;3\n"
    catalogue = read(folder, head + rows)
    assert catalogue.images["pixel_spacing_mm"].isna().tolist() == [False, True]
    assert catalogue.images["pixel_spacing_mm"].iloc[0] == 0.64
    assert catalogue.lesions["assessment"].tolist() == [4, 3]
    assert "the pixel_size_mm 'wide' counts as unknown" in catalogue.quarantine["reason"].iloc[0]


def test_pictures_that_share_an_id_are_lost_images(folder):
    rows = "images/p1_L_CC.png,p1,benign,x\nimages/p2_L_CC.png,p2,malignant,x\n"
    with pytest.raises(LostRowsError, match=r"1 of 2 images .* label 'malignant'"):
        read(folder, f"path,patient,label,image_id\n{rows}", max_lost=0.9)


def test_a_file_with_two_ids_is_one_image(folder):
    rows = "images/p1_L_CC.png,p1,benign,x\nimages/p1_L_CC.png,p1,malignant,y\n"
    catalogue = read(folder, f"path,patient,label,image_id\n{rows}")
    assert catalogue.images[["image_id", "label"]].to_numpy().tolist() == [["x", "malignant"]]
    assert "the file has the id 'x' in another row" in catalogue.quarantine["reason"].item()


def test_rows_of_a_second_sheet_are_not_lost_in_silence(folder):
    book = openpyxl.Workbook()
    book.active.append(["path", "patient", "label"])
    book.copy_worksheet(book.active).append(["images/p1_L_CC.png", "p1", "malignant"])
    book.active.append(["images/p2_L_CC.png", "p2", "benign"])
    book.save(folder / "t.xlsx")
    with pytest.raises(DataError, match="1 rows stand in other sheets"):
        read_folder(folder / "t.xlsx", folder, dataset="own")


def test_whole_numbers_in_a_label_of_several_words_match_with_decimals():
    labels = {"cancer 1 biopsy 0": "malignant"}
    assert label("cancer 1.0 biopsy 0.0", labels) == "malignant"
