"""Settings of classifiers that train in seconds on a CPU."""

from __future__ import annotations

from second_look.studies.transfer.patch_models import PatchSettings
from second_look.studies.transfer.whole_image import WholeImageSettings


def small_patch_settings(**changes: object) -> PatchSettings:
    """A small network on patches of 32 px, four at a time, validated once."""
    settings = {
        "architecture": "small",
        "size": 32,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "balance": "balanced",
        "label_smoothing": 0.0,
        "patience": 0,
        "validations": 1,
        "accelerator": "cpu",
    }
    return PatchSettings(**{**settings, **changes})


def small_whole_image_settings(**changes: object) -> WholeImageSettings:
    """A small network, two epochs."""
    settings = {
        "architecture": "small",
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 3e-4,
        "balance": "natural",
        "label_smoothing": 0.1,
        "patience": 0,
        "accelerator": "cpu",
    }
    return WholeImageSettings(**{**settings, **changes})
