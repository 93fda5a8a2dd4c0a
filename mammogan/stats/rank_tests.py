"""Tests between groups and questions: Kruskal-Wallis, Conover-Iman, Cochran's Q, trend; Mann-Whitney for patients."""

from __future__ import annotations

import numpy as np
import scikit_posthocs
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q
from statsmodels.stats.multitest import multipletests

from mammogan.errors import ParameterError
from mammogan.stats.mrmc import auc_interval
from mammogan.stats.proportions import EffectiveSample, check_counts
from mammogan.types import Estimate


def answers_from_counts(successes: np.ndarray, attempts: int) -> np.ndarray:
    """Return 0/1 answers, (attempts, questions), with the given successes per question.

    Counts do not tell who gave them: only tests that treat the answers to a question as exchangeable (Kruskal-Wallis,
    Conover-Iman, the trend) may use them.

    Raises:
        ParameterError: a question has more successes than attempts.
    """
    for count in successes:
        check_counts(int(count), attempts)
    return (np.arange(attempts)[:, None] < np.asarray(successes)[None, :]).astype(np.int8)


def kruskal_wallis(groups: list[np.ndarray]) -> float:
    """Return P of the Kruskal-Wallis test over groups, ties corrected (Kruskal & Wallis 1952).

    Values that are all the same give 1, the P of their permutations.
    """
    if np.ptp(np.concatenate(groups)) == 0:
        return 1.0
    return float(stats.kruskal(*groups).pvalue)


def chance_of_larger(values: np.ndarray, others: np.ndarray, clusters: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the chance that a value is larger than one of the others, ties counted half (Mann & Whitney 1947).

    Its variance is that of clustered data (Obuchowski 1997, Biometrics 53:567, where no cluster is on both sides);
    where no two values share a cluster it is that of DeLong 1988, Biometrics 44:837, but for the others' denominator.

    Args:
        values: (n,), independent.
        others: (m,).
        clusters: (m,), cluster of each of the others, such as a patient.
        level: confidence level of the interval.

    Raises:
        ParameterError: fewer than two values, or the others are of one cluster.
    """
    n, m, sums = len(values), len(others), np.unique(clusters, return_inverse=True)[1]
    count = int(sums.max(initial=-1)) + 1
    if min(n, count) < 2:
        raise ParameterError("An interval needs two values and two clusters of the others or more; give more.")
    pooled = stats.rankdata(np.concatenate([values, others]))
    above = (pooled[:n] - stats.rankdata(values)) / m  # share of the others below each value
    below = 1 - (pooled[n:] - stats.rankdata(others)) / n  # share of the values above each of the others
    chance = float(above.mean())
    by_cluster = np.bincount(sums, below - chance)
    variance = above.var(ddof=1) / n + count / (count - 1) * float(by_cluster @ by_cluster) / m**2
    smallest = min(n, count)
    if variance < np.finfo(float).eps:  # nothing varies: as many answers as there are clusters, and not no width
        return Estimate(chance, *EffectiveSample(chance, smallest, 0.0, smallest - 1).bounds(level))
    step = stats.t.ppf((1 + level) / 2, smallest - 1) * np.sqrt(variance)
    return auc_interval(chance, float(step), smallest, level)


def conover(groups: list[np.ndarray], adjust: str | None = None) -> np.ndarray:
    """Return P values of the Conover-Iman test of all pairs of groups; (groups, groups), 1 on the diagonal.

    Args:
        groups: values of each group.
        adjust: None for the unadjusted test (Conover & Iman 1979); "holm" for the family of all pairs.

    Raises:
        ParameterError: groups differ, and no group has two different values: the test divides by their spread.
    """
    if np.ptp(np.concatenate(groups)) == 0:
        return np.ones((len(groups), len(groups)))
    if max(np.ptp(group) for group in groups) == 0:
        raise ParameterError("Each group has one value only; a test of pairs of groups needs values that differ.")
    return scikit_posthocs.posthoc_conover(groups, p_adjust=adjust).to_numpy()


def holm(p: np.ndarray) -> np.ndarray:
    """Return P values adjusted over their family (Holm 1979)."""
    return multipletests(p, method="holm")[1]


def cochran_q(answers: np.ndarray) -> float:
    """Return P of Cochran's Q test of equal difficulty of questions, each attempt its own block (Cochran 1950).

    Attempts that are all right or all wrong say nothing about differences between questions; where no attempt is left,
    P is 1, that of the permutations within attempts.
    """
    if (np.ptp(answers, axis=1) == 0).all():
        return 1.0
    return float(cochrans_q(answers).pvalue)


def linear_trend(successes: np.ndarray, attempts: int) -> tuple[float, float]:
    """Return the slope of the rate per question and its two-sided P (Cochran-Armitage; Armitage 1955)."""
    counts = np.asarray(successes, float)
    score = np.arange(len(counts)) - (len(counts) - 1) / 2
    rate = counts.sum() / (attempts * len(counts))
    statistic = float(score @ counts)
    variance = rate * (1 - rate) * attempts * float(score @ score)
    p = 1.0 if variance == 0 else 2 * stats.norm.sf(abs(statistic) / np.sqrt(variance))
    return statistic / (attempts * float(score @ score)), float(p)
