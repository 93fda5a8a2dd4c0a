"""Counts of right answers that give the printed Table 3, by exhaustive search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from mammogan.paper.printed import ATTEMPTS, KRUSKAL_P, QUESTIONS, TABLE3, TOLERANCES, group


def conover_p(difference: np.ndarray, successes: np.ndarray, attempts: int = ATTEMPTS) -> np.ndarray:
    """Return the Conover-Iman P between two questions whose numbers of successes differ by `difference`.

    With answers right or wrong, the ranks have two values, and the test is a t test whose pooled variance depends on
    the successes of all questions (Conover & Iman 1979, LA-7677-MS; R: pairwise.t.test on ranks, unadjusted).

    Args:
        difference: absolute differences of successes.
        successes: (questions,) successes of all questions.
        attempts: answers per question.
    """
    k, n = len(successes), attempts
    total = n * k
    ones = float(np.sum(successes))
    # Two tied ranks, `gap` apart; the variance of ranks is gap^2 times that of the 0/1 answers.
    gap = total / 2
    means = (total - ones + 1) / 2 + gap * np.asarray(successes) / n
    between = n * np.sum((means - means.mean()) ** 2)
    everything = gap**2 * ones * (total - ones) / total
    pooled = (everything - between) / (total - k)
    t = gap * np.asarray(difference) / n / np.sqrt(pooled * 2 / n)
    return 2 * stats.t.sf(t, total - k)


def kruskal_p(successes: np.ndarray, attempts: int = ATTEMPTS) -> float:
    """Return the Kruskal-Wallis P over questions, from the successes of each; ties corrected."""
    k, n = len(successes), attempts
    total, ones = n * k, float(np.sum(successes))
    spread = ones * (total - ones) / total
    h = (total - 1) * np.sum((np.asarray(successes) - ones / k) ** 2) / n / spread
    return float(stats.chi2.sf(h, k - 1))


class Search(NamedTuple):
    """Result of a search for the counts that give Table 3."""

    solutions: np.ndarray  # (n, 10), all successes whose 45 P values are within the tolerance
    space: int  # number of vectors that the search covers


def search_table3(tolerance: float = TOLERANCES["search"].value, attempts: int = ATTEMPTS) -> Search:
    """Search for all ten counts of successes that give the 45 P values of Table 3, by branch and bound.

    A P value depends on the difference of two questions and on the pooled variance v of all answers. Each printed value
    thus bounds v for each difference. Questions are added one by one, every difference from the first is tried, and a
    branch ends where no v is left. For each set of differences that survives every level is then computed in full.

    Args:
        tolerance: largest absolute difference from a printed value; .0005 is rounding, Table 3 itself has rows of
            equal differences printed as .623 and .624.
        attempts: answers per question.
    """
    bounds = {}
    for pair, p in TABLE3.items():
        low_p, high_p = (0.99 - tolerance, 1.0) if p == 1.0 else (p - tolerance, p + tolerance)
        bounds[pair] = _variances(low_p, attempts), _variances(high_p, attempts)
        # Equal successes give P = 1 whatever v.
        bounds[pair][0][0], bounds[pair][1][0] = 0.0 if high_p >= 1 else np.inf, np.inf
    offsets = np.arange(-attempts, attempts + 1)

    def extend(chosen: list[int], low: float, high: float) -> Iterator[np.ndarray]:
        """Yield all differences from the first question that begin with `chosen` and have v between two bounds."""
        if len(chosen) == QUESTIONS:
            yield np.array(chosen)
            return
        lows, highs = np.full(len(offsets), low), np.full(len(offsets), high)
        inside = (offsets - min(chosen) <= attempts) & (max(chosen) - offsets <= attempts)
        for other, offset in enumerate(chosen):
            size = np.minimum(np.abs(offsets - offset), attempts)
            lows = np.maximum(lows, bounds[other, len(chosen)][0][size])
            highs = np.minimum(highs, bounds[other, len(chosen)][1][size])
        for k in np.flatnonzero(inside & (lows <= highs)):
            yield from extend([*chosen, int(offsets[k])], lows[k], highs[k])

    solutions = [
        successes
        for differences in extend([0], 0.0, 0.25 * attempts / (attempts - 1))
        for first in range(-int(differences.min()), attempts - int(differences.max()) + 1)
        if agreement(successes := first + differences, attempts).largest <= tolerance
    ]
    return Search(np.array(solutions).reshape(-1, QUESTIONS), (attempts + 1) ** QUESTIONS)


def _variances(p: float, attempts: int) -> np.ndarray:
    """Return the pooled variance at which each difference from 0 has a P value, by inverting the t test."""
    differences = np.arange(attempts + 1)
    if p >= 1:
        return np.full(len(differences), np.inf)
    return differences**2 / (2 * attempts * stats.t.isf(p / 2, (attempts - 1) * QUESTIONS) ** 2)


class Agreement(NamedTuple):
    """Agreement of 45 computed cells with Table 3."""

    equal: int  # cells equal to three decimals
    largest: float  # difference
    squares: float  # sum of squared differences


def agreement(successes: np.ndarray, attempts: int = ATTEMPTS) -> Agreement:
    """Compare the P values computed from successes (10,) with Table 3."""
    computed = conover_p(np.array([abs(int(successes[a]) - int(successes[b])) for a, b in TABLE3]), successes, attempts)
    printed = np.array(list(TABLE3.values()))
    # "> .99" is all that is printed of a P value of 1.
    residual = np.where(printed == 1.0, np.maximum(0.99 - computed, 0), np.abs(computed - printed))
    equal = (np.round(computed, 3) == printed) | ((printed == 1.0) & (computed > 0.99))
    return Agreement(int(np.sum(equal)), float(residual.max()), float(np.sum(residual**2)))


def reconstruct(search: Search | None = None) -> np.ndarray:
    """Return the successes of the ten questions, of 133 attempts each; (10,).

    Table 3 leaves the level and the sign of the differences open; the total follows from the rows of radiologists and
    nonradiologists in Table 4, which leave one number of successes each.

    Raises:
        ValueError: Tables 3 and 4 leave no solution or several.
    """
    total = group("Radiologists").sums.total + group("Nonradiologists").sums.total
    solutions = [row for row in (search or search_table3()).solutions if row.sum() == total]
    solutions = [row for row in solutions if abs(kruskal_p(row) - KRUSKAL_P) <= TOLERANCES["kruskal"].value]
    if len(solutions) != 1:
        raise ValueError(f"Tables 3 and 4 leave {len(solutions)} solutions; one was expected.")
    return solutions[0]
