"""One plan of resampling for every score: its interval, its ceiling between real images, and the two in ratio.

All measures of a comparison use the same draws, so that their numbers can be set beside each other.

- *Score*: n real against n synthetic images.
- *Interval*: the score on random halves of both sets, drawn without replacement. The spread of a statistic over
  subsamples of r of n images, times sqrt(r / (n - r)), is its spread over samples of n (the delete-d jackknife, Shao &
  Wu 1989, Annals of Statistics 17:1176, eq. 2.3); for halves the factor is 1. A bootstrap with replacement would not
  do: repeated images are ties to a nearest neighbor and roughness to a density.
- *Ceiling*: the score between two disjoint sets of real images. Real images have none left where all of them are
  compared; the ceiling, and the score that is held against it, then have half as many images a side.

Images of one patient are alike. Where patients are known, real images are drawn by patient, and no patient is on both
sides of a ceiling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mammogan.parallel import in_threads

Z = 1.959964  # 97.5th percentile of the normal distribution
LEAST = 16  # real images; with fewer a ceiling would stand on less than eight
FEW = 40  # draws; fewer have no percentiles to speak of, but a standard deviation


def shuffled(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row numbers in random order, the rows of one group next to each other."""
    _, group = np.unique(groups, return_inverse=True)
    order = rng.permutation(group.max() + 1)
    return np.argsort(order[group] + rng.random(len(groups)))


