"""Windows of whole mammograms: cut out one by one, and all in one pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from second_look.batches.sampler import cut
from second_look.errors import DataError
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.inference import windows as inference
from second_look.inference.windows import score_all, score_densely, score_image, score_windows
from second_look.models.classifier import build_classifier
from second_look.preparing.patches import HALF_RULE, window_table
from torch import nn

SIZE = 64


@pytest.fixture(scope="module")
def data(phantom_data):
    return phantom_data


@pytest.fixture(scope="module")
def network():
    return build_classifier("small", seed=0).eval()


def sees_no_border() -> nn.Module:
    """A network whose windows cannot see beyond their border: means of cells of 32×32 pixels."""
    network = build_classifier("small", seed=0)
    spread = nn.Conv2d(3, network.width, 1)
    network.backbone = nn.Sequential(nn.AvgPool2d(32), spread)
    return network.eval()


def test_windows_cut_out_are_scored_as_the_network_does(data, network) -> None:
    rule = HALF_RULE
    table = window_table(data.prepared, data.catalogue, size=SIZE, stride=32, rule=rule)[:50]
    scores = score_windows(network, data.prepared, table, size=SIZE, batch_size=7)
    patches = torch.from_numpy(cut(data.prepared, table, size=SIZE))[:, None]
    with torch.no_grad():
        expected = network(patches).softmax(1).numpy()
    assert np.allclose(scores, expected, atol=1e-5)
    assert np.allclose(scores.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize("shape", [(256, 192), (250, 131), (40, 64)])
def test_one_pass_equals_cut_windows_where_borders_do_not_matter(shape) -> None:
    network = sees_no_border()
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    windows = score_densely(network, pixels, size=SIZE, stride=32)
    assert windows.tops[-1] + SIZE >= shape[0]
    assert windows.lefts[-1] + SIZE >= shape[1]
    padded = np.zeros((windows.tops[-1] + SIZE, windows.lefts[-1] + SIZE), dtype=np.float32)
    padded[: shape[0], : shape[1]] = pixels
    for i, top in enumerate(windows.tops):
        for j, left in enumerate(windows.lefts):
            patch = torch.from_numpy(padded[top : top + SIZE, left : left + SIZE].copy())
            with torch.no_grad():
                expected = network(patch[None, None]).softmax(1).numpy()[0]
            assert np.allclose(windows.probabilities[i, j], expected, atol=1e-5)


def test_a_real_network_differs_at_the_borders_only_a_little(data, network) -> None:
    image_id = data.prepared.images["image_id"].iloc[0]
    dense = score_image(network, data.prepared, image_id, size=128, stride=32)
    inner = dense[(dense["row"] + 128 <= 192) & (dense["col"] + 128 <= 128)]
    table = inner.assign(label="normal", excluded="", size=128)
    one_by_one = score_windows(network, data.prepared, table, size=128)
    apart = np.abs(inner[list(CLASS_SCORES)].to_numpy() - one_by_one)
    assert 0 < apart.max() < 0.2


def test_bands_do_not_show(data, network, monkeypatch) -> None:
    pixels = torch.rand((1024, 96), generator=torch.Generator().manual_seed(0))
    in_one_band = score_densely(network, pixels, size=SIZE, stride=32)
    monkeypatch.setattr(inference, "MAX_PIXELS", 96 * 200)
    parts = score_densely(network, pixels, size=SIZE, stride=32)
    assert np.array_equal(in_one_band.tops, parts.tops)
    assert np.allclose(in_one_band.probabilities, parts.probabilities, atol=1e-3)


def test_the_table_of_all_images_holds_the_windows_on_the_breast(data, network) -> None:
    ids = list(data.prepared.images["image_id"].iloc[:3])
    table = score_all(network, data.prepared, ids, size=SIZE, stride=SIZE, min_breast_share=0.5)
    assert list(dict.fromkeys(table["image_id"])) == ids
    assert (table["breast_share"] >= 0.5).all()
    row = table.iloc[len(table) // 2]
    regions = np.asarray(data.prepared.regions(row["image_id"])) > 0
    window = regions[row["row"] : row["row"] + SIZE, row["col"] : row["col"] + SIZE]
    assert row["breast_share"] == pytest.approx(window.sum() / SIZE**2)
    none = score_all(network, data.prepared, ids, size=SIZE, stride=SIZE, min_breast_share=1.1)
    assert set(none["image_id"]) == set(ids), "no image is lost"


@pytest.mark.parametrize(("size", "stride"), [(50, 32), (64, 20), (64, 16)])
def test_windows_that_are_not_on_the_cells_are_refused(network, size, stride) -> None:
    with pytest.raises(DataError, match="do not lie on the cells of small, 32 px apart"):
        score_densely(network, torch.zeros(128, 128), size=size, stride=stride)
