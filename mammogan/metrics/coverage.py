"""Coverage of one distribution by another, for pairs of moments: Table 1 and Figure 6, with ceilings and intervals.

The paper does not define the score of Table 1. Four interpretations are computed; all of them rise with the number of
images, so each is reported next to its ceiling: the same score between real images and other real images, at the same
number of images per side (see `resampling`). Score, draws and ceiling of a pair share one grid.

The grid resolves both sets whatever a few images do to the range (`density.Grid.resolving`): an almost black image has
an M5 of millions, and cells over the pooled range would be wider than both distributions, which all scores then take
for equal. Without such images both grids are one. The pooled range, which a figure that shows every image needs, is
`Grid.around`; the paper does not state its range.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd

from mammogan.metrics.density import (
    Binned,
    Densities,
    Grid,
    Pairs,
    jensen_shannon,
    normalized_mutual_information,
    overlap,
    resolved_range,
)
from mammogan.metrics.information import MAXIMUM, mutual_information
from mammogan.metrics.moments import MOMENT_NAMES, PAIRS
from mammogan.metrics.resampling import ResamplingDesign, scored
from mammogan.metrics.validation import check_tables
from mammogan.parallel import in_threads

SCORE_GRID = 100
SUPPORT_GRID = 200
SUPPORT_PERCENTILE = 97.0
CONTOURS = np.linspace(95, 99.99, 10)  # percentiles of the ten contours of Figure 6
STRETCH = 0.5  # an image stretches a range where it would widen the grid by this share or more
SPACE_DRAW = 2000  # images per side in draws of nearest neighbors in two dimensions: their cost grows with the number
READINGS = {
    "jsd": "1 - sqrt(Jensen-Shannon divergence) of the two kernel densities, bits",
    "overlap": "mass that the two kernel densities share",
    "nmi": "normalized mutual information of the two density pictures, 256 levels",
    "label": "1 - information with the label / ln 2 (Ross 2014, k = 3)",
}
COVERAGES = {
    "area": "share of the real region at the 97th percentile that the synthetic region covers",
    "mass": "share of the real mass inside the synthetic highest-density region of 97 %",
}

Measures = dict[str, Callable[[np.ndarray, np.ndarray], float]]


def percentile_region(p: np.ndarray, percentile: float) -> np.ndarray:
    """Return the cells whose density exceeds that percentile of the grid's density values, as in Figure 6.

    The regions of both sets have the same area by construction, and it depends on the grid's margin, which is fixed.
    """
    return p > np.percentile(p, percentile)


def highest_density_region(p: np.ndarray, mass: float) -> np.ndarray:
    """Return the smallest region that holds `mass` of a distribution; it does not depend on the grid's margin."""
    values = np.sort(p, axis=None)[::-1]
    last = min(int(np.searchsorted(np.cumsum(values), mass)), p.size - 1)
    return p >= values[last]


def _area(p: np.ndarray, q: np.ndarray) -> float:
    a, b = (percentile_region(x, SUPPORT_PERCENTILE) for x in (p, q))
    return float((a & b).sum() / a.sum())


def _mass(p: np.ndarray, q: np.ndarray) -> float:
    return min(float(p[highest_density_region(q, SUPPORT_PERCENTILE / 100)].sum()), 1.0)


