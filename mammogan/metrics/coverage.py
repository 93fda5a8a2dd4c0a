"""How well one distribution covers another, pair of moments by pair: Table 1 and Figure 6, with ceilings and intervals.

The paper does not define the score of Table 1. Four readings are computed; all of them rise with the number of images,
so each stands beside its ceiling: the same score between real images and other real images, at the same number of
images a side (see `resampling`). Score, draws and ceiling of a pair share one grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd

from mammogan.metrics.density import Binned, Grid, density, jensen_shannon, normalized_mutual_information, overlap
from mammogan.metrics.information import MAXIMUM, mutual_information
from mammogan.metrics.moments import MOMENT_NAMES, PAIRS
from mammogan.metrics.resampling import ResamplingDesign, summary
from mammogan.metrics.validation import check_tables
from mammogan.parallel import in_threads

SCORE_GRID = 100
SUPPORT_GRID = 200
SUPPORT_PERCENTILE = 97.0
CONTOURS = np.linspace(95, 99.99, 10)  # percentiles of the ten contours of Figure 6
SPACE_DRAW = 2000  # images a side in draws of nearest neighbors in two dimensions: their cost grows with the number
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
    """Cells whose density exceeds that percentile of the grid's density values: the reading that fits Figure 6.

    Both sets' regions have the same area by construction, and it depends on the grid's margin, which is fixed here.
    """
    return p > np.percentile(p, percentile)


def highest_density_region(p: np.ndarray, mass: float) -> np.ndarray:
    """The smallest region that holds `mass` of a distribution; free of the grid's margin."""
    values = np.sort(p, axis=None)[::-1]
    last = min(int(np.searchsorted(np.cumsum(values), mass)), p.size - 1)
    return p >= values[last]


def _area(p: np.ndarray, q: np.ndarray) -> float:
    a, b = (percentile_region(x, SUPPORT_PERCENTILE) for x in (p, q))
    return float((a & b).sum() / a.sum())


def _mass(p: np.ndarray, q: np.ndarray) -> float:
    return float(p[highest_density_region(q, SUPPORT_PERCENTILE / 100)].sum())


SCORES: Measures = {
    "jsd": lambda p, q: 1 - float(np.sqrt(jensen_shannon(p, q))),
    "overlap": overlap,
    "nmi": normalized_mutual_information,
}
SUPPORTS: Measures = {"area": _area, "mass": _mass}


