"""Mutual information between a moment and the label real or synthetic, by nearest neighbors (Table 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial import cKDTree
from scipy.special import digamma
from sklearn.neighbors import KDTree

from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.metrics.resampling import ResamplingDesign, scored
from mammogan.metrics.validation import check_array, check_at_least, check_tables
from mammogan.parallel import in_threads

MAXIMUM = float(np.log(2))  # nats: two classes of equal size that never meet
LINE_DRAW = 10_000  # images per side in draws of nearest neighbors on a line: their cost grows with the number
NEAR = 8  # positions to either side; one in a hundred third neighbors of a permutation is farther
MOST = np.iinfo(np.uint8).max
QUANTITIES = {
    "information": "information with the label, nats; not clipped at 0",
    "neighbors": "true mean of m, images within the third neighbor's distance; 6 under one distribution",
    "equivalent_neighbors": "inverse digamma of the information, which the paper prints as the average of m",
}
CLOSENESS = "1 - information / ln 2"  # its ratio is the one that is reported: the ceiling of an information is about 0
RATIOS = ["ratio", "ratio_low", "ratio_high"]


@dataclass(frozen=True)
class Information:
    """Estimate of the information between a value and a binary label, and its parts.

    Attributes:
        information: nats; may be negative by noise, and for near copies of real images.
        neighbors: mean of m; 2k where the classes share one distribution.
        equivalent_neighbors: psi^-1(psi(N) - <psi(N_x)> + psi(k) - information), the m that all points would have to
            share; the paper prints it as "average number of neighbors".
    """

    information: float
    neighbors: float
    equivalent_neighbors: float


def mutual_information(x: np.ndarray, y: np.ndarray, n_neighbors: int = 3) -> Information:
    """Estimate the mutual information between values and their class (Ross 2014, PLoS ONE 9:e87357, eq. 2).

    I = psi(N) - <psi(N_x)> + <psi(k)> - <psi(m)>, with the distance d of each point to its k-th neighbor of its class
    and the number m of points of both classes at d or closer, itself not counted. Where several points of the class
    are at d, k is their number (Gao et al. 2017, "Estimating mutual information for discrete-continuous mixtures",
    section 3): ties need no jitter, and values that are all alike give 0.

    Args:
        x, y: values of the two classes, more than k, (n,) or (n, dimensions); the distance is the largest coordinate's.
        n_neighbors: k.
    """
    check_at_least("n_neighbors", n_neighbors, 1)
    a, b = (check_array(values, name, (1, 2), n_neighbors + 1) for name, values in (("x", x), ("y", y)))
    if a.ndim == 1 or a.shape[1] == 1:
        return _information(n_neighbors, *_neighbors_line(np.sort(a.ravel()), np.sort(b.ravel()), n_neighbors))
    return _information(n_neighbors, *_neighbors_space(a, b, n_neighbors))


def _information(k: int, tied: list[np.ndarray], both: list[np.ndarray]) -> Information:
    """Return the estimate from the numbers of neighbors, per class: `both` of all points, `tied` where above k."""
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
    """Return the mean of psi over numbers 0, 1, ... that occur so often each."""
    numbers = np.flatnonzero(often)
    return float(often[numbers] @ digamma(numbers) / often.sum())


def _slack(size: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return a few units in the last place: rounding of x +- r may miss the very neighbor that defines r."""
    return 4 * np.finfo(float).eps * (np.abs(size) + radius)


