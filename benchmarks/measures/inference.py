"""All 256 px windows of a mammogram through a ResNet-18: in one pass, or one by one.

The same network and the same windows for all, in float32, channels last. MONAI's
SlidingWindowInferer expects maps from a network: a window's logits stand for each of its cells of
one stride. The time of one pass grows with the area of the image, that of the others with the
number of windows, which four times the area or a quarter of the stride multiply.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from second_look.inference.windows import score_densely, score_windows
from second_look.models.classifier import Classifier, build_classifier
from second_look.models.folded import folded

from measures.devices import BITS, compare, draw_pictures, on_gpu
from measures.timing import OURS, Row

SIZE, BATCH = 256, 16
# Rows, columns and stride, px; turns that are measured; with the others, whose time at a small
# stride is that of the number of windows.
CASES = (
    (1024, 768, 128, 3, True),
    (2048, 1536, 128, 1, True),
    (1024, 768, 64, 3, False),
    (1024, 768, 32, 3, False),
)


def measure() -> list[Row]:
    """Images a second, one thread of a CPU."""
    return _all_cases(torch.device("cpu"))


def measure_gpu() -> list[Row]:
    """Images a second on a GPU."""
    return on_gpu(_all_cases)


def _all_cases(device: torch.device) -> list[Row]:
    return [result for case in CASES for result in measure_on(device, *case)]


def measure_on(
    device: torch.device, rows: int, cols: int, stride: int, repeats: int, with_peers: bool
) -> list[Row]:
    """The rows of one device and one image."""
    network = build_classifier("resnet18", seed=0).to(device, memory_format=torch.channels_last)
    network.eval()
    pictures = draw_pictures(1, rows, cols)
    windows = _windows(rows, cols, stride)
    levels = torch.from_numpy(pictures.pixels("i0").astype(np.float32) / (2**BITS - 1)).to(device)

    quick = folded(network)

    def in_one_pass() -> int:
        scores = score_densely(quick, levels, size=SIZE, stride=stride)
        assert scores.probabilities.shape[:2] == (scores.tops.size, scores.lefts.size)
        assert scores.tops.size * scores.lefts.size == len(windows)
        return 1

    def cut_out() -> int:
        score_windows(network, pictures, windows, size=SIZE, batch_size=BATCH)
        return 1

    competitors = {OURS: in_one_pass}
    if with_peers:
        competitors |= {f"{OURS} windows cut out": cut_out, **_monai(network, levels, stride)}
    label = f"dense inference, {rows} x {cols} px, stride {stride}: {len(windows)} windows"
    return compare(label, "images/s", competitors, device, repeats=repeats)


def _windows(rows: int, cols: int, stride: int) -> pd.DataFrame:
    tops, lefts = (np.arange(0, length - SIZE + 1, stride) for length in (rows, cols))
    return pd.DataFrame(
        {
            "image_id": "i0",
            "row": np.repeat(tops, lefts.size),
            "col": np.tile(lefts, tops.size),
            "size": SIZE,
            "label": "normal",
            "excluded": "",
        }
    )


def _monai(network: Classifier, levels: torch.Tensor, stride: int) -> dict[str, Callable[[], int]]:
    try:
        from monai.inferers import SlidingWindowInferer
    except ImportError:
        return {}
    inferer = SlidingWindowInferer((SIZE, SIZE), sw_batch_size=BATCH, overlap=1 - stride / SIZE)
    cells = SIZE // stride

    def per_cell(pixels: torch.Tensor) -> torch.Tensor:
        logits = network(pixels.contiguous(memory_format=torch.channels_last))
        return logits[:, :, None, None].repeat(1, 1, cells, cells)  # (n, classes, rows, cols)

    def infer() -> int:
        with torch.inference_mode():
            inferer(levels[None, None], per_cell).cpu()
        return 1

    return {"monai SlidingWindowInferer": infer}
