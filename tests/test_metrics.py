"""Moments, information, densities and coverage against exact fractions, SciPy and scikit-learn."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.feature_selection import mutual_info_classif
from sklearn.feature_selection._mutual_info import _compute_mi_cd

from mammogan.metrics.coverage import (
    area_coverage,
    highest_density_region,
    mass_coverage,
    pair_scores,
    percentile_region,
    support_coverage,
)
from mammogan.metrics.density import Grid, bandwidth, density, jensen_shannon, normalized_mutual_information, overlap
from mammogan.metrics.information import (
    MAXIMUM,
    by_chance,
    inverse_digamma,
    label_information,
    mutual_information,
    permuted_labels,
)
from mammogan.metrics.moments import NEAR, image_moments, moments_of_counts, moments_of_pixels
from mammogan.metrics.resampling import ResamplingDesign, interval, scored, summary
from mammogan.paper import printed, table1, table2

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


@given(st.lists(st.integers(0, 4095), min_size=2, max_size=40), st.integers(1, 39))
@settings(max_examples=60, deadline=None)
def test_counts_merge(pixels: list[int], cut: int) -> None:
    # Counts of parts add up to the counts of the whole: the moments follow exactly, in any order.
    parts = [np.bincount(part, minlength=4096) for part in (pixels[:cut], pixels[cut:]) if part]
    whole = np.bincount(pixels, minlength=4096)
    np.testing.assert_array_equal(moments_of_counts(sum(parts)), moments_of_counts(whole))


@pytest.mark.parametrize("size", [1, 45, NEAR - 1, 3 * NEAR + 7])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_moments_of_pixels_equal_those_of_counts(size: int, bits: int) -> None:
    rng = np.random.default_rng(size)
    image = rng.integers(0, 2**bits, (size, 45)).astype(np.uint8 if bits == 8 else np.uint16)
    image[0, 0] = 2**bits - 1
    half = np.where(np.arange(45) < rng.integers(0, 30, size)[:, None], image, 0)
    bright = np.where(rng.random(image.shape) < 0.001, image, 3)  # few pixels away from all others
    for pixels in (image, half, half[:, ::-1], bright, image // 2 + 2 ** (bits - 1), np.zeros_like(image), image.T):
        counts = np.bincount(pixels.ravel(), minlength=2**bits)
        expected = moments_of_counts(counts)
        np.testing.assert_allclose(image_moments(pixels[None], bits)[0], expected, rtol=1e-10, atol=1e-12)
        # The same without being compiled.
        np.testing.assert_allclose(moments_of_pixels(pixels.ravel(), 2**bits - 1)[:5], expected, rtol=1e-10, atol=1e-12)
        foreign = pixels[None].astype(pixels.dtype.newbyteorder())
        np.testing.assert_array_equal(image_moments(foreign, bits), image_moments(pixels[None], bits))
    with pytest.raises(ValueError, match=f"beyond {bits - 1} bits"):
        image_moments(image[None], bits - 1)


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


@pytest.mark.parametrize("shift", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_ross_equals_sklearn(shift: float, dimensions: int) -> None:
    a, b = RNG.normal(size=400), RNG.normal(shift, 1.3, 600)
    labels = np.r_[np.zeros(400), np.ones(600)]
    # What mutual_info_classif calls once it has scaled the data and added noise to break ties.
    theirs = _compute_mi_cd(np.r_[a, b], labels, 3)
    first, second = (a, b) if dimensions == 1 else (np.c_[a, a], np.c_[b, b])
    assert mutual_information(first, second).information == pytest.approx(theirs, abs=1e-10)
    public = mutual_info_classif(np.r_[a, b][:, None], labels, discrete_features=False, random_state=0)[0]
    assert mutual_information(a, b).information == pytest.approx(public, abs=1e-7)


def test_ross_in_the_plane_equals_brute_force() -> None:
    a, b = RNG.normal(size=(60, 2)), RNG.normal(0.4, 1, (50, 2))
    both = np.r_[a, b]
    all_of_them = []
    for x in (a, b):
        for point in x:
            distances = np.sort(np.abs(x - point).max(1))
            all_of_them.append((np.abs(both - point).max(1) <= distances[3]).sum() - 1)
    assert mutual_information(a, b).neighbors == np.mean(all_of_them)


def test_ross_with_ties() -> None:
    # Values of a few levels: the plug-in information is exact, and no jitter decides.
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    a, b = np.repeat([0.0, 1.0, 2.0], (p * 2000).astype(int)), np.repeat([0.0, 1.0, 2.0], (q * 2000).astype(int))
    middle = (p + q) / 2
    exact = ((p * np.log(p / middle)).sum() + (q * np.log(q / middle)).sum()) / 2
    assert mutual_information(a, b).information == pytest.approx(exact, abs=0.003)
    assert mutual_information(np.c_[a, a], np.c_[b, b]).information == pytest.approx(
        mutual_information(a, b).information
    )
    assert mutual_information(np.ones(50), np.ones(50)).information == pytest.approx(0, abs=0.02)
    assert mutual_information(np.ones(50), np.zeros(50)).information == pytest.approx(MAXIMUM, abs=0.02)
    with pytest.raises(ValueError, match="not a finite number"):
        mutual_information(np.r_[a, np.nan], b)


def test_ross_on_a_line_equals_ross_in_space() -> None:
    a, b = RNG.normal(size=200), RNG.normal(0.5, 1, 150)
    line, space = mutual_information(a, b), mutual_information(np.c_[a, a], np.c_[b, b])
    assert line.neighbors == space.neighbors
    assert line.information == pytest.approx(space.information)


def test_ross_of_gaussians_is_the_analytic_information() -> None:
    shift = 1.0
    x = np.linspace(-10, 11, 200_001)
    p, q = stats.norm.pdf(x), stats.norm.pdf(x, shift)
    middle = (p + q) / 2
    exact = np.trapezoid((p * np.log(p / middle) + q * np.log(q / middle)) / 2, x)
    found = [mutual_information(RNG.normal(size=3000), RNG.normal(shift, 1, 3000)).information for _ in range(4)]
    assert np.mean(found) == pytest.approx(exact, abs=0.012)


def test_ross_limits() -> None:
    a = RNG.normal(size=500)
    # psi(1000) - psi(500) lies a little above ln 2.
    assert MAXIMUM < mutual_information(a, a + 100).information < MAXIMUM + 0.001
    assert mutual_information(a, a + 100).neighbors == 3
    same = [mutual_information(RNG.normal(size=500), RNG.normal(size=500)) for _ in range(30)]
    assert np.mean([x.neighbors for x in same]) == pytest.approx(6, abs=0.1)
    assert np.mean([x.information for x in same]) == pytest.approx(0, abs=0.01)
    # Near copies of the real images drive the estimate below zero: an alarm that clipping would hide.
    assert mutual_information(a, a + 1e-9 * RNG.normal(size=500)).information < -0.1
    with pytest.raises(ValueError, match="more than 3"):
        mutual_information(a[:3], a)


@pytest.mark.parametrize("kind", ["continuous", "ties", "tenths", "constant"])
def test_permuted_labels_are_scored_as_any_labels(kind: str) -> None:
    rng = np.random.default_rng(8)
    values = np.sort(np.exp(rng.normal(size=700)))
    if kind == "ties":
        values[100:500] = values[100]  # more within reach than a byte holds
    if kind == "tenths":
        values = np.sort(np.round(values, 1))
    if kind == "constant":
        values[:] = 2.0
    permutations = permuted_labels(250, 700, 30, seed=1)
    assert {int(first.sum()) for first in permutations} == {250}
    expected = [mutual_information(values[first], values[~first]).information for first in permutations]
    assert by_chance(values, permutations).tolist() == expected


def test_neighbor_counting_survives_rounding() -> None:
    a = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) * 3
    brute = [np.sum(np.abs(np.r_[a, a + 9] - x) <= np.sort(np.abs(a - x))[3] + 1e-12) - 1 for x in a]
    assert mutual_information(a, a + 9).neighbors == np.mean(brute)


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
        found = [density(x, grid) for x in (a, b)]
        assert max(np.abs(f - t).max() / t.max() for f, t in zip(found, (p, q), strict=True)) < 0.005
        assert jensen_shannon(*found) == pytest.approx(jensen_shannon(p, q), abs=0.001)
        if count == 200:  # as Figure 6 has it; on fewer cells two of them are more than .005
            regions = [percentile_region(x, 97) for x in (*found, p, q)]
            ours, exact = ((r & s).sum() / r.sum() for r, s in (regions[:2], regions[2:]))
            assert ours == pytest.approx(exact, abs=0.005)
        mass, exact_mass = (x[highest_density_region(y, 0.97)].sum() for x, y in (found, (p, q)))
        assert mass == pytest.approx(exact_mass, abs=0.005)


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
    plan = ResamplingDesign(120, 120, draws=5, splits=4)
    for table in (pair_scores, support_coverage):
        near, far = table(real, alike, plan), table(real, other, plan)
        assert (near["score"] > far["score"]).mean() > 0.8
        assert near["ratio"].median() == pytest.approx(1, abs=0.12)
        for low, value, high in (("low", "score", "high"), ("ratio_low", "ratio", "ratio_high")):
            assert (near[low] <= near[value]).all()
            assert (near[value] <= near[high]).all()
        assert (near["n"] == 120).all()
        assert (near["n_ceiling"] == 60).all()
        assert near.equals(table(real, alike, plan))
    information = label_information(real, other, plan, permutations=50)
    of_information = information[information["reading"] == "information"]
    assert (of_information["p"] < 0.05).all()
    assert (of_information["score"] > of_information["chance"]).all()
    assert (of_information["ceiling"].abs() < 0.15).all()


def test_a_plan_keeps_patients_together() -> None:
    patients = np.repeat(np.arange(30), 4)
    plan = ResamplingDesign(patients, 100, draws=6, splits=6)
    assert (plan.size, plan.half) == (100, 58)
    for one, two, other in plan.ceilings():
        assert not set(patients[one]) & set(patients[two])
        assert len(one) == len(two) == len(other) == 58
        assert len(np.unique(np.r_[one, two])) == 116
    for real, synthetic in plan.intervals():
        assert len(real) == len(synthetic) == 50
        assert set(real) <= set(plan.compared[0])
        # Whole patients, but for those whose other images are not compared and the one at the cut.
        assert len(set(patients[real])) <= 20
    assert [x.tolist() for x in plan.ceilings()[0]] == [
        x.tolist() for x in ResamplingDesign(patients, 100, splits=1).ceilings()[0]
    ]
    # With real images to spare, the ceiling has as many images as the score.
    assert ResamplingDesign(1000, 300).half == 300
    with pytest.raises(ValueError, match="too few patients"):
        ResamplingDesign(np.zeros(40), 40)
    with pytest.raises(ValueError, match="The synthetic set has 3 images"):
        ResamplingDesign(40, 3)


@pytest.mark.parametrize("at_most", [0, 40])
def test_intervals_have_the_spread_of_the_mean(at_most: int) -> None:
    # The one statistic whose spread is known: half samples and small samples must both give sd / sqrt(n).
    values = np.random.default_rng(5).normal(size=400)
    plan = ResamplingDesign(400, 400, draws=600)
    draws = [values[real].mean() for real, _ in plan.intervals(at_most)]
    low, high = interval(values.mean(), draws, plan.share(at_most))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_scored_covers_what_is_known_and_sees_one_distribution() -> None:
    rng = np.random.default_rng(3)
    plan = ResamplingDesign(np.arange(400) // 2, 400, draws=200, splits=50)

    def measure(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        return {"mean": float(abs(a.mean() - b.mean())), "sd": float(b.std() / a.std())}

    same = scored(rng.normal(size=400), rng.normal(size=400), measure, plan).set_index("measure")
    assert same.loc["mean", "ceiling_low"] <= same.loc["mean", "score_n"] <= same.loc["mean", "ceiling_high"]
    a, b = rng.normal(size=400), rng.normal(1, 1, 400)
    far = scored(a, b, measure, plan, bounds={"mean": (0.0, 1.0)}).set_index("measure")
    assert far.loc["mean", "score"] == abs(a.mean() - b.mean())
    assert far.loc["mean", "score_n"] > far.loc["mean", "ceiling_high"]
    assert far.loc["mean", "high"] <= 1 < far.loc["sd", "high"]
    # The spread of half samples is that of the whole: the mean's is sqrt(2 / n).
    free = scored(a, b, measure, plan).set_index("measure")
    assert free.loc["mean", "high"] - free.loc["mean", "low"] == pytest.approx(2 * 1.96 * np.sqrt(2 / 400), rel=0.2)
    finer = scored(a, b, measure, plan, whole=lambda *_: {"mean": 5.0})
    assert finer["score"].tolist() == [5.0]


def test_few_draws_are_taken_as_normal() -> None:
    draws = np.random.default_rng(1).normal(size=30)
    low, high = interval(0.0, draws)
    assert high == pytest.approx(1.96 * draws.std(ddof=1), rel=1e-3) and low == -high


def test_the_ratio_of_a_score_and_its_ceiling() -> None:
    draws, ceilings = np.linspace(0.4, 0.6, 41), np.linspace(0.7, 0.9, 21)
    found = summary(0.5, draws, [0.4], ceilings, bounds=(0, 1))
    assert found["ratio"] == pytest.approx(0.5)
    error = np.hypot(draws.std(), 0.5 * ceilings.std()) / 0.8
    assert found["ratio_high"] - found["ratio"] == pytest.approx(1.96 * error, rel=1e-3)
    assert np.isnan(summary(0.5, draws, [0.4], [0.0])["ratio"])
    assert summary(0.95, draws, [0.4], ceilings, bounds=(0, 1))["high"] == 1


def test_degenerate_tables() -> None:
    real = RNG.normal(size=(40, 5))
    plan = ResamplingDesign(40, 40, draws=3, splits=3)
    constant = real.copy()
    constant[:, 2] = 1.0
    for table in (pair_scores, support_coverage):
        found = table(constant, constant, plan)
        assert np.isfinite(found[["score", "low", "high", "ceiling"]]).all().all()
        # Identical sets score the most there is; the label reading goes beyond, as copies do.
        assert (found.loc[found["reading"] != "label", "score"] >= 0.95).all()
    information = label_information(constant, constant, plan, permutations=20)
    assert (information.loc[information["reading"] == "information", "score"] < 0.01).all()
    apart = support_coverage(real, real + 1000, plan)
    assert (apart["score"] == 0).all()
    assert (pair_scores(real, real + 1000, plan).query("reading == 'jsd'")["score"] < 1e-6).all()
    broken = real.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match="not a finite number"):
        pair_scores(real, broken)
    with pytest.raises(ValueError, match="at least 4"):
        support_coverage(real, real[:2])
    with pytest.raises(ValueError, match="16 real"):
        label_information(real[:6], real[:6])


def test_published_tables() -> None:
    assert (table1.excess_over_diagonal() > 0).all()
    np.testing.assert_array_equal(np.round(table2.implied_neighbors(2000), 2), printed.TABLE2_NEIGHBORS)
    low, high = table2.compatible_totals()
    assert low < 2000 < high
    assert not np.array_equal(np.round(table2.implied_neighbors(high + 2), 2), printed.TABLE2_NEIGHBORS)
