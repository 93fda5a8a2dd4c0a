"""Areas are averaged, breasts keep their edge, borders go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammogan.data.geometry import crop_letterbox, crop_white_border, fit, resize
from mammogan.data.segmentation import chest_side


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_shrinking_keeps_the_mean(h: int, w: int, height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((h, w))
    resized = resize(image, min(height, h), min(width, w))
    assert resized.mean() == pytest.approx(image.mean(), abs=1e-6)
    assert resize(image, h, w) == pytest.approx(image, abs=1e-6)


def test_area_resize_against_whole_blocks() -> None:
    image = np.random.default_rng(0).random((60, 80))
    np.testing.assert_allclose(resize(image, 20, 20), image.reshape(20, 3, 20, 4).mean(axis=(1, 3)), atol=1e-6)


@pytest.mark.parametrize("side", ["L", "R"])
def test_fit_keeps_the_breast_at_its_edge(side: str) -> None:
    image = np.zeros((100, 50))
    image[20:80, :30] = 0.8
    image = image if side == "L" else image[:, ::-1]
    assert chest_side(image) == side
    placed = fit(image, 40, 32)
    assert placed.shape == (40, 32)
    assert placed[20, 0 if side == "L" else -1] == pytest.approx(0.8)
    # 60 x 30 pixels became 24 x 12: nothing was stretched.
    assert placed.sum() == pytest.approx(0.8 * 24 * 12)


def test_letterbox_is_cut() -> None:
    image = np.zeros((50, 60))
    image[5:45, 10:40] = 0.5
    assert crop_letterbox(image).shape == (40, 30)
    assert crop_letterbox(np.zeros((5, 5))).shape == (5, 5)


def test_a_white_border_is_cut_and_a_bright_breast_is_not() -> None:
    film = np.full((200, 160), 0.1)
    film[40:160, :70] = 0.9
    framed = np.pad(film, ((6, 4), (5, 9)), constant_values=1.0)
    np.testing.assert_array_equal(crop_white_border(framed), film)
    np.testing.assert_array_equal(crop_white_border(film), film)


def test_faint_lines_do_not_keep_padding_and_thin_ends_are_kept() -> None:
    image = np.zeros((300, 300), np.float32)
    image[:, 100:200] = 0.5
    image[150:152, 200:204] = 0.5  # a thin end, such as a nipple
    lined = image.copy()
    lined[290] = np.maximum(lined[290], 0.024)
    lined[20, 20:22] = 0.03  # a speck
    assert crop_letterbox(lined).shape == crop_letterbox(image).shape == (300, 104)


def test_a_saturated_breast_at_the_edge_is_not_a_frame() -> None:
    image = np.full((200, 160), 0.05)
    image[5:195, :70] = np.linspace(1, 0.6, 70)
    np.testing.assert_array_equal(crop_white_border(image), image)
