"""Labelled windows of a 4096 x 3328 px mammogram at stride 128, with breast and lesion shares.

MONAI and torchio cut the windows and compute no shares; scikit-image's windows give the same means.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from second_look.preparing.patches import HALF_RULE, label_windows

from measures.timing import OURS, Row, side_by_side

ROWS, COLS, SIZE, STRIDE = 4096, 3328, 256, 128


def measure() -> list[Row]:
    """Windows a second, one thread."""
    regions = draw_regions()
    competitors = {
        OURS: lambda: len(
            label_windows(
                regions,
                {2: "benign", 3: "malignant"},
                size=SIZE,
                stride=STRIDE,
                rule=HALF_RULE,
            )
        ),
        "scikit-image view_as_windows, means": lambda: _scikit_image(regions),
    }
    return side_by_side("labelled windows", "windows/s of CPU", competitors | _peers(regions))


def draw_regions() -> npt.NDArray[np.uint8]:
    """A half ellipse of breast with two lesions, uint8 (ROWS, COLS)."""
    row, col = np.ogrid[:ROWS, :COLS]
    regions = (((row - 2048) / 1900) ** 2 + (col / 2400) ** 2 < 1).astype(np.uint8)
    regions[(row - 1800) ** 2 + (col - 900) ** 2 < 150**2] = 2
    regions[(row - 2800) ** 2 + (col - 600) ** 2 < 90**2] = 3
    return regions


def _scikit_image(regions: npt.NDArray[np.uint8]) -> int:
    from skimage.util import view_as_windows

    for mask in (regions > 0, regions == 2, regions == 3):
        means = view_as_windows(mask, (SIZE, SIZE), STRIDE).mean(axis=(2, 3))
    return int(means.size)


def _peers(regions: npt.NDArray[np.uint8]) -> dict[str, object]:
    try:
        import torch
        import torchio
        from monai.transforms import GridPatch
    except ImportError:
        return {}
    image = torch.from_numpy(regions.astype(np.float32))[None]  # (1, rows, cols)
    overlap = SIZE - STRIDE
    subject = torchio.Subject(image=torchio.ScalarImage(tensor=image[..., None]))

    def sampled() -> int:
        sampler = torchio.GridSampler(subject, (SIZE, SIZE, 1), (overlap, overlap, 0))
        return sum(1 for _ in sampler)

    return {
        "monai GridPatch, no shares": lambda: len(
            GridPatch((SIZE, SIZE), overlap=overlap / SIZE)(image)
        ),
        "torchio GridSampler, no shares": sampled,
    }