@dataclass(frozen=True)
class ResamplingDesign:
    """Which images are compared, and the draws behind intervals and ceilings.

    Args:
        patients: (N,) what tells the patients of the real images apart; their number where it is not known.
        synthetic: number of synthetic images.
        n: images a side; 0 takes as many as the smaller set has.
        seed: of all draws.
        draws: halves behind an interval.
        splits: pairs of real sets behind a ceiling.

    Raises:
        ValueError: too few images.
    """

    patients: np.ndarray | int
    synthetic: int
    n: int = 0
    seed: int = 0
    draws: int = 100
    splits: int = 20

    def __post_init__(self) -> None:
        for count, name, least in ((len(self.groups), "real", LEAST), (self.synthetic, "synthetic", LEAST // 2)):
            if count < least:
                raise ValueError(
                    f"The {name} set has {count} images; a comparison with its ceiling needs {LEAST} real and "
                    f"{LEAST // 2} synthetic ones or more."
                )
        if self.half < LEAST // 2:
            raise ValueError("The real images come from too few patients to be split into two sets; give more.")

    @cached_property
    def groups(self) -> np.ndarray:
        """(N,) patient of each real image."""
        return np.arange(self.patients) if isinstance(self.patients, int) else np.asarray(self.patients)

    @cached_property
    def size(self) -> int:
        """Images a side of the score."""
        return min(len(self.groups), self.synthetic, self.n or self.synthetic)

    @cached_property
    def half(self) -> int:
        """Images a side of the ceiling."""
        most = int(np.unique(self.groups, return_counts=True)[1].max())
        return min((len(self.groups) - most + 1) // 2, self.size)

    def _rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose])

    @cached_property
    def compared(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the real and of the synthetic images of the score, (n,) each, in ascending order."""
        rng = self._rng(0)
        real = np.sort(shuffled(self.groups, rng)[: self.size])
        return real, np.sort(rng.choice(self.synthetic, self.size, replace=False))

    def share(self, at_most: int = 0) -> float:
        """r / n of `intervals`."""
        return self._part(at_most) / self.size

    def _part(self, at_most: int) -> int:
        half = self.size // 2
        return min(half, at_most) if at_most else half

    def intervals(self, at_most: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows of the real and synthetic images of each draw behind an interval.

        Args:
            at_most: images a side, for measures whose cost grows with them; 0 takes half of those compared.
        """
        return self._drawn(at_most) if at_most else self._halves

    @cached_property
    def _halves(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return self._drawn(0)

    def _drawn(self, at_most: int) -> list[tuple[np.ndarray, np.ndarray]]:
        rng, part = self._rng(1), self._part(at_most)
        real, synthetic = self.compared
        groups = self.groups[real]
        return [
            (real[shuffled(groups, rng)[:part]], rng.choice(synthetic, part, replace=False)) for _ in range(self.draws)
        ]

    def ceilings(self, at_most: int = 0) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Rows (one, two, other) of each split: real images, real images of other patients, synthetic images."""
        rng, size = self._rng(2), min(self.half, at_most or self.half)
        found = []
        for _ in range(self.splits):
            order = shuffled(self.groups, rng)
            # The second set begins with the next patient.
            behind = order[size:][self.groups[order[size:]] != self.groups[order[size - 1]]]
            found.append((order[:size], behind[:size], rng.choice(self.synthetic, size, replace=False)))
        return found


def interval(
    estimate: float,
    draws: Sequence[float] | np.ndarray,
    share: float = 0.5,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """95 % interval of an estimate from its values on subsamples of a share of the images.

    The percentiles of the draws are taken about their median, scaled to the whole sample (see this module), and set
    around the estimate: scores on fewer images lie lower, which is no uncertainty. Fewer than `FEW` draws are taken as
    normal.
    """
    if len(draws) < FEW:
        deviation = np.array([-Z, Z]) * np.std(draws, ddof=1)
    else:
        deviation = np.quantile(draws, [0.025, 0.975]) - np.median(draws)
    deviation = deviation * np.sqrt(share / (1 - share))
    low, high = np.clip(estimate + deviation, *bounds)
    return float(low), float(high)


def summary(
    estimate: float,
    draws: Sequence[float] | np.ndarray,
    at_half: Sequence[float] | np.ndarray,
    ceilings: Sequence[float] | np.ndarray,
    *,
    share: float = 0.5,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> dict[str, float]:
    """A score with its interval, its ceiling, and the ratio of the two with its interval.

    The ratio's interval joins the spread of the score and the spread of the ceiling between splits as independent
    errors (delta method); the second holds more than the error of the median ceiling, so that the interval is wide
    rather than narrow.

    Args:
        estimate: score of all images compared.
        draws: scores of the subsamples, (draws,).
        at_half, ceilings: scores of the splits: real against synthetic and real against real images, (splits,).
        share: see `interval`.
        bounds: least and largest possible score.

    Returns:
        score, low, high; score_n, ceiling, ceiling_low, ceiling_high at the ceiling's number of images; ratio,
        ratio_low, ratio_high, not a number where the ceiling is 0 or less.
    """
    low, high = interval(estimate, draws, share, bounds)
    score, ceiling = float(np.median(at_half)), float(np.median(ceilings))
    ceiling_low, ceiling_high = np.quantile(ceilings, [0.025, 0.975])
    ratio = score / ceiling if ceiling > 0 else np.nan
    error = np.hypot(np.std(draws) * np.sqrt(share / (1 - share)), ratio * np.std(ceilings)) / (
        ceiling if ceiling > 0 else np.nan
    )
    return {
        "score": float(estimate),
        "low": low,
        "high": high,
        "score_n": score,
        "ceiling": ceiling,
        "ceiling_low": float(ceiling_low),
        "ceiling_high": float(ceiling_high),
        "ratio": ratio,
        "ratio_low": max(ratio - Z * error, 0.0) if ceiling > 0 else np.nan,
        "ratio_high": ratio + Z * error,
    }


def scored(
    real: Any,
    synthetic: Any,
    measure: Callable[[Any, Any], Mapping[str, float]],
    plan: ResamplingDesign,
    *,
    whole: Callable[[Any, Any], Mapping[str, float]] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """Scores of two sets by the plan: with interval, ceiling, and the two in ratio.

    Args:
        real, synthetic: arrays whose first axis counts images: moments, features, descriptors.
        measure: name -> score of two sets of images.
        plan: which rows are compared.
        whole: as `measure`, for the sets themselves, where it may take more time; None takes `measure`.
        bounds: least and largest value of a score, where it has them.

    Returns:
        one row a score: measure (its name), the columns of `summary`, n and n_ceiling (images a side of score and
        ceiling). Of a distance the ceiling is a floor: what real images have among themselves.
    """
    compared, intervals, ceilings = plan.compared, plan.intervals(), plan.ceilings()
    estimate = (whole or measure)(real[compared[0]], synthetic[compared[1]])
    tasks = [
        *((real, one, synthetic, two) for one, two in intervals),
        *((real, one, synthetic, other) for one, _, other in ceilings),
        *((real, one, real, two) for one, two, _ in ceilings),
    ]
    found = in_threads(lambda task: measure(task[0][task[1]], task[2][task[3]]), tasks)
    rows = []
    for name, value in estimate.items():
        values = np.array([scores[name] for scores in found])
        draws, at_half, among = np.split(values, [len(intervals), len(intervals) + len(ceilings)])
        limits = (bounds or {}).get(name, (-np.inf, np.inf))
        row = summary(float(value), draws, at_half, among, share=plan.share(), bounds=limits)
        rows.append({"measure": name, **row, "n": plan.size, "n_ceiling": len(ceilings[0][0])})
    return pd.DataFrame(rows)
