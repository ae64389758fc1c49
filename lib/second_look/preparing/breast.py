"""Where the breast is in a mammogram, whatever else is in it: labels, tape, scratches, frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.ndimage import (
    binary_closing,
    binary_dilation,
    binary_erosion,
    binary_fill_holes,
    gaussian_filter,
)
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.morphology import disk
from skimage.transform import resize

from second_look.decoding.acquisition import Polygon
from second_look.decoding.pixels import Pixels
from second_look.errors import DataError
from second_look.geometry import Box

Mask = npt.NDArray[np.bool_]

# Everything is decided on a reduced copy: an outline needs no finer pixels, and labels and
# scratches are thin in it.
_WORKING_SIZE = 384
# Anything smaller than this share of the image is not taken for a breast.
_MIN_SHARE = 0.02
# Of Otsu's threshold: it lies inside the dim skin zone. On mini-MIAS everything from 0.6 to 0.8
# leaves just the two lesion centres outside that are known to be wrong.
_SKIN_SHARE = 0.7
# Grey level (square root, 0 to 1) up to which a pixel is padding of the scan.
_PADDING = 0.02
# Of a digital mammogram: grey level (0 to 1) that its air does not exceed, and the least share of
# the air that keeps to that. What is brighter than _BRIGHT there is a marker or a label.
_AIR, _EVEN_SHARE, _BRIGHT = 0.01, 0.98, 0.1
# On black air the skin is sharp, while film fades: the outermost pixels are this bright, and where
# no less is asked for, the edge moves by at most so many px.
_SKIN, _SHARP_PX = 0.03, 4.0
# What is joined to the breast by less than twice this, px, is cut off: the rim of the paddle.
_THIN_PX = 2
# Longest notch at the side of the picture that is breast, as a share of that side: dark fat.
_NOTCH_SHARE = 0.1
# Share of its bounding box that only a rectangle fills: a film on the padding of its scan.
_RECTANGLE = 0.95


def exposed(pixels: Pixels, field: Box | None, polygons: Sequence[Polygon] = ()) -> Pixels:
    """The picture with everything outside of a field as dark as the darkest pixel in it.

    Args:
        pixels: Grey levels, (rows, cols).
        field: In px of these; None is the whole picture.
        polygons: (row, col) of the corners of further fields, likewise; what is outside of one of
            them is outside. One that leaves nothing free is a mistake and is passed over.
    """
    if field is not None:
        part = tuple(
            slice(round(start), round(stop))
            for start, stop in ((field.row_min, field.row_max), (field.col_min, field.col_max))
        )
        dark = np.full_like(pixels, pixels[part].min())
        dark[part] = pixels[part]
        pixels = dark
    for polygon in polygons:
        drawing = Image.new("1", pixels.shape[::-1])
        ImageDraw.Draw(drawing).polygon([(col, row) for row, col in polygon], fill=1, outline=1)
        free = np.asarray(drawing)
        if free.any():
            pixels = np.where(free, pixels, pixels[free].min())
    return pixels


def find_breast(pixels: Pixels) -> Mask:
    """Find the breast in a mammogram.

    Where the air is black and even, as on digital mammograms, the breast is all that is brighter
    and hangs together: its dim fat is darker than bare film. On film, Otsu's threshold on the
    square root of the grey levels (which spreads the dim skin zone) splits tissue from air;
    opening cuts off what is joined by less than a few mm, such as labels and tape; of the
    components that are large enough, the one with the most light is the breast.

    The air of the picture itself chooses the rule, and not what a header says of film or detector:
    digital mammograms with grey air, as a window leaves it, need that of film, and films whose
    surroundings were made black the other one.

    Args:
        pixels: Grey levels, (rows, cols), any bit depth.

    Returns:
        Mask (rows, cols), one component without holes.

    Raises:
        DataError: Nothing in the image looks like a breast.
    """
    small = _reduced(pixels)
    bright = np.sqrt(small)
    breast = _on_black_air(small, bright)
    if breast is None:
        radius = max(2, round(0.012 * max(small.shape)))
        breast = _component(bright, _threshold(bright), radius)
    if breast is None:
        raise DataError("no breast found in the image.", remedy="Look at the picture; is it empty?")
    smooth = gaussian_filter(breast.astype(np.float32), 1.0, mode="nearest")
    return np.asarray(resize(smooth, pixels.shape, order=1) > 0.5)


def breast_side(breast: Mask) -> str:
    """On which side of the picture the chest wall is: "left" or "right".

    The breast hangs from the chest wall, so more of its pixels lie there. Only the upper half
    counts: the fold below the breast can take the chest wall away, but not the pectoral muscle.
    """
    rows = np.flatnonzero(breast.any(axis=1))
    upper = breast[: (rows[0] + rows[-1] + 1) // 2 + 1]
    cols = np.flatnonzero(breast.any(axis=0))
    middle = np.average(np.arange(breast.shape[1]), weights=upper.sum(axis=0))
    return "left" if middle < (cols[0] + cols[-1]) / 2 else "right"


def _reduced(pixels: Pixels) -> npt.NDArray[np.float32]:
    """The image with its longest side at the working size at most, grey levels 0 to 1."""
    step = max(1, max(pixels.shape) // (2 * _WORKING_SIZE))
    # Plain subsampling down to twice the working size: the rest is averaged.
    coarse = pixels[::step, ::step].astype(np.float32)
    factor = min(1.0, _WORKING_SIZE / max(coarse.shape))  # enlarged edges are no longer sharp
    shape = tuple(max(8, round(length * factor)) for length in coarse.shape)
    small = resize(coarse, shape, order=1, anti_aliasing=True)
    low, high = np.quantile(small, [0.005, 0.995])
    scaled: npt.NDArray[np.float32] = np.clip((small - low) / max(high - low, 1e-6), 0, 1)
    return scaled


def _threshold(bright: npt.NDArray[np.float32]) -> float:
    """Between air and skin: a share of Otsu's threshold, but above the grey of the bare film.

    Bare film is not black on every scan, and some scans are padded with true black besides, which
    must not be taken for it. Its level is the most frequent one below Otsu's threshold.
    """
    otsu = _otsu(bright)
    air = bright[(bright > _PADDING) & (bright < otsu)]
    if air.size < _MIN_SHARE * bright.size:
        return _SKIN_SHARE * otsu
    counts, edges = np.histogram(air, bins=48)
    level = float(edges[int(np.argmax(counts))] + edges[int(np.argmax(counts)) + 1]) / 2
    darker = air[air <= level]
    noise = 1.4826 * float(np.median(level - darker)) if darker.size else 0.0
    return min(max(_SKIN_SHARE * otsu, level + 5 * noise), otsu)


def _otsu(bright: npt.NDArray[np.float32]) -> float:
    """Otsu's threshold, without the padding where bare film is a class of its own.

    Much black padding pulls the threshold down between padding and film. Bare film gives itself
    away as a narrow peak far below the breast; the dim half of a breast on black air is broad.
    """
    everything = float(threshold_otsu(bright))
    inner = bright[bright > _PADDING]
    if inner.size in (0, bright.size):
        return everything
    split = float(threshold_otsu(inner))
    low, high = inner[inner < split], inner[inner >= split]
    if low.size < 0.1 * inner.size or high.size == 0:
        return everything
    centre = float(np.median(low))
    spread = 1.4826 * float(np.median(np.abs(low - centre)))
    narrow = spread < 0.1 * (float(np.median(high)) - centre)
    return split if narrow else everything


def _component(bright: npt.NDArray[np.float32], threshold: float, radius: int) -> Mask | None:
    """The part above a threshold that is the breast, without holes; None if there is none.

    What is joined to it by less than twice the radius, px, is cut off.
    """
    tissue = bright > threshold
    interior = _inside_frame(tissue)
    shape = disk(radius)
    # Opening; beyond the side of the picture the breast may go on.
    core = binary_erosion(tissue & interior, shape, border_value=1)
    breast = _largest(binary_dilation(core, shape), bright)
    return None if breast is None else binary_fill_holes(_up_to_the_edge(breast, interior))


def _on_black_air(small: npt.NDArray[np.float32], bright: npt.NDArray[np.float32]) -> Mask | None:
    """All that hangs together on black air; None where the air is not, as on film."""
    if np.mean(small <= _AIR) < _MIN_SHARE:
        return None
    breast = _without_notches(_component(bright, np.sqrt(_AIR), _THIN_PX))
    if breast is None or _is_film(small, breast):
        return None
    outermost = breast & ~binary_erosion(breast, border_value=1)
    if np.median(small[outermost]) < _SKIN:
        return None
    firm = _without_notches(_component(bright, np.sqrt(_SKIN), _THIN_PX))
    lost_px = np.count_nonzero(breast) - (0 if firm is None else np.count_nonzero(firm))
    return breast if lost_px <= _SHARP_PX * np.count_nonzero(outermost) else None


def _without_notches(breast: Mask | None) -> Mask | None:
    """The mask without the notches that dark fat leaves at the sides of the picture."""
    if breast is None:
        return None
    padded = np.pad(breast, 1)
    for turns in range(4):
        outer, side = np.rot90(padded, turns)[0], np.rot90(breast, turns)[0]
        if side.any():
            outer[1:-1] = side | binary_closing(side, np.ones(round(_NOTCH_SHARE * side.size) | 1))
    return np.asarray(binary_fill_holes(padded)[1:-1, 1:-1])


def _is_film(small: npt.NDArray[np.float32], breast: Mask) -> bool:
    """Whether the air is uneven, or what is not black is a rectangle: a film on padding."""
    air = small[~binary_dilation(breast, iterations=3)]
    air = air[air <= _BRIGHT]
    if air.size < _MIN_SHARE * small.size or np.mean(air <= _AIR) < _EVEN_SHARE:
        return True
    rows, cols = (np.flatnonzero(breast.any(axis=axis)) for axis in (1, 0))
    box_px = (rows[-1] + 1 - rows[0]) * (cols[-1] + 1 - cols[0])
    return bool(np.count_nonzero(breast) > _RECTANGLE * box_px)


def _inside_frame(tissue: Mask) -> Mask:
    """What is inside of bright scan edges: rows and columns at the border bright throughout."""
    interior = np.ones_like(tissue)
    max_width = max(2, round(0.03 * max(tissue.shape)))
    for turns in range(4):
        # Each side in turn becomes the first rows.
        lines, side = np.rot90(tissue, turns), np.rot90(interior, turns)
        run = int(np.argmin(lines[: max_width + 1].mean(axis=1) > 0.95))
        side[:run] = False
    return interior


def _up_to_the_edge(breast: Mask, interior: Mask) -> Mask:
    """Let a breast that ends at a bright scan edge go on through it: the chest wall lies there."""
    extended = breast.copy()
    for turns in range(4):
        turned, side = np.rot90(extended, turns), np.rot90(interior, turns)
        run = int(np.argmax(side.any(axis=1)))
        turned[:run] = turned[run]
    return extended


def _largest(mask: Mask, bright: npt.NDArray[np.float32]) -> Mask | None:
    """The component with the most light that is large enough to be a breast."""
    components, count = label(mask, return_num=True)
    large = np.bincount(components.ravel(), minlength=count + 1) >= _MIN_SHARE * mask.size
    large[0] = False
    if not large.any():
        return None
    light = np.bincount(components.ravel(), weights=bright.ravel(), minlength=count + 1)
    return np.asarray(components == np.argmax(np.where(large, light, -1.0)))
