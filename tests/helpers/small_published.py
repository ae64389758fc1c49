"""Published models whose answers are known, and drawings of a breast in files of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from second_look.catalogue import LABELS
from second_look.models.classifier import build_classifier
from second_look.published.card import Calibration, ModelCard, Result, TrainingData
from second_look.published.weights import Published
from torch import nn

SHARES = (0.1, 0.2, 0.3, 0.4)
ROWS, COLS = 320, 240


def card(kind: str = "image", **changes: Any) -> ModelCard:
    """A card of a small model."""
    sides = {
        "image": {"rows": 64.0, "cols": 32.0, "averaged": 1.0},
        "patch": {"patch_size": 32.0, "window_px": 32.0, "window_mm": 16.0},
        "detector": {"rows": 64.0, "cols": 64.0, "detections": 5.0},
    }
    fields: dict[str, Any] = {
        "kind": kind,
        "name": kind,
        "model": f"small {kind} model",
        "architecture": "small",
        "channels": 3 if kind != "detector" else 1,
        "classes": LABELS,
        "input": sides[kind],
        "data": TrainingData(
            "squares", "drawn", "MIT", "nobody", "film", {"train": 8, "val": 4, "test": 4},
            {"train": 4, "val": 2, "test": 2}, {"train": 0.25, "val": 0.25, "test": 0.5}, "abc",
        ),
        "training": {"seed": 0, "steps": 4},
        "calibrations": {
            unit: Calibration(1.0, 0.0, 0.25, 4, 2, {"sensitivity 90%": 0.3, "Youden": 0.5})
            for unit in (("image", "breast") if kind == "image" else ())
        },
        "thresholds": {"one false alarm an image": 0.5} if kind == "detector" else {},
        "results": (Result("AUC", "image", 0.75, 0.6, 0.85, 4, 2, "predictions/x"),),
        "limits": ("Research only.",),
        "commit": "0" * 40,
        "weights": f"{kind}.safetensors",
    }  # fmt: skip
    return ModelCard(**{**fields, **changes})


def known_classifier(kind: str = "image", shares: tuple[float, ...] = SHARES) -> Published:
    """A model that gives every picture the same probabilities."""
    network = build_classifier("small", seed=0)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.log(torch.tensor(shares)))
    return Published(card(kind), network.eval())


class _OneBox(nn.Module):
    """Finds one malignant lesion with a mask that fills the upper half of its box."""

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        super().__init__()
        self.box = box

    def forward(self, pictures: torch.Tensor, sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
        mask = torch.zeros(1, 1, 28, 28)
        mask[:, :, :14, :14] = 1
        return [
            {
                "boxes": torch.tensor([self.box]),
                "labels": torch.tensor([3]),
                "scores": torch.tensor([0.8]),
                "class_scores": torch.tensor([[0.1, 0.0, 0.1, 0.8]]),
                "masks": mask,
            }
            for _ in pictures
        ]


def known_detector(box: tuple[float, float, float, float]) -> Published:
    """A detector that finds (x_min, y_min, x_max, y_max) of its frame in every picture."""
    return Published(card("detector"), _OneBox(box).eval())


def drawn_breast(*, side: str = "L", rows: int = ROWS, cols: int = COLS) -> np.ndarray:
    """Half an ellipse with texture on film, chest wall left for L, uint8 (rows, cols)."""
    rng = np.random.default_rng(3)
    row, col = np.mgrid[:rows, :cols]
    in_breast = ((row - rows / 2) / (0.42 * rows)) ** 2 + (col / (0.7 * cols)) ** 2 < 1
    levels = np.where(
        in_breast, rng.integers(110, 190, (rows, cols)), rng.integers(4, 9, (rows, cols))
    )
    pixels = levels.astype(np.uint8)
    return pixels if side == "L" else np.ascontiguousarray(pixels[:, ::-1])


def png(path: Path, pixels: np.ndarray) -> Path:
    """The picture as PNG."""
    Image.fromarray(pixels).save(path)
    return path
