"""Compiled filters against SciPy's, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve1d

from mammogan.metrics.distances import BINOMIAL, enlarge
from mammogan.metrics.filters import filter_images


@settings(deadline=None)  # compiles
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.sampled_from([np.float32, np.float64]))
def test_a_filter_is_that_of_scipy(reach: int, rows: int, columns: int, kind: type) -> None:
    rng = np.random.default_rng(reach * 1000 + rows * 31 + columns)
    images = rng.normal(size=(2, 2 * reach + rows, 2 * reach + columns)).astype(kind)
    weights = rng.normal(size=2 * reach + 1)
    weights += weights[::-1]
    expected = images
    for axis in (1, 2):
        expected = convolve1d(expected, weights, axis=axis)
    filtered = filter_images(images, weights)
    assert filtered.dtype == kind
    np.testing.assert_array_equal(filtered, expected[:, reach:-reach, reach:-reach])


@pytest.mark.parametrize("shape", [(8, 7), (17, 16)])
def test_edges_of_a_pyramid_are_mirrored(shape: tuple[int, int]) -> None:
    coarse = np.random.default_rng(0).random((2, *(-(-side // 2) for side in shape))).astype(np.float32)
    expected = np.zeros((2, *shape), np.float32)
    expected[:, ::2, ::2] = coarse
    for axis in (1, 2):
        expected = convolve1d(expected, BINOMIAL * 2, axis=axis, mode="mirror")
    np.testing.assert_array_equal(enlarge(coarse, shape), expected)
