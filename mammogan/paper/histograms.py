"""Histograms of scores: attempts with 0, 1 ... 10 right answers. Enumeration, ranks and P values."""

from __future__ import annotations

import numpy as np
from scipy import stats

from mammogan.paper.printed import QUESTIONS, Sums

SCORES = np.arange(QUESTIONS + 1)
BY_GUESSING = stats.binom.pmf(SCORES, QUESTIONS, 0.5)


def histograms_of(sums: Sums, ties: float = np.inf) -> np.ndarray:
    """Return all histograms of scores with these sums, and a sum of t^3 - t over cells of at most `ties`; (m, 11).

    Cells are filled from the ends of the scale inward, states that can no longer reach the sums are dropped, and the
    last three cells follow from the three sums.
    """
    center = SCORES - 5
    # About the middle of the scale: sums of (score - 5) and of its square.
    readers, total, squares = sums
    left = np.array([[readers, total - 5 * readers, squares - 10 * total + 25 * readers]])
    cells = np.zeros((1, len(SCORES)), np.int64)
    order = [0, 10, 1, 9, 2, 8, 3, 7]
    for number, cell in enumerate(order, 1):
        c = int(center[cell])
        remaining = np.abs(np.delete(center, order[:number])).max()
        row, value = _branch(np.minimum(left[:, 0], np.maximum(left[:, 2], 0) // c**2))
        rest = left[row] - value[:, None] * np.array([1, c, c * c])
        good = (np.abs(rest[:, 1]) <= rest[:, 2]) & (rest[:, 2] <= remaining**2 * rest[:, 0])
        good &= rest[:, 1] ** 2 <= rest[:, 2] * rest[:, 0]
        cells, left = cells[row[good]], rest[good]
        cells[:, cell] = value[good]
        few = tie_sum(cells) <= ties
        cells, left = cells[few], left[few]
    # Cells 4, 5 and 6 are at -1, 0 and 1.
    cells[:, 6] = (left[:, 2] + left[:, 1]) // 2
    cells[:, 4] = left[:, 2] - cells[:, 6]
    cells[:, 5] = left[:, 0] - left[:, 2]
    good = ((left[:, 2] + left[:, 1]) % 2 == 0) & (cells >= 0).all(1)
    return cells[good & (tie_sum(cells) <= ties)]


def all_histograms(readers: int) -> np.ndarray:
    """Return all histograms of so many scores; (m, 11)."""
    cells = np.zeros((1, 0), np.int64)
    for _ in SCORES[1:]:
        row, value = _branch(readers - cells.sum(1))
        cells = np.column_stack([cells[row], value])
    return np.column_stack([cells, readers - cells.sum(1)])


def _branch(most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of an index of `most` and each value from 0 to most[index]; (m,) each."""
    row = np.repeat(np.arange(len(most)), most + 1)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(most + 1) - (most + 1), most + 1)


def tie_sum(histogram: np.ndarray) -> np.ndarray:
    """Return the sum of t^3 - t over cells, (...,), on which the correction for ties depends."""
    return (histogram**3 - histogram).sum(-1)


def midranks(histogram: np.ndarray) -> np.ndarray:
    """Return the midrank of each score among all, (..., 11)."""
    return np.cumsum(histogram, -1) - histogram + (histogram + 1) / 2


def rank_variance(part: int | np.ndarray, n: int | np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Return the variance of the rank sum of `part` of n readers with a tie sum, (...,)."""
    return part * (n - part) * (n + 1) / 12 * (1 - ties / (n**3 - n))


def kruskal_h(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the Kruskal-Wallis statistic between a part and the rest; histograms, broadcast over leading axes.

    Its P, `scipy.stats.chi2.sf(h, 1)`, equals that of `scipy.stats.kruskal` on the scores.
    """
    n, size = whole.sum(-1), part.sum(-1)
    deviation = (part * midranks(whole)).sum(-1) - size * (n + 1) / 2
    return deviation**2 / rank_variance(size, n, tie_sum(whole))


def chi_square(histogram: np.ndarray) -> np.ndarray:
    """Return the chi-square statistic against Bin(10, 1/2) in eleven bins, without pooling; (...,)."""
    expected = histogram.sum(-1)[..., None] * BY_GUESSING
    return ((histogram - expected) ** 2 / expected).sum(-1)


def chi_square_p(histogram: np.ndarray) -> np.ndarray:
    """Return P of `chi_square`, as the paper seems to have computed it."""
    return stats.chi2.sf(chi_square(histogram), QUESTIONS)


def highest_chi_square_p(histogram: np.ndarray, others: int) -> float:
    """Return the largest `chi_square_p` that any scores of `others` more readers can give.

    The statistic is a sum of convex functions of the counts: adding readers one by one where it rises least is exact.
    """
    counts = histogram.astype(float)
    expected = (histogram.sum() + others) * BY_GUESSING
    for _ in range(others):
        counts[np.argmin((2 * (counts - expected) + 1) / expected)] += 1
    return float(chi_square_p(counts))


def rate_and_deviation(histogram: np.ndarray) -> tuple[float, float]:
    """Return the mean and standard deviation (1/n) of the rate of right answers, as Table 4 prints them."""
    n = histogram.sum()
    mean = float(histogram @ SCORES / n)
    return mean / QUESTIONS, float(np.sqrt(histogram @ SCORES**2 / n - mean**2)) / QUESTIONS
