"""Public data sets read by the project's params files, from small copies in their true form."""

from __future__ import annotations

import csv
import json
import plistlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import yaml
from helpers.small_dicom import file
from PIL import Image
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import write_png
from second_look.errors import DataError
from second_look.preparing.dataset import LAB_SETTINGS
from second_look.preparing.reading import read_source

REPO = Path(__file__).resolve().parents[2]
BOX = ["row_min", "col_min", "row_max", "col_max"]
SHAPE = (60, 40)


def read(root, recipe, **changes):
    """The catalogue that a params file gives with its data in a folder."""
    text = (REPO / "params" / f"{recipe}.yaml").read_text(encoding="utf-8")
    section = yaml.safe_load(text)["01_data_survey"] | changes
    return read_source(replace(LAB_SETTINGS, data_root=str(root), **section), root / "cache")


def pixels(seed=0, dtype=np.uint16):
    return np.random.default_rng(seed).integers(0, 250, SHAPE).astype(dtype)


def dicom(path, **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    return file(path, pixels(len(path.name)), **tags)


def jpeg(path, picture=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(1, np.uint8) if picture is None else picture).save(path, quality=95)


def write_csv(path, rows, delimiter=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)


def write_xlsx(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


# ------------------------------------------------------------------ VinDr-Mammo

VINDR = "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads"
VINDR += ",breast_density,finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"


def test_vindr(tmp_path):
    root = tmp_path / "vindr-mammo"
    none = ["['No Finding']", "", "", "", "", ""]
    rows = [
        ["s1", "x", "i1", "L", "CC", 60, 40, "BI-RADS 1", "DENSITY C", *none, "training"],
        ["s2", "x", "i2", "R", "MLO", 60, 40, "BI-RADS 5", "DENSITY B",
         "['Mass', 'Skin Retraction']", "BI-RADS 5", 10.5, 20, 30, 50, "test"],
        ["s2", "x", "i2", "R", "MLO", 60, 40, "BI-RADS 5", "DENSITY B",
         "['Suspicious Calcification']", "BI-RADS 3", 1, 2, 5, 9, "test"],
        ["s3", "x", "i3", "R", "CC", 60, 40, "BI-RADS 2", "DENSITY A", *none, "training"],
    ]  # fmt: skip
    write_csv(root / "finding_annotations.csv", [VINDR.split(","), *rows])
    for study, image in (("s1", "i1"), ("s2", "i2"), ("s3", "i3")):
        dicom(root / "images" / study / f"{image}.dicom")
    catalogue = read(tmp_path, "vindr")
    assert catalogue.images["label"].tolist() == ["normal", "malignant", "benign"]
    assert catalogue.images["split"].tolist() == ["train", "test", "train"]
    assert catalogue.images["density"].tolist() == ["C", "B", "A"]
    assert catalogue.lesions["kind"].tolist()[:2] == ["mass", "calcification"]
    assert catalogue.lesions["pathology"].tolist() == ["malignant", "benign", "benign"]
    assert catalogue.lesions["assessment"].tolist() == [5, 3, 2]
    assert catalogue.lesions.loc[0, BOX].tolist() == [20, 10.5, 50, 30]
    assert catalogue.lesions.loc[2, BOX].isna().all()


# ------------------------------------------------------------------ RSNA 2022


@pytest.mark.parametrize("ending", ["dcm", "png"])
def test_rsna(tmp_path, ending):
    root = tmp_path / "rsna-breast-cancer-detection"
    head = "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant"
    names = [*head.split(","), "density", "machine_id", "difficult_negative_case"]
    rows = [[2, 10006, n, "L", "CC", 61.0, cancer, biopsy, 0, "", 0, "", 29, False]
            for n, (cancer, biopsy) in enumerate([(0, 0), (0, 1), (1, 1)])]  # fmt: skip
    write_csv(root / "train.csv", [names, *rows])
    for number in range(3):
        path = root / "train_images" / "10006" / f"{number}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        dicom(path) if ending == "dcm" else write_png(path, pixels())
    catalogue = read(tmp_path, "rsna")
    assert catalogue.images["label"].tolist() == ["normal", "benign", "malignant"]
    assert catalogue.images["patient_id"].tolist() == ["10006"] * 3
    assert catalogue.lesions[BOX].isna().all(axis=None)
    expected = [] if ending == "dcm" else ["file_of_another_format"]
    assert catalogue.quarantine["code"].tolist() == expected


# ------------------------------------------------------------------ INbreast


def write_plist(path, rois):
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [
        {"Name": name, "NumberOfPoints": len(points), "IndexInImage": number,
         "Point_px": [f"({x:f}, {y:f})" for x, y in points]}
        for number, (name, points) in enumerate(rois)
    ]  # fmt: skip
    image = {"ImageIndex": 0, "NumberOfROIs": len(entries), "ROIs": entries}
    path.write_bytes(plistlib.dumps({"Images": [image]}))


@pytest.fixture
def inbreast(tmp_path):
    root = tmp_path / "INbreast"
    names = "Patient ID,Patient age,Laterality,View,Acquisition date,File Name,ACR,Bi-Rads"
    rows = [
        ["removed", "removed", "R", "CC", "201001", 22678622, 4, "4c"],
        ["removed", "removed", "R", "MLO", "201001", 22678646, 4, "1"],
        ["removed", "removed", "L", "CC", "201001", 22678670, 2, "2"],
    ]
    write_csv(root / "INbreast.csv", [names.split(","), *rows], delimiter=";")
    dicom(root / "AllDICOMs" / "22678622_61b13c59bcba149e_MG_R_CC_ANON.dcm")
    dicom(root / "AllDICOMs" / "22678646_61b13c59bcba149e_MG_R_ML_ANON.dcm")
    dicom(root / "AllDICOMs" / "22678670_81cd83d2f4d78528_MG_L_CC_ANON.dcm")
    square = [(10, 20), (19, 20), (19, 39), (10, 39)]
    rois = [("Mass", square), ("Calcification", [(30, 5)]), ("Calcification", [(32, 8)])]
    write_plist(root / "AllXML" / "22678622.xml", rois)
    return tmp_path


def test_inbreast(inbreast):
    catalogue = read(inbreast, "inbreast")
    assert catalogue.images["label"].tolist() == ["malignant", "normal", "benign"]
    assert catalogue.images["patient_id"].tolist() == ["61b13c59bcba149e"] * 2 + [
        "81cd83d2f4d78528"
    ]
    assert catalogue.lesions["kind"].tolist() == ["mass", "calcification", "mass"]
    assert catalogue.lesions["assessment"].tolist() == [4, 4, 2]
    mass, points = (read_mask(Path(p), *SHAPE) for p in catalogue.lesions["mask_path"][:2])
    assert mass[20:40, 10:20].all()
    assert mass.sum() == 200
    assert np.argwhere(points).tolist() == [[5, 30], [8, 32]]
    assert catalogue.quarantine.empty


def test_entities_in_contours_are_refused(inbreast):
    path = inbreast / "INbreast" / "AllXML" / "22678622.xml"
    text = path.read_text().replace("<plist", '<!DOCTYPE p [<!ENTITY a "b">]><plist', 1)
    path.write_text(text.replace("Mass", "&a;"))
    with pytest.raises(DataError, match="no contours of INbreast"):
        read(inbreast, "inbreast")


# ------------------------------------------------------------------ CMMD


def test_cmmd(tmp_path):
    root = tmp_path / "CMMD"
    names = ["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"]
    rows = [
        ["D1-0001", "R", 44, 2, "calcification", "Benign", None],
        ["D2-0002", "L", 60, 2, "both", "Malignant", "Luminal A"],
        ["D2-0003", "L", 60, 2, "mass", "Malignant", None],
    ]
    write_xlsx(root / "CMMD_clinicaldata_revision.xlsx", [names, *rows])
    for number, (patient, side, view) in enumerate(
        [("D1-0001", "R", "CC"), ("D1-0001", "R", "MLO"), ("D2-0002", "L", "CC"),
         ("D2-0002", "R", "CC")]
    ):  # fmt: skip
        path = root / "CMMD" / patient / "07-18-2010-NA" / "1.0-NA" / f"1-{number}.dcm"
        dicom(path, PatientID=patient, ImageLaterality=side, ViewPosition=view,
              SeriesInstanceUID=f"1.2.{number}")  # fmt: skip
    catalogue = read(tmp_path, "cmmd", max_lost=0.5)
    assert catalogue.images["label"].tolist() == ["benign", "benign", "malignant"]
    assert catalogue.images["view"].tolist() == ["CC", "MLO", "CC"]
    assert catalogue.lesions["kind"].tolist() == ["calcification"] * 2 + ["mass", "calcification"]
    reasons = " ".join(catalogue.quarantine["reason"])
    assert "1 images are of breasts without a row" in reasons
    assert "D2-0003 L: no DICOM file of it" in reasons


def test_a_breast_of_cmmd_with_two_rows_has_the_worse_label(tmp_path):
    root = tmp_path / "CMMD"
    names = ["ID1", "LeftRight", "abnormality", "classification"]
    rows = [["D1-0001", "R", "mass", "Benign"], ["D1-0001", "R", "mass", "Malignant"]]
    write_xlsx(root / "CMMD_clinicaldata_revision.xlsx", [names, *rows])
    dicom(root / "1.dcm", PatientID="D1-0001", ImageLaterality="R", SeriesInstanceUID="1.2")
    catalogue = read(tmp_path, "cmmd")
    assert catalogue.images["label"].tolist() == ["malignant"]
    assert catalogue.lesions["pathology"].tolist() == ["benign", "malignant"]
    assert catalogue.quarantine.empty


# ------------------------------------------------------------------ CDD-CESM


def test_cesm(tmp_path):
    root = tmp_path / "CDD-CESM"
    names = ["Image_name", "Patient_ID", "Side", "Type", "Age", "Breast density (ACR)", "BIRADS"]
    names += ["Findings", "View", "Tags", "Machine", "Pathology Classification/ Follow up"]
    rows = [
        [f"P1_L_{kind}_CC ", 1, "L", kind, 51, "C", "5", "mass", "CC", "", 1, "Malignant"]
        for kind in ("DM", "CM", "DM")  # an image of two findings has two rows
    ]
    rows[2][7] = "calcifications"
    rows.append(["P2_R_DM_MLO", 2, "R", "DM", 40, "B", "1", "Normal", "MLO", "", 1, "Normal"])
    write_csv(root / "Radiology-manual-annotations.csv", [names, *rows])
    polygon = {"name": "polygon", "all_points_x": [5, 14, 14, 5], "all_points_y": [6, 6, 15, 15]}
    ellipse = {"name": "ellipse", "cx": 25, "cy": 40, "rx": 8, "ry": 4, "theta": 0}
    head = ["#filename", "file_size", "file_attributes", "region_count", "region_id"]
    head += ["region_shape_attributes", "region_attributes"]
    via = [["P1_L_DM_CC.jpg", 1, "{}", 2, n, json.dumps(s), "{}"]
           for n, s in enumerate([polygon, ellipse])]  # fmt: skip
    write_csv(root / "Radiology_hand_drawn_segmentations_v2.csv", [head, *via])
    for name in ("P1_L_DM_CC", "P2_R_DM_MLO"):
        jpeg(root / "Low energy images of CDD-CESM" / f"{name}.jpg")
    catalogue = read(tmp_path, "cesm")
    assert catalogue.images["label"].tolist() == ["malignant", "normal"]
    areas = [read_mask(Path(p), *SHAPE).sum() for p in catalogue.lesions["mask_path"]]
    assert areas[0] == 100
    assert areas[1] == pytest.approx(np.pi * 8 * 4, rel=0.2)
    assert catalogue.quarantine["reason"].tolist() == [
        "1 rows are of subtracted images, which are no mammograms"
    ]


def test_rows_of_cesm_with_several_labels_all_count(tmp_path):
    root = tmp_path / "CDD-CESM"
    names = ["Image_name", "Patient_ID", "Side", "Breast density (ACR)", "BIRADS", "View"]
    names.append("Pathology Classification/ Follow up")
    rows = [["P1_L_DM_CC", 1, "L", "C", 2, "CC", name] for name in ("Benign", "Malignant")]
    write_csv(root / "Radiology-manual-annotations.csv", [names, *rows])
    shape = {"name": "circle", "cx": 20, "cy": 30, "r": 6}
    head = ["#filename", "region_shape_attributes"]
    via = [head, ["P1_L_DM_CC.jpg", json.dumps(shape)]]
    write_csv(root / "Radiology_hand_drawn_segmentations_v2.csv", via)
    jpeg(root / "Low energy images of CDD-CESM" / "P1_L_DM_CC.jpg")
    catalogue = read(tmp_path, "cesm")
    assert catalogue.images["label"].tolist() == ["malignant"]
    assert catalogue.lesions["mask_path"].tolist() == ["", ""]
    assert "several labels are not used: P1_L_DM_CC" in catalogue.quarantine["reason"].item()


# ------------------------------------------------------------------ Mini-DDSM


def test_mini_ddsm(tmp_path):
    root = tmp_path / "MINI-DDSM-Complete-JPEG-8"
    names = ["fullPath", "fileName", "Tumour_Contour", "Tumour_Contour2", "Status"]
    stem = "C_0029_1.LEFT_CC"
    rows = [
        [f"Cancer\\0029\\{stem}.jpg", f"{stem}.jpg", f"Cancer\\0029\\{stem}_Mask.jpg",
         f"Cancer\\0029\\{stem}_Mask2.jpg", "Cancer"],
        ["Normal\\0001\\A_0001_1.RIGHT_MLO.jpg", "A_0001_1.RIGHT_MLO.jpg", "-", "-", "Normal"],
    ]  # fmt: skip
    write_xlsx(root / "DataWMask.xlsx", [names, *rows])
    jpeg(root / "Cancer" / "0029" / f"{stem}.jpg")
    jpeg(root / "Normal" / "0001" / "A_0001_1.RIGHT_MLO.jpg")
    for number, ending in enumerate(("_Mask", "_Mask2")):
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[10 + 20 * number : 20 + 20 * number, 3:13] = 255
        jpeg(root / "Cancer" / "0029" / f"{stem}{ending}.jpg", mask)
    catalogue = read(tmp_path, "mini_ddsm")
    assert catalogue.images["label"].tolist() == ["malignant", "normal"]
    assert catalogue.images["patient_id"].tolist() == ["C_0029", "A_0001"]
    assert catalogue.images["laterality"].tolist() == ["L", "R"]
    assert [read_mask(Path(p), *SHAPE).sum() for p in catalogue.lesions["mask_path"]] == [100] * 2
    assert catalogue.quarantine.empty


# ------------------------------------------------------------------ COCO and Pascal VOC


def read_own(root, **settings):
    changes = {"source": "folder", "data_root": str(root)} | settings
    return read_source(replace(LAB_SETTINGS, **changes), root / "cache")


@pytest.fixture
def pictures(tmp_path):
    for name in ("p1_a.png", "p2_b.png"):
        write_png(tmp_path / name, pixels())
    return tmp_path


def coco(**changes):
    images = [{"id": n, "file_name": name, "height": 60, "width": 40}
              for n, name in enumerate(("p1_a.png", "p2_b.png"))]  # fmt: skip
    square = [10, 20, 19, 20, 19, 39, 10, 39]
    annotations = [
        {"id": 7, "image_id": 0, "category_id": 1, "bbox": [10, 20, 10, 20],
         "segmentation": [square]},
        {"id": 8, "image_id": 0, "category_id": 2, "bbox": [1, 2, 5, 6]},
    ]  # fmt: skip
    categories = [{"id": 1, "name": "malignant"}, {"id": 2, "name": "benign"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(content | changes)


def test_coco(pictures):
    (pictures / "a.json").write_text(coco())
    settings = {"table": "a.json", "table_form": "coco"}
    catalogue = read_own(pictures, columns={"patient": "{file_name:^[^_]+}"}, **settings)
    assert catalogue.images["label"].tolist() == ["malignant", "normal"]
    assert catalogue.images["patient_id"].tolist() == ["p1", "p2"]
    assert catalogue.lesions[BOX].to_numpy().tolist() == [[20, 10, 40, 20], [2, 1, 8, 6]]
    assert read_mask(Path(catalogue.lesions["mask_path"][0]), *SHAPE).sum() == 200
    with pytest.raises(DataError, match="no column 'patient'"):
        read_own(pictures, **settings)


def test_a_mask_of_coco_as_run_lengths(pictures):
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[20:40, 10:20] = 1
    flat = mask.T.ravel()  # column by column, beginning with a run of zeros
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    item = {"id": 7, "image_id": 0, "category_id": 1, "bbox": [10, 20, 10, 20],
            "segmentation": {"size": list(SHAPE), "counts": counts}}  # fmt: skip
    (pictures / "a.json").write_text(coco(annotations=[item]))
    catalogue = read_own(
        pictures, table="a.json", table_form="coco", columns={"patient": "file_name"}
    )
    assert np.array_equal(read_mask(Path(catalogue.lesions["mask_path"][0]), *SHAPE), mask > 0)


def test_pascal_voc(pictures):
    folder = pictures / "Annotations"
    folder.mkdir()
    box = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>20</xmax><ymax>40</ymax></bndbox>"
    lesion = f"<object><name>cancer</name>{box}</object>"
    for name, content in (("p1_a", lesion), ("p2_b", "")):
        text = f"<annotation><filename>{name}.png</filename>{content}</annotation>"
        (folder / f"{name}.xml").write_text(text)
    settings = {"table": "Annotations", "table_form": "voc"}
    columns = {"path": "{filename}", "patient": "{filename:^[^_]+}"}
    catalogue = read_own(pictures, columns=columns, **settings)
    assert catalogue.images["label"].tolist() == ["malignant", "normal"]
    assert catalogue.lesions.loc[0, BOX].tolist() == [20, 10, 40, 20]
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'
    (folder / "p3.xml").write_text(bomb)
    with pytest.raises(DataError, match="declares XML entities"):
        read_own(pictures, columns=columns, **settings)


def test_voc_files_in_capitals_and_in_folders_below_are_read(pictures):
    for name, xml in (("p1_a", "train/p1_a.xml"), ("p2_b", "P2_B.XML")):
        path = pictures / "Annotations" / xml
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<annotation><filename>{name}.png</filename></annotation>")
    columns = {"path": "{filename}", "patient": "{filename:^[^_]+}"}
    catalogue = read_own(pictures, table="Annotations", table_form="voc", columns=columns)
    assert sorted(catalogue.images["patient_id"]) == ["p1", "p2"]


def test_what_is_no_coco_is_said(pictures):
    (pictures / "a.json").write_text('{"images": [1]}')
    with pytest.raises(DataError, match="no COCO annotations"):
        read_own(pictures, table="a.json", table_form="coco")
