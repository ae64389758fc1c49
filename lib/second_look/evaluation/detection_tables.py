"""The tables that detections are measured from: what was found, and what is there.

Boxes are (row_min, col_min, row_max, col_max) in pixels of the original mammogram. A mask is a
square grid of bits over its box, packed into bytes row by row: 28×28 from a network, finer for the
truth.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa
from tqdm.auto import tqdm

from second_look.catalogue import KINDS, LABELS, SPLITS
from second_look.errors import DataError
from second_look.evaluation.predictions import CLASS_SCORES
from second_look.geometry import Box

if TYPE_CHECKING:
    from second_look.preparing.dataset import Dataset

BOX = ("row_min", "col_min", "row_max", "col_max")
# Side of the grid of a true mask.
TRUE_SIDE = 112

_share = pa.Column(float, pa.Check.in_range(0, 1))
_boxes = dict.fromkeys(BOX, pa.Column(float))
_identity = {
    "dataset": pa.Column(str, pa.Check.str_length(min_value=1)),
    "image_id": pa.Column(str, pa.Check.str_length(min_value=1)),
    "patient_id": pa.Column(str, pa.Check.str_length(min_value=1)),
    "split": pa.Column(str, pa.Check.isin(SPLITS)),
}
# One row per detection. `label` is its likeliest lesion class, `score` that class's probability;
# the class scores sum to 1, and `score_normal` is the chance that there is no lesion.
DETECTIONS = pa.DataFrameSchema(
    {
        **_identity,
        "model": pa.Column(str, pa.Check.str_length(min_value=1)),
        "seed": pa.Column(int, pa.Check.ge(0)),
        "label": pa.Column(str, pa.Check.isin(LABELS[1:])),
        "score": _share,
        **dict.fromkeys(CLASS_SCORES, _share),
        **_boxes,
        "mask": pa.Column(object),
    },
    strict=True,
    coerce=True,
)
# One row per lesion that can be seen on its image's region map.
TRUTHS = pa.DataFrameSchema(
    {
        **_identity,
        "lesion_id": pa.Column(str, pa.Check.str_length(min_value=1), unique=True),
        "kind": pa.Column(str, pa.Check.isin(KINDS)),
        "pathology": pa.Column(str, pa.Check.isin(LABELS[1:])),
        "density": pa.Column(str),
        # Longest side of the box, mm, NaN where the pixel size is unknown.
        "size_mm": pa.Column(float, nullable=True),
        **_boxes,
        "mask": pa.Column(object),
    },
    strict=True,
    coerce=True,
)
# One row an image. `unlocated` counts lesions that nobody can place: no false positive can be told
# on such an image.
IMAGES = pa.DataFrameSchema(
    {
        **_identity,
        "label": pa.Column(str, pa.Check.isin(LABELS)),
        "density": pa.Column(str),
        "unlocated": pa.Column(int, pa.Check.ge(0)),
    },
    strict=True,
    coerce=True,
)


def checked(table: pd.DataFrame, schema: pa.DataFrameSchema, source: object) -> pd.DataFrame:
    """A table after every check of its schema; boxes have an area.

    Raises:
        DataError: Names the column or the image.
    """
    try:
        result = schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        case = error.failure_cases.iloc[0]
        image_name = ""
        if pd.notna(case["index"]) and "image_id" in table:
            image_name = f" of image {table['image_id'].iloc[int(case['index'])]}"
        raise DataError(
            f"{case['column'] or 'table'}: {case['check']} does not hold for "
            f"{case['failure_case']!r}{image_name}.",
            source,
        ) from None
    if "row_min" in result.columns:
        empty = ~(
            (result["row_max"] > result["row_min"]) & (result["col_max"] > result["col_min"])
        ).to_numpy()
        if empty.any():
            first = result.iloc[int(np.argmax(empty))]
            raise DataError(f"a box of image {first['image_id']} has no area.", source)
    return result


def lesion_scores(detections: pd.DataFrame, target: str) -> npt.NDArray[np.float64]:
    """Chance of each detection to be one of the target, float64 (n,).

    Args:
        detections: Of DETECTIONS.
        target: "lesion" for any lesion, or one of the lesion labels.
    """
    if target == "lesion":
        chances = detections[list(CLASS_SCORES[1:])].to_numpy(dtype=np.float64)
        summed: npt.NDArray[np.float64] = np.minimum(chances.sum(axis=1), 1.0)
        return summed
    scores: npt.NDArray[np.float64] = detections[f"score_{target}"].to_numpy(dtype=np.float64)
    return scores


def pack_mask(mask: npt.NDArray[np.bool_]) -> bytes:
    """A square mask as bytes; its side must be a multiple of 4, so that bytes tell it.

    Raises:
        ValueError: It is not square, or its side is no multiple of 4.
    """
    side = mask.shape[0]
    if mask.shape != (side, side) or side % 4:
        raise ValueError(f"a mask must be square, its side a multiple of 4. Got {mask.shape}.")
    return np.packbits(mask.ravel()).tobytes()


def unpack_mask(packed: bytes) -> npt.NDArray[np.bool_]:
    """The square mask of `pack_mask`, bool (side, side)."""
    side = math.isqrt(8 * len(packed))
    return np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool).reshape(side, side)


def image_table(dataset: Dataset, *, splits: tuple[str, ...] = SPLITS) -> pd.DataFrame:
    """The IMAGES of some splits of a data set."""
    codes = dataset.prepared.lesions
    hidden = codes[codes["code"] == 0].groupby("image_id").size()
    images = dataset.catalogue.images
    images = images[images["split"].isin(splits)]
    table = images[["dataset", "image_id", "patient_id", "split", "label", "density"]].assign(
        unlocated=images["image_id"].map(hidden).fillna(0).astype(int)
    )
    return checked(table.reset_index(drop=True), IMAGES, "images")


def truth_table(dataset: Dataset, *, splits: tuple[str, ...] = SPLITS) -> pd.DataFrame:
    """The TRUTHS of some splits of a data set, from its region maps.

    Where lesions overlap, the map keeps the most suspicious one; one that another hides wholly is
    no row.
    """
    images = dataset.catalogue.images
    images = images[images["split"].isin(splits)]
    codes = dataset.prepared.lesions
    located = codes.loc[codes["code"] > 0, ["lesion_id", "code"]]
    lesions = dataset.catalogue.lesions[["lesion_id", "image_id", "kind", "pathology"]]
    located_lesions = lesions.merge(located, on="lesion_id").merge(
        images[["image_id", "dataset", "patient_id", "split", "density", "pixel_spacing_mm"]],
        on="image_id",
    )
    rows = []
    for image_id, part in tqdm(
        located_lesions.groupby("image_id", sort=False), desc="true lesions"
    ):
        regions = np.asarray(dataset.prepared.regions(str(image_id)))
        transform = dataset.prepared.transform(str(image_id))
        for lesion in part.to_dict("records"):
            box_and_grid = true_mask(regions == lesion.pop("code"))
            spacing = lesion.pop("pixel_spacing_mm")
            if box_and_grid is not None:
                prepared, grid = box_and_grid
                box = transform.box_to_original(prepared)
                rows.append(
                    lesion
                    | {name: getattr(box, name) for name in BOX}
                    | {
                        "size_mm": max(box.height, box.width) * spacing,
                        "mask": pack_mask(grid[:, ::-1] if transform.flipped else grid),
                    }
                )
    table = pd.DataFrame(rows, columns=list(TRUTHS.columns))
    return checked(table, TRUTHS, "truths")


def true_mask(
    mask: npt.NDArray[np.bool_], side: int = TRUE_SIDE
) -> tuple[Box, npt.NDArray[np.bool_]] | None:
    """The box of a mask, and its grid over that box, bool (side, side); None without pixels."""
    box = Box.of_mask(mask)
    if box is None:
        return None
    part = mask[int(box.row_min) : int(box.row_max), int(box.col_min) : int(box.col_max)]
    rows, cols = (((np.arange(side) + 0.5) / side * length).astype(int) for length in part.shape)
    return box, part[np.ix_(rows, cols)]


def boxes(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Boxes of detections or truths, float64 (n, 4)."""
    result: npt.NDArray[np.float64] = table[list(BOX)].to_numpy(dtype=np.float64)
    return result


def overlap(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes (n, 4), pair by pair, float64 (n,)."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = [np.prod(corners[:, 2:] - corners[:, :2], axis=1) for corners in (first, second)]
    result: npt.NDArray[np.float64] = shared / (areas[0] + areas[1] - shared)
    return result
