"""Statements of the paper that contradict each other, each as a computation from printed numbers.

Everything here follows from printed numbers alone (Korkinof et al. 2021, doi:10.1148/ryai.2020190181); no image enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from mammogan.paper import printed, table1, table2, table3
from mammogan.paper.printed import Quote

QUOTES = (
    Quote("images", 1_000_000, 'Materials and Methods, "Data and Clinical Setting" (more than)'),
    Quote("patients", 90_000, "abstract"),
    Quote("age", 56, "abstract", "years"),
    Quote("age_sd", 9, "abstract", "years"),
    Quote("height", 1280, "abstract"),
    Quote("width", 1024, "abstract"),
    Quote("inspected", printed.INSPECTED, 'Results, "Image Resolution and Qualitative Assessment" (of each view)'),
    Quote("artifacts_cc", 6.4, "abstract", "%", ".1f"),
    Quote("artifacts_mlo", 13.6, "abstract", "%", ".1f"),
    Quote("score_low", 60, "abstract", "%"),
    Quote("score_high", 78, "abstract", "%"),
    Quote("information_low", 0, "Table 2"),
    Quote("information_high", float(printed.TABLE2_INFORMATION.max()), "Table 2", fmt=".3f"),
    Quote("information_maximum", 0.69, 'Results, "Distributional Alignment"', fmt=".2f"),
    Quote("coverage_low", 100 * printed.COVERAGE[0], "abstract", "%", ".0f"),
    Quote("coverage_high", 100 * printed.COVERAGE[1], "abstract", "%", ".0f"),
    Quote("readers", printed.READERS, "abstract"),
    Quote("radiologists", 55, "abstract"),
    Quote("attempts", printed.ATTEMPTS, "Table 4"),
    Quote("repeats", 16, 'Materials and Methods, "Participant demographics"'),
    Quote("pairs", printed.QUESTIONS, 'Materials and Methods, "Reader Study"'),
    Quote("rate", 100 * printed.TABLE4[0].rate, "Table 4, all participants", "%", ".1f"),
    Quote("kruskal", printed.KRUSKAL_P, 'Results, "Reader Study"', fmt=".2f"),
    Quote("best", 9, 'Discussion, "Vascular Artifacts"'),
)


@dataclass(frozen=True)
class Contradiction:
    """Two statements that should agree."""

    key: str  # name of the result
    label: str  # what is stated, in a few words
    printed: float  # the number as the paper prints it, at the place that `how` names first
    computed: float  # the number that follows from others of the paper
    how: str  # places and computation, one sentence
    tolerance: float = 0.0  # largest difference that rounding explains
    fmt: str = ""  # format specification of both numbers


def equal_differences(offsets: np.ndarray) -> list[tuple[float, ...]]:
    """Return the printed P values of Table 3 that differ although they belong to one difference of successes."""
    groups: dict[int, set[float]] = {}
    for (a, b), p in printed.TABLE3.items():
        groups.setdefault(abs(int(offsets[a] - offsets[b])), set()).add(p)
    return sorted(tuple(sorted(values)) for values in groups.values() if len(values) > 1)


def contradictions() -> list[Contradiction]:
    """Return every contradiction that a number can show, in the order of the paper."""
    return [*_of_images(), *_of_readers()]


def _of_images() -> list[Contradiction]:
    low, high = 100 * float(np.nanmin(printed.TABLE1)), 100 * float(np.nanmax(printed.TABLE1))
    above = int((table1.excess_over_diagonal() > 0).sum())
    by_score, by_information = stats.rankdata(-np.diag(printed.TABLE1)), stats.rankdata(printed.TABLE2_INFORMATION)
    ranks = int(by_score[4]), int(by_information[4])
    neighbors = printed.TABLE2_NEIGHBORS
    ceiling = float(table2.implied_neighbors(2 * printed.INSPECTED, np.zeros(1))[0])
    # Standardized central moments of the exponential distribution are subfactorials: 2 of order 3, 44 of order 5.
    moment = 'if M5 is "skewness" (footnote of Table 1), against hyperskewness (text, footnote of Table 2)'
    inequality = "data-processing inequality of a score of overlap; counted in Table 1"
    diagonal = "by the diagonal of Table 1, where high is good; by Table 2, where low is good"
    inverse = "note of Table 2; its numbers are the inverse digamma of the row above, whose largest value this is"
    return [
        Contradiction("years", "last year of the study", 2019, 2017, "abstract; Materials and Methods say 2009-2017"),
        Contradiction("score", "lowest score of a pair, %", 60, round(low), "abstract; Table 1 has .6057"),
        Contradiction("score_high", "highest score of a pair, %", 78, round(high), "abstract; Table 1 has .7786"),
        Contradiction("coverage", "highest coverage, %", 91, 90, 'abstract; Results say "roughly 80% to roughly 90%"'),
        Contradiction("fifth_moment", "M5 of the exponential distribution", 2, 44, moment),
        Contradiction("above", "pairs of Table 1 that may exceed their worse moment", 0, above, inequality),
        Contradiction("fifth_rank", "rank of M5 among the moments, 1 the best aligned", ranks[0], ranks[1], diagonal),
        Contradiction("neighbors_low", "fewest neighbors", 5.2, neighbors.min(), "Results; Table 2", 0.05, ".2f"),
        Contradiction("neighbors_high", "most neighbors", 5.5, neighbors.max(), "Results; Table 2", 0.05, ".2f"),
        Contradiction("neighbors_ceiling", "neighbors at perfect overlap", 6, ceiling, inverse, 0.005, ".2f"),
    ]


def _of_readers() -> list[Contradiction]:
    everybody, radiologists, others = printed.TABLE4[:3]
    successes = table3.reconstruct()
    total, trials = int(successes.sum()), printed.QUESTIONS * printed.ATTEMPTS
    candidates = printed.INSPECTED - printed.ARTIFACTS["MLO"]
    excluded = 'statistical analyses; images with visible artifacts "subsequently excluded", at the rate of 136 in 1000'
    certified = "Results; at most the 53 of 64 that are left by 11 attempts of trainees (Table 4 has 53)"
    rate = f"Table 4; radiologists and nonradiologists sum to {total} of {trials}"
    moments = [value for row in (radiologists, others) for value in (row.rate, row.deviation, row.attempts)]
    p = float(stats.ttest_ind_from_stats(*moments, equal_var=False).pvalue)
    welch = "Results; Welch's t test on the means and deviations of Table 4 (the paper's test is Kruskal-Wallis)"
    pairs = equal_differences(successes)
    values = " and ".join(" against ".join(f"{p:.3f}"[1:] for p in pair) for pair in pairs)
    equal, diagonal = f"equal differences have equal P; {values}", "diagonal of Table 3; a P value is between 0 and 1"
    return [
        Contradiction("certified", "board-certified attempts", 55, radiologists.attempts - 11, certified),
        Contradiction("candidates", "candidates per set", printed.INSPECTED, candidates, excluded),
        Contradiction("all", "success rate of all attempts", everybody.rate, total / trials, rate, 0.0005, ".3f"),
        Contradiction("stratum", "P, radiologists against others", printed.RADIOLOGISTS_P, p, welch, 0.1, ".4f"),
        Contradiction("equal", "different P for one difference in Table 3", 0, len(pairs), equal),
        Contradiction("diagonal", "P of a question against itself", -1, 1, diagonal),
    ]


class Consequence(NamedTuple):
    """A number that follows from the paper's but is in none of its tables."""

    key: str
    value: float
    unit: str
    fmt: str
    label: str
    how: str


