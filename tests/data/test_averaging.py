"""Compiled passes give the bits of plain code: sparse products, look-ups of whole images, levels step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mammogan.data.averaging import VALUES, LookUp, area_average, quantize_and_halve
from mammogan.data.store import pyramid, pyramid_sizes, quantize


def plain_weights(source: int, target: int) -> sparse.csr_array:
    """Return the float32 matrix (target, source) that averages samples over equal cells."""
    edges = np.arange(target + 1) * (source / target)
    first, last = np.floor(edges[:-1] + 1e-9).astype(int), np.ceil(edges[1:] - 1e-9).astype(int)
    rows = np.repeat(np.arange(target), last - first)
    columns = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
    overlap = np.minimum(columns + 1, edges[rows + 1]) - np.maximum(columns, edges[rows])
    weights = (overlap * (target / source)).astype(np.float32)
    return sparse.csr_array((weights, (rows, columns)), shape=(target, source))


def plain_average(gray: np.ndarray, height: int, width: int) -> np.ndarray:
    """Average by two sparse products in float32, first over rows."""
    rows, columns = plain_weights(gray.shape[0], height), plain_weights(gray.shape[1], width)
    return np.clip((columns @ (rows @ gray).T).T, 0, 1)


def plain_pyramid(image: np.ndarray, bits: int) -> list[np.ndarray]:
    """Return the levels, each halved and rounded by itself."""
    levels = [quantize(image, bits)]
    for _ in pyramid_sizes(*image.shape)[1:]:
        rows = image[::2] + image[1::2]
        image = (rows[:, ::2] + rows[:, 1::2]) / 4
        levels.append(quantize(image, bits))
    return levels[::-1]


sides = st.integers(1, 90)


@given(sides, sides, st.integers(1, 90), st.integers(1, 90), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_averages_have_the_bits_of_sparse_products(h: int, w: int, height: int, width: int, seed: int) -> None:
    height, width, rng = min(h, height), min(w, width), np.random.default_rng(seed)
    gray = rng.random((h, w), np.float32)
    np.testing.assert_array_equal(area_average(gray, height, width), plain_average(gray, height, width))
    table = rng.random(VALUES, np.float32)
    image = LookUp(rng.integers(0, VALUES, (h, w), np.uint16), table)
    np.testing.assert_array_equal(area_average(image, height, width), plain_average(image[:, :], height, width))


@pytest.mark.parametrize(("h", "w"), [(3328, 2560), (3000, 2401), (1281, 1024)])
def test_averages_of_mammograms_have_the_bits_of_sparse_products(h: int, w: int) -> None:
    gray = np.random.default_rng(0).random((h, w), np.float32)
    np.testing.assert_array_equal(area_average(gray, 1280, 1024), plain_average(gray, 1280, 1024))
    # Views and images that are read-only, mirrored or of another type are averaged too.
    for view in (gray[::-1, ::-1], np.asfortranarray(gray), gray.astype(np.float64), np.broadcast_to(gray[:1], (h, w))):
        np.testing.assert_array_equal(
            area_average(view, 1280, 1024), plain_average(view.astype(np.float32), 1280, 1024)
        )


def test_a_look_up_is_its_image() -> None:
    rng = np.random.default_rng(0)
    stored, table = rng.integers(0, VALUES, (60, 50), np.uint16), rng.random(VALUES, np.float32)
    image = LookUp(stored, table)
    assert image.shape == (60, 50)
    np.testing.assert_array_equal(np.asarray(image), table[stored])
    np.testing.assert_array_equal(np.asarray(image, np.float64), table[stored].astype(np.float64))
    np.testing.assert_array_equal(image[::7, 3:40:2], table[stored[::7, 3:40:2]])


@given(st.sampled_from([(40, 32), (64, 4), (7, 9), (160, 128)]), st.integers(1, 16), st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_levels_have_the_bits_of_plain_code(size: tuple[int, int], bits: int, double: bool, seed: int) -> None:
    image = np.random.default_rng(seed).random(size).astype(np.float64 if double else np.float32)
    for level, plain in zip(pyramid(image, bits), plain_pyramid(image, bits), strict=True):
        np.testing.assert_array_equal(level, plain)
    mirrored = image[:, ::-1]
    np.testing.assert_array_equal(pyramid(mirrored, bits)[0], plain_pyramid(mirrored, bits)[0])


def test_levels_round_half_to_even_and_clip() -> None:
    image = np.array([[-0.5, 0.5 / 255], [1.5 / 255, 2.5 / 255], [1, 3]], np.float64)
    gray, means = quantize_and_halve(image, 8)
    np.testing.assert_array_equal(gray, quantize(image, 8))
    assert gray.tolist()[2] == [255, 255] and gray[0, 0] == 0
    np.testing.assert_array_equal(means, [[image[:2].mean()]])
