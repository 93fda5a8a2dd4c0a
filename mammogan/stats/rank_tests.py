"""Tests between groups and questions: Kruskal-Wallis, Conover-Iman, Cochran's Q, trend."""

from __future__ import annotations

import numpy as np
import scikit_posthocs
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q
from statsmodels.stats.multitest import multipletests

from mammogan.stats.proportions import check_counts


def answers_from_counts(successes: np.ndarray, attempts: int) -> np.ndarray:
    """0/1 answers (attempts, questions) with the given successes a question.

    Who gave them is not known from the counts: only tests that treat the answers to a question as exchangeable
    (Kruskal-Wallis, Conover-Iman, the trend) may use them.
    """
    for count in successes:
        check_counts(int(count), attempts)
    return (np.arange(attempts)[:, None] < np.asarray(successes)[None, :]).astype(np.int8)


def kruskal_wallis(groups: list[np.ndarray]) -> float:
    """P of the Kruskal-Wallis test over groups (Kruskal & Wallis 1952), ties corrected."""
    return float(stats.kruskal(*groups).pvalue)


def conover(groups: list[np.ndarray], adjust: str | None = None) -> np.ndarray:
    """P values of the Conover-Iman test for all pairs of groups; (groups, groups), 1 on the diagonal.

    Args:
        groups: values of each group.
        adjust: None for the unadjusted test, as the paper's Table 3; "holm" for the family of all pairs.
    """
    return scikit_posthocs.posthoc_conover(groups, p_adjust=adjust).to_numpy()


def holm(p: np.ndarray) -> np.ndarray:
    """P values adjusted over their family (Holm 1979)."""
    return multipletests(p, method="holm")[1]


def cochran_q(answers: np.ndarray) -> float:
    """P of Cochran's Q: do the questions differ in difficulty, each attempt its own block (Cochran 1950)."""
    return float(cochrans_q(answers).pvalue)


def trend_p(successes: np.ndarray, attempts: int) -> tuple[float, float]:
    """Cochran-Armitage test for a linear trend of the rate over questions (Armitage 1955).

    Returns:
        slope of the rate, a question, and the two-sided P.
    """
    counts = np.asarray(successes, float)
    score = np.arange(len(counts)) - (len(counts) - 1) / 2
    rate = counts.sum() / (attempts * len(counts))
    statistic = float(score @ counts)
    variance = rate * (1 - rate) * attempts * float(score @ score)
    p = 1.0 if variance == 0 else 2 * stats.norm.sf(abs(statistic) / np.sqrt(variance))
    return statistic / (attempts * float(score @ score)), float(p)
