"""Masks drawn from outlines, as PNG files that are drawn once."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from second_look.decoding.dicom import MAX_PIXELS
from second_look.decoding.pixels import write_png

Points = Sequence[tuple[float, float]]  # (x, y), px
# An ellipse is drawn with so many corners.
_CORNERS = 72


def draw_mask(folder: Path, name: str, size: tuple[int, int], outlines: Sequence[Points]) -> Path:
    """The file of a mask: outlines and all that they enclose, 255; else 0.

    Args:
        folder: Of the masks.
        name: Of the file's beginning.
        size: Rows and columns, px.
        outlines: Of one lesion; fewer than three points are a point or a line.
    """
    path = _path(folder, name, size, outlines)
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise ValueError(f"an image of {size[0]} x {size[1]} px")
    if not path.is_file():
        picture = Image.new("L", (size[1], size[0]))
        pen = ImageDraw.Draw(picture)
        for outline in outlines:
            points = [(float(x), float(y)) for x, y in outline]
            if len(points) > 2:
                pen.polygon(points, fill=255, outline=255)
            elif len(points) == 2:
                pen.line(points, fill=255)
            else:
                pen.point(points, fill=255)
        _write(path, np.asarray(picture))
    return path


def draw_runs(folder: Path, name: str, size: tuple[int, int], runs: Mapping[str, Any]) -> Path:
    """The file of a mask that COCO gives as run lengths, column by column, zeros first.

    Raises:
        ValueError: The runs are not as long as the image is large.
    """
    path = _path(folder, name, size, runs)
    if not path.is_file():
        counts = runs["counts"]
        if isinstance(counts, str):
            from pycocotools import mask as coco

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, in its own code
                mask = coco.decode({"size": list(size), "counts": counts})
        else:
            if sum(counts) != size[0] * size[1] or min(counts) < 0:
                raise ValueError(f"runs of {sum(counts)} px for an image of {size[0]} x {size[1]}")
            values = np.repeat(np.arange(len(counts)) % 2, counts)
            mask = values.reshape(size[1], size[0]).T.astype(np.uint8)
        _write(path, mask * np.uint8(255))
    return path


def polygon_of(shape: Mapping[str, Any]) -> list[tuple[float, float]]:
    """The corners of a shape of the VGG image annotator, (x, y) in px.

    Raises:
        ValueError: It is of no known kind.
        KeyError: A number is missing.
    """
    kind = shape["name"]
    if kind in ("polygon", "polyline"):
        return list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
    if kind == "point":
        return [(shape["cx"], shape["cy"])]
    if kind == "rect":
        left, top = shape["x"], shape["y"]
        right, bottom = left + shape["width"], top + shape["height"]
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    if kind == "circle":
        return _ellipse(shape["cx"], shape["cy"], shape["r"], shape["r"], 0.0)
    if kind == "ellipse":
        turn = float(shape.get("theta", 0.0))
        return _ellipse(shape["cx"], shape["cy"], shape["rx"], shape["ry"], turn)
    raise ValueError(f"unknown shape {kind!r}")


def _ellipse(x: float, y: float, rx: float, ry: float, turn: float) -> list[tuple[float, float]]:
    angles = [2 * math.pi * corner / _CORNERS for corner in range(_CORNERS)]
    offsets = [(rx * math.cos(angle), ry * math.sin(angle)) for angle in angles]
    sin, cos = math.sin(turn), math.cos(turn)
    return [(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx, dy in offsets]


def _path(folder: Path, name: str, size: tuple[int, int], content: object) -> Path:
    mark = hashlib.sha256(repr((size, content)).encode()).hexdigest()[:12]
    return folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:120]}-{mark}.png"


def _write(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.ascontiguousarray(mask))