def area_coverage(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Share of the real set's region at the 97th percentile that the synthetic set's region covers (Figure 6)."""
    grid = Grid.around(real, synthetic, count=SUPPORT_GRID)
    return _area(density(real, grid), density(synthetic, grid))


def mass_coverage(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Share of the real density's mass inside the synthetic density's highest-density region of 97 %."""
    grid = Grid.around(real, synthetic, count=SUPPORT_GRID)
    return _mass(density(real, grid), density(synthetic, grid))


def _row(
    i: int, j: int, reading: str, score: dict[str, float], plan: ResamplingDesign, n_ceiling: int
) -> dict[str, object]:
    names = {"i": MOMENT_NAMES[i], "j": MOMENT_NAMES[j], "reading": reading}
    return {**names, **score, "n": plan.size, "n_ceiling": n_ceiling}


def _density_rows(
    real: np.ndarray,
    synthetic: np.ndarray,
    plan: ResamplingDesign,
    pairs: Sequence[tuple[int, int]],
    count: int,
    measures: Measures,
) -> pd.DataFrame:
    """Measures of the two densities on a grid of `count` cells a side, pair by pair, in rows as `pair_scores` has."""
    intervals, ceilings = plan.intervals(), plan.ceilings()
    # Densities by subset: of all images compared, of the draws, and of the splits.
    ours = [plan.compared[0], *(one for one, _ in intervals), *(one for one, _, _ in ceilings)]
    theirs = [plan.compared[1], *(two for _, two in intervals), *(other for _, _, other in ceilings)]
    others = [two for _, two, _ in ceilings]
    grid = Grid.around(real[plan.compared[0]], synthetic[plan.compared[1]], count=count)
    binned_a, binned_b = Binned(real, grid), Binned(synthetic, grid)

    def of_subset(number: int) -> tuple[list[list[float]], list[list[float]]]:
        """Scores of one subset, and those between real images where it is of a split; pair by pair and measure."""
        p = list(binned_a.densities(np.sort(ours[number]), pairs))
        q = binned_b.densities(np.sort(theirs[number]), pairs)
        split = number - 1 - plan.draws
        r = binned_a.densities(np.sort(others[split]), pairs) if split >= 0 else ()
        scores, between = (
            [[measure(one, two) for measure in measures.values()] for one, two in zip(p, some, strict=False)]
            for some in (q, r)
        )
        return scores, between

    found = in_threads(of_subset, range(len(ours)))
    scores = np.array([scores for scores, _ in found])
    between = np.array([between for _, between in found if between])
    draws, at_half = scores[1 : plan.draws + 1], scores[plan.draws + 1 :]
    rows = []
    for place, axes in enumerate(pairs):
        for kind, name in enumerate(measures):
            at = (slice(None), place, kind)
            score = summary(scores[0][at[1:]], draws[at], at_half[at], between[at], share=plan.share(), bounds=(0, 1))
            rows.append(_row(*axes, name, score, plan, len(others[0])))
    return pd.DataFrame(rows)


def _label_rows(
    real: np.ndarray, synthetic: np.ndarray, plan: ResamplingDesign, pairs: Iterable[tuple[int, int]]
) -> pd.DataFrame:
    """1 - information with the label / ln 2, pair by pair, in rows as `pair_scores` has."""
    intervals, ceilings = plan.intervals(SPACE_DRAW), plan.ceilings(SPACE_DRAW)
    # Both axes in units of their pooled standard deviation: the neighbors' distance mixes the axes.
    scale = np.concatenate([real[plan.compared[0]], synthetic[plan.compared[1]]]).std(0)
    scale[scale == 0] = 1
    real, synthetic = real / scale, synthetic / scale

    def pair(axes: tuple[int, int]) -> dict[str, object]:
        # A pair of a moment with itself is one number: its information is that of the line.
        columns = list(axes) if axes[0] != axes[1] else [axes[0]]

        def score(one: np.ndarray, two: np.ndarray) -> float:
            return 1 - mutual_information(one[:, columns], two[:, columns]).information / MAXIMUM

        found = summary(
            score(real[plan.compared[0]], synthetic[plan.compared[1]]),
            [score(real[one], synthetic[two]) for one, two in intervals],
            [score(real[one], synthetic[other]) for one, _, other in ceilings],
            [score(real[one], real[two]) for one, two, _ in ceilings],
            share=plan.share(SPACE_DRAW),
        )
        return _row(*axes, "label", found, plan, len(ceilings[0][0]))

    return pd.DataFrame(in_threads(pair, list(pairs)))


def pair_scores(real: np.ndarray, synthetic: np.ndarray, plan: ResamplingDesign | None = None) -> pd.DataFrame:
    """Table 1 in four readings, for all 15 pairs of moments, the diagonal included.

    Args:
        real, synthetic: (N, 5) moments.
        plan: which images are compared, and the draws; all images, where it is not given.

    Returns:
        one row a pair and reading: i, j (names), reading, the columns of `resampling.summary`, n and n_ceiling (images
        a side of score and ceiling).

    Raises:
        ValueError: too few images, or a moment that is not finite.
    """
    real, synthetic = check_tables(real, synthetic)
    plan = plan or ResamplingDesign(len(real), len(synthetic))
    pairs = list(combinations_with_replacement(range(real.shape[1]), 2))
    found = [
        _density_rows(real, synthetic, plan, pairs, SCORE_GRID, SCORES),
        _label_rows(real, synthetic, plan, pairs),
    ]
    return pd.concat(found, ignore_index=True)


def support_coverage(real: np.ndarray, synthetic: np.ndarray, plan: ResamplingDesign | None = None) -> pd.DataFrame:
    """Figure 6 in numbers: coverage of the real support by the synthetic one, for the ten pairs of moments.

    Args and rows as for `pair_scores`; the readings are those of `COVERAGES`.

    Raises:
        ValueError: too few images, or a moment that is not finite.
    """
    real, synthetic = check_tables(real, synthetic)
    plan = plan or ResamplingDesign(len(real), len(synthetic))
    return _density_rows(real, synthetic, plan, PAIRS, SUPPORT_GRID, SUPPORTS)
