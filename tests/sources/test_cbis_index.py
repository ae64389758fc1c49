"""The index of DICOM headers: any layout, any name, every way a file can be broken."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian
from second_look.errors import DataError, MissingDataError
from second_look.sources import cbis_index
from second_look.sources.cbis_index import COLUMNS, index_files, walk_files

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def write_dicom(path, series, sop, *, shape=(6, 4), bits=16, without=(), **tags):
    """A file in CBIS-DDSM's form: implicit little endian, secondary capture, MONOCHROME2."""
    pixels = np.arange(shape[0] * shape[1]).reshape(shape).astype(f"<u{bits // 8}")
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID = SECONDARY_CAPTURE, sop, series
    data.PatientID, data.SeriesDescription = "Mass-Training_P_00001_LEFT_CC", "cropped images"
    data.Modality, data.SamplesPerPixel = "MG", 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
    data.Rows, data.Columns = shape
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    for name in without:
        delattr(data, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


LAYOUTS = {
    "classic": "Mass-Training_P_00001_LEFT_CC/1.2.840.1/1.2.840.2/000000.dcm",
    "old retriever": "S/10-04-2016-DDSM-09887/1-cropped images-26184/000001.dcm",
    "new retriever": "CBIS-DDSM/S/09-06-2017-DDSM-NA-65566/1.000000-ROI mask images-91132/1-1.dcm",
    "idc-index": "cbis_ddsm/S/1.2.840.1/MG_1.2.840.2/0b2ad2f4-4f0d.dcm",
    "no ending": "flat/IM000001",
    "wrong ending": "flat/picture.PNG",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_read_from_the_header(root, cache, layout):
    path = write_dicom(root / layout, "1.2.840.77", "1.2.840.78", shape=(6, 4), bits=8)
    index = index_files(root, cache)
    state = path.stat()
    assert tuple(index.columns) == COLUMNS
    assert index.to_dict("records") == [
        {
            "path": layout,
            "size": state.st_size,
            "mtime_ns": state.st_mtime_ns,
            "series_uid": "1.2.840.77",
            "sop_uid": "1.2.840.78",
            "patient_id": "Mass-Training_P_00001_LEFT_CC",
            "description": "cropped images",
            "rows": 6,
            "cols": 4,
            "bits_stored": 8,
            "bits_allocated": 8,
            "problem": "",
        }
    ]


def test_other_files_are_left_alone_and_counted(root, cache):
    write_dicom(root / "a" / "1-1.dcm", "1.2.1", "1.2.2")
    (root / "LICENSE").write_text("CC BY 3.0")
    (root / "metadata.csv").write_bytes(b"x" * 500)
    (root / "empty").write_bytes(b"")
    (root / "a" / "._1-1.dcm").write_bytes(b"\0\5\26\7")
    index = index_files(root, cache)
    assert list(index["path"]) == ["a/1-1.dcm"]
    assert index.attrs["ignored"] == 3
    assert index_files(root, cache).attrs["ignored"] == 3


def test_an_empty_folder_gives_an_empty_table_and_none_an_error(root, cache):
    index = index_files(root, cache)
    assert index.empty
    assert tuple(index.columns) == COLUMNS
    with pytest.raises(MissingDataError, match=r"nowhere: there is no such folder.*data_root"):
        index_files(root / "nowhere", cache)


def cut(path, count):
    path.write_bytes(path.read_bytes()[:-count])


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.write_bytes(b""), "the name says DICOM, the content does not"),
        (lambda path: path.write_bytes(b"<html>" * 99), "the name says DICOM"),
        (lambda path: path.write_bytes(path.read_bytes()[:140]), "the header cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:400]), "the header cannot be read"),
        (lambda path: cut(path, 1), "truncated: expected 8"),
        (lambda path: write_dicom(path, "1.2.1", "1.2.2", without=["Rows"]), "without Rows"),
        (
            lambda path: write_dicom(path, "1.2.1", "1.2.2", without=["SeriesInstanceUID"]),
            "without SeriesInstanceUID",
        ),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "is a link to nowhere"),
    ],
    ids=["empty", "a web page", "cut 1", "cut 2", "cut 3", "no size", "no series", "dead link"],
)
def test_a_broken_file_is_a_row_that_says_why(root, cache, spoil, problem):
    write_dicom(root / "good.dcm", "1.2.8", "1.2.9")
    spoil(write_dicom(root / "x" / "bad.dcm", "1.2.1", "1.2.2", shape=(80, 50)))
    index = index_files(root, cache).set_index("path")
    assert list(index.index) == ["good.dcm", "x/bad.dcm"]
    assert problem in index.loc["x/bad.dcm", "problem"]
    assert index.loc["good.dcm", "problem"] == ""
    if problem.startswith("truncated"):
        assert index.loc["x/bad.dcm", "series_uid"] == "1.2.1"


