"""Augmented random 256 x 256 px patches of a 4096 x 3328 px image on one thread of a CPU.

The same for all: turned by any angle, flipped, scaled by up to 15 %, contrast changed. MONAI crops
420 px first, so that no corner of a turned patch is empty, as ours does; torchio turns the patch
that it has cut, corners empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from second_look.batches.sampler import PATCHES, PatchSampler
from torch.nn import functional

from measures.timing import OURS, Row, side_by_side

ROWS, COLS, SIZE, BATCH = 4096, 3328, 256, 64


@dataclass(frozen=True)
class OneImage:
    """A store of one image in memory, as the sampler reads it."""

    grey: npt.NDArray[np.uint16]

    @property
    def images(self) -> pd.DataFrame:
        """Its table."""
        return pd.DataFrame({"image_id": ["a"], "rows": [ROWS], "cols": [COLS], "bits": [12]})

    def pixels(self, _image_id: str) -> npt.NDArray[np.uint16]:
        """Its grey levels."""
        return self.grey


def measure() -> list[Row]:
    """Patches a second, one thread."""
    grey = np.random.default_rng(0).integers(0, 4096, (ROWS, COLS)).astype(np.uint16)
    image = torch.from_numpy(grey.astype(np.float32) / 4095)[None]  # (1, rows, cols)
    competitors = {
        OURS: _sampler(grey),
        "torch grid_sample of the whole image, patch by patch": lambda: _plain(image),
    }
    return side_by_side("augmented patches", "patches/s of CPU", competitors | _peers(image))


def _sampler(grey: npt.NDArray[np.uint16], batches: int = 4) -> Callable[[], int]:
    rng = np.random.default_rng(1)
    count = 2000
    windows = pd.DataFrame(
        {
            "image_id": "a",
            "row": rng.integers(0, ROWS - SIZE, count),
            "col": rng.integers(0, COLS - SIZE, count),
            "size": SIZE,
            "label": "normal",
            "excluded": "",
        }
    )
    sampler = PatchSampler(
        OneImage(grey),
        windows,
        size=SIZE,
        batch_size=BATCH,
        seed=0,
        augmentation=PATCHES,
        memory="streamed",
    )
    return lambda: sum(len(sampler.batch(step).labels) for step in range(batches))


def _plain(image: torch.Tensor, count: int = 100) -> int:
    rng = np.random.default_rng(1)
    for angle in rng.uniform(0, 2 * math.pi, count):
        cos, sin = math.cos(angle) * SIZE, math.sin(angle) * SIZE
        turn = torch.tensor([[[cos / COLS, sin / COLS, 0.0], [-sin / ROWS, cos / ROWS, 0.0]]])
        grid = functional.affine_grid(turn, [1, 1, SIZE, SIZE], align_corners=False)
        functional.grid_sample(image[None], grid, align_corners=False)
    return count


def _peers(image: torch.Tensor, count: int = 60) -> dict[str, object]:
    try:
        import torchio
        from monai import transforms
    except ImportError:
        return {}
    varied = transforms.Compose(
        [
            transforms.RandSpatialCrop((420, 420), random_size=False),
            transforms.RandFlip(prob=0.5, spatial_axis=1),
            transforms.RandAffine(
                prob=1, rotate_range=math.pi, scale_range=0.15, spatial_size=(SIZE, SIZE)
            ),
            transforms.RandAdjustContrast(prob=1, gamma=(0.9, 1.1)),
        ]
    )
    subject = torchio.Subject(image=torchio.ScalarImage(tensor=image[..., None]))
    turned = torchio.Compose(
        [
            torchio.RandomFlip(1),
            torchio.RandomAffine(scales=0.15, degrees=(0, 0, 0, 0, -180, 180)),
            torchio.RandomGamma(0.1),
        ]
    )
    sampler = torchio.data.UniformSampler((SIZE, SIZE, 1))

    def with_monai() -> int:
        for _ in range(count):
            varied(image)
        return count

    def with_torchio() -> int:
        for patch in sampler(subject, count):
            turned(patch)
        return count

    return {"monai": with_monai, "torchio": with_torchio}
