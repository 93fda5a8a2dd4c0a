"""Statistics of a two-alternative reader study: can readers tell real from synthetic, do they learn, do groups differ?

Answers are 0 or 1, one row an attempt and one column a question; counts of successes stand in where a test needs no
more than they hold.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scikit_posthocs
from scipy import optimize, special, stats
from statsmodels.stats.contingency_tables import cochrans_q
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint


def check_counts(successes: int, trials: int) -> None:
    """Refuse counts that cannot be.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials cannot be; check the counts.")


def answers_from_counts(successes: np.ndarray, attempts: int) -> np.ndarray:
    """0/1 answers (attempts, questions) with the given successes a question.

    Who gave them is not known from the counts: only tests that treat the answers to a question as exchangeable
    (Kruskal-Wallis, Conover-Iman, the trend) may use them.
    """
    for count in successes:
        check_counts(int(count), attempts)
    return (np.arange(attempts)[:, None] < np.asarray(successes)[None, :]).astype(np.int8)


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


def equivalence_p(successes: int, trials: int, margin: float, chance: float = 0.5) -> float:
    """Two one-sided exact tests (Schuirmann 1987): P that the rate is not within chance +- margin.

    Unlike a large P value of a test of difference, a small one here is evidence for equivalence.

    Raises:
        ValueError: a margin that leaves the unit interval.
    """
    check_counts(successes, trials)
    if not 0 < margin < min(chance, 1 - chance):
        raise ValueError(f"An equivalence margin of {margin} around {chance} cannot be; choose a smaller positive one.")
    below = stats.binom.sf(successes - 1, trials, chance - margin)
    above = stats.binom.cdf(successes, trials, chance + margin)
    return float(max(below, above))


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


def d_prime(successes: int, trials: int) -> tuple[float, tuple[float, float]]:
    """Sensitivity in two-alternative forced choice, sqrt(2) z(rate), with the exact interval (Macmillan & Creelman)."""
    low, high = exact_interval(successes, trials)
    rate = np.clip(successes / trials, 0.5 / trials, 1 - 0.5 / trials)  # finite where every answer is right or wrong
    scale = np.sqrt(2)
    return float(scale * stats.norm.ppf(rate)), (
        float(scale * stats.norm.ppf(low)),
        float(scale * stats.norm.ppf(high)),
    )


def goodness_of_fit(scores: np.ndarray, questions: int, *, simulations: int, seed: int) -> dict[str, float]:
    """Do scores of attempts follow Bin(questions, 1/2)? Chi-square with pooled bins, and by Monte Carlo.

    Bins are pooled from both ends until each expects 5 attempts or more (Cochran 1954).

    Args:
        scores: (attempts,), right answers of each.
        questions: of an attempt.
        simulations: data sets drawn under the null for the Monte Carlo P, which needs no large counts.
        seed: of the simulations.

    Returns:
        statistic, p (asymptotic), p_monte_carlo, bins.
    """
    scores = np.asarray(scores)
    expected = len(scores) * stats.binom.pmf(np.arange(questions + 1), questions, 0.5)
    low = int(np.argmax(np.cumsum(expected) >= 5))
    high = questions - int(np.argmax(np.cumsum(expected[::-1]) >= 5))
    if expected.sum() < 10 or low >= high:  # fewer than two bins of five
        raise ValueError(f"{len(scores)} attempts are too few for a chi-square test; collect more.")
    pooled = np.bincount(np.clip(np.arange(questions + 1), low, high) - low, weights=expected)

    def statistic(values: np.ndarray) -> np.ndarray:
        """One value a row of (n, attempts) scores."""
        cell = np.clip(values, low, high) - low + len(pooled) * np.arange(len(values))[:, None]
        observed = np.bincount(cell.ravel(), minlength=len(values) * len(pooled)).reshape(len(values), -1)
        return ((observed - pooled) ** 2 / pooled).sum(1)

    rng = np.random.default_rng(seed)
    found = float(statistic(scores[None])[0])
    drawn = statistic(rng.binomial(questions, 0.5, (simulations, len(scores))))
    return {
        "statistic": found,
        "p": float(stats.chi2.sf(found, len(pooled) - 1)),
        "p_monte_carlo": (1 + int((drawn >= found - 1e-9).sum())) / (1 + simulations),
        "bins": len(pooled),
    }


@dataclass(frozen=True)
class BetaBinomial:
    """Beta-binomial fit of scores: mean rate, overdispersion rho (0 for binomial), and P of rho = 0."""

    rate: float
    rho: float
    p: float


