"""Comparisons of small stacks of smooth noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from mammogan.metrics.moments import image_moments
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.report.alignment import Comparison


def noise(count: int = 120) -> np.ndarray:
    """Return smooth noise about a level per image, (count, 20, 16), 12 bits."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(count, 20, 16)), (0, 1.5, 1.5))
    level = rng.normal(0, 150, (count, 1, 1))
    return (1800 + level + 400 * smooth / smooth.std()).clip(0, 4095).astype(np.uint16)


def compare(
    real: np.ndarray, synthetic: np.ndarray, trained: np.ndarray | None = None, public: bool = True
) -> Comparison:
    """Return a comparison of two stacks, two real images per patient."""
    design = ResamplingDesign(np.arange(len(real)) // 2, len(synthetic), draws=4, splits=4)
    first, second = (image_moments(images, 12) for images in (real, synthetic))
    return Comparison(first, second, design, (real, synthetic), 12, trained, public)
