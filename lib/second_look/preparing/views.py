"""Reduced mammograms with their outlines in the same pixels, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from skimage.transform import resize

from second_look.catalogue import LABELS
from second_look.preparing.dataset import Dataset
from second_look.preparing.image import read_original


@dataclass(frozen=True)
class View:
    """One mammogram as people look at it.

    Attributes:
        image_id: Of the catalogue.
        label: Of the image.
        picture: Grey levels 0 to 1, darkest to brightest 0.1 %, float32 (rows, cols).
        regions: 0 outside the breast, 1 breast, 2+k lesion k, uint8 (rows, cols).
        pathologies: Code in `regions` -> pathology of that lesion.
        mm_per_px: Size of a pixel of this view; NaN where unknown.
    """

    image_id: str
    label: str
    picture: npt.NDArray[np.float32]
    regions: npt.NDArray[np.uint8]
    pathologies: dict[int, str]
    mm_per_px: float


@dataclass(frozen=True)
class Target:
    """A picture as a detector gets it, with what it is to find there.

    Attributes:
        image_id: Of the catalogue.
        picture: Grey levels 0 to 1, float32 (rows, cols).
        masks: Of its lesions, bool (rows, cols) each; empty where one was turned out of the frame.
    """

    image_id: str
    picture: npt.NDArray[np.float32]
    masks: Sequence[npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Example:
    """A mammogram with its true and found boxes, in the pixels of its view.

    Attributes:
        title: What it shows.
        view: The whole mammogram as it was acquired.
        true_boxes, found_boxes: (row_min, col_min, row_max, col_max), (n, 4).
        scores: Of the found ones.
    """

    title: str
    view: View
    true_boxes: npt.NDArray[np.float64]
    found_boxes: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]


def original_view(dataset: Dataset, image_id: str, height: int) -> View:
    """The whole mammogram as it was acquired, `height` rows high, with its lesions."""
    image = dataset.catalogue.images.set_index("image_id").loc[image_id]
    pixels = read_original(image)
    factor = height / pixels.shape[0]
    width = max(1, round(pixels.shape[1] * factor))
    placed = region_map(dataset, image_id, (height, width))
    spacing = float(image["pixel_spacing_mm"])
    return View(
        image_id,
        str(image["label"]),
        _stretched(_reduced(pixels, height, width)),
        placed,
        pathologies(dataset, image_id),
        spacing / factor,
    )


def heat_view(
    dataset: Dataset, image_id: str, height: int, windows: pd.DataFrame, score: str
) -> tuple[View, npt.NDArray[np.float32]]:
    """The whole mammogram, and a map of window scores over it in the same pixels.

    Args:
        dataset: The data set.
        image_id: Which image.
        height: Rows of the view.
        windows: All windows of the image, from inference.windows.score_image.
        score: The column to show; each score stands at the centre of its window, between them it
            is interpolated.

    Returns:
        The view, and the scores float32 (rows, cols), NaN outside the breast.
    """
    view = original_view(dataset, image_id, height)
    return view, heat_map(dataset, image_id, windows, score, view.picture.shape)


def heat_map(
    dataset: Dataset, image_id: str, windows: pd.DataFrame, score: str, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Window scores over the whole mammogram in `shape` pixels, float32, NaN outside the breast.

    Args:
        dataset: The data set.
        image_id: Which image.
        windows: As in `heat_view`.
        score: As in `heat_view`.
        shape: Rows and columns of the map.
    """
    grid = windows.pivot_table(index="row", columns="col", values=score)
    half = float(windows["size"].iloc[0]) / 2
    factor = shape[0] / int(dataset.catalogue.images.set_index("image_id").loc[image_id, "rows"])
    rows, cols = _prepared_positions(dataset, image_id, shape, factor)
    row_centres = np.clip(rows, grid.index[0] + half, grid.index[-1] + half)
    col_centres = np.clip(cols, grid.columns[0] + half, grid.columns[-1] + half)
    lines = np.stack(
        [np.interp(col_centres, grid.columns + half, line) for line in grid.to_numpy()]
    )
    heat = np.stack([np.interp(row_centres, grid.index + half, line) for line in lines.T], axis=1)
    breast = region_map(dataset, image_id, shape) > 0
    heat_in_breast: npt.NDArray[np.float32] = np.where(breast, heat, np.nan).astype(np.float32)
    return heat_in_breast


