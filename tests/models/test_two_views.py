"""A classifier of two views begins as the mean of its single answers, in any order of the views."""

from __future__ import annotations

import pytest
import torch
from second_look.models.classifier import build_classifier
from second_look.models.two_views import from_single_views


@pytest.mark.parametrize("maxima", [False, True])
@pytest.mark.parametrize("architecture", ["small", "mobilenetv3_small_050"])
def test_it_begins_as_the_mean_over_the_views(architecture, maxima) -> None:
    single = build_classifier(architecture, seed=1, maxima=maxima).eval()
    fused = from_single_views(single).eval()
    pixels = torch.rand(3, 2, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = torch.stack([single(pixels[:, [view]]) for view in (0, 1)])
        assert torch.allclose(fused(pixels), answers.mean(0), atol=1e-5)
        assert torch.allclose(fused(pixels), fused(pixels.flip(1)), atol=1e-5)


def test_it_learns_what_neither_view_says_alone() -> None:
    fused = from_single_views(build_classifier("small", seed=1)).train()
    fused(torch.rand(2, 2, 64, 64)).sum().backward()
    _, of_maximum = fused.head.weight.grad.chunk(2, dim=1)
    assert of_maximum.abs().max() > 0
