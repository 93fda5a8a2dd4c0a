"""Sliced Wasserstein distance and its pyramid against plain references and known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise import pictures
from scipy import stats
from scipy.ndimage import gaussian_filter

from mammogan.errors import ParameterError
from mammogan.metrics.distances import (
    PATCH,
    blockwise_distance,
    enlarge,
    laplacian_pyramid,
    laplacian_sizes,
    patches,
    sliced_wasserstein,
    sliced_wasserstein_table,
)
from mammogan.metrics.resampling import ResamplingDesign


@pytest.mark.parametrize("shape", [(40, 32), (37, 45), (7, 9), (160, 128)])
def test_the_pyramid_gives_the_images_back(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(1).random((2, *shape))
    bands = laplacian_pyramid(images)
    assert [band.shape[1:] for band in bands] == laplacian_sizes(*shape)
    back = bands[-1]
    for band in bands[-2::-1]:
        back = band + enlarge(back, band.shape[1:])
    np.testing.assert_allclose(back, images, atol=1e-12)


@pytest.mark.parametrize("shape", [(40, 32), (64, 80)])
def test_a_level_equals_the_filter_written_out(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(2).random(shape)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256

    def smooth(x: np.ndarray, gain: float) -> np.ndarray:
        padded = np.pad(x, 2, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
        return gain * np.einsum("ijkl,kl->ij", windows, kernel)

    coarse = smooth(image, 1)[::2, ::2]
    zeros = np.zeros(shape)
    zeros[::2, ::2] = coarse
    np.testing.assert_allclose(laplacian_pyramid(image[None])[0][0], image - smooth(zeros, 4), atol=1e-12)


def test_sizes_of_the_levels() -> None:
    assert laplacian_sizes(1280, 1024) == [(1280 >> k, 1024 >> k) for k in range(7)]
    assert laplacian_sizes(40, 32) == [(40, 32), (20, 16)]
    assert laplacian_sizes(20, 16) == [(20, 16)]
    with pytest.raises(ParameterError, match="is 4; give 7 or more"):
        laplacian_sizes(5, 4)


def test_patches_are_cut_from_the_bands_whatever_the_block() -> None:
    images = pictures(9, 40, 32)
    whole, parts = (patches(images, 12, count=8, seed=3, block=block) for block in (9, 2))
    bands = laplacian_pyramid(images.astype(np.float32) / 4095)
    for level, (first, second) in enumerate(zip(whole, parts, strict=True)):
        np.testing.assert_array_equal(first, second)
        windows = np.lib.stride_tricks.sliding_window_view(bands[level][4], (PATCH, PATCH)).reshape(-1, PATCH**2)
        for patch in first[4]:
            assert np.abs(windows - patch).sum(1).min() < 1e-5


def test_sliced_wasserstein_equals_scipy_direction_by_direction() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(6, 5, 49)), rng.gamma(2, 1, (6, 5, 49))
    distance = sliced_wasserstein(a, b, projections=40, seed=9)["real"]
    directions = np.random.default_rng(9).standard_normal((49, 40))
    directions /= np.linalg.norm(directions, axis=0)
    x, y = ((v.reshape(-1, 49) - a.mean()) / a.std() @ directions for v in (a, b))
    expected = np.mean([stats.wasserstein_distance(x[:, k], y[:, k]) for k in range(40)])
    assert distance == pytest.approx(1000 * expected, rel=1e-4)


def test_a_shift_has_its_known_distance_and_only_the_real_normalization_sees_it() -> None:
    a = np.random.default_rng(5).normal(size=(40, 16, 49))
    directions = np.random.default_rng(0).standard_normal((49, 512))
    directions /= np.linalg.norm(directions, axis=0)
    distance = sliced_wasserstein(a, a + 0.5 * a.std())["real"]
    assert distance == pytest.approx(1000 * 0.5 * np.abs(directions.sum(0)).mean(), rel=1e-3)
    assert sliced_wasserstein(a, 2 * a + 0.5)["own"] == pytest.approx(0, abs=0.01)
    assert sliced_wasserstein(a, 2 * a)["real"] > 100


@given(st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_sliced_wasserstein_is_a_distance(seed: int) -> None:
    a, b, c = np.random.default_rng(seed).gamma(2, 1, (3, 6, 4, 49))

    def between(x: np.ndarray, y: np.ndarray) -> float:
        # Each set is normalized by itself here: what remains of the sets is the same in all three pairs.
        return sliced_wasserstein(x, y, projections=32)["own"]

    assert between(a, a) == 0
    assert between(a, b) == pytest.approx(between(b, a), rel=1e-5)
    assert between(a, c) <= between(a, b) + between(b, c) + 1e-3


def test_damage_shows_where_it_is() -> None:
    real, other = pictures(64, 64, 64, 1, 1.0), pictures(64, 64, 64, 2, 1.0)
    blurred = gaussian_filter(other.astype(float), (0, 0.7, 0.7)).astype(np.uint16)
    brighter = (other + 200).astype(np.uint16)
    tables = {
        name: sliced_wasserstein_table(
            real, x, 12, ResamplingDesign(64, 64, draws=4, splits=4), count=32, projections=64
        ).set_index(["size", "normalization"])
        for name, x in {"none": other, "blur": blurred, "brighter": brighter}.items()
    }
    ratio = {name: table["score"] / tables["none"]["score"] for name, table in tables.items()}
    assert ratio["blur"]["64 x 64", "real"] > 3
    assert ratio["blur"]["64 x 64", "real"] > 2 * ratio["blur"]["16 x 16", "real"]
    assert ratio["brighter"]["16 x 16", "real"] > 3
    assert ratio["brighter"]["16 x 16", "own"] == pytest.approx(1, abs=0.2)
    row = tables["none"].iloc[0]
    assert row["low"] < row["score"] < row["high"] and (row["n"], row["n_ceiling"]) == (64, 32)
    assert row["score_n"] == pytest.approx(row["ceiling"], rel=0.5)


def test_a_large_set_is_compared_block_by_block() -> None:
    rng = np.random.default_rng(3)
    real, synthetic = ([rng.normal(size=(n, 8, 49)).astype(np.float32) for _ in range(2)] for n in (3, 8))
    synthetic[1] += 1
    expected = [
        np.mean([sliced_wasserstein(a, b[start : start + 3])["real"] for start in (0, 3)])  # two are left over
        for a, b in zip(real, synthetic, strict=True)
    ]
    np.testing.assert_allclose(blockwise_distance(real, synthetic), expected)
    assert blockwise_distance(real, real).tolist() == [0, 0]
    with pytest.raises(ParameterError, match="synthetic images"):
        blockwise_distance(synthetic, real)


def test_sliced_wasserstein_of_degenerate_sets() -> None:
    black, white = np.zeros((16, 20, 16), np.uint16), np.full((16, 20, 16), 4095, np.uint16)
    same = sliced_wasserstein_table(black, black, 12, projections=8)
    assert (same[["score", "low", "high", "ceiling"]] == 0).all(axis=None)
    far = sliced_wasserstein_table(black, white, 12, projections=8).set_index("normalization")["score"]
    assert np.isfinite(far).all() and far["real"] > 0 and far["own"] == pytest.approx(0, abs=1e-3)
    images = pictures(16, 40, 32)
    assert (sliced_wasserstein_table(images, images, 12, projections=8)["score"] == 0).all()
    with pytest.raises(ParameterError, match="unsigned integer"):
        patches(images.astype(float), 12)
    with pytest.raises(ParameterError, match="two sets of one size"):
        sliced_wasserstein_table(images, pictures(16, 32, 40), 12)
    with pytest.raises(ParameterError, match="real images is 1; give 16 or more"):
        sliced_wasserstein_table(images[:1], images, 12)
    with pytest.raises(ParameterError, match="is 0; give 1 or more"):
        sliced_wasserstein(np.zeros((0, 1, 49)), np.zeros((1, 1, 49)))
