"""One patient's mammograms in, an answer out: chances, lesions, heat maps, in original pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from second_look.errors import ParameterError
from second_look.evaluation.detection_tables import BOX, lesion_scores, unpack_mask
from second_look.geometry import Box
from second_look.preparing.views import View, original_view
from second_look.published.card import DETECTOR, IMAGE, PATCH, Calibration
from second_look.published.mammograms import Mammograms, unlike_training
from second_look.published.measured import AT_ONE_ALARM
from second_look.published.scores import (
    MOST_ENLARGED,
    HeatMap,
    class_probabilities,
    detect_lesions,
    each_breast,
    enlargement,
    heat_of,
    malignancy,
)
from second_look.published.weights import Published

# Rows of the views that heat maps and overlays are drawn in.
VIEW_ROWS = 800
# Lesions of an image that an answer lists at most, those with the highest scores.
MOST_LESIONS = 10
LESIONS = ("label", "score", "malignant", "shown", *BOX, "mask")


@dataclass(frozen=True)
class Chance:
    """Of malignancy, for an image or a breast.

    Attributes:
        score: Of the model, 0 to 1: how suspicious, but no probability.
        probability: After calibration on validation patients.
        prevalence: Share of malignant units that the probability holds for.
        reached: Name of a threshold → whether the score reaches it.
    """

    score: float
    probability: float
    prevalence: float
    reached: Mapping[str, bool]


@dataclass(frozen=True)
class ImageAnswer:
    """What the models say of an image.

    Attributes:
        image_id, file: Which.
        laterality, view: "" where unknown.
        chance: None without an image model.
        lesions: Found by the detector, best first: label, score (probability of any lesion),
            malignant (probability of a malignant one), shown (whether the score reaches the
            threshold), row_min to col_max in the pixels of the file, mask (packed, over the box).
            Empty without a detector.
        picture: The whole mammogram, at most VIEW_ROWS rows.
        heat: Of the patch model; None where there is none.
        warnings: What makes the answer doubtful.
    """

    image_id: str
    file: Path
    laterality: str
    view: str
    chance: Chance | None
    lesions: pd.DataFrame
    picture: View
    heat: HeatMap | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What the models say of a patient's mammograms.

    Attributes:
        images: One answer a picture that can be used.
        breasts: Side → chance, the mean score of its views; not where sides are unknown.
        mammograms: The pictures, and those that were refused.
    """

    images: tuple[ImageAnswer, ...]
    breasts: Mapping[str, Chance]
    mammograms: Mammograms


def answer(
    mammograms: Mammograms,
    models: Mapping[str, Published],
    *,
    prevalence: float | None = None,
) -> Answer:
    """Apply the models of a set.

    Args:
        mammograms: Of one patient.
        models: Kind → model; a kind that is missing leaves its part of the answer out.
        prevalence: That probabilities shall hold for; None: that of each model's validation
            patients.

    Raises:
        ParameterError: There is no model, or the prevalence is not between 0 and 1.
    """
    if not models:
        raise ParameterError("there is no model to ask.")
    warnings = {name: list(mammograms.warnings.get(name, ())) for name in mammograms.image_ids}
    for name, texts in warnings.items():
        texts += _of_acquisition(mammograms, models, name)
    scores = _image_scores(mammograms, models.get(IMAGE), warnings)
    lesions = _lesions(mammograms, models.get(DETECTOR))
    answers = []
    for name in mammograms.image_ids:
        row = mammograms.row(name)
        picture = original_view(mammograms.data, name, min(VIEW_ROWS, int(row["rows"])))
        heat = _heat(mammograms, models.get(PATCH), name, picture, warnings[name])
        chance = None
        if name in scores:
            fitted = models[IMAGE].card.calibrations.get("image")
            chance = chance_of(scores[name], fitted, prevalence)
        answers.append(
            ImageAnswer(
                name,
                Path(str(row["path"])),
                str(row["laterality"]),
                str(row["view"]),
                chance,
                lesions.get(name, pd.DataFrame(columns=list(LESIONS))),
                picture,
                heat,
                tuple(warnings[name]),
            )
        )
    breasts = _breasts(mammograms, scores, models.get(IMAGE), prevalence)
    return Answer(tuple(answers), breasts, mammograms)


def chance_of(
    score: float, calibration: Calibration | None, prevalence: float | None
) -> Chance | None:
    """The score with its probability; None where the model has no calibration for this unit."""
    if calibration is None:
        return None
    probability = float(calibration.probability([score], prevalence)[0])
    reached = {name: bool(score >= value) for name, value in calibration.thresholds.items()}
    return Chance(float(score), probability, prevalence or calibration.prevalence, reached)


