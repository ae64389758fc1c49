"""Prepared images against originals whose truth is known, resumed, killed and broken."""

from __future__ import annotations

import os
import signal
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from helpers.library_code import check_what_counts, copy_library, loaded_modules
from scipy.ndimage import zoom
from second_look.catalogue import Catalogue
from second_look.decoding.pixels import read_pixels, write_png
from second_look.errors import DataError, OutputError
from second_look.geometry import Box
from second_look.phantoms.forms import read_phantom
from second_look.phantoms.phantom import PhantomSettings
from second_look.preparing import prepare as preparation
from second_look.preparing import workers
from second_look.preparing.image import PrepareSettings, prepare_image
from second_look.preparing.prepare import prepare
from second_look.preparing.store import Prepared
from second_look.quarantine import Code


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    settings = PhantomSettings(patients=6, rows=256, cols=208, seed=1)
    return read_phantom(tmp_path_factory.mktemp("phantom"), settings)


@pytest.fixture(scope="module")
def prepared(phantoms, tmp_path_factory):
    return prepare(phantoms, tmp_path_factory.mktemp("prepared"), workers=0)


def write_mammogram(path, *, mirrored=False, seed=0):
    """A half ellipse at one side of dark air, 16 bit; returns its pixels."""
    rng = np.random.default_rng(seed)
    row_distance, col_distance = np.ogrid[:200, :160]
    breast_mask = ((row_distance - 100) / 80) ** 2 + (col_distance / 100) ** 2 < 1
    pixels = np.where(
        breast_mask,
        rng.integers(20000, 40000, breast_mask.shape),
        rng.integers(0, 99, breast_mask.shape),
    )
    pixels = pixels.astype(np.uint16)
    pixels = pixels[:, ::-1] if mirrored else pixels
    write_png(path, np.ascontiguousarray(pixels))
    return pixels


def row(path, image_id="a", **changes):
    base = {"image_id": image_id, "dataset": "d", "patient_id": image_id, "rows": 200, "cols": 160}
    return base | {"bits": 16, "label": "normal", "path": str(path)} | changes


def lesion(lesion_id, box=None, *, image_id="a", pathology="benign", mask="", circle=None):
    base = {"lesion_id": lesion_id, "image_id": image_id, "kind": "mass", "pathology": pathology}
    base["mask_path"] = str(mask)
    if box:
        base |= dict(zip(("row_min", "col_min", "row_max", "col_max"), box, strict=True))
    if circle:
        base |= dict(zip(("circle_row", "circle_col", "circle_radius"), circle, strict=True))
    return base


def test_a_prepared_picture_is_a_mirrored_cut_of_the_original(phantoms, prepared):
    sides = set()
    for image in phantoms.images.itertuples():
        transform = prepared.transform(image.image_id)
        original = read_pixels(Path(image.path))
        cut = original[transform.row_offset :, transform.col_offset :]
        cut = cut[: transform.rows, : transform.cols]
        sides.add((image.laterality, transform.flipped))
        expected = cut[:, ::-1] if transform.flipped else cut
        np.testing.assert_array_equal(prepared.pixels(image.image_id), expected)
        assert prepared.pixels(image.image_id).dtype == np.uint16
    assert sides == {("L", False), ("R", True)}


def test_planted_lesions_are_found_in_the_region_map_and_back_in_the_original(phantoms, prepared):
    checked = 0
    for lesion_row in prepared.lesions.itertuples():
        planted = phantoms.lesions.set_index("lesion_id").loc[lesion_row.lesion_id]
        regions = prepared.regions(lesion_row.image_id)
        box_in_crop = Box.of_mask(regions == lesion_row.code)
        back = prepared.transform(lesion_row.image_id).box_to_original(box_in_crop)
        box = Box(*(planted[n] for n in ("row_min", "col_min", "row_max", "col_max")))
        # Where lesions overlap, the worse one takes pixels from the other.
        assert back.iou(box) > 0.9
        assert lesion_row.inside_breast == 1
        assert lesion_row.share_of_image == pytest.approx(lesion_row.area_px / (256 * 208))
        checked += 1
    assert checked == len(phantoms.lesions) > 5


