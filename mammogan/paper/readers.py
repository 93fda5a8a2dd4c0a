"""Score histograms of the readers in Table 4, by exhaustive search with the P values of the text.

Table 4 leaves one sum and one sum of squares of scores per group; the text prints Kruskal-Wallis P values of groups
that partition the same attempts. With two groups such a P value depends on the rank sum of one of them, a multiple of
one half, and on the ties of all, so that few tie structures give all printed values at once. The groups are nested:
specialists who screen, other specialists and the rest make up the radiologists, and so do the board certified and the
trainees. Attempts of a group are an array (..., 2, 11): the histograms of all attempts and of the first ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import stats

from mammogan.paper import histograms
from mammogan.paper.histograms import SCORES, all_histograms, histograms_of, kruskal_h, tie_sum
from mammogan.paper.printed import CHI_SQUARE_P, QUESTIONS, RADIOLOGISTS_P, SLACK, Sums, group
from mammogan.types import Progress, no_progress

SAMPLES = ("all attempts", "first attempts")
ALL, FIRST = range(2)


@dataclass(frozen=True)
class Split:
    """A printed Kruskal-Wallis P value between a part of some readers and the rest of them."""

    name: str
    stratum: str  # row of Table 4 that the part is
    sample: int  # `ALL` or `FIRST`
    part: int  # attempts in the part
    whole: int  # attempts of all these readers
    p: float
    decimals: int = 4  # of the printed P

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest H statistic whose P rounds to the printed one."""
        half = 0.5 * 10.0**-self.decimals + SLACK
        return float(stats.chi2.isf(min(self.p + half, 1.0), 1)), float(stats.chi2.isf(max(self.p - half, 0.0), 1))

    def agrees(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Return whether P between a part and the rest rounds to the printed one; histograms, broadcast."""
        h = kruskal_h(part, whole)
        return (self.bounds[0] <= h) & (h <= self.bounds[1])

    def deviations(self, ties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and largest deviation of the part's rank sum, in halves, that give the printed P.

        The tie sums (...,) are those of the whole. No deviation gives it where the first exceeds the second.
        """
        spread = np.sqrt(histograms.rank_variance(self.part, self.whole, ties))
        low, high = (2 * spread * np.sqrt(bound) for bound in self.bounds)
        return np.ceil(low - SLACK), np.floor(high + SLACK)

    def p_in(self, strata: dict[str, np.ndarray]) -> float:
        """Return the P value in a solution: attempts (2, 11) by row of Table 4."""
        whole = strata["All participants" if self.stratum == "Radiologists" else "Radiologists"]
        return float(stats.chi2.sf(kruskal_h(strata[self.stratum][self.sample], whole[self.sample]), 1))


class Splits(NamedTuple):
    """The three printed P values within one sample of radiologists."""

    trainees: Split
    specialists: Split
    screening: Split

    def without(self, split: Split | None) -> Splits:
        """Return the splits with the P value of one of them unknown."""
        return Splits(*(replace(one, p=0.5, decimals=0) if one == split else one for one in self))

    def allow_ties(self, ties: np.ndarray) -> np.ndarray:
        """Return whether every P value is that of some rank sum at the tie sums; (...,)."""
        return np.all([np.less_equal(*split.deviations(ties)) for split in self], axis=0)

    def allow_others(self, whole: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return whether specialists and those of them who screen can both have their P values; (...,).

        Args:
            whole: (..., 11), histograms with tie sums that `allow_ties` accepts.
            others: (11,), specialists who do not screen; their ranks are known.
        """
        n, ties = self.specialists.whole, tie_sum(whole)
        step = np.abs(2 * ((others * histograms.midranks(whole)).sum(-1) - others.sum() * (n + 1) / 2))
        (low1, high1), (low2, high2) = self.specialists.deviations(ties), self.screening.deviations(ties)
        # The two rank sums deviate to the same side or to opposite ones; the step is between them.
        same = np.maximum(low1 - high2, low2 - high1), np.maximum(high1 - low2, high2 - low1)
        opposite = low1 + low2, high1 + high2
        return np.any([(least - SLACK <= step) & (step <= most + SLACK) for least, most in (same, opposite)], axis=0)

    def allow_rest(self, rest: np.ndarray, whole: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return whether readers without the specialty, (m, 11), agree with P of specialists and of screening; (m,)."""
        return self.specialists.agrees(rest, whole) & self.screening.agrees(whole - others - rest, whole)


# "By considering all attempts" and "only the first attempt per participant". The text prints 55 board-certified
# attempts, of 64 radiologists with 11 trainees among them; Table 4 prints 53.
ALL_SPLITS = Splits(
    Split("trainees", "Trainees", ALL, 11, 64, 0.9783),
    Split("breast specialists", "Specializing in breast", ALL, 37, 64, 0.0773),
    Split("screening", "Screening radiologist", ALL, 35, 64, 0.1470),
)
FIRST_SPLITS = Splits(
    Split("trainees", "Trainees", FIRST, 10, 55, 0.4091),
    Split("breast specialists", "Specializing in breast", FIRST, 33, 55, 0.2840),
    Split("screening", "Screening radiologist", FIRST, 31, 55, 0.4986),
)
ALL_RADIOLOGISTS = Split("radiologists", "Radiologists", ALL, 64, 133, RADIOLOGISTS_P)
FIRST_RADIOLOGISTS = Split("radiologists", "Radiologists", FIRST, 55, 117, 0.502, 3)
P_VALUES = (ALL_RADIOLOGISTS, *ALL_SPLITS, FIRST_RADIOLOGISTS, *FIRST_SPLITS)
REPEATS = {"trainees": 1, "rest": 5, "nonradiologists": 7}  # 133 less 117 attempts, group by group


def tie_structures(splits: Splits) -> np.ndarray:
    """Return all sums of t^3 - t of the radiologists at which every printed P is that of some rank sum; (m,)."""
    n = splits.trainees.whole
    sums = np.arange(0, n**3 - n, 6)
    return sums[splits.allow_ties(sums)]


def chance_of_agreement(splits: Splits, draws: int, seed: int) -> float:
    """Return the share of arbitrary P values, as many and as precise as the printed ones, that some ties allow at once.

    Tie sums between 2 and 12 % of n^3 - n count: scores near Bin(10, 1/2) have about 4 %.
    """
    rng, n = np.random.default_rng(seed), splits.trainees.whole
    sums = np.arange(0.02 * (n**3 - n) // 6, 0.12 * (n**3 - n) // 6) * 6
    arbitrary = (
        Splits(*(replace(split, p=round(rng.uniform(0.05, 0.99), split.decimals)) for split in splits))
        for _ in range(draws)
    )
    return sum(bool(one.allow_ties(sums).any()) for one in arbitrary) / draws


class Radiologists(NamedTuple):
    """One solution for the radiologists; attempts, (2, 11) each."""

    whole: np.ndarray
    trainees: np.ndarray
    rest: np.ndarray  # not breast specialists
    others: np.ndarray  # breast specialists who do not screen; they made no second attempt

    def strata(self) -> dict[str, np.ndarray]:
        """Return the attempts by row of Table 4, and of trainees and those who are not breast specialists."""
        return {
            "Radiologists": self.whole,
            "Board qualified": self.whole - self.trainees,
            "Trainees": self.trainees,
            "Specializing in breast": self.whole - self.rest,
            "Screening radiologist": self.whole - self.rest - self.others,
            "No breast specialists": self.rest,
        }


def search_radiologists(
    without: Split | None = None, progress: Progress = no_progress
) -> tuple[list[Radiologists], dict[str, int]]:
    """Search for the histograms of radiologists that their rows of Table 4 and the text's P values allow.

    Args:
        without: a P value to ignore, which shows its conflicts with the others.
        progress: counts "histograms".

    Returns:
        The solutions, and the number of candidates left after each step.
    """
    every, breast = group("Radiologists").sums, group("Specializing in breast").sums
    all_trainees, all_rest = histograms_of(every - group("Board qualified").sums), histograms_of(every - breast)
    (others,) = histograms_of(breast - group("Screening radiologist").sums)
    splits, first_splits = ALL_SPLITS.without(without), FIRST_SPLITS.without(without)
    count = dict.fromkeys(("sums", "ties", "specialists", "pairs", "trainees", "rest", "solutions"), 0)
    wholes = histograms_of(every, ties=min(tie_structures(splits).max(), 25_000))
    count["sums"] = len(wholes)
    wholes = wholes[splits.allow_ties(tie_sum(wholes)) & (wholes >= others).all(1)]
    count["ties"] = len(wholes)
    wholes = wholes[splits.allow_others(wholes, others)]
    count["specialists"] = len(wholes)
    all_repeats, ones, fives = _repeats(), all_histograms(REPEATS["trainees"]), all_histograms(REPEATS["rest"])
    solutions: list[Radiologists] = []
    for number, whole in enumerate(wholes):
        progress("histograms", number, len(wholes), f"{len(solutions)} solutions")
        trainees = all_trainees[(all_trainees <= whole).all(1)]
        trainees = trainees[splits.trainees.agrees(trainees, whole)]
        rest = all_rest[(all_rest <= whole - others).all(1)]
        rest = rest[splits.allow_rest(rest, whole, others)]
        if not len(trainees) or not len(rest):
            continue
        first = whole - all_repeats[(all_repeats <= whole - others).all(1)]
        first = first[first_splits.allow_ties(tie_sum(first))]
        first = first[first_splits.allow_others(first, others)]
        count["pairs"] += len(first)
        for attempts in np.stack([np.broadcast_to(whole, first.shape), first], 1):
            t = _parts(trainees, ones, attempts)
            t = t[first_splits.trainees.agrees(t[:, FIRST], attempts[FIRST])]
            count["trainees"] += len(t) > 0
            r = _parts(rest, fives, attempts - others)
            r = r[first_splits.allow_rest(r[:, FIRST], attempts[FIRST], others)]
            count["rest"] += len(r) > 0
            solutions += [Radiologists(attempts, a, b, np.stack([others, others])) for a in t for b in r]
    count["solutions"] = len(solutions)
    return solutions, count


def _repeats() -> np.ndarray:
    """Return the repeated attempts of radiologists that leave possible sums for the nonradiologists; (m, 11)."""
    sums, n = group("Repeated efforts").sums, REPEATS["nonradiologists"]
    repeats = all_histograms(sums.attempts - n)
    total, squares = sums.total - repeats @ SCORES, sums.squares - repeats @ SCORES**2
    possible = (total >= 0) & (n * squares >= total**2) & (squares <= 10 * total) & ((total + squares) % 2 == 0)
    return repeats[possible]


def _parts(groups: np.ndarray, repeats: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return every part of attempts (2, 11) that is one of some groups with some repeated attempts; (m, 2, 11)."""
    repeats = repeats[(repeats <= whole[ALL] - whole[FIRST]).all(1)]
    first = groups[:, None] - repeats
    i, j = np.nonzero(((first >= 0) & (first <= whole[FIRST])).all(-1))
    return np.stack([groups[i], first[i, j]], 1)


def search_nonradiologists(radiologists: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Search for the histograms of the nonradiologists, given the attempts of the radiologists (2, 11).

    Sums and deviations are those of Table 4; repeated attempts are those left by the row "Repeated efforts". The two
    printed P values against the radiologists are met by two histograms together, and both have a score of 10, which
    the text rules out ("only one out of the 117 participants"). Solutions meet the first attempts' P = .502 and have
    no score above 8; the P of all attempts is ignored.

    Returns:
        Attempts (m, 2, 11), and how many histograms meet which P values (and have no score above 8: "text"). "nines" is
        the least number of scores above 8 in a histogram that meets both.
    """
    every, repeated = histograms_of(group("Nonradiologists").sums), radiologists[ALL] - radiologists[FIRST]
    repeats = histograms_of(group("Repeated efforts").sums - Sums(*(int(repeated @ SCORES**k) for k in range(3))))
    low = every[:, 9:].sum(1) == 0
    as_printed = ALL_RADIOLOGISTS.agrees(radiologists[ALL], every + radiologists[ALL])
    likely = histograms.chi_square(every + radiologists[ALL]) <= stats.chi2.isf(CHI_SQUARE_P - 0.0005, QUESTIONS)
    count = {"all": len(every), "p_all": int(as_printed.sum()), "p_all, text": int((as_printed & low).sum())}
    count |= {"p_first": 0, "both": 0, "both, text": 0, "chi_square": int(likely.sum())}
    solutions, nines = [], [len(every)]
    for repeated in repeats:
        first = every - repeated
        agrees = (first >= 0).all(1)
        agrees[agrees] = FIRST_RADIOLOGISTS.agrees(radiologists[FIRST], first[agrees] + radiologists[FIRST])
        count["p_first"] += int(agrees.sum())
        count["both"] += int((agrees & as_printed).sum())
        count["both, text"] += int((agrees & as_printed & low).sum())
        nines += every[agrees & as_printed, 9:].sum(1).tolist()
        solutions.append(np.stack([every, first], 1)[agrees & low])
    return np.concatenate(solutions), count | {"nines": min(nines)}
