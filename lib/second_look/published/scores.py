"""Published models applied to prepared mammograms: a user's, or another data set's.

The same functions that the notebooks use do the work, so that a published model says of an image
what it said in its run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from tqdm.auto import tqdm

from second_look.batches.frames import Frame, Frames, detection_rows
from second_look.batches.pictures import Pictures, fit
from second_look.catalogue import LABELS
from second_look.errors import DataError, ParameterError
from second_look.evaluation.predictions import CLASS_SCORES, from_classes
from second_look.inference.images import score_images
from second_look.inference.windows import score_image
from second_look.models.folded import folded
from second_look.preparing.dataset import Dataset
from second_look.preparing.store import Prepared
from second_look.preparing.views import heat_map
from second_look.published.card import DETECTOR, IMAGE, PATCH
from second_look.published.weights import Published
from second_look.training.detect import detected

MALIGNANT = LABELS.index("malignant")
# A crop that must be enlarged by more than this has too few pixels for the network.
MOST_ENLARGED = 2.0
# Windows of the heat map overlap by three quarters.
_STRIDES = 4
UNITS = ["dataset", "image_id", "patient_id", "split", "label", "laterality", "view"]


@dataclass(frozen=True)
class HeatMap:
    """Where a patch model sees malignancy.

    Attributes:
        scores: Probability of malignant around each point of the whole image, float32 of the
            shape that was asked for, NaN outside the breast.
        windows: The windows behind it, as inference.windows.score_image gives them.
    """

    scores: npt.NDArray[np.float32]
    windows: pd.DataFrame


def _expect(model: Published, kind: str) -> None:
    if model.card.kind != kind:
        raise ParameterError(f"{model.card.name} is a {model.card.kind} model, not a {kind} model.")


def enlargement(model: Published, prepared: Prepared, image_id: str) -> float:
    """How far a crop must be enlarged for the network; below 1 where it is reduced."""
    row = prepared.images.set_index("image_id").loc[image_id]
    rows, cols = model.card.size()
    return min(rows / int(row["rows"]), cols / int(row["cols"]))


def picture_of(model: Published, prepared: Prepared, image_id: str) -> Pictures:
    """The picture that an image model gets, as a set of one."""
    bits = int(prepared.images.set_index("image_id").loc[image_id, "bits"])
    pixels = np.asarray(prepared.pixels(image_id))
    levels = fit(pixels, bits=bits, size=model.card.size())
    return Pictures((image_id,), levels[None], "")


def class_probabilities(
    model: Published, prepared: Prepared, image_ids: Sequence[str], *, quiet: bool = True
) -> npt.NDArray[np.float64]:
    """Probabilities of the classes of the card for whole images, (n, classes).

    Args:
        model: Of kind image.
        prepared: The images.
        image_ids: Which of them.
        quiet: Without a progress bar.

    Raises:
        ParameterError: The model is of another kind.
    """
    _expect(model, IMAGE)
    averaged = bool(model.card.input["averaged"])
    rows = [
        score_images(
            model.classifier,
            picture_of(model, prepared, image_id),
            [image_id],
            averaged=averaged,
        )[0]
        for image_id in tqdm(image_ids, desc="whole mammograms", disable=quiet, leave=False)
    ]
    return np.stack(rows)


def malignancy(model: Published, class_shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The score of the class malignant, (n,)."""
    scores: npt.NDArray[np.float64] = class_shares[:, list(model.card.classes).index("malignant")]
    return scores


def predict_dataset(
    model: Published, data: Dataset, *, splits: Sequence[str] = ("val", "test")
) -> pd.DataFrame:
    """What an image model says of a prepared data set, whichever it learnt from.

    Args:
        model: Of kind image.
        data: With its labels and splits.
        splits: Of the images.

    Returns:
        A table of predictions.SCHEMA, unit image, with laterality and view.

    Raises:
        DataError: There is no image in these splits, or the classes are not those of LABELS.
    """
    images = data.catalogue.images
    units = images.loc[images["split"].isin(splits), UNITS].reset_index(drop=True)
    if units.empty:
        raise DataError(f"no image is in {' or '.join(splits)}.", data.name)
    if model.card.classes != LABELS:
        raise DataError(
            f"expected a model of the classes {', '.join(LABELS)}. Got "
            f"{', '.join(model.card.classes)}.",
            model.card.name,
        )
    shares = class_probabilities(model, data.prepared, list(units["image_id"]), quiet=False)
    return from_classes(
        units, shares, unit="image", model=f"published {model.card.model}",
        seed=int(model.card.training.get("seed", 0)), architecture=model.card.architecture,
    )  # fmt: skip


def detect_lesions(model: Published, data: Dataset, image_ids: Sequence[str]) -> pd.DataFrame:
    """What a detector finds, best first within an image, boxes and masks in original pixels.

    Returns:
        image_id, label, score, score_* of each class, row_min to col_max, mask (packed).
    """
    _expect(model, DETECTOR)
    frames = Frames(data, Frame(*model.card.size()))
    parts = [
        detection_rows(framed, detections).sort_values("score", ascending=False)
        for framed, detections in detected(
            model.network, frames, image_ids, torch.device("cpu"), batch_size=1
        )
    ]
    columns = ["row_min", "col_min", "row_max", "col_max"]
    table = pd.concat(parts, ignore_index=True)
    area = (table[columns[2]] > table[columns[0]]) & (table[columns[3]] > table[columns[1]])
    return table[area].reset_index(drop=True)


def patch_scale(model: Published, prepared: Prepared, image_id: str) -> float:
    """Px of a patch for one px of the prepared image, so that windows are as large as in training.

    In mm where both sides know their pixels; else 0: nobody can say.
    """
    spacing = float(prepared.images.set_index("image_id").loc[image_id, "pixel_spacing_mm"])
    window_mm = float(model.card.input["window_mm"])
    if not (np.isfinite(spacing) and window_mm > 0):
        return 0.0
    return float(model.card.input["patch_size"]) * spacing / window_mm


def heat_of(
    model: Published, data: Dataset, image_id: str, shape: tuple[int, ...]
) -> HeatMap | None:
    """The heat map of a patch model over a whole image; None where its pixel size is unknown.

    Args:
        model: Of kind patch.
        data: The images.
        image_id: Which of them.
        shape: Rows and columns of the map.
    """
    _expect(model, PATCH)
    scale = patch_scale(model, data.prepared, image_id)
    if not scale:
        return None
    network, size = folded(model.classifier), int(model.card.input["patch_size"])
    stride = max(network.stride, size // _STRIDES // network.stride * network.stride)
    windows = score_image(network, data.prepared, image_id, size=size, stride=stride, scale=scale)
    score = CLASS_SCORES[MALIGNANT]
    return HeatMap(heat_map(data, image_id, windows, score, shape), windows)


def each_breast(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The images of each breast, L and R; those whose side is unknown are of none.

    Args:
        rows: image_id and laterality.
    """
    for side, part in rows[rows["laterality"] != ""].groupby("laterality", sort=True):
        yield str(side), part
