"""Measures of generated patches against closed forms, other libraries, pictures made to order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from second_look.evaluation import generative
from skimage.metrics import structural_similarity
from sklearn.metrics.pairwise import polynomial_kernel


def noise(count: int, size: int, beta: float, seed: int = 0) -> np.ndarray:
    """Pictures whose power falls as 1 / frequency^beta."""
    rng = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    frequencies[0, 0] = 1
    white = np.fft.fft2(rng.normal(size=(count, size, size)))
    generated = np.fft.ifft2(white / frequencies ** (beta / 2)).real
    return (generated - generated.mean()) / generated.std()


def test_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    """|m1 - m2|² + Σ (σ1 - σ2)² for independent features, up to sampling."""
    rng = np.random.default_rng(0)
    spread = np.array([1.0, 2.0, 0.5])
    first, second = (
        rng.normal(size=(200_000, 3)),
        rng.normal(size=(200_000, 3)) * spread + [3, 0, 1],
    )
    expected = 9 + 1 + ((1 - spread) ** 2).sum()
    assert generative.frechet_distance(first, second) == pytest.approx(expected, rel=0.01)
    assert generative.frechet_distance(first, first) == pytest.approx(0, abs=1e-4)


def test_kernel_distance_is_the_unbiased_estimate() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(41, 5)), rng.normal(size=(41, 5)) + 0.7
    result, _ = generative.kernel_distance(first, second, seed=0, subsets=400, size=40)
    within = [polynomial_kernel(a, a, degree=3, gamma=1 / 5, coef0=1) for a in (first, second)]
    between = polynomial_kernel(first, second, degree=3, gamma=1 / 5, coef0=1)
    within = sum((k.sum() - np.trace(k)) / (41 * 40) for k in within)
    assert result == pytest.approx(within - 2 * between.mean(), rel=0.03)
    control, _ = generative.kernel_distance(*rng.normal(size=(2, 400, 5)), seed=0)
    assert abs(control) < 0.1 * result
    again = generative.kernel_distance(first, second, seed=0, subsets=400, size=40)[0]
    assert again == result


def test_features_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="of one d are needed"):
        generative.frechet_distance(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="3 rows at least"):
        generative.kernel_distance(np.zeros((2, 2)), np.zeros((4, 2)), seed=0)


def test_sets_of_points_in_one_dimension_are_scipy_s() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(50, 1)), rng.normal(size=(50, 1)) * 2 + 1
    result = generative.wasserstein_of_sets(first, second, seed=0)
    assert result == pytest.approx(wasserstein_distance(first[:, 0], second[:, 0]))


def test_a_shift_moves_points_by_its_mean_projection() -> None:
    points = np.random.default_rng(3).normal(size=(300, 3))
    result = generative.wasserstein_of_sets(
        points, points + np.array([2, 0, 0]), seed=0, projections=20_000
    )
    # The mean of |cos| over directions in space is 1/2.
    assert result == pytest.approx(2 / 2, rel=0.02)
    with pytest.raises(ValueError, match="of one shape"):
        generative.wasserstein_of_sets(points, points[:5], seed=0)


def test_sliced_wasserstein_of_pictures() -> None:
    first, second = noise(60, 64, 3, seed=0), noise(60, 64, 3, seed=1)
    control = generative.sliced_wasserstein(first, first, seed=0)
    assert list(control) == [64, 32, 16]
    floor = generative.sliced_wasserstein(first, second, seed=0)
    harder = generative.sliced_wasserstein(first, 1.5 * second, seed=0)
    blurred = generative.sliced_wasserstein(first, noise(60, 64, 4, seed=1), seed=0)
    for size in control:
        # Squares are drawn apart for both sets, so equal sets come near 0, as two halves do.
        assert control[size] < 0.1 * harder[size]
        assert floor[size] < 0.35 * harder[size]
    assert blurred[64] > 3 * floor[64]


@pytest.mark.parametrize("beta", [2.0, 3.0])
def test_the_slope_of_noise_is_recovered(beta: float) -> None:
    spectrum = generative.radial_spectrum(noise(40, 128, beta))
    assert generative.spectral_slope(spectrum) == pytest.approx(beta, abs=0.12)
    assert spectrum["frequency"].max() == 0.5


def test_white_noise_is_flat_and_power_adds_up() -> None:
    pictures = np.random.default_rng(0).normal(size=(200, 32, 32))
    spectrum = generative.radial_spectrum(pictures)
    window = np.outer(np.hanning(32), np.hanning(32))
    assert spectrum["power"].mean() == pytest.approx((window**2).sum(), rel=0.05)
    assert generative.spectral_slope(spectrum, low=0.1, high=0.5) == pytest.approx(0, abs=0.1)
    with pytest.raises(ValueError, match="square pictures"):
        generative.radial_spectrum(pictures[:, :, :30])


def test_missing_detail_is_the_share_of_power_that_a_filter_takes() -> None:
    pictures = noise(20, 64, 2)
    real = generative.radial_spectrum(pictures)
    half = real.assign(power=np.where(real["frequency"] > 0.25, 0.5, 1) * real["power"])
    assert generative.missing_detail(real, half) == pytest.approx(0.5)
    assert generative.missing_detail(real, real) == 0
    noisy = generative.radial_spectrum(
        pictures + np.random.default_rng(0).normal(size=pictures.shape)
    )
    assert generative.missing_detail(real, noisy) < -1
    assert np.isnan(generative.spectral_slope(real.head(1)))


def test_diversity_sees_a_collapse_and_one_scale_is_scikit_image_s() -> None:
    pictures = np.clip(0.5 + 0.15 * noise(12, 64, 2), 0, 1)
    collapsed = pictures[:1] + 0.005 * np.random.default_rng(0).normal(size=(12, 64, 64))
    assert generative.diversity(collapsed, pairs=20, seed=0).mean() > 0.95
    assert generative.diversity(pictures, pairs=20, seed=0).mean() < 0.6
    small = np.clip(0.5 + 0.15 * noise(1, 16, 3), 0, 1)  # the kernel fits in one scale only
    two = np.concatenate([small, small + 0.1 * noise(1, 16, 0)])
    expected = structural_similarity(
        *two, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    result = generative.diversity(two, pairs=3, seed=0)
    assert result.shape == (3,)
    assert result[0] == pytest.approx(expected, abs=0.05)
    with pytest.raises(ValueError, match="two pictures"):
        generative.diversity(two[:1], pairs=3, seed=0)


def test_a_copy_is_told_from_a_blur() -> None:
    real = np.random.default_rng(0).random((20, 8, 8))
    women = [f"p{k // 2}" for k in range(20)]
    generated = np.stack([real[7], real[3] + 0.02, real.mean(axis=0)])
    result = generative.nearest_real(generated, real, women)
    assert result["nearest"].tolist()[:2] == [7, 3]
    np.testing.assert_allclose(result["distance"][:2], [0, 0.02], atol=1e-6)
    strangers = [k for k in range(20) if women[k] != women[3]]
    second = min(np.sqrt(((generated[1] - real[k]) ** 2).mean()) for k in strangers)
    assert result["ratio"][1] == pytest.approx(0.02 / second)
    # The mean lies nearer to all than they lie to each other, and is a copy of none.
    among = generative.nearest_real(real, real, women, generated_groups=women)
    assert result["distance"][2] < among["distance"].min()
    assert result["ratio"][2] > 0.9


def test_patches_of_the_same_woman_are_passed_over() -> None:
    real = np.arange(6.0)[:, None, None]
    women = ["a", "a", "a", "b", "b", "c"]
    result = generative.nearest_real(real, real, women, generated_groups=women)
    assert result["nearest"].tolist() == [3, 3, 3, 2, 5, 4]
    assert result["distance"].tolist() == [3, 2, 1, 1, 1, 1]
    np.testing.assert_allclose(result["ratio"], [3 / 5, 2 / 4, 1 / 3, 1 / 2, 1 / 2, 1 / 3])
    alone = generative.nearest_real(real, real, ["x"] * 6, generated_groups=["x"] * 6)
    assert alone[["distance", "ratio"]].isna().all(axis=None)


def test_large_patches_are_compared_reduced() -> None:
    fine = np.random.default_rng(0).random((3, 130, 128))
    result = generative.nearest_real(fine, fine, ["a", "b", "c"])
    means = fine[:, :, :].reshape(3, 65, 2, 64, 2).mean(axis=(2, 4))
    expected = np.sqrt(((means[0] - means[1:]) ** 2).mean(axis=(1, 2))).min()
    assert result["nearest"].tolist() == [0, 1, 2]
    distant = generative.nearest_real(fine[:1], fine[1:], ["b", "c"])
    assert distant["distance"][0] == pytest.approx(expected)
