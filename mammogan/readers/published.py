"""The published reader study as printed, and what its tables determine: the counts behind them, by search."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

QUESTIONS = 10
ATTEMPTS = 133  # Table 4, "All participants"
KRUSKAL_P = 0.84  # Results, "Reader Study"
CHI_SQUARE_P = 0.999
RADIOLOGISTS_P = 0.4928  # "radiologists (n = 64) versus nonradiologists (n = 69)"
READERS = 117
ARTIFACTS = {"CC": 64, "MLO": 136}  # of 1000 images each
INSPECTED = 1000

# Table 3, upper triangle, row by row. "> .99" is printed where the P value rounds to 1.
_ROWS = """
.221 .541 .067 .541 .328 .271 .178 .541 .623
.541 .541 .541 .807 .903 .903 .541 .463
.221 1.00 .714 .624 .463 1.00 .903
.221 .392 .463 .624 .221 .178
.713 .624 .463 1.00 .903
.903 .714 .714 .624
.807 .624 .541
.463 .392
.903
"""
TABLE3 = {pair: float(value) for pair, value in zip(combinations(range(QUESTIONS), 2), _ROWS.split(), strict=True)}


@dataclass(frozen=True)
class Group:
    """One row of Table 4: attempts, mean success rate and its standard deviation, as printed."""

    name: str
    attempts: int
    rate: float
    deviation: float

    @property
    def totals(self) -> range:
        """Numbers of correct answers whose rate rounds to the printed one."""
        trials = QUESTIONS * self.attempts
        fits = [k for k in range(trials + 1) if abs(k / trials - self.rate) <= 0.0005 + 1e-12]
        return range(fits[0], fits[-1] + 1) if fits else range(0)


TABLE4 = (
    Group("All participants", 133, 0.492, 0.161),
    Group("Radiologists", 64, 0.488, 0.164),
    Group("Nonradiologists", 69, 0.493, 0.159),
    Group("Board qualified", 53, 0.487, 0.165),
    Group("Specializing in breast", 37, 0.457, 0.148),
    Group("Screening radiologist", 35, 0.460, 0.152),
    Group("Repeated efforts", 16, 0.475, 0.192),
)


def conover_p(difference: np.ndarray, successes: np.ndarray, attempts: int = ATTEMPTS) -> np.ndarray:
    """Conover-Iman P between two questions whose numbers of successes differ by `difference`.

    With answers right or wrong, the ranks take two values, and the test is a t test whose pooled variance depends on
    the successes of all questions (Conover & Iman 1979, LA-7677-MS; R: pairwise.t.test on ranks, unadjusted).

    Args:
        difference: absolute differences of successes.
        successes: (questions,) of all questions.
        attempts: answers a question.
    """
    k, n = len(successes), attempts
    total = n * k
    ones = float(np.sum(successes))
    # Two tied ranks, `gap` apart; the variance of ranks is gap^2 times that of the 0/1 answers.
    gap = total / 2
    means = (total - ones + 1) / 2 + gap * np.asarray(successes) / n
    between = n * np.sum((means - means.mean()) ** 2)
    everything = gap**2 * ones * (total - ones) / total
    pooled = (everything - between) / (total - k)
    t = gap * np.asarray(difference) / n / np.sqrt(pooled * 2 / n)
    return 2 * stats.t.sf(t, total - k)


def kruskal_p(successes: np.ndarray, attempts: int = ATTEMPTS) -> float:
    """Kruskal-Wallis P over questions, from the successes of each; ties corrected (chi-square approximation)."""
    k, n = len(successes), attempts
    total, ones = n * k, float(np.sum(successes))
    spread = ones * (total - ones) / total
    h = (total - 1) * np.sum((np.asarray(successes) - ones / k) ** 2) / n / spread
    return float(stats.chi2.sf(h, k - 1))


def offsets_from_table3() -> np.ndarray:
    """Successes of each question relative to question 1, from the printed P values alone; (10,).

    A P value gives the size of a difference, not its sign; ten offsets must agree with 45 sizes. Offsets are searched
    question by question: each new one must lie at the printed distance (up to one success, for rounding) from all
    before. The mirror image fits as well; the one whose first nonzero offset is positive is returned.

    Raises:
        ValueError: no offsets, or several, agree with the table.
    """
    reference = np.full(QUESTIONS, 65)
    curve = conover_p(np.arange(0, 30), reference)
    sizes = {pair: int(np.argmin(np.abs(curve - p))) for pair, p in TABLE3.items()}
    found: list[list[int]] = []

    def extend(chosen: list[int]) -> None:
        question = len(chosen)
        if question == QUESTIONS:
            found.append(chosen)
            return
        distance = sizes[0, question]
        for offset in {distance, -distance}:
            if all(abs(abs(offset - chosen[q]) - sizes[q, question]) <= 1 for q in range(question)):
                extend([*chosen, offset])

    extend([0])
    # Among those that survive the rounding, the best fit to the printed values.
    misfit = [sum((abs(o[a] - o[b]) - s) ** 2 for (a, b), s in sizes.items()) for o in found]
    best = [tuple(o) for o, m in zip(found, misfit, strict=True) if m == min(misfit)]
    positive = {o for o in best if next(x for x in o if x) > 0}
    if len(positive) != 1:
        raise ValueError(f"{len(positive)} sets of offsets agree with Table 3; one was expected.")
    return np.array(positive.pop())


def fit_of(successes: np.ndarray) -> dict[str, float]:
    """How the 45 cells computed from successes agree with Table 3: cells equal to 3 decimals, largest difference."""
    pairs = list(TABLE3)
    difference = np.array([abs(int(successes[a]) - int(successes[b])) for a, b in pairs])
    computed = conover_p(difference, successes)
    printed = np.array([TABLE3[pair] for pair in pairs])
    # "> .99" is all that is printed of a P value of 1.
    residual = np.where(printed == 1.0, np.maximum(0.99 - computed, 0), np.abs(computed - printed))
    return {
        "equal": int(np.sum((np.round(computed, 3) == printed) | ((printed == 1.0) & (computed > 0.99)))),
        "largest": float(residual.max()),
        "squares": float(np.sum(residual**2)),
    }


def candidate_totals(offsets: np.ndarray) -> list[dict[str, float]]:
    """Every total of successes that the offsets, and their mirror image, allow, with its fit to Tables 3 and text.

    Returns:
        one record a total: sign, first (successes of question 1), total, kruskal, equal, largest, squares.
    """
    records = []
    for sign in (1, -1):
        shifted = sign * offsets
        for first in range(-int(shifted.min()), ATTEMPTS - int(shifted.max()) + 1):
            successes = first + shifted
            records.append(
                {
                    "sign": sign,
                    "first": first,
                    "total": int(successes.sum()),
                    "kruskal": kruskal_p(successes),
                    **fit_of(successes),
                }
            )
    return records


def reconstruct() -> np.ndarray:
    """Successes of the ten questions, of 133 attempts each; (10,), summing to the radiologists' and the others' totals.

    Table 3 fixes the offsets up to sign; the total follows from Table 4, whose rows of radiologists and nonradiologists
    leave one number of successes each (their sum is that of all attempts).

    Raises:
        ValueError: Tables 3 and 4 leave no solution or several.
    """
    by_name = {group.name: group for group in TABLE4}
    totals = {a + b for a in by_name["Radiologists"].totals for b in by_name["Nonradiologists"].totals}
    offsets = offsets_from_table3()
    solutions = [
        record["first"] + record["sign"] * offsets
        for record in candidate_totals(offsets)
        if record["total"] in totals and abs(record["kruskal"] - KRUSKAL_P) <= 0.005
    ]
    if len(solutions) != 1:
        raise ValueError(f"Tables 3 and 4 leave {len(solutions)} solutions; one was expected.")
    return solutions[0]
