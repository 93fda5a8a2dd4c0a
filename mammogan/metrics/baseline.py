"""Every score beside what real images score among themselves, at the same number of images, with its interval.

A score of two samples depends on how many images they hold, whatever it measures: a distance is biased upward, a
coverage downward. So none is reported alone. Real images are halved at random, and the score between the halves
stands beside the score between a half of the real and as many synthetic images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

Score = Callable[[Any, Any], float]
SMALLEST = 8  # images a half


def halves(n: int, rng: np.random.Generator, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint random halves of n images, of equal size, as indices in ascending order.

    Args:
        n: images.
        rng: where chance comes from.
        groups: (n,), the patient of each image: a patient's images stay on one side, since two views of one breast are
            nearer to each other than to any other image. None takes every image as its own patient.
    """
    if groups is None:
        order = rng.permutation(n)
        one, two = order[: n // 2], order[n // 2 :]
    else:
        names, member = np.unique(groups, return_inverse=True)
        first = np.zeros(len(names), bool)
        sizes = np.bincount(member)
        order = rng.permutation(len(names))
        first[order[np.cumsum(sizes[order]) - sizes[order] / 2 <= n / 2]] = True
        one, two = np.flatnonzero(first[member]), np.flatnonzero(~first[member])
    size = min(len(one), len(two))
    return np.sort(rng.permutation(one)[:size]), np.sort(rng.permutation(two)[:size])


def beside_baseline(
    real: Any,
    synthetic: Any,
    scores: Mapping[str, Score],
    *,
    seed: int = 0,
    splits: int = 20,
    groups: np.ndarray | None = None,
) -> pd.DataFrame:
    """Scores of a synthetic set against a real one, with intervals and the scores of real images among themselves.

    The interval comes from the random halves: an image drawn twice, as in a bootstrap, is a copy, which nearest
    neighbours, covariances and coverage take for structure. A half sample has twice the variance of the whole, and half
    samples of one set share half their images, which halves the variance seen: the spread of the halves is that of the
    whole sample (Politis, Romano & Wolf 1999, Subsampling, 2.3).

    Args:
        real, synthetic: arrays whose first axis counts images: moments, features, descriptors.
        scores: name -> function of (real, synthetic).
        seed: of the halves.
        splits: random halvings.
        groups: (n,), patients of the real images; see `halves`.

    Returns:
        one row a score: score, low, high (95 %), n_real, n_synthetic; at `n_half` images a side: score_half, and
        real_half, real_low, real_high, the median and the central 95 % between halves of the real images; seed.

    Raises:
        ValueError: fewer than 16 real or 8 synthetic images, or all real images of one patient.
    """
    n, m = len(real), len(synthetic)
    if n < 2 * SMALLEST or m < SMALLEST:
        raise ValueError(
            f"A baseline needs {2 * SMALLEST} real images or more and {SMALLEST} synthetic ones; there are {n} and {m}."
        )
    if groups is not None and len(np.unique(groups)) < 2:
        raise ValueError("The real images are all of one patient; a baseline needs two patients or more.")
    rng = np.random.default_rng(seed)
    among: dict[str, list[float]] = {name: [] for name in scores}
    between: dict[str, list[float]] = {name: [] for name in scores}
    sizes = []
    for _ in range(splits):
        one, two = halves(n, rng, groups)
        size = min(len(one), m // 2 if m >= 2 * SMALLEST else m)
        one, two = np.sort(rng.permutation(one)[:size]), np.sort(rng.permutation(two)[:size])
        other = np.sort(rng.choice(m, size, replace=False))
        sizes.append(size)
        first, second, drawn = real[one], real[two], synthetic[other]
        for name, score in scores.items():
            among[name].append(score(first, second))
            between[name].append(score(first, drawn))
    rows = []
    for name, score in scores.items():
        value = float(score(real, synthetic))
        spread = 1.96 * float(np.std(between[name], ddof=1)) if splits > 1 else np.nan
        real_low, real_half, real_high = np.quantile(among[name], [0.025, 0.5, 0.975])
        rows.append(
            {
                "score": name,
                "value": value,
                "low": value - spread,
                "high": value + spread,
                "n_real": n,
                "n_synthetic": m,
                "n_half": int(np.median(sizes)),
                "value_half": float(np.median(between[name])),
                "real_half": float(real_half),
                "real_low": float(real_low),
                "real_high": float(real_high),
                "seed": seed,
            }
        )
    return pd.DataFrame(rows)
