"""The pictures and layers of a bounded set of cases, as one JSON value that the script draws.

Pictures are grey WebP tiles. A mammogram is there as a whole with at most WHOLE_SIDE pixels a
side; where that is fewer than its own, squares around lesions and false alarms are there in its
own pixels. All positions are (row, col) in pixels of the original mammogram.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from second_look.evaluation.detection_tables import BOX, lesion_scores, unpack_mask
from second_look.geometry import Box
from second_look.preparing.dataset import Dataset
from second_look.preparing.image import read_original
from second_look.viewer.cases import OUTCOMES, Case, breast_views
from second_look.viewer.terms import terms_of

Grey = npt.NDArray[np.uint8]
WHOLE_SIDE, TILE_SIDE = 1024, 512
# Px of a square in native pixels, and most of them in an image.
NATIVE_SIDE, NATIVE_SQUARES = 640, 4
# Detections of an image that can be shown, best first; a slider hides those with lower scores.
DETECTIONS_OF_IMAGE = 15
QUALITY = 82


@dataclass(frozen=True)
class Overlays:
    """What is drawn over the images, or why it is not.

    Attributes:
        truths: Of detection_tables.TRUTHS.
        detections: Of detection_tables.DETECTIONS, one model; None: there are none.
        heat: Image -> scores 0 to 1 over the whole mammogram in any number of pixels, NaN where
            there is none; None: there is no heat map.
        threshold: Score at which the slider of detections starts.
        missing: Name of a layer that is None -> why, as a sentence.
    """

    truths: pd.DataFrame
    detections: pd.DataFrame | None
    heat: Callable[[str], npt.NDArray[np.float32]] | None
    threshold: float
    missing: dict[str, str]


def pack_cases(
    data: Dataset,
    chosen: Sequence[Case],
    overlays: Overlays,
    *,
    counts: dict[str, int],
    about: str,
    max_bytes: int,
) -> dict[str, Any]:
    """As many of the chosen cases, from the first, as fit into so many bytes of pictures.

    Args:
        data: The data set.
        chosen: Of cases.choose_cases.
        overlays: Over the images.
        counts: Outcome -> number of cases that were to choose from.
        about: How outcomes were judged, in a sentence.
        max_bytes: Of all pictures.

    Returns:
        What viewer.js takes; it can be written as JSON.
    """
    images = data.catalogue.images
    packed: dict[str, dict[str, Any]] = {}
    rows, total = [], 0
    for case in chosen:
        views = breast_views(case.image_id, images)
        added = {
            name: _image(data, name, _boxes_of(name, chosen), overlays)
            for name in views
            if name not in packed
        }
        total += sum(map(_bytes_of, added.values()))
        if total > max_bytes:
            break
        packed |= added
        rows.append((case, views))
    places = {name: index for index, name in enumerate(packed)}
    ordered = sorted(rows, key=lambda row: (OUTCOMES.index(row[0].outcome), -row[0].score))
    return {
        "about": about,
        "counts": [[name, counts[name]] for name in OUTCOMES if counts.get(name)],
        "threshold": round(overlays.threshold, 4),
        "missing": overlays.missing,
        "terms": terms_of(images.loc[images["image_id"].isin(packed), "dataset"].unique()),
        "images": list(packed.values()),
        "cases": [
            {
                "image": places[case.image_id],
                "views": [places[name] for name in views],
                "outcome": case.outcome,
                "score": round(case.score, 4),
                "box": None if case.box is None else _corners(case.box),
                "kind": case.kind,
                "label": case.label.replace("_", " "),
            }
            for case, views in ordered
        ],
    }


def _boxes_of(image_id: str, cases: Sequence[Case]) -> list[Box]:
    return [case.box for case in cases if case.image_id == image_id and case.box is not None]


def _image(
    data: Dataset, image_id: str, focus: Sequence[Box], overlays: Overlays
) -> dict[str, Any]:
    """One image with its tiles and layers, and why a layer is empty."""
    row = data.catalogue.images.set_index("image_id").loc[image_id]
    rows, cols, spacing = int(row["rows"]), int(row["cols"]), float(row["pixel_spacing_mm"])
    pixels = read_original(row)
    low, high = (float(level) for level in np.quantile(pixels, [0.001, 0.999]))
    grey = _stretched(pixels, low, high)
    truths = _truths(overlays.truths[overlays.truths["image_id"] == image_id])
    detections = _detections(overlays.detections, image_id)
    boxes = [*focus, *(Box(*truth["box"]) for truth in truths)]
    return {
        "id": image_id,
        "facts": [str(row[name]) for name in ("laterality", "view") if row[name]],
        "label": str(row["label"]).replace("_", " "),
        "density": str(row["density"]),
        "rows": rows,
        "cols": cols,
        "mm": spacing if np.isfinite(spacing) else None,
        "levels": [low, high],
        "tiles": tiles(grey, boxes),
        "heat": None if overlays.heat is None else _heat(overlays.heat(image_id)),
        "truths": truths,
        "detections": detections,
        "empty": {
            "truths": _why_no_truth(data, image_id, len(truths)),
            "detections": "" if detections else "the model reports nothing in this image",
        },
    }


def tiles(grey: Grey, focus: Sequence[Box]) -> list[list[Any]]:
    """A mammogram as tiles, the whole first: [row_min, col_min, row_max, col_max, WebP].

    Args:
        grey: All pixels, uint8 (rows, cols).
        focus: What is there in native pixels even where the whole is reduced.
    """
    rows, cols = grey.shape
    factor = min(1.0, WHOLE_SIDE / max(rows, cols))
    height, width = max(1, round(rows * factor)), max(1, round(cols * factor))
    reduced = Image.fromarray(grey)
    if factor < 1:
        reduced = reduced.resize((width, height), Image.Resampling.LANCZOS)
    array = np.asarray(reduced)
    result = [
        [top * rows / height, left * cols / width,
         min(top + TILE_SIDE, height) * rows / height, min(left + TILE_SIDE, width) * cols / width,
         _webp(array[top : top + TILE_SIDE, left : left + TILE_SIDE])]
        for top in range(0, height, TILE_SIDE)
        for left in range(0, width, TILE_SIDE)
    ]  # fmt: skip
    return result if factor == 1 else [*result, *_native(grey, focus)]


def _native(grey: Grey, focus: Sequence[Box]) -> list[list[Any]]:
    """Squares in native pixels around what is to be looked at."""
    squares: list[Box] = []
    for box in focus:
        row, col = box.centre
        if len(squares) < NATIVE_SQUARES and not any(s.contains(row, col) for s in squares):
            top, left = (round(middle - NATIVE_SIDE / 2) for middle in (row, col))
            square = Box(top, left, top + NATIVE_SIDE, left + NATIVE_SIDE)
            squares.append(square.clipped(*grey.shape))
    result = []
    for square in squares:
        rows = slice(int(square.row_min), int(square.row_max))
        cols = slice(int(square.col_min), int(square.col_max))
        result.append([*_corners(square), _webp(grey[rows, cols])])
    return result


def _stretched(pixels: npt.NDArray[Any], low: float, high: float) -> Grey:
    span = max(high - low, 1e-6)
    grey = (np.clip(pixels.astype(np.float32), low, high) - low) * np.float32(255 / span)
    rounded: Grey = np.rint(grey).astype(np.uint8)
    return rounded


def _truths(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "box": _corners(box := Box(*(float(getattr(row, name)) for name in BOX))),
            "outline": outline(unpack_mask(row.mask), box),
            "kind": str(row.kind),
            "label": str(row.pathology).replace("_", " "),
        }
        for row in table.itertuples()
    ]


def outline(mask: npt.NDArray[np.bool_], box: Box) -> list[list[list[float]]]:
    """The contours of a mask over its box: lists of (row, col), px of the original mammogram.

    Args:
        mask: Square grid over the box, bool (side, side).
        box: Where it is.
    """
    side = mask.shape[0]
    contours = find_contours(np.pad(mask, 1).astype(float), 0.5)
    scale = np.array([box.height, box.width]) / side
    corner = np.array([box.row_min, box.col_min])
    # Corners that stand out by less than a cell are steps of the grid and not of the lesion.
    lines = [approximate_polygon(contour, tolerance=0.8) for contour in contours]
    # A grid point of the padded mask is the centre of a cell, one cell further on.
    return [np.round(corner + (line - 0.5) * scale, 1).tolist() for line in lines]


def _detections(table: pd.DataFrame | None, image_id: str) -> list[dict[str, Any]]:
    """The best detections of an image, by rising score: the best is drawn last."""
    if table is None:
        return []
    of_image = table[table["image_id"] == image_id]
    of_image = of_image.assign(any_lesion=lesion_scores(of_image, "lesion"))
    best = of_image.nlargest(DETECTIONS_OF_IMAGE, "any_lesion")[::-1]
    return [
        {
            "box": _corners(Box(*(float(getattr(row, name)) for name in BOX))),
            "score": round(float(row.any_lesion), 4),
            "label": str(row.label).replace("_", " "),
        }
        for row in best.itertuples()
    ]


def _why_no_truth(data: Dataset, image_id: str, located: int) -> str:
    lesions = len(data.catalogue.lesions_of(image_id))
    if not lesions:
        label = data.catalogue.images.set_index("image_id").at[image_id, "label"]
        return "this image has no lesion" if label == "normal" else "the source gives no location"
    if located == lesions:
        return ""
    return f"the source gives no location for {lesions - located} of {lesions} lesions"


def _heat(scores: npt.NDArray[np.float32]) -> str:
    """A heat map as WebP without loss: grey 0 to 255 for 0 to 1, transparent without a score."""
    scored = np.isfinite(scores)
    grey = np.rint(np.where(scored, scores, 0) * 255).astype(np.uint8)
    return _encoded(Image.fromarray(np.dstack([grey, grey, grey, 255 * scored.astype(np.uint8)])),
                    lossless=True, exact=True)  # fmt: skip


def _webp(grey: Grey) -> str:
    return _encoded(Image.fromarray(grey).convert("RGB"), quality=QUALITY, method=6)


def _encoded(picture: Image.Image, **options: Any) -> str:  # noqa: ANN401
    stream = io.BytesIO()
    picture.save(stream, "WEBP", **options)
    return base64.b64encode(stream.getvalue()).decode()


def _bytes_of(image: dict[str, Any]) -> int:
    return sum(len(tile[-1]) for tile in image["tiles"]) + len(image["heat"] or "")


def _corners(box: Box) -> list[float]:
    return [round(float(getattr(box, name)), 1) for name in BOX]
