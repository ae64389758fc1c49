"""The fixed set of patches: drawn by seed, each once an epoch, scaled by one rule."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from helpers import small_gan
from second_look.batches.gan_patches import ANY_CLASS, choose_windows, measure_scaling
from second_look.batches.sampler import cut
from second_look.errors import DataError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_gan.prepared_images(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def windows(prepared):
    return small_gan.window_table(prepared)


@pytest.fixture
def patches(prepared, windows):
    opened = small_gan.patch_set(prepared, windows)
    opened.open(torch.device("cpu"))
    return opened


def test_windows_of_one_class_are_drawn_by_seed(windows) -> None:
    chosen = choose_windows(windows, "benign", count=20, seed=1)
    assert len(chosen.drop_duplicates(["image_id", "row", "col"])) == 20
    assert set(chosen["label"]) == {"benign"}
    assert chosen.equals(choose_windows(windows, "benign", count=20, seed=1))
    assert not chosen.equals(choose_windows(windows, "benign", count=20, seed=2))
    assert len(choose_windows(windows, "benign", count=9999, seed=1)) == 50
    assert set(choose_windows(windows, ANY_CLASS, count=60, seed=1)["label"]) == {
        "benign",
        "malignant",
    }
    windows = windows.assign(excluded=np.where(windows.index < 10, "off breast", ""))
    assert len(choose_windows(windows, "benign", count=9999, seed=1)) == 40


def test_a_class_without_patches_is_named(windows) -> None:
    with pytest.raises(DataError, match=r"no patch of class 'normal' .* benign 50, malignant 50"):
        choose_windows(windows, "normal", count=5, seed=0)


def test_fewer_patches_than_a_batch(prepared, windows) -> None:
    with pytest.raises(DataError, match="3 patches are fewer than a batch of 8"):
        small_gan.patch_set(prepared, windows.head(3))


def test_every_patch_once_an_epoch_in_another_order(prepared, windows) -> None:
    """Batches of a set with known means: each window's mean is met exactly once."""
    patches = small_gan.patch_set(prepared, windows.head(24))
    patches.open(torch.device("cpu"))
    assert patches.steps_an_epoch == 3
    levels = cut(prepared, windows.head(24), size=small_gan.SIZE)
    means = levels.clip(small_gan.SCALING.low, small_gan.SCALING.high).mean(axis=(1, 2))
    epochs = []
    for epoch in range(2):
        batches = [patches.batch(3 * epoch + index) for index in range(3)]
        levels = small_gan.SCALING.undone(torch.cat(batches)).mean(dim=(1, 2, 3)).numpy()
        np.testing.assert_allclose(np.sort(levels), np.sort(means), atol=2e-3)
        epochs.append(levels)
    assert not np.allclose(epochs[0], epochs[1])
    assert torch.equal(patches.batch(4), patches.batch(4))
    images = list(chain(*(patches.images_of(index) for index in range(3))))
    assert set(images) == {"i0"}


def test_processes_share_a_batch(patches) -> None:
    batch = patches.batch(5)
    assert torch.equal(torch.cat([patches.batch(5, rank, 2) for rank in range(2)]), batch)
    with pytest.raises(DataError, match="cannot be shared by 3"):
        patches.batch(0, 0, 3)


def test_the_scaling_spans_the_patches(prepared, windows) -> None:
    scaling = measure_scaling(prepared, windows, size=small_gan.SIZE, seed=0)
    pixels = cut(prepared, windows, size=small_gan.SIZE)
    assert (pixels < scaling.low).mean() == pytest.approx(0.001, abs=5e-4)
    assert (pixels > scaling.high).mean() == pytest.approx(0.001, abs=5e-4)
    black = windows.assign(row=-500)
    with pytest.raises(DataError, match="have the grey level 0"):
        measure_scaling(prepared, black, size=small_gan.SIZE, seed=0)


def test_the_identity_tells_sets_apart(prepared, windows, patches) -> None:
    reversed_set = small_gan.patch_set(prepared, windows.iloc[::-1].reset_index(drop=True))
    assert patches.identity() != reversed_set.identity()
    assert patches.identity() == small_gan.patch_set(prepared, windows).identity()


def test_a_batch_needs_a_device(prepared, windows) -> None:
    with pytest.raises(ValueError, match="call open"):
        small_gan.patch_set(prepared, windows).batch(0)
