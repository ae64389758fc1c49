"""Squares against plain slices, and a GPU's way on tensors of a CPU against the CPU's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches import squares as sq
from second_look.batches.sampler import PATCHES, PatchSampler
from second_look.preparing.store import Prepared

SHAPES = {"a": (16, (70, 50)), "b": (8, (40, 60)), "c": (12, (33, 21))}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    rng, images = np.random.default_rng(0), []
    for name, (bits, shape) in SHAPES.items():
        dtype = np.uint16 if bits > 8 else np.uint8
        pixels = rng.integers(0, 2**bits, shape).astype(dtype)
        pixels[0, 0], pixels[-1, -1] = 2**bits - 1, 0
        np.save(folder / f"{name}.pixels.npy", pixels)
        images.append({"image_id": name, "rows": shape[0], "cols": shape[1], "bits": bits})
    return Prepared(folder, pd.DataFrame(images), pd.DataFrame(), pd.DataFrame(), np.zeros(0))


def squares(prepared, names, memory="resident"):
    return sq.Squares(prepared, pd.Series(list(names)), CPU, memory)


@pytest.fixture
def as_on_gpu(monkeypatch):
    monkeypatch.setattr(sq, "gathers", lambda device: True)


def sliced(prepared, name, row, col, side):
    """The oracle: a slice of the image in the middle of much nothing."""
    image = prepared.pixels(name)
    beyond = 200
    wide = np.pad(image.astype(np.float32), beyond)
    return wide[row + beyond :, col + beyond :][:side, :side]


@pytest.mark.parametrize("way", ["cpu", "gpu"])
@pytest.mark.parametrize("memory", ["resident", "streamed"])
@pytest.mark.parametrize("names", ["abc", "b", "ca", "ba"])
def test_a_square_is_the_slice_and_zero_outside(prepared, names, memory, way, monkeypatch):
    monkeypatch.setattr(sq, "gathers", lambda device: way == "gpu")
    store = squares(prepared, names, memory)
    rng = np.random.default_rng(1)
    for side in (1, 7, 64, 90):
        numbers = rng.integers(0, len(names), 40)
        corners = rng.integers(-100, 100, (40, 2))
        cut = store.cut(numbers, corners, side)
        assert cut.dtype == torch.float32
        for square, number, (row, col) in zip(cut[:, 0], numbers, corners, strict=True):
            expected = sliced(prepared, names[number], row, col, side)
            np.testing.assert_array_equal(square, expected)


@pytest.mark.parametrize("far", [-(10**7), 10**7])
def test_squares_far_outside_are_empty(prepared, as_on_gpu, far):
    store = squares(prepared, "ab")
    for corner in ([far, 3], [3, far], [far, far]):
        assert not store.cut(np.array([1]), np.array([corner]), 30).any()


def test_images_of_8_bit_alone_stay_narrow(prepared, as_on_gpu):
    assert squares(prepared, "b")._flat.stored.dtype == torch.uint8
    assert squares(prepared, "ab")._flat.stored.dtype == torch.int16


def test_numbers_and_white_follow_the_table(prepared):
    store = squares(prepared, "bcbba")
    assert store.numbers.tolist() == [0, 1, 0, 0, 2]
    assert store.white.tolist() == [255, 4095, 65535]


@pytest.mark.parametrize("memory", ["resident", "streamed"])
@pytest.mark.parametrize("at_once", [3, 128])
def test_batches_of_a_gpu_are_those_of_a_cpu(prepared, memory, at_once, monkeypatch):
    rng = np.random.default_rng(2)
    windows = pd.DataFrame(
        {
            "image_id": rng.choice(list("abc"), 60),
            "row": rng.integers(-9, 40, 60),
            "col": rng.integers(-9, 40, 60),
            "size": rng.choice([16, 24], 60),
            "label": "normal",
            "excluded": "",
        }
    )

    def batches(memory):
        settings = {"size": 16, "batch_size": 20, "seed": 5, "augmentation": PATCHES}
        sampler = PatchSampler(prepared, windows, memory=memory, **settings)
        return list(sampler.batches(range(4)))

    expected = batches("resident")
    monkeypatch.setattr(sq, "gathers", lambda device: True)
    monkeypatch.setattr("second_look.batches.sampler._AT_ONCE", {"cpu": at_once})
    for batch, reference in zip(batches(memory), expected, strict=True):
        # Squares differ in size with the patches made at once: the same pixels, other roundings.
        torch.testing.assert_close(batch.pixels, reference.pixels, atol=2e-5, rtol=0)
        assert torch.equal(batch.labels, reference.labels)


def test_what_a_device_needs_decides_where_images_lie(prepared, monkeypatch):
    pixels = [rows * cols for _, (rows, cols) in SHAPES.values()]
    native = 2 * pixels[0] + pixels[1] + 2 * pixels[2]
    monkeypatch.setattr(sq, "free_memory", lambda device: 2 * native)
    assert squares(prepared, "abc", "auto").memory == "resident"
    monkeypatch.setattr(sq, "gathers", lambda device: True)
    assert squares(prepared, "abc", "auto").memory == "streamed"
    monkeypatch.setattr(sq, "free_memory", lambda device: 4 * sum(pixels))
    assert squares(prepared, "abc", "auto").memory == "resident"
