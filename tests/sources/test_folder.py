"""The user's own folder: tables as people write them, and every way they go wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers.small_dicom import file
from pydicom.dataset import Dataset
from ruamel.yaml import YAML
from second_look.catalogue import check_no_patient_leak
from second_look.decoding.pixels import write_png
from second_look.errors import DataError, MissingDataError
from second_look.sources.folder import read_folder, write_folder_csv

PARAMS = Path(__file__).parents[2] / "params" / "cbis_mass.yaml"
BOX = ["row_min", "col_min", "row_max", "col_max"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", rng.integers(0, 4000, (40, 40), dtype=np.uint16))
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[5:10, 5:10] = 255
    write_png(tmp_path / "mask.png", mask)
    return tmp_path


def read(folder, text, encoding="utf-8", **options):
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return read_folder(folder / "t.csv", folder, dataset="own", **options)


def test_the_three_required_columns_are_enough(folder):
    catalogue = read(folder, "path,patient,label\na.png,p1,Benign\nb.png,p2,normal\n")
    assert list(catalogue.images["image_id"]) == ["a", "b"]
    assert list(catalogue.images["label"]) == ["benign", "normal"]
    assert catalogue.images.loc[0, ["rows", "cols", "bits"]].tolist() == [40, 40, 16]
    assert catalogue.lesions[BOX].isna().all(axis=None)
    assert catalogue.lesions.loc[0, "kind"] == "mass"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_tables_as_spreadsheets_write_them(folder, encoding, newline, delimiter):
    lines = [["path", "patient", "label", "side"], ["a.png", "p1", "malignant", "LEFT"]]
    text = newline.join(delimiter.join(line) for line in lines) + newline
    catalogue = read(folder, text, encoding)
    assert catalogue.images.loc[0, "laterality"] == "L"
    assert catalogue.images.loc[0, "label"] == "malignant"


def test_several_lesions_stand_in_one_row(folder):
    catalogue = read(
        folder,
        "path,patient,label,boxes,assessment,subtlety,mask,kind\n"
        'a.png,p,BENIGN|benign-without-callback|MALIGNANT,"1,2,3,4;5,6,7,8;9,10,11,12",'
        "2|3|5,1|2|3,mask.png,mass|calcification|asymmetry\n",
    )
    assert catalogue.images.loc[0, "label"] == "malignant"
    assert list(catalogue.lesions["pathology"]) == [
        "benign",
        "benign_without_callback",
        "malignant",
    ]
    assert list(catalogue.lesions["kind"]) == ["mass", "calcification", "asymmetry"]
    assert catalogue.lesions[BOX].to_numpy().tolist()[1] == [5, 6, 7, 8]
    assert list(catalogue.lesions["assessment"]) == [2, 3, 5]
    assert set(catalogue.lesions["mask_path"]) == {str(folder.resolve() / "mask.png")}


def test_one_row_a_lesion_is_merged_into_one_image(folder):
    catalogue = read(
        folder,
        "path,patient,label,boxes\n"
        'a.png,p,benign,"1,1,5,5"\na.png,p,malignant,"6,6,9,9"\nb.png,p,normal,\n',
    )
    assert list(catalogue.images["label"]) == ["malignant", "normal"]
    assert list(catalogue.lesions["lesion_id"]) == ["a_1", "a_2"]


def test_stretched_pixels_become_square(folder):
    catalogue = read(
        folder,
        'path,patient,label,boxes,aspect\na.png,p,benign,"10,20,6,8",0.5\n',
        box_format="xywh",
    )
    assert catalogue.images.loc[0, ["rows", "cols"]].tolist() == [40, 20]
    # x 10 to 16 of 40 columns is 5 to 8 of 20; rows stay as they are.
    assert catalogue.lesions.loc[0, BOX].tolist() == [20, 5, 28, 8]


def test_a_box_a_pixel_over_the_edge_is_cut(folder):
    catalogue = read(folder, 'path,patient,label,boxes\na.png,p,benign,"30.5,30,40.9,41"\n')
    assert catalogue.lesions.loc[0, BOX].tolist() == [30.5, 30, 40, 40]
    assert catalogue.quarantine.empty


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "30,30,45,45", "9,9,9,12", "nan,1,2,3"])
def test_a_lesion_with_a_useless_box_has_no_place(folder, box):
    catalogue = read(folder, f'path,patient,label,boxes\na.png,p,benign,"{box}"\n')
    assert catalogue.lesions[BOX].isna().all(axis=None)
    row = catalogue.quarantine.iloc[0]
    assert (row["effect"], row["row"], row["lesion_id"]) == ("location unknown", "line 2", "a_1")
    assert "box" in row["reason"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("none.png,p,benign,,,,,", "not there"),
        ("t.csv,p,benign,,,,,", "expected PGM"),
        ("a\0.png,p,benign,,,,,", "is no path"),
        ("../a.png,p,benign,,,,,", "leads out of the data folder"),
        ("/etc/passwd,p,benign,,,,,", "leads out of the data folder"),
        (",p,benign,,,,,", "the cell path is empty"),
        ("a.png,,benign,,,,,", "the cell patient is empty"),
        ("a.png,p,cancer,,,,,", "unknown label 'cancer': expected normal, benign"),
        ("a.png,p,benign,top,,,,", "unknown side 'top'"),
        ("a.png,p,benign,,evening,,,", "unknown split 'evening'"),
        ("a.png,p,benign,,,none.png,,", "the mask 'none.png' is not there"),
        ("a.png,p,benign,,,../m.png,,", "leads out of the data folder"),
        ("a.png,p,benign,,,,minus,", "positive number as aspect"),
        ("a.png,p,benign,,,,,9", "whole number from 0 to 6 as assessment"),
        ("a.png,p,benign|benign,,,,,1|2|3", "expected 2 values"),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside(folder, row, reason):
    text = f"path,patient,label,side,split,mask,aspect,assessment\n{row}\nb.png,q,normal,,,,,\n"
    catalogue = read(folder, text)
    assert reason in catalogue.quarantine.loc[0, "reason"]
    assert catalogue.quarantine.loc[0, "effect"] == "image left out"
    assert catalogue.quarantine.loc[0, "row"] == "line 2"
    assert list(catalogue.images["image_id"]) == ["b"]
    with pytest.raises(DataError, match=r"t.csv line 2"):
        read(folder, text, strict=True)


def test_two_images_with_one_id_are_not_merged(folder):
    catalogue = read(
        folder, "path,patient,label,image_id\na.png,p,normal,one\nb.png,q,normal,one\n"
    )
    assert len(catalogue.images) == 1
    assert "different patient_id, path" in catalogue.quarantine.loc[0, "reason"]


def test_what_breaks_the_whole_table_is_an_error(folder):
    with pytest.raises(DataError, match=r"no column 'patient'.*Did you mean 'patient_id'"):
        read(folder, "path,patient_id,label\na.png,p,normal\n")
    with pytest.raises(DataError, match="no rows"):
        read(folder, "path,patient,label\n")
    with pytest.raises(DataError, match="no column 'path'"):
        read(folder, "")
    with pytest.raises(DataError, match="line 2"):
        read(folder, "path,patient,label\na.png,p\n")
    with pytest.raises(DataError, match="standard columns are"):
        read(folder, "path,patient,label\na.png,p,normal\n", columns={"colour": "x"})
    with pytest.raises(DataError, match="not UTF-8"):
        read(folder, "path,patient,label\na.png,Müller,normal\n", "latin-1")
    with pytest.raises(DataError, match="2 columns are called 'label'"):
        read(folder, "path,patient,label,label\na.png,p,normal,benign\n")
    long = "x" * csv.field_size_limit()
    with pytest.raises(DataError, match=r"t\.csv line 3 or after: not valid CSV"):
        read(folder, f'path,patient,label\na.png,p,normal\n"b.png,q,normal\n{long}\n')
    with pytest.raises(MissingDataError, match="not there"):
        read_folder(folder / "none.csv", folder, dataset="own")
    with pytest.raises(MissingDataError, match="not a file, but a folder"):
        read_folder(folder, folder, dataset="own")
    with pytest.raises(ValueError, match="box_format"):
        read(folder, "path,patient,label\n", box_format="corners")


def test_columns_are_mapped_and_a_written_table_is_read(folder):
    columns = {"path": "file", "patient": "who", "label": "verdict"}
    catalogue = read(folder, "file,who,verdict\na.png,p,benign\n", columns=columns)
    assert catalogue.images.loc[0, "patient_id"] == "p"
    rows = [{"path": "a.png", "patient": "p", "label": "benign", "boxes": "1,2,3,4"}]
    write_folder_csv(folder / "w.csv", rows)
    again = read_folder(folder / "w.csv", folder, dataset="own")
    assert again.lesions.loc[0, BOX].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("shape", "boxes", "effect", "has_mask"),
    [
        ((40, 40), "", None, True),
        ((80, 80), "", "kept, corrected", True),
        ((40, 30), "", "location unknown", False),
        ((12, 30), "1,2,8,9", "kept, corrected", False),
    ],
)
def test_a_mask_has_the_shape_of_its_picture(folder, shape, boxes, effect, has_mask):
    mask = np.zeros(shape, dtype=np.uint8)
    mask[5:10, 5:10] = 255
    write_png(folder / "other.png", mask)
    text = f'path,patient,label,mask,boxes\na.png,p,benign,other.png,"{boxes}"\n'
    catalogue = read(folder, text)
    assert (catalogue.lesions.loc[0, "mask_path"] != "") == has_mask
    assert list(catalogue.quarantine["effect"]) == ([effect] if effect else [])
    if effect:
        assert catalogue.quarantine.loc[0, "row"] == "line 2"
        size = f"{shape[0]} x {shape[1]} px, the picture 40 x 40"
        assert size in catalogue.quarantine.loc[0, "reason"]


def test_a_mask_of_the_square_picture_fits_a_stretched_one(folder):
    mask = np.zeros((40, 20), dtype=np.uint8)
    mask[5:10, 5:10] = 255
    write_png(folder / "square.png", mask)
    catalogue = read(folder, "path,patient,label,mask,aspect\na.png,p,benign,square.png,0.5\n")
    assert catalogue.quarantine.empty
    assert catalogue.lesions.loc[0, "mask_path"].endswith("square.png")


def test_what_the_table_leaves_open_is_taken_from_the_header(folder):
    pixels = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    thin = Dataset()
    thin.CodeValue = "129717001"
    context = Dataset()
    context.ConceptCodeSequence = [thin]
    tags = {"ImageLaterality": "R", "ViewPosition": "MLO", "PixelSpacing": [0.07, 0.07]}
    tags["AcquisitionContextSequence"] = [context]
    file(folder / "c.dcm", pixels, **tags)
    text = "path,patient,label,side,view,density,pixel_size_mm\n"
    columns = ["laterality", "view", "density", "pixel_spacing_mm"]
    catalogue = read(folder, text + "c.dcm,p,benign,,,,\n")
    assert catalogue.images.loc[0, columns].tolist() == ["R", "MLO", "2", 0.07]
    catalogue = read(folder, text + "c.dcm,p,benign,left,cc,4,0.1\n")
    assert catalogue.images.loc[0, columns].tolist() == ["L", "CC", "4", 0.1]


def test_of_several_frames_one_is_used_and_this_is_said(folder):
    pixels = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    file(folder / "c.dcm", np.stack([pixels] * 3))
    catalogue = read(folder, "path,patient,label\nc.dcm,p,benign\nc.dcm,p,benign\n")
    assert (len(catalogue.images), len(catalogue.lesions), len(catalogue.quarantine)) == (1, 2, 1)
    row = catalogue.quarantine.iloc[0]
    assert (row["effect"], row["image_id"]) == ("kept, corrected", "c")
    assert "of the 3 pictures in the file the middle one is used, number 2" in row["reason"]


def test_an_aspect_that_makes_a_picture_of_gigabytes_is_refused(folder):
    catalogue = read(folder, "path,patient,label,aspect\na.png,p,benign,1e9\nb.png,p,normal,2\n")
    assert list(catalogue.images["cols"]) == [80]
    assert "the aspect 1e+09 makes 40 x 40000000000 px" in catalogue.quarantine.loc[0, "reason"]


@pytest.mark.real_data
def test_the_real_cbis_masses(cbis_mass_folder):
    parameters = YAML(typ="safe").load(PARAMS.read_text())["01_data_survey"]
    catalogue = read_folder(
        cbis_mass_folder / "labels.csv",
        cbis_mass_folder,
        dataset="cbis_mass",
        columns=parameters["columns"],
        box_format=parameters["box_format"],
    )
    images = catalogue.images
    by_split = images.groupby("split")
    assert catalogue.quarantine.empty
    assert dict(by_split.size()) == {"test": 361, "train": 1231}
    assert dict(by_split["patient_id"].nunique()) == {"test": 201, "train": 691}
    malignant = images[images["label"] == "malignant"].groupby("split").size()
    assert dict(malignant) == {"test": 145, "train": 602}
    split_of = catalogue.lesions["image_id"].map(images.set_index("image_id")["split"])
    assert dict(split_of.value_counts()) == {"train": 1318, "test": 378}
    check_no_patient_leak(images)
    assert (images["cols"] < images["rows"]).mean() > 0.9
    assert catalogue.lesions[BOX].notna().all(axis=None)
