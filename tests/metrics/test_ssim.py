"""Structural similarity against pytorch-msssim, and diversity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from noise import pictures
from pytorch_msssim import ms_ssim as torch_ms_ssim
from pytorch_msssim import ssim as torch_ssim

from mammogan.errors import ParameterError
from mammogan.metrics.ssim import SCALE_WEIGHTS, diversity, ms_ssim, similarity_scales

# The oracle's own window is float32, whose rounding costs it five digits.
WINDOW = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / (2 * 1.5**2))
WINDOW = (WINDOW / WINDOW.sum())[None, None, None]


@pytest.mark.parametrize("shape", [(192, 176), (256, 320)])
def test_ms_ssim_equals_pytorch_msssim(shape: tuple[int, int]) -> None:
    a = pictures(3, *shape, seed=1).astype(float) / 4095
    b = 0.7 * a + 0.3 * pictures(3, *shape, seed=2) / 4095
    pair = [torch.tensor(x)[:, None] for x in (a, b)]
    weights = (SCALE_WEIGHTS / SCALE_WEIGHTS.sum()).tolist()
    theirs = torch_ms_ssim(*pair, data_range=1.0, size_average=False, win=WINDOW, weights=weights)
    np.testing.assert_allclose(ms_ssim(a, b), theirs.numpy(), atol=1e-9)


def test_one_scale_is_ssim() -> None:
    a, b = (pictures(4, 20, 16, seed=s).astype(float) / 4095 for s in (1, 2))
    b = 0.5 * (a + b)
    pair = [torch.tensor(x)[:, None] for x in (a, b)]
    theirs = torch_ssim(*pair, data_range=1.0, size_average=False, win=WINDOW, nonnegative_ssim=True)
    np.testing.assert_allclose(ms_ssim(a, b), theirs.numpy(), atol=1e-9)


def test_scales_by_size() -> None:
    scales = [similarity_scales(*size) for size in ((1280, 1024), (160, 128), (80, 64), (40, 32), (20, 16), (5, 4))]
    assert scales == [5, 4, 3, 2, 1, 1]


def test_ms_ssim_of_degenerate_images() -> None:
    a = pictures(2, 40, 32).astype(float) / 4095
    np.testing.assert_allclose(ms_ssim(a, a), 1)
    np.testing.assert_allclose(ms_ssim(np.zeros((1, 5, 4)), np.zeros((1, 5, 4))), 1)
    assert 0 <= ms_ssim(np.zeros((1, 40, 32)), np.ones((1, 40, 32)))[0] < 0.5
    assert ms_ssim(a, 1 - a).max() < 0.1
    with pytest.raises(ParameterError, match="has the value nan"):
        ms_ssim(a, np.full_like(a, np.nan))
    with pytest.raises(ParameterError, match="one size"):
        ms_ssim(a, a[:, :20])


def test_diversity_falls_where_a_set_collapses() -> None:
    rng = np.random.default_rng(0)
    images = pictures(60, 40, 32, seed=3)
    collapsed = images[rng.integers(0, 3, 60)]
    whole, few = diversity(images, 12), diversity(collapsed, 12)
    assert whole.pairs == 30 and whole.scales == 2
    assert whole.similarity.low < whole.similarity.value < whole.similarity.high < few.similarity.value
    assert diversity(np.repeat(images[:1], 6, 0), 12).similarity.value == pytest.approx(1)
    lonely = diversity(images[:2], 12).similarity
    assert lonely.low == lonely.value == lonely.high
    with pytest.raises(ParameterError, match="is 1; give 2 or more"):
        diversity(images[:1], 12)
    with pytest.raises(ParameterError, match="one patient"):
        diversity(images, 12, groups=np.zeros(60))
    assert diversity(images, 12, groups=np.arange(60) // 30).pairs < 30
