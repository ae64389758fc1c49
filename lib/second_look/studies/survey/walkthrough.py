"""Worked examples of notebooks 01 and 02: one mammogram, and the windows over it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from second_look.preparing.dataset import Dataset
from second_look.preparing.image import read_original
from second_look.preparing.patches import LabelRule, label_windows, window_px
from second_look.preparing.views import pathologies
from second_look.studies.steps import steps, upright

_COLUMNS = [
    "image_id", "dataset", "patient_id", "laterality", "view", "density", "label", "split", "rows",
    "cols", "bits", "pixel_spacing_mm",
]  # fmt: skip


def example(data: Dataset) -> str:
    """The training image that is looked at: the first with a located lesion, else the first."""
    located = data.prepared.lesions.loc[data.prepared.lesions["code"] > 0, "image_id"]
    prepared = data.catalogue.images["image_id"].isin(data.prepared.images["image_id"])
    images = data.catalogue.images[prepared]
    order = (images["split"] != "train") * 2 + ~images["image_id"].isin(located)
    return str(images["image_id"].iloc[int(np.argmin(order))])


def reading(data: Dataset, image_id: str) -> pd.DataFrame:
    """From a file to what networks are fed from.

    Returns:
        Of studies.steps.steps.
    """
    image = data.catalogue.images.set_index("image_id", drop=False).loc[image_id]
    pixels, prepared = read_original(image), np.asarray(data.prepared.pixels(image_id))
    regions = np.asarray(data.prepared.regions(image_id))
    bits = int(data.prepared.images.set_index("image_id").loc[image_id, "bits"])
    return steps(
        {
            "the file: grey levels, rows × cols": pixels,
            "prepared: cropped to the breast, chest wall at the left": prepared,
            "its breast mask: 1 on the breast": regions > 0,
            "its lesions: 1 on a lesion": regions > 1,
            f"as networks get it: divided by 2^{bits} − 1": prepared / (2**bits - 1),
        }
    )


def catalogue_row(data: Dataset, image_id: str) -> pd.DataFrame:
    """The image's row in the catalogue: column, value."""
    images = data.catalogue.images
    return upright(images.loc[images["image_id"] == image_id, _COLUMNS])


def windows(
    data: Dataset,
    image_id: str,
    *,
    size: int,
    stride: int,
    rule: LabelRule,
    size_mm: float | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """From the region map of an image to the label of one of its windows.

    Args:
        data: The data set.
        image_id: Which image.
        size: Of a window, px.
        stride: Between windows, px.
        rule: Of the labels.
        size_mm: Size in mm instead.

    Returns:
        The steps, and the row of the window that has most of a lesion: column, value.
    """
    spacing = data.prepared.images.set_index("image_id").loc[image_id, "pixel_spacing_mm"]
    px, step = window_px(size, stride, size_mm, float(spacing))
    regions = np.asarray(data.prepared.regions(image_id))
    table = label_windows(regions, pathologies(data, image_id), size=px, stride=step, rule=rule)
    if table.empty:
        return steps({"region map": regions}), pd.DataFrame(columns=["column", "value"])
    way = {
        "region map: 0 air, 1 breast, 2 and more a lesion": regions,
        f"first rows of the windows: 0, {step}, {2 * step} …": table["row"],
        "first cols of the windows": table["col"],
        "share of each window on the breast": table["breast_share"],
        "share of a lesion in each window": table["lesion_share"],
        "windows with a label: 1": table["excluded"] == "",
    }
    ordered = table.sort_values("lesion_share", ascending=False, kind="stable").drop(
        columns="lesion_code"
    )
    return steps(way), upright(ordered.replace("", "–"))