def test_outlines_come_from_circles_masks_and_boxes(tmp_path):
    write_mammogram(tmp_path / "a.png")
    mask = np.zeros((200, 160), dtype=np.uint8)
    mask[50:60, 20:30] = 255
    mask[120:130, 40:44] = 255
    mask[160:162, 50:52] = 255  # in nobody's box: goes to the nearest
    write_png(tmp_path / "m.png", mask)
    lesions = [
        lesion("mask1", (48, 18, 62, 32), mask=tmp_path / "m.png"),
        lesion("mask2", (118, 38, 132, 46), mask=tmp_path / "m.png", pathology="malignant"),
        lesion("circle", circle=(80, 30, 5)),
        lesion("box", (100, 10, 104, 20)),
        lesion("nowhere"),
        lesion("air", (2, 140, 8, 150)),
    ]
    catalogue = Catalogue.from_rows([row(tmp_path / "a.png", label="malignant")], lesions)
    prepared_set = prepare(catalogue, tmp_path / "out", workers=0)
    areas = prepared_set.lesions.set_index("lesion_id")["area_px"]
    row_distance, col_distance = np.mgrid[-5:6, -5:6]
    assert areas["mask1"] == 100
    assert areas["mask2"] == 44
    assert areas["circle"] == (row_distance**2 + col_distance**2 <= 25).sum()
    assert areas["box"] == 40
    codes = prepared_set.lesions.set_index("lesion_id")["code"]
    assert (codes["nowhere"], codes["air"]) == (0, 0)
    assert list(prepared_set.quarantine["lesion_id"]) == ["air"]
    assert "in the air" in prepared_set.quarantine.loc[0, "reason"]
    assert prepared_set.quarantine.loc[0, "code"] == Code.LESION_OFF_BREAST


def test_the_crop_does_not_depend_on_lesions_and_what_it_cuts_is_said(tmp_path):
    write_mammogram(tmp_path / "a.png")
    lesions = [lesion("edge", circle=(24, 10, 16)), lesion("inside", (90, 20, 99, 29))]
    with_lesions = Catalogue.from_rows([row(tmp_path / "a.png", label="benign")], lesions)
    without = Catalogue.from_rows([row(tmp_path / "a.png")])
    prepared_set = prepare(with_lesions, tmp_path / "with", workers=0)
    crop = ["row_offset", "col_offset", "crop_rows", "crop_cols"]
    expected = prepare(without, tmp_path / "without", workers=0).images.loc[0, crop].tolist()
    assert prepared_set.images.loc[0, crop].tolist() == expected
    assert prepared_set.regions("a").shape == prepared_set.pixels("a").shape
    cut = prepared_set.quarantine.iloc[0]
    assert (cut["lesion_id"], cut["code"]) == ("edge", Code.LESION_CUT)
    assert cut["effect"] == "kept, corrected"
    assert "% of the lesion is outside the crop" in cut["reason"]
    assert len(prepared_set.quarantine) == 1
    # Its area is still that of the whole outline.
    areas = prepared_set.lesions.set_index("lesion_id")["area_px"]
    on_map = np.count_nonzero(prepared_set.regions("a") == 2)
    assert 0 < on_map < areas["edge"]


