"""How good generated patches are: arrays in, numbers out.

No one number tells. Distances between sets of features say whether the patches look alike on the
whole, the sliced Wasserstein distance whether their texture does at each scale, the spectrum
whether fine detail is there, similarity between pairs whether they vary, and the nearest original
patch whether they are copies. Each means something only beside its floor: the same measure between
two halves of the original patches.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import linregress
from sklearn.metrics.pairwise import euclidean_distances
from torch import Tensor, nn
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

FloatArray = npt.NDArray[np.floating]
# Weights of the scales of MS-SSIM (Wang, Simoncelli, Bovik 2003), finest first.
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_KERNEL = 11
# Of Karras et al. 2018: descriptors of 7×7 px, 128 a picture and scale, from 16 px on.
_SIDE, _DESCRIPTORS, _SMALLEST = 7, 128, 16
# Patches are looked for at this size, px.
_COMPARED = 64


class _Given(nn.Module):
    """Lets torchmetrics work on features that are there already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: FloatArray, generated: FloatArray) -> float:
    """Fréchet distance of two sets of features (Heusel et al. 2017), by torchmetrics.

    Args:
        real: Features (n, d), two rows at least.
        generated: Features (m, d).
    """
    _check_pair(real, generated, 2)
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1])).set_dtype(torch.float64)
    metric.update(_tensor(real), real=True)
    metric.update(_tensor(generated), real=False)
    return float(metric.compute())


def kernel_distance(
    real: FloatArray, generated: FloatArray, *, seed: int, subsets: int = 50, size: int = 100
) -> tuple[float, float]:
    """Kernel distance with a cubic kernel (Bińkowski et al. 2018), by torchmetrics.

    Args:
        real: Features (n, d), three rows at least.
        generated: Features (m, d), three rows at least.
        seed: Of the subsets.
        subsets: How many random subsets.
        size: Rows of a subset, never more than there are.

    Returns:
        Mean and standard deviation over the subsets; the mean is unbiased, so it may be negative.
    """
    _check_pair(real, generated, 3)
    size = min(size, len(real) - 1, len(generated) - 1)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features in memory
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(
            feature=_Given(real.shape[1]), subsets=subsets, subset_size=size
        )
        metric.update(_tensor(real), real=True)
        metric.update(_tensor(generated), real=False)
        mean, spread = metric.compute()
    return float(mean), float(spread)


def wasserstein_of_sets(
    first: FloatArray, second: FloatArray, *, seed: int, projections: int = 128
) -> float:
    """Sliced Wasserstein distance of two sets of points (n, d) of one size (Rabin et al. 2011).

    The mean, over random directions, of the mean distance of the sorted projections.

    Raises:
        ValueError: The sets differ in their shape.
    """
    if first.shape != second.shape:
        raise ValueError(f"sets of one shape are needed. Got {first.shape}, {second.shape}.")
    directions = np.random.default_rng(seed).normal(size=(first.shape[1], projections))
    directions /= np.linalg.norm(directions, axis=0)
    sides = [np.sort(side @ directions, axis=0) for side in (first, second)]
    return float(np.abs(sides[0] - sides[1]).mean())


def sliced_wasserstein(
    real: FloatArray, generated: FloatArray, *, seed: int, projections: int = 128
) -> dict[int, float]:
    """Sliced Wasserstein distance of texture at each scale (Karras et al. 2018, section 5).

    Each picture gives 128 squares of 7×7 px from every level of its Laplacian pyramid. Both sets
    are normalised by the mean and spread of the real squares, so that a wrong contrast counts.

    Args:
        real: Pictures (n, rows, cols); the larger set is cut to the smaller one.
        generated: Pictures of the same size.
        seed: Of squares and directions.
        projections: Directions.

    Returns:
        Width of the level, px -> distance times 1000.
    """
    count = min(len(real), len(generated))
    pyramids = [
        _pyramid(np.asarray(pictures[:count], dtype=np.float32)) for pictures in (real, generated)
    ]
    distances = {}
    for real_level, generated_level in zip(*pyramids, strict=True):
        rng = np.random.default_rng([seed, real_level.shape[2]])
        squares = [_squares(level, rng) for level in (real_level, generated_level)]
        mean, spread = squares[0].mean(), max(float(squares[0].std()), 1e-8)
        sides = [(side - mean) / spread for side in squares]
        distance = wasserstein_of_sets(*sides, seed=seed, projections=projections)
        distances[real_level.shape[2]] = 1000 * distance
    return distances


