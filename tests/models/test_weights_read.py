"""Weights that are no weights are refused, each with one clear error."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from second_look.errors import CheckpointError
from second_look.models.weights import load_weights, read_tensors
from torch import nn

GOOD = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}


@pytest.mark.filterwarnings("ignore:Sparse invariant")
@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (torch.tensor([0.0, float("nan")]), "bias holds numbers that are not finite"),
        (torch.tensor([0.0, -float("inf")]), "bias holds numbers that are not finite"),
        (torch.tensor([1, 2]), "bias holds int64 numbers"),
        (torch.tensor([True, False]), "bias holds bool numbers"),
        (torch.tensor([1j, 2]), "bias holds complex64 numbers"),
        (torch.ones(2).to_sparse(), "bias is sparse or quantised"),
    ],
)
def test_numbers_that_are_no_weights(tmp_path, tensor, problem):
    path = tmp_path / "w.pth"
    torch.save({**GOOD, "bias": tensor}, path)
    with pytest.raises(CheckpointError) as error:
        load_weights(nn.Linear(3, 2), path)
    assert str(error.value) == f"{path}: {problem}. Get or train the weights anew."
    if tensor.layout == torch.strided:
        save_file({**GOOD, "bias": tensor}, tmp_path / "w.safetensors")
        with pytest.raises(CheckpointError, match=problem):
            read_tensors(tmp_path / "w.safetensors")


def test_names_that_are_no_text(tmp_path):
    torch.save({1: torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="the name 1 is no text"):
        read_tensors(tmp_path / "w.pth")


def test_a_message_about_many_tensors_is_short(tmp_path):
    torch.save({f"{'x' * 400}{k}": torch.ones(1) for k in range(99)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="and 98 more") as error:
        load_weights(nn.Linear(3, 2), tmp_path / "w.pth")
    assert len(str(error.value)) < 700


def test_counters_of_normalisation_and_half_precision_are_weights(tmp_path):
    network = nn.BatchNorm1d(3)
    torch.save(network.half().state_dict(), tmp_path / "w.pth")
    load_weights(nn.BatchNorm1d(3), tmp_path / "w.pth")
