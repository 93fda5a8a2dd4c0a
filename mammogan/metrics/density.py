"""Gaussian kernel densities of two samples on one grid, and how far they overlap (Tables 1 and Figure 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

MARGIN = 3.0  # bandwidths that the grid reaches beyond the pooled range


def bandwidth(values: np.ndarray) -> float:
    """Rule of thumb 1.059 min(sd, IQR / 1.349) n^(-1/5) (Silverman 1986, 3.30, with the Gaussian's constant).

    A sample without spread gets 0.
    """
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    low, high = np.quantile(values, [0.25, 0.75])
    robust = (high - low) / 1.349
    return 1.059 * (min(spread, robust) if robust > 0 else spread) * len(values) ** -0.2


@dataclass(frozen=True)
class Grid:
    """A rectangle of equal cells: `count` a side, between `low` and `high` (2,) of each axis."""

    low: np.ndarray
    high: np.ndarray
    count: int

    @property
    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of the cells' centers along both axes."""
        return tuple(np.linspace(a, b, self.count) for a, b in zip(self.low, self.high, strict=True))  # type: ignore[return-value]

    @classmethod
    def around(cls, *samples: np.ndarray, count: int) -> Grid:
        """The pooled range of samples (n, 2), widened by `MARGIN` bandwidths of the widest kernel."""
        h = np.max([[bandwidth(sample[:, axis]) for axis in (0, 1)] for sample in samples], axis=0)
        pooled = np.concatenate(samples)
        low, high = pooled.min(0) - MARGIN * h, pooled.max(0) + MARGIN * h
        flat = high <= low  # one value only: any width shows it
        width = np.where(flat, np.maximum(np.abs(low), 1.0) * 1e-6, 0.0)
        return cls(low - width, high + width, count)


def density(sample: np.ndarray, grid: Grid) -> np.ndarray:
    """Product-Gaussian kernel density on a grid, as probabilities that sum to 1: (count, count).

    Points are shared among the four nearest cells (linear binning, Wand 1994), then each axis is convolved with its
    kernel: the cost does not grow with the number of points.

    Args:
        sample: (n, 2).
        grid: where.
    """
    position = (sample - grid.low) / (grid.high - grid.low) * (grid.count - 1)
    cell = np.clip(position.astype(int), 0, grid.count - 2)
    rest = position - cell
    mass = np.zeros(grid.count**2)
    for dx in (0, 1):
        for dy in (0, 1):
            share = np.abs(1 - dx - rest[:, 0]) * np.abs(1 - dy - rest[:, 1])
            index = (cell[:, 0] + dx) * grid.count + cell[:, 1] + dy
            mass += np.bincount(index, weights=share, minlength=grid.count**2)
    counts = mass.reshape(grid.count, grid.count)
    step = (grid.high - grid.low) / (grid.count - 1)
    for axis in (0, 1):
        sigma = bandwidth(sample[:, axis]) / step[axis]
        if sigma > 0:
            # Binning itself has a variance of 1/6 cell; the kernel makes up the rest.
            counts = gaussian_filter1d(
                counts, np.sqrt(max(sigma**2 - 1 / 6, 0.01)), axis=axis, mode="constant", truncate=6
            )
    return counts / counts.sum()


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence of two distributions on one grid, in bits: 0 for equal, 1 for disjoint (Lin 1991)."""
    middle = (p + q) / 2

    def relative(a: np.ndarray) -> float:
        keep = a > 0
        return float((a[keep] * np.log2(a[keep] / middle[keep])).sum())

    return min(max((relative(p) + relative(q)) / 2, 0.0), 1.0)


def overlap(p: np.ndarray, q: np.ndarray) -> float:
    """Sum of min(p, q): the mass that two distributions share."""
    return float(np.minimum(p, q).sum())


def normalized_mutual_information(p: np.ndarray, q: np.ndarray, levels: int = 256) -> float:
    """2 I / (H_a + H_b) of two pictures of `levels` grey values each: the score of image registration."""
    a, b = (np.minimum((image / image.max() * levels).astype(int), levels - 1).ravel() for image in (p, q))
    joint = np.bincount(a * levels + b, minlength=levels**2).reshape(levels, levels) / a.size

    def entropy(x: np.ndarray) -> float:
        x = x[x > 0]
        return float(-(x * np.log(x)).sum())

    ha, hb = entropy(joint.sum(1)), entropy(joint.sum(0))
    return 1.0 if ha + hb == 0 else 2 * (ha + hb - entropy(joint)) / (ha + hb)
