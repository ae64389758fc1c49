"""One pass against windows that are cut out: what differs, how much, and what it is timed by."""

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


def torn():
    """A network with random weights that takes similar windows for different classes."""
    network = build_classifier("small", seed=0).eval()
    pixels = torch.rand((8, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.head.weight.mul_(100)
        network.head.bias.copy_(-network.head.weight @ network.features(pixels / 4).mean(0))
    return network


def sees_no_border():
    """Means of cells of 32×32 pixels: a window that is cut out looks as it does in its place."""
    network = build_classifier("small", seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network.backbone = nn.Sequential(nn.AvgPool2d(32), nn.Conv2d(3, network.width, 1))
    with torch.no_grad():
        network.head.weight.mul_(10)
    return network.eval()


def compare(data, network, *, ids=IDS, scale=1.0):
    scales = dict.fromkeys(ids, scale)
    table = study.against_cut(network, data, ids, size=SIZE, stride=STRIDE, scales=scales)
    (row,) = table.to_dict("records")
    return row


def both_ways(network, pixels):
    """Probabilities (windows, classes) of all whole windows: cut out, and from the maps."""
    levels = torch.from_numpy(np.asarray(pixels, dtype=np.float32) / 65535)[None, None]
    rows, cols = pixels.shape
    cut, whole = [], []
    with torch.no_grad():
        maps = network.maps(levels)
        for top in range(0, rows - SIZE + 1, STRIDE):
            for left in range(0, cols - SIZE + 1, STRIDE):
                cut.append(network(levels[..., top : top + SIZE, left : left + SIZE]))
                cells = maps[:, :, top // 32 : top // 32 + 2, left // 32 : left // 32 + 2]
                whole.append(network.score(cells.mean(dim=(2, 3))))
    return tuple(torch.cat(logits).softmax(1).numpy() for logits in (cut, whole))


def test_differences_are_those_of_both_ways_worked_out_by_hand(tmp_path):
    data = small_mammograms(tmp_path, rows=192, cols=160)
    network = torn()
    pairs = [both_ways(network, data.prepared.pixels(image_id)) for image_id in IDS]
    cut, whole = (np.concatenate(part) for part in zip(*pairs, strict=True))
    row = compare(data, network)
    assert row["windows"] == len(cut) == 3 * 5 * 4
    assert row["mean_difference"] == pytest.approx(np.abs(cut - whole).mean(), abs=1e-4)
    assert row["largest_difference"] == pytest.approx(np.abs(cut - whole).max(), abs=1e-3)
    agreement = (cut.argmax(1) == whole.argmax(1)).mean()
    assert row["agreement"] == pytest.approx(agreement)
    assert 0 < agreement < 1, "both answers occur"
    assert row["ratio"] == pytest.approx(row["seconds_cut"] / row["seconds_dense"])


@pytest.mark.parametrize(("rows", "cols", "windows"), [(96, 64, 2), (100, 70, 2), (159, 128, 9)])
def test_without_borders_both_ways_agree_on_the_windows_that_can_be_cut(
    tmp_path, rows, cols, windows
):
    row = compare(small_mammograms(tmp_path, 4, rows=rows, cols=cols), sees_no_border())
    assert row["windows"] == 3 * windows
    assert row["largest_difference"] < 1e-4
    assert row["agreement"] == 1


def test_windows_of_reduced_images_are_compared_at_the_size_that_the_network_sees(tmp_path):
    data = small_mammograms(tmp_path, 4, rows=256, cols=128)
    halved = compare(data, sees_no_border(), scale=0.5)
    assert halved["windows"] == 3 * 3, "of 128 px, at a stride of 64"
    assert halved["largest_difference"] < 1e-3
    assert compare(data, sees_no_border())["windows"] == 3 * 7 * 3


def test_cut_windows_are_timed_as_if_all_windows_of_the_pass_had_been_cut(tmp_path, monkeypatch):
    # A clock that goes on by a second whenever it is looked at.
    monkeypatch.setattr(study, "time", SimpleNamespace(perf_counter=count().__next__))
    data = small_mammograms(tmp_path, 4, rows=100, cols=70)
    row = compare(data, sees_no_border())
    assert row["seconds_dense"] == 3
    assert row["seconds_cut"] == 3 * (3 * 2) / 2
    assert row["ratio"] == 3


def test_an_image_smaller_than_a_window_is_left_out(tmp_path):
    large = small_mammograms(tmp_path / "a", 4, rows=96, cols=64)
    small = small_mammograms(tmp_path / "b", 4, rows=96, cols=40)
    network = torn()
    expected = compare(large, network, ids=["i01"])
    for kind in ("pixels", "regions"):
        source = small.prepared.folder / f"i02.{kind}.npy"
        source.replace(large.prepared.folder / source.name)
    found = compare(large, network, ids=["i01", "i02"])
    for name in ("windows", "mean_difference", "agreement"):
        assert found[name] == pytest.approx(expected[name])
    nothing = compare(small, network, ids=["i01"])
    assert nothing["windows"] == 0
    assert list(nothing) == list(found)
    assert all(np.isnan(nothing[name]) for name in study.MEASURED)
