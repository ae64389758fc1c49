"""Inception v3 (Szegedy et al. 2016), whose features distances of generated pictures go back to."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import Inception_V3_Weights, inception_v3

from second_look.errors import CheckpointError
from second_look.models.weights import load_states, read_tensors

INCEPTION = "inception_v3"
URL = str(Inception_V3_Weights.IMAGENET1K_V1.url)
SIZE = 299  # px, of the pictures that it was trained on


class Inception(nn.Module):
    """Grey pictures → the 2,048 features before its last layer, with torchvision's weights.

    Published distances were taken in the features of another port of the same network: compare
    these with each other only.

    Args:
        path: File of torchvision's ImageNet weights.

    Raises:
        CheckpointError: It is not there, or of another network; says how to get it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.is_file():
            raise CheckpointError(f"{path}: there is no such file of weights. Download {URL}.")
        self.network = inception_v3(weights=None, init_weights=False, transform_input=False)
        load_states({INCEPTION: self.network}, {INCEPTION: read_tensors(path)}, path)
        self.network.fc = nn.Identity()
        self.eval()

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """Features (n, 2048) of grey levels 0 to 1, (n, 1, rows, cols), best of 299 px."""
        # The weights were trained on levels from -1 to 1.
        features: Tensor = self.network(pixels.expand(-1, 3, -1, -1) * 2 - 1)
        return features
