"""Phantoms as digital systems show them: the breast on air that is exactly black.

The drawing is that of the films (`phantom`), with the tone curve of a processed digital image: dim
skin and fat, bright dense tissue, and no film around it. What digital images bring along is added:
an implant, the edges of the compression paddle, a marker; and the views that show no whole breast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from second_look.phantoms.lesions import Mask, Plane
from second_look.phantoms.phantom import (
    HEIGHT_MM,
    PhantomImage,
    PhantomSettings,
    PlannedBreast,
    draw_image,
)

# Whole breasts in a standard view.
WHOLE = ("plain", "implant", "paddle", "marker")
# Views that show no whole breast.
SPECIAL = ("magnification", "spot", "specimen")
# Grey levels of skin and fat, and how steeply dense tissue rises above them.
_DIM, _GAMMA = 0.06, 2.2
# Share of the grey levels of a film phantom that the darkest fat and the densest tissue have.
_FAT, _DENSE = 0.08, 0.65
_MAGNIFICATION = 1.8


@dataclass(frozen=True)
class _Canvas:
    """Grey levels 0 to 1 and the breast, both (rows, cols), chest wall at the left."""

    levels: Plane
    breast: Mask
    spacing_mm: float


def draw_digital(
    settings: PhantomSettings, breast: PlannedBreast, view: str, form: str = "plain"
) -> PhantomImage:
    """Draw one view of a breast as a digital system would show it.

    Args:
        settings: Of the set.
        breast: From `plan_patient`.
        view: CC or MLO.
        form: One of WHOLE or SPECIAL. Special views have no lesions: their truth is not needed,
            since nothing may use them.

    Raises:
        ValueError: There is no such form.
    """
    if form not in (*WHOLE, *SPECIAL):
        raise ValueError(f"form must be one of {(*WHOLE, *SPECIAL)}. Got {form!r}.")
    film = draw_image(settings, breast, view)
    white, mirrored = 2**settings.bits - 1, breast.laterality == "R"
    image = _mirrored(film) if mirrored else film
    rng = np.random.default_rng([settings.seed, 3, breast.patient, len(form)])
    canvas = _Canvas(_toned(image, white), image.breast, settings.spacing_mm)
    canvas = _DRAW[form](rng, canvas)
    pixels = np.rint(np.clip(canvas.levels, 0, 1) * white).astype(film.pixels.dtype)
    lesions = () if form in SPECIAL else image.lesions
    drawn = PhantomImage(pixels, canvas.breast, lesions)
    return _mirrored(drawn) if mirrored else drawn


def _mirrored(image: PhantomImage) -> PhantomImage:
    lesions = tuple(replace(lesion, mask=lesion.mask[:, ::-1]) for lesion in image.lesions)
    return PhantomImage(np.ascontiguousarray(image.pixels[:, ::-1]), image.breast[:, ::-1], lesions)


def _toned(film: PhantomImage, white: int) -> Plane:
    """Grey levels of a processed digital image; black where the film has air."""
    share = (film.pixels.astype(np.float32) / white - _FAT) / (_DENSE - _FAT)
    toned = _DIM + (1 - _DIM) * np.clip(share, 0, 1) ** _GAMMA
    levels: Plane = np.where(film.breast, toned, 0).astype(np.float32)
    return levels


def _plain(_rng: np.random.Generator, canvas: _Canvas) -> _Canvas:
    return canvas


def _implant(rng: np.random.Generator, canvas: _Canvas) -> _Canvas:
    """A saturated implant at the chest wall, behind dim tissue."""
    rows_mm, cols_mm = _positions(canvas)
    centre = HEIGHT_MM * rng.uniform(0.47, 0.53)
    implant = ((rows_mm - centre) / 45) ** 2 + (cols_mm / 55) ** 2 < 1
    edge = gaussian_filter((implant & canvas.breast).astype(np.float32), 0.8 / canvas.spacing_mm)
    levels = canvas.levels + edge * (0.97 - canvas.levels)
    return replace(canvas, levels=np.where(canvas.breast, levels, 0).astype(np.float32))


def _paddle(rng: np.random.Generator, canvas: _Canvas) -> _Canvas:
    """The rim of the compression paddle: thin bright lines through breast and air."""
    levels, width = canvas.levels.copy(), max(1, round(0.4 / canvas.spacing_mm))
    wall = round(rng.uniform(3, 6) / canvas.spacing_mm)
    levels[:, wall : wall + width] += 0.08
    for row_mm in (rng.uniform(4, 9), HEIGHT_MM - rng.uniform(4, 9)):
        row = round(row_mm / canvas.spacing_mm)
        levels[row : row + width] += 0.05
    return replace(canvas, levels=levels)


def _marker(_rng: np.random.Generator, canvas: _Canvas) -> _Canvas:
    """A bright plate with the side and view in the air."""
    levels, spacing = canvas.levels.copy(), canvas.spacing_mm
    rows = slice(round(6 / spacing), round(18 / spacing))
    cols = slice(-round(30 / spacing), -round(6 / spacing))
    levels[rows, cols] = np.where(canvas.breast[rows, cols], levels[rows, cols], 0.9)
    return replace(canvas, levels=levels)


def _magnification(rng: np.random.Generator, canvas: _Canvas) -> _Canvas:
    """The middle of the breast, so much larger that it fills most of the picture."""
    shape = canvas.breast.shape
    rows, cols = (round(length / _MAGNIFICATION) for length in shape)
    row = round(shape[0] * rng.uniform(0.45, 0.55)) - rows // 2
    part = slice(max(0, row), max(0, row) + rows), slice(0, cols)
    levels = resize(canvas.levels[part], shape, order=1).astype(np.float32)
    breast = resize(canvas.breast[part].astype(np.float32), shape, order=1) > 0.5
    return _Canvas(np.where(breast, levels, 0).astype(np.float32), breast, canvas.spacing_mm)


def _spot(_rng: np.random.Generator, canvas: _Canvas) -> _Canvas:
    """Tissue within the square field of the collimator, black around it."""
    rows_mm, cols_mm = _positions(canvas)
    field = (abs(rows_mm - HEIGHT_MM / 2) < 40) & (cols_mm > 25) & (cols_mm < 105)
    filled = np.where(canvas.breast, canvas.levels, np.median(canvas.levels[canvas.breast]))
    return _Canvas(np.where(field, filled, 0).astype(np.float32), field, canvas.spacing_mm)


def _specimen(rng: np.random.Generator, canvas: _Canvas) -> _Canvas:
    """A piece of tissue in the middle of the picture that touches no side of it."""
    rows_mm, cols_mm = _positions(canvas)
    width_mm = canvas.breast.shape[1] * canvas.spacing_mm
    angle = np.arctan2(rows_mm - HEIGHT_MM / 2, cols_mm - width_mm / 2)
    distance = np.hypot(rows_mm - HEIGHT_MM / 2, cols_mm - width_mm / 2)
    bumps = 1 + 0.15 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.1 * np.sin(5 * angle)
    piece = distance < 38 * bumps
    texture = np.roll(canvas.levels, round(width_mm / 4 / canvas.spacing_mm), axis=1)
    levels = np.where(piece, np.maximum(texture, 0.3), 0).astype(np.float32)
    return _Canvas(levels, piece, canvas.spacing_mm)


def _positions(
    canvas: _Canvas,
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]:
    """Centres of rows (rows, 1) and columns (1, cols), mm."""
    rows, cols = canvas.breast.shape
    rows_mm = (np.arange(rows)[:, None] + 0.5) * canvas.spacing_mm
    cols_mm = (np.arange(cols)[None, :] + 0.5) * canvas.spacing_mm
    return rows_mm, cols_mm


_DRAW = {
    "plain": _plain,
    "implant": _implant,
    "paddle": _paddle,
    "marker": _marker,
    "magnification": _magnification,
    "spot": _spot,
    "specimen": _specimen,
}
