"""Prepared images with patterns that small generators can learn, for the tests of GANs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from second_look.batches.gan_patches import PatchSet
from second_look.models.dcgan import PAPER
from second_look.models.generator import Scaling
from second_look.models.progressive import ProgressiveSettings
from second_look.preparing.store import Prepared
from second_look.training.gan import DcganTraining, ProgressiveTraining

SIZE = 16
SCALING = Scaling(0.1, 0.9)
TINY_DCGAN = DcganTraining(replace(PAPER, size=SIZE, latent_size=8), learning_rate=2e-4, beta1=0.5)
TINY_PROGRESSIVE = ProgressiveTraining(
    ProgressiveSettings(size=SIZE, latent_size=8, max_channels=8, base=128, start=4),
    loss="wgan-gp",
    learning_rate=1e-3,
    average=0.9,
)


def prepared_images(folder: Path, *, images: int = 4, side: int = 96) -> Prepared:
    """Soft clouds on a gradient, 8 bit, brighter in the second half of the images."""
    rng, rows = np.random.default_rng(0), []
    for number in range(images):
        cloud = gaussian_filter(rng.normal(size=(side, side)), 3)
        cloud = cloud / cloud.std() * 20 + np.linspace(60, 140, side)
        pixels = np.clip(cloud + 40 * (number >= images // 2), 0, 255).astype(np.uint8)
        np.save(folder / f"i{number}.pixels.npy", pixels)
        row = {"image_id": f"i{number}", "rows": side, "cols": side, "bits": 8}
        rows.append(row | {"content_hash": f"hash {number}"})
    return Prepared(folder, pd.DataFrame(rows), pd.DataFrame(), pd.DataFrame(), np.zeros(0))


def window_table(prepared: Prepared, *, stride: int = 16) -> pd.DataFrame:
    """Windows of all images: benign in the first half of them, malignant in the second."""
    images = list(prepared.images["image_id"])
    rows = [
        (name, f"p{index}", row, col, "benign" if index < len(images) / 2 else "malignant")
        for index, name in enumerate(images)
        for row in range(0, 80, stride)
        for col in range(0, 80, stride)
    ]
    table = pd.DataFrame(rows, columns=["image_id", "patient_id", "row", "col", "label"])
    return table.assign(size=SIZE, excluded="", split="train")


def patch_set(prepared: Prepared, windows: pd.DataFrame, *, batch_size: int = 8) -> PatchSet:
    """Patches for a tiny generator."""
    return PatchSet(prepared, windows, size=SIZE, batch_size=batch_size, seed=0, scaling=SCALING)
