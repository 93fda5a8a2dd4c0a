"""Counts of right answers behind the printed Table 3, by exhaustive search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mammogan.paper.printed import ATTEMPTS, KRUSKAL_P, QUESTIONS, TABLE3, TABLE4


def conover_p(difference: np.ndarray, successes: np.ndarray, attempts: int = ATTEMPTS) -> np.ndarray:
    """Conover-Iman P between two questions whose numbers of successes differ by `difference`.

    With answers right or wrong, the ranks take two values, and the test is a t test whose pooled variance depends on
    the successes of all questions (Conover & Iman 1979, LA-7677-MS; R: pairwise.t.test on ranks, unadjusted).

    Args:
        difference: absolute differences of successes.
        successes: (questions,) of all questions.
        attempts: answers a question.
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
    """Kruskal-Wallis P over questions, from the successes of each; ties corrected (chi-square approximation)."""
    k, n = len(successes), attempts
    total, ones = n * k, float(np.sum(successes))
    spread = ones * (total - ones) / total
    h = (total - 1) * np.sum((np.asarray(successes) - ones / k) ** 2) / n / spread
    return float(stats.chi2.sf(h, k - 1))


@dataclass(frozen=True)
class Search:
    """What an exhaustive search for the counts behind Table 3 found.

    Attributes:
        solutions: (n, 10) successes of the questions; every vector whose 45 P values all lie within the tolerance.
        space: number of vectors that the search covers.
        visited: partial vectors that it looked at; the others were ruled out by bounds.
    """

    solutions: np.ndarray
    space: int
    visited: int


def search_table3(tolerance: float = 0.0016, attempts: int = ATTEMPTS) -> Search:
    """Every ten counts of successes that give the 45 P values of Table 3, by branch and bound.

    A P value depends on the difference of two questions and on the pooled variance v of all answers. Each printed value
    thus bounds v for each difference. Questions are added one by one, every difference from the first is tried, and a
    branch ends where no v is left. For each set of differences that survives every level is then computed in full.

    Args:
        tolerance: largest absolute difference from a printed value; .0005 is rounding, Table 3 itself has rows of
            equal differences printed as .623 and .624.
        attempts: answers a question.
    """
    differences = np.arange(1, attempts + 1)
    bounds = {}
    for pair, p in TABLE3.items():
        low_p, high_p = (0.99 - tolerance, 1.0) if p == 1.0 else (p - tolerance, p + tolerance)
        # v that gives a P value at a difference, by inverting the t test; v grows with P.
        v = [differences**2 / (2 * attempts * stats.t.isf(q / 2, (attempts - 1) * QUESTIONS) ** 2)
             if q < 1 else np.full(len(differences), np.inf) for q in (low_p, high_p)]  # fmt: skip
        # Equal successes give P = 1 whatever v.
        bounds[pair] = np.stack([np.r_[0.0 if high_p >= 1 else np.inf, v[0]], np.r_[np.inf, v[1]]])
    largest = 0.25 * attempts / (attempts - 1)
    found: list[list[int]] = []
    visited = 0

    def extend(chosen: list[int], low: float, high: float) -> None:
        nonlocal visited
        visited += 1
        question = len(chosen)
        if question == QUESTIONS:
            found.append(chosen)
            return
        offsets = np.arange(-attempts, attempts + 1)
        lows, highs = np.full(len(offsets), low), np.full(len(offsets), high)
        inside = (offsets - min(chosen) <= attempts) & (max(chosen) - offsets <= attempts)
        for other, offset in enumerate(chosen):
            size = np.minimum(np.abs(offsets - offset), attempts)
            lows = np.maximum(lows, bounds[other, question][0][size])
            highs = np.minimum(highs, bounds[other, question][1][size])
        for k in np.flatnonzero(inside & (lows <= highs)):
            extend([*chosen, int(offsets[k])], lows[k], highs[k])

    extend([0], 0.0, largest)
    solutions = []
    for offsets in map(np.array, found):
        for first in range(-int(offsets.min()), attempts - int(offsets.max()) + 1):
            if fit_of(first + offsets, attempts)["largest"] <= tolerance:
                solutions.append(first + offsets)
    return Search(np.array(solutions).reshape(-1, QUESTIONS), (attempts + 1) ** QUESTIONS, visited)


def fit_of(successes: np.ndarray, attempts: int = ATTEMPTS) -> dict[str, float]:
    """How the 45 cells computed from successes agree with Table 3: cells equal to 3 decimals, largest difference."""
    pairs = list(TABLE3)
    difference = np.array([abs(int(successes[a]) - int(successes[b])) for a, b in pairs])
    computed = conover_p(difference, successes, attempts)
    printed = np.array([TABLE3[pair] for pair in pairs])
    # "> .99" is all that is printed of a P value of 1.
    residual = np.where(printed == 1.0, np.maximum(0.99 - computed, 0), np.abs(computed - printed))
    return {
        "equal": int(np.sum((np.round(computed, 3) == printed) | ((printed == 1.0) & (computed > 0.99)))),
        "largest": float(residual.max()),
        "squares": float(np.sum(residual**2)),
    }


def table4_totals() -> set[int]:
    """Successes of all attempts that the rows of radiologists and nonradiologists allow together."""
    by_name = {group.name: group for group in TABLE4}
    return {a + b for a in by_name["Radiologists"].totals for b in by_name["Nonradiologists"].totals}


def reconstruct(search: Search | None = None) -> np.ndarray:
    """Successes of the ten questions, of 133 attempts each; (10,).

    Table 3 leaves the level and the sign of the differences open; the total follows from the rows of radiologists and
    nonradiologists in Table 4, which leave one number of successes each.

    Raises:
        ValueError: Tables 3 and 4 leave no solution or several.
    """
    search = search or search_table3()
    totals = table4_totals()
    solutions = [row for row in search.solutions if row.sum() in totals and abs(kruskal_p(row) - KRUSKAL_P) <= 0.005]
    if len(solutions) != 1:
        raise ValueError(f"Tables 3 and 4 leave {len(solutions)} solutions; one was expected.")
    return solutions[0]
