"""Kaggle's copy of CBIS-DDSM: JPEG of 8 bits in folders called by their series."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from conftest import real_data
from helpers.small_cbis import NAMES, Roi, drawn, picture, write_csvs
from PIL import Image
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import read_header, read_pixels
from second_look.errors import DataError, MissingDataError
from second_look.preparing.outlines import draw_outlines
from second_look.sources.cbis_ddsm import find_csvs, read_cbis, read_descriptions

SHAPE = (240, 160)
LESION = (43, 83, 27, 67)


def save(folder, series, name, pixels):
    path = folder / "jpeg" / series / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=75)


def write_copy(root, rois):
    """csv/ with the four tables and dicom_info.csv, and jpeg/<series>/<number>-<number>.jpg."""
    write_csvs(root / "csv", rois)
    lines = ["file_path,image_path,PatientID,SeriesDescription,SeriesInstanceUID"]
    for number, roi in enumerate(rois):
        save(root, roi.image, f"1-{100 + number}.jpg", picture(SHAPE, 8, number))
        # The crop and the mask share a series here, in either order.
        names = [f"1-{200 + number}.jpg", f"2-{300 + number}.jpg"]
        crop, mask = names if number % 2 else names[::-1]
        save(root, roi.crop, crop, picture((40, 40), 8, number))
        save(root, roi.mask, mask, drawn(SHAPE, LESION))
        lines.append(f"x,CBIS-DDSM/jpeg/{roi.image}/1-{100 + number}.jpg,p,full,{roi.image}")
    (root / "csv" / "dicom_info.csv").write_text("\n".join(lines))
    return root


@pytest.fixture
def rois():
    return [
        Roi(patient="P_00001", pathology="BENIGN"),
        Roi(patient="P_00002", view="MLO"),
        Roi(patient="P_00003", kind="calc", split="test", pathology="BENIGN_WITHOUT_CALLBACK"),
    ]


def test_the_copy_gives_the_images_and_lesions_of_the_tables(tmp_path, rois):
    catalogue = read_cbis(write_copy(tmp_path / "cbis", rois), tmp_path)
    assert catalogue.images["image_id"].tolist() == [roi.key for roi in rois]
    assert catalogue.images["label"].tolist() == ["benign", "malignant", "benign_without_callback"]
    assert catalogue.images["split"].tolist() == ["train", "train", "test"]
    assert set(catalogue.images["bits"]) == {8}
    masks = [read_mask(path, *SHAPE) for path in map(Path, catalogue.lesions["mask_path"])]
    for mask in masks:
        assert np.array_equal(mask, drawn(SHAPE, LESION) > 0)
    assert catalogue.quarantine["code"].tolist() == ["file_of_another_format"]
    reason = catalogue.quarantine["reason"][0]
    assert "9 files are pictures of 8 bits, where CBIS-DDSM is published as DICOM of 16" in reason


def test_ringing_around_a_lesion_of_a_jpeg_is_not_lesion(tmp_path, rois):
    """Read as "non-zero is inside", this mask would reach up to 8 px too far."""
    catalogue = read_cbis(write_copy(tmp_path / "cbis", rois[:1]), tmp_path)
    path = Path(catalogue.lesions["mask_path"][0])
    assert (read_pixels(path) > 0).sum() > (drawn(SHAPE, LESION) > 0).sum()
    lesion = catalogue.lesions.to_dict("records")[0]
    (outline,) = draw_outlines([lesion], np.ones(SHAPE, dtype=bool))
    assert outline.area_px == 40 * 40


def test_a_crop_of_the_size_of_the_image_is_no_mask(tmp_path, rois):
    root = write_copy(tmp_path / "cbis", rois[:1])
    for path in (root / "jpeg" / rois[0].crop).glob("*.jpg"):
        if read_header(path).rows == 40:
            Image.fromarray(picture(SHAPE, 8, 7)).save(path)
    catalogue = read_cbis(root, tmp_path)
    assert read_mask(Path(catalogue.lesions["mask_path"][0]), *SHAPE).sum() == 40 * 40


def test_a_missing_and_a_broken_picture_are_said(tmp_path, rois):
    root = write_copy(tmp_path / "cbis", rois)
    for path in (root / "jpeg" / rois[0].image).iterdir():
        path.unlink()
    for path in (root / "jpeg" / rois[1].image).iterdir():
        path.write_bytes(b"\xff\xd8\xff and no more")
    catalogue = read_cbis(root, tmp_path)
    assert catalogue.images["image_id"].tolist() == [rois[2].key]
    effects = catalogue.quarantine["effect"].tolist()
    assert effects.count("image left out") == 2
    with pytest.raises(DataError, match="pictures of 8 bits"):
        read_cbis(root, tmp_path, strict=True)


def test_without_files_the_message_counts_both_kinds(tmp_path, rois):
    write_csvs(tmp_path / "csv", rois)
    with pytest.raises(MissingDataError, match="among 0 DICOM files and 0 pictures"):
        read_cbis(tmp_path, tmp_path)


@pytest.mark.real_data
def test_rows_of_the_real_tables_find_their_pictures(tmp_path):
    """Tiny pictures in the copy's layout for the first rows of each real table."""
    folder = real_data(*(f"cbis-ddsm/{name}" for name in NAMES.values())) / "cbis-ddsm"
    for path in find_csvs(folder).values():
        with path.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.reader(stream))[:13]
        with (tmp_path / path.name).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(lines)
    rows = read_descriptions(list(find_csvs(tmp_path).values()))
    for row in rows.itertuples():
        save(tmp_path, row.image_series, "1-001.jpg", picture(SHAPE, 8))
        save(tmp_path, row.crop_series, "1-002.jpg", picture((40, 40), 8))
        save(tmp_path, row.mask_series, "2-003.jpg", drawn(SHAPE, LESION))
    catalogue = read_cbis(tmp_path, tmp_path / "cache")
    assert set(catalogue.images["image_id"]) == set(rows["image_key"])
    assert len(catalogue.lesions) == len(rows) == 48
    assert (catalogue.lesions["mask_path"] != "").all()
