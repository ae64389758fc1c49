"""One pass compared with cropped windows: which windows, how much they differ, timing."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.small_mammograms import small_mammograms
from second_look.models.classifier import build_classifier
from second_look.studies.transfer import dense_windows as study
from torch import nn

SIZE, STRIDE = 64, 32
IDS = ["i01", "i02", "i03"]


def indecisive_network():
    """A network with random weights that predicts different classes for similar windows."""
    network = build_classifier("small", seed=0).eval()
    pixels = torch.rand((8, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.head.weight.mul_(100)
        network.head.bias.copy_(-network.head.weight @ network.features(pixels / 4).mean(0))
    return network


def borderless_network():
    """Means of cells of 32×32 pixels: a cropped window has the same features as in the image."""
    network = build_classifier("small", seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network.backbone = nn.Sequential(nn.AvgPool2d(32), nn.Conv2d(3, network.width, 1))
    with torch.no_grad():
        network.head.weight.mul_(10)
    return network.eval()


def compare(data, network, *, ids=IDS, scale=1.0):
    scales = dict.fromkeys(ids, scale)
    table = study.compare_with_crops(network, data, ids, size=SIZE, stride=STRIDE, scales=scales)
    (row,) = table.to_dict("records")
    return row


def cropped_and_dense(network, pixels):
    """Probabilities (windows, classes) of all complete windows: cropped, and from the maps."""
    levels = torch.from_numpy(np.asarray(pixels, dtype=np.float32) / 65535)[None, None]
    rows, cols = pixels.shape
    cropped, dense = [], []
    with torch.no_grad():
        maps = network.maps(levels)
        for row in range(0, rows - SIZE + 1, STRIDE):
            for col in range(0, cols - SIZE + 1, STRIDE):
                cropped.append(network(levels[..., row : row + SIZE, col : col + SIZE]))
                cells = maps[:, :, row // 32 : row // 32 + 2, col // 32 : col // 32 + 2]
                dense.append(network.score(cells.mean(dim=(2, 3))))
    return tuple(torch.cat(logits).softmax(1).numpy() for logits in (cropped, dense))


def test_differences_equal_a_direct_computation(tmp_path):
    data = small_mammograms(tmp_path, rows=192, cols=160)
    network = indecisive_network()
    pairs = [cropped_and_dense(network, data.prepared.pixels(image_id)) for image_id in IDS]
    cropped, dense = (np.concatenate(scores) for scores in zip(*pairs, strict=True))
    row = compare(data, network)
    assert row["windows"] == len(cropped) == 3 * 5 * 4
    assert row["mean_difference"] == pytest.approx(np.abs(cropped - dense).mean(), abs=1e-4)
    assert row["largest_difference"] == pytest.approx(np.abs(cropped - dense).max(), abs=1e-3)
    agreement = (cropped.argmax(1) == dense.argmax(1)).mean()
    assert row["agreement"] == pytest.approx(agreement)
    assert 0 < agreement < 1, "both outcomes must occur"
    assert row["ratio"] == pytest.approx(row["seconds_cut"] / row["seconds_dense"])


@pytest.mark.parametrize(("rows", "cols", "windows"), [(96, 64, 2), (100, 70, 2), (159, 128, 9)])
def test_without_border_effects_both_methods_agree_on_all_complete_windows(
    tmp_path, rows, cols, windows
):
    row = compare(small_mammograms(tmp_path, 4, rows=rows, cols=cols), borderless_network())
    assert row["windows"] == 3 * windows
    assert row["largest_difference"] < 1e-4
    assert row["agreement"] == 1


def test_windows_of_reduced_images_are_compared_at_the_input_size_of_the_network(tmp_path):
    data = small_mammograms(tmp_path, 4, rows=256, cols=128)
    halved = compare(data, borderless_network(), scale=0.5)
    assert halved["windows"] == 3 * 3, "of 128 px, at a stride of 64"
    assert halved["largest_difference"] < 1e-3
    assert compare(data, borderless_network())["windows"] == 3 * 7 * 3


def test_the_time_for_crops_is_scaled_up_to_all_windows_of_the_pass(tmp_path, monkeypatch):
    # A clock that advances by a second with every reading.
    monkeypatch.setattr(study, "time", SimpleNamespace(perf_counter=count().__next__))
    data = small_mammograms(tmp_path, 4, rows=100, cols=70)
    row = compare(data, borderless_network())
    assert row["seconds_dense"] == 3
    assert row["seconds_cut"] == 3 * (3 * 2) / 2
    assert row["ratio"] == 3


def test_an_image_smaller_than_a_window_is_skipped(tmp_path):
    large = small_mammograms(tmp_path / "a", 4, rows=96, cols=64)
    small = small_mammograms(tmp_path / "b", 4, rows=96, cols=40)
    network = indecisive_network()
    expected = compare(large, network, ids=["i01"])
    for kind in ("pixels", "regions"):
        source = small.prepared.folder / f"i02.{kind}.npy"
        source.replace(large.prepared.folder / source.name)
    row = compare(large, network, ids=["i01", "i02"])
    for name in ("windows", "mean_difference", "agreement"):
        assert row[name] == pytest.approx(expected[name])
    empty = compare(small, network, ids=["i01"])
    assert empty["windows"] == 0
    assert list(empty) == list(row)
    assert all(np.isnan(empty[name]) for name in study.MEASURES)
