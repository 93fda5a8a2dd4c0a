"""Statements of the paper that contradict each other, each as a computation from printed numbers.

Everything here follows from printed numbers alone (Korkinof et al. 2021, doi:10.1148/ryai.2020190181); no image enters.
The words of each number are in consistency.toml.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from mammogan.paper import printed, table1, table2, table3

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


class Contradiction(NamedTuple):
    """Two statements that should agree."""

    key: str  # name of the result
    printed: float  # the number as the paper prints it, at the place that `how` names first
    computed: float  # the number that follows from others of the paper
    label: str  # what is stated, in a few words
    how: str  # places and computation, one sentence
    tolerance: float = 0.0  # largest difference that rounding explains
    fmt: str = ""  # format specification of both numbers


class Consequence(NamedTuple):
    """A number that follows from the paper's but is in none of its tables."""

    key: str
    value: float
    label: str
    how: str
    unit: str
    fmt: str


def equal_differences(offsets: np.ndarray) -> list[tuple[float, ...]]:
    """Return the printed P values of Table 3 that differ although they belong to one difference of successes."""
    groups: dict[int, set[float]] = {}
    for (a, b), p in printed.TABLE3.items():
        groups.setdefault(abs(int(offsets[a] - offsets[b])), set()).add(p)
    return sorted(tuple(sorted(values)) for values in groups.values() if len(values) > 1)


def contradictions() -> list[Contradiction]:
    """Return every contradiction that a number can show, in the order of the paper."""
    scores, neighbors = printed.TABLE1, printed.TABLE2_NEIGHBORS
    by_score, by_information = stats.rankdata(-np.diag(scores)), stats.rankdata(printed.TABLE2_INFORMATION)
    everybody, radiologists = printed.TABLE4[:2]
    successes = table3.reconstruct()
    total, trials = int(successes.sum()), printed.QUESTIONS * printed.ATTEMPTS
    equal = equal_differences(successes)
    values = " and ".join(" against ".join(f"{p:.3f}"[1:] for p in pair) for pair in equal)
    numbers: dict[str, tuple[float, float]] = {
        "years": (2019, 2017),
        "score": (60, 100 * float(np.nanmin(scores))),
        "score_high": (78, 100 * float(np.nanmax(scores))),
        "coverage": (91, 90),
        # Standardized central moments of the exponential distribution are subfactorials: 2 of order 3, 44 of order 5.
        "fifth_moment": (2, 44),
        "fifth_rank": (int(by_score[4]), int(by_information[4])),
        "neighbors_low": (5.2, neighbors.min()),
        "neighbors_high": (5.5, neighbors.max()),
        "neighbors_ceiling": (6, float(table2.implied_neighbors(2 * printed.INSPECTED, np.zeros(1))[0])),
        "certified": (55, radiologists.attempts - 11),
        "candidates": (printed.INSPECTED, printed.INSPECTED - printed.ARTIFACTS["MLO"]),
        "all": (everybody.rate, total / trials),
        "equal": (0, len(equal)),
        "diagonal": (-1, 1),
    }
    cases = [Contradiction(key, *numbers[key], **words) for key, words in _WORDS["contradictions"].items()]
    return [case._replace(how=case.how.format(total=total, trials=trials, values=values)) for case in cases]


def consequences() -> list[Consequence]:
    """Return the numbers that follow from printed ones."""
    total, trials = int(table3.reconstruct().sum()), printed.QUESTIONS * printed.ATTEMPTS
    share = printed.ARTIFACTS["MLO"] / printed.INSPECTED
    low, high = stats.binom.ppf([0.025, 0.975], trials, 0.5)  # within which the test does not reject
    numbers = {
        "uncurated": 100 * (share + (1 - share) * (total / trials)),
        "distinct": printed.INSPECTED * (1 - (1 - 1 / printed.INSPECTED) ** trials),
        "repeats": 100 * (printed.ATTEMPTS - printed.READERS) / printed.ATTEMPTS,
        "missed": 100 * float(stats.binom.cdf(high, trials, 0.52) - stats.binom.cdf(low - 1, trials, 0.52)),
        "orders": float(stats.spearmanr(np.diag(printed.TABLE1), -printed.TABLE2_INFORMATION).statistic),
        "resolution": 1280 / 1024,
        "above": int((table1.excess_over_diagonal() > 0).sum()),
    }
    return [Consequence(key, numbers[key], **words) for key, words in _WORDS["consequences"].items()]
