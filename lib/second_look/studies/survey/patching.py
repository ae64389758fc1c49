"""How many patches, of which class, at what cost: the numbers of notebook 02."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from second_look.batches.sampler import PatchSampler
from second_look.catalogue import LABELS
from second_look.geometry import count_windows
from second_look.paper import PATCH_SIZE
from second_look.preparing.dataset import Dataset
from second_look.preparing.patches import LabelRule, labelled, window_px, window_table
from second_look.preparing.views import View

# Flips and quarter turns: the augmentations that make new patches without resampling a pixel.
EXACT_AUGMENTATIONS = 8


def windows_at(
    dataset: Dataset, strides: Sequence[int], *, size: int, size_mm: float | None, rule: LabelRule
) -> dict[int, pd.DataFrame]:
    """Stride -> the labelled windows of the whole data set at that stride."""
    return {
        stride: window_table(
            dataset.prepared,
            dataset.catalogue,
            size=size,
            stride=stride,
            rule=rule,
            size_mm=size_mm,
        )
        for stride in sorted(strides)
    }


def counts_against_stride(
    dataset: Dataset,
    windows: Mapping[int, pd.DataFrame],
    *,
    size: int,
    size_mm: float | None = None,
) -> pd.DataFrame:
    """Number of windows on the whole film, on the crop around the breast, and on the breast.

    The first two follow from the sizes alone. Film windows are counted in the pixels of the
    prepared images, so that the three can be compared.

    Returns:
        stride, film, crop, breast, breast_augmented (with flips and quarter turns).
    """
    images = dataset.prepared.images
    film = np.column_stack(
        [
            np.round(images["original_rows"] * images["scale"]),
            np.round(images["original_cols"] * images["scale"]),
        ]
    ).astype(int)
    crop = images[["rows", "cols"]].to_numpy()
    rows = []
    for stride, table in windows.items():
        on_breast = int((table["excluded"] != "off breast").sum())
        own = [window_px(size, stride, size_mm, mm) for mm in images["pixel_spacing_mm"]]
        rows.append(
            {
                "stride": stride,
                "film": sum(
                    count_windows(r, c, *win) for (r, c), win in zip(film, own, strict=True)
                ),
                "crop": sum(
                    count_windows(r, c, *win) for (r, c), win in zip(crop, own, strict=True)
                ),
                "breast": on_breast,
                "breast_augmented": EXACT_AUGMENTATIONS * on_breast,
            }
        )
    return pd.DataFrame(rows)


def reach(counts: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """At which of the strides the paper's numbers of patches are reached.

    Returns:
        patches, augmented (whether flips and turns are counted), largest stride that gives as
        many (0 where none of the strides does).
    """
    rows = []
    for target in (low, high):
        for column, augmented in (("breast", "no"), ("breast_augmented", "yes")):
            enough = counts.loc[counts[column] >= target, "stride"]
            stride = int(enough.max()) if len(enough) else 0
            rows.append({"patches": int(target), "augmented": augmented, "stride": stride})
    return pd.DataFrame(rows)


def balance(windows: Mapping[object, pd.DataFrame], name: str) -> pd.DataFrame:
    """Share of each class among the windows that have one, for several tables of windows.

    Args:
        windows: Setting -> windows.
        name: What the setting is called, the first column of the result.

    Returns:
        The setting, then label, windows, share (of the labelled ones), excluded (all others
        that lie on the breast: partial or unlocated lesions).
    """
    rows = []
    for setting, table in windows.items():
        used = labelled(table)
        left = int(((table["excluded"] != "") & (table["excluded"] != "off breast")).sum())
        for label in LABELS:
            count = int((used["label"] == label).sum())
            rows.append(
                {
                    name: setting,
                    "label": label,
                    "windows": count,
                    "share": count / len(used) if len(used) else float("nan"),
                    "excluded": left,
                }
            )
    return pd.DataFrame(rows)


def windows_by_rule(
    dataset: Dataset,
    lesion_shares: Sequence[float],
    *,
    size: int,
    size_mm: float | None,
    stride: int,
    rule: LabelRule,
) -> dict[float, pd.DataFrame]:
    """Share of a lesion that a window must hold -> the windows labelled by that rule."""
    return {
        share: window_table(
            dataset.prepared,
            dataset.catalogue,
            size=size,
            stride=stride,
            rule=replace(rule, min_lesion_share=share),
            size_mm=size_mm,
        )
        for share in lesion_shares
    }


def count_verdict(patch_size: int) -> str | None:
    """Verdict on the number of patches: decided by the range for the paper's size only."""
    if patch_size == PATCH_SIZE:
        return None
    return f"differs: windows of {patch_size} px, {PATCH_SIZE} px in the paper"


def classes_verdict(windows: pd.DataFrame, dataset: Dataset) -> str | None:
    """Verdict on the number of classes: a data set that lacks some cannot give all four."""
    there = set(dataset.catalogue.images["label"])
    own = set(labelled(windows)["label"])
    if own < set(LABELS) and own == there:
        return f"differs: {dataset.name} has {len(there)} of the {len(LABELS)}"
    return None


def zoom(dataset: Dataset, view: View) -> float:
    """Pixels of a prepared image for one of its view."""
    rows = dataset.prepared.images.set_index("image_id").loc[view.image_id, "rows"]
    return float(rows / view.picture.shape[0])