def _reach(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distance of each point of a sorted sample to its k-th neighbor, and the neighbors left and right.

    No more than k + 1 are counted on a side: where they are more than k together, the point has ties.
    """
    n = len(x)
    padded = np.concatenate([np.full(k + 1, -np.inf), x, np.full(k + 1, np.inf)])
    # The distance of a point to the one some steps ahead is the distance of that one to this one.
    gaps = [padded[k + 1 : k + 1 + n + step] - padded[k + 1 - step : k + 1 + n] for step in range(1, k + 2)]
    left, right = [gap[:n] for gap in gaps], [gap[-n:] for gap in gaps]
    radius = np.minimum(left[k - 1], right[k - 1])
    for step in range(k - 1):  # the nearest k are some on the left and the rest on the right
        np.minimum(radius, np.maximum(left[k - 2 - step], right[step]), out=radius)
    reach = radius + _slack(x, radius)
    before, after = (sum((far <= reach).view(np.int8) for far in side) for side in (left, right))
    return reach, before, after


def _within(x: np.ndarray, at: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Count the members of a sorted sample within reach of points."""
    return np.searchsorted(x, at + reach, "right") - np.searchsorted(x, at - reach, "left")


def _neighbors_line(a: np.ndarray, b: np.ndarray, k: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Count neighbors in two sorted samples, as `_information` requires."""
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
    """Count neighbors in two samples of several dimensions, as `_information` requires."""
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
    """Return m > 0 with psi(m) = value."""
    return float(brentq(lambda m: digamma(m) - value, 1e-6, np.exp(value) + 2))


def label_information(
    real: np.ndarray, synthetic: np.ndarray, design: ResamplingDesign | None = None, *, permutations: int = 200
) -> pd.DataFrame:
    """Compute Table 2 with what it lacks: uncertainty, chance, and the scores between two sets of real images.

    P is the share of label permutations, of images one by one, that tell as much as the labels do.

    Args:
        real, synthetic: (N, 5) moments, finite.
        design: images that are compared, and the draws; None compares all images.
        permutations: number of label permutations for P and chance.

    Returns:
        three rows per moment: moment, reading (see `QUANTITIES`), the columns of `resampling.summary`, n, n_ceiling,
        chance (95th percentile of the information under permuted labels) and p. The ratio of an information is that of
        1 - information / ln 2, since the ceiling of an information is about 0.
    """
    real, synthetic = check_tables(real, synthetic)
    design = design or ResamplingDesign(len(real), len(synthetic))
    columns = range(real.shape[1])

    def measure(first: np.ndarray, second: np.ndarray, mapping: Callable = map) -> dict[tuple[int, str], float]:
        each = mapping(lambda column: mutual_information(first[:, column], second[:, column]), columns)
        scores = [vars(one) | {CLOSENESS: 1 - one.information / MAXIMUM} for one in each]
        return {(column, name): score for column in columns for name, score in scores[column].items()}

    threaded = partial(measure, mapping=in_threads)
    table = scored(real, synthetic, measure, design, whole=threaded, at_most=(LINE_DRAW, 0))
    moment, reading = table["measure"].str[0], table.pop("measure").str[1]
    table.loc[reading == "information", RATIOS] = table.loc[reading == CLOSENESS, RATIOS].to_numpy()
    table.insert(0, "moment", [MOMENT_NAMES[column] for column in moment])
    table.insert(1, "reading", list(reading))
    permuted = permuted_labels(design.size, 2 * design.size, permutations, design.seed)
    for column, score in zip(columns, table.loc[reading == "information", "score"], strict=True):
        values = [real[design.compared[0], column], synthetic[design.compared[1], column]]
        chance = by_chance(np.concatenate(values), permuted)
        table.loc[moment == column, "chance"] = float(np.quantile(chance, 0.95))
        table.loc[moment == column, "p"] = float(1 + (chance >= score).sum()) / (1 + permutations)
    return table[reading != CLOSENESS].reset_index(drop=True)


def permuted_labels(first: int, count: int, permutations: int, seed: int) -> list[np.ndarray]:
    """Draw the members of the first class, `first` of `count` points, for each permutation; (count,) booleans each."""
    rng = np.random.default_rng([seed, 3])
    labels = []
    for _ in range(permutations):
        is_first = np.zeros(count, bool)
        is_first[rng.choice(count, first, replace=False, shuffle=False)] = True
        labels.append(is_first)
    return labels


def by_chance(values: np.ndarray, permutations: list[np.ndarray], n_neighbors: int = 3) -> np.ndarray:
    """Compute the information of values with labels permuted, (permutations,), as `mutual_information` would.

    The values stay where they are. The points within reach are counted once, with reaches to the point one, two, ...
    `NEAR` positions to the left and to the right; a permutation finds its k-th neighbors and looks up the counts.

    Args:
        values: (n,) values of both classes.
        permutations: (n,) booleans each: the members of the first class among the values in ascending order.
        n_neighbors: k.
    """
    x = np.sort(values)
    n = len(x)
    padded = np.concatenate([np.full(NEAR, -np.inf), x, np.full(NEAR, np.inf)])
    # Bytes, so that the table stays in the processor's cache; the point itself is not counted.
    counts = np.zeros((n, 2 * NEAR + 1), np.uint8)

    def fill(offset: int) -> None:
        radius = np.abs(padded[offset : offset + n] - x)
        counts[:, offset] = np.minimum(_within(x, x, radius + _slack(x, radius)) - 1, MOST)

    in_threads(fill, [offset for offset in range(2 * NEAR + 1) if offset != NEAR])

    def score(is_first: np.ndarray) -> float:
        ties, both = [], []
        for mine in (np.flatnonzero(is_first), np.flatnonzero(~is_first)):
            own = x[mine]
            reach, before, after = _reach(own, n_neighbors)
            number = np.arange(len(mine))
            left, right = mine - mine[number - before], mine[number + after] - mine
            row = mine * counts.shape[1] + NEAR
            # The k-th neighbor is one of the two ends.
            count = np.maximum(counts.take(row - left, mode="clip"), counts.take(row + right, mode="clip"))
            far = np.flatnonzero((np.maximum(left, right) > NEAR) | (count == MOST))
            count = count.astype(np.int64)
            count[far] = _within(x, own[far], reach[far]) - 1
            tied = np.flatnonzero(before + after > n_neighbors)
            ties.append(_within(own, own[tied], reach[tied]) - 1)
            both.append(count)
        return _information(n_neighbors, ties, both).information

    return np.array(in_threads(score, permutations))
