"""Where the breast is in a mammogram, whatever else is in it: labels, tape, scratches, frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes, gaussian_filter
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import disk, opening
from skimage.transform import resize

from second_look.decoding.pixels import Pixels
from second_look.errors import DataError

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


def find_breast(pixels: Pixels) -> Mask:
    """Find the breast in a mammogram.

    Otsu's threshold on the square root of the grey levels (which spreads the dim skin zone) splits
    tissue from air; opening cuts off what is joined by less than a few mm, such as labels and
    tape; of the components that are large enough, the one with the most light is the breast.

    Args:
        pixels: Grey levels, (rows, cols), any bit depth.

    Returns:
        Mask (rows, cols), one component without holes.

    Raises:
        DataError: Nothing in the image looks like a breast.
    """
    small = _reduced(pixels)
    bright = np.sqrt(small)
    threshold = _threshold(bright)
    tissue = bright > threshold
    interior = _inside_frame(tissue)
    tissue &= interior
    radius = max(2, round(0.012 * max(small.shape)))
    opened = opening(tissue, disk(radius))
    breast = _largest(opened, bright)
    if breast is None:
        raise DataError("no breast found in the image.", remedy="Look at the picture; is it empty?")
    breast = binary_fill_holes(_up_to_the_edge(breast, interior))
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
    """The image with its longest side at the working size, grey levels 0 to 1."""
    step = max(1, max(pixels.shape) // (2 * _WORKING_SIZE))
    # Plain subsampling down to twice the working size: the rest is averaged.
    coarse = pixels[::step, ::step].astype(np.float32)
    factor = _WORKING_SIZE / max(coarse.shape)
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
    components = label(mask)
    best, max_light = None, 0.0
    for region in regionprops(components, intensity_image=bright):
        if region.area < _MIN_SHARE * mask.size:
            continue
        light = region.area * float(region.intensity_mean)
        if light > max_light:
            best, max_light = region.label, light
    return None if best is None else np.asarray(components == best)