def _of_acquisition(
    mammograms: Mammograms, models: Mapping[str, Published], name: str
) -> list[str]:
    texts = {
        unlike_training(mammograms.devices[name], model.card.data) for model in models.values()
    }
    return sorted(filter(None, texts))


def _image_scores(
    mammograms: Mammograms, model: Published | None, warnings: Mapping[str, list[str]]
) -> dict[str, float]:
    """Image → score of malignancy; an image with too few pixels has none, and a warning."""
    if model is None:
        return {}
    prepared, usable = mammograms.data.prepared, []
    for name in mammograms.image_ids:
        factor = enlargement(model, prepared, name)
        if factor > MOST_ENLARGED:
            rows, cols = model.card.size()
            warnings[name].append(
                f"refused by the image model: too few pixels, the breast would have to be "
                f"enlarged {factor:.1f} times for its {rows}×{cols} px"
            )
        else:
            usable.append(name)
    if not usable:
        return {}
    shares = malignancy(model, class_probabilities(model, prepared, usable))
    return dict(zip(usable, map(float, shares), strict=True))


def _lesions(mammograms: Mammograms, model: Published | None) -> dict[str, pd.DataFrame]:
    """Image → its detections in the pixels of the file, best first."""
    if model is None:
        return {}
    table = detect_lesions(model, mammograms.data, mammograms.image_ids)
    threshold = model.card.thresholds.get(AT_ONE_ALARM, 0.5)
    result = {}
    for name, part in table.groupby("image_id", sort=False):
        scored = part.assign(
            score=lesion_scores(part, "lesion"), malignant=lesion_scores(part, "malignant")
        )
        best = scored.nlargest(MOST_LESIONS, "score").reset_index(drop=True)
        boxes = [
            mammograms.box_in_file(str(name), Box(*corners))
            for corners in best[list(BOX)].to_numpy(dtype=float).tolist()
        ]
        ends = {end: [getattr(box, end) for box in boxes] for end in BOX}
        shown_rows = best["score"] >= threshold
        result[str(name)] = best.assign(**ends, shown=shown_rows)[list(LESIONS)]
    return result


def _heat(
    mammograms: Mammograms, model: Published | None, name: str, picture: View, texts: list[str]
) -> HeatMap | None:
    if model is None:
        return None
    heat = heat_of(model, mammograms.data, name, picture.picture.shape)
    if heat is None:
        texts.append("no heat map: the size of a pixel is unknown; give --pixel-size in mm")
    return heat


def _breasts(
    mammograms: Mammograms,
    scores: Mapping[str, float],
    model: Published | None,
    prevalence: float | None,
) -> dict[str, Chance]:
    """Side → chance, from the mean score of the breast's views, as in evaluation.predictions."""
    if model is None or "breast" not in model.card.calibrations:
        return {}
    images = mammograms.data.catalogue.images
    rows = images[images["image_id"].isin(list(scores))]
    result = {}
    for side, part in each_breast(rows):
        mean = float(np.mean([scores[name] for name in part["image_id"]]))
        chance = chance_of(mean, model.card.calibrations["breast"], prevalence)
        if chance is not None:
            result[side] = chance
    return result


def mask_in_file(lesion: Mapping[str, Any], shape: Sequence[int]) -> np.ndarray:
    """The mask of a lesion in the pixels of the file, bool of that shape.

    Args:
        lesion: A row of `ImageAnswer.lesions`.
        shape: Rows and columns of the file.
    """
    grid = unpack_mask(lesion["mask"])
    result = np.zeros(tuple(shape), dtype=bool)
    box = Box(*(float(lesion[name]) for name in BOX)).clipped(*shape)
    if box.area <= 0:
        return result
    rows, cols = (
        np.arange(int(box.row_min), int(np.ceil(box.row_max))),
        np.arange(int(box.col_min), int(np.ceil(box.col_max))),
    )
    height, width = (float(lesion["row_max"] - lesion["row_min"]),
                     float(lesion["col_max"] - lesion["col_min"]))  # fmt: skip
    grid_rows = ((rows + 0.5 - float(lesion["row_min"])) / height * grid.shape[0]).astype(int)
    grid_cols = ((cols + 0.5 - float(lesion["col_min"])) / width * grid.shape[1]).astype(int)
    last_row, last_col = grid.shape[0] - 1, grid.shape[1] - 1
    part = grid[np.ix_(np.clip(grid_rows, 0, last_row), np.clip(grid_cols, 0, last_col))]
    result[np.ix_(rows, cols)] = part
    return result