def beta_binomial(scores: np.ndarray, questions: int) -> BetaBinomial:
    """Do readers differ in ability? Maximum likelihood of a beta-binomial against a binomial (Crowder 1978).

    The null lies at the border of the parameter space: P is half of the chi-square's tail (Self & Liang 1987).
    """
    score, readers = np.unique(np.asarray(scores), return_counts=True)

    def negative(parameters: np.ndarray) -> float:
        # Minus the log likelihood less the binomial coefficients, which are the same under both hypotheses.
        # Below 1e-6 it is binomial, and differences of huge logarithms are noise that a minimizer takes for a gain.
        rate, rho = special.expit(parameters[0]), max(special.expit(parameters[1]), 1e-6)
        a, b = rate * (1 - rho) / rho, (1 - rate) * (1 - rho) / rho
        return -float(readers @ (special.betaln(score + a, questions - score + b) - special.betaln(a, b)))

    right, trials = readers @ score, questions * readers.sum()
    rate = float(np.clip(right / trials, 1e-3, 1 - 1e-3))
    # A grid of rho finds the basin, also where the likelihood is flat towards 0.
    starts = [np.array([special.logit(rate), special.logit(rho)]) for rho in (0.0005, 0.005, 0.02, 0.1, 0.3)]
    best = optimize.minimize(negative, min(starts, key=negative), method="Nelder-Mead")
    plain = -float(special.xlogy(right, rate) + special.xlog1py(trials - right, -rate))
    gain = max(2 * (plain - best.fun), 0.0)
    fitted, rho = special.expit(best.x)
    return BetaBinomial(float(fitted), float(rho), float(stats.chi2.sf(gain, 1) / 2))


def power_of_equivalence(trials: int, margin: float, level: float = 0.05) -> float:
    """Chance that `equivalence_p` falls to `level` or below when readers guess, exact."""
    successes = np.arange(trials + 1)
    below = stats.binom.sf(successes - 1, trials, 0.5 - margin)
    above = stats.binom.cdf(successes, trials, 0.5 + margin)
    shown = np.maximum(below, above) <= level
    return float(stats.binom.pmf(successes, trials, 0.5)[shown].sum())


def power_of_difference(trials: int, rate: float, level: float = 0.05) -> float:
    """Chance that the exact two-sided binomial test finds a true rate other than 1/2, exact."""
    successes = np.arange(trials + 1)
    null = stats.binom.pmf(successes, trials, 0.5)
    # P of every outcome at once: the mass of all outcomes that are no likelier.
    order = np.argsort(null)
    tail = np.empty(trials + 1)
    tail[order] = np.cumsum(null[order])
    tail = np.maximum(tail, tail[::-1])  # mirrored outcomes are equally likely
    return float(stats.binom.pmf(successes, trials, rate)[tail <= level].sum())


def answers_for_equivalence(margin: float, power: float) -> int:
    """Independent answers, to the next ten, at which equivalence is shown with `power` when readers guess."""
    start = 0.8 * 0.25 * (stats.norm.ppf(0.95) + stats.norm.ppf(0.5 + power / 2)) ** 2 / margin**2
    return next(
        n for n in itertools.count(max(int(start) // 10, 1) * 10, 10) if power_of_equivalence(n, margin) >= power
    )


def answers_for_difference(rate: float, power: float) -> int:
    """Independent answers, to the next ten, at which a true rate other than 1/2 is found with `power`.

    Raises:
        ValueError: a rate of one half, which no study can find to differ.
    """
    if rate == 0.5:
        raise ValueError("A rate of one half differs from guessing by nothing; give another.")
    start = 0.8 * 0.25 * (stats.norm.ppf(0.975) + stats.norm.ppf(power)) ** 2 / (rate - 0.5) ** 2
    sizes = itertools.count(max(int(start) // 10, 1) * 10, 10)
    return next(n for n in sizes if power_of_difference(n, rate) >= power)


def power_table(margin: float, rates: tuple[float, ...] = (0.55, 0.6, 0.7)) -> pd.DataFrame:
    """Power by number of independent answers: of equivalence when readers guess, of difference at true rates."""
    answers = np.unique(np.geomspace(50, 2000, 25).astype(int))
    columns: dict[str, Any] = {"answers": answers}
    columns[f"equivalence within {margin:g}"] = [power_of_equivalence(int(n), margin) for n in answers]
    for rate in rates:
        columns[f"difference, rate {rate:g}"] = [power_of_difference(int(n), rate) for n in answers]
    return pd.DataFrame(columns)


def chance_of_best(readers: int, questions: int, score: int) -> tuple[float, float]:
    """(expected number of readers with `score` or more by guessing, probability of at least one)."""
    each = float(stats.binom.sf(score - 1, questions, 0.5))
    return readers * each, 1 - (1 - each) ** readers


def group_table(groups: list[tuple[str, int, int]], margin: float) -> pd.DataFrame:
    """Rates of groups with exact intervals, exact P against 1/2 (Holm over the table) and P of equivalence.

    Args:
        groups: (name, successes, trials).
        margin: of equivalence, stated beforehand.
    """
    rows = []
    for name, successes, trials in groups:
        low, high = exact_interval(successes, trials)
        rows.append(
            {
                "group": name,
                "successes": successes,
                "trials": trials,
                "rate": successes / trials,
                "low": low,
                "high": high,
                "p": binomial_p(successes, trials),
                "p_equivalence": equivalence_p(successes, trials, margin),
            }
        )
    table = pd.DataFrame(rows)
    table.insert(7, "p_holm", holm(table["p"].to_numpy()))
    return table
