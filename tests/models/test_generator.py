"""Samples by number: reproducible, at their own grey levels, streamed."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from second_look.models.dcgan import PAPER
from second_look.models.dcgan import Generator as Dcgan
from second_look.models.generator import Scaling, make_samples, stream_samples
from second_look.models.progressive import Generator as Progressive
from second_look.models.progressive import ProgressiveSettings

SCALING = Scaling(0.2, 0.6)


@pytest.fixture(params=["dcgan", "progressive"])
def generator(request):
    torch.manual_seed(0)
    if request.param == "dcgan":
        return Dcgan(replace(PAPER, size=16, latent_size=5))
    return Progressive(
        ProgressiveSettings(size=16, latent_size=5, max_channels=8, base=64, start=4)
    )


def test_scaling_is_undone() -> None:
    levels = torch.linspace(0.2, 0.6, 9)
    assert SCALING.scaled(levels).tolist() == pytest.approx(np.linspace(-1, 1, 9), abs=1e-6)
    torch.testing.assert_close(SCALING.undone(SCALING.scaled(levels)), levels)
    assert SCALING.scaled(torch.tensor([0.0, 1.0])).tolist() == [-1, 1]
    assert SCALING.undone(torch.tensor([-9.0, 9.0])).tolist() == pytest.approx([0.2, 0.6])
    with pytest.raises(ValueError, match="low < high"):
        Scaling(0.5, 0.5)


def test_a_sample_follows_from_seed_and_number_alone(generator) -> None:
    together = make_samples(generator, SCALING, range(6), seed=3)
    alone = make_samples(generator, SCALING, [4], seed=3)
    torch.testing.assert_close(together[4:5], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[4], together[5], atol=1e-3)
    assert not torch.allclose(make_samples(generator, SCALING, [4], seed=4), alone, atol=1e-3)
    assert torch.equal(together, make_samples(generator, SCALING, range(6), seed=3))


def test_samples_do_not_touch_the_generator_or_random_numbers(generator) -> None:
    generator.train()
    initial = {key: value.clone() for key, value in generator.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    make_samples(generator, SCALING, range(3), seed=0)
    assert torch.rand(1) == expected
    assert generator.training
    assert all(torch.equal(initial[key], value) for key, value in generator.state_dict().items())


def test_noise_is_as_each_architecture_has_it(generator) -> None:
    drawn = generator.draw(4000, torch.device("cpu")).numpy()
    fixed = generator.noise(0, range(4000)).numpy()
    spread = 1 / np.sqrt(3) if generator.uniform else 1
    for noise in (drawn, fixed):
        assert noise.shape == (4000, 5)
        assert (noise.mean(), noise.std()) == pytest.approx((0, spread), abs=0.02)


def test_samples_stay_within_the_grey_levels_of_the_patches(generator) -> None:
    samples = make_samples(generator, SCALING, range(20), seed=0)
    assert samples.min() >= 0.2 - 1e-6
    assert samples.max() <= 0.6 + 1e-6
    assert make_samples(generator, SCALING, [0], seed=0, size=8).shape == (1, 1, 8, 8)


def test_streaming_holds_a_batch_at_a_time(generator) -> None:
    parts = list(stream_samples(generator, SCALING, 10, seed=0, batch=4))
    assert [len(part) for part in parts] == [4, 4, 2]
    samples = make_samples(generator, SCALING, range(10), seed=0)
    torch.testing.assert_close(torch.cat(parts), samples, atol=1e-5, rtol=1e-5)

    def peak(count: int) -> int:
        """Most memory of Python and NumPy, bytes; a tensor holds one batch and no more."""
        tracemalloc.start()
        for part in stream_samples(generator, SCALING, count, seed=0, batch=8):
            assert part.untyped_storage().nbytes() == 8 * 16 * 16 * 4
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(16)
    assert peak(640) < 1.5 * peak(64) + 20_000
