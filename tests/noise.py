"""Smooth noise, in place of images."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter


def pictures(n: int, h: int, w: int, seed: int = 0, smooth: float = 2.0) -> np.ndarray:
    """Return smooth noise of 12 bits, (n, h, w)."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(n, h, w)), (0, smooth, smooth))
    return (2048 + 500 * noise / noise.std()).clip(0, 4095).astype(np.uint16)
