"""A small pack of cases with known pixels, for the tests of the viewer."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

ROWS, COLS = 240, 200
# Grey levels of the left and right half of every image.
DARK, BRIGHT = 60, 180


def webp(array: np.ndarray) -> str:
    """A picture without loss, base64."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "WEBP", lossless=True, exact=True)
    return base64.b64encode(stream.getvalue()).decode()


def halves() -> np.ndarray:
    """Left half DARK, right half BRIGHT, uint8 (ROWS, COLS, 3)."""
    grey = np.full((ROWS, COLS), DARK, np.uint8)
    grey[:, COLS // 2 :] = BRIGHT
    return np.repeat(grey[..., None], 3, axis=2)


def small_image(name: str, **changes: Any) -> dict[str, Any]:
    """One image as pack.pack_cases has it, with a true square and one detection."""
    heat = np.zeros((24, 20, 4), np.uint8)
    heat[12:, :, :3], heat[12:, :, 3] = 255, 255  # scores 1 in the lower half, none above
    image = {
        "id": name, "facts": ["L", "CC"], "label": "malignant", "density": "2",
        "rows": ROWS, "cols": COLS, "mm": 0.5, "levels": [0.0, 255.0],
        "tiles": [[0, 0, ROWS, COLS, webp(halves())]], "heat": webp(heat),
        "truths": [{"box": [40, 20, 80, 60], "outline": [[[40, 20], [40, 60], [80, 60], [80, 20]]],
                    "kind": "mass", "label": "malignant"}],
        "detections": [{"box": [40, 120, 80, 160], "score": 0.7, "label": "malignant"}],
        "empty": {"truths": "", "detections": ""},
    }  # fmt: skip
    return image | changes


def small_case(image: int, outcome: str, score: float, **changes: Any) -> dict[str, Any]:
    """One case of the pack."""
    case = {"image": image, "views": [image], "outcome": outcome, "score": score,
            "box": [40, 20, 80, 60], "kind": "mass", "label": "malignant"}  # fmt: skip
    return case | changes


def small_pack(**changes: Any) -> dict[str, Any]:
    """Two views of one breast and an image without any layer, in four cases."""
    bare = small_image(
        "<b>bare</b>", density="3", label="normal", truths=[], detections=[], heat=None,
        empty={"truths": "this image has no lesion", "detections": "the model reports nothing"},
    )  # fmt: skip
    pack = {
        "about": "", "counts": [["hit", 9], ["miss", 1], ["false alarm", 2]], "threshold": 0.5,
        "missing": {}, "terms": ["made: by a test."],
        "images": [small_image("a_CC"), small_image("a_MLO", facts=["L", "MLO"]), bare],
        "cases": [
            small_case(0, "hit", 0.9, views=[0, 1]),
            small_case(1, "miss", 0.1, views=[0, 1], kind="calcification",
                       label="benign without callback"),
            small_case(2, "false alarm", 0.8, box=None, kind="", label="normal"),
            small_case(2, "false alarm", 0.6, box=None, kind="", label="normal"),
        ],
    }  # fmt: skip
    return pack | changes
