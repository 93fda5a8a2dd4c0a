"""Mutual information between a moment and the label real or synthetic, by nearest neighbors (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial import cKDTree
from scipy.special import digamma
from sklearn.neighbors import KDTree

from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.metrics.resampling import ResamplingDesign, summary
from mammogan.metrics.validation import check_tables
from mammogan.parallel import in_threads

MAXIMUM = float(np.log(2))  # nats: two classes of equal size that never meet
LINE_DRAW = 10_000  # images a side in draws of nearest neighbors on a line: their cost grows with the number
NEAR = 8  # places to either side; one in a hundred third neighbors of a permutation is farther
MOST = np.iinfo(np.uint8).max
QUANTITIES = {
    "information": "information with the label, nats; not clipped at 0",
    "neighbors": "true mean of m, images within the third neighbor's distance; 6 under one distribution",
    "equivalent_neighbors": "inverse digamma of the information, which the paper prints as the average of m",
}


@dataclass(frozen=True)
class Information:
    """Estimate of the information between a value and a binary label, and what it is made of.

    Attributes:
        information: nats; negative values are left as they are. Noise makes them, and so do near copies of real images.
        neighbors: mean of m, the number of points of either class within the distance to the k-th neighbor of the
            own class; 2k where the classes share one distribution.
        equivalent_neighbors: psi^-1(psi(N) - <psi(N_x)> + psi(k) - information), the m that all points would have to
            share; what the paper prints as "average number of neighbors".
    """

    information: float
    neighbors: float
    equivalent_neighbors: float


def mutual_information(first: np.ndarray, second: np.ndarray, k: int = 3) -> Information:
    """Mutual information between values and the class that they come from (Ross 2014, PLoS ONE 9:e87357, eq. 2).

    I = psi(N) - <psi(N_x)> + <psi(k)> - <psi(m)>, for each point with the distance d to its k-th neighbor of its class
    and m the points of both classes closer than or at d, itself not counted. Where several points of the class lie at
    d, k is their number (Gao et al. 2017, "Estimating mutual information for discrete-continuous mixtures", section 3):
    ties need no jitter, and values that are all alike give 0.

    Args:
        first, second: values of the two classes, (n,) or (n, dimensions); the distance is the largest coordinate's.
        k: neighbors.

    Raises:
        ValueError: a class has k points or fewer, or a value is not finite.
    """
    a, b = (np.asarray(x, np.float64) for x in (first, second))
    if min(len(a), len(b)) <= k:
        raise ValueError(f"{k} nearest neighbors need more than {k} images a class.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("A value is not a finite number; find the image and drop it.")
    if a.ndim == 1 or a.shape[1] == 1:
        return _information(k, *_neighbors_line(np.sort(a.ravel()), np.sort(b.ravel()), k))
    return _information(k, *_neighbors_space(a, b, k))


def _information(k: int, tied: list[np.ndarray], both: list[np.ndarray]) -> Information:
    """From the neighbors of each point, class by class: those of its own class where they are more than k, and all."""
    n = np.array([len(counts) for counts in both])
    total = int(n.sum())
    own = np.bincount(np.concatenate(tied), minlength=k + 1)
    own[k] += total - own.sum()
    often = np.bincount(np.concatenate(both))
    fixed = float(digamma(total) - n @ digamma(n) / total + _mean_digamma(own))
    information = fixed - _mean_digamma(often)
    mean = float(often @ np.arange(len(often)) / total)
    return Information(information, mean, inverse_digamma(fixed - information))


def _mean_digamma(often: np.ndarray) -> float:
    """Of numbers 0, 1, ..., from how often each occurs."""
    found = np.flatnonzero(often)
    return float(often[found] @ digamma(found) / often.sum())


def _slack(size: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Rounding of x +- r may fall short of the very neighbor that defines r: a few units in the last place."""
    return 4 * np.finfo(float).eps * (np.abs(size) + radius)


