"""A classifier of breasts that sees both views at once.

The features of the views meet before the last layer, as in the works that the paper cites (Lotter
2017, Geras 2017): what one view leaves open, the other one may settle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from second_look.catalogue import LABELS
from second_look.models.classifier import HEAD, Classifier


class TwoViewClassifier(Classifier):
    """Views of one breast → logits of its classes.

    The last layer gets the mean and the maximum of each feature over the views: a breast with one
    view stands there twice, and the order of the views does not matter.

    Args:
        architecture: As for Classifier.
        classes: Number of classes.
        channels: Of the backbone's input, 1 or 3.
        maxima: As for Classifier: over the picture, before the views meet.
    """

    def __init__(
        self,
        architecture: str,
        *,
        classes: int = len(LABELS),
        channels: int = 3,
        maxima: bool = False,
    ) -> None:
        super().__init__(architecture, classes=classes, channels=channels, maxima=maxima)
        self.head = nn.Linear(2 * self.head.in_features, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (n, classes) of breasts (n, views, rows, cols), grey levels 0 to 1."""
        breasts, views = pixels.shape[:2]
        pictures = pixels.flatten(0, 1)[:, None].contiguous(memory_format=torch.channels_last)
        features = self.pooled(self.maps(pictures)).view(breasts, views, -1)
        fused = torch.cat([features.mean(dim=1), features.amax(dim=1)], dim=1)  # (n, 2 · features)
        logits: Tensor = self.head(fused)
        return logits


def from_single_views(network: Classifier) -> TwoViewClassifier:
    """A classifier of breasts that begins as the mean over the views of a classifier of images.

    The logits of a breast are then the mean of those of its views; what the views say together
    remains to be learned.
    """
    fused = TwoViewClassifier(
        network.architecture,
        classes=network.head.out_features,
        channels=network.channels,
        maxima=network.maxima,
    )
    state = network.state_dict()
    weight = state[HEAD]
    state[HEAD] = torch.cat([weight, torch.zeros_like(weight)], dim=1)
    fused.load_state_dict(state)
    return fused