def region_map(dataset: Dataset, image_id: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The region map over the whole mammogram, reduced to `shape`, uint8 (rows, cols)."""
    factor = shape[0] / int(dataset.catalogue.images.set_index("image_id").loc[image_id, "rows"])
    rows, cols = _prepared_positions(dataset, image_id, shape, factor)
    regions = np.asarray(dataset.prepared.regions(image_id))
    in_image = ((rows >= 0) & (rows < regions.shape[0]))[:, None] & (
        (cols >= 0) & (cols < regions.shape[1])
    )
    row_index = np.clip(rows.astype(int), 0, regions.shape[0] - 1)
    col_index = np.clip(cols.astype(int), 0, regions.shape[1] - 1)
    return np.where(in_image, regions[np.ix_(row_index, col_index)], 0).astype(np.uint8)


def prepared_view(dataset: Dataset, image_id: str, height: int) -> View:
    """The crop that models see, `height` rows high: chest wall at the left."""
    image = dataset.prepared.images.set_index("image_id").loc[image_id]
    pixels = np.asarray(dataset.prepared.pixels(image_id))
    factor = height / pixels.shape[0]
    width = max(1, round(pixels.shape[1] * factor))
    rows = np.minimum(((np.arange(height) + 0.5) / factor).astype(int), pixels.shape[0] - 1)
    cols = np.minimum(((np.arange(width) + 0.5) / factor).astype(int), pixels.shape[1] - 1)
    regions = np.asarray(dataset.prepared.regions(image_id))[np.ix_(rows, cols)]
    labels = dataset.catalogue.images.set_index("image_id")["label"]
    return View(
        image_id,
        str(labels[image_id]),
        _stretched(_reduced(pixels, height, width)),
        regions,
        pathologies(dataset, image_id),
        float(image["pixel_spacing_mm"]) / factor,
    )


def pathologies(dataset: Dataset, image_id: str) -> dict[int, str]:
    """Code in the region map of an image -> pathology of the lesion that it stands for."""
    codes = dataset.prepared.lesions
    codes = codes[(codes["image_id"] == image_id) & (codes["code"] > 0)]
    located = codes.merge(dataset.catalogue.lesions[["lesion_id", "pathology"]], on="lesion_id")
    return {
        int(code): str(name)
        for code, name in zip(located["code"], located["pathology"], strict=True)
    }


def choose_examples(images: pd.DataFrame, *, per_label: int, seed: int) -> pd.DataFrame:
    """Up to `per_label` images of each label, drawn at random, in label order."""
    drawn = [
        part.sample(n=min(per_label, len(part)), random_state=seed)
        for label in LABELS
        if len(part := images[images["label"] == label])
    ]
    return pd.concat(drawn, ignore_index=True)


def choose_masks_to_look_at(dataset: Dataset, *, count: int, seed: int) -> pd.DataFrame:
    """Images whose breast masks are worth a look: half the extremes, half at random.

    The extremes are the smallest and the largest shares of the image that were called breast,
    where a wrong mask shows first.
    """
    prepared = dataset.prepared.images
    share = prepared["breast_px"] / (prepared["original_rows"] * prepared["original_cols"])
    table = prepared[["image_id"]].assign(breast_share=share).sort_values("breast_share")
    count = min(count, len(table))
    ends = count // 4
    extremes = pd.concat([table.head(ends), table.tail(ends)])
    random_images = table.drop(extremes.index).sample(n=count - len(extremes), random_state=seed)
    return pd.concat([extremes, random_images]).sort_values("breast_share", ignore_index=True)


def _prepared_positions(
    dataset: Dataset, image_id: str, shape: tuple[int, ...], factor: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rows and columns of the prepared image under the centres of a reduced mammogram's pixels."""
    transform = dataset.prepared.transform(image_id)
    row_centres, col_centres = ((np.arange(length) + 0.5) / factor for length in shape)
    rows = transform.to_prepared(np.column_stack([row_centres, np.zeros_like(row_centres)]))[:, 0]
    cols = transform.to_prepared(np.column_stack([np.zeros_like(col_centres), col_centres]))[:, 1]
    return rows, cols


def _reduced(pixels: npt.NDArray[np.generic], height: int, width: int) -> npt.NDArray[np.float32]:
    reduced: npt.NDArray[np.float32] = resize(
        np.asarray(pixels, dtype=np.float32), (height, width), order=1, anti_aliasing=True
    )
    return reduced


def _stretched(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    low, high = np.quantile(picture, [0.001, 0.999])
    span = max(float(high - low), 1e-6)
    stretched: npt.NDArray[np.float32] = np.clip((picture - low) / span, 0, 1).astype(np.float32)
    return stretched
