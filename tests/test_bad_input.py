"""Files that may not be read, or that go while the work is under way: named or set aside."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers.small_cbis import NAMES, Roi, write_set
from helpers.small_dicom import file
from second_look.decoding.pixels import read_header, read_pixels, write_pgm, write_png
from second_look.errors import DataError
from second_look.files import folder_fingerprint
from second_look.preparing.prepare import prepare
from second_look.quarantine import Code
from second_look.sources.cbis_ddsm import read_cbis, read_descriptions
from second_look.sources.ddsm_formats import read_case, read_ljpeg, read_overlay
from second_look.sources.folder import read_folder
from second_look.sources.mias import read_mias

GREY = np.arange(3200, dtype=np.uint16).reshape(64, 50)


def film(seed=0):
    """A bright half disc at the left of dark air."""
    row, col = np.ogrid[:64, :50]
    breast = (row - 32) ** 2 + col**2 < 28**2
    noise = np.random.default_rng(seed).integers(0, 900, breast.shape)
    return np.where(breast, 30000 + noise, noise // 9).astype(np.uint16)


READERS = {
    "picture": ("a.pgm", read_pixels),
    "DICOM": ("a.dcm", read_pixels),
    "header": ("a.dcm", read_header),
    "PNG": ("a.png", read_pixels),
    "own table": ("t.csv", lambda path: read_folder(path, path.parent, dataset="own")),
    "CBIS table": (NAMES["mass", "train"], lambda path: read_descriptions([path])),
    "Info.txt": ("Info.txt", lambda path: read_mias(path.parent, path.parent / "cache")),
    "archive": ("all-mias.tar", lambda path: read_mias(path, path.parent / "cache")),
    "case": ("A-0002-1.ics", read_case),
    "overlay": ("A_0002_1.LEFT_CC.OVERLAY", read_overlay),
    "film": ("A_0002_1.LEFT_CC.LJPEG", lambda path: read_ljpeg(path, 4, 4, 12)),
}


@pytest.fixture
def folder(tmp_path):
    """Something under every name; what it is does not matter."""
    for name, _ in READERS.values():
        (tmp_path / name).write_bytes(b"something")
    write_pgm(tmp_path / "a.pgm", GREY)
    write_png(tmp_path / "a.png", GREY)
    file(tmp_path / "a.dcm", GREY)
    with tarfile.open(tmp_path / "all-mias.tar", "w"):
        pass
    return tmp_path


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_may_not_be_read_is_named(folder, name, monkeypatch):
    path, read = folder / READERS[name][0], READERS[name][1]
    opened = io.open

    def refuse(target, *arguments, **options):
        # Rights mean nothing to root, who may run the tests.
        if isinstance(target, (str, Path)) and Path(target) == path:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(target, *arguments, **options)

    monkeypatch.setattr(io, "open", refuse)
    with pytest.raises(DataError) as error:
        read(path)
    assert path.name in str(error.value)
    assert "may not be read" in str(error.value) or "Permission denied" in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize("name", sorted(set(READERS) - {"Info.txt", "archive"}))
def test_a_file_that_is_not_there_is_named(folder, name):
    path, read = folder / READERS[name][0], READERS[name][1]
    path.unlink()
    with pytest.raises(DataError, match="not there") as error:
        read(path)
    assert path.name in str(error.value)


def test_pictures_that_go_after_the_survey_are_set_aside_and_the_others_prepared(tmp_path):
    for name in ("kept", "gone", "cut"):
        write_png(tmp_path / f"{name}.png", film())
    mask = np.zeros((64, 50), dtype=np.uint8)
    mask[20:30, 5:15] = 1
    write_png(tmp_path / "mask.png", mask)
    (tmp_path / "t.csv").write_text(
        "path,patient,label,mask\nkept.png,a,benign,mask.png\ngone.png,b,normal,\ncut.png,c,normal,\n"
    )
    catalogue = read_folder(tmp_path / "t.csv", tmp_path, dataset="own")
    (tmp_path / "gone.png").unlink()
    (tmp_path / "mask.png").unlink()
    os.truncate(tmp_path / "cut.png", 200)
    prepared = prepare(catalogue, tmp_path / "out", workers=0)
    assert list(prepared.images["image_id"]) == ["kept"]
    reasons = prepared.quarantine.set_index("image_id")[["effect", "reason"]]
    assert reasons.loc["gone"].tolist() == ["image left out", "the file is not there."]
    assert reasons.loc["kept"].tolist() == [
        "location unknown", "mask mask.png: the file is not there.",
    ]  # fmt: skip
    assert "truncated" in reasons.loc["cut", "reason"]
    codes = dict(zip(prepared.quarantine["image_id"], prepared.quarantine["code"], strict=True))
    assert codes == {
        "gone": Code.IMAGE_UNUSABLE,
        "cut": Code.IMAGE_UNUSABLE,
        "kept": Code.MASK_UNREADABLE,
    }


def test_series_that_go_after_the_index_are_set_aside(tmp_path):
    rois = [Roi(patient=f"P_{n:05d}", shape=(64, 50)) for n in (1, 2)]
    root = write_set(tmp_path / "raw", *rois)
    for roi in rois:
        path = next(root.glob(f"Mass-Training_{roi.key}/*/*.dcm"))
        file(path, film(), SeriesInstanceUID=roi.image, PatientID=roi.key)
    catalogue = read_cbis(root, tmp_path / "cache")
    assert len(catalogue.images) == 2
    shutil.rmtree(next(root.glob("Mass-Training_P_00002_LEFT_CC")))
    prepared = prepare(catalogue, tmp_path / "out", workers=0)
    assert list(prepared.images["image_id"]) == ["P_00001_LEFT_CC"]
    row = prepared.quarantine.set_index("image_id").loc["P_00002_LEFT_CC"]
    assert (row["effect"], row["reason"]) == ("image left out", "the file is not there.")


def test_a_fingerprint_is_taken_of_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")
    alone = folder_fingerprint(tmp_path)
    (tmp_path / "b").write_text("b")
    plain = Path.stat

    def gone(self, **options):
        if self.name == "b" and (tmp_path / "b").parent == self.parent and stat_calls:
            raise FileNotFoundError(2, "No such file", str(self))
        stat_calls.append(self)
        return plain(self, **options)

    stat_calls: list[Path] = [tmp_path]
    monkeypatch.setattr(Path, "is_file", lambda self: self.name in "ab")
    monkeypatch.setattr(Path, "stat", gone)
    assert folder_fingerprint(tmp_path) == alone
