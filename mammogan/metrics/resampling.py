"""One design of resampling for every score: its interval, its ceiling between real images, and the ratio of the two.

All measures of a comparison use the same draws, so that their numbers can be compared.

- *Score*: n real against n synthetic images.
- *Interval*: the score of random halves of both sets, drawn without replacement. The spread of a statistic over
  subsamples of r of n images, times sqrt(r / (n - r)), is its spread over samples of n (the delete-d jackknife, Shao &
  Wu 1989, Annals of Statistics 17:1176, eq. 2.3); for halves the factor is 1. A bootstrap with replacement would not
  do: repeated images are ties to a nearest neighbor and roughness to a density.
- *Ceiling*: the score between two disjoint sets of real images. Where all real images are compared, none are left for
  a second set: the ceiling, and the score that is compared with it, then use half as many images per side.

Images of one patient are alike. Where patients are known, real images are drawn by patient, and no patient is on both
sides of a ceiling.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.metrics.validation import check_at_least
from mammogan.parallel import in_threads
from mammogan.types import Estimate

Z = 1.959964  # 97.5th percentile of the normal distribution
LEAST = 16  # real images, so that each side of a ceiling has eight or more
RATIO = ("ratio", "ratio_low", "ratio_high")
DIFFERENCE = ("difference", "difference_low", "difference_high")
FEW = 40  # draws; fewer have a standard deviation, but no percentiles to speak of
Bounds = tuple[float, float]
UNBOUNDED: Bounds = (-np.inf, np.inf)
Values = Sequence[float] | np.ndarray
Sample = Any  # a set of images as a measure accepts it: an array, or anything that a set gives when indexed by rows
Name = TypeVar("Name")  # of a score
Measure = Callable[[Sample, Sample], Mapping[Name, float]]


def numbered(groups: np.ndarray) -> np.ndarray:
    """Return the number of each row's group, (n,), as groups come.

    Draws by group then do not depend on names: those of patients are hashes, whose order changes with the salt.
    """
    return pd.factorize(np.asarray(groups))[0]


def shuffled(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return row numbers in random order, with the rows of one group next to each other."""
    group = numbered(groups)
    order = rng.permutation(group.max() + 1)
    return np.argsort(order[group] + rng.random(len(groups)))


