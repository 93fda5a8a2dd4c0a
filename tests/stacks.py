"""Comparisons of small stacks of smooth noise; stacks that are drawn when they are read."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

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


class Drawn:
    """An `ImageStack` of which no image is in memory: each is drawn when it is read.

    Attributes:
        most: images that were read at once, at most.
    """

    dtype = np.dtype(np.uint16)

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self.shape, self.most = (count, *size), 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: int | slice | np.ndarray) -> np.ndarray:
        rows = np.arange(len(self))[key]
        self.most = max(self.most, rows.size)
        h, w = self.shape[1:]
        y, x = np.arange(h)[:, None], np.arange(w)
        breast = (((y - h / 2) / (0.4 * h)) ** 2 + (x / (0.6 * w)) ** 2 < 1) * (1 + (x + 3 * y) % 64)
        return (breast * (rows[..., None, None] + 20)).astype(np.uint16)


def peak_of(work: Callable[[], object]) -> int:
    """Return the bytes that Python and NumPy hold at most during some work."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
