"""Copies of mini-MIAS: Kaggle's layout, its HDF5 file, other formats, names in capitals."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from PIL import Image
from second_look.decoding.pixels import read_pixels, write_pgm
from second_look.errors import DataError
from second_look.sources.mias import SIZE, read_mias

INFO = "mdb001 G CIRC B 535 425 197\nmdb002 D NORM\n"


def pixels(seed):
    return np.random.default_rng(seed).integers(0, 255, (64, 64), dtype=np.uint8)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "Info.txt").write_text(INFO)
    (tmp_path / "all-mias").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["{}.pgm", "{}.PGM"])
@pytest.mark.parametrize("capitals", [False, True])
def test_the_pictures_lie_below_info_txt(root, name, capitals):
    for image_id in ("mdb001", "mdb002"):
        stem = image_id.upper() if capitals else image_id
        write_pgm(root / "all-mias" / name.format(stem), pixels(0))
    catalogue = read_mias(root, root / "cache")
    assert catalogue.images["image_id"].tolist() == ["mdb001", "mdb002"]
    assert "mdb001" in catalogue.quarantine["image_id"].tolist()  # the circle lies outside 64 px


@pytest.mark.parametrize("ending", ["png", "bmp", "PNG"])
def test_copies_in_other_formats_are_read(root, ending):
    large = np.tile(pixels(1), (SIZE // 64, SIZE // 64))
    for image_id in ("mdb001", "mdb002"):
        path = root / "all-mias" / f"{image_id}.{ending}"
        Image.fromarray(large).save(path)
    catalogue = read_mias(root, root / "cache")
    assert catalogue.images["label"].tolist() == ["benign", "normal"]
    assert catalogue.lesions.loc[0, ["circle_row", "circle_col"]].tolist() == [1023 - 425, 535]
    assert np.array_equal(read_pixels(path), large)
    assert catalogue.quarantine.empty


def test_a_resized_copy_is_refused_because_its_circles_would_lie_elsewhere(root):
    for image_id in ("mdb001", "mdb002"):
        Image.fromarray(pixels(1)).save(root / f"{image_id}.png")
    catalogue = read_mias(root, root / "cache")
    assert catalogue.images.empty
    assert "copy has 64 x 64 px, but the coordinates" in catalogue.quarantine["reason"][0]


def test_the_published_file_precedes_its_copy(root):
    write_pgm(root / "all-mias" / "mdb001.pgm", pixels(2))
    Image.fromarray(pixels(2)).save(root / "mdb001.png")
    write_pgm(root / "mdb002.pgm", pixels(3))
    catalogue = read_mias(root, root / "cache")
    assert catalogue.images["path"].str.endswith(".pgm").tolist() == [True, True]


def write_scans(root, **changes):
    """One row a row of Info.txt, as Kaggle's file has: images of two lesions stand in it twice."""
    names = np.array([b"mdb001", b"mdb001", b"mdb002"])
    scans = np.stack([pixels(4), pixels(4), pixels(5)])
    with h5py.File(root / "all_mias_scans.h5", "w") as file:
        for name, values in ({"REFNUM": names, "scan": scans, "X": np.zeros(3)} | changes).items():
            file[name] = values


def test_the_scans_of_kaggle_s_hdf5_file_are_used_where_there_are_no_pictures(root):
    write_scans(root)
    catalogue = read_mias(root, root / "cache")
    assert catalogue.images["image_id"].tolist() == ["mdb001", "mdb002"]
    assert np.array_equal(read_pixels(root / catalogue.images["path"][1]), pixels(5))
    write_pgm(root / "all-mias" / "mdb001.pgm", pixels(6))
    assert len(read_mias(root, root / "cache").images) == 1  # the pictures on disk go first


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scan": np.zeros((3, 4))}, "scan has the shape"),
        ({"REFNUM": np.array([b"../x", b"y", b"z"])}, "expected names"),
    ],
)
def test_a_broken_hdf5_file_is_said(root, changes, problem):
    write_scans(root, **changes)
    with pytest.raises(DataError, match=problem):
        read_mias(root, root / "cache")
    (root / "all_mias_scans.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="cannot be read"):
        read_mias(root, root / "cache")
