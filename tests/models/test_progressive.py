"""Progressive growing: sizes, fading in, and its layers against formulas and the publication."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from second_look.models.layer_table import layer_table, parameters
from second_look.models.progressive import (
    Critic,
    Generator,
    MinibatchStd,
    PixelNorm,
    ProgressiveSettings,
    ScaledConv,
    Stage,
    at_stage,
    stage_at,
)
from torch.nn import functional

PUBLISHED = ProgressiveSettings(1024, latent_size=512, max_channels=512, base=8192, start=4)
SMALL = ProgressiveSettings(size=32, latent_size=6, max_channels=8, base=64, start=4)


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return Generator(SMALL).eval(), Critic(SMALL).eval()


def test_parameters_at_1024_px_are_those_of_the_publication() -> None:
    """Karras et al. 2018, table 2: 23.1 million each (with three colours: 100 more)."""
    assert round(parameters(Generator(PUBLISHED)) / 1e6, 1) == 23.1
    assert round(parameters(Critic(PUBLISHED)) / 1e6, 1) == 23.1
    assert [PUBLISHED.channels(level) for level in range(9)] == [512] * 4 + [256, 128, 64, 32, 16]


def test_layers_are_counted_as_the_formula_has_them(networks) -> None:
    widths = [SMALL.channels(level) for level in range(SMALL.levels)]
    assert widths == [8, 8, 8, 4]
    convs = list(pairwise(widths))
    first = 6 * 8 * 16 + 8 * 16 + (9 * 8 * 8 + 8)
    blocks = sum(9 * a * b + b + 9 * b * b + b for a, b in convs)
    table = layer_table(networks[0], torch.zeros(1, 6))
    assert table["parameters"].sum() == first + blocks + (widths[-1] + 1)
    assert table["output_shape"].iloc[-1] == "(None, 32, 32, 1)"
    assert (table["type"] == "PixelNorm").sum() == 9
    assert "minibatch_std_1" in set(layer_table(networks[1], torch.zeros(1, 1, 32, 32))["layer"])


def test_the_schedule_fades_each_resolution_in_and_ends_whole() -> None:
    stages = [stage_at(SMALL, step, 700) for step in range(700)]
    assert stages[0] == Stage(0, 1.0)
    assert stages[-1] == Stage(3, 1.0)
    assert [stage.level for stage in stages] == sorted(stage.level for stage in stages)
    for level in range(1, 4):
        fading = [s.faded for s in stages if s.level == level and s.faded < 1]
        assert len(fading) == 100
        assert fading[0] == pytest.approx(0, abs=1e-9)
        assert fading == sorted(fading)
    late = replace(SMALL, start=16)
    assert stage_at(late, 0, 90).size == 16
    assert stage_at(late, 35, 90) == Stage(3, pytest.approx(35 / 30 - 1))


def test_fading_joins_both_ends(networks) -> None:
    """At its beginning a level shows the one below it enlarged, at its end itself alone."""
    generator, critic = networks
    noise = torch.randn(3, 6)
    small = generator.forward_at(noise, Stage(1, 1.0))
    enlarged = functional.interpolate(small, scale_factor=2, mode="nearest")
    torch.testing.assert_close(generator.forward_at(noise, Stage(2, 0.0)), enlarged)
    full = generator.forward_at(noise, Stage(2, 1.0))
    torch.testing.assert_close(
        generator.forward_at(noise, Stage(2, 0.25)), 0.75 * enlarged + 0.25 * full
    )
    pictures = torch.randn(4, 1, 16, 16)
    coarse = critic.forward_at(functional.avg_pool2d(pictures, 2), Stage(1, 1.0))
    torch.testing.assert_close(critic.forward_at(pictures, Stage(2, 0.0)), coarse)


def test_samples_always_have_the_full_size(networks) -> None:
    generator = networks[0]
    noise = torch.randn(2, 6)
    for stage in (Stage(0, 1.0), Stage(2, 0.5), Stage(3, 1.0)):
        generator.stage = stage
        assert generator.stage == stage
        pictures_out = generator(noise)
        assert pictures_out.shape == (2, 1, 32, 32)
        torch.testing.assert_close(
            functional.avg_pool2d(pictures_out, 32 // stage.size),
            generator.forward_at(noise, stage),
        )


def test_the_stage_is_saved_with_the_weights(networks) -> None:
    networks[0].stage = Stage(1, 0.25)
    loaded = Generator(SMALL)
    loaded.load_state_dict(networks[0].state_dict())
    assert loaded.stage == Stage(1, 0.25)


def test_real_pictures_are_as_blurred_as_made_ones() -> None:
    pictures = torch.rand(2, 1, 32, 32)
    half = functional.avg_pool2d(pictures, 2)
    torch.testing.assert_close(at_stage(pictures, Stage(2, 1.0)), half)
    coarse = functional.avg_pool2d(half, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(at_stage(pictures, Stage(2, 0.25)), 0.25 * half + 0.75 * coarse)


def test_layers_keep_the_spread_of_their_input() -> None:
    """Equalised learning rate: unit weights, scaled by He's constant when they are used."""
    torch.manual_seed(1)
    layer = ScaledConv(64, 64, 3, gain=1)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.02)
    assert layer(torch.randn(4, 64, 16, 16))[..., 1:-1, 1:-1].std().item() == pytest.approx(
        1, rel=0.1
    )
    assert ScaledConv(64, 64, 3).factor == pytest.approx(math.sqrt(2 / (64 * 9)))


def test_pixel_norm_gives_unit_length() -> None:
    pictures_out = PixelNorm()(torch.randn(2, 5, 3, 3) * 7)
    torch.testing.assert_close(pictures_out.square().mean(dim=1), torch.ones(2, 3, 3))


def test_minibatch_std_sees_a_collapse() -> None:
    collapsed = torch.randn(1, 3, 4, 4).expand(8, 3, 4, 4)
    assert MinibatchStd()(collapsed)[:, 3].max() < 1e-3
    pictures = torch.randn(8, 3, 4, 4)
    pictures_out = MinibatchStd()(pictures)
    assert pictures_out.shape == (8, 4, 4, 4)
    groups = pictures.reshape(4, 2, 3, 4, 4)  # pictures 0, 2, 4, 6 and 1, 3, 5, 7
    expected = groups.std(dim=0, unbiased=False).mean(dim=(1, 2, 3))
    torch.testing.assert_close(pictures_out[:, 3, 0, 0], expected.repeat(4), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"size": 100}, r"makes patches of \[8, 16, .* px. Got 100"),
        ({"size": 32, "start": 64}, "start must be a power of two"),
        ({"latent_size": 0}, "must be positive"),
    ],
)
def test_settings_that_make_no_network(wrong: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        replace(SMALL, **wrong)
