"""Columns made of several, files found by pattern or in another format, several masks a row."""

from __future__ import annotations

import numpy as np
import pytest
from second_look.decoding.pixels import write_png
from second_look.errors import DataError
from second_look.sources.folder import read_folder

BOX = ["row_min", "col_min", "row_max", "col_max"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("images/7/a.png", "images/7/b_1f2e_MG.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / name, rng.integers(0, 4000, (40, 40), dtype=np.uint16))
    for name, rows in (("m1.png", slice(5, 10)), ("m2.png", slice(20, 30))):
        mask = np.zeros((40, 40), dtype=np.uint8)
        mask[rows, 5:10] = 255
        write_png(tmp_path / name, mask)
    return tmp_path


def read(folder, text, **options):
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return read_folder(folder / "t.csv", folder, dataset="own", **options)


def test_a_column_is_made_of_several(folder):
    columns = {
        "path": "images/{study}/{image}.png",
        "patient": "study",
        "label": "{finding|breast}",
        "boxes": "{xmin},{ymin},{xmax},{ymax}",
        "density": "{density:([A-D])$}",
    }
    rows = "7,a,BI-RADS 4,BI-RADS 5,DENSITY C,20,5,30,15\n7,a,,BI-RADS 1,DENSITY C,,,,\n"
    catalogue = read(
        folder,
        f"study,image,finding,breast,density,xmin,ymin,xmax,ymax\n{rows}",
        columns=columns,
        labels={"BI-RADS 1": "normal", "BI-RADS 4": "malignant"},
        box_format="xyxy",
    )
    assert catalogue.images.loc[0, ["image_id", "density"]].tolist() == ["images_7_a", "C"]
    assert catalogue.images["label"].tolist() == ["malignant"]
    assert catalogue.lesions[BOX].to_numpy().tolist() == [[5, 20, 15, 30]]


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("{study/a.png", "cannot read"),
        ("{studie}/a.png", "Did you mean 'study'"),
        ("{study:(}", "no regular expression"),
    ],
)
def test_a_wrong_text_of_columns_is_said(folder, column, problem):
    with pytest.raises(DataError, match=problem):
        read(folder, "study,patient,label\n7,p,normal\n", columns={"path": column})


def test_a_file_is_found_by_the_part_of_its_name_that_is_known(folder):
    columns = {"path": "images/7/{file}_*.png", "patient": "file"}
    catalogue = read(folder, "file,label\nb,normal\n", columns=columns)
    assert catalogue.images["image_id"].tolist() == ["images_7_b_1f2e_MG"]
    assert catalogue.quarantine.empty
    write_png(folder / "images/7/b_2_MG.png", np.eye(40, dtype=np.uint8))
    catalogue = read(folder, "file,label\nb,normal\na,normal\n", columns=columns)
    assert "2 files are called 'b_*.png'" in catalogue.quarantine["reason"].iloc[0]


def test_a_copy_in_another_format_is_used_and_said_once(folder):
    rows = "images\\7\\A.dcm,p,normal\nimages/7/b_1f2e_MG.dcm,p,normal\n"
    catalogue = read(folder, f"path,patient,label\n{rows}")
    assert catalogue.images["image_id"].tolist() == ["images_7_a", "images_7_b_1f2e_MG"]
    assert catalogue.quarantine["code"].tolist() == ["file_of_another_format"]
    assert "2 files end in .png where the table says .dcm" in catalogue.quarantine["reason"][0]


def test_each_lesion_of_a_row_has_its_mask(folder):
    row = "images/7/a.png,p,benign|malignant,m1.png|m2.png"
    catalogue = read(folder, f"path,patient,label,mask\n{row}\n")
    names = [path.rsplit("/", 1)[1] for path in catalogue.lesions["mask_path"]]
    assert names == ["m1.png", "m2.png"]
    assert catalogue.lesions["pathology"].tolist() == ["benign", "malignant"]


@pytest.mark.parametrize(
    ("cells", "count"),
    [
        ("m1.png|m2.png,,", 2),
        ("m1.png|,,", 1),
        ("-,,", 1),
        (',"1,1,5,5;6,6,9,9",', 2),
        ("m1.png,,mass|calcification", 2),
    ],
)
def test_a_single_label_serves_all_lesions_of_a_row(folder, cells, count):
    catalogue = read(folder, f"path,patient,label,mask,boxes,kind\nimages/7/a.png,p,cancer,{cells}")
    assert catalogue.lesions["pathology"].tolist() == ["malignant"] * count
    assert catalogue.quarantine.empty


def test_masks_that_do_not_match_the_labels_are_not_used(folder):
    row = "images/7/a.png,p,benign|malignant|benign,m1.png|m2.png"
    catalogue = read(folder, f"path,patient,label,mask\n{row}\n")
    assert set(catalogue.lesions["mask_path"]) == {""}
    assert "2 masks for 3 lesions" in catalogue.quarantine["reason"][0]


def test_of_a_list_of_kinds_the_first_counts(folder):
    kinds = "\"['Skin Thickening', 'Suspicious Calcification', 'Mass']\""
    catalogue = read(folder, f"path,patient,label,kind\nimages/7/a.png,p,cancer,{kinds}\n")
    assert catalogue.lesions["kind"].tolist() == ["calcification"]
    assert catalogue.quarantine.empty
