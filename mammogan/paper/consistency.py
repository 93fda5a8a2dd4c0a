"""Statements of the paper that contradict each other, each as a computation from printed numbers.

Everything here follows from printed numbers alone (Korkinof et al. 2021, doi:10.1148/ryai.2020190181); no image enters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    """Two statements that should agree.

    Attributes:
        key: name of the result.
        label: what is stated, in a few words.
        printed: the number as the paper prints it, at the place `how` names first.
        found: what the paper's other numbers make of it.
        how: places and computation, one sentence.
        tolerance: largest difference that rounding explains; None where the two are not the same quantity.
        fmt: format specification of both numbers.
    """

    key: str
    label: str
    printed: float
    found: float
    how: str
    tolerance: float | None = 0.0
    fmt: str = ""


def equal_differences(offsets: np.ndarray) -> list[tuple[float, ...]]:
    """Printed P values of Table 3 that differ although they belong to one and the same difference of successes."""
    groups: dict[int, set[float]] = {}
    for (a, b), p in printed.TABLE3.items():
        groups.setdefault(abs(int(offsets[a] - offsets[b])), set()).add(p)
    return sorted(tuple(sorted(found)) for found in groups.values() if len(found) > 1)


def p_from_moments(first: printed.Group, second: printed.Group) -> float:
    """Two-sided P of a t test between two rows of Table 4, from their printed means and deviations (Welch)."""
    test = stats.ttest_ind_from_stats(
        first.rate, first.deviation, first.attempts, second.rate, second.deviation, second.attempts, equal_var=False
    )
    return float(test.pvalue)


def missed(rate: float, trials: int, level: float = 0.05) -> float:
    """Probability that a two-sided exact binomial test against 1/2 does not reject, though the rate is another one."""
    low, high = stats.binom.ppf([level / 2, 1 - level / 2], trials, 0.5)
    return float(stats.binom.cdf(high, trials, rate) - stats.binom.cdf(low - 1, trials, rate))


def exponential_moment(order: int) -> int:
    """Standardized central moment of the exponential distribution (its variance is 1): the subfactorial of `order`."""
    return round(math.factorial(order) * sum((-1) ** k / math.factorial(k) for k in range(order + 1)))


def uncurated_rate(rate: float, share: float) -> float:
    """Success rate if the removed share of images had been shown, and each of them been told at once."""
    return share + (1 - share) * rate


def contradictions() -> list[Contradiction]:
    """Every contradiction that a number can show, in the order of the paper."""
    by_name = {group.name: group for group in printed.TABLE4}
    successes = table3.reconstruct()
    total = int(successes.sum())
    trials = printed.QUESTIONS * printed.ATTEMPTS
    removed = printed.ARTIFACTS["MLO"]
    low, high = (float(np.nanmin(printed.TABLE1)), float(np.nanmax(printed.TABLE1)))
    diagonal = np.diag(printed.TABLE1)
    neighbors = printed.TABLE2_NEIGHBORS
    ceiling = float(table2.implied_neighbors(2 * printed.INSPECTED, np.zeros(1))[0])
    others, radiologists = by_name["Nonradiologists"], by_name["Radiologists"]
    return [
        Contradiction("years", "last year of the study", 2019, 2017, "abstract; Materials and Methods say 2009-2017"),
        Contradiction("score", "lowest score of a pair, %", 60, round(100 * low), "abstract; Table 1 has .6057"),
        Contradiction("score_high", "highest score of a pair, %", 78, round(100 * high), "abstract; Table 1 has .7786"),
        Contradiction(
            "coverage", "highest coverage, %", 91, 90, 'abstract; Results say "roughly 80% to roughly 90%"', tolerance=0
        ),
        Contradiction(
            "fifth_moment", "M5 of the exponential distribution", exponential_moment(3), exponential_moment(5),
            'if M5 is "skewness" (footnote of Table 1), against hyperskewness (text, footnote of Table 2)',
        ),
        Contradiction(
            "above", "pairs of Table 1 that may exceed their worse moment", 0,
            int((table1.excess_over_diagonal() > 0).sum()),
            "data-processing inequality for a score of overlap; counted in Table 1",
        ),
        Contradiction(
            "fifth_rank", "rank of M5 among the moments, 1 the best aligned",
            int(stats.rankdata(-diagonal)[4]), int(stats.rankdata(printed.TABLE2_INFORMATION)[4]),
            "by the diagonal of Table 1, where high is good; by Table 2, where low is good",
        ),
        Contradiction("neighbors_low", "fewest neighbors", 5.2, neighbors.min(), "Results; Table 2", 0.05, ".2f"),
        Contradiction("neighbors_high", "most neighbors", 5.5, neighbors.max(), "Results; Table 2", 0.05, ".2f"),
        Contradiction(
            "neighbors_ceiling", "neighbors at perfect overlap", 6, ceiling,
            'note of Table 2; its numbers are the inverse digamma of the row above, whose largest value this is', 0.005,
            ".2f",
        ),
        Contradiction(
            "certified", "board-certified attempts", 55, radiologists.attempts - 11,
            "Results; at most what 11 attempts of trainees leave of 64 (Table 4 has 53)",
        ),
        Contradiction(
            "candidates", "candidates a set", printed.INSPECTED, printed.INSPECTED - removed,
            'statistical analyses; images with visible artifacts "subsequently excluded", at the rate of 136 in 1000',
        ),
        Contradiction(
            "all", "success rate of all attempts", by_name["All participants"].rate, total / trials,
            f"Table 4; radiologists and nonradiologists sum to {total} of {trials}", 0.0005, ".3f",
        ),
        Contradiction(
            "stratum", "P, radiologists against nonradiologists", printed.RADIOLOGISTS_P,
            p_from_moments(radiologists, others),
            "Results; Welch's t test on the means and deviations of Table 4 (the paper's test is Kruskal-Wallis)", 0.1,
            ".4f",
        ),
        Contradiction(
            "equal", "different P for one difference in Table 3", 0, len(equal_differences(successes)),
            "equal differences have equal P; " + " and ".join(
                " against ".join(f"{p:.3f}"[1:] for p in group) for group in equal_differences(successes)),
        ),
        Contradiction(
            "diagonal", "P of a question against itself", -1, 1, "diagonal of Table 3; a P value lies between 0 and 1"
        ),
    ]  # fmt: skip


def consequences() -> list[tuple[str, float, str, str, str, str]]:
    """Numbers that follow from the paper's but stand in none of its tables: (key, value, unit, format, label, how)."""
    successes = table3.reconstruct()
    total, trials = int(successes.sum()), printed.QUESTIONS * printed.ATTEMPTS
    share = printed.ARTIFACTS["MLO"] / printed.INSPECTED
    drawn = printed.INSPECTED * (1 - (1 - 1 / printed.INSPECTED) ** trials)
    repeats = printed.ATTEMPTS - printed.READERS
    diagonal = np.diag(printed.TABLE1)
    return [
        (
            "uncurated", 100 * uncurated_rate(total / trials, share), "%", ".1f",
            "success rate without curation", "if each removed image were told at once",
        ),
        (
            "distinct", drawn, "", ".0f", "different images of 1000 that 1330 draws show", "expected, with replacement",
        ),
        ("repeats", 100 * repeats / printed.ATTEMPTS, "%", ".0f", "attempts of readers seen before", "16 of 133"),
        (
            "missed", 100 * missed(0.52, trials), "%", ".0f", "chance that a test misses a true rate of .52",
            "two-sided exact binomial test, 1330 answers, level 5 %",
        ),
        (
            "orders", float(stats.spearmanr(diagonal, -printed.TABLE2_INFORMATION).statistic), "", ".2f",
            "rank correlation of Tables 1 and 2", "diagonal of Table 1 against less information in Table 2",
        ),
        (
            "resolution", relative_size(), "", ".2f", "pixels, relative to the largest GAN of Figure 5",
            "1280 x 1024 over 1024 x 1024",
        ),
    ]  # fmt: skip


def relative_size() -> float:
    """Pixels of the paper's images relative to the largest that its Figure 5 lists."""
    return 1280 * 1024 / (1024 * 1024)
