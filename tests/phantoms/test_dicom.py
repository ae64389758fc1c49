"""DICOM files of phantoms: valid, of the form of CBIS-DDSM, and where each download puts them."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from conftest import real_data
from helpers.cbis_on_disk import write
from pydicom.uid import UID
from second_look.decoding.pixels import read_header, read_pixels
from second_look.errors import DataError
from second_look.phantoms.dicom import CbisFile, path_in_layout, uid_of, write_dicom
from second_look.phantoms.phantom import PhantomSettings

# The mask of the second mass in the official test CSV, as the archive lists it.
STUDY = "1.3.6.1.4.1.9590.100.1.2.259596319110047779433501728143778409887"
SERIES = "1.3.6.1.4.1.9590.100.1.2.30820586311062570442302321942433426184"
SUBJECT = "Mass-Test_P_00016_LEFT_CC_1"
FILE = CbisFile(
    subject=SUBJECT,
    study_uid=STUDY,
    series_uid=SERIES,
    sop_uid=uid_of("file"),
    number=1,
    description="ROI mask images",
    patient_id=SUBJECT,
    listed_description="cropped images",
    listed_patient=SUBJECT,
    study_date="20161004",
)
BARE = replace(FILE, listed_description="", study_date="", listed_patient="P_00016_LEFT_CC.dcm")
PIXELS = np.arange(63 * 65, dtype=np.uint16).reshape(63, 65)


@pytest.mark.parametrize(
    ("layout", "file", "expected"),
    [
        ("classic", FILE, f"{SUBJECT}/{STUDY}/{SERIES}/000001.dcm"),
        (
            "nbia",
            FILE,
            f"CBIS-DDSM/{SUBJECT}/10-04-2016-DDSM-NA-09887/1.000000-cropped images-26184/1-2.dcm",
        ),
        (
            "old",
            FILE,
            f"CBIS-DDSM/{SUBJECT}/10-04-2016-DDSM-09887/1-cropped images-26184/000001.dcm",
        ),
        ("nbia", BARE, f"CBIS-DDSM/{SUBJECT}/NA-DDSM-NA-09887/1.000000-NA-26184/1-2.dcm"),
        ("old", BARE, f"CBIS-DDSM/{SUBJECT}/DDSM-09887/1-26184/000001.dcm"),
    ],
)
def test_a_file_lies_where_the_layout_puts_it(layout, file, expected):
    assert path_in_layout(file, layout).as_posix() == expected


def test_places_of_the_index_differ_by_file_only():
    first, second = (path_in_layout(replace(BARE, number=n), "idc") for n in (0, 1))
    folder = f"cbis_ddsm/P_00016_LEFT_CC.dcm/{STUDY}/MG_{SERIES}"
    assert first.parent.as_posix() == second.parent.as_posix() == folder
    assert first.name != second.name


def test_an_unknown_layout_is_refused():
    with pytest.raises(DataError, match="unknown layout 'zip'"):
        path_in_layout(FILE, "zip")


@pytest.mark.real_data
def test_the_new_layout_has_the_real_names():
    folder = real_data("cbis-ddsm/nbia-metadata-rois.csv") / "cbis-ddsm"
    with (folder / "nbia-metadata-rois.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3669
    for row in rows:
        month, day, year = row["Study_Date"].split("-")
        file = replace(
            FILE,
            subject=row["Subject_ID"],
            study_uid=row["Study_UID"],
            series_uid=row["Series_UID"],
            listed_description=row["Series_Description"],
            study_date=year + month + day,
        )
        listed = row["File_Location"].removeprefix(".\\").replace("\\", "/")
        assert path_in_layout(file, "nbia").parent.as_posix() == listed


def test_uids_are_valid_and_follow_from_their_words():
    uids = [uid_of("a"), uid_of("b"), uid_of("a", "b"), uid_of("ab"), uid_of(1, "a")]
    assert len(set(uids)) == len(uids)
    assert all(UID(uid).is_valid for uid in uids)
    assert uid_of("a", "b") == uids[2]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(63, 65), (64, 65)])
def test_pixels_come_back_with_the_header(tmp_path, dtype, shape):
    pixels = (np.arange(shape[0] * shape[1]).reshape(shape) * 13).astype(dtype)
    path = tmp_path / "deep" / "a.dcm"
    write_dicom(path, FILE, pixels)
    data = pydicom.dcmread(path)
    assert data.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    assert data.SOPClassUID == data.file_meta.MediaStorageSOPClassUID
    assert data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert data.SOPInstanceUID == data.file_meta.MediaStorageSOPInstanceUID == FILE.sop_uid
    assert (data.StudyInstanceUID, data.SeriesInstanceUID) == (STUDY, SERIES)
    assert (data.Modality, data.PhotometricInterpretation) == ("MG", "MONOCHROME2")
    assert data.ConversionType == "DF"  # digitised film
    assert len(data.PixelData) % 2 == 0  # PS3.5, 6.2
    assert (data.PatientID, data.StudyID, data.StudyDate) == (SUBJECT, "DDSM", "20161004")
    assert (data.SeriesDescription, data.InstanceNumber) == ("ROI mask images", 2)
    assert data.BitsAllocated == data.BitsStored == data.HighBit + 1 == 8 * pixels.itemsize
    assert data.pixel_array.dtype == dtype
    assert np.array_equal(data.pixel_array, pixels)
    assert np.array_equal(read_pixels(path), pixels)
    assert (read_header(path).rows, read_header(path).cols) == shape
    assert [entry.name for entry in path.parent.iterdir()] == ["a.dcm"]


def test_mirrored_pixels_come_back(tmp_path):
    mirrored = PIXELS[:, ::-2]
    write_dicom(tmp_path / "a.dcm", FILE, mirrored)
    assert np.array_equal(pydicom.dcmread(tmp_path / "a.dcm").pixel_array, mirrored)


@pytest.mark.parametrize(
    ("subject", "laterality", "orientation"),
    [
        ("Mass-Test_P_00016_LEFT_CC", "L", ["A", "R"]),
        ("Mass-Test_P_00016_RIGHT_CC_2", "R", ["P", "L"]),
        ("Calc-Test_P_00016_LEFT_MLO_1", "L", ["A", "FR"]),
        ("Calc-Test_P_00016_RIGHT_MLO", "R", ["P", "FL"]),
    ],
)
def test_the_header_says_which_way_the_breast_points(tmp_path, subject, laterality, orientation):
    write_dicom(tmp_path / "a.dcm", replace(FILE, subject=subject), PIXELS)
    data = pydicom.dcmread(tmp_path / "a.dcm")
    assert (data.Laterality, list(data.PatientOrientation)) == (laterality, orientation)


@pytest.mark.parametrize("pixels", [PIXELS.astype(np.int16), PIXELS[0], PIXELS / 2])
def test_other_arrays_are_refused(tmp_path, pixels):
    with pytest.raises(DataError, match="expected \\(rows, cols\\) of uint8 or uint16"):
        write_dicom(tmp_path / "a.dcm", FILE, pixels)
    assert list(tmp_path.iterdir()) == []


def test_the_validator_finds_no_error(tmp_path):
    validator = shutil.which("dciodvfy")
    if validator is None:
        pytest.skip("no dciodvfy here: install Debian's package dicom3tools")
    # 129 x 97 px: an odd number, so that the mask is padded.
    settings = PhantomSettings(
        patients=4, rows=129, cols=97, seed=0, label_shares=(0, 0.3, 0.3, 0.4)
    )
    folder: Path = tmp_path / "set"
    written = write(folder, settings)
    kinds = set()
    for files in written.series.values():
        for path, file in files.items():
            kinds.add((file.SeriesDescription, file.Laterality, file.PatientOrientation[1]))
            run = subprocess.run(
                [validator, folder / path], capture_output=True, text=True, timeout=60, check=False
            )
            report = run.stdout + run.stderr
            assert "SCImage" in report  # it knows what it looks at
            assert "Error" not in report
    assert len({description for description, _, _ in kinds}) == 3
    assert len(kinds) >= 6
