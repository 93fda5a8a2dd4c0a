"""The paper's Tables 1 and 2 as printed, and what they say about themselves."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma

from mammogan.metrics.information import inverse_digamma
from mammogan.metrics.moments import PAIRS

# Table 1, "Mutual Information between Real and Synthetic Image Moments"; the printed upper triangle.
TABLE1 = np.array(
    [
        [0.7681, 0.7735, 0.7778, 0.7786, 0.7765],
        [np.nan, 0.7392, 0.7438, 0.7644, 0.7464],
        [np.nan, np.nan, 0.6961, 0.7247, 0.7075],
        [np.nan, np.nan, np.nan, 0.7524, 0.7211],
        [np.nan, np.nan, np.nan, np.nan, 0.6057],
    ]
)
# Table 2, "Mutual Information and Average Number of Neighbors between Image Moments".
TABLE2_INFORMATION = np.array([0.01772, 0.04087, 0.04096, 0.01138, 0.0])
TABLE2_NEIGHBORS = np.array([5.44, 5.32, 5.32, 5.47, 5.53])
NEIGHBORS_K = 3  # "the distance to the third nearest neighbor"
IMAGES = 1000  # a set, in each comparison
COVERAGE = (0.80, 0.91)  # abstract: 80 % - 91 % overlap in their support


def excess_over_diagonal() -> np.ndarray:
    """By how much each off-diagonal entry of Table 1 exceeds the smaller of its two diagonal entries; (10,).

    A score of overlap cannot rise when a second moment is looked at too, if it obeys the data-processing inequality:
    what two moments together tell about the label is at least what each tells alone. Positive numbers break it.
    """
    diagonal = np.diag(TABLE1)
    return np.array([TABLE1[i, j] - min(diagonal[i], diagonal[j]) for i, j in PAIRS])


def implied_neighbors(total: int, information: np.ndarray = TABLE2_INFORMATION) -> np.ndarray:
    """Row 2 of Table 2 from row 1: m with psi(m) = psi(N) - psi(N / 2) + psi(3) - I, for N images in all; (5,)."""
    return np.array([inverse_digamma(value) for value in (_constant(total) - information).tolist()])


def compatible_totals(largest: int = 20_000) -> tuple[int, int] | None:
    """Smallest and largest even N, up to `largest`, for which `implied_neighbors` rounds to every printed figure."""
    totals = np.arange(20, largest + 1, 2)
    psi = _constant(totals)[:, None] - TABLE2_INFORMATION
    low, high = (digamma(TABLE2_NEIGHBORS + half) for half in (-0.005, 0.005))
    fits = totals[((low <= psi) & (psi <= high)).all(1)]
    return (int(fits[0]), int(fits[-1])) if len(fits) else None


def _constant(total: int | np.ndarray) -> np.ndarray:
    """psi(N) - psi(N / 2) + psi(3): what the images' number alone adds to the estimate of Ross."""
    return digamma(total) - digamma(np.asarray(total) / 2) + digamma(NEIGHBORS_K)
