"""Mutual information between a moment and the label real or synthetic, by nearest neighbours (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial import cKDTree
from scipy.special import digamma
from sklearn.neighbors import KDTree

from mammogan.metrics.moments import MOMENT_NAMES, check_tables
from mammogan.metrics.resampling import Plan, in_threads, summary

MAXIMUM = float(np.log(2))  # nats: two classes of equal size that never meet
LINE_DRAW = 10_000  # images a side in draws of nearest neighbours on a line: their cost grows with the number
QUANTITIES = {
    "information": "information with the label, nats; not clipped at 0",
    "neighbors": "true mean of m, images within the third neighbour's distance; 6 under one distribution",
    "equivalent_neighbors": "inverse digamma of the information, which the paper prints as the average of m",
}


@dataclass(frozen=True)
class Information:
    """Estimate of the information between a value and a binary label, and what it is made of.

    Attributes:
        information: nats; negative values are left as they are. Noise makes them, and so do near copies of real images.
        neighbors: mean of m, the number of points of either class within the distance to the k-th neighbour of the
            own class; 2k where the classes share one distribution.
        equivalent_neighbors: psi^-1(psi(N) - <psi(N_x)> + psi(k) - information), the m that all points would have to
            share; what the paper prints as "average number of neighbors".
    """

    information: float
    neighbors: float
    equivalent_neighbors: float


def ross(first: np.ndarray, second: np.ndarray, k: int = 3) -> Information:
    """Mutual information between values and the class that they come from (Ross 2014, PLoS ONE 9:e87357, eq. 2).

    I = psi(N) - <psi(N_x)> + <psi(k)> - <psi(m)>, for each point with the distance d to its k-th neighbour of its class
    and m the points of both classes closer than or at d, itself not counted. Where several points of the class lie at
    d, k is their number (Gao et al. 2017, "Estimating mutual information for discrete-continuous mixtures", section 3):
    ties need no jitter, and values that are all alike give 0.

    Args:
        first, second: values of the two classes, (n,) or (n, dimensions); the distance is the largest coordinate's.
        k: neighbours.

    Raises:
        ValueError: a class has k points or fewer, or a value is not finite.
    """
    a, b = (np.asarray(x, np.float64) for x in (first, second))
    if min(len(a), len(b)) <= k:
        raise ValueError(f"{k} nearest neighbours need more than {k} images a class.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("A value is not a finite number; find the image and drop it.")
    if a.ndim == 1 or a.shape[1] == 1:
        a, b = np.sort(a.ravel()), np.sort(b.ravel())
        return _information(*_neighbors_line(a, b, k))
    return _information(*_neighbors_space(a, b, k))


def _information(own: list[np.ndarray], both: list[np.ndarray]) -> Information:
    """From the neighbours of each point, class by class: those of its own class, and those of both."""
    n = np.array([len(counts) for counts in own])
    total = int(n.sum())
    fixed = float(digamma(total) - n @ digamma(n) / total + _mean_digamma(own))
    information = fixed - _mean_digamma(both)
    mean = float(sum(int(counts.sum()) for counts in both) / total)
    return Information(information, mean, inverse_digamma(fixed - information))


def _mean_digamma(counts: list[np.ndarray]) -> float:
    # Few different numbers occur: digamma is taken once of each.
    often = np.bincount(np.concatenate(counts))
    found = np.flatnonzero(often)
    return float(often[found] @ digamma(found) / often.sum())


def _slack(size: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Rounding of x +- r may fall short of the very neighbour that defines r: a few units in the last place."""
    return 4 * np.finfo(float).eps * (np.abs(size) + radius)