def test_of_two_boxes_on_one_part_of_a_mask_an_empty_one_is_told(tmp_path):
    write_mammogram(tmp_path / "a.png")
    mask = np.zeros((200, 160), dtype=np.uint8)
    mask[50:60, 20:30] = 255
    write_png(tmp_path / "m.png", mask)
    lesions = [
        lesion("all", (48, 18, 62, 32), mask=tmp_path / "m.png"),
        lesion("half", (48, 18, 55, 32), mask=tmp_path / "m.png"),
        lesion("none", (90, 18, 99, 32), mask=tmp_path / "m.png"),
    ]
    catalogue = Catalogue.from_rows([row(tmp_path / "a.png", label="benign")], lesions)
    prepared_set = prepare(catalogue, tmp_path / "out", workers=0)
    assert prepared_set.lesions.set_index("lesion_id")["code"].to_dict() == {
        "all": 2,
        "half": 3,
        "none": 0,
    }
    assert prepared_set.lesions.set_index("lesion_id")["area_px"].tolist()[:2] == [100, 50]
    assert prepared_set.quarantine[["lesion_id", "effect"]].to_numpy().tolist() == [
        ["none", "location unknown"]
    ]
    assert "no pixel lies in the outline" in prepared_set.quarantine.loc[0, "reason"]
    assert prepared_set.quarantine.loc[0, "code"] == Code.LOCATION_UNUSABLE


def test_where_lesions_overlap_the_worse_one_is_on_the_map(tmp_path):
    write_mammogram(tmp_path / "a.png")
    lesions = [
        lesion("bad", (90, 20, 110, 40), pathology="malignant"),
        lesion("good", (100, 30, 120, 50), pathology="benign"),
    ]
    catalogue = Catalogue.from_rows([row(tmp_path / "a.png", label="malignant")], lesions)
    prepared_set = prepare(catalogue, tmp_path / "out", workers=0)
    codes = prepared_set.lesions.set_index("lesion_id")["code"]
    regions = prepared_set.regions("a")
    assert (regions == codes["bad"]).sum() == 400
    assert (regions == codes["good"]).sum() == 300


def test_what_cannot_be_used_is_set_aside_or_an_error(tmp_path):
    write_mammogram(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:500])
    write_png(tmp_path / "empty.png", np.zeros((200, 160), dtype=np.uint8))
    rows = [row(tmp_path / "a.png", label="benign"), row(tmp_path / "broken.png", "b")]
    catalogue = Catalogue.from_rows(
        rows, [lesion("l", (90, 20, 99, 29), mask=tmp_path / "empty.png")]
    )
    prepared_set = prepare(catalogue, tmp_path / "out", workers=0)
    assert list(prepared_set.images["image_id"]) == ["a"]
    effects = dict(
        zip(prepared_set.quarantine["image_id"], prepared_set.quarantine["effect"], strict=True)
    )
    assert effects == {"a": "kept, corrected", "b": "image left out"}  # the box serves
    with pytest.raises(DataError, match="mask is empty"):
        prepare(catalogue, tmp_path / "out", workers=0, strict=True)
    only_broken = Catalogue.from_rows([row(tmp_path / "broken.png", "b")])
    with pytest.raises(DataError, match="no image could be prepared"):
        prepare(only_broken, tmp_path / "none", workers=0)


def test_boxes_beside_the_breast_are_a_sign_against_all_boxes(tmp_path):
    write_mammogram(tmp_path / "a.png")
    located = [lesion(str(number), (90, 20 + number, 99, 29 + number)) for number in range(3)]
    air = [lesion(f"air {number}", (2 + number, 140, 9, 150)) for number in range(2)]
    image = row(tmp_path / "a.png", label="benign")
    prepared_set = prepare(Catalogue.from_rows([image], located + air[:1]), tmp_path, workers=0)
    assert prepared_set.quarantine["code"].tolist() == [Code.LESION_OFF_BREAST]
    catalogue = Catalogue.from_rows([image], located + air)
    with pytest.raises(DataError, match=r"2 of 5 boxes have their middle in the air .* air 0 in"):
        prepare(catalogue, tmp_path, workers=0)


