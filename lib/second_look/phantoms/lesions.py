"""Shapes of a phantom's lesions: what each adds to the tissue, and which pixels it covers.

Every shape takes a generator, the distances of the pixels from its centre (mm), (rows, 1) and
(1, cols), and its radius in mm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]  # (rows, cols)
Mask = npt.NDArray[np.bool_]


def _lobes(
    rng: np.random.Generator, row_mm: Plane, col_mm: Plane, strength: float
) -> npt.NDArray[np.float64]:
    """A factor on the radius that makes an outline uneven, (rows, cols) around 1."""
    angle = np.arctan2(row_mm, col_mm)
    factor = np.ones_like(angle)
    for order in range(2, 7):
        factor += strength / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 6.3))
    result: npt.NDArray[np.float64] = np.clip(factor, 0.7, 1.35)
    return result


def _round_mass(
    rng: np.random.Generator, row_mm: Plane, col_mm: Plane, radius: float
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Benign: round, well defined, with a thin dark halo."""
    distance = np.hypot(row_mm, col_mm) / (radius * _lobes(rng, row_mm, col_mm, 0.08))
    disc = 1 / (1 + np.exp(np.clip((distance - 1) * 22, -50, 50)))
    halo = np.exp(-(((distance - 1.12) / 0.06) ** 2))
    return 1.25 * disc - 0.5 * halo, distance < 1


def _ring_mass(
    rng: np.random.Generator, row_mm: Plane, col_mm: Plane, radius: float
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Benign without callback: an oil cyst, a thin bright rim around a darker middle."""
    distance = np.hypot(row_mm, col_mm) / (radius * _lobes(rng, row_mm, col_mm, 0.04))
    rim = np.exp(-(((distance - 0.93) / 0.06) ** 2))
    return 1.5 * rim - 0.7 * (distance < 0.9), distance < 1


def _spiculated_mass(
    rng: np.random.Generator, row_mm: Plane, col_mm: Plane, radius: float
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Malignant: a dense, uneven core without a sharp edge, with fine lines running out of it."""
    distance = np.hypot(row_mm, col_mm) / (radius * _lobes(rng, row_mm, col_mm, 0.25))
    # Denser than a benign mass: between its spicules a core of equal density is not seen.
    shape = 2.0 / (1 + np.exp(np.clip((distance - 0.8) * 11, -50, 50)))
    for angle in rng.uniform(0, 2 * np.pi, size=int(rng.integers(14, 22))):
        along = row_mm * np.sin(angle) + col_mm * np.cos(angle)
        aside = col_mm * np.sin(angle) - row_mm * np.cos(angle)
        length = radius * rng.uniform(1.4, 2.0)
        fade = np.clip(1 - along / length, 0, 1) * (along > 0.7 * radius)
        shape += 1.1 * fade * np.exp(-((aside / 0.45) ** 2))
    return shape, distance < 1


def _cluster(
    rng: np.random.Generator,
    row_mm: Plane,
    col_mm: Plane,
    radius: float,
    *,
    count: tuple[int, int],
    size_mm: tuple[float, float],
    stretch: float,
    brightness: float,
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Bright specks inside an uneven outline, no closer to its edge than their size."""
    outline = radius * _lobes(rng, row_mm, col_mm, 0.12)
    shape = np.zeros(np.broadcast_shapes(row_mm.shape, col_mm.shape))
    for _ in range(int(rng.integers(*count))):
        angle, distance = rng.uniform(0, 2 * np.pi), 0.75 * radius * np.sqrt(rng.random())
        turn, size = rng.uniform(0, np.pi), rng.uniform(*size_mm)
        row, col = row_mm - distance * np.sin(angle), col_mm - distance * np.cos(angle)
        along = (row * np.sin(turn) + col * np.cos(turn)) / (size * stretch)
        aside = (col * np.sin(turn) - row * np.cos(turn)) / size
        speck = np.exp(-((along**2 + aside**2) ** 2))
        shape = np.maximum(shape, brightness * rng.uniform(0.7, 1.2) * speck)
    return shape, np.hypot(row_mm, col_mm) < outline


def _coarse_cluster(
    rng: np.random.Generator, row_mm: Plane, col_mm: Plane, radius: float
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Benign without callback: a few large round calcifications."""
    return _cluster(
        rng, row_mm, col_mm, radius, count=(3, 6), size_mm=(0.9, 1.5), stretch=1.0, brightness=2.4
    )


def _round_cluster(
    rng: np.random.Generator, row_mm: Plane, col_mm: Plane, radius: float
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Benign: scattered round calcifications of one size."""
    return _cluster(
        rng, row_mm, col_mm, radius, count=(8, 14), size_mm=(0.5, 0.65), stretch=1.0, brightness=2.6
    )


def _fine_cluster(
    rng: np.random.Generator, row_mm: Plane, col_mm: Plane, radius: float
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Malignant: many fine, stretched calcifications of all sizes."""
    return _cluster(
        rng, row_mm, col_mm, radius, count=(22, 40), size_mm=(0.2, 0.4), stretch=2.2, brightness=2.8
    )


MASSES = {
    "benign_without_callback": _ring_mass,
    "benign": _round_mass,
    "malignant": _spiculated_mass,
}
CLUSTERS = {
    "benign_without_callback": _coarse_cluster,
    "benign": _round_cluster,
    "malignant": _fine_cluster,
}
