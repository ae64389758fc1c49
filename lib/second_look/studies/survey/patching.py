"""The numbers of notebook 02: how many patches, of which classes, at what cost."""

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
from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation.intervals import Estimate, bootstrap_mean
from second_look.geometry import count_windows
from second_look.paper import PATCH_SIZE
from second_look.preparing.dataset import Dataset
from second_look.preparing.patches import LabelRule, labelled, window_px, window_table
from second_look.preparing.views import View

# Flips and quarter turns: the augmentations that make new patches without resampling a pixel.
EXACT_AUGMENTATIONS = 8


def windows_by_stride(
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


def counts_by_stride(
    dataset: Dataset,
    windows: Mapping[int, pd.DataFrame],
    *,
    size: int,
    size_mm: float | None,
) -> pd.DataFrame:
    """Number of windows on the whole image, on the crop around the breast, and on the breast.

    The first two follow from the sizes alone. Windows of whole images are counted in the pixels of
    the prepared images, so that the three can be compared.

    Returns:
        stride, image, crop, breast, breast_augmented (with flips and quarter turns).
    """
    images = dataset.prepared.images
    original = np.column_stack(
        [
            np.round(images["original_rows"] * images["scale"]),
            np.round(images["original_cols"] * images["scale"]),
        ]
    ).astype(int)
    crop = images[["rows", "cols"]].to_numpy()
    rows = []
    for stride, table in windows.items():
        on_breast = int((table["excluded"] != "off breast").sum())
        # (size, stride) in px of each image
        grids = [window_px(size, stride, size_mm, mm) for mm in images["pixel_spacing_mm"]]
        rows.append(
            {
                "stride": stride,
                "image": _count_windows(original, grids),
                "crop": _count_windows(crop, grids),
                "breast": on_breast,
                "breast_augmented": EXACT_AUGMENTATIONS * on_breast,
            }
        )
    return pd.DataFrame(rows)


def _count_windows(shapes: npt.NDArray[np.int64], grids: Sequence[tuple[int, int]]) -> int:
    """Windows of all images. Shapes are (n, 2): rows and cols; grids are size and stride, px."""
    return sum(
        count_windows(rows, cols, *grid) for (rows, cols), grid in zip(shapes, grids, strict=True)
    )


def largest_strides(counts: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """The largest of the strides that still gives each of the paper's numbers of patches.

    Returns:
        patches, augmented (whether flips and turns are counted), stride (the largest that gives as
        many; 0 where none of the strides does).
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
        name: Name of the setting, the first column of the result.

    Returns:
        The setting, then label, windows, share (of the labelled windows), excluded (windows on the
        breast that have no class: partial or unlocated lesions).
    """
    rows = []
    for setting, table in windows.items():
        used = labelled(table)
        excluded = int(((table["excluded"] != "") & (table["excluded"] != "off breast")).sum())
        for label in LABELS:
            count = int((used["label"] == label).sum())
            rows.append(
                {
                    name: setting,
                    "label": label,
                    "windows": count,
                    "share": count / len(used) if len(used) else float("nan"),
                    "excluded": excluded,
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
    """Share of a lesion that a window must contain -> the windows labelled by that rule."""
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


def on_breast(windows: pd.DataFrame, *, seed: int) -> Estimate:
    """Mean share of a labelled window that lies on the breast, %, with its interval."""
    used = labelled(windows)
    return bootstrap_mean(100 * used["breast_share"], patient_keys(used), seed=seed)


def classes_verdict(windows: pd.DataFrame, dataset: Dataset) -> str | None:
    """Verdict on the number of classes: a data set that lacks some cannot give all four."""
    image_labels = set(dataset.catalogue.images["label"])
    window_labels = set(labelled(windows)["label"])
    if window_labels < set(LABELS) and window_labels == image_labels:
        return f"differs: {dataset.name} has {len(image_labels)} of the {len(LABELS)}"
    return None


def zoom(dataset: Dataset, view: View) -> float:
    """Pixels of a prepared image for one of its view."""
    rows = dataset.prepared.images.set_index("image_id").loc[view.image_id, "rows"]
    return float(rows / view.picture.shape[0])


def mm_per_px(dataset: Dataset, windows: pd.DataFrame, size: int) -> npt.NDArray[np.float64]:
    """Pixel size of patches of `size` px that were cut from windows, mm, (n,); NaN: unknown."""
    spacing = dataset.prepared.images.set_index("image_id")["pixel_spacing_mm"]
    image_spacing = spacing[windows["image_id"]].to_numpy(dtype=np.float64)
    patch_spacing: npt.NDArray[np.float64] = image_spacing * windows["size"].to_numpy() / size
    return patch_spacing


def choose_patches(windows: pd.DataFrame, *, per_label: int, seed: int) -> pd.DataFrame:
    """Up to `per_label` windows of each class, of different patients where there are enough."""
    used = labelled(windows)
    mixed = used.sample(frac=1, random_state=seed)
    order = mixed.groupby(["label", "patient_id"]).cumcount()
    mixed = mixed.assign(order=order).sort_values("order", kind="stable")
    chosen = [mixed[mixed["label"] == label].head(per_label) for label in LABELS]
    return pd.concat(chosen).drop(columns="order")


def choose_rule_example(windows: pd.DataFrame) -> str:
    """The image with the most windows that contain part of a lesion: it shows the rule best.

    If no window contains any, the image with the most windows.
    """
    partial = windows[(windows["excluded"] == "partial lesion") | (windows["lesion_code"] > 0)]
    candidates = windows if partial.empty else partial
    image_id: str = candidates["image_id"].value_counts(sort=True).index[0]
    return image_id


def cost(
    sampler: PatchSampler, dataset: Dataset, *, batches: int, patches: Sequence[int]
) -> pd.DataFrame:
    """What patches cost when they are cut on demand, against writing them out.

    Time is measured on this machine over a few batches; disk space and time of written patches are
    extrapolated from some of the same patches, encoded as PNG.

    Args:
        sampler: Cuts the patches.
        dataset: The data set.
        batches: How many to time.
        patches: Numbers of patches, one row each.

    Returns:
        patches, minutes_to_cut, minutes_to_write (cut and encoded, once), gb_memory (images that
        the sampler keeps), gb_prepared (the prepared images), gb_as_png.
    """
    sampler.batch(0)
    start = time.perf_counter()
    timed = [sampler.batch(step) for step in range(1, batches + 1)]
    seconds_each = (time.perf_counter() - start) / sum(len(batch.labels) for batch in timed)
    white = 255 if (dataset.prepared.images["bits"] <= 8).all() else 65535
    sample = (timed[0].pixels[:32, 0].numpy() * white).round()
    start = time.perf_counter()
    png_bytes = np.mean([_png_size(patch, white) for patch in sample])
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


def _png_size(patch: np.ndarray, white: int) -> int:
    """Bytes of a patch as PNG, 8 or 16 bit; white is its largest possible value."""
    stream = io.BytesIO()
    Image.fromarray(patch.astype(np.uint8 if white == 255 else np.uint16)).save(stream, "PNG")
    return stream.getbuffer().nbytes


def savings(counts: pd.DataFrame) -> str:
    """How many windows cropping and the breast mask leave, as a Markdown sentence."""
    finest = counts.loc[counts["stride"].idxmin()]
    saved = 1 - finest["breast"] / finest["image"]
    return (
        f"At stride {finest['stride']:,.0f} px the whole images hold {finest['image']:,.0f} "
        f"windows and their crops {finest['crop']:,.0f}; **{finest['breast']:,.0f} lie on the "
        f"breast**. Keeping to the breast saves {saved:.0%} of the work on whole images."
    )


def findings(
    windows: pd.DataFrame, strides: pd.DataFrame, costs: pd.DataFrame, *, synthetic: bool
) -> str:
    """The findings of notebook 02 as Markdown, with the numbers of this run.

    Args:
        windows: At the stride of the run.
        strides: Of `largest_strides`.
        costs: Of `cost`.
        synthetic: Whether the images are phantoms.
    """
    lines = []
    for row in strides.itertuples():
        with_turns = "with" if row.augmented == "yes" else "without"
        stride = f"reached at stride {row.stride} px" if row.stride else "not reached at any stride"
        lines.append(f"- {row.patches:,} patches {with_turns} flips and turns: {stride}.")
    used = labelled(windows)
    normal = (used["label"] == "normal").mean()
    partial = int((windows["excluded"] == "partial lesion").sum())
    lines.append(
        f"- {normal:.1%} of the labelled windows are normal: a classifier that always says "
        f"“normal” is right that often. {partial:,} windows contain too little of a lesion to "
        "count."
    )
    largest = costs.iloc[-1]
    lines.append(
        f"- Writing out {largest['patches']:,.0f} patches would take "
        f"{largest['gb_as_png']:,.0f} GB of disk and {largest['minutes_to_write']:,.0f} minutes on "
        f"this machine; cutting them on demand takes the {largest['gb_prepared']:.2g} GB of the "
        f"prepared images, {largest['gb_memory']:.2g} GB of memory and "
        f"{largest['minutes_to_cut']:,.0f} minutes per pass."
    )
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)