SCORES: Measures = {
    "jsd": lambda p, q: 1 - float(np.sqrt(jensen_shannon(p, q))),
    "overlap": overlap,
    "nmi": normalized_mutual_information,
}
SUPPORTS: Measures = {"area": _area, "mass": _mass}


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Replace the column measure, (first moment, second moment, reading), by the columns i, j and reading."""
    names = [(MOMENT_NAMES[i], MOMENT_NAMES[j], reading) for i, j, reading in table.pop("measure")]
    return pd.concat([pd.DataFrame(names, columns=["i", "j", "reading"]), table], axis=1)


def stretching(real: np.ndarray, synthetic: np.ndarray) -> pd.DataFrame:
    """Find the images that would stretch the range of a moment, by `STRETCH` of the grid or more.

    Args:
        real, synthetic: (N, 5) moments, finite.

    Returns:
        one row per image, the farthest out first: kind, row, moment (the one in which it is farthest out), value, and
        times, its distance from the grid in widths of the grid.
    """
    grid = Grid.resolving(*check_tables(real, synthetic), count=SCORE_GRID)
    rows = []
    for kind, table in (("real", real), ("synthetic", synthetic)):
        times = np.maximum(grid.low - table, table - grid.high) / (grid.high - grid.low)
        for row in np.flatnonzero(times.max(1) >= STRETCH):
            moment = int(times[row].argmax())
            rows.append((kind, int(row), MOMENT_NAMES[moment], float(table[row, moment]), float(times[row, moment])))
    columns = ["kind", "row", "moment", "value", "times"]
    return pd.DataFrame(rows, columns=columns).sort_values("times", ascending=False, ignore_index=True)


def _density_scores(
    real: np.ndarray, synthetic: np.ndarray, design: ResamplingDesign, pairs: Pairs, grid: Grid, measures: Measures
) -> pd.DataFrame:
    """Measure the two densities on a grid; rows as in `pair_scores`."""

    def measure(first: Densities, second: Densities) -> dict[tuple[int, int, str], float]:
        return {
            (*axes, name): score(p, q)
            for axes, p, q in zip(pairs, first(pairs), second(pairs), strict=True)
            for name, score in measures.items()
        }

    bounds = {(*axes, name): (0.0, 1.0) for axes in pairs for name in measures}
    return _named(scored(Binned(real, grid), Binned(synthetic, grid), measure, design, bounds=bounds))


def _label_scores(real: np.ndarray, synthetic: np.ndarray, design: ResamplingDesign, pairs: Pairs) -> pd.DataFrame:
    """Compute 1 - information with the label / ln 2; rows as in `pair_scores`."""
    # Both axes in units of their pooled standard deviation: the neighbors' distance mixes the axes. An image far out
    # counts at the end of the range, or its axis would have no weight.
    compared = real[design.compared[0]], synthetic[design.compared[1]]
    scale = np.clip(np.concatenate(compared), *resolved_range(*compared)).std(0)
    scale[scale == 0] = 1
    real, synthetic = real / scale, synthetic / scale
    names = [(*axes, "label") for axes in pairs]

    def score(first: np.ndarray, second: np.ndarray, axes: tuple[int, int]) -> float:
        columns = sorted(set(axes))  # a pair of a moment with itself is one number: its information is that of the line
        return 1 - mutual_information(first[:, columns], second[:, columns]).information / MAXIMUM

    def measure(first: np.ndarray, second: np.ndarray, mapping: Callable = map) -> dict[tuple[int, int, str], float]:
        return dict(zip(names, mapping(partial(score, first, second), pairs), strict=True))

    threaded, at_most = partial(measure, mapping=in_threads), (SPACE_DRAW, SPACE_DRAW)
    return _named(scored(real, synthetic, measure, design, whole=threaded, at_most=at_most))


def pair_scores(real: np.ndarray, synthetic: np.ndarray, design: ResamplingDesign | None = None) -> pd.DataFrame:
    """Compute Table 1 in four interpretations, for all 15 pairs of moments, the diagonal included.

    Args:
        real, synthetic: (N, 5) moments, finite.
        design: images that are compared, and the draws; None compares all images.

    Returns:
        one row per pair and reading: i, j (names), reading, the columns of `resampling.summary`, n and n_ceiling
        (images per side of score and ceiling).
    """
    real, synthetic = check_tables(real, synthetic)
    design = design or ResamplingDesign(len(real), len(synthetic))
    pairs = list(combinations_with_replacement(range(real.shape[1]), 2))
    grid = Grid.resolving(real[design.compared[0]], synthetic[design.compared[1]], count=SCORE_GRID)
    parts = [
        _density_scores(real, synthetic, design, pairs, grid, SCORES),
        _label_scores(real, synthetic, design, pairs),
    ]
    return pd.concat(parts, ignore_index=True)


def support_coverage(
    real: np.ndarray, synthetic: np.ndarray, design: ResamplingDesign | None = None, *, pooled: bool = False
) -> pd.DataFrame:
    """Compute the coverage of the real support by the synthetic one, for the ten pairs of moments (Figure 6).

    Arguments and rows are those of `pair_scores`; the readings are those of `COVERAGES`. With `pooled` the grid is that
    of the pooled range, as in a Figure 6 that shows every image.
    """
    real, synthetic = check_tables(real, synthetic)
    design = design or ResamplingDesign(len(real), len(synthetic))
    over = Grid.around if pooled else Grid.resolving
    grid = over(real[design.compared[0]], synthetic[design.compared[1]], count=SUPPORT_GRID)
    return _density_scores(real, synthetic, design, PAIRS, grid, SUPPORTS)
