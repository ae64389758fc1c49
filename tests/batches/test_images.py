"""Batches of whole pictures: how they are varied, drawn and shared out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches.images import ImageAugmentation, ImageBatches, vary
from second_look.batches.pictures import WHITE, Pictures
from second_look.catalogue import LABELS
from second_look.errors import DataError

STILL = ImageAugmentation(rotation_deg=0, flip=False, scale=1, shift=0, contrast=0)
CPU = torch.device("cpu")


def turns(count=1, **changes):
    """No variation of pictures, with some of it changed."""
    plain = {"angle": 0, "mirror": 1, "scale": 1, "down": 0, "right": 0, "gain": 1}
    return {name: np.full(count, float(value)) for name, value in {**plain, **changes}.items()}


def noise(rows, cols, count=1):
    return torch.rand((count, 1, rows, cols), generator=torch.Generator().manual_seed(0))


def dot(rows, cols, row, col):
    picture = torch.zeros((1, 1, rows, cols))
    picture[0, 0, row, col] = 1
    return picture


def place(picture):
    return divmod(int(picture.flatten().argmax()), picture.shape[-1])


def made(labels, **settings):
    """Batches of 8×8 pictures; each holds its number as grey level."""
    count = len(labels)
    levels = np.arange(count, dtype=np.uint16) * (WHITE // count)
    array = np.broadcast_to(levels[:, None, None], (count, 8, 8)).copy()
    ids = tuple(f"i{number}" for number in range(count))
    images = pd.DataFrame({"image_id": ids, "label": labels})
    return ImageBatches(Pictures(ids, array, "d"), images, **{"seed": 3, **settings})


def test_without_variation_a_picture_stays_as_it_is():
    pixels = noise(24, 16, 3)
    assert torch.allclose(vary(pixels, turns(3)), pixels, atol=1e-5)


def test_a_mirror_image_is_upside_down():
    pixels = noise(24, 16, 2)
    assert torch.allclose(vary(pixels, turns(2, mirror=-1)), pixels.flip(2), atol=1e-5)


@pytest.mark.parametrize("quarters", [-1, 1, 2])
def test_quarter_turns_of_a_square(quarters):
    pixels = noise(16, 16)
    expected = np.rot90(pixels[0, 0].numpy(), quarters)
    found = vary(pixels, turns(angle=quarters * np.pi / 2))
    assert np.allclose(found[0, 0], expected, atol=1e-4)


def test_a_mirror_image_is_turned_after_it_was_mirrored():
    pixels = noise(16, 16)
    expected = np.flipud(np.rot90(pixels[0, 0].numpy(), 1))
    found = vary(pixels, turns(angle=np.pi / 2, mirror=-1))
    assert np.allclose(found[0, 0], expected, atol=1e-4)


def test_shapes_are_kept_when_a_picture_is_not_square():
    # 10.5 px below the middle: after a quarter turn 10.5 px beside it, not 5.
    found = vary(dot(64, 32, 42, 16), turns(angle=np.pi / 2))
    row, col = place(found)
    assert abs(abs(col + 0.5 - 16) - 10.5) <= 0.5
    assert abs(row + 0.5 - 32) <= 1


def test_a_shift_moves_what_is_seen_the_other_way():
    # The window moves 6 px down and 4 px to the right, so what it shows moves up and left.
    found = vary(dot(48, 32, 20, 12), turns(down=2 * 6 / 48, right=2 * 4 / 32))
    assert place(found) == (14, 8)
    assert found.max() == pytest.approx(1, abs=1e-4)


def test_what_comes_in_from_outside_is_air():
    found = vary(torch.ones((1, 1, 16, 16)), turns(right=2 * 4 / 16))
    assert torch.allclose(found[0, 0, :, :12], torch.ones(16, 12), atol=1e-5)
    assert torch.allclose(found[0, 0, :, 12:], torch.zeros(16, 4), atol=1e-5)


def test_a_larger_scale_sees_more():
    pixels = torch.zeros((1, 1, 32, 32))
    pixels[:, :, 8:24, 8:24] = 1
    assert vary(pixels, turns(scale=2)).sum() == pytest.approx(8 * 8, rel=0.1)


def test_contrast_is_spread_around_the_mean_and_stays_a_grey_level():
    pixels = noise(16, 16)
    mean = pixels.mean()
    found = vary(pixels, turns(gain=1.5))
    assert torch.allclose(found, (mean + 1.5 * (pixels - mean)).clamp(0, 1), atol=1e-4)
    assert found.min() == 0


def test_parts_of_processes_together_are_the_whole_batch():
    batches = made(LABELS * 3, batch_size=8)
    whole, labels = batches.make(5, 0, 1)
    parts = [batches.make(5, rank, 4) for rank in range(4)]
    assert whole.shape == (8, 1, 8, 8)
    assert torch.allclose(torch.cat([pixels for pixels, _ in parts]), whole, atol=1e-6)
    assert torch.equal(torch.cat([own for _, own in parts]), labels)


def test_a_batch_is_the_same_whenever_it_is_asked_for():
    first, second = made(LABELS * 3, batch_size=4), made(LABELS * 3, batch_size=4)
    in_turn = [first.share(step, 0, 1, CPU) for step in range(4)]
    pixels, labels = second.share(3, 0, 1, CPU)
    assert torch.equal(pixels, in_turn[3][0])
    assert torch.equal(labels, in_turn[3][1])
    assert not torch.equal(in_turn[0][0], in_turn[1][0])
    assert not torch.equal(made(LABELS * 3, batch_size=4, seed=4).make(3, 0, 1)[0], pixels)


def test_labels_belong_to_their_pictures():
    labels = list(LABELS) * 3
    batches = made(labels, batch_size=64, augmentation=STILL)
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
    batches = made(labels, batch_size=50, balance=balance)
    drawn = torch.cat([batches.make(step, 0, 1)[1] for step in range(40)])
    found = np.bincount(drawn, minlength=4) / len(drawn)
    # Four standard deviations of a share of 2,000 draws.
    assert np.abs(found - shares).max() < 4 * np.sqrt(0.25 / 2000)


def test_the_identity_follows_what_the_batches_hold():
    plain = made(LABELS * 3, batch_size=4).identity()
    assert plain == made(LABELS * 3, batch_size=4).identity()
    for other in (
        made(LABELS[::-1] * 3, batch_size=4),
        made(LABELS * 3, batch_size=8),
        made(LABELS * 3, batch_size=4, seed=4),
        made(LABELS * 3, batch_size=4, balance="balanced"),
        made(LABELS * 3, batch_size=4, augmentation=STILL),
    ):
        assert other.identity() != plain


def test_no_images_are_an_error():
    pictures = Pictures((), np.zeros((0, 8, 8), dtype=np.uint16), "d")
    none = pd.DataFrame({"image_id": [], "label": []})
    with pytest.raises(DataError, match="no images to learn from"):
        ImageBatches(pictures, none, batch_size=4, seed=0)
