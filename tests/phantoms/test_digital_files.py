"""Digital phantoms as DICOM files: what their headers say steers the breast mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers.small_dicom import file
from second_look.decoding.dicom import read_header
from second_look.decoding.pixels import read_pixels
from second_look.geometry import Box
from second_look.phantoms.digital import draw_digital
from second_look.phantoms.digital_files import BITS
from second_look.phantoms.forms import read_phantom
from second_look.phantoms.phantom import PhantomSettings, plan_patient
from second_look.preparing.breast import breast_side, exposed, find_breast
from second_look.preparing.image import Job, PrepareSettings, prepare_image
from second_look.preparing.prepare import prepare
from second_look.preparing.store import path_of
from second_look.quarantine import Code

SETTINGS = PhantomSettings(patients=3, rows=256, cols=208, seed=3)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return read_phantom(tmp_path_factory.mktemp("phantom"), SETTINGS, "digital")


def test_the_set_is_surveyed_and_views_of_no_whole_breast_are_left_out(catalogue, tmp_path):
    assert len(catalogue.images) == 15
    assert set(catalogue.images["bits"]) == {BITS}
    assert catalogue.images["pixel_spacing_mm"].nunique() == 1
    prepared = prepare(catalogue, tmp_path, workers=0)
    assert len(prepared.images) == 12
    lost = prepared.quarantine.set_index("image_id")
    assert list(lost["code"]) == [Code.VIEW_SPECIAL] * 3
    assert set(lost.index.str.rsplit("_").str[-1]) == {"magnification", "spot", "specimen"}
    # Right breasts are turned: all have the chest wall at the left.
    flipped = prepared.images.set_index("image_id")["flipped"]
    assert (flipped == flipped.index.str.contains("_R_")).all()
    assert (prepared.lesions["code"] > 0).all()


def lost_share(mask, truth):
    return (truth & ~mask).sum() / truth.sum()


def test_padding_and_collimator_are_no_breast(catalogue):
    settings = replace(SETTINGS, bits=BITS)
    paths = catalogue.images.set_index("image_id")["path"]
    for breast in plan_patient(settings, 1):
        name = f"p0001_{breast.laterality}_MLO"
        header = read_header(Path(paths[name]))
        assert header.field == Box(10.0, 0.0, 246.0, 208.0)
        mask = find_breast(exposed(read_pixels(Path(paths[name])), header.field))
        truth = draw_digital(settings, breast, "MLO").breast.copy()
        truth[:10] = truth[-10:] = False
        assert lost_share(mask, truth) < 0.01
        assert lost_share(truth, mask) < 0.02
        assert breast_side(mask) == {"L": "left", "R": "right"}[breast.laterality]
        # By the stored values alone, white strips are taken for tissue.
        unaided = find_breast(pydicom.dcmread(paths[name]).pixel_array)
        assert lost_share(truth, unaided) > 0.05


def test_padding_is_black_however_it_is_stored(tmp_path):
    stored = np.tile(np.arange(40, dtype=np.uint16), (30, 1))
    path = file(tmp_path / "a.dcm", stored, PixelPaddingValue=39)
    np.testing.assert_array_equal(read_pixels(path), np.where(stored == 39, 0, stored))
    path = file(
        tmp_path / "b.dcm", stored, bits=8, PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=0, PixelPaddingRangeLimit=3,
    )  # fmt: skip
    np.testing.assert_array_equal(read_pixels(path), np.where(stored <= 3, 0, 255 - stored))


@pytest.mark.parametrize(
    ("device", "edges", "field"),
    [
        ("Collimator", (3, 0, 28, 35), Box(3, 0, 27, 34)),
        ("Shutter", (0, 5, 31, 41), Box(0, 5, 30, 40)),
        ("Collimator", (0, 0, 31, 41), None),
        ("Collimator", (28, 0, 3, 41), None),  # above and below are exchanged: no field
    ],
)
def test_the_field_is_what_a_rectangle_leaves_free(tmp_path, device, edges, field):
    stored = np.tile(np.arange(40, dtype=np.uint16), (30, 1))
    names = ("UpperHorizontal", "LeftVertical", "LowerHorizontal", "RightVertical")
    tags = {f"{device}{name}Edge": edge for name, edge in zip(names, edges, strict=True)}
    path = file(tmp_path / "a.dcm", stored, **tags | {f"{device}Shape": "RECTANGULAR"})
    assert read_header(path).field == field


@pytest.mark.parametrize("device", ["Collimator", "Shutter"])
def test_a_polygon_leaves_free_what_is_inside(tmp_path, device):
    stored = np.tile(np.arange(1, 41, dtype=np.uint16), (30, 1))
    corners = {f"VerticesOfThePolygonal{device}": [1, 6, 1, 40, 30, 40, 30, 16]}
    path = file(tmp_path / "a.dcm", stored, **corners | {f"{device}Shape": "POLYGONAL"})
    header = read_header(path)
    assert header.polygons == (((0, 5), (0, 39), (29, 39), (29, 15)),)
    free = exposed(read_pixels(path), header.field, header.polygons)
    row, col = np.mgrid[:30, :40]
    field = col >= 5 + row * 10 / 29
    assert (free[field] == stored[field]).all()
    assert (free[col < 4 + row * 10 / 29] == stored[field].min()).all()
    # Without the shape, too few corners or all of them outside: no field.
    for tags in (
        corners,
        {f"{device}Shape": "POLYGONAL", f"VerticesOfThePolygonal{device}": [1, 6, 1, 40]},
    ):
        assert read_header(file(tmp_path / "b.dcm", stored, **tags)).polygons == ()
    assert exposed(stored, None, [((90, 90), (90, 99), (99, 99))]) is stored


def test_a_white_corner_behind_a_polygonal_collimator_is_no_breast(catalogue, tmp_path):
    path = next(p for p in catalogue.images["path"] if "p0001_L_MLO" in p)
    data = pydicom.dcmread(path)
    levels, white = data.pixel_array.copy(), data.pixel_array.max()
    corner = np.add.outer(np.arange(256)[::-1], np.arange(208)[::-1]) < 150
    levels[corner] = white
    data.PixelData = levels.tobytes()
    data.CollimatorShape = ["RECTANGULAR", "POLYGONAL"]
    data.VerticesOfThePolygonalCollimator = [1, 1, 1, 208, 106, 208, 256, 58, 256, 1]
    data.save_as(tmp_path / "a.dcm")
    image = catalogue.images[catalogue.images["path"] == path].assign(path=str(tmp_path / "a.dcm"))
    job = Job(image.iloc[0].to_dict(), [], tmp_path / "out", PrepareSettings(), "")
    prepare_image(job)
    record = json.loads(job.record.read_text())
    assert record["quarantine"] == []
    regions = np.load(path_of(job.folder, job.image_id, "regions.npy"))
    offset = record["image"]["row_offset"], record["image"]["col_offset"]
    hidden = corner[offset[0] :, offset[1] :][: regions.shape[0], : regions.shape[1]]
    assert np.mean(regions[hidden] > 0) < 0.02


def test_levels_of_a_detector_are_said(catalogue, tmp_path):
    row = catalogue.images.iloc[:1]
    data = pydicom.dcmread(row["path"].iloc[0])
    data.PresentationIntentType = "FOR PROCESSING"
    data.save_as(tmp_path / "raw.dcm")
    unprocessed = replace(
        catalogue.without_images(catalogue.images["image_id"][1:]),
        images=row.assign(path=str(tmp_path / "raw.dcm")),
    )
    prepared = prepare(unprocessed, tmp_path / "out", workers=0)
    (remark,) = prepared.quarantine.to_dict("records")
    assert (remark["code"], remark["effect"]) == (Code.UNPROCESSED, "kept, levels uncertain")
