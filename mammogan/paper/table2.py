"""What the printed Table 2 says about itself: implied numbers of neighbors and of images, and chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import digamma

from mammogan.metrics.information import inverse_digamma, mutual_information
from mammogan.paper.printed import NEIGHBORS_K, TABLE2_INFORMATION, TABLE2_NEIGHBORS


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


def chance_information(n: int = 1000, draws: int = 400, seed: int = 0) -> pd.DataFrame:
    """Table 2 beside chance: the same estimate between two samples of one distribution.

    Args:
        n: images a class.
        draws: pairs of samples.
        seed: of the samples.

    Returns:
        one row a moment: printed information and neighbors; chance (95th percentile), p (share of draws at or above
        the printed value, with one added), neighbors_chance (mean of the true average number of neighbors under one
        distribution), sd (of the information by chance).
    """
    rng = np.random.default_rng(seed)
    found = [mutual_information(rng.standard_normal(n), rng.standard_normal(n), NEIGHBORS_K) for _ in range(draws)]
    values = np.array([one.information for one in found])
    return pd.DataFrame(
        {
            "moment": [f"M{k + 1}" for k in range(len(TABLE2_INFORMATION))],
            "information": TABLE2_INFORMATION,
            "neighbors": TABLE2_NEIGHBORS,
            "chance": float(np.quantile(values, 0.95)),
            "p": [(1 + int((values >= printed).sum())) / (1 + draws) for printed in TABLE2_INFORMATION],
            "neighbors_chance": float(np.mean([one.neighbors for one in found])),
            "sd": float(values.std(ddof=1)),
        }
    )


def totals_by_entry(largest: int = 20_000) -> pd.DataFrame:
    """Which numbers of images agree with each printed pair of information and neighbors, rounding allowed for.

    The printed m is the inverse digamma of psi(N) - psi(N/2) + psi(3) - I (see `published.implied_neighbors`); m is
    known to half a unit of its second decimal and I to half of its fifth.

    Returns:
        one row a moment: moment, low, high (even N up to `largest`); 0 where none agrees.
    """
    totals = np.arange(20, largest + 1, 2)
    fixed = digamma(totals) - digamma(totals / 2) + digamma(NEIGHBORS_K)
    rows = []
    for k, (information, printed) in enumerate(zip(TABLE2_INFORMATION, TABLE2_NEIGHBORS, strict=True)):
        value = fixed - information
        fits = totals[(value + 5e-6 >= digamma(printed - 0.005)) & (value - 5e-6 <= digamma(printed + 0.005))]
        rows.append((f"M{k + 1}", int(fits.min()) if len(fits) else 0, int(fits.max()) if len(fits) else 0))
    return pd.DataFrame(rows, columns=["moment", "low", "high"])
