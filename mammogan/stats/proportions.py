"""Proportions of right answers: exact and clustered intervals, overdispersion, sensitivity."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint


def check_counts(successes: int, trials: int) -> None:
    """Refuse counts that cannot be.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials cannot be; check the counts.")


def exact_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a proportion (Clopper & Pearson 1934)."""
    check_counts(successes, trials)
    low, high = proportion_confint(successes, trials, 1 - level, method="beta")
    # statsmodels leaves the bound at the edge of the range undefined in some releases.
    return (0.0 if successes == 0 else float(low)), (1.0 if successes == trials else float(high))


def binomial_p(successes: int, trials: int, chance: float = 0.5) -> float:
    """Exact two-sided binomial P."""
    check_counts(successes, trials)
    return float(stats.binomtest(successes, trials, chance).pvalue)


@dataclass(frozen=True)
class Clustered:
    """Rate of right answers when answers hang together: t interval, P against chance, P of equivalence.

    Attributes:
        rate, low, high: rate and interval.
        p: two-sided, against chance.
        p_equivalence: of two one-sided tests.
        design_effect: variance of the rate over that of as many independent answers.
    """

    rate: float
    low: float
    high: float
    p: float
    p_equivalence: float
    design_effect: float


def clustered(
    answers: np.ndarray, clusters: list[np.ndarray], margin: float, chance: float = 0.5, level: float = 0.95
) -> Clustered:
    """Rate with readers, or readers and images, as clusters: each clustering may be crossed with the others.

    The variance is the multiway cluster-robust one (Cameron, Gelbach & Miller 2011): that of sums over clusters, added
    over clusterings, less that over their intersections, and so on; no less than that of any clustering alone. The t
    distribution has as many degrees of freedom as the clustering with the fewest clusters less one. With readers alone
    and as many answers of each, this is the t interval of readers' rates.

    Args:
        answers: (n,) 0 or 1.
        clusters: (n,) codes each, e.g. of readers and of images.
        margin: of equivalence (Schuirmann 1987).

    Raises:
        ValueError: all answers or all clusters are the same, or a clustering has less than three clusters.
    """
    y = np.asarray(answers, float)
    codes = [np.unique(values, return_inverse=True)[1] for values in clusters]
    sizes = [int(code.max()) + 1 for code in codes]
    if min(sizes) < 3:
        raise ValueError("A clustering has less than three clusters; an interval over clusters cannot be made.")

    def variance(chosen: tuple[int, ...]) -> float:
        code = codes[chosen[0]]
        for other in chosen[1:]:
            code = np.unique(code * sizes[other] + codes[other], return_inverse=True)[1]
        sums = np.bincount(code, y - y.mean())
        return len(sums) / (len(sums) - 1) * float(sums @ sums) / len(y) ** 2

    places = range(len(codes))
    each = [variance((place,)) for place in places]
    crossed = [(-1) ** n * variance(chosen) for n in places[1:] for chosen in itertools.combinations(places, n + 1)]
    squared = max(sum(each) + sum(crossed), *each)
    if squared == 0:
        raise ValueError("All clusters have the same rate; an interval over clusters cannot be made.")
    rate, error, t = float(y.mean()), float(np.sqrt(squared)), stats.t(min(sizes) - 1)
    step = float(t.ppf(0.5 + level / 2)) * error
    apart = max(t.sf((rate - chance + margin) / error), t.cdf((rate - chance - margin) / error))
    return Clustered(
        rate,
        rate - step,
        rate + step,
        float(2 * t.sf(abs(rate - chance) / error)),
        float(apart),
        squared / (rate * (1 - rate) / len(y)),
    )


@dataclass(frozen=True)
class Overdispersion:
    """Do clusters differ by more than chance? Intraclass correlation of answers by moments, and P (Tarone 1979).

    Attributes:
        clusters: number of them.
        correlation: between answers of one cluster.
        p: one-sided.
        detectable: correlation that a test at 5 % finds with a power of about 80 %; 1 where there is none.
    """

    clusters: int
    correlation: float
    p: float
    detectable: float


def overdispersion(answers: np.ndarray, clusters: np.ndarray) -> Overdispersion:
    """Tarone's test whether the rates of clusters, of whatever size, are more spread than a binomial allows.

    Args:
        answers: (n,) 0 or 1.
        clusters: (n,) codes, e.g. of images.

    Raises:
        ValueError: all answers are the same, or no cluster has two answers.
    """
    y, code = np.asarray(answers, float), np.unique(clusters, return_inverse=True)[1]
    size, rate = np.bincount(code), float(y.mean())
    pairs = float((size * (size - 1)).sum())
    if not 0 < rate < 1 or pairs == 0:
        raise ValueError("All answers are the same, or no cluster has two; nothing can be said about its spread.")
    excess = float(((np.bincount(code, y) - size * rate) ** 2).sum()) / (rate * (1 - rate)) - len(y)
    noise = np.sqrt(2 / pairs)  # of the correlation, where there is none
    others = float((size * size).sum() / size.sum()) - 1
    # The noise grows with the correlation, by 1 + others * correlation.
    shrunk = 1 - stats.norm.ppf(0.8) * noise * others
    detectable = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) * noise / shrunk if shrunk > 0 else 1.0
    p = float(stats.norm.sf(excess / pairs / noise))
    return Overdispersion(len(size), excess / pairs, p, min(float(detectable), 1.0))


def coverage_left(design_effect: float, level: float = 0.95) -> float:
    """What an interval for independent answers covers when the rate's variance is `design_effect` times as large."""
    return float(1 - 2 * stats.norm.sf(stats.norm.ppf(0.5 + level / 2) / np.sqrt(design_effect)))


def d_prime(successes: int, trials: int) -> tuple[float, tuple[float, float]]:
    """Sensitivity in two-alternative forced choice, sqrt(2) z(rate), with the exact interval (Macmillan & Creelman)."""
    low, high = exact_interval(successes, trials)
    rate = np.clip(successes / trials, 0.5 / trials, 1 - 0.5 / trials)  # finite where every answer is right or wrong
    scale = np.sqrt(2)
    return float(scale * stats.norm.ppf(rate)), (
        float(scale * stats.norm.ppf(low)),
        float(scale * stats.norm.ppf(high)),
    )


def chance_of_best(readers: int, questions: int, score: int) -> tuple[float, float]:
    """(expected number of readers with `score` or more by guessing, probability of at least one)."""
    each = float(stats.binom.sf(score - 1, questions, 0.5))
    return readers * each, 1 - (1 - each) ** readers