def _neighbors_line(a: np.ndarray, b: np.ndarray, k: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Neighbours in two sorted samples: the k-th of a point ends one of k + 1 windows of k + 1 points around it."""
    own, both = [], []
    for x, other in ((a, b), (b, a)):
        n = len(x)
        padded = np.concatenate([np.full(k + 1, -np.inf), x, np.full(k + 1, np.inf)])
        near = [padded[k + 1 + offset : k + 1 + offset + n] for offset in range(-k - 1, k + 2)]
        radius = np.full(n, np.inf)
        for left in range(k + 1):
            # Points left before x and k - left behind it.
            reach = np.maximum(x - near[k + 1 - left], near[2 * k + 1 - left] - x)
            np.minimum(radius, reach, out=radius)
        reach = radius + _slack(x, radius)
        low, high = x - reach, x + reach
        inside = sum((near[place] >= low) & (near[place] <= high) for place in range(2 * k + 3) if place != k + 1)
        count = np.asarray(inside, np.int64)
        if (tied := count > k).any():
            count[tied] = np.searchsorted(x, high[tied], "right") - np.searchsorted(x, low[tied], "left") - 1
        strangers = np.searchsorted(other, high, "right") - np.searchsorted(other, low, "left")
        own.append(count)
        both.append(count + strangers)
    return own, both


def _neighbors_space(a: np.ndarray, b: np.ndarray, k: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Neighbours in two samples of several dimensions."""
    # Points in strips, up one and down the next: neighbours in space are neighbours in memory.
    a, b = _in_strips(a), _in_strips(b)
    trees = [KDTree(x, leaf_size=40, metric="chebyshev") for x in (a, b)]
    own, both = [], []
    for x, tree, other in ((a, *trees), (b, *trees[::-1])):
        radius, next_one = cKDTree(x).query(x, k=[k + 1, k + 2], p=np.inf)[0].T
        reach = radius + _slack(np.abs(x).max(1), radius)
        count = np.full(len(x), k)
        if (tied := next_one <= reach).any():
            count[tied] = tree.query_radius(x[tied], reach[tied], count_only=True) - 1
        own.append(count)
        both.append(count + other.query_radius(x, reach, count_only=True))
    return own, both


def _in_strips(x: np.ndarray) -> np.ndarray:
    rank = np.empty(len(x), np.int64)
    rank[np.argsort(x[:, 0])] = np.arange(len(x))
    strip = rank // max(int(np.sqrt(len(x))), 1)
    return x[np.lexsort((np.where(strip % 2, -x[:, 1], x[:, 1]), strip))]


def inverse_digamma(value: float) -> float:
    """m > 0 with psi(m) = value."""
    return float(brentq(lambda m: digamma(m) - value, 1e-6, np.exp(value) + 2))


def label_information(
    real: np.ndarray, synthetic: np.ndarray, plan: Plan | None = None, *, k: int = 3, permutations: int = 200
) -> pd.DataFrame:
    """Table 2 with what it lacks: uncertainty, chance's own value, and what two sets of real images score.

    P is the share of label permutations, of images one by one, that tell as much as the labels do.

    Args:
        real, synthetic: (N, 5) moments.
        plan: which images are compared; all, where it is not given.
        k: neighbours.
        permutations: behind P and chance.

    Returns:
        three rows a moment: moment, reading (see `QUANTITIES`), the columns of `resampling.summary`, n,
        n_ceiling, chance (95th percentile of the information under permuted labels) and p. The ratio of an information
        is that of 1 - information / ln 2, since its own ceiling lies about 0.

    Raises:
        ValueError: too few images, or a moment that is not finite.
    """
    real, synthetic = check_tables(real, synthetic)
    plan = plan or Plan(len(real), len(synthetic))
    compared = plan.compared
    intervals, ceilings = plan.intervals(LINE_DRAW), plan.ceilings()
    if min(len(intervals[0][0]), len(ceilings[0][0])) <= k:
        raise ValueError(f"Half samples need more than {k} images; give {2 * (k + 1)} images a class or more.")

    def moment(column: int) -> list[dict[str, object]]:
        a, b = real[:, column], synthetic[:, column]
        found = ross(a[compared[0]], b[compared[1]], k)
        chance = _by_chance(a[compared[0]], b[compared[1]], k, permutations, np.random.default_rng([plan.seed, 3]))
        parts = [
            [ross(a[one], b[two], k) for one, two in intervals],
            [ross(a[one], b[other], k) for one, _, other in ceilings],
            [ross(a[one], a[two], k) for one, two, _ in ceilings],
        ]
        rows = []
        for reading in QUANTITIES:
            estimate, *values = (np.array([getattr(x, reading) for x in several]) for several in ([found], *parts))
            row = summary(estimate[0], *values, share=plan.share(LINE_DRAW))
            if reading == "information":
                score = summary(*(1 - x / MAXIMUM for x in (estimate[0], *values)), share=plan.share(LINE_DRAW))
                row |= {key: score[key] for key in ("ratio", "ratio_low", "ratio_high")}
            rows.append(
                {
                    "moment": MOMENT_NAMES[column],
                    "reading": reading,
                    **row,
                    "n": plan.size,
                    "n_ceiling": plan.half,
                    "chance": float(np.quantile(chance, 0.95)),
                    "p": float(1 + (chance >= found.information).sum()) / (1 + permutations),
                }
            )
        return rows

    return pd.DataFrame([row for rows in in_threads(moment, range(real.shape[1])) for row in rows])


def _by_chance(a: np.ndarray, b: np.ndarray, k: int, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Information under permuted labels, (permutations,)."""
    both = np.sort(np.concatenate([a, b]))

    def draw() -> np.ndarray:
        first = np.zeros(len(both), bool)
        first[rng.choice(len(both), len(a), replace=False, shuffle=False)] = True
        return first

    def score(first: np.ndarray) -> float:
        return _information(*_neighbors_line(both[first], both[~first], k)).information

    return np.array(in_threads(score, [draw() for _ in range(permutations)]))
