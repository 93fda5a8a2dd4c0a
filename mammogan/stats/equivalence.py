"""Equivalence to guessing: two one-sided tests, Bayes factors, power and sample size."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy import special, stats

from mammogan.errors import ParameterError
from mammogan.stats.proportions import binomial_p, check_counts, exact_interval
from mammogan.stats.rank_tests import holm


def equivalence_p(successes: int, trials: int, margin: float, chance: float = 0.5) -> float:
    """Return P of two one-sided exact tests of a rate within chance +- margin (Schuirmann 1987).

    Unlike a large P value of a test of difference, a small one here is evidence for equivalence.

    Raises:
        ParameterError: the counts are impossible, or chance +- margin leaves the unit interval.
    """
    check_counts(successes, trials)
    if not 0 < margin < min(chance, 1 - chance):
        raise ParameterError(
            f"The margin of equivalence {margin:g} around {chance:g} is impossible; choose a positive one below "
            f"{min(chance, 1 - chance):g}."
        )
    return float(_one_sided_p(successes, trials, margin, chance))


def _one_sided_p(successes: int | np.ndarray, trials: int, margin: float, chance: float = 0.5) -> np.ndarray:
    """Return the larger P of the two one-sided tests, for any number of successes at once."""
    below = stats.binom.sf(successes - 1, trials, chance - margin)
    above = stats.binom.cdf(successes, trials, chance + margin)
    return np.maximum(below, above)


def bayes_factor(successes: float, trials: float, *, prior: float = 1.0, margin: float = 0.0) -> float:
    """Return how many times likelier answers are under guessing than under another rate (Kass & Raftery 1995).

    Guessing is a rate of 1/2, or one within 1/2 +- margin; the other rates have a Beta(prior, prior) distribution.
    Above 1 the answers speak for guessing, below 1 against it. Correlated answers count as their effective number,
    trials over design effect, which need not be whole.

    Args:
        successes, trials: right answers and all answers.
        prior: 1 for a uniform distribution of rates; higher values expect rates closer to 1/2.
        margin: half-width of what counts as guessing; 0 for 1/2 alone.

    Raises:
        ParameterError: the counts are impossible, the prior is not positive, or the margin is not in [0, 1/2).
    """
    if not (0 <= successes <= trials and trials > 0 and prior > 0 and 0 <= margin < 0.5):
        raise ParameterError(
            f"A Bayes factor of {successes:g} successes in {trials:g} trials with prior {prior:g} and margin "
            f"{margin:g} is impossible; check the counts, and give a prior above 0 and a margin in [0, 0.5)."
        )
    a, b = successes + prior, trials - successes + prior
    if margin == 0:
        return float(np.exp(-trials * np.log(2) - special.betaln(a, b) + special.betaln(prior, prior)))

    def odds(left: float, right: float) -> float:
        if left > right:  # by symmetry; of a rate below 1/2 the upper tails are small, and their difference is exact
            left, right = right, left
        above, from_below = (special.betaincc(left, right, 0.5 + side) for side in (margin, -margin))
        outside = special.betainc(left, right, 0.5 - margin) + above
        return float((from_below - above) / max(outside, 1e-300))

    return odds(a, b) / odds(prior, prior)


def power_of_equivalence(trials: int, margin: float, level: float = 0.05) -> float:
    """Return the exact probability that `equivalence_p` is at most `level` when readers guess."""
    successes = np.arange(trials + 1)
    equivalent = _one_sided_p(successes, trials, margin) <= level
    return float(stats.binom.pmf(successes, trials, 0.5)[equivalent].sum())


def power_of_difference(trials: int, rate: float, level: float = 0.05) -> float:
    """Return the exact probability that the two-sided exact binomial test against 1/2 rejects at a true rate."""
    successes = np.arange(trials + 1)
    null = stats.binom.pmf(successes, trials, 0.5)
    # P of every outcome at once: the mass of all outcomes that are not more likely.
    order = np.argsort(null)
    tail = np.empty(trials + 1)
    tail[order] = np.cumsum(null[order])
    tail = np.maximum(tail, tail[::-1])  # mirrored outcomes are equally likely
    return float(stats.binom.pmf(successes, trials, rate)[tail <= level].sum())


def answers_for_equivalence(margin: float, power: float) -> int:
    """Return the independent answers, to the next ten, that show equivalence with `power` when readers guess."""
    start = 0.8 * 0.25 * (stats.norm.ppf(0.95) + stats.norm.ppf(0.5 + power / 2)) ** 2 / margin**2
    sizes = itertools.count(max(int(start) // 10, 1) * 10, 10)
    return next(n for n in sizes if power_of_equivalence(n, margin) >= power)


def answers_for_difference(rate: float, power: float) -> int:
    """Return the independent answers, to the next ten, that find a true rate other than 1/2 with `power`.

    Raises:
        ParameterError: the rate is 1/2, which does not differ.
    """
    if rate == 0.5:
        raise ParameterError("A rate of one half does not differ from guessing; give another rate.")
    start = 0.8 * 0.25 * (stats.norm.ppf(0.975) + stats.norm.ppf(power)) ** 2 / (rate - 0.5) ** 2
    sizes = itertools.count(max(int(start) // 10, 1) * 10, 10)
    return next(n for n in sizes if power_of_difference(n, rate) >= power)


def power_table(margin: float, rates: tuple[float, ...] = (0.55, 0.6, 0.7)) -> pd.DataFrame:
    """Return the power by number of independent answers: of equivalence if readers guess, of difference per rate."""
    answers = np.unique(np.geomspace(50, 2000, 25).astype(int))
    table = pd.DataFrame({"answers": answers})
    table[f"equivalence within {margin:g}"] = [power_of_equivalence(int(n), margin) for n in answers]
    for rate in rates:
        table[f"difference, rate {rate:g}"] = [power_of_difference(int(n), rate) for n in answers]
    return table


def group_table(groups: list[tuple[str, int, int]], margin: float) -> pd.DataFrame:
    """Return one row per group: rate, exact interval, exact P against 1/2 (also Holm's over the table), equivalence P.

    Args:
        groups: (name, successes, trials) of each.
        margin: margin of equivalence, stated beforehand.
    """
    columns = ["group", "successes", "trials", "rate", "low", "high", "p", "p_equivalence"]
    rows = [(name, k, n, *exact_interval(k, n), binomial_p(k, n), equivalence_p(k, n, margin)) for name, k, n in groups]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(7, "p_holm", holm(table["p"].to_numpy()))
    return table
