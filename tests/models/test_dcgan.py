"""The paper's DCGAN, layer by layer as it is printed, and its settings."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from second_look import paper
from second_look.claims import claim
from second_look.models.dcgan import PAPER, SIZES, DcganSettings, Discriminator, Generator
from second_look.models.layer_table import layer_table, parameters
from torch import nn

TINY = replace(PAPER, size=32, latent_size=6)


def rows(table):
    return list(table.itertuples(index=False, name=None))


def printed(figure):
    return [(layer.name, layer.kind, layer.printed_shape, layer.parameters) for layer in figure]


def test_both_figures_are_regenerated_cell_by_cell() -> None:
    settings, numbers = PAPER, Counter()
    generator, discriminator = Generator(settings), Discriminator(settings)
    first = layer_table(generator, torch.zeros(1, 4000), numbers)
    second = layer_table(discriminator, torch.zeros(1, 1, 256, 256), numbers)
    assert rows(first) == printed(paper.FIG_1A)
    assert rows(second) == printed(paper.FIG_1B)
    assert parameters(generator) == first["parameters"].sum() == 33_081_761
    assert parameters(generator, trainable=True) == 33_065_137
    assert parameters(discriminator) == second["parameters"].sum() == 314_241


def test_the_printed_rows_add_up_to_the_claims() -> None:
    for figure, name in ((paper.FIG_1A, "fig-1a"), (paper.FIG_1B, "fig-1b")):
        assert sum(layer.parameters for layer in figure) == claim(name).value


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_made_and_judged(size: int) -> None:
    settings = replace(PAPER, size=size, latent_size=3)
    pictures = Generator(settings)(torch.rand(2, 3))
    assert pictures.shape == (2, 1, size, size)
    assert pictures.abs().max() <= 1
    assert Discriminator(settings)(pictures).shape == (2,)


def test_what_the_paper_leaves_open_can_be_set() -> None:
    settings = DcganSettings(
        size=16, latent_size=3, slope=0.1, dropout=0.4, output_activation="sigmoid"
    )
    slopes = {
        m.negative_slope for m in Generator(settings).modules() if isinstance(m, nn.LeakyReLU)
    }
    rates = {m.p for m in Discriminator(settings).modules() if isinstance(m, nn.Dropout)}
    assert (slopes, rates) == ({0.1}, {0.4})
    assert Generator(settings)(torch.rand(2, 3)).min() >= 0


def test_weights_start_as_in_the_dcgan_paper() -> None:
    torch.manual_seed(0)
    first = Generator(replace(PAPER, size=16, latent_size=50)).layers[0]
    assert first.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert (first.bias == 0).all()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"size": 100}, r"makes patches of \(16, 32, 64, 128, 256\) px. Got 100"),
        ({"output_activation": "relu"}, "output_activation must be one of"),
        ({"dropout": 1.0}, "dropout from 0 to below 1"),
        ({"latent_size": 0}, "latent_size must be positive"),
    ],
)
def test_settings_that_make_no_network(wrong: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        replace(PAPER, **wrong)


def test_a_table_leaves_the_network_as_it_was() -> None:
    network = Generator(TINY).train()
    initial = {key: value.clone() for key, value in network.state_dict().items()}
    layer_table(network, torch.zeros(1, 6))
    assert network.training
    assert all(torch.equal(initial[key], value) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