@dataclass(frozen=True)
class ResamplingDesign:
    """The images that are compared, 16 real and 8 synthetic ones or more, and the draws for intervals and ceilings.

    Args:
        patients: (N,) patient of each real image; the number of real images where patients are not known.
        synthetic: number of synthetic images.
        n: images per side; 0 uses as many as the smaller set has.
        seed: random seed of all draws.
        draws: number of halves for an interval.
        splits: number of pairs of real sets for a ceiling.
    """

    patients: np.ndarray | int
    synthetic: int
    n: int = 0
    seed: int = 0
    draws: int = 100
    splits: int = 20

    def __post_init__(self) -> None:
        check_at_least("The number of real images", len(self.groups), LEAST)
        check_at_least("The number of synthetic images", self.synthetic, LEAST // 2)
        check_at_least("The number of draws", self.draws, 1)
        check_at_least("The number of splits", self.splits, 1)
        if self.half < LEAST // 2:
            raise ParameterError("The real images come from too few patients to be split into two sets; give more.")

    @cached_property
    def groups(self) -> np.ndarray:
        """(N,) patient of each real image."""
        return np.arange(self.patients) if isinstance(self.patients, int) else np.asarray(self.patients)

    @cached_property
    def _codes(self) -> np.ndarray:
        return numbered(self.groups)

    @cached_property
    def size(self) -> int:
        """Images per side of the score."""
        return min(len(self.groups), self.synthetic, self.n or self.synthetic)

    @cached_property
    def half(self) -> int:
        """Images per side of the ceiling."""
        most = int(np.bincount(self._codes).max())
        return min((len(self.groups) - most + 1) // 2, self.size)

    @cached_property
    def compared(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the real and of the synthetic images of the score, (n,) each, in ascending order."""
        rng = np.random.default_rng([self.seed, 0])
        real = np.sort(shuffled(self._codes, rng)[: self.size])
        return real, np.sort(rng.choice(self.synthetic, self.size, replace=False))

    def share(self, at_most: int = 0) -> float:
        """Return r / n of `intervals`."""
        return min(self.size // 2, at_most or self.size) / self.size

    def intervals(self, at_most: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """Draw rows of the real and synthetic images of each draw of an interval.

        At most `at_most` images per side, for measures whose cost grows with them; 0 draws half of those compared.
        """
        rng, part = np.random.default_rng([self.seed, 1]), min(self.size // 2, at_most or self.size)
        real, synthetic = self.compared
        groups = self._codes[real]
        return [
            (real[shuffled(groups, rng)[:part]], rng.choice(synthetic, part, replace=False)) for _ in range(self.draws)
        ]

    def ceilings(self, at_most: int = 0) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Draw rows (one, two, other) of each split: real images, those of other patients, synthetic images.

        At most `at_most` images per side; 0 draws `half`.
        """
        rng, size = np.random.default_rng([self.seed, 2]), min(self.half, at_most or self.half)
        splits = []
        for _ in range(self.splits):
            order = shuffled(self._codes, rng)
            # The second set begins with the next patient.
            rest = order[size:][self._codes[order[size:]] != self._codes[order[size - 1]]]
            splits.append((order[:size], rest[:size], rng.choice(self.synthetic, size, replace=False)))
        return splits


def interval(estimate: float, draws: Values, share: float = 0.5, bounds: Bounds = UNBOUNDED) -> Estimate:
    """Return an estimate with its 95 % interval, from its values on subsamples.

    The percentiles of the draws are taken about their median, scaled to the whole sample (see this module), and set
    around the estimate: scores of smaller samples are biased low, and that bias is not uncertainty. Fewer than `FEW`
    draws are taken as normal.

    Args:
        estimate, draws: score of all images compared, and scores of the subsamples, (draws,).
        share: images of a subsample over those compared.
        bounds: least and largest possible score.
    """
    if len(draws) < FEW:
        deviation = np.array([-Z, Z]) * np.std(draws, ddof=1) * np.sqrt(share / (1 - share))
    else:
        deviation = np.quantile(_deviations(draws, share), [0.025, 0.975])
    low, high = np.clip(estimate + deviation, *bounds)
    return Estimate(float(estimate), float(low), float(high))


def _deviations(draws: Values, share: float) -> np.ndarray:
    """Return deviations of a score of the whole sample: those of the draws, or of a normal where these are `FEW`."""
    factor = np.sqrt(share / (1 - share))
    if len(draws) < FEW:
        return stats.norm.ppf((np.arange(FEW) + 0.5) / FEW) * np.std(draws, ddof=1) * factor
    return (np.asarray(draws) - np.median(draws)) * factor


def _holding(estimate: float, values: np.ndarray) -> tuple[float, float]:
    """Return the percentiles 2.5 and 97.5 of values, widened to hold the estimate."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(min(low, estimate)), float(max(high, estimate))


def summary(
    estimate: float,
    draws: Values,
    at_half: Values,
    ceilings: Values,
    *,
    share: float = 0.5,
    bounds: Bounds = UNBOUNDED,
    ratio: bool = True,
) -> dict[str, float]:
    """Return a score with its interval, its ceiling, and their ratio and difference with their intervals.

    The intervals of ratio and difference are percentiles over every deviation of the score, about the median of
    `at_half`, with every ceiling: the two errors count as independent. The spread of the ceiling between splits holds
    more than the error of the median ceiling, so that the intervals are wide rather than narrow. Both hold their
    estimate.

    Args:
        estimate, draws, share, bounds: see `interval`.
        at_half, ceilings: (splits,) scores of the splits: real against synthetic and real against real images.
        ratio: False where the expectation of the ceiling is 0, so that a ratio to it has no meaning.

    Returns:
        score, low, high; score_n, ceiling, ceiling_low, ceiling_high at the ceiling's number of images; ratio,
        ratio_low, ratio_high, NaN where there is none: a ceiling is 0 or less; difference,
        difference_low, difference_high, of score_n less ceiling.
    """
    whole = interval(estimate, draws, share, bounds)
    score, ceiling = float(np.median(at_half)), float(np.median(ceilings))
    ceiling_low, ceiling_high = np.quantile(ceilings, [0.025, 0.975])
    scores = np.clip(score + _deviations(draws, share), *bounds)
    quotient = (np.nan, np.nan, np.nan)
    if ratio and np.min(ceilings) > 0:
        quotient = (score / ceiling, *_holding(score / ceiling, np.divide.outer(scores, np.asarray(ceilings))))
    difference = (score - ceiling, *_holding(score - ceiling, np.subtract.outer(scores, np.asarray(ceilings))))
    return {
        "score": whole.value,
        "low": whole.low,
        "high": whole.high,
        "score_n": score,
        "ceiling": ceiling,
        "ceiling_low": float(ceiling_low),
        "ceiling_high": float(ceiling_high),
        **dict(zip(RATIO, quotient, strict=True)),
        **dict(zip(DIFFERENCE, difference, strict=True)),
    }


def scored(
    real: Sample,
    synthetic: Sample,
    measure: Measure[Name],
    design: ResamplingDesign,
    *,
    whole: Measure[Name] | None = None,
    bounds: Mapping[Name, Bounds] | None = None,
    at_most: tuple[int, int] = (0, 0),
    centered: Collection[Name] = (),
) -> pd.DataFrame:
    """Score two sets by a design: with interval, ceiling, and the ratio of the two.

    Args:
        real, synthetic: moments, features or descriptors of images; arrays of rows index them.
        measure: function of two samples; returns name -> score.
        design: rows that are compared.
        whole: replaces `measure` for the sets themselves, where it may last longer and use all cores.
        bounds: least and largest value of a score, where it has them.
        at_most: images per side of draws and of splits, see `ResamplingDesign`.
        centered: scores whose expectation between real sets is 0: they have a difference and no ratio.

    Returns:
        one row per score: measure (its name), the columns of `summary`, n and n_ceiling (images per side of score and
        ceiling). The ceiling of a distance is a floor: the distance between real images.
    """
    intervals, ceilings = design.intervals(at_most[0]), design.ceilings(at_most[1])
    samples = [
        *((real, one, synthetic, two) for one, two in (design.compared, *intervals)),
        *((real, one, synthetic, other) for one, _, other in ceilings),
        *((real, one, real, two) for one, two, _ in ceilings),
    ]

    def score(sample: tuple[Sample, np.ndarray, Sample, np.ndarray]) -> Mapping[Name, float]:
        first, one, second, two = sample
        return measure(first[one], second[two])

    if whole is None:
        estimate, *scores = in_threads(score, samples)
    else:
        estimate = whole(real[design.compared[0]], synthetic[design.compared[1]])
        scores = in_threads(score, samples[1:])
    rows = []
    for name, value in estimate.items():
        values = np.array([each[name] for each in scores])
        draws, at_half, among = np.split(values, [len(intervals), len(intervals) + len(ceilings)])
        limits = (bounds or {}).get(name, UNBOUNDED)
        part, ratio = design.share(at_most[0]), name not in centered
        row = summary(float(value), draws, at_half, among, share=part, bounds=limits, ratio=ratio)
        rows.append({"measure": name, **row, "n": design.size, "n_ceiling": len(ceilings[0][0])})
    return pd.DataFrame(rows)
