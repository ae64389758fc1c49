"""Which windows of a mammogram are patches, and which label each one gets: one rule for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm.auto import tqdm

from second_look.catalogue import LABELS, Catalogue, patient_keys
from second_look.errors import DataError
from second_look.geometry import IntArray, mm_to_px, window_starts
from second_look.preparing.store import Prepared

# Why a window has no label.
EXCLUDED = ("off breast", "partial lesion", "unlocated lesion")
COLUMNS = (
    "row",
    "col",
    "size",
    "breast_share",
    "lesion_share",
    "lesion_code",
    "label",
    "excluded",
)


@dataclass(frozen=True)
class LabelRule:
    """When a window lies on the breast, and when it counts for a lesion.

    A window counts for a lesion if it holds at least `min_lesion_share` of the lesion's area, or
    if the lesion covers at least `min_window_share` of the window (for lesions larger than it). Of
    several lesions the most suspicious one wins. A window that holds some of a lesion but counts
    for none is neither lesion nor normal: "partial lesion". A window without a lesion is "normal",
    unless its image has a lesion that nobody located ("unlocated lesion") or too little of the
    window lies on the breast ("off breast").

    Attributes:
        min_breast_share: Of the window on the breast, 0 to 1.
        min_lesion_share: Of the lesion in the window, 0 to 1.
        min_window_share: Of the window covered by the lesion, 0 to 1.
    """

    min_breast_share: float
    min_lesion_share: float
    min_window_share: float

    def __post_init__(self) -> None:
        shares = (self.min_breast_share, self.min_lesion_share, self.min_window_share)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"shares must lie between 0 and 1. Got {shares}.")


# The default of notebook 02, for what labels windows without its parameters: half of the window on
# the breast, half of the lesion in the window, or half of the window covered by it.
HALF_RULE = LabelRule(min_breast_share=0.5, min_lesion_share=0.5, min_window_share=0.5)


def label_windows(
    regions: npt.NDArray[np.uint8],
    pathologies: Mapping[int, str],
    *,
    size: int,
    stride: int,
    rule: LabelRule,
    unlocated: bool = False,
) -> pd.DataFrame:
    """Every window of one image with its shares and its label.

    Args:
        regions: Region map uint8 (rows, cols): 0 air, 1 breast, 2+k lesion k.
        pathologies: Code in the map -> pathology of that lesion.
        size: Of a window, px.
        stride: Between neighbouring windows, px.
        rule: When a window counts for what.
        unlocated: Whether the image has a lesion that is not in the map.

    Returns:
        COLUMNS: top left corner (row, col) and size in px; share of the window on the breast;
        share of the lesion that decides the label in the window (else the largest share of any),
        and that lesion's code (0: none); label, "" where `excluded` says why there is none.
    """
    tops = window_starts(regions.shape[0], size, stride)
    lefts = window_starts(regions.shape[1], size, stride)
    breast = window_sums(regions > 0, tops, lefts, size) / size**2
    lesions = _deciding_lesions(regions, pathologies, tops, lefts, size, rule)
    excluded = np.full(breast.shape, "", dtype=object)
    unlabelled = lesions.rank < 0
    excluded[unlabelled & unlocated] = "unlocated lesion"
    excluded[unlabelled & lesions.touched] = "partial lesion"
    excluded[unlabelled & ~lesions.touched & (breast < rule.min_breast_share)] = "off breast"
    label = np.array(LABELS, dtype=object)[np.maximum(lesions.rank, 0)]
    label[excluded != ""] = ""
    values = (
        np.repeat(tops, lefts.size),
        np.tile(lefts, tops.size),
        np.full(breast.size, size),
        breast.ravel(),
        lesions.share.ravel(),
        lesions.code.ravel(),
        label.ravel(),
        excluded.ravel(),
    )
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


@dataclass
class _DecidingLesions:
    """Of each window, (tops, lefts): the lesion that decides its label.

    Attributes:
        rank: Of its pathology in LABELS; -1 where no lesion counts.
        share: Of the lesion in the window; where none counts, the largest share of any.
        code: Of that lesion in the region map, 0 without one.
        touched: Whether the window holds a pixel of any lesion.
    """

    rank: IntArray
    share: npt.NDArray[np.float64]
    code: IntArray
    touched: npt.NDArray[np.bool_]


def _deciding_lesions(
    regions: npt.NDArray[np.uint8],
    pathologies: Mapping[int, str],
    tops: IntArray,
    lefts: IntArray,
    size: int,
    rule: LabelRule,
) -> _DecidingLesions:
    shape = (tops.size, lefts.size)
    best = _DecidingLesions(
        np.full(shape, -1), np.zeros(shape), np.zeros(shape, dtype=np.int64), np.zeros(shape, bool)
    )
    for code, (mask, corner) in _lesion_masks(regions, pathologies).items():
        area = int(np.count_nonzero(mask))
        if area == 0:
            continue
        pixels = window_sums(mask, tops, lefts, size, corner)
        share = pixels / area
        counts = (pixels > 0) & (
            (share >= rule.min_lesion_share) | (pixels >= rule.min_window_share * size**2)
        )
        rank = np.where(counts, LABELS.index(pathologies[code]), -1)
        # A lesion that counts beats one that does not, a worse one a better one, and of equals the
        # one with the larger share.
        better = (rank > best.rank) | ((rank == best.rank) & (share > best.share))
        best.rank = np.where(better, rank, best.rank)
        best.share = np.where(better, share, best.share)
        best.code = np.where(better & (pixels > 0), code, best.code)
        best.touched |= pixels > 0
    return best


def _lesion_masks(
    regions: npt.NDArray[np.uint8], codes: Iterable[int]
) -> dict[int, tuple[npt.NDArray[np.bool_], tuple[int, int]]]:
    """Code -> mask of that lesion in the part of the image that holds any lesion, and its corner.

    Lesions are small, so most of the image is looked at once for all of them.
    """
    rows = np.flatnonzero(regions.max(axis=1, initial=0) > 1)
    if not rows.size:
        return {}
    band = regions[rows[0] : rows[-1] + 1]
    cols = np.flatnonzero(band.max(axis=0) > 1)
    part, corner = band[:, cols[0] : cols[-1] + 1], (int(rows[0]), int(cols[0]))
    return {code: (part == code, corner) for code in codes}


def window_sums(
    mask: npt.NDArray[np.bool_],
    tops: IntArray,
    lefts: IntArray,
    size: int,
    corner: tuple[int, int] = (0, 0),
) -> npt.NDArray[np.float64]:
    """Number of true pixels in each window, (tops, lefts).

    The mask is first summed over the blocks that the window edges cut it into, so that the rest
    works on a few thousand numbers instead of millions of pixels.

    Args:
        mask: Bool (rows, cols); outside of it all is false.
        tops: First rows of the windows.
        lefts: First columns of the windows.
        size: Of a window, px.
        corner: Row and column of the mask's first pixel.
    """
    if not tops.size or not lefts.size:
        return np.zeros((tops.size, lefts.size))
    row_sides = (tops - corner[0], tops - corner[0] + size)
    col_sides = (lefts - corner[1], lefts - corner[1] + size)
    row_edges = _edges(row_sides, mask.shape[0])
    col_edges = _edges(col_sides, mask.shape[1])
    bands = np.stack(
        [_column_counts(mask[first:last]) for first, last in pairwise(row_edges.tolist())]
    )
    blocks = np.add.reduceat(bands, col_edges[:-1], axis=1, dtype=np.int64)
    total = np.zeros((row_edges.size, col_edges.size))
    total[1:, 1:] = blocks.cumsum(axis=0).cumsum(axis=1)
    top, bottom = (_indices(side, row_edges) for side in row_sides)
    left, right = (_indices(side, col_edges) for side in col_sides)
    sums: npt.NDArray[np.float64] = (
        total[np.ix_(bottom, right)]
        - total[np.ix_(top, right)]
        - total[np.ix_(bottom, left)]
        + total[np.ix_(top, left)]
    )
    return sums


def _edges(sides: tuple[IntArray, IntArray], length: int) -> IntArray:
    """Where window sides cut [0, length), with both ends, in increasing order."""
    cuts = np.concatenate([*sides, [0, length]])
    return np.unique(np.clip(cuts, 0, length))


def _indices(side: IntArray, edges: IntArray) -> IntArray:
    """The index of each side among the edges; one outside of the mask counts as its end."""
    return np.searchsorted(edges, np.clip(side, 0, edges[-1]))


def _column_counts(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """True pixels of each column, (cols,).

    255 rows at a time fit into bytes, and bytes are added many at once.
    """
    counts = np.zeros(mask.shape[1], dtype=np.uint32)
    for first in range(0, mask.shape[0], 255):
        counts += mask[first : first + 255].view(np.uint8).sum(axis=0, dtype=np.uint8)
    return counts


def window_table(
    prepared: Prepared,
    catalogue: Catalogue,
    *,
    size: int,
    stride: int,
    rule: LabelRule,
    size_mm: float | None = None,
) -> pd.DataFrame:
    """The labelled windows of all prepared images.

    Args:
        prepared: Images and region maps.
        catalogue: Their labels, patients and splits.
        size: Of a window, px of the prepared images.
        stride: Between neighbouring windows, px.
        rule: When a window counts for what.
        size_mm: Size of the windows in mm instead; the stride keeps its ratio to the size.

    Returns:
        COLUMNS and dataset, image_id, patient_id, split; an image smaller than a window gives none.

    Raises:
        DataError: size_mm is given, and an image has no pixel size; or no image holds a window.
    """
    images = prepared.images.merge(
        catalogue.images[["image_id", "dataset", "patient_id", "split"]],
        on="image_id",
        validate="1:1",
    )
    _check_pixel_sizes(images, size_mm)
    codes_of, parts = _pathologies(prepared, catalogue), []
    for image in tqdm(images.itertuples(), total=len(images), desc=f"windows at stride {stride}"):
        codes = codes_of.get(image.image_id, {})
        image_size, image_stride = window_px(size, stride, size_mm, image.pixel_spacing_mm)
        windows = label_windows(
            prepared.regions(image.image_id),
            {code: name for code, name in codes.items() if code > 0},
            size=image_size,
            stride=image_stride,
            rule=rule,
            unlocated=0 in codes,
        )
        for column, name in enumerate(("dataset", "image_id", "patient_id", "split")):
            windows.insert(column, name, getattr(image, name))
        parts.append(windows)
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise _no_window(images, f"{size_mm:g} mm" if size_mm is not None else f"{size} px")
    return table


def _no_window(images: pd.DataFrame, length: str) -> DataError:
    return DataError(
        f"none of {len(images)} images holds a window of {length}; the largest has "
        f"{images['rows'].max()} rows and {images['cols'].max()} columns.",
        "prepared images",
        "Use a smaller patch_size or patch_size_mm.",
    )


def _check_pixel_sizes(images: pd.DataFrame, size_mm: float | None) -> None:
    unknown = images.loc[images["pixel_spacing_mm"].isna(), "image_id"]
    if size_mm is not None and len(unknown):
        raise DataError(
            f"{len(unknown)} images have no pixel size, such as {unknown.iloc[0]}.",
            "prepared images",
            "Give pixel_size_mm to notebook 01, or the window size in px.",
        )


def _pathologies(prepared: Prepared, catalogue: Catalogue) -> dict[str, dict[int, str]]:
    """Image -> code in its region map (0: not in it) -> pathology, for images with lesions."""
    located = prepared.lesions.merge(
        catalogue.lesions[["lesion_id", "pathology"]], on="lesion_id", validate="1:1"
    )
    pathologies: dict[str, dict[int, str]] = {}
    for row in located.itertuples():
        pathologies.setdefault(str(row.image_id), {})[int(row.code)] = str(row.pathology)
    return pathologies


def labelled(windows: pd.DataFrame) -> pd.DataFrame:
    """The windows that have a label; those off the breast or with part of a lesion are gone."""
    return windows[windows["excluded"] == ""]


def window_px(size: int, stride: int, size_mm: float | None, spacing_mm: float) -> tuple[int, int]:
    """Size and stride of windows in an image's own pixels of `spacing_mm` mm.

    Where the size is given in mm, the stride keeps its ratio to the size.
    """
    if size_mm is None:
        return size, stride
    size_px = mm_to_px(size_mm, spacing_mm)
    return size_px, max(1, round(stride * size_px / size))


def class_balance(windows: pd.DataFrame) -> pd.DataFrame:
    """Windows by label, or by the reason for having none: class, windows, images, patients."""
    name = windows["label"].where(windows["excluded"] == "", windows["excluded"])
    counts = (
        windows.assign(patient=patient_keys(windows))
        .groupby(name)
        .agg(
            windows=("image_id", "size"),
            images=("image_id", "nunique"),
            patients=("patient", "nunique"),
        )
    )
    order: Sequence[str] = (*LABELS, *EXCLUDED)
    return counts.reindex(order, fill_value=0).rename_axis("class").reset_index()
