"""Kernel densities and their overlap against SciPy and analytic values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mammogan.metrics.coverage import highest_density_region, percentile_region
from mammogan.metrics.density import Grid, bandwidth, density, jensen_shannon, normalized_mutual_information, overlap

RNG = np.random.default_rng(0)


def test_density_equals_the_sum_of_kernels() -> None:
    sample = RNG.multivariate_normal([0, 0], [[1, 0.0], [0.0, 4]], 800)
    grid = Grid.around(sample, count=200)
    ours = density(sample, grid)
    x, y = grid.centers
    h = np.array([bandwidth(sample[:, axis]) for axis in (0, 1)])
    # The sum of the kernels themselves, point by point.
    along = [stats.norm.pdf(axis[:, None], sample[None, :, k], h[k]) for k, axis in enumerate((x, y))]
    expected = along[0] @ along[1].T
    expected /= expected.sum()
    assert np.abs(ours - expected).max() / expected.max() < 0.005
    inside, theirs = percentile_region(ours, 97), percentile_region(expected, 97)
    assert (inside & theirs).sum() / theirs.sum() > 0.995


class ProductKernel(stats.gaussian_kde):
    """SciPy's density with a bandwidth for each axis."""

    def _compute_covariance(self) -> None:
        h = np.array([bandwidth(values) for values in self.dataset])
        self.factor = 1.0
        self.covariance, self.cho_cov = np.diag(h**2), np.diag(h)
        self.log_det = 2 * np.log(h * np.sqrt(2 * np.pi)).sum()


@pytest.mark.parametrize("tail", ["normal", "heavy", "heavy along one axis"])
def test_densities_scores_and_coverage_equal_scipy(tail: str) -> None:
    a, b = RNG.normal(size=(900, 2)), RNG.normal(0.2, 1.1, (900, 2))
    if tail == "heavy":  # kernels narrower than a cell
        a, b = np.exp(1.2 * a), np.exp(1.2 * b)
    if tail == "heavy along one axis":
        a, b = (np.c_[x[:, 0], np.exp(1.2 * x[:, 1])] for x in (a, b))
    for count in (100, 200):
        grid = Grid.around(a, b, count=count)
        at = np.stack([x.ravel() for x in np.meshgrid(*grid.centers, indexing="ij")])
        theirs = [ProductKernel(x.T)(at).reshape(count, count) for x in (a, b)]
        p, q = (x / x.sum() for x in theirs)
        densities = [density(x, grid) for x in (a, b)]
        assert max(np.abs(f - t).max() / t.max() for f, t in zip(densities, (p, q), strict=True)) < 0.005
        assert jensen_shannon(*densities) == pytest.approx(jensen_shannon(p, q), abs=0.001)
        if count == 200:  # as Figure 6 has it; on fewer cells two of them are more than .005
            regions = [percentile_region(x, 97) for x in (*densities, p, q)]
            ours, exact = ((r & s).sum() / r.sum() for r, s in (regions[:2], regions[2:]))
            assert ours == pytest.approx(exact, abs=0.005)
        mass, exact_mass = (x[highest_density_region(y, 0.97)].sum() for x, y in (densities, (p, q)))
        assert mass == pytest.approx(exact_mass, abs=0.005)


def test_a_grid_resolves_both_sets_whatever_a_few_values_do() -> None:
    a, b = RNG.normal(size=(125, 2)), RNG.normal([1.0, 0.5], 1, (125, 2))
    plain = Grid.around(a, b, count=100)
    np.testing.assert_array_equal([plain.low, plain.high], [*vars(Grid.resolving(a, b, count=100)).values()][:2])
    # SciPy's densities of the sets without the image, on a grid of their own.
    at = np.stack([x.ravel() for x in np.meshgrid(*plain.centers, indexing="ij")])
    exact = jensen_shannon(*(p / p.sum() for p in (ProductKernel(x.T)(at) for x in (a, b))))
    for far in ([5e6, 5e6], [-1e3, 1e100], [0.0, 1e4]):
        for x, y in ((np.r_[[far], a[1:]], b), (a, np.r_[[far], b[1:]]), (np.r_[[far], a[1:]], np.r_[[far], b[1:]])):
            grid = Grid.resolving(x, y, count=100)
            p, q = density(x, grid), density(y, grid)
            assert p.sum() == pytest.approx(1) and q.sum() == pytest.approx(1)
            assert jensen_shannon(p, q) == pytest.approx(exact, abs=0.02)
    # Twelve of 125 images are still outliers.
    x = np.r_[np.full((12, 2), 5e6), a[12:]]
    p, q = (density(s, Grid.resolving(x, b, count=100)) for s in (x, b))
    assert jensen_shannon(p, q) > exact


def test_values_beyond_a_grid_count_at_its_border() -> None:
    grid = Grid(np.zeros(2), np.full(2, 10.0), 11)
    p = density(np.array([[5.0, 5.0], [5.0, 99.0], [5.0, 5.0], [-3.0, 5.0]]), grid)
    assert p.sum() == pytest.approx(1)
    assert p[:, 10].sum() > 0.05 and p[0].sum() > 0.05


def test_a_grid_of_values_most_of_which_are_one_holds_the_others() -> None:
    a = np.c_[np.r_[np.zeros(95), np.ones(5)], np.zeros(100)]
    grid = Grid.resolving(a, a, count=50)
    assert grid.low[0] <= 0 and grid.high[0] >= 1 and grid.high[1] > grid.low[1]


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


def test_distributions_share_no_more_than_all_of_their_mass() -> None:
    rng = np.random.default_rng(0)
    masses = [p / p.sum() for p in rng.random((200, 100, 100))]
    assert max(p.sum() for p in masses) > 1  # as sums of many numbers round
    assert max(overlap(p, p) for p in masses) == 1