def radial_spectrum(pictures: FloatArray) -> pd.DataFrame:
    """Mean power spectrum against frequency, averaged over directions.

    Each picture loses its mean and fades out at its edges (a Hann window), so that these make no
    power of their own.

    Args:
        pictures: (n, size, size), 8 px at least.

    Returns:
        frequency (cycles a px, up to 0.5), power.

    Raises:
        ValueError: The pictures are not square, or smaller than 8 px.
    """
    size = pictures.shape[-1]
    if pictures.ndim != 3 or pictures.shape[1] != size or size < 8:
        raise ValueError(f"square pictures of 8 px at least are needed. Got {pictures.shape}.")
    fade = np.outer(np.hanning(size), np.hanning(size))
    total = np.zeros((size, size // 2 + 1))
    for picture in pictures:
        centred = np.asarray(picture, dtype=np.float64)
        total += np.abs(np.fft.rfft2((centred - centred.mean()) * fade)) ** 2
    frequencies = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    ring = np.round(frequencies * size).astype(int)
    rings = np.arange(1, size // 2 + 1)
    sums = np.bincount(ring.ravel(), total.ravel(), minlength=size)[rings]
    counts = np.bincount(ring.ravel(), minlength=size)[rings]
    return pd.DataFrame({"frequency": rings / size, "power": sums / counts / len(pictures)})


def spectral_slope(spectrum: pd.DataFrame, *, low: float = 0.02, high: float = 0.25) -> float:
    """β of a power law, power ∝ 1 / frequency^β, fitted between two frequencies on log scales.

    Mammograms have a β near 3 (Burgess 1999). Below `low` the window shapes the spectrum.
    """
    used = spectrum[spectrum["frequency"].between(low, high) & (spectrum["power"] > 0)]
    if len(used) < 2:
        return float("nan")
    return -float(linregress(np.log(used["frequency"]), np.log(used["power"])).slope)


def missing_detail(
    real: pd.DataFrame, generated: pd.DataFrame, *, min_frequency: float = 0.25
) -> float:
    """Share of the original patches' power above a frequency that made ones lack.

    0: as much; 1: none; negative: more than the real ones have, such as noise.
    """
    fine = [
        float(spectrum.loc[spectrum["frequency"] > min_frequency, "power"].sum())
        for spectrum in (real, generated)
    ]
    return 1 - fine[1] / fine[0] if fine[0] > 0 else float("nan")


def diversity(pictures: FloatArray, *, pairs: int, seed: int, white: float = 1.0) -> FloatArray:
    """Structural similarity (MS-SSIM, by torchmetrics) of random pairs, (pairs,).

    Near 1: all alike, the generator has collapsed; it means something beside the same number for
    original patches (Odena et al. 2017).

    Args:
        pictures: (n, rows, cols), two at least.
        pairs: Drawn; of two different pictures each.
        seed: Of the pairs.
        white: Largest grey level.

    Raises:
        ValueError: There are fewer than two pictures, or they are smaller than the kernel.
    """
    count, side = len(pictures), min(pictures.shape[1:])
    if count < 2 or side < _KERNEL:
        raise ValueError(f"two pictures of {_KERNEL} px at least are needed. Got {pictures.shape}.")
    rng = np.random.default_rng(seed)
    first = rng.integers(count, size=pairs)
    second = (first + rng.integers(1, count, size=pairs)) % count
    # As many scales as the kernel fits in.
    scales = [w for level, w in enumerate(_SCALES) if (side >> level) >= _KERNEL]
    result: FloatArray = multiscale_structural_similarity_index_measure(
        _tensor(pictures[first])[:, None],
        _tensor(pictures[second])[:, None],
        data_range=white,
        betas=tuple(weight / sum(scales) for weight in scales),
        reduction="none",
    ).numpy()
    return result


def nearest_real(
    generated: FloatArray,
    real: FloatArray,
    real_groups: npt.ArrayLike,
    *,
    generated_groups: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """The original patch that is nearest to each of some patches, and how much nearer than others.

    A blurred patch lies near to many real ones, a copy near to one: its distance to that one is a
    small share of its distance to the nearest patch of any other patient. Patches are compared at
    64 px at most.

    Args:
        generated: Patches (n, rows, cols), or `reduced` ones.
        real: Patches (m, rows, cols), or `reduced` ones.
        real_groups: Patients of the real ones, (m,).
        generated_groups: Patients of the first, (n,), where they are real ones too: patches of the
            same patient are passed over.

    Returns:
        nearest (its index in `real`), distance (root mean square of the differences), ratio (to
        the distance of the nearest patch of another patient than that one's); NaN where there is
        none.
    """
    sides = (reduced(np.asarray(side)) for side in (generated, real))
    generated_flat, real_flat = (side.reshape(len(side), -1) for side in sides)
    distances = euclidean_distances(generated_flat, real_flat) / np.sqrt(
        generated_flat.shape[1]
    )  # (n, m)
    groups = np.asarray(real_groups)
    if generated_groups is not None:
        distances[np.asarray(generated_groups)[:, None] == groups] = np.inf
    nearest_index = distances.argmin(axis=1)
    nearest = distances.min(axis=1)
    distances[groups[nearest_index][:, None] == groups] = np.inf
    second = distances.min(axis=1)
    distance = np.where(np.isfinite(nearest), nearest, np.nan)
    ratio = np.where(np.isfinite(second), distance / np.maximum(second, 1e-12), np.nan)
    return pd.DataFrame({"nearest": nearest_index, "distance": distance, "ratio": ratio})


def reduced(pictures: FloatArray) -> npt.NDArray[np.float64]:
    """Pictures (n, rows, cols) as they are compared: float64, brought to 64 px at most."""
    step = max(1, pictures.shape[1] // _COMPARED)
    rows, cols = (length // step * step for length in pictures.shape[1:])
    blocks = pictures[:, :rows, :cols].reshape(
        len(pictures), rows // step, step, cols // step, step
    )
    means: npt.NDArray[np.float64] = blocks.mean(axis=(2, 4), dtype=np.float64)
    return means


def _pyramid(pictures: FloatArray) -> list[FloatArray]:
    """Laplacian pyramid of pictures (n, rows, cols), finest level first."""
    levels, current = [], pictures
    while current.shape[2] >= 2 * _SMALLEST and current.shape[1] >= 2 * _SMALLEST:
        rows, cols = current.shape[1] // 2 * 2, current.shape[2] // 2 * 2
        current = current[:, :rows, :cols]
        smooth = gaussian_filter(current, (0, 1, 1))
        small = smooth[:, ::2, ::2]
        back = gaussian_filter(small.repeat(2, axis=1).repeat(2, axis=2), (0, 1, 1))
        levels.append(current - back)
        current = small
    return [*levels, current]


def _squares(level: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Squares of a level (n, rows, cols), float (n · 128, 49)."""
    count, rows, cols = level.shape
    side = min(_SIDE, rows, cols)
    tops = rng.integers(0, rows - side + 1, (count, _DESCRIPTORS, 1, 1))
    lefts = rng.integers(0, cols - side + 1, (count, _DESCRIPTORS, 1, 1))
    row_offsets, col_offsets = np.mgrid[:side, :side]
    picture_index = np.arange(count)[:, None, None, None]
    squares: FloatArray = level[
        picture_index, tops + row_offsets, lefts + col_offsets
    ]  # (n, 128, side, side)
    return squares.reshape(count * _DESCRIPTORS, side * side)


def _check_pair(real: FloatArray, generated: FloatArray, rows: int) -> None:
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"features (n, d) of one d are needed. Got {real.shape}, {generated.shape}."
        )
    if min(len(real), len(generated)) < rows:
        raise ValueError(f"{rows} rows at least are needed. Got {len(real)}, {len(generated)}.")


def _tensor(values: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
