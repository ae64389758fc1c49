"""What a mammogram looks like however it was passed on: turned, mirrored, shifted, changed in grey.

A fingerprint is a small picture of the brightest part of the film by rank, which no monotone change
of grey levels alters. The magnitude of its spectrum does not feel shifts; read in polar
coordinates, a turn moves it along the angle and a mirror reverses it, so that the magnitude of a
second Fourier transform along the angle feels neither (Fourier-Mellin; Reddy & Chatterji 1996, IEEE
Trans. Image Process. 5:1266). By this descriptor likely copies are found among many pictures; the
correlation of the fine texture, after turning and shifting one upon the other, decides.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import binary_erosion, gaussian_filter, label, map_coordinates, rotate
from scipy.stats import rankdata
from skimage.transform import resize

from second_look.decoding.pixels import Pixels

Plane = npt.NDArray[np.float32]
Fingerprint = npt.NDArray[np.uint8]

SIDE = 128
# Share of the film, its brightest pixels, that is compared: on nearly all films these are breast.
_BRIGHTEST = 0.3
# A component smaller than this share of the largest is a label, which many films have in common.
_LARGE = 0.15
# Standard deviations, px, of the Gaussians whose difference is compared: shape, and texture.
_SHAPE_PX, _TEXTURE_PX = (1.5, 8.0), (1.0, 2.0)
# Least standard deviation of the texture in ranks, 0 to 1: below it, it is noise.
_FLAT = 0.005
_ANGLES = 128  # of half a turn
# Cycles a picture: coarser ones are the place of the breast, finer ones suffer from turns.
_RADII = np.arange(2, 16, 0.5)[:, None]
_TURNS = np.arange(_ANGLES) * np.pi / _ANGLES
_POLAR = [SIDE / 2 + _RADII * np.sin(_TURNS), SIDE / 2 + _RADII * np.cos(_TURNS)]
# What the difference of two Gaussians lets through.
_PASSED = np.subtract(*(np.exp(-2 * (np.pi * width * _RADII / SIDE) ** 2) for width in _SHAPE_PX))
_HARMONICS = 24
# Least correlation of the spectra of two shapes: copies of real films shifted by 1 % or turned by
# 2 degrees stay above 0.85, and most likely pairs of different films are below.
_SHAPES_ALIKE = 0.8
# Half a step of the angle, beside the best one; worth trying only above some correlation.
_NUDGE, _WORTH_NUDGING = 90 / _ANGLES, 0.25


def fingerprint(mammogram: Pixels) -> Fingerprint:
    """Ranks of the brightest part of a whole mammogram, uint8 (SIDE, SIDE); 0 for all else."""
    small = _reduced(mammogram)
    ranks = rankdata(small, method="average").reshape(small.shape) / small.size
    bright = np.maximum(0, (ranks - 1 + _BRIGHTEST) / _BRIGHTEST)
    parts, _ = label(bright > 0)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    large = (sizes > _LARGE * sizes.max())[parts]
    return np.where(large, np.rint(255 * bright), 0).astype(np.uint8)


def _reduced(mammogram: Pixels) -> Plane:
    """The film in the middle of a square of SIDE px, its longer side filling it."""
    step = max(1, max(mammogram.shape) // (4 * SIDE))
    coarse = mammogram[::step, ::step].astype(np.float32)
    factor = SIDE / max(coarse.shape)
    shape = tuple(max(2, round(length * factor)) for length in coarse.shape)
    small = resize(coarse, shape, order=1, anti_aliasing=True)
    square = np.full((SIDE, SIDE), small.min(), dtype=np.float32)
    top, left = (SIDE - shape[0]) // 2, (SIDE - shape[1]) // 2
    square[top : top + shape[0], left : left + shape[1]] = small
    return square


def to_text(picture: Fingerprint) -> str:
    """A fingerprint as JSON can hold it."""
    return base64.b64encode(zlib.compress(picture.tobytes())).decode()


def from_text(text: str) -> Fingerprint:
    """What `to_text` was given."""
    pixels = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return pixels.reshape(SIDE, SIDE)


def polar_spectrum(picture: Fingerprint) -> Plane:
    """Magnitude of the spectrum of the shape over half a turn, (radii, angles)."""
    magnitude = np.abs(scipy.fft.fftshift(scipy.fft.fft2(picture.astype(np.float32))))
    at_radii = map_coordinates(magnitude, _POLAR, order=1) * _PASSED
    spectrum = np.sqrt(at_radii).astype(np.float32)
    level: Plane = spectrum - spectrum.mean(axis=1, keepdims=True)
    return level


def _smooth(picture: Plane, width: float) -> Plane:
    """Smoothed with black around it: the side of the picture is an edge wherever it lies."""
    smooth: Plane = gaussian_filter(picture, width, mode="constant")
    return smooth


def descriptor(spectrum: Plane) -> Plane:
    """What no turn, mirror or shift changes: (radii, angles) -> (radii x harmonics,), length 1."""
    harmonics = np.abs(scipy.fft.rfft(spectrum, axis=1))[:, 1 : 1 + _HARMONICS].ravel()
    unit: Plane = harmonics / max(float(np.linalg.norm(harmonics)), 1e-9)
    return unit


def texture(picture: Fingerprint) -> Plane:
    """Fine structure inside the brightest part, of even strength; its edge is no structure."""
    bright = picture.astype(np.float32) / np.float32(255)
    area = (picture > 0).astype(np.float32)
    fine, coarse = (
        _smooth(bright, width) / np.maximum(_smooth(area, width), 1e-3) for width in _TEXTURE_PX
    )
    weight = binary_erosion(picture > 0, iterations=2).astype(np.float32)
    width = 2 * _TEXTURE_PX[1]
    power = _smooth(weight * (fine - coarse) ** 2, width)
    spread = np.sqrt(power / np.maximum(_smooth(weight, width), 1e-3))
    level: Plane = weight * (fine - coarse) / (spread + _FLAT)
    return level / np.float32(np.linalg.norm(level) + 1e-9)


@dataclass(frozen=True)
class Signature:
    """What two fingerprints are compared by, each part worked out when it is asked for.

    Attributes:
        picture: The fingerprint.
    """

    picture: Fingerprint

    @cached_property
    def angles(self) -> npt.NDArray[np.complex64]:
        """Transform of the polar spectrum, of length 1, along the angles; (radii, frequencies)."""
        spectrum = polar_spectrum(self.picture)
        length = np.float32(np.linalg.norm(spectrum) + 1e-9)
        transform: npt.NDArray[np.complex64] = scipy.fft.rfft(spectrum / length, axis=1)
        return transform

    @cached_property
    def texture(self) -> Plane:
        """(SIDE, SIDE), of length 1."""
        return texture(self.picture)


def likeness(first: Signature, second: Signature) -> float:
    """Correlation of the textures with the second mirrored, turned and shifted upon the first.

    Where the spectra of the shapes are unlike in every turn it is 0: no closer look.
    """
    turns = []
    for mirrored in (False, True):
        # Reversing the angles conjugates the transform along them.
        angles = second.angles if mirrored else np.conj(second.angles)
        by_angle = scipy.fft.irfft((first.angles * angles).sum(axis=0), n=_ANGLES)
        turns.append((mirrored, 180 / _ANGLES * int(np.argmax(by_angle)), float(by_angle.max())))
    if max(peak for _, _, peak in turns) < _SHAPES_ALIKE:
        return 0.0
    transform = np.conj(scipy.fft.rfft2(first.texture))
    best, best_mirrored, best_degrees = -1.0, False, 0.0
    for mirrored, degrees, _ in turns:
        value = _best_shift(transform, second.texture, mirrored=mirrored, degrees=degrees)
        if value > best:
            best, best_mirrored, best_degrees = value, mirrored, degrees
    for nudge in (-_NUDGE, _NUDGE) if best > _WORTH_NUDGING else ():
        degrees = best_degrees + nudge
        value = _best_shift(transform, second.texture, mirrored=best_mirrored, degrees=degrees)
        best = max(best, value)
    return best


def _best_shift(
    transform: npt.NDArray[np.complex64], picture: Plane, *, mirrored: bool, degrees: float
) -> float:
    """Largest correlation over all shifts, upright and upside down."""
    turned = rotate(picture[:, ::-1] if mirrored else picture, -degrees, reshape=False, order=1)
    norm = float(np.linalg.norm(turned)) + 1e-9
    return max(
        float(scipy.fft.irfft2(transform * scipy.fft.rfft2(upright), s=picture.shape).max()) / norm
        for upright in (turned, turned[::-1, ::-1])
    )