def mm_per_px(dataset: Dataset, windows: pd.DataFrame, size: int) -> npt.NDArray[np.float64]:
    """Pixel size of patches of `size` px that were cut from windows, mm, (n,); NaN: unknown."""
    spacing = dataset.prepared.images.set_index("image_id")["pixel_spacing_mm"]
    of_images = spacing[windows["image_id"]].to_numpy(dtype=np.float64)
    found: npt.NDArray[np.float64] = of_images * windows["size"].to_numpy() / size
    return found


def choose_patches(windows: pd.DataFrame, *, per_label: int, seed: int) -> pd.DataFrame:
    """Up to `per_label` windows of each class, of different patients where there are enough."""
    used = labelled(windows)
    mixed = used.sample(frac=1, random_state=seed)
    order = mixed.groupby(["label", "patient_id"]).cumcount()
    mixed = mixed.assign(order=order).sort_values("order", kind="stable")
    chosen = [mixed[mixed["label"] == label].head(per_label) for label in LABELS]
    return pd.concat(chosen).drop(columns="order")


def choose_rule_example(windows: pd.DataFrame) -> str:
    """The image with the most windows that hold part of a lesion: it shows the rule best.

    Where no window holds any, the image with the most windows.
    """
    partial = windows[(windows["excluded"] == "partial lesion") | (windows["lesion_code"] > 0)]
    shown = windows if partial.empty else partial
    found: str = shown["image_id"].value_counts(sort=True).index[0]
    return found


def cost(
    sampler: PatchSampler, dataset: Dataset, *, batches: int, patches: Sequence[int]
) -> pd.DataFrame:
    """What patches cost when they are cut as they are needed, against writing them out.

    Time is measured on this machine over a few batches; disk and time of written patches are those
    of some of the same patches as PNG files, times their number.

    Returns:
        One row a number of patches: patches, minutes_to_cut, minutes_to_write (cut and encoded,
        once), gb_memory (images that the sampler keeps), gb_prepared (the prepared images),
        gb_as_png.
    """
    sampler.batch(0)
    start = time.perf_counter()
    drawn = [sampler.batch(step) for step in range(1, batches + 1)]
    seconds_each = (time.perf_counter() - start) / sum(len(batch.labels) for batch in drawn)
    full = 255 if (dataset.prepared.images["bits"] <= 8).all() else 65535
    sample = (drawn[0].pixels[:32, 0].numpy() * full).round()
    start = time.perf_counter()
    png_bytes = np.mean([_png_size(patch, full) for patch in sample])
    seconds_png = (time.perf_counter() - start) / len(sample)
    stored = sum(path.stat().st_size for path in dataset.prepared.folder.glob("*.npy"))
    return pd.DataFrame(
        {
            "patches": list(patches),
            "minutes_to_cut": [count * seconds_each / 60 for count in patches],
            "minutes_to_write": [count * (seconds_each + seconds_png) / 60 for count in patches],
            "gb_memory": [sampler.memory_bytes / 1e9] * len(patches),
            "gb_prepared": [stored / 1e9] * len(patches),
            "gb_as_png": [count * png_bytes / 1e9 for count in patches],
        }
    )


def _png_size(patch: np.ndarray, full: int) -> int:
    stream = io.BytesIO()
    Image.fromarray(patch.astype(np.uint8 if full == 255 else np.uint16)).save(stream, "PNG")
    return stream.getbuffer().nbytes


def savings(counts: pd.DataFrame) -> str:
    """What cropping and the breast mask leave of the film's windows, as a Markdown sentence."""
    finest = counts.loc[counts["stride"].idxmin()]
    return (
        f"At stride {finest['stride']:,.0f} px the films hold {finest['film']:,.0f} windows, their "
        f"crops {finest['crop']:,.0f}, and **{finest['breast']:,.0f} lie on the breast**: "
        f"{1 - finest['breast'] / finest['film']:.0%} of the work on whole films is saved."
    )


def findings(
    windows: pd.DataFrame, reached: pd.DataFrame, costs: pd.DataFrame, *, synthetic: bool
) -> str:
    """What notebook 02 found, as Markdown sentences made from its own numbers."""
    lines = []
    for row in reached.itertuples():
        with_turns = "with" if row.augmented == "yes" else "without"
        found = f"reached at stride {row.stride} px" if row.stride else "not reached at any stride"
        lines.append(f"- {row.patches:,} patches {with_turns} flips and turns: {found}.")
    used = labelled(windows)
    normal = (used["label"] == "normal").mean()
    partial = int((windows["excluded"] == "partial lesion").sum())
    lines.append(
        f"- {normal:.1%} of the labelled windows are normal: a classifier that always says "
        f"“normal” is right that often. {partial:,} windows hold too little of a lesion to count."
    )
    largest = costs.iloc[-1]
    lines.append(
        f"- {largest['patches']:,.0f} patches written out would take "
        f"{largest['gb_as_png']:,.0f} GB of disk and {largest['minutes_to_write']:,.0f} minutes of "
        f"this machine; cut when needed they take the {largest['gb_prepared']:.2g} GB of the "
        f"prepared images, {largest['gb_memory']:.2g} GB of memory and "
        f"{largest['minutes_to_cut']:,.0f} minutes for each pass."
    )
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)