def test_resampling_to_a_pixel_size(tmp_path):
    write_mammogram(tmp_path / "a.png")
    catalogue = Catalogue.from_rows([row(tmp_path / "a.png", pixel_spacing_mm=0.1)])
    plain = prepare(catalogue, tmp_path / "plain", workers=0)
    half = prepare(catalogue, tmp_path / "half", PrepareSettings(spacing_mm=0.2), workers=0)
    assert half.images.loc[0, "pixel_spacing_mm"] == pytest.approx(0.2)
    assert half.transform("a").scale == pytest.approx(0.5)
    expected = zoom(plain.pixels("a").astype(float), 0.5, order=1)
    assert half.pixels("a").shape == expected.shape
    assert abs(float(half.pixels("a").mean()) / expected.mean() - 1) < 0.02
    assert set(np.unique(half.regions("a"))) == {0, 1}
    unknown = Catalogue.from_rows([row(tmp_path / "a.png")])
    with pytest.raises(DataError, match="no pixel size"):
        prepare(unknown, tmp_path / "x", PrepareSettings(spacing_mm=0.2), workers=0)


def test_what_is_done_is_not_done_again_and_what_changed_is(tmp_path, monkeypatch):
    write_mammogram(tmp_path / "a.png")
    write_mammogram(tmp_path / "b.png", seed=1)
    catalogue = Catalogue.from_rows([row(tmp_path / "a.png"), row(tmp_path / "b.png", "b")])
    calls = []
    monkeypatch.setattr(
        preparation, "prepare_image", lambda job: calls.append(job.image_id) or prepare_image(job)
    )
    prepare(catalogue, tmp_path / "out", workers=0)
    prepare(catalogue, tmp_path / "out", workers=0)
    assert calls == ["a", "b"]
    write_mammogram(tmp_path / "b.png", seed=2)
    prepare(catalogue, tmp_path / "out", workers=0)
    (tmp_path / "out" / "a.pixels.npy").unlink()
    prepare(catalogue, tmp_path / "out", workers=0)
    prepare(catalogue, tmp_path / "out", PrepareSettings(margin=0.1), workers=0)
    assert calls == ["a", "b", "b", "a", "a", "b"]


def key_of(catalogue, folder):
    (job,) = preparation._jobs(catalogue, folder, PrepareSettings())
    return job.key


def test_each_record_is_read_once_where_nothing_changed(phantoms, prepared, monkeypatch):
    records = []
    read_record = preparation.read_object
    monkeypatch.setattr(
        preparation, "read_object", lambda path: records.append(path.name) or read_record(path)
    )
    again = prepare(phantoms, prepared.folder, workers=0)
    assert len(records) == len(set(records)) == len(phantoms.images)
    np.testing.assert_array_equal(again.fingerprints, prepared.fingerprints)
    pd.testing.assert_frame_equal(again.images, prepared.images)


def test_every_module_that_preparing_an_image_loads_counts(tmp_path, monkeypatch):
    write_mammogram(tmp_path / "a.png")
    catalogue = Catalogue.from_rows([row(tmp_path / "a.png")])
    library = copy_library(tmp_path, monkeypatch)
    loaded = loaded_modules([prepare_image.__module__])
    assert "second_look.preparing.prepare" not in loaded
    check_what_counts(library, lambda: key_of(catalogue, tmp_path), loaded)


def test_lesions_are_located_anew_when_the_box_of_a_mask_means_something_else(
    tmp_path, monkeypatch
):
    write_mammogram(tmp_path / "a.png")
    lesions = [lesion("l", (90, 20, 110, 40))]
    catalogue = Catalogue.from_rows([row(tmp_path / "a.png", label="benign")], lesions)
    library = copy_library(tmp_path, monkeypatch)
    first = prepare(catalogue, tmp_path / "out", workers=0)
    original_of_mask, geometry = Box.of_mask, library / "geometry.py"
    changed = geometry.read_text().replace("float(rows[-1] + 1)", "float(rows[-1] + 41)")
    assert changed != geometry.read_text()
    geometry.write_text(changed)
    monkeypatch.setattr(
        Box,
        "of_mask",
        lambda mask: replace(box := original_of_mask(mask), row_max=box.row_max + 40),
    )
    again = prepare(catalogue, tmp_path / "out", workers=0)
    assert_same(again, prepare(catalogue, tmp_path / "fresh", workers=0))
    assert again.images["crop_rows"].tolist() != first.images["crop_rows"].tolist()


