"""Patches against plain crops, NumPy's turns and SciPy's resampling."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches.affine import Variations
from second_look.batches.sampler import (
    PATCHES,
    Draws,
    PatchSampler,
    cut,
)
from second_look.errors import DataError
from second_look.preparing.store import Prepared

SIZE = 16


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    rng, images = np.random.default_rng(0), []
    for name, bits, shape in (("a", 16, (70, 50)), ("b", 8, (40, 60))):
        dtype = np.uint16 if bits > 8 else np.uint8
        np.save(folder / f"{name}.pixels.npy", rng.integers(0, 2**bits, shape).astype(dtype))
        images.append({"image_id": name, "rows": shape[0], "cols": shape[1], "bits": bits})
    return Prepared(folder, pd.DataFrame(images), pd.DataFrame(), pd.DataFrame(), np.zeros(0))


@pytest.fixture(scope="module")
def windows():
    rows = [("a", r, c, "normal", "") for r in (0, 20, 54) for c in (0, 17, 34)]
    rows += [("b", 10, 11, "malignant", ""), ("b", 0, 0, "benign", "")]
    rows += [("b", 5, 5, "", "off breast")]
    table = pd.DataFrame(rows, columns=["image_id", "row", "col", "label", "excluded"])
    return table.assign(size=SIZE, split="train")


def sampler(prepared, windows, **changes):
    settings = {"size": SIZE, "batch_size": 8, "seed": 3} | changes
    return PatchSampler(prepared, windows, **settings)


def crop(prepared, row):
    bits = prepared.images.set_index("image_id").loc[row["image_id"], "bits"]
    pixels = prepared.pixels(row["image_id"])[row["row"] :, row["col"] :]
    return pixels[: row["size"], : row["size"]] / (2.0**bits - 1)


def plain(windows, **changes):
    variations = replace(Variations.none(len(windows)), **changes)
    return Draws(np.asarray(windows), variations)


def test_without_augmentation_a_patch_is_the_plain_crop(prepared, windows):
    rows = np.arange(11)
    batch = sampler(prepared, windows).make(plain(rows))
    exact = cut(prepared, windows.iloc[rows], size=SIZE)
    for index, row in enumerate(rows):
        expected = crop(prepared, windows.iloc[row])
        np.testing.assert_allclose(exact[index], expected, atol=1e-7)
        np.testing.assert_allclose(batch.pixels[index, 0], expected, atol=2e-5)
    assert batch.pixels.dtype == torch.float32
    assert batch.labels.tolist() == [0] * 9 + [3, 2]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_quarter_turns_and_mirrors_are_numpy_s(prepared, windows, turns, mirrored):
    batch = sampler(prepared, windows).make(
        plain([4], angles=np.array([turns * np.pi / 2]), mirrored=np.array([mirrored]))
    )
    expected = np.rot90(crop(prepared, windows.iloc[4]), turns)
    expected = expected[:, ::-1] if mirrored else expected
    np.testing.assert_allclose(batch.pixels[0, 0], expected, atol=5e-4)


def test_outside_of_the_image_is_zero(prepared, windows):
    beyond = windows.iloc[[0]].assign(row=-8, col=-8)
    patch = cut(prepared, beyond, size=SIZE)[0]
    assert (patch[:8] == 0).all()
    assert (patch[:, :8] == 0).all()
    inner = crop(prepared, windows.iloc[0])[:8, :8]
    np.testing.assert_allclose(patch[8:, 8:], inner, atol=1e-7)


def test_windows_of_another_size_are_resampled(prepared, windows):
    wide = windows.iloc[[4]].assign(size=2 * SIZE, row=10, col=10)
    patch = cut(prepared, wide, size=SIZE)[0]
    source = prepared.pixels("a")[10:42, 10:42] / 65535
    # Twice the size: each patch pixel lies in the middle of four source pixels.
    expected = source.reshape(SIZE, 2, SIZE, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(patch, expected, atol=1e-4)


def test_batches_depend_on_seed_and_step_only(prepared, windows):
    augmented = {"augmentation": PATCHES, "balance": "balanced"}
    reference = list(sampler(prepared, windows, **augmented).batches(range(5)))
    for changes in ({"workers": 1}, {"workers": 4}, {"memory": "streamed"}, {"memory": "resident"}):
        for batch, expected in zip(
            sampler(prepared, windows, **augmented, **changes).batches(range(5)),
            reference,
            strict=True,
        ):
            assert torch.equal(batch.pixels, expected.pixels)
            assert torch.equal(batch.labels, expected.labels)
    again = sampler(prepared, windows, **augmented).batch(3)
    assert torch.equal(again.pixels, reference[3].pixels)
    changed = sampler(prepared, windows, **augmented | {"seed": 4}).batch(3)
    assert not torch.equal(changed.pixels, reference[3].pixels)


def test_memory_is_chosen_and_said(prepared, windows, monkeypatch):
    assert sampler(prepared, windows).memory == "resident"
    monkeypatch.setattr("second_look.batches.squares.free_memory", lambda device: 1000)
    assert sampler(prepared, windows).memory == "streamed"


def test_windows_without_a_label_are_never_drawn(prepared, windows):
    drawn = np.concatenate([sampler(prepared, windows).draw(step).windows for step in range(50)])
    assert set(drawn) == set(range(11))


def test_balance_draws_each_class_as_often(prepared, windows):
    sampled = sampler(prepared, windows, balance="balanced", batch_size=3000)
    shares = np.bincount(sampled.batch(0).labels.numpy(), minlength=4) / 3000
    assert shares == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.04)
    natural = sampler(prepared, windows, batch_size=3000).batch(0).labels.numpy()
    assert (natural == 0).mean() == pytest.approx(9 / 11, abs=0.04)


def test_an_epoch_has_every_window_once_in_a_new_order(prepared, windows):
    sampled = sampler(prepared, windows, batch_size=4)
    first = [list(batch.windows) for batch in sampled.epoch(0)]
    second = [list(batch.windows) for batch in sampled.epoch(1)]
    assert [len(part) for part in first] == [4, 4, 3]
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(11))
    assert first != second


def test_contrast_turns_about_the_mean_and_stays_in_range(prepared, windows):
    batch = sampler(prepared, windows).make(plain([4, 4], gains=np.array([1.0, 0.5])))
    sampled, half = batch.pixels[0, 0], batch.pixels[1, 0]
    torch.testing.assert_close(
        half, sampled.mean() + 0.5 * (sampled - sampled.mean()), atol=1e-5, rtol=0
    )
    strong = sampler(prepared, windows).make(plain([4], gains=np.array([9.0]))).pixels
    assert strong.min() >= 0
    assert strong.max() <= 1


def test_variants_of_one_window_differ_and_repeat(prepared, windows):
    sampled = sampler(prepared, windows, augmentation=PATCHES)
    first = sampled.variants(4, count=3, seed=1)
    assert first.shape == (3, SIZE, SIZE)
    assert not np.allclose(first[0], first[1])
    np.testing.assert_array_equal(first, sampled.variants(4, count=3, seed=1))


def test_bad_settings_and_empty_tables_are_refused(prepared, windows):
    with pytest.raises(DataError, match="none of 1 windows has a label"):
        sampler(prepared, windows[windows["excluded"] != ""])
    with pytest.raises(DataError, match="none of 0 windows"):
        sampler(prepared, windows.iloc[:0])
    with pytest.raises(ValueError, match="balance must be one of"):
        sampler(prepared, windows, balance="fair")
    with pytest.raises(ValueError, match="must be positive"):
        sampler(prepared, windows, batch_size=0)
