"""COCO and Pascal VOC with less in them than usual, and made on pictures of another size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import write_png
from second_look.errors import DataError
from second_look.preparing.dataset import LAB_SETTINGS
from second_look.preparing.reading import read_source

BOX = ["row_min", "col_min", "row_max", "col_max"]
SHAPE = (60, 40)
NAMES = ("p1_a.png", "p2_b.png", "p3_c.png")
SQUARE = [10, 20, 19, 20, 19, 39, 10, 39]


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name in NAMES:
        write_png(tmp_path / name, rng.integers(0, 250, SHAPE).astype(np.uint8))
    return tmp_path


def coco(root, *, size=SHAPE, factor=1.0, outline=False, **changes):
    """One image with a lesion, whose annotations are `factor` times as large as SHAPE."""
    images = [
        {"id": number, "file_name": name, "height": size[0], "width": size[1]}
        for number, name in enumerate(NAMES)
    ]
    lesion = {"id": 7, "image_id": 0, "category_id": 1}
    lesion["bbox"] = [factor * number for number in (10, 20, 10, 20)]
    if outline:
        lesion["segmentation"] = [[factor * number for number in SQUARE]]
    content = {"images": images, "annotations": [lesion]}
    content["categories"] = [{"id": 1, "name": "malignant"}]
    (root / "a.json").write_text(json.dumps(content | changes))


def voc(root, *, objects=True, size=SHAPE, factor=1.0):
    folder = root / "xml"
    folder.mkdir()
    for name in NAMES:
        x, y, right, bottom = (factor * number for number in (10, 20, 20, 40))
        box = f"<xmin>{x}</xmin><ymin>{y}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        lesion = f"<object><name>cancer</name><bndbox>{box}</bndbox></object>"
        content = lesion if objects and name == NAMES[0] else ""
        size_text = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
        text = f"<annotation><filename>{name}</filename>{size_text}{content}</annotation>"
        (folder / f"{name}.xml").write_text(text)


def read(root, form="coco", **settings):
    file_name = "file_name" if form == "coco" else "filename"
    columns = {"patient": f"{{{file_name}:^[^_]+}}"}
    if form == "voc":
        columns["path"] = "{filename}"
    settings = {"columns": columns, "table": "a.json" if form == "coco" else "xml"} | settings
    changes = {"source": "folder", "data_root": str(root), "table_form": form} | settings
    return read_source(replace(LAB_SETTINGS, **changes), root / "cache")


@pytest.mark.parametrize("form", ["coco", "voc"])
def test_boxes_without_outlines_are_enough(pictures, form):
    {"coco": coco, "voc": voc}[form](pictures)
    catalogue = read(pictures, form)
    assert catalogue.images["image_id"].tolist() == ["p1_a", "p2_b", "p3_c"]
    assert catalogue.images["label"].tolist() == ["malignant", "normal", "normal"]
    assert catalogue.lesions[BOX].to_numpy().tolist() == [[20, 10, 40, 20]]
    assert catalogue.quarantine.empty


@pytest.mark.parametrize("form", ["coco", "voc"])
def test_pictures_without_any_annotation_are_normal_and_it_is_said(pictures, form):
    if form == "coco":
        coco(pictures, annotations=[], categories=[])
    else:
        voc(pictures, objects=False)
    catalogue = read(pictures, form)
    assert catalogue.images["label"].tolist() == ["normal"] * 3
    assert "not one picture has an annotation" in catalogue.quarantine["reason"].iloc[0]


@pytest.mark.parametrize("form", ["coco", "voc"])
@pytest.mark.parametrize("factor", [0.5, 4])
def test_annotations_of_a_copy_in_another_size_are_scaled_and_it_is_said(pictures, form, factor):
    size = tuple(round(factor * length) for length in SHAPE)
    if form == "coco":
        coco(pictures, size=size, factor=factor, outline=True)
    else:
        voc(pictures, size=size, factor=factor)
    catalogue = read(pictures, form)
    assert catalogue.lesions[BOX].to_numpy().tolist() == [[20, 10, 40, 20]]
    row = catalogue.quarantine.set_index("code").loc["size_differs"]
    assert row["effect"] == "kept, corrected"
    assert "3 pictures have another size than the table states" in row["reason"]
    if form == "coco":
        mask = read_mask(Path(catalogue.lesions["mask_path"].iloc[0]), *SHAPE)
        assert abs(int(mask.sum()) - 200) <= 30


def test_pictures_of_another_shape_than_stated_lose_the_location_or_are_an_error(pictures):
    coco(pictures, size=(SHAPE[1], SHAPE[0]), outline=True)
    with pytest.raises(DataError, match="3 of 3 pictures have another shape than the table states"):
        read(pictures)
    coco(pictures, outline=True)
    content = json.loads((pictures / "a.json").read_text())
    content["images"][0]["width"] = 50
    (pictures / "a.json").write_text(json.dumps(content))
    catalogue = read(pictures)
    assert catalogue.images["label"].tolist() == ["malignant", "normal", "normal"]
    assert catalogue.lesions[BOX].isna().all(axis=None)
    assert catalogue.lesions["mask_path"].tolist() == [""]
    row = catalogue.quarantine.set_index("code").loc["size_differs"]
    assert row["effect"] == "location unknown"
    assert "stated 60 x 50 px, in the file 60 x 40 px" in row["reason"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"annotations": [{"id": 5, "image_id": 99}]}, "annotation 5 has the image_id 99"),
        ({"categories": []}, "annotation 7 has the category_id 1"),
        ({"annotations": None}, "there is no list 'annotations'"),
        ({"images": [{"id": 0}, {}]}, "entry 2 of 'images' has no 'id'"),
        ({"images": [{"id": 0}, {"id": 0}]}, "two entries of 'images' have the id 0"),
        (
            {"images": [{"id": 0, "file_name": NAMES[0]}]},
            "image 0 has no height and width, which the outline of annotation 7 needs",
        ),
    ],
)
def test_what_is_wrong_with_a_coco_file_is_said_in_words(pictures, changes, problem):
    coco(pictures, outline=True, **changes)
    with pytest.raises(DataError, match=problem):
        read(pictures)
    (pictures / "a.json").write_text("[1")
    with pytest.raises(DataError, match="no COCO annotations"):
        read(pictures)


def test_boxes_of_coco_need_no_size(pictures):
    coco(pictures, images=[{"id": 0, "file_name": NAMES[0]}])
    assert read(pictures).lesions[BOX].to_numpy().tolist() == [[20, 10, 40, 20]]