def _reach(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance of each point of a sorted sample to its k-th neighbor, and how many lie within it, left and right.

    No more than k + 1 are counted on a side: where they are more than k together, the point has ties.
    """
    n = len(x)
    padded = np.concatenate([np.full(k + 1, -np.inf), x, np.full(k + 1, np.inf)])
    # What a point is from the one some steps on, that one is from it.
    gaps = [padded[k + 1 : k + 1 + n + step] - padded[k + 1 - step : k + 1 + n] for step in range(1, k + 2)]
    left, right = [gap[:n] for gap in gaps], [gap[-n:] for gap in gaps]
    radius = np.minimum(left[k - 1], right[k - 1])
    for step in range(k - 1):  # the nearest k are some on the left and the rest on the right
        np.minimum(radius, np.maximum(left[k - 2 - step], right[step]), out=radius)
    reach = radius + _slack(x, radius)
    before, after = (sum((far <= reach).view(np.int8) for far in side) for side in (left, right))
    return reach, before, after


def _within(x: np.ndarray, at: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """How many of a sorted sample lie within reach of points."""
    return np.searchsorted(x, at + reach, "right") - np.searchsorted(x, at - reach, "left")


def _neighbors_line(a: np.ndarray, b: np.ndarray, k: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Neighbors in two sorted samples, as `_information` takes them."""
    ties, both = [], []
    for x, other in ((a, b), (b, a)):
        reach, before, after = _reach(x, k)
        tied = np.flatnonzero(before + after > k)
        count = _within(other, x, reach) + k
        ties.append(_within(x, x[tied], reach[tied]) - 1)
        count[tied] += ties[-1] - k
        both.append(count)
    return ties, both


def _neighbors_space(a: np.ndarray, b: np.ndarray, k: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Neighbors in two samples of several dimensions, as `_information` takes them."""
    near = [cKDTree(x, balanced_tree=False, compact_nodes=False) for x in (a, b)]
    a, b = a[near[0].indices], b[near[1].indices]  # neighbors in space are neighbors in memory
    trees = [KDTree(x, leaf_size=20, metric="chebyshev") for x in (a, b)]
    ties, both = [], []
    for x, closest, tree, other in ((a, near[0], *trees), (b, near[1], *trees[::-1])):
        radius, next_one = closest.query(x, k=[k + 1, k + 2], p=np.inf)[0].T
        reach = radius + _slack(np.abs(x).max(1), radius)
        tied = np.flatnonzero(next_one <= reach)
        count = other.query_radius(x, reach, count_only=True) + k
        ties.append(tree.query_radius(x[tied], reach[tied], count_only=True) - 1 if len(tied) else tied)
        count[tied] += ties[-1] - k
        both.append(count)
    return ties, both


def inverse_digamma(value: float) -> float:
    """m > 0 with psi(m) = value."""
    return float(brentq(lambda m: digamma(m) - value, 1e-6, np.exp(value) + 2))


def label_information(
    real: np.ndarray,
    synthetic: np.ndarray,
    plan: ResamplingDesign | None = None,
    *,
    k: int = 3,
    permutations: int = 200,
) -> pd.DataFrame:
    """Table 2 with what it lacks: uncertainty, chance's own value, and what two sets of real images score.

    P is the share of label permutations, of images one by one, that tell as much as the labels do.

    Args:
        real, synthetic: (N, 5) moments.
        plan: which images are compared; all, where it is not given.
        k: neighbors.
        permutations: behind P and chance.

    Returns:
        three rows a moment: moment, reading (see `QUANTITIES`), the columns of `resampling.summary`, n,
        n_ceiling, chance (95th percentile of the information under permuted labels) and p. The ratio of an information
        is that of 1 - information / ln 2, since its own ceiling lies about 0.

    Raises:
        ValueError: too few images, or a moment that is not finite.
    """
    real, synthetic = check_tables(real, synthetic)
    plan = plan or ResamplingDesign(len(real), len(synthetic))
    compared = plan.compared
    intervals, ceilings = plan.intervals(LINE_DRAW), plan.ceilings()
    if min(len(intervals[0][0]), len(ceilings[0][0])) <= k:
        raise ValueError(f"Half samples need more than {k} images; give {2 * (k + 1)} images a class or more.")
    permuted = permuted_labels(plan.size, 2 * plan.size, permutations, plan.seed)

    def moment(column: int) -> list[dict[str, object]]:
        a, b = real[:, column], synthetic[:, column]
        found = mutual_information(a[compared[0]], b[compared[1]], k)
        chance = by_chance(np.concatenate([a[compared[0]], b[compared[1]]]), permuted, k)
        parts = [
            [mutual_information(a[one], b[two], k) for one, two in intervals],
            [mutual_information(a[one], b[other], k) for one, _, other in ceilings],
            [mutual_information(a[one], a[two], k) for one, two, _ in ceilings],
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


def permuted_labels(first: int, count: int, permutations: int, seed: int) -> list[np.ndarray]:
    """Which of `count` points are of the first class, `first` of them, permutation by permutation."""
    rng = np.random.default_rng([seed, 3])
    found = []
    for _ in range(permutations):
        of_first = np.zeros(count, bool)
        of_first[rng.choice(count, first, replace=False, shuffle=False)] = True
        found.append(of_first)
    return found


def by_chance(values: np.ndarray, permutations: list[np.ndarray], k: int = 3) -> np.ndarray:
    """Information of values with labels permuted; (permutations,), what `ross` says of each.

    The values stay where they are. How many lie within reach is counted once, with reaches to the point one, two, ...
    `NEAR` places to the left and to the right: a permutation finds its k-th neighbors, and looks up what is within.

    Args:
        values: of both classes, (n,).
        permutations: (n,) each, which of the values in ascending order are of the first class.
        k: neighbors.
    """
    x = np.sort(values)
    n = len(x)
    padded = np.concatenate([np.full(NEAR, -np.inf), x, np.full(NEAR, np.inf)])
    # Bytes, that the table may stay in the processor's cache; the point itself is not counted.
    counts = np.zeros((n, 2 * NEAR + 1), np.uint8)

    def fill(place: int) -> None:
        radius = np.abs(padded[place : place + n] - x)
        counts[:, place] = np.minimum(_within(x, x, radius + _slack(x, radius)) - 1, MOST)

    in_threads(fill, [place for place in range(2 * NEAR + 1) if place != NEAR])

    def score(first: np.ndarray) -> float:
        ties, both = [], []
        for mine in (np.flatnonzero(first), np.flatnonzero(~first)):
            own = x[mine]
            reach, before, after = _reach(own, k)
            number = np.arange(len(mine))
            left, right = mine - mine[number - before], mine[number + after] - mine
            row = mine * counts.shape[1] + NEAR
            # The k-th neighbor is one of the two ends.
            count = np.maximum(counts.take(row - left, mode="clip"), counts.take(row + right, mode="clip"))
            far = np.flatnonzero((np.maximum(left, right) > NEAR) | (count == MOST))
            count = count.astype(np.int64)
            count[far] = _within(x, own[far], reach[far]) - 1
            tied = np.flatnonzero(before + after > k)
            ties.append(_within(own, own[tied], reach[tied]) - 1)
            both.append(count)
        return _information(k, ties, both).information

    return np.array(in_threads(score, permutations))
