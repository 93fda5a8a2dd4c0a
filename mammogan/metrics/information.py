"""Mutual information between a moment and the label real or synthetic, by nearest neighbours (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial import cKDTree
from scipy.special import digamma

from mammogan.metrics.moments import MOMENT_NAMES, check_tables

MAXIMUM = float(np.log(2))  # nats: two classes of equal size that never meet


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

    I = psi(N) - <psi(N_x)> + psi(k) - <psi(m)>, for each point with the distance d to its k-th neighbour of its class
    and m the points of both classes closer than or at d, itself not counted.

    Args:
        first, second: values of the two classes, (n,) or (n, dimensions); the distance is the largest coordinate's.
        k: neighbours.

    Raises:
        ValueError: a class has k points or fewer.
    """
    a, b = (np.asarray(x, np.float64) for x in (first, second))
    if min(len(a), len(b)) <= k:
        raise ValueError(f"{k} nearest neighbours need more than {k} images a class.")
    count = _neighbors_line if a.ndim == 1 or a.shape[1] == 1 else _neighbors_space
    both = np.concatenate([a, b])
    m = np.concatenate([count(a, both, k), count(b, both, k)])
    n = np.repeat([len(a), len(b)], [len(a), len(b)])
    fixed = float(digamma(len(both)) - digamma(n).mean() + digamma(k))
    information = fixed - float(digamma(m).mean())
    return Information(information, float(m.mean()), inverse_digamma(fixed - information))


def _neighbors_line(own: np.ndarray, both: np.ndarray, k: int) -> np.ndarray:
    """m of every point of `own` on a line: sorting finds the k-th neighbour among 2k candidates."""
    own, both = np.sort(own.ravel()), np.sort(both.ravel())
    n = len(own)
    padded = np.concatenate([np.full(k, -np.inf), own, np.full(k, np.inf)])
    offsets = np.concatenate([np.arange(-k, 0), np.arange(1, k + 1)])
    distances = np.abs(padded[np.arange(n)[:, None] + k + offsets] - own[:, None])
    radius = np.partition(distances, k - 1, axis=1)[:, k - 1]
    # Rounding of x +- r may fall short of the very neighbour that defines r: widen by a few units in the last place.
    slack = 4 * np.finfo(float).eps * (np.abs(own) + radius)
    low = np.searchsorted(both, own - radius - slack, side="left")
    high = np.searchsorted(both, own + radius + slack, side="right")
    return high - low - 1


def _neighbors_space(own: np.ndarray, both: np.ndarray, k: int) -> np.ndarray:
    """m of every point of `own` in several dimensions."""
    radius = cKDTree(own).query(own, k=k + 1, p=np.inf)[0][:, k]
    radius += 4 * np.finfo(float).eps * (np.abs(own).max(1) + radius)  # as on the line
    return cKDTree(both).query_ball_point(own, radius, p=np.inf, return_length=True) - 1


def inverse_digamma(value: float) -> float:
    """m > 0 with psi(m) = value."""
    return float(brentq(lambda m: digamma(m) - value, 1e-6, np.exp(value) + 2))


def label_information(
    real: np.ndarray, synthetic: np.ndarray, *, k: int = 3, seed: int = 0, permutations: int = 200, halves: int = 100
) -> pd.DataFrame:
    """Table 2 with what it lacks: each moment's information with the label, its uncertainty, and chance's own value.

    The interval comes from subsamples of half the images without replacement: a bootstrap's repeated points are ties
    that a nearest-neighbour estimate takes for structure. A half sample has twice the variance of the whole, and half
    samples of one set share half their points, which halves the variance seen: the spread is that of the whole sample
    (Politis, Romano & Wolf 1999, Subsampling, 2.3).

    Args:
        real, synthetic: (n, 5) moments.
        k: neighbours.
        seed: of the permutations and subsamples.
        permutations: label permutations for P and for the values under one distribution.
        halves: subsamples.

    Returns:
        one row a moment: information, low, high, chance (95th percentile under permuted labels), p, neighbors,
        equivalent_neighbors.

    Raises:
        ValueError: too few images, or a moment that is not finite.
    """
    real, synthetic = check_tables(real, synthetic)
    if min(len(real), len(synthetic)) // 2 <= k:
        raise ValueError(f"Half samples need more than {k} images; give {2 * (k + 1)} images a class or more.")
    rng = np.random.default_rng(seed)
    rows = []
    for column, name in enumerate(MOMENT_NAMES[: real.shape[1]]):
        a, b = real[:, column], synthetic[:, column]
        found = ross(a, b, k)
        both = np.concatenate([a, b])
        chance = []
        for _ in range(permutations):
            mixed = rng.permutation(both)
            chance.append(ross(mixed[: len(a)], mixed[len(a) :], k).information)
        parts = [
            ross(rng.choice(a, len(a) // 2, False), rng.choice(b, len(b) // 2, False), k).information
            for _ in range(halves)
        ]
        spread = float(np.std(parts))
        rows.append(
            {
                "moment": name,
                "information": found.information,
                "low": found.information - 1.96 * spread,
                "high": found.information + 1.96 * spread,
                "chance": float(np.quantile(chance, 0.95)),
                "p": (1 + sum(value >= found.information for value in chance)) / (1 + permutations),
                "neighbors": found.neighbors,
                "equivalent_neighbors": found.equivalent_neighbors,
            }
        )
    return pd.DataFrame(rows)
