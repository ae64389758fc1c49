"""Maps of window scores lie over the mammogram where the windows lie in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.small_mammograms import COLS, ROWS, small_mammograms
from PIL import Image
from scipy.interpolate import RegularGridInterpolator
from second_look.preparing import views

# Of the originals of small_mammograms: their size, where the crop begins, and its scale in them.
FILM, CROP, TWICE = (2 * ROWS + 30, 2 * COLS + 30), (5, 7), 2
PLAIN, FLIPPED = "i01", "i03"
SIZE, STRIDE = 32, 16


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mammograms")
    data = small_mammograms(folder, 4)
    rng = np.random.default_rng(0)
    for name in (PLAIN, FLIPPED):
        Image.fromarray(rng.integers(0, 255, FILM, dtype=np.uint8)).save(folder / f"{name}.png")
    images = data.catalogue.images
    paths = [str(folder / f"{name}.png") for name in images["image_id"]]
    return replace(data, catalogue=replace(data.catalogue, images=images.assign(path=paths)))


def windows(score, *, rows=range(0, ROWS - SIZE + 1, STRIDE), cols=range(0, COLS, STRIDE)):
    """A table of windows; the last columns of them reach beyond the image."""
    places = [(row, col) for row in rows for col in cols]
    table = pd.DataFrame(places, columns=["row", "col"]).assign(size=SIZE)
    return table.assign(score=[score(row, col) for row, col in places])


def by_hand(image_id, shape):
    """Where the pixels of a view lie in the prepared image: rows (n,), columns (m,)."""
    factor = FILM[0] / shape[0]
    rows, cols = ((np.arange(length) + 0.5) * factor for length in shape)
    cols = cols - CROP[1]
    if image_id == FLIPPED:
        cols = TWICE * COLS - cols
    return (rows - CROP[0]) / TWICE, cols / TWICE


@pytest.mark.parametrize("image_id", [PLAIN, FLIPPED])
@pytest.mark.parametrize("height", [FILM[0], FILM[0] // 3])
def test_scores_stand_at_the_centres_of_their_windows_and_nowhere_outside_the_breast(
    data, image_id, height
):
    rng = np.random.default_rng(1)
    table = windows(lambda row, col: rng.random()).sample(frac=1, random_state=0)
    view, heat = views.heat_view(data, image_id, height, table, "score")
    assert heat.shape == view.picture.shape
    assert heat.dtype == np.float32
    grid = table.sort_values(["row", "col"])
    centres = [np.unique(grid[name]) + SIZE / 2 for name in ("row", "col")]
    values = grid["score"].to_numpy().reshape([len(ends) for ends in centres])
    rows, cols = by_hand(image_id, heat.shape)
    # Beyond the outermost centres, the score of the nearest one.
    row_centres, col_centres = (
        np.clip(places, ends[0], ends[-1])
        for places, ends in zip((rows, cols), centres, strict=True)
    )
    expected = RegularGridInterpolator(centres, values)(
        np.stack(np.meshgrid(row_centres, col_centres, indexing="ij"), axis=-1)
    )
    on_breast = ((rows >= 0) & (rows < ROWS))[:, None] & (cols >= 0) & (cols < COLS)
    assert 0.5 < on_breast.mean() < 0.9
    assert np.array_equal(np.isfinite(heat), on_breast)
    assert np.allclose(heat[on_breast], expected[on_breast], atol=1e-5)


def test_a_hole_in_the_breast_is_left_out(data):
    regions = np.ones((ROWS, COLS), dtype=np.uint8)
    regions[: ROWS // 2] = 0
    path = data.prepared.folder / f"{PLAIN}.regions.npy"
    content = path.read_bytes()
    np.save(path, regions)
    _, heat = views.heat_view(data, PLAIN, FILM[0], windows(lambda row, col: 0.5), "score")
    path.write_bytes(content)
    first = CROP[0] + ROWS  # the lower half of the crop begins there
    assert np.isnan(heat[:first]).all()
    assert (heat[first : CROP[0] + 2 * ROWS, CROP[1] : CROP[1] + 2 * COLS] == 0.5).all()


def test_a_single_window_colours_the_whole_breast(data):
    table = windows(lambda row, col: 0.25, rows=[0], cols=[0])
    view, heat = views.heat_view(data, FLIPPED, 111, table, "score")
    assert set(heat[view.regions > 0]) == {np.float32(0.25)}


def test_the_warmest_spot_is_the_lesion_that_its_window_lies_on(phantom_data):
    """On mammograms from end to end: a window around a lesion, in prepared pixels, glows there."""
    lesions = phantom_data.prepared.lesions.drop_duplicates("image_id").head(6)
    sides = set()
    for image_id, code in zip(lesions["image_id"], lesions["code"], strict=True):
        pixels = np.argwhere(np.asarray(phantom_data.prepared.regions(image_id)) == code)
        middle = np.round(pixels.mean(axis=0)).astype(int)
        corner = tuple(int(start) - SIZE // 2 for start in middle)
        rows, cols = (start % 8 + np.arange(-64, 257, 8) for start in corner)
        table = windows(
            lambda row, col, corner=corner: float((row, col) == corner), rows=rows, cols=cols
        )
        view, heat = views.heat_view(phantom_data, image_id, 256, table, "score")
        row, col = np.unravel_index(np.nanargmax(heat), heat.shape)
        rows, cols = np.nonzero(view.regions == code)
        assert abs(row - rows.mean()) <= 1.5
        assert abs(col - cols.mean()) <= 1.5
        sides.add(phantom_data.prepared.transform(image_id).flipped)
    assert sides == {False, True}, "both breasts"
