"""Scores of whole mammograms against the network itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from second_look.batches.pictures import WHITE, Pictures
from second_look.inference.images import score_images
from second_look.models.classifier import build_classifier

IDS = tuple(f"i{number}" for number in range(7))


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return Pictures(IDS, rng.integers(0, WHITE, (len(IDS), 64, 32), dtype=np.uint16), "d")


@pytest.fixture(scope="module")
def network():
    """Sure enough of itself that pictures get different scores."""
    network = build_classifier("small", seed=0).eval()
    with torch.no_grad():
        network.head.weight.mul_(30)
    return network


def expected(network, levels):
    with torch.no_grad():
        return network(torch.from_numpy(levels.astype(np.float32) / WHITE)[:, None]).softmax(1)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_scores_are_the_networks_in_the_order_asked_for(network, pictures, batch_size):
    image_ids = [IDS[index] for index in (6, 0, 3, 3)]
    scores = score_images(network, pictures, image_ids, batch_size=batch_size)
    network_scores = expected(network, pictures.array[[6, 0, 3, 3]])
    assert np.allclose(scores, network_scores, atol=1e-5)
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-12)
    assert np.ptp(scores[:, 0]) > 1e-3


def test_averaging_is_over_the_picture_and_its_mirror_image(network, pictures):
    scores = score_images(network, pictures, IDS, averaged=True)
    plain = expected(network, pictures.array)
    mirrored = expected(network, pictures.array[:, ::-1].copy())
    assert np.allclose(scores, (plain + mirrored) / 2, atol=1e-5)
    assert np.abs(scores - plain.numpy()).max() > 1e-3
