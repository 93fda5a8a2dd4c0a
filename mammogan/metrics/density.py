"""Gaussian kernel densities of two samples on one grid, and how far they overlap (Tables 1 and Figure 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.special import xlogy

MARGIN = 3.0  # bandwidths that the grid reaches beyond the pooled range
FINER = 5
DENSE = 8  # a kernel that reaches over more than one in so many cells is no sparse matrix
IN_MEMORY = 4_000_000  # numbers at a time


def bandwidth(values: np.ndarray) -> float:
    """Rule of thumb 1.059 min(sd, IQR / 1.349) n^(-1/5) (Silverman 1986, 3.30, with the Gaussian's constant).

    A sample without spread gets 0.
    """
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    low, high = np.quantile(values, [0.25, 0.75])
    robust = (high - low) / 1.349
    return 1.059 * (min(spread, robust) if robust > 0 else spread) * len(values) ** -0.2


def bandwidths(table: np.ndarray) -> np.ndarray:
    """`bandwidth` of every column of a table (n, columns); (columns,)."""
    return np.array([bandwidth(column) for column in table.T])


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

    @property
    def step(self) -> np.ndarray:
        """Side of a cell along both axes, (2,)."""
        return (self.high - self.low) / (self.count - 1)

    @classmethod
    def around(cls, *samples: np.ndarray, count: int) -> Grid:
        """The pooled range of samples (n, 2), widened by `MARGIN` bandwidths of the widest kernel."""
        h = np.max([bandwidths(sample) for sample in samples], axis=0)
        pooled = np.concatenate(samples)
        low, high = pooled.min(0) - MARGIN * h, pooled.max(0) + MARGIN * h
        flat = high <= low  # one value only: any width shows it
        width = np.where(flat, np.maximum(np.abs(low), 1.0) * 1e-6, 0.0)
        return cls(low - width, high + width, count)


@dataclass(frozen=True)
class Binned:
    """A sample shared among the cells of a grid: the densities of its subsets then cost one sparse product.

    A point is shared among the four nearest cells (linear binning, Wand 1994, J. Comput. Graph. Stat. 3:433) and each
    axis is smoothed with its kernel, so that the cost of smoothing does not grow with the number of points. Where the
    kernel is narrower than a cell and a half, as heavy tails make it, points are binned on a grid up to `FINER` times
    as fine along that axis.

    Attributes:
        sample: (n, 2).
        grid: where. Points outside do not count.
    """

    sample: np.ndarray
    grid: Grid

    @cached_property
    def _finer(self) -> np.ndarray:
        """How many fine cells there are to a cell, along both axes; (2,)."""
        width = bandwidths(self.sample) / self.grid.step
        # A spike between the cells would be missed: each cell gets its share of the points instead.
        spike = width * FINER < 0.75
        return np.where(spike, 1, np.clip(np.ceil(1.5 / np.where(spike, 1, width)), 1, FINER)).astype(int)

    @property
    def _count(self) -> np.ndarray:
        """Fine cells along both axes, (2,)."""
        return (self.grid.count - 1) * self._finer + 1

    @cached_property
    def _shares(self) -> sparse.csr_array:
        """(fine cells, n): which part of a point each cell gets."""
        count = self._count
        position = (self.sample - self.grid.low) / self.grid.step * self._finer
        inside = ((position >= -1e-9) & (position <= count - 1 + 1e-9)).all(1)
        cell = np.clip(position, 0, count - 2).astype(int)
        rest = position - cell
        points = np.arange(len(position))
        shares, cells = [], []
        for dx in (0, 1):
            for dy in (0, 1):
                shares.append(np.abs(1 - dx - rest[:, 0]) * np.abs(1 - dy - rest[:, 1]) * inside)
                cells.append((cell[:, 0] + dx) * count[1] + cell[:, 1] + dy)
        return sparse.csr_array(
            (np.concatenate(shares), (np.concatenate(cells), np.tile(points, 4))), shape=(count.prod(), len(points))
        )

    def densities(self, subsets: Sequence[np.ndarray], widths: np.ndarray) -> Iterator[np.ndarray]:
        """Product-Gaussian kernel densities of subsets, as probabilities that sum to 1: (count, count) each.

        Args:
            subsets: rows of each subset.
            widths: (subsets, 2) bandwidths.
        """
        together = max(IN_MEMORY // max(self._count.prod(), len(self.sample)), 1)
        for start in range(0, len(subsets), together):
            some = subsets[start : start + together]
            chosen = np.zeros((len(self.sample), len(some)))
            for column, rows in enumerate(some):
                chosen[rows, column] = 1
            binned = np.ascontiguousarray((self._shares @ chosen).T).reshape(-1, *self._count)
            for counts, width in zip(binned, widths[start : start + together], strict=True):
                x, y = (
                    _kernel(w / s, self.grid.count, int(f))
                    for w, s, f in zip(width, self.grid.step, self._finer, strict=True)
                )
                smooth = (x @ counts) @ y.T
                yield smooth / smooth.sum()


def _kernel(sigma: float, count: int, finer: int) -> np.ndarray | sparse.csr_array:
    """Matrix (count, (count - 1) finer + 1) that evaluates at the cells what lies on the finer grid.

    Beyond eight standard deviations the kernel is taken as 0; it is sparse where it is narrow.
    """
    size = (count - 1) * finer + 1
    # Binning itself has a variance of 1/6 of a (fine) cell; the kernel makes up the rest.
    variance = max((sigma * finer) ** 2 - 1 / 6, 0.0)
    reach = min(int(np.ceil(8 * np.sqrt(variance))), size - 1) if variance >= 0.01 else 0
    weights = np.exp(-0.5 * np.arange(reach + 1) ** 2 / max(variance, 0.01))
    weights /= 2 * weights.sum() - 1
    offsets = np.arange(-reach, reach + 1)
    if DENSE * len(offsets) > size:
        away = np.abs(np.arange(0, size, finer)[:, None] - np.arange(size))
        return np.where(away <= reach, weights[np.minimum(away, reach)], 0)
    columns = np.arange(0, size, finer)[:, None] + offsets
    inside = (columns >= 0) & (columns < size)
    values = np.broadcast_to(weights[np.abs(offsets)], columns.shape)[inside]
    ends = np.concatenate([[0], np.cumsum(inside.sum(1))])
    return sparse.csr_array((values, columns[inside], ends), shape=(count, size))


def density(sample: np.ndarray, grid: Grid) -> np.ndarray:
    """Product-Gaussian kernel density of a sample (n, 2) on a grid, as probabilities that sum to 1: (count, count)."""
    return next(Binned(sample, grid).densities([np.arange(len(sample))], bandwidths(sample)[None]))


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence of two distributions on one grid, in bits: 0 for equal, 1 for disjoint (Lin 1991)."""
    middle = (p + q) / 2
    # xlogy takes 0 log 0 as 0; where p and q are 0 so is their mean.
    nats = (xlogy(p, p) + xlogy(q, q)).sum() / 2 - xlogy(middle, middle).sum()
    return float(np.clip(nats / np.log(2), 0, 1))


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
