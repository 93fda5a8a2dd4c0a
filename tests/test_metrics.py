"""Moments, information, densities and coverage against exact fractions, SciPy and scikit-learn."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.feature_selection import mutual_info_classif

from mammogan.metrics import published
from mammogan.metrics.coverage import (
    area_coverage,
    highest_density_region,
    mass_coverage,
    pair_scores,
    percentile_region,
    support_coverage,
)
from mammogan.metrics.density import Grid, bandwidth, density, jensen_shannon, normalized_mutual_information, overlap
from mammogan.metrics.information import MAXIMUM, inverse_digamma, label_information, ross
from mammogan.metrics.moments import image_moments

RNG = np.random.default_rng(0)


def exact_moments(pixels: list[int], bits: int) -> list[float]:
    values = [Fraction(pixel, 2**bits - 1) for pixel in pixels]
    n = len(values)
    mean = sum(values) / n
    mu = {k: sum((v - mean) ** k for v in values) / n for k in (2, 3, 4, 5)}
    return [float(mean), float(mu[2]), *(float(mu[k]) / float(mu[2]) ** (k / 2) for k in (3, 4, 5))]


@given(st.lists(st.integers(0, 255), min_size=4, max_size=24).filter(lambda x: len(set(x)) > 1))
@settings(max_examples=60, deadline=None)
def test_moments_equal_exact_fractions(pixels: list[int]) -> None:
    image = np.array(pixels, np.uint16)[None, None, :]
    np.testing.assert_allclose(image_moments(image, 8)[0], exact_moments(pixels, 8), rtol=1e-10, atol=1e-12)


def test_moments_equal_scipy_on_images() -> None:
    images = RNG.gamma(2, 400, (3, 50, 40)).clip(0, 4095).astype(np.uint16)
    for image, found in zip(images, image_moments(images, 12), strict=True):
        x = image.ravel() / 4095
        fifth = stats.moment(x, 5) / stats.moment(x, 2) ** 2.5
        expected = [x.mean(), x.var(), stats.skew(x), stats.kurtosis(x, fisher=False), fifth]
        np.testing.assert_allclose(found, expected, rtol=1e-10)


@given(st.integers(1, 9))
@settings(max_examples=9, deadline=None)
def test_blocks_do_not_matter(block: int) -> None:
    images = np.random.default_rng(3).integers(0, 4096, (9, 5, 4)).astype(np.uint16)
    np.testing.assert_array_equal(image_moments(images, 12, block), image_moments(images, 12))


def test_shape_moments_ignore_gain_and_offset() -> None:
    image = RNG.integers(0, 1000, (1, 30, 30)).astype(np.uint16)
    first, second = image_moments(image, 12)[0], image_moments(image * 3 + 500, 12)[0]
    np.testing.assert_allclose(first[2:], second[2:], rtol=1e-10)
    assert second[1] == pytest.approx(9 * first[1])


def test_degenerate_images() -> None:
    constant = np.full((1, 4, 4), 7, np.uint16)
    np.testing.assert_allclose(image_moments(constant, 12), [[7 / 4095, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match="beyond 8 bits"):
        image_moments(np.full((1, 2, 2), 256, np.uint16), 8)
    with pytest.raises(ValueError, match="unsigned integer"):
        image_moments(np.zeros((1, 2, 2)), 8)
    with pytest.raises(ValueError, match="no image"):
        image_moments(np.zeros((0, 2, 2), np.uint16), 8)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_ross_equals_sklearn(shift: float) -> None:
    a, b = RNG.normal(size=400), RNG.normal(shift, 1.3, 600)
    labels = np.r_[np.zeros(400), np.ones(600)]
    theirs = mutual_info_classif(np.r_[a, b][:, None], labels, discrete_features=False, n_neighbors=3, random_state=0)[
        0
    ]
    # scikit-learn clips at zero and adds noise of 1e-10 of the scale.
    assert max(ross(a, b).information, 0) == pytest.approx(theirs, abs=1e-8)


def test_ross_on_a_line_equals_ross_in_space() -> None:
    a, b = RNG.normal(size=200), RNG.normal(0.5, 1, 150)
    line, space = ross(a, b), ross(np.c_[a, a], np.c_[b, b])
    assert line.neighbors == space.neighbors
    assert line.information == pytest.approx(space.information)


def test_ross_of_gaussians_is_the_analytic_information() -> None:
    shift = 1.0
    x = np.linspace(-10, 11, 200_001)
    p, q = stats.norm.pdf(x), stats.norm.pdf(x, shift)
    middle = (p + q) / 2
    exact = np.trapezoid((p * np.log(p / middle) + q * np.log(q / middle)) / 2, x)
    found = [ross(RNG.normal(size=3000), RNG.normal(shift, 1, 3000)).information for _ in range(4)]
    assert np.mean(found) == pytest.approx(exact, abs=0.012)


def test_ross_limits() -> None:
    a = RNG.normal(size=500)
    # psi(1000) - psi(500) lies a little above ln 2.
    assert MAXIMUM < ross(a, a + 100).information < MAXIMUM + 0.001
    assert ross(a, a + 100).neighbors == 3
    same = [ross(RNG.normal(size=500), RNG.normal(size=500)) for _ in range(30)]
    assert np.mean([x.neighbors for x in same]) == pytest.approx(6, abs=0.1)
    assert np.mean([x.information for x in same]) == pytest.approx(0, abs=0.01)
    # Near copies of the real images drive the estimate below zero: an alarm that clipping would hide.
    assert ross(a, a + 1e-9 * RNG.normal(size=500)).information < -0.1
    with pytest.raises(ValueError, match="more than 3"):
        ross(a[:3], a)


def test_neighbor_counting_survives_rounding() -> None:
    a = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) * 3
    brute = [np.sum(np.abs(np.r_[a, a + 9] - x) <= np.sort(np.abs(a - x))[3] + 1e-12) - 1 for x in a]
    assert ross(a, a + 9).neighbors == np.mean(brute)


def test_inverse_digamma() -> None:
    for value in (-1.0, 0.5, 1.7):
        from scipy.special import digamma

        assert digamma(inverse_digamma(value)) == pytest.approx(value)


def test_density_equals_the_sum_of_kernels() -> None:
    sample = RNG.multivariate_normal([0, 0], [[1, 0.0], [0.0, 4]], 800)
    grid = Grid.around(sample, count=200)
    found = density(sample, grid)
    x, y = grid.centers
    h = np.array([bandwidth(sample[:, axis]) for axis in (0, 1)])
    # The sum of the kernels themselves, point by point.
    along = [stats.norm.pdf(axis[:, None], sample[None, :, k], h[k]) for k, axis in enumerate((x, y))]
    expected = along[0] @ along[1].T
    expected /= expected.sum()
    assert np.abs(found - expected).max() / expected.max() < 0.005
    inside, theirs = percentile_region(found, 97), percentile_region(expected, 97)
    assert (inside & theirs).sum() / theirs.sum() > 0.995


def test_density_equals_scipy_where_both_mean_the_same() -> None:
    # SciPy scales its kernel by the sample's covariance: for a sample of unit covariance that is a product kernel.
    sample = RNG.normal(size=(500, 2))
    sample = (sample - sample.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(sample.T)).T)
    grid = Grid.around(sample, count=120)
    h = [bandwidth(sample[:, axis]) for axis in (0, 1)]
    sample = sample * (np.mean(h) / np.array(h))  # equal bandwidths on both axes, almost
    kernel = stats.gaussian_kde(sample.T, bw_method=float(np.mean(h)))
    xx, yy = np.meshgrid(*grid.centers, indexing="ij")
    expected = kernel(np.stack([xx.ravel(), yy.ravel()])).reshape(120, 120)
    expected /= expected.sum()
    assert np.abs(density(sample, grid) - expected).max() / expected.max() < 0.05


def test_scores_of_distributions() -> None:
    p = np.array([[0.5, 0.5], [0, 0]])
    q = np.array([[0, 0], [0.5, 0.5]])
    assert jensen_shannon(p, p) == 0
    assert jensen_shannon(p, q) == pytest.approx(1)
    assert (overlap(p, p), overlap(p, q)) == (1, 0)
    assert normalized_mutual_information(p, p) == pytest.approx(1)
    assert jensen_shannon(p, (p + q) / 2) == pytest.approx(jensen_shannon((p + q) / 2, p))


def test_overlap_of_gaussians_is_analytic() -> None:
    shift = 0.8
    a, b = RNG.normal(size=(6000, 2)), RNG.normal([shift, 0], 1, (6000, 2))
    grid = Grid.around(a, b, count=150)
    # Kernels widen the densities: the distance shrinks in units of the widened spread.
    h = bandwidth(a[:, 0])
    exact = 2 * stats.norm.cdf(-shift / 2 / np.sqrt(1 + h**2))
    assert overlap(density(a, grid), density(b, grid)) == pytest.approx(exact, abs=0.02)


def test_regions() -> None:
    p = np.array([[0.5, 0.3], [0.15, 0.05]])
    assert highest_density_region(p, 0.6).tolist() == [[True, True], [False, False]]
    a = RNG.normal(size=(400, 2))
    assert area_coverage(a, a) == 1
    assert mass_coverage(a, a) == pytest.approx(0.97, abs=0.01)
    assert area_coverage(a, a + 50) == 0
    assert mass_coverage(a, a + 50) == pytest.approx(0, abs=1e-9)


def test_tables_tell_alike_from_unlike() -> None:
    real, alike, other = RNG.normal(size=(120, 5)), RNG.normal(size=(120, 5)), RNG.normal(1.5, 0.5, (120, 5))
    for table, column in ((pair_scores, "score"), (support_coverage, "coverage")):
        near, far = table(real, alike, bootstraps=5, splits=4), table(real, other, bootstraps=5, splits=4)
        assert (near[column] > far[column]).mean() > 0.8
        assert near["ratio"].median() == pytest.approx(1, abs=0.12)
        assert (near["low"] <= near[column]).all()
        assert (near[column] <= near["high"]).all()
        again = table(real, alike, bootstraps=5, splits=4)
        assert near.equals(again)
    information = label_information(real, other, permutations=50, halves=20)
    assert (information["p"] < 0.05).all()
    assert (information["information"] > information["chance"]).all()


def test_degenerate_tables() -> None:
    real = RNG.normal(size=(40, 5))
    constant = real.copy()
    constant[:, 2] = 1.0
    found = pair_scores(constant, constant, bootstraps=2, splits=2)
    assert np.isfinite(found["score"]).all()
    broken = real.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match="not a finite number"):
        pair_scores(real, broken)
    with pytest.raises(ValueError, match="at least 4"):
        support_coverage(real, real[:2])
    with pytest.raises(ValueError, match="Half"):
        label_information(real[:6], real[:6])


def test_published_tables() -> None:
    assert (published.excess_over_diagonal() > 0).all()
    np.testing.assert_array_equal(np.round(published.implied_neighbors(2000), 2), published.TABLE2_NEIGHBORS)
    low, high = published.compatible_totals()
    assert low < 2000 < high
    assert not np.array_equal(np.round(published.implied_neighbors(high + 2), 2), published.TABLE2_NEIGHBORS)
