"""Comparisons of small stacks of smooth noise."""

from __future__ import annotations

import numpy as np
from noise import pictures

from mammogan.metrics.moments import image_moments
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.report.alignment import Comparison


def stack(count: int = 120) -> np.ndarray:
    """Return smooth noise about a level per image, (count, 20, 16), 12 bits."""
    level = np.random.default_rng(1).normal(0, 150, (count, 1, 1))
    return (pictures(count, 20, 16, smooth=1.5) + level).clip(0, 4095).astype(np.uint16)


def compare(
    real: np.ndarray, synthetic: np.ndarray, trained: np.ndarray | None = None, public: bool = True
) -> Comparison:
    """Return a comparison of two stacks, two real images per patient."""
    design = ResamplingDesign(np.arange(len(real)) // 2, len(synthetic), draws=4, splits=4)
    first, second = (image_moments(images, 12) for images in (real, synthetic))
    return Comparison(first, second, design, (real, synthetic), 12, trained, public)
