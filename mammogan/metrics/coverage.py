"""How well one distribution covers another, pair of moments by pair: Table 1 and Figure 6, with ceilings and intervals.

The paper does not define the score of Table 1. Four readings are computed; all of them rise with the number of images,
so each stands beside its ceiling: the same score between two random halves of the real images, at the same number of
images a side.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd

from mammogan.metrics.density import Grid, density, jensen_shannon, normalized_mutual_information, overlap
from mammogan.metrics.information import MAXIMUM, ross
from mammogan.metrics.moments import MOMENT_NAMES, PAIRS, check_tables

SCORE_GRID = 100
SUPPORT_GRID = 200
SUPPORT_PERCENTILE = 97.0
CONTOURS = np.linspace(95, 99.99, 10)  # percentiles of the ten contours of Figure 6
READINGS = {
    "jsd": "1 - sqrt(Jensen-Shannon divergence) of the two kernel densities, bits",
    "overlap": "mass that the two kernel densities share",
    "nmi": "normalized mutual information of the two density pictures, 256 levels",
    "label": "1 - information with the label / ln 2 (Ross 2014, k = 3)",
}


def _with_half(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Both tables, checked, and the number of images a side at which a ceiling can be taken."""
    real, synthetic = check_tables(real, synthetic)
    half = min(len(real) // 2, len(synthetic))
    if half < 8:
        raise ValueError("A ceiling needs 16 real images or more, and 8 synthetic ones.")
    return real, synthetic, half


def _density_scores(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    grid = Grid.around(a, b, count=SCORE_GRID)
    p, q = density(a, grid), density(b, grid)
    return {
        "jsd": 1 - np.sqrt(jensen_shannon(p, q)),
        "overlap": overlap(p, q),
        "nmi": normalized_mutual_information(p, q),
    }


def _label_score(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    # A pair of a moment with itself is one number: its information is that of the line.
    same = np.array_equal(a[:, 0], a[:, 1])
    found = ross(a[:, 0], b[:, 0]) if same else ross(*_scaled(a, b))
    return {"label": 1 - found.information / MAXIMUM}


def _scaled(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both axes in units of their pooled standard deviation: the neighbours' distance mixes the axes."""
    scale = np.concatenate([a, b]).std(0)
    scale[scale == 0] = 1
    return a / scale, b / scale


def pair_scores(
    real: np.ndarray, synthetic: np.ndarray, *, seed: int = 0, bootstraps: int = 100, splits: int = 20
) -> pd.DataFrame:
    """Table 1 in four readings, for all 15 pairs of moments, the diagonal included.

    Intervals are 95 % percentile bootstraps over images for the three density scores; the nearest-neighbour score, to
    which repeated points are ties, takes subsamples of half the images (see `label_information`). The ceiling is the
    median score between two random halves of the real images; both halves, and the score that it is held against, have
    n/2 images a side, n being the smaller set's size.

    Args:
        real, synthetic: (n, 5) moments.
        seed: of bootstraps and splits.
        bootstraps: resamples.
        splits: random halvings of the real set.

    Returns:
        one row a pair and reading: i, j (names), reading, score, low, high, score_half, ceiling, ratio
        (score_half / ceiling).

    Raises:
        ValueError: too few images, or a moment that is not finite.
    """
    real, synthetic, half = _with_half(real, synthetic)
    rng = np.random.default_rng(seed)
    rows = []
    for i, j in combinations_with_replacement(range(real.shape[1]), 2):
        a, b = real[:, [i, j]], synthetic[:, [i, j]]
        score = {**_density_scores(a, b), **_label_score(a, b)}
        draws: dict[str, list[float]] = {name: [] for name in READINGS}
        for _ in range(bootstraps):
            again = _density_scores(rng.choice(a, len(a)), rng.choice(b, len(b)))
            part = _label_score(rng.choice(a, len(a) // 2, False), rng.choice(b, len(b) // 2, False))
            for name, value in {**again, **part}.items():
                draws[name].append(value)
        ceilings: dict[str, list[float]] = {name: [] for name in READINGS}
        halves: dict[str, list[float]] = {name: [] for name in READINGS}
        for _ in range(splits):
            mixed = rng.permutation(a)
            one, two, other = mixed[:half], mixed[half : 2 * half], rng.choice(b, half, False)
            for name, value in {**_density_scores(one, two), **_label_score(one, two)}.items():
                ceilings[name].append(value)
            for name, value in {**_density_scores(one, other), **_label_score(one, other)}.items():
                halves[name].append(value)
        for name in READINGS:
            if name == "label":
                spread = 1.96 * float(np.std(draws[name]))
                low, high = score[name] - spread, score[name] + spread
            else:
                # Resampling adds its own roughness: the percentiles are shifted to the estimate.
                shift = score[name] - float(np.median(draws[name]))
                low, high = np.quantile(draws[name], [0.025, 0.975]) + shift
            ceiling, at_half = float(np.median(ceilings[name])), float(np.median(halves[name]))
            rows.append(
                {
                    "i": MOMENT_NAMES[i],
                    "j": MOMENT_NAMES[j],
                    "reading": name,
                    "score": float(score[name]),
                    "low": float(low),
                    "high": float(high),
                    "score_half": at_half,
                    "ceiling": ceiling,
                    "ratio": at_half / ceiling if ceiling > 0 else np.nan,
                }
            )
    return pd.DataFrame(rows)


def percentile_region(p: np.ndarray, percentile: float) -> np.ndarray:
    """Cells whose density exceeds that percentile of the grid's density values: the reading that fits Figure 6.

    Both sets' regions have the same area by construction, and it depends on the grid's margin, which is fixed here.
    """
    return p > np.percentile(p, percentile)


def highest_density_region(p: np.ndarray, mass: float) -> np.ndarray:
    """The smallest region that holds `mass` of a distribution; free of the grid's margin."""
    order = np.argsort(p, axis=None)[::-1]
    count = int(np.searchsorted(np.cumsum(p.ravel()[order]), mass)) + 1
    region = np.zeros(p.size, bool)
    region[order[:count]] = True
    return region.reshape(p.shape)


def area_coverage(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Share of the real set's region at the 97th percentile that the synthetic set's region covers (Figure 6)."""
    grid = Grid.around(real, synthetic, count=SUPPORT_GRID)
    a, b = (percentile_region(density(x, grid), SUPPORT_PERCENTILE) for x in (real, synthetic))
    return float((a & b).sum() / a.sum())


def mass_coverage(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Share of the real density's mass inside the synthetic density's highest-density region of 97 %."""
    grid = Grid.around(real, synthetic, count=SUPPORT_GRID)
    p, q = density(real, grid), density(synthetic, grid)
    return float(p[highest_density_region(q, SUPPORT_PERCENTILE / 100)].sum())


COVERAGES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"area": area_coverage, "mass": mass_coverage}


def support_coverage(
    real: np.ndarray, synthetic: np.ndarray, *, seed: int = 0, bootstraps: int = 100, splits: int = 20
) -> pd.DataFrame:
    """Figure 6 in numbers: coverage of the real support by the synthetic one, for the ten pairs of moments.

    Args, ceilings and intervals as for `pair_scores`.

    Returns:
        one row a pair and reading ("area", "mass"): i, j, reading, coverage, low, high, coverage_half, ceiling, ratio.

    Raises:
        ValueError: too few images, or a moment that is not finite.
    """
    real, synthetic, half = _with_half(real, synthetic)
    rng = np.random.default_rng(seed)
    rows = []
    for i, j in PAIRS:
        a, b = real[:, [i, j]], synthetic[:, [i, j]]
        for name, measure in COVERAGES.items():
            value = measure(a, b)
            draws = [measure(rng.choice(a, len(a)), rng.choice(b, len(b))) for _ in range(bootstraps)]
            ceilings, halves = [], []
            for _ in range(splits):
                mixed = rng.permutation(a)
                ceilings.append(measure(mixed[:half], mixed[half : 2 * half]))
                halves.append(measure(mixed[:half], rng.choice(b, half, False)))
            low, high = np.quantile(draws, [0.025, 0.975]) + value - np.median(draws)
            ceiling = float(np.median(ceilings))
            rows.append(
                {
                    "i": MOMENT_NAMES[i],
                    "j": MOMENT_NAMES[j],
                    "reading": name,
                    "coverage": value,
                    "low": float(low),
                    "high": float(high),
                    "coverage_half": float(np.median(halves)),
                    "ceiling": ceiling,
                    "ratio": float(np.median(halves)) / ceiling if ceiling > 0 else np.nan,
                }
            )
    return pd.DataFrame(rows)