def consequences() -> list[Consequence]:
    """Return the numbers that follow from printed ones."""
    total, trials = int(table3.reconstruct().sum()), printed.QUESTIONS * printed.ATTEMPTS
    share = printed.ARTIFACTS["MLO"] / printed.INSPECTED
    uncurated, curated = 100 * (share + (1 - share) * (total / trials)), "if each removed image were recognized at once"
    distinct, drawn = printed.INSPECTED * (1 - (1 - 1 / printed.INSPECTED) ** trials), "expected, with replacement"
    repeats = 100 * (printed.ATTEMPTS - printed.READERS) / printed.ATTEMPTS
    low, high = stats.binom.ppf([0.025, 0.975], trials, 0.5)  # within which the test does not reject
    missed = 100 * float(stats.binom.cdf(high, trials, 0.52) - stats.binom.cdf(low - 1, trials, 0.52))
    test = "two-sided exact binomial test, 1330 answers, level 5 %"
    orders = float(stats.spearmanr(np.diag(printed.TABLE1), -printed.TABLE2_INFORMATION).statistic)
    tables, sizes = "diagonal of Table 1 against less information in Table 2", "1280 x 1024 over 1024 x 1024"
    return [
        Consequence("uncurated", uncurated, "%", ".1f", "success rate without curation", curated),
        Consequence("distinct", distinct, "", ".0f", "different images of 1000 that 1330 draws show", drawn),
        Consequence("repeats", repeats, "%", ".0f", "attempts of readers seen before", "16 of 133"),
        Consequence("missed", missed, "%", ".0f", "chance that a test misses a true rate of .52", test),
        Consequence("orders", orders, "", ".2f", "rank correlation of Tables 1 and 2", tables),
        Consequence("resolution", 1280 / 1024, "", ".2f", "pixels, relative to the largest GAN of Figure 5", sizes),
    ]
