"""Pools of real and generated patches, and their mixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import small_gan
from second_look.batches.gan_mixtures import GeneratedPool, MixedBatches, RealPool
from second_look.batches.sampler import cut
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.models.dcgan import Generator
from second_look.models.generator import make_samples

CPU = torch.device("cpu")
CLASSES = ["benign", "malignant"]
BENIGN, MALIGNANT = (LABELS.index(label) for label in CLASSES)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_gan.prepared_images(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def windows(prepared):
    return small_gan.window_table(prepared)


def generators():
    torch.manual_seed(0)
    settings = small_gan.TINY_DCGAN.network
    return {label: (Generator(settings), small_gan.SCALING) for label in CLASSES}


def generated(count=40, **changes):
    return GeneratedPool(generators(), **{"count": count, "size": 16, "seed": 2} | changes)


def real(prepared, windows, count=40):
    return RealPool(prepared, windows, CLASSES, count=count, size=16, seed=2)


def test_number_k_is_of_class_k_and_made_by_its_generator() -> None:
    makers = generators()
    pool = GeneratedPool(makers, count=40, size=16, seed=2)
    pixels, labels = pool.take(np.array([5, 2, 8]), CPU)
    assert labels.tolist() == [MALIGNANT, BENIGN, BENIGN]
    expected = make_samples(*makers["benign"], [2, 8], seed=2)
    torch.testing.assert_close(pixels[1:], expected, atol=1e-5, rtol=1e-5)
    expected = make_samples(*makers["malignant"], [5], seed=2)
    torch.testing.assert_close(pixels[:1], expected, atol=1e-5, rtol=1e-5)
    assert generated(size=8).take(np.array([0]), CPU)[0].shape == (1, 1, 8, 8)


def test_real_patches_are_the_windows_class_by_class(prepared, windows) -> None:
    pool = real(prepared, windows, count=200)
    pixels, labels = pool.take(np.arange(200), CPU)
    assert labels.tolist() == [BENIGN, MALIGNANT] * 100
    means = pixels.mean(dim=(1, 2, 3)).numpy()
    expected = cut(prepared, windows, size=16).mean(axis=(1, 2))
    # 50 windows of each class, so that 200 patches are each of them twice.
    np.testing.assert_allclose(np.sort(means), np.sort(np.tile(expected, 2)), atol=1e-4)
    with pytest.raises(DataError, match="no original patch of class 'normal'"):
        RealPool(prepared, windows, ["normal"], count=3, size=16, seed=0)


def test_an_epoch_is_every_patch_of_every_pool_once(prepared, windows) -> None:
    pools = [real(prepared, windows, 24), generated(12)]
    batches = MixedBatches(pools, batch_size=6, seed=1)
    assert batches.steps_an_epoch == 6
    in_order = [batches.share(step, 0, 1, CPU) for step in range(6)]
    pixels, labels = (torch.cat(parts) for parts in zip(*in_order, strict=True))
    assert {code: int((labels == code).sum()) for code in (BENIGN, MALIGNANT)} == {
        BENIGN: 18,
        MALIGNANT: 18,
    }
    alone = [pool.take(np.arange(pool.count), CPU)[0] for pool in pools]
    expected = torch.cat(alone).mean(dim=(1, 2, 3))
    # Mirrors leave the mean of a patch as it is.
    levels = pixels.mean(dim=(1, 2, 3)).sort().values
    torch.testing.assert_close(levels, expected.sort().values, atol=1e-4, rtol=1e-4)
    again = MixedBatches(pools, batch_size=6, seed=1).share(3, 0, 1, CPU)
    assert torch.equal(again[0], in_order[3][0])
    later = batches.share(6, 0, 1, CPU)
    assert not torch.allclose(later[0], in_order[0][0])


def test_patches_keep_their_labels_in_a_mixture(prepared, windows) -> None:
    batches = MixedBatches([real(prepared, windows, 24), generated(0)], batch_size=24, seed=0)
    pixels, labels = batches.share(0, 0, 1, CPU)
    means = pixels.mean(dim=(1, 2, 3))
    # The malignant half of the images is brighter.
    assert means[labels == MALIGNANT].min() > means[labels == BENIGN].mean()


def test_mirrors_are_drawn_for_each_patch(prepared, windows) -> None:
    pool = real(prepared, windows, 64)
    pixels, _ = MixedBatches([pool], batch_size=64, seed=0).share(0, 0, 1, CPU)
    plain = pool.take(np.arange(64), CPU)[0]
    kinds = [plain, plain.flip(3), plain.flip(2), plain.flip(2, 3)]
    counts = [
        sum(any(torch.allclose(p, q, atol=1e-5) for q in kind) for p in pixels) for kind in kinds
    ]
    assert sum(counts) == 64
    assert min(counts) > 5


def test_processes_share_a_batch(prepared, windows) -> None:
    batches = MixedBatches([real(prepared, windows), generated()], batch_size=8, seed=1)
    batch = batches.share(2, 0, 1, CPU)
    halves = [batches.share(2, rank, 2, CPU) for rank in range(2)]
    for index in range(2):
        joined = torch.cat([half[index] for half in halves])
        torch.testing.assert_close(joined, batch[index], atol=1e-5, rtol=1e-5)


def test_other_weights_are_another_training(prepared, windows) -> None:
    first, second = generated().identity(), generated().identity()
    assert first == second
    makers = generators()
    with torch.no_grad():
        makers["benign"][0].layers[0].bias += 1
    assert GeneratedPool(makers, count=40, size=16, seed=2).identity() != first
    assert real(prepared, windows).identity() != real(prepared, windows, 41).identity()


def test_fewer_patches_than_a_batch() -> None:
    with pytest.raises(DataError, match="4 patches are fewer than a batch of 8"):
        MixedBatches([generated(4)], batch_size=8, seed=0)
