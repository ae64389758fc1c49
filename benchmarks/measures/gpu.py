"""Augmented random 256 x 256 px patches on a GPU, from images that lie in its memory.

How much of the memory's speed is used: bytes that the steps have to move for a patch, against the
speed of a plain copy on the same GPU. No GPU, no rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from second_look.batches.sampler import PATCHES, PatchSampler

from measures.timing import OURS, Row, row

SIZE = 256
WHAT = "augmented patches on a GPU"


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    images: int = 32
    rows: int = 4096
    cols: int = 3328
    windows: int = 20_000
    batch: int = 512
    batches: int = 40
    copied_px: int = 1 << 28


@dataclass(frozen=True)
class ManyImages:
    """A store of images of noise, as the sampler reads it."""

    scale: Scale

    @property
    def images(self) -> pd.DataFrame:
        """Their table."""
        names = [f"i{number}" for number in range(self.scale.images)]
        return pd.DataFrame({"image_id": names}).assign(
            rows=self.scale.rows, cols=self.scale.cols, bits=16
        )

    def pixels(self, image_id: str) -> npt.NDArray[np.uint16]:
        """The grey levels of one."""
        rng = np.random.default_rng(int(image_id[1:]))
        return rng.integers(0, 65536, (self.scale.rows, self.scale.cols), dtype=np.uint16)


def measure() -> list[Row]:
    """Patches a second, bytes moved and the share of the memory's speed; [] without a GPU."""
    if not torch.cuda.is_available():
        print("no GPU here: its rows are left out.")
        return []
    return measure_on(torch.device("cuda"), torch.cuda.get_device_name(), Scale())


def measure_on(device: torch.device, name: str, scale: Scale) -> list[Row]:
    """The rows of one device; `name` stands in the table."""
    competitor = f"{OURS} on {name}"
    sampler = _sampler(device, scale)
    steps = range(1, scale.batches + 1)
    list(sampler.batches(range(3)))
    seconds = _seconds(lambda: [batch.labels for batch in sampler.batches(steps)], device)
    patches = scale.batches * scale.batch / seconds
    source = torch.empty(scale.copied_px, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    copied = 2 * source.nbytes / _seconds(lambda: target.copy_(source), device)
    moved = bytes_a_patch(sampler)
    return [
        row(WHAT, competitor, patches, "patches/s"),
        row(f"{WHAT}: bytes moved", competitor, moved / 1e6, "MB a patch"),
        row(f"{WHAT}: bytes moved", competitor, moved * patches / 1e9, "GB/s"),
        row(f"{WHAT}: plain copy", name, copied / 1e9, "GB/s"),
        row(f"{WHAT}: share of a copy's speed", competitor, moved * patches / copied, ""),
    ]


def bytes_a_patch(sampler: PatchSampler) -> float:
    """What the steps read and write for a patch, each pixel counted once a step."""
    zoom = sampler.augmentation.scale
    source = (np.ceil(SIZE * zoom * np.sqrt(2)) + 3) ** 2
    gathered = 2 + 2  # 16-bit grey levels out of the images, into squares
    as_float = 2 + 4
    tapped = 4
    located, sampled, mean, levelled, clamped = 8, 8 + 4, 4, 4 + 4, 4 + 4
    patch = located + sampled + mean + levelled + clamped
    return float(source * (gathered + as_float + tapped) + SIZE**2 * patch)


def _sampler(device: torch.device, scale: Scale) -> PatchSampler:
    rng = np.random.default_rng(1)
    windows = pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in rng.integers(scale.images, size=scale.windows)],
            "row": rng.integers(0, scale.rows - SIZE, scale.windows),
            "col": rng.integers(0, scale.cols - SIZE, scale.windows),
            "size": SIZE,
            "label": "normal",
            "excluded": "",
        }
    )
    return PatchSampler(
        ManyImages(scale),
        windows,
        size=SIZE,
        batch_size=scale.batch,
        seed=0,
        augmentation=PATCHES,
        device=device,
        memory="resident",
    )


def _seconds(work: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """The median of several runs, each until the device has finished."""
    taken = []
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