def test_a_file_that_disappears_or_is_locked_is_a_row(root, cache, monkeypatch):
    for name in ("gone", "kept", "locked"):
        write_dicom(root / f"{name}.dcm", f"1.2.{len(name)}", "1.2.2")
    first_bytes = cbis_index._first_bytes

    def unlucky(path):
        if path.name == "gone.dcm":
            path.unlink(missing_ok=True)
        if path.name == "locked.dcm":
            monkeypatch.setattr(Path, "open", denied)
        try:
            return first_bytes(path)
        finally:
            monkeypatch.setattr(Path, "open", real_open)

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    real_open = Path.open
    monkeypatch.setattr(cbis_index, "_first_bytes", unlucky)
    index = index_files(root, cache, workers=1).set_index("path")
    assert "the file is gone" in index.loc["gone.dcm", "problem"]
    assert "cannot be opened (Permission denied)" in index.loc["locked.dcm", "problem"]
    assert index.loc["kept.dcm", "problem"] == ""
    monkeypatch.undo()
    again = index_files(root, cache)
    assert list(again["path"]) == ["kept.dcm", "locked.dcm"]
    assert set(again["problem"]) == {""}


def test_only_new_and_changed_files_are_read_again(root, cache, monkeypatch):
    for name in "abc":
        write_dicom(root / name, "1.2.1", f"1.2.{ord(name)}")
    (root / "notes.txt").write_text("no DICOM")
    index_files(root, cache)
    read = []
    first_bytes = cbis_index._first_bytes
    monkeypatch.setattr(
        cbis_index, "_first_bytes", lambda path: read.append(path.name) or first_bytes(path)
    )
    index_files(root, cache)
    assert read == []
    write_dicom(root / "b", "1.2.2", "1.2.98", shape=(9, 9))
    state = (root / "c").stat()
    os.utime(root / "c", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    write_dicom(root / "d", "1.2.1", "1.2.100")
    (root / "a").unlink()
    index = index_files(root, cache)
    assert sorted(read) == ["b", "c", "d"]
    assert list(index["path"]) == ["b", "c", "d"]
    assert index.loc[0, ["series_uid", "rows"]].tolist() == ["1.2.2", 9]


def test_a_cached_index_equals_a_fresh_one_and_a_broken_cache_is_made_anew(root, cache):
    for number in range(3):
        write_dicom(root / f"{number}" / "1-1.dcm", f"1.2.{number}", f"1.3.{number}")
    fresh = index_files(root, cache)
    pd.testing.assert_frame_equal(index_files(root, cache), fresh)
    cached = list(cache.iterdir())
    assert len(cached) == 1
    cached[0].write_bytes(b"PAR1 no longer")
    pd.testing.assert_frame_equal(index_files(root, cache), fresh)
    pd.DataFrame({"path": ["0/1-1.dcm"]}).to_parquet(cached[0])
    pd.testing.assert_frame_equal(index_files(root, cache), fresh)


def test_two_folders_share_a_cache_and_the_index_is_no_data(root, tmp_path):
    write_dicom(root / "x" / "a.dcm", "1.2.1", "1.2.2")
    write_dicom(root / "y" / "b.dcm", "1.2.1", "1.2.2")
    assert list(index_files(root / "x", root)["path"]) == ["a.dcm"]
    assert list(index_files(root / "y", root)["path"]) == ["b.dcm"]
    index = index_files(root, root)
    assert (list(index["path"]), index.attrs["ignored"]) == (["x/a.dcm", "y/b.dcm"], 0)


def test_a_header_longer_than_the_first_bytes_is_read_from_the_file(root, cache):
    write_dicom(root / "a.dcm", "1.2.1", "1.2.2", DarkCurrentCounts=b"x" * 40_000)
    index = index_files(root, cache)
    assert index.loc[0, ["rows", "cols", "problem"]].tolist() == [6, 4, ""]


def test_links_are_followed_once_and_pipes_not_at_all(root, cache, tmp_path):
    write_dicom(tmp_path / "elsewhere" / "a.dcm", "1.2.1", "1.2.2")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.dcm")
    assert len(index_files(root, cache)) == 1


def test_a_name_that_is_no_utf8_is_a_row(root, cache):
    path = write_dicom(root / "a.dcm", "1.2.1", "1.2.2")
    try:
        path.rename(os.fsdecode(os.fsencode(root) + b"/\xff.dcm"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    index = index_files(root, cache)
    assert "its name is not UTF-8" in index.loc[0, "problem"]


def test_a_folder_that_may_not_be_read_is_named(root, monkeypatch):
    def denied(folder):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match=r"data: the folder may not be read\. Change its rights"):
        list(walk_files(root))
