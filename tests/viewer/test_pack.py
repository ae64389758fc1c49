"""What the viewer draws: tiles, outlines and heat maps where they belong, within so many bytes."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from second_look.decoding.pixels import read_square
from second_look.evaluation.detection_tables import truth_table
from second_look.geometry import Box
from second_look.outputs import open_run
from second_look.preparing.dataset import Dataset
from second_look.viewer import pack as packing
from second_look.viewer.cases import HIT, NO_ALARM, Case
from second_look.viewer.pack import Overlays, outline, pack_cases, tiles
from second_look.viewer.terms import terms_of
from second_look.viewer.widget import _show


def picture(webp: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(webp))))


@pytest.fixture(scope="module")
def overlays(phantom_data: Dataset) -> Overlays:
    def heat(image_id: str) -> np.ndarray:
        scores = np.full((8, 6), 0.5, np.float32)
        scores[0] = np.nan
        return scores

    truths = truth_table(phantom_data, splits=("test",))
    return Overlays(truths, None, heat, 0.4, {"detections": "none here"})


def lesion_case(overlays: Overlays) -> Case:
    return Case(str(overlays.truths["image_id"].iloc[0]), HIT, 0.9, None, "mass", "malignant")


def packed(data: Dataset, cases: list[Case], overlays: Overlays, max_bytes: int = 10**6) -> dict:
    return pack_cases(
        data, cases, overlays, counts={HIT: 3, NO_ALARM: 0}, about="", max_bytes=max_bytes
    )


def test_a_case_brings_the_pixels_of_the_original(
    phantom_data: Dataset, overlays: Overlays
) -> None:
    case = lesion_case(overlays)
    pack = packed(phantom_data, [case], overlays)
    image_shown = pack["images"][pack["cases"][0]["image"]]
    row = phantom_data.catalogue.images.set_index("image_id").loc[case.image_id]
    original = read_square(Path(row["path"]), int(row["rows"]), int(row["cols"]))
    low, high = image_shown["levels"]
    ((_, _, rows, cols, webp),) = image_shown["tiles"]
    assert (rows, cols) == (image_shown["rows"], image_shown["cols"]) == original.shape
    grey = picture(webp)[..., 0]
    expected = 255 * (np.clip(original, low, high) - low) / (high - low)
    assert np.abs(grey - expected).mean() < 4  # of 255: WebP loses what nobody sees
    assert len(pack["cases"][0]["views"]) == len(pack["images"]) == 2
    assert pack["counts"] == [[HIT, 3]]
    json.dumps(pack, allow_nan=False)


def test_an_outline_lies_on_the_lesion_of_the_original(
    phantom_data: Dataset, overlays: Overlays
) -> None:
    case = lesion_case(overlays)
    image_shown = packed(phantom_data, [case], overlays)["images"]
    (image,) = (image for image in image_shown if image["id"] == case.image_id)
    truth = image["truths"][0]
    line = np.concatenate([np.array(part) for part in truth["outline"]])
    corners = [*line.min(axis=0), *line.max(axis=0)]
    # A grid point is up to a hundredth of the box away from the edge of the lesion.
    assert corners == pytest.approx(truth["box"], abs=1)
    assert image["empty"]["truths"] == ""


def test_the_contour_of_a_full_mask_is_its_box() -> None:
    box = Box(10, 20, 50, 100)
    (line,) = outline(np.ones((8, 8), bool), box)
    rows, cols = np.array(line).T
    assert [rows.min(), cols.min(), rows.max(), cols.max()] == [10, 20, 50, 100]


def test_heat_is_there_where_it_was_scored(phantom_data: Dataset, overlays: Overlays) -> None:
    image_shown = packed(phantom_data, [lesion_case(overlays)], overlays)["images"][0]
    heat = picture(image_shown["heat"])
    assert heat.shape == (8, 6, 4)
    assert (heat[0, :, 3] == 0).all()
    assert (heat[1:, :, 3] == 255).all()
    assert (heat[1:, :, 0] == 128).all()


def test_an_empty_layer_says_why(phantom_data: Dataset, overlays: Overlays) -> None:
    images = phantom_data.catalogue.images
    normal = images[images["label"] == "normal"]["image_id"].iloc[0]
    case = Case(normal, NO_ALARM, 0, None, "", "normal")
    pack = packed(phantom_data, [case], replace(overlays, heat=None))
    image_shown = pack["images"][pack["cases"][0]["image"]]
    assert image_shown["empty"]["truths"] == "this image has no lesion"
    assert image_shown["empty"]["detections"] == "the model reports nothing in this image"
    assert image_shown["heat"] is None
    hidden = replace(overlays, truths=overlays.truths.iloc[:0])
    image_shown = packed(phantom_data, [lesion_case(overlays)], hidden)["images"]
    assert "the source gives no location for 1 of 1 lesions" in {
        image["empty"]["truths"] for image in image_shown
    }


def test_cases_stop_where_the_bytes_are_used_up(phantom_data: Dataset, overlays: Overlays) -> None:
    names = phantom_data.catalogue.images["image_id"].iloc[::4]
    cases = [Case(name, HIT, 1 - k / 10, None, "", "normal") for k, name in enumerate(names[:4])]
    everything = packed(phantom_data, cases, overlays)
    size = sum(packing._bytes_of(image) for image in everything["images"])
    part = packed(phantom_data, cases, overlays, max_bytes=size // 2)
    assert 0 < len(part["cases"]) < len(everything["cases"]) == 4
    assert sum(packing._bytes_of(image) for image in part["images"]) <= size // 2
    assert packed(phantom_data, cases, overlays, max_bytes=10)["cases"] == []


def test_a_large_mammogram_is_reduced_but_for_its_lesions() -> None:
    rng = np.random.default_rng(0)
    grey = np.repeat(np.repeat(rng.integers(0, 255, (60, 50), np.uint8), 50, 0), 50, 1)
    focus = [Box(900, 900, 1000, 1000), Box(910, 910, 1010, 1010), Box(2990, 2490, 3000, 2500)]
    parts = tiles(grey, focus)
    reduced = [part for part in parts if not float(part[0]).is_integer() or part[2] - part[0] > 700]
    native = parts[-2:]
    assert len(parts) == 4 + 2
    assert reduced
    assert [part[2] - part[0] for part in native] == [packing.NATIVE_SIDE, 325]
    for top, left, bottom, right, webp in native:
        pixels = picture(webp)[..., 0].astype(float)
        assert pixels.shape == (bottom - top, right - left)
        cut = grey[int(top) : int(bottom), int(left) : int(right)]
        assert np.abs(pixels - cut).mean() < 6
    # Together the tiles of the reduced cover it once.
    area = sum((part[2] - part[0]) * (part[3] - part[1]) for part in parts[:4])
    assert area == pytest.approx(grey.size)


def test_what_may_be_done_with_pictures_is_said() -> None:
    mias, unknown, phantom = terms_of(["phantom", "mias", "ours"])
    assert "may not be passed on" in mias
    assert "research only" in mias
    assert "not known here" in unknown
    assert "may be passed on if the source is named" in phantom


def test_a_notebook_leaves_its_cases_for_the_report(
    phantom_data: Dataset, overlays: Overlays, tmp_path: Path
) -> None:
    run = open_run(tmp_path, notebook="05_mask_rcnn")
    cases = [lesion_case(overlays)]
    widget = _show(run, phantom_data, cases, overlays, "About.", 1, 1.0)
    assert widget is not None
    path = tmp_path / "cases" / "05_cases.json"
    assert json.loads(path.read_text()) == widget.pack
    record = json.loads((tmp_path / "manifests" / "05_mask_rcnn.json").read_text())
    assert "cases/05_cases.json" in record["writes"]
    assert _show(run, phantom_data, cases, overlays, "About.", 0, 1.0) is None
    widget.close()
