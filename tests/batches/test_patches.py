"""Batches of patches: parts of processes, the same whenever asked for, an identity that follows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from second_look.batches.patches import PatchBatches
from second_look.batches.sampler import NO_AUGMENTATION, cut
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.preparing.patches import HALF_RULE, window_table

SIZE = 32
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def windows(phantom_data):
    table = window_table(
        phantom_data.prepared, phantom_data.catalogue, size=SIZE, stride=SIZE, rule=HALF_RULE
    )
    labelled = table[(table["excluded"] == "") & (table["split"] == "train")]
    return labelled[labelled["image_id"].isin(labelled["image_id"].unique()[:12])]


def patch_batches(data, windows, **settings):
    plain = {"size": SIZE, "batch_size": 8, "seed": 3, "balance": "balanced", "memory": "streamed"}
    return PatchBatches(data.prepared, windows, **{**plain, **settings})


def test_parts_of_processes_together_are_the_whole_batch(phantom_data, windows):
    pixels_of_all, labels = patch_batches(phantom_data, windows).share(2, 0, 1, CPU)
    parts = [patch_batches(phantom_data, windows).share(2, rank, 2, CPU) for rank in range(2)]
    assert pixels_of_all.shape == (8, 1, SIZE, SIZE)
    assert torch.allclose(torch.cat([pixels for pixels, _ in parts]), pixels_of_all, atol=1e-6)
    assert torch.equal(torch.cat([labels_of_part for _, labels_of_part in parts]), labels)
    with pytest.raises(DataError, match="batch of 8 cannot be shared by 3 processes"):
        patch_batches(phantom_data, windows).share(0, 0, 3, CPU)


def test_a_batch_is_the_same_whenever_it_is_asked_for(phantom_data, windows):
    first, second = patch_batches(phantom_data, windows), patch_batches(phantom_data, windows)
    in_turn = [first.share(step, 0, 1, CPU)[0] for step in range(3)]
    assert torch.equal(second.share(2, 0, 1, CPU)[0], in_turn[2])
    assert not torch.equal(in_turn[0], in_turn[2])


def test_patches_are_the_windows_with_their_labels(phantom_data, windows):
    batches = patch_batches(phantom_data, windows, batch_size=16, augmentation=NO_AUGMENTATION)
    pixels, labels = batches.share(0, 0, 1, CPU)
    cuts = cut(phantom_data.prepared, windows, size=SIZE)  # (windows, rows, cols)
    codes = windows["label"].map(LABELS.index).to_numpy()
    for patch, label in zip(pixels[:, 0].numpy(), labels.tolist(), strict=True):
        apart = np.abs(cuts - patch).max(axis=(1, 2))
        assert apart.min() < 1e-4
        assert label in codes[apart < 1e-4]


def test_the_identity_follows_what_the_batches_hold(phantom_data, windows):
    plain = patch_batches(phantom_data, windows).identity()
    # Where images are kept changes nothing.
    assert patch_batches(phantom_data, windows, memory="resident").identity() == plain
    shuffled = windows.assign(label=windows["label"].to_numpy()[::-1])
    for second in (
        patch_batches(phantom_data, shuffled),
        patch_batches(phantom_data, windows, seed=4),
        patch_batches(phantom_data, windows, balance="natural"),
        patch_batches(phantom_data, windows, augmentation=NO_AUGMENTATION),
    ):
        assert second.identity() != plain
