"""Score histograms behind the printed Table 4 and P values, by exhaustive search.

A histogram counts the attempts with 0, 1 ... 10 right answers. Table 4 prints rates and standard deviations, which
leave one or two sums and sums of squares a group; the text prints Kruskal-Wallis P values of groups that partition the
same attempts. With two groups such a P value depends on the rank sum of one of them, a multiple of one half, and on the
ties of all, so that few tie structures give all the printed values at once. The groups are nested: specialists who
screen, other specialists and the rest make up the radiologists, and so do the board certified and the trainees; first
and repeated attempts make up all attempts. The search is exhaustive; what it returns is a reconstruction, no data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.paper import printed
from mammogan.stats.responses import TRAITS
from mammogan.types import Progress, no_progress

SCORES = np.arange(printed.QUESTIONS + 1)
HALF_STEP = 1e-9  # slack for binary rounding of printed decimals


@dataclass(frozen=True)
class Split:
    """A printed Kruskal-Wallis P value between a part of the radiologists and the others.

    Attributes:
        name: of the part.
        part: attempts in the part.
        whole: attempts of all radiologists.
        p: as printed.
        decimals: of the printed value.
    """

    name: str
    part: int
    whole: int
    p: float
    decimals: int = 4

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest H statistic whose P rounds to the printed one."""
        half = 0.5 * 10.0**-self.decimals + HALF_STEP
        return float(stats.chi2.isf(min(self.p + half, 1.0), 1)), float(stats.chi2.isf(self.p - half, 1))

    def agrees(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Whether the P between a part and the rest of the whole rounds to the printed one; histograms, broadcast."""
        h = kruskal_h(part, whole)
        return (self.bounds[0] <= h) & (h <= self.bounds[1])

    def deviations(self, spread: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest distance of the part's rank sum from its expectation that give the printed P.

        In halves: a rank sum is a multiple of 1/2. None exists where the first is above the second.

        Args:
            spread: standard deviation of the rank sum, ties corrected.
        """
        low, high = (2 * spread * np.sqrt(bound) for bound in self.bounds)
        return np.ceil(low - HALF_STEP), np.floor(high + HALF_STEP)


def squares(group: printed.Group, total: int, *, ddof: int = 0) -> list[int]:
    """Sums of squared scores of a group that its printed deviation allows; a sum of squares is as odd as the sum."""
    n = group.attempts
    low, high = (
        (n - ddof) * (printed.QUESTIONS * (group.deviation + side)) ** 2 + total**2 / n for side in (-0.0005, 0.0005)
    )
    first, last = int(np.ceil(low - HALF_STEP)), int(np.floor(high + HALF_STEP))
    return [q for q in range(first, last + 1) if (q - total) % 2 == 0]


def histograms(readers: int, total: int, squared: int, ties: float = np.inf) -> np.ndarray:
    """All histograms of `readers` scores with this sum and sum of squares; (m, 11).

    Cells are filled from the ends of the scale inwards, states that can no longer reach the sums are dropped, and the
    last three cells follow from the three sums.

    Args:
        readers: number of scores.
        total: their sum.
        squared: sum of their squares.
        ties: largest sum of `t^3 - t` over cells.
    """
    center = SCORES - 5
    # About the middle of the scale: sums of (score - 5) and of its square.
    first, second = total - 5 * readers, squared - 10 * total + 25 * readers
    filled = np.zeros((1, len(SCORES)), np.int64)
    left = np.array([[readers, first, second]])
    tied = np.zeros(1, np.int64)
    order = [0, 10, 1, 9, 2, 8, 3, 7]
    for place, cell in enumerate(order):
        c = int(center[cell])
        remaining = np.abs(np.delete(center, order[: place + 1])).max()
        most = np.minimum(left[:, 0], np.maximum(left[:, 2], 0) // c**2)
        which = np.repeat(np.arange(len(filled)), most + 1)
        value = np.arange(len(which)) - np.repeat(np.cumsum(most + 1) - (most + 1), most + 1)
        rest = left[which] - value[:, None] * np.array([1, c, c * c])
        tie = tied[which] + value**3 - value
        good = (np.abs(rest[:, 1]) <= rest[:, 2]) & (rest[:, 2] <= remaining**2 * rest[:, 0]) & (tie <= ties)
        good &= rest[:, 1] ** 2 <= rest[:, 2] * rest[:, 0]
        filled, left, tied = filled[which[good]], rest[good], tie[good]
        filled[:, cell] = value[good]
    # Cells 4, 5 and 6 lie at -1, 0 and 1.
    filled[:, 6] = (left[:, 2] + left[:, 1]) // 2
    filled[:, 4] = left[:, 2] - filled[:, 6]
    filled[:, 5] = left[:, 0] - left[:, 2]
    good = ((left[:, 2] + left[:, 1]) % 2 == 0) & (filled >= 0).all(1)
    filled = filled[good]
    return filled[tie_sum(filled) <= ties]


def compositions(readers: int, cells: int = len(SCORES)) -> np.ndarray:
    """All histograms of `readers` scores, whatever their sum."""
    rows = np.zeros((1, 0), np.int64)
    for _ in range(cells - 1):
        left = readers - rows.sum(1)
        which = np.repeat(np.arange(len(rows)), left + 1)
        value = np.arange(len(which)) - np.repeat(np.cumsum(left + 1) - (left + 1), left + 1)
        rows = np.column_stack([rows[which], value])
    return np.column_stack([rows, readers - rows.sum(1)])


def tie_sum(histogram: np.ndarray) -> np.ndarray:
    """Sum of t^3 - t over the cells, (...,): what the correction for ties depends on."""
    return (histogram**3 - histogram).sum(-1)


def midranks(histogram: np.ndarray) -> np.ndarray:
    """Midrank of each score among all, (..., 11)."""
    return np.cumsum(histogram, -1) - histogram + (histogram + 1) / 2


def rank_spread(part: int, histogram: np.ndarray) -> np.ndarray:
    """Standard deviation of the rank sum of `part` readers out of a histogram (..., 11), ties corrected."""
    n = histogram.sum(-1)
    return np.sqrt(part * (n - part) * (n + 1) / 12 * (1 - tie_sum(histogram) / (n**3 - n)))


def kruskal_h(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Kruskal-Wallis statistic between a part and the rest of the readers; histograms, broadcast over leading axes.

    Its P, `scipy.stats.chi2.sf(h, 1)`, equals that of `scipy.stats.kruskal` on the scores.
    """
    n = whole.sum(-1)
    size = part.sum(-1)
    deviation = (part * midranks(whole)).sum(-1) - size * (n + 1) / 2
    return deviation**2 / (size * (n - size) * (n + 1) / 12 * (1 - tie_sum(whole) / (n**3 - n)))


def chi_square_p(histogram: np.ndarray) -> np.ndarray:
    """Chi-square P of counts in eleven bins against Bin(10, 1/2), as the paper seems to have taken it (no pooling)."""
    return stats.chi2.sf(_chi_square(histogram), printed.QUESTIONS)


def _chi_square(histogram: np.ndarray) -> np.ndarray:
    expected = histogram.sum(-1)[..., None] * stats.binom.pmf(SCORES, printed.QUESTIONS, 0.5)
    return ((histogram - expected) ** 2 / expected).sum(-1)


def moments(histogram: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (1/n) of the rate of right answers, as Table 4 prints them."""
    n = histogram.sum()
    mean = float(histogram @ SCORES / n)
    return mean / printed.QUESTIONS, float(np.sqrt(histogram @ SCORES**2 / n - mean**2)) / printed.QUESTIONS


# "By considering all attempts" and "only the first attempt per participant". The text prints 55 board-certified
# attempts, of 64 radiologists with 11 trainees among them; Table 4 prints 53.
TRAINEES = Split("trainees", 11, 64, 0.9783)
SPECIALISTS = Split("breast specialists", 37, 64, 0.0773)
SCREENING = Split("screening", 35, 64, 0.1470)
FIRST_TRAINEES = Split("trainees, first", 10, 55, 0.4091)
FIRST_SPECIALISTS = Split("breast specialists, first", 33, 55, 0.2840)
FIRST_SCREENING = Split("screening, first", 31, 55, 0.4986)
ALL_SPLITS = (TRAINEES, SPECIALISTS, SCREENING)
FIRST_SPLITS = (FIRST_TRAINEES, FIRST_SPECIALISTS, FIRST_SCREENING)
RADIOLOGISTS = Split("radiologists", 64, 133, printed.RADIOLOGISTS_P)
FIRST_RADIOLOGISTS = Split("radiologists, first", 55, 117, 0.502, 3)
REPEATS = {"trainees": 1, "rest": 5, "nonradiologists": 7}  # 133 less 117 attempts, group by group


def tie_structures(splits: tuple[Split, ...]) -> np.ndarray:
    """Sums of t^3 - t of the whole, of all that can be, at which every printed P is that of some rank sum."""
    n = splits[0].whole
    sums = np.arange(0, n**3 - n, 6)
    return sums[_allowed(sums, n, splits)]


def _allowed(ties: np.ndarray, n: int, splits: tuple[Split, ...]) -> np.ndarray:
    good = np.ones(np.shape(ties), bool)
    for split in splits:
        least, largest = split.deviations(
            np.sqrt(split.part * (n - split.part) * (n + 1) / 12 * (1 - ties / (n**3 - n)))
        )
        good &= least <= largest
    return good


def chance_of_agreement(splits: tuple[Split, ...], draws: int, seed: int) -> float:
    """Share of arbitrary P values, as many and as precise as the printed ones, that some tie structure allows at once.

    Tie sums between 2 and 12 % of n^3 - n count: scores near Bin(10, 1/2) have about 4 %.
    """
    rng = np.random.default_rng(seed)
    n = splits[0].whole
    sums = np.arange(0.02 * (n**3 - n) // 6, 0.12 * (n**3 - n) // 6) * 6
    hits = 0
    for _ in range(draws):
        drawn = tuple(Split(s.name, s.part, s.whole, round(rng.uniform(0.05, 0.99), s.decimals)) for s in splits)
        hits += bool(_allowed(sums, n, drawn).any())
    return hits / draws


@dataclass(frozen=True)
class Radiologists:
    """One solution for the radiologists: (11,) histograms of all attempts, and of the repeated ones among them."""

    every: np.ndarray
    repeated: np.ndarray
    trainees: np.ndarray
    trainees_repeated: np.ndarray
    rest: np.ndarray  # no breast specialists
    rest_repeated: np.ndarray
    others: np.ndarray  # breast specialists who do not screen; they made no second attempt

    def strata(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{stratum: (all attempts, first attempts)}."""
        first = self.every - self.repeated
        trainees, rest = self.trainees - self.trainees_repeated, self.rest - self.rest_repeated
        return {
            "Radiologists": (self.every, first),
            "Board qualified": (self.every - self.trainees, first - trainees),
            "Trainees": (self.trainees, trainees),
            "Specializing in breast": (self.every - self.rest, first - rest),
            "Screening radiologist": (self.every - self.rest - self.others, first - rest - self.others),
            "No breast specialists": (self.rest, rest),
        }


def radiologists(
    drop: frozenset[str] = frozenset(), progress: Progress = no_progress
) -> tuple[list[Radiologists], dict[str, int]]:
    """Every set of histograms of the radiologists that their rows of Table 4 and the text's P values allow, by search.

    Args:
        drop: names of splits whose P is not asked for, to see which of them conflict.
        progress: counts "histograms".

    Returns:
        The solutions, and how many candidates were left after each step.
    """
    by_name = {group.name: group for group in printed.TABLE4}

    def pair(name: str) -> tuple[int, int, int]:
        group = by_name[name]
        (total,) = group.totals
        (squared,) = squares(group, total)
        return group.attempts, total, squared

    every, board, breast = pair("Radiologists"), pair("Board qualified"), pair("Specializing in breast")
    screening, repeats = pair("Screening radiologist"), pair("Repeated efforts")

    def less(a: tuple[int, int, int], b: tuple[int, int, int]) -> tuple[int, int, int]:
        return a[0] - b[0], a[1] - b[1], a[2] - b[2]

    trainees, rest = less(every, board), less(every, breast)
    (others,) = histograms(*less(breast, screening))
    wanted_all = tuple(s for s in ALL_SPLITS if s.name not in drop)
    wanted_first = tuple(s for s in FIRST_SPLITS if s.name not in drop)

    count = dict.fromkeys(("sums", "ties", "specialists", "pairs", "trainees", "rest", "solutions"), 0)
    highest = tie_structures(wanted_all).max() if wanted_all else np.inf
    pools = histograms(*every, ties=min(highest, 25_000))
    count["sums"] = len(pools)
    pools = pools[_allowed(tie_sum(pools), every[0], wanted_all)]
    pools = pools[(pools >= others).all(1)]
    count["ties"] = len(pools)
    repeated = compositions(repeats[0] - REPEATS["nonradiologists"])
    # What is left of the repeated attempts must be possible for seven nonradiologists.
    n7 = REPEATS["nonradiologists"]
    left, left2 = repeats[1] - repeated @ SCORES, repeats[2] - repeated @ SCORES**2
    repeated = repeated[(left >= 0) & (n7 * left2 >= left**2) & (left2 <= 10 * left) & ((left + left2) % 2 == 0)]
    fives = compositions(REPEATS["rest"])
    ones = compositions(REPEATS["trainees"])
    all_trainees, all_rest = histograms(*trainees), histograms(*rest)
    found: list[Radiologists] = []

    def trainees_agree(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return _agree(part, whole, FIRST_TRAINEES, drop)

    def rest_agrees(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        every = whole + others
        return _agree(part, every, FIRST_SPECIALISTS, drop) & _agree(whole - part, every, FIRST_SCREENING, drop)

    if {SPECIALISTS, SCREENING} <= set(wanted_all):
        pools = pools[_differ(pools, others, SPECIALISTS, SCREENING)]
    count["specialists"] = len(pools)
    for number, whole in enumerate(pools):
        progress("histograms", number, len(pools), f"{len(found)} solutions")
        some = all_trainees[(all_trainees <= whole).all(1)]
        some = some[_agree(some, whole, TRAINEES, drop)]
        none = all_rest[(all_rest <= whole - others).all(1)]
        none = none[_agree(none, whole, SPECIALISTS, drop) & _agree(whole - others - none, whole, SCREENING, drop)]
        if not len(some) or not len(none):
            continue
        again = repeated[(repeated <= whole - others).all(1)]
        firsts = whole - again
        good = _allowed(tie_sum(firsts), FIRST_TRAINEES.whole, wanted_first)
        if {FIRST_SPECIALISTS, FIRST_SCREENING} <= set(wanted_first):
            good[good] = _differ(firsts[good], others, FIRST_SPECIALISTS, FIRST_SCREENING)
        count["pairs"] += int(good.sum())
        for first, second in zip(firsts[good], again[good], strict=True):
            t = _parts(some, ones, first, second, trainees_agree)
            count["trainees"] += bool(t)
            r = _parts(none, fives, first - others, second, rest_agrees)
            count["rest"] += bool(r)
            found += [Radiologists(whole, second, *a, *b, others) for a in t for b in r]
    count["solutions"] = len(found)
    return found, count


def _agree(part: np.ndarray, whole: np.ndarray, split: Split, drop: frozenset[str]) -> np.ndarray:
    return np.ones(len(part), bool) if split.name in drop else split.agrees(part, whole)


def _differ(whole: np.ndarray, others: np.ndarray, one: Split, two: Split) -> np.ndarray:
    """Whether two nested parts that differ by `others` can both have their printed P, given the ranks of `whole`.

    Args:
        whole: (..., 11).
        others: (11,).
    """
    n = whole.sum(-1)
    step = 2 * ((others * midranks(whole)).sum(-1) - others.sum() * (n + 1) / 2)
    (low1, high1), (low2, high2) = (split.deviations(rank_spread(split.part, whole)) for split in (one, two))
    good = np.zeros(np.shape(step), bool)
    for sign1 in (1, -1):
        for sign2 in (1, -1):
            # sign1 a - sign2 b = step for some a and b within their bounds.
            least = sign1 * (low1 if sign1 > 0 else high1) - sign2 * (high2 if sign2 > 0 else low2)
            most = sign1 * (high1 if sign1 > 0 else low1) - sign2 * (low2 if sign2 > 0 else high2)
            good |= (least - 1e-6 <= step) & (step <= most + 1e-6)
    return good


def _parts(
    groups: np.ndarray,
    repeats: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    agrees: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(group, its repeated attempts) for every way to take them from first and second attempts that agrees."""
    repeats = repeats[(repeats <= second).all(1)]
    early = groups[:, None] - repeats
    good = ((early >= 0) & (early <= first)).all(-1)
    if good.any():
        good[good] = agrees(early[good], first)
    return [(groups[i], repeats[j]) for i, j in np.argwhere(good)]


@dataclass(frozen=True)
class Nonradiologists:
    """Every pair of histograms that the nonradiologists' rows allow, the radiologists being known.

    Attributes:
        every: (m, 11), all attempts.
        repeated: (m, 11), the repeated ones among them.
        counts: how many pairs of histograms (all attempts) meet which P values, and how many have no score of 9 or 10.
    """

    every: np.ndarray
    repeated: np.ndarray
    counts: dict[str, int]

    def best(self, known: Radiologists) -> int:
        """Index of the solution whose 133 scores lie nearest to Bin(10, 1/2): the one that is shown."""
        return int(np.argmin(_chi_square(self.every + known.every)))


def nonradiologists(known: Radiologists) -> Nonradiologists:
    """Histograms of the nonradiologists by exhaustive search, given those of the radiologists.

    Sums and deviations are those of Table 4; repeated attempts are what the row "Repeated efforts" leaves. The two
    printed P values against the radiologists are met by two histograms together, and both have a score of 10, which
    the text rules out ("only one out of the 117 participants"). What is returned meets the first attempts' P = .502 and
    has no score above 8; the P of all attempts is left out.
    """
    by_name = {group.name: group for group in printed.TABLE4}
    group, repeats = by_name["Nonradiologists"], by_name["Repeated efforts"]
    (total,) = group.totals
    (squared,) = squares(group, total)
    every = histograms(group.attempts, total, squared)
    again_total = repeats.totals[0] - int(known.repeated @ SCORES)
    again_squared = squares(repeats, repeats.totals[0])[0] - int(known.repeated @ SCORES**2)
    again = histograms(REPEATS["nonradiologists"], again_total, again_squared)
    first = known.every - known.repeated
    as_printed = RADIOLOGISTS.agrees(known.every, every + known.every)
    counts = {
        "all": len(every),
        "p_all": int(as_printed.sum()),
        "p_all, text": int((as_printed & (every[:, 9:].sum(1) == 0)).sum()),
        "p_first": 0,
        "both": 0,
        "both, text": 0,
        "chi_square": int(
            (_chi_square(every + known.every) <= stats.chi2.isf(printed.CHI_SQUARE_P - 0.0005, 10)).sum()
        ),
    }
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for repeated in again:
        possible = (every >= repeated).all(1)
        whole = every[possible] - repeated + first
        good = FIRST_RADIOLOGISTS.agrees(first, whole)
        rows = every[possible][good]
        low = rows[:, 9:].sum(1) == 0
        both = as_printed[possible][good]
        counts["p_first"] += len(rows)
        counts["both"] += int(both.sum())
        counts["both, text"] += int((both & low).sum())
        kept.append((rows[low], np.tile(repeated, (int(low.sum()), 1))))
    return Nonradiologists(np.concatenate([a for a, _ in kept]), np.concatenate([b for _, b in kept]), counts)


@dataclass(frozen=True)
class Reconstruction:
    """Histograms of every stratum that meet all printed figures that can be met together.

    Attributes:
        known: the radiologists, the only solution.
        others: the nonradiologists, many solutions.
        shown: index of the one of `others` that stands for them.
        counts: candidates after each step of the radiologists' search.
    """

    known: Radiologists
    others: Nonradiologists
    shown: int
    counts: dict[str, int]

    def strata(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{group as in Table 4, or "Trainees", "No breast specialists": (all attempts, first attempts)}."""
        every, repeated = self.others.every[self.shown], self.others.repeated[self.shown]
        inner = self.known.strata()
        whole, first = inner["Radiologists"]
        return {
            "All participants": (whole + every, first + every - repeated),
            "Nonradiologists": (every, every - repeated),
            **inner,
            "Repeated efforts": (self.known.repeated + repeated, np.zeros_like(every)),
        }

    def ranges(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{stratum: lowest and highest number in each cell over all solutions}, all attempts."""
        whole, again = self.others.every, self.others.repeated
        spans = {name: (a, a) for name, (a, _) in self.known.strata().items()}
        for name, rows in (
            ("All participants", whole + self.known.every),
            ("Nonradiologists", whole),
            ("Repeated efforts", again + self.known.repeated),
        ):
            spans[name] = (rows.min(0), rows.max(0))
        return spans


def reconstruct() -> Reconstruction:
    """Search for the histograms of all strata.

    Raises:
        ValueError: the radiologists' figures leave no solution or several.
    """
    found, counts = radiologists()
    if len(found) != 1:
        raise ValueError(f"The radiologists' figures leave {len(found)} solutions; one was expected.")
    others = nonradiologists(found[0])
    return Reconstruction(found[0], others, others.best(found[0]), counts)


def residuals(made: Reconstruction) -> pd.DataFrame:
    """Every printed figure on readers beside its value in the reconstruction.

    Returns:
        One row a figure: figure, sample, printed, reconstructed, residual, met.
    """
    strata = made.strata()
    rows: list[dict[str, Any]] = []

    def row(figure: str, sample: str, printed: float, value: float, decimals: int) -> None:
        rows.append({
            "figure": figure, "sample": sample, "printed": printed, "reconstructed": value, "residual": value - printed,
            "met": abs(value - printed) <= 0.5 * 10.0**-decimals + HALF_STEP,
        })  # fmt: skip

    for group in printed.TABLE4:
        for place, sample in enumerate(("all attempts", "first attempts")):
            if place and group.name != "All participants":
                continue
            rate, deviation = moments(strata[group.name][place])
            row(f"Table 4, {group.name}: rate", sample, group.rate, rate, 3)
            row(f"Table 4, {group.name}: deviation", sample, group.deviation, deviation, 3)
    for split in (RADIOLOGISTS, *ALL_SPLITS, FIRST_RADIOLOGISTS, *FIRST_SPLITS):
        name, sample = _named(split)
        row(f"Kruskal-Wallis P, {name}", sample, split.p, _p_of(split, strata), split.decimals)
    for place, sample in enumerate(("all attempts", "first attempts")):
        value = float(chi_square_p(strata["All participants"][place]))
        row("Chi-square P, eleven bins", sample, printed.CHI_SQUARE_P, value, 3)
    # "Only one radiologist noticed these artifacts ... and subsequently correctly identified nine of 10".
    row("Text: attempts with nine right", "all attempts", 1, int(strata["All participants"][0][9:].sum()), 0)
    return pd.DataFrame(rows)


def _named(split: Split) -> tuple[str, str]:
    name, _, first = split.name.partition(", ")
    return name, "first attempts" if first else "all attempts"


def _p_of(split: Split, strata: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """The P value of a split in a solution."""
    name, sample = _named(split)
    parts = {
        "trainees": "Trainees",
        "breast specialists": "Specializing in breast",
        "screening": "Screening radiologist",
        "radiologists": "Radiologists",
    }
    place = int(sample == "first attempts")
    whole = strata["All participants" if name == "radiologists" else "Radiologists"][place]
    return float(stats.chi2.sf(kruskal_h(strata[parts[name]][place], whole), 1))


def left_out(progress: Progress = no_progress) -> pd.DataFrame:
    """What the other figures of the radiologists say of each P value: the search without it, six times.

    Returns:
        One row a P value: figure, sample, printed; solutions without it, and how many of them have it as printed;
        lowest and highest P among them; how many have at most one score of nine or ten, as the text says.
    """
    rows = []
    for split in (*ALL_SPLITS, *FIRST_SPLITS):
        found, _ = radiologists(frozenset([split.name]), progress)
        p = np.array([_p_of(split, solution.strata()) for solution in found])
        name, sample = _named(split)
        rows.append({
            "P left out": name, "sample": sample, "printed": split.p, "solutions": len(found),
            "as printed": int((np.abs(p - split.p) <= 0.5 * 10.0**-split.decimals + HALF_STEP).sum()),
            "lowest": p.min(), "highest": p.max(),
            "one nine at most": sum(int(solution.every[9:].sum()) <= 1 for solution in found),
        })  # fmt: skip
    return pd.DataFrame(rows)


def highest_chi_square_p(known: np.ndarray, others: int) -> float:
    """Largest chi-square P in eleven bins that any scores of `others` more readers can give, beside those known.

    The statistic is a sum of convex functions of the counts: adding readers one by one where it rises least is exact.
    """
    counts = known.astype(float)
    expected = (known.sum() + others) * stats.binom.pmf(SCORES, printed.QUESTIONS, 0.5)
    for _ in range(others):
        counts[np.argmin((2 * (counts - expected) + 1) / expected)] += 1
    return float(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), printed.QUESTIONS))


def conflicts(made: Reconstruction, without: pd.DataFrame) -> pd.DataFrame:
    """Sets of printed figures that no data can have, and what is left when one of them is given up.

    Args:
        made: the reconstruction.
        without: of `left_out`.

    Returns:
        One row a figure of a set: set, figure, solutions (whole numbers, or histograms) that the others of the set
        leave. Nothing satisfies the whole set. Where no row is 0 it is a smallest one: any figure less frees it.
    """
    by_name = {group.name: group for group in printed.TABLE4}
    every, *parts = (by_name[name] for name in ("All participants", "Radiologists", "Nonradiologists"))
    rows: list[dict[str, Any]] = []

    def conflict(name: str, together: int, free: dict[str, int]) -> None:
        if together:
            raise ValueError(f"The set {name!r} has {together} solutions; it does not conflict.")
        rows.extend({"set": name, "figure": figure, "solutions without it": n} for figure, n in free.items())

    def sums(a: Iterable[int], b: Iterable[int], c: Iterable[int]) -> tuple[int, dict[str, int]]:
        """Ways to choose one of each so that a + b = c; and without each."""
        sets = [set(values) for values in (a, b, c)]
        together = sum(x + y in sets[2] for x in sets[0] for y in sets[1])
        first, second, third = map(len, sets)
        names = ("row of radiologists", "row of nonradiologists", "row of all participants")
        return together, dict(zip(names, (second * third, first * third, first * second), strict=True))

    conflict("rates of Table 4", *sums(*(group.totals for group in (*parts, every))))
    right = [group.totals[0] for group in parts]
    squared = [squares(group, total) for group, total in zip(parts, right, strict=True)]
    conflict("deviations of Table 4, all attempts", *sums(squared[0], squared[1], squares(every, sum(right))))
    count, low = made.others.counts, "text: nobody else had nine right"
    conflict("P of radiologists against others", count["both, text"], {
        "P of all attempts": len(made.others.every), "P of first attempts": count["p_all, text"], low: count["both"],
    })  # fmt: skip
    nines = int(made.known.every[9:].sum())
    free = {f"P of {row[0]}, {row[1]}": int(row[-1]) for row in without.itertuples(index=False)}
    conflict("radiologists: Table 4, six P values, one score of nine", int(nines <= 1), {
        "text: one score of nine": 1, **free,
    })  # fmt: skip
    possible = highest_chi_square_p(made.known.every, parts[1].attempts) >= printed.CHI_SQUARE_P - 0.0005
    conflict("chi-square of all attempts", count["chi_square"], {
        "chi-square P = .999": count["all"], "row of nonradiologists (at least)": int(possible),
    })  # fmt: skip
    return pd.DataFrame(rows)


NOTE = "Reconstruction from printed figures, not data: who answered what is not known."


def answers(made: Reconstruction, successes: np.ndarray, seed: int) -> pd.DataFrame:
    """A table of answers that has the reconstructed histograms, traits and successes of each question.

    Which question an attempt got right, who is both trainee and specialist, and who came back is not known and drawn at
    random within those margins: of tests that depend on it only their spread over seeds says anything.

    Args:
        made: histograms of the strata.
        successes: (10,) of the questions.
        seed: of the draws.

    Returns:
        session, reader, question, correct and the traits of `responses.TRAITS`.
    """
    rng = np.random.default_rng(seed)
    known, others, repeated = made.known, made.others.every[made.shown], made.others.repeated[made.shown]
    inner = known.strata()
    while True:
        first = _people(inner["Trainees"][1], inner["No breast specialists"][1], known.others, inner["Radiologists"][1],
                        rng)  # fmt: skip
        again = _people(known.trainees_repeated, known.rest_repeated, np.zeros_like(others), known.repeated, rng)
        first += [{"score": int(s), "traits": ("no", "", "", "", "")} for s in np.repeat(SCORES, others - repeated)]
        again += [{"score": int(s), "traits": ("no", "", "", "", "")} for s in np.repeat(SCORES, repeated)]
        for number, person in enumerate(first):
            person["reader"] = f"r{number:03d}"
        free = [first[i] for i in rng.permutation(len(first))]
        for attempt in again:
            match = next((p for p in free if p["traits"] == attempt["traits"]), None)
            if match is None:
                break  # nobody of these traits came first: draw anew
            attempt["reader"] = match["reader"]
            free.remove(match)
        else:
            break
    attempts = first + again
    matrix = with_margins(np.array([a["score"] for a in attempts]), successes, rng)
    rows = [
        {
            "session": f"s{number:03d}",
            "reader": attempt["reader"],
            "question": question,
            "correct": int(matrix[number, question - 1]),
            **dict(zip(TRAITS, attempt["traits"], strict=True)),
        }
        for number, attempt in enumerate(attempts)
        for question in range(1, printed.QUESTIONS + 1)
    ]
    return pd.DataFrame(rows)


def _people(
    trainees: np.ndarray, rest: np.ndarray, others: np.ndarray, every: np.ndarray, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Radiologists with scores and traits, whose margins are the given histograms."""
    people: list[dict[str, Any]] = []
    for score in SCORES:
        n = int(every[score])
        training = rng.permutation(n) < trainees[score]
        place = rng.permutation(n)
        for i in range(n):
            trainee = "yes" if training[i] else "no"
            specialist = "no" if place[i] < rest[score] else "yes"
            screening = "" if specialist == "no" else "no" if place[i] < rest[score] + others[score] else "yes"
            board = "no" if training[i] else "yes"
            people.append({"score": int(score), "traits": ("yes", board, trainee, specialist, screening)})
    return people


def with_margins(rows: np.ndarray, columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random 0/1 matrix with these sums of rows and columns.

    Rows take the columns that need most (Gale and Ryser), then pairs of rows trade ones (Strona et al. 2014).

    Raises:
        ValueError: there is no such matrix.
    """
    left = np.array(columns)
    matrix = np.zeros((len(rows), len(columns)), np.int8)
    for i in np.argsort(-rows, kind="stable"):
        chosen = np.argsort(-left, kind="stable")[: rows[i]]
        matrix[i, chosen] = 1
        left[chosen] -= 1
    if left.any():
        raise ValueError("No 0/1 matrix has these sums of rows and columns; check them.")
    for _ in range(20 * len(rows)):
        a, b = rng.choice(len(rows), 2, replace=False)
        differ = np.flatnonzero(matrix[a] != matrix[b])
        traded = rng.permutation(matrix[a, differ])
        matrix[a, differ], matrix[b, differ] = traded, 1 - traded
    return matrix