def assert_same(first: Prepared, second: Prepared):
    pd.testing.assert_frame_equal(first.images, second.images)
    pd.testing.assert_frame_equal(first.lesions, second.lesions)
    for image_id in first.images["image_id"]:
        np.testing.assert_array_equal(first.pixels(image_id), second.pixels(image_id))
        np.testing.assert_array_equal(first.regions(image_id), second.regions(image_id))


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_no_image(phantoms, prepared, tmp_path):
    out, killed = tmp_path / "out", []

    def kill_a_worker():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not killed:
            if len(list(out.glob("*.json"))) >= 3:
                for child in psutil.Process().children(recursive=True):
                    if "spawn_main" in " ".join(child.cmdline()):
                        os.kill(child.pid, signal.SIGKILL)
                        killed.append(child.pid)
                        return
            time.sleep(0.01)

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    prepared_set = prepare(phantoms, out, workers=2)
    thread.join()
    assert killed
    assert_same(prepared_set, prepared)
    assert_same(Prepared.load(out), prepared)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    pixels = write_mammogram(tmp_path / "small.png").repeat(4, axis=0).repeat(4, axis=1)
    write_png(tmp_path / "a.png", pixels)

    def most_bytes(count):
        shape = {"rows": pixels.shape[0], "cols": pixels.shape[1]}
        rows = [row(tmp_path / "a.png", f"i{number}", **shape) for number in range(count)]
        tracemalloc.start()
        try:
            prepare(Catalogue.from_rows(rows), tmp_path / f"{count}", workers=0)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_bytes(1)  # what is imported when it is first needed
    few, many = most_bytes(2), most_bytes(8)
    assert few > 2 * pixels.nbytes
    assert many - few < pixels.nbytes


def test_missing_parts_are_named(prepared, tmp_path):
    with pytest.raises(OutputError, match="Run notebook 01_data_survey"):
        Prepared.load(tmp_path)
    with pytest.raises(OutputError, match="nobody"):
        prepared.pixels("nobody")


def test_an_unwritable_folder_is_one_clear_error(phantoms, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        prepare(phantoms, tmp_path / "file" / "out", workers=0)


def test_a_running_scheduler_is_used_and_left_running(tmp_path):
    from distributed import Client, LocalCluster

    folder = tmp_path / "originals"
    names = ("a", "b", "c")
    for seed, name in enumerate(names):
        write_mammogram(folder / f"{name}.png", seed=seed)
    catalogue = Catalogue.from_rows([row(folder / f"{name}.png", name) for name in names])
    cluster = LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        host="127.0.0.1",
        protocol="tcp://",
        dashboard_address=None,
    )
    with cluster, Client(cluster) as client:
        address = cluster.scheduler_address
        elsewhere = prepare(catalogue, tmp_path / "there", workers=0, scheduler=address)
        assert client.submit(lambda: "still there").result(timeout=30) == "still there"
    local = prepare(catalogue, tmp_path / "here", workers=0)
    pd.testing.assert_frame_equal(elsewhere.images, local.images)
    for name in names:
        np.testing.assert_array_equal(elsewhere.pixels(name), local.pixels(name))


def test_a_scheduler_that_is_not_there_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_SCHEDULER_S", 1)
    write_mammogram(tmp_path / "a.png")
    catalogue = Catalogue.from_rows([row(tmp_path / "a.png")])
    with pytest.raises(OutputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        prepare(catalogue, tmp_path / "out", workers=0, scheduler="tcp://127.0.0.1:9")
