"""Batches of whole pictures: how they are varied, drawn and shared out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches.affine import NO_AUGMENTATION
from second_look.batches.images import ImageBatches
from second_look.batches.pictures import WHITE, Pictures
from second_look.catalogue import LABELS
from second_look.errors import DataError

CPU = torch.device("cpu")


def image_batches(labels, **settings):
    """Batches of 8×8 pictures; each holds its number as grey level."""
    count = len(labels)
    levels = np.arange(count, dtype=np.uint16) * (WHITE // count)
    array = np.broadcast_to(levels[:, None, None], (count, 8, 8)).copy()
    ids = tuple(f"i{number}" for number in range(count))
    images = pd.DataFrame({"image_id": ids, "label": labels})
    return ImageBatches(
        Pictures(ids, array, "d"), images, **{"seed": 3, "balance": "natural", **settings}
    )


def test_parts_of_processes_together_are_the_whole_batch():
    batches = image_batches(LABELS * 3, batch_size=8)
    pixels_of_all, labels = batches.make(5, 0, 1)
    parts = [batches.make(5, rank, 4) for rank in range(4)]
    assert pixels_of_all.shape == (8, 1, 8, 8)
    assert torch.allclose(torch.cat([pixels for pixels, _ in parts]), pixels_of_all, atol=1e-6)
    assert torch.equal(torch.cat([labels_of_part for _, labels_of_part in parts]), labels)


def test_a_batch_is_the_same_whenever_it_is_asked_for():
    first, second = image_batches(LABELS * 3, batch_size=4), image_batches(LABELS * 3, batch_size=4)
    in_turn = [first.share(step, 0, 1, CPU) for step in range(4)]
    pixels, labels = second.share(3, 0, 1, CPU)
    assert torch.equal(pixels, in_turn[3][0])
    assert torch.equal(labels, in_turn[3][1])
    assert not torch.equal(in_turn[0][0], in_turn[1][0])
    assert not torch.equal(image_batches(LABELS * 3, batch_size=4, seed=4).make(3, 0, 1)[0], pixels)


def test_labels_belong_to_their_pictures():
    labels = list(LABELS) * 3
    batches = image_batches(labels, batch_size=64, augmentation=NO_AUGMENTATION)
    pixels, codes = batches.make(0, 0, 1)
    numbers = (pixels.mean(dim=(1, 2, 3)) * len(labels)).round().long()
    assert [labels[number] for number in numbers] == [LABELS[code] for code in codes]
    assert set(numbers.tolist()) == set(range(12))


@pytest.mark.parametrize(
    ("balance", "shares"),
    [("natural", [0.8, 0, 0.15, 0.05]), ("balanced", [1 / 3, 0, 1 / 3, 1 / 3])],
)
def test_labels_as_they_come_or_alike(balance, shares):
    labels = ["normal"] * 16 + ["benign"] * 3 + ["malignant"]
    batches = image_batches(labels, batch_size=50, balance=balance)
    drawn = torch.cat([batches.make(step, 0, 1)[1] for step in range(40)])
    drawn_shares = np.bincount(drawn, minlength=4) / len(drawn)
    # Four standard deviations of a share of 2,000 draws.
    assert np.abs(drawn_shares - shares).max() < 4 * np.sqrt(0.25 / 2000)


def test_the_identity_follows_what_the_batches_hold():
    plain = image_batches(LABELS * 3, batch_size=4).identity()
    assert plain == image_batches(LABELS * 3, batch_size=4).identity()
    for changed in (
        image_batches(LABELS[::-1] * 3, batch_size=4),
        image_batches(LABELS * 3, batch_size=8),
        image_batches(LABELS * 3, batch_size=4, seed=4),
        image_batches(LABELS * 3, batch_size=4, balance="balanced"),
        image_batches(LABELS * 3, batch_size=4, augmentation=NO_AUGMENTATION),
    ):
        assert changed.identity() != plain


def test_no_images_are_an_error():
    pictures = Pictures((), np.zeros((0, 8, 8), dtype=np.uint16), "d")
    none = pd.DataFrame({"image_id": [], "label": []})
    with pytest.raises(DataError, match="no images to learn from"):
        ImageBatches(pictures, none, batch_size=4, seed=0, balance="natural")
