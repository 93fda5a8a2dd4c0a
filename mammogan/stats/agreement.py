"""Agreement of readers beyond chance, who may have answered different units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from statsmodels.stats.inter_rater import fleiss_kappa

from mammogan.errors import ParameterError
from mammogan.types import Estimate


@dataclass(frozen=True)
class Agreement:
    """Agreement on categories: 1 is perfect, 0 that of chance.

    Attributes:
        alpha: Krippendorff's alpha with its bootstrap interval over units.
        kappa: Fleiss' kappa, where each unit has as many answers as any other; else None.
        units: units with two answers or more.
        answers: answers to these units.
    """

    alpha: Estimate
    kappa: float | None
    units: int
    answers: int


def agreement(units: np.ndarray, answers: np.ndarray, *, draws: int = 2000, seed: int = 0) -> Agreement:
    """Return the agreement of readers on nominal answers (Krippendorff 2019; Fleiss 1971).

    Args:
        units: (n,) codes of what was answered, e.g. images. Units with one answer are left out.
        answers: (n,) categories.
        draws: bootstrap samples of units; those in which all answers are the same are left out.
        seed: random seed of the bootstrap.

    Where all answers to each unit agree, no sample differs: the lower bound is then that of the exact upper bound of
    the share of units whose answers do not (Clopper & Pearson), each as far apart as two answers can be; a project
    choice.

    Raises:
        ParameterError: fewer than two units have two answers, or all of these are the same.
    """
    unit, value = (np.unique(codes, return_inverse=True)[1] for codes in (units, answers))
    counts = np.zeros((unit.max() + 1, value.max() + 1))
    np.add.at(counts, (unit, value), 1)
    counts = counts[counts.sum(1) >= 2]
    if len(counts) < 2 or (counts.sum(0) > 0).sum() < 2:
        raise ParameterError("Fewer than two units have two answers, or all answers are the same; nothing to agree on.")
    drawn = np.random.default_rng(seed).integers(len(counts), size=(draws, len(counts)))
    samples = np.array([_alpha(counts[rows]) for rows in drawn])
    low, high = np.nanquantile(samples, [0.025, 0.975])
    sizes = counts.sum(1)
    kappa = float(fleiss_kappa(counts)) if np.ptp(sizes) == 0 else None
    alpha = _alpha(counts)
    if alpha == 1:
        n, totals = sizes.sum(), counts.sum(0)
        expected = (n**2 - (totals**2).sum()) / (n * (n - 1))
        low = 1 - (1 - 0.025 ** (1 / len(counts))) / expected
    return Agreement(
        Estimate(alpha, float(min(low, alpha)), float(max(high, alpha))), kappa, len(counts), int(sizes.sum())
    )


def _alpha(counts: np.ndarray) -> float:
    """Return Krippendorff's nominal alpha of counts (units, values); NaN where all answers are the same."""
    sizes, totals = counts.sum(1), counts.sum(0)
    n = totals.sum()
    observed = ((sizes**2 - (counts**2).sum(1)) / (sizes - 1)).sum() / n
    expected = (n**2 - (totals**2).sum()) / (n * (n - 1))
    return float(1 - observed / expected) if expected > 0 else float("nan")
