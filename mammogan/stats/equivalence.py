"""Equivalence to guessing: two one-sided tests, power and sample size."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.stats.proportions import binomial_p, check_counts, exact_interval
from mammogan.stats.rank_tests import holm


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
