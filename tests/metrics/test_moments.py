"""Moments against exact fractions and SciPy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from stacks import Drawn

from mammogan.errors import ParameterError
from mammogan.metrics.moments import NEAR, image_moments, moments_of_counts, moments_of_pixels, used_levels

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
    for image, moments in zip(images, image_moments(images, 12), strict=True):
        x = image.ravel() / 4095
        fifth = stats.moment(x, 5) / stats.moment(x, 2) ** 2.5
        expected = [x.mean(), x.var(), stats.skew(x), stats.kurtosis(x, fisher=False), fifth]
        np.testing.assert_allclose(moments, expected, rtol=1e-10)


def test_one_image_is_in_memory_at_a_time() -> None:
    images = Drawn(6, (640, 512))
    image_moments(images, 12)
    assert images.most == 1
    expected = np.concatenate([image_moments(images[row][None], 12) for row in range(6)])
    np.testing.assert_array_equal(image_moments(images, 12), expected)


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
    with pytest.raises(ParameterError, match=f"beyond {bits - 1} bits"):
        image_moments(image[None], bits - 1)


def test_shape_moments_ignore_gain_and_offset() -> None:
    image = RNG.integers(0, 1000, (1, 30, 30)).astype(np.uint16)
    first, second = image_moments(image, 12)[0], image_moments(image * 3 + 500, 12)[0]
    np.testing.assert_allclose(first[2:], second[2:], rtol=1e-10)
    assert second[1] == pytest.approx(9 * first[1])


def test_degenerate_images() -> None:
    constant = np.full((1, 4, 4), 7, np.uint16)
    np.testing.assert_allclose(image_moments(constant, 12), [[7 / 4095, 0, 0, 0, 0]])
    with pytest.raises(ParameterError, match="beyond 8 bits"):
        image_moments(np.full((1, 2, 2), 256, np.uint16), 8)
    with pytest.raises(ParameterError, match="unsigned integer"):
        image_moments(np.zeros((1, 2, 2)), 8)
    with pytest.raises(ParameterError, match="number of images is 0"):
        image_moments(np.zeros((0, 2, 2), np.uint16), 8)


def test_lost_bits_show_in_the_gray_levels_used() -> None:
    images = np.arange(2 * 256, dtype=np.uint16).reshape(2, 16, 16)
    assert used_levels(images, 9).tolist() == [256, 256]
    assert used_levels(images // 4 * 4, 9).tolist() == [64, 64]
    assert used_levels(np.full((1, 16, 16), 300, np.uint16), 9).tolist() == [1]
