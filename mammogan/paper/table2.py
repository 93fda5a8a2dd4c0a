"""Numbers of neighbors and of images that the printed Table 2 implies, and chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import digamma

from mammogan.metrics.information import inverse_digamma, mutual_information
from mammogan.paper.printed import NEIGHBORS_K, TABLE2_INFORMATION, TABLE2_NEIGHBORS

MOMENTS = [f"M{k}" for k in range(1, 6)]


def implied_neighbors(total: int, information: np.ndarray = TABLE2_INFORMATION) -> np.ndarray:
    """Return row 2 of Table 2 from row 1: m with psi(m) = psi(N) - psi(N / 2) + psi(3) - I, for N images; (5,)."""
    return np.array([inverse_digamma(value) for value in (_constant(total) - information).tolist()])


def compatible_totals(largest: int = 20_000) -> tuple[int, int] | None:
    """Return the lowest and highest even N, up to `largest`, whose `implied_neighbors` round to all printed figures."""
    totals = np.arange(20, largest + 1, 2)
    psi = _constant(totals)[:, None] - TABLE2_INFORMATION
    low, high = (digamma(TABLE2_NEIGHBORS + half) for half in (-0.005, 0.005))
    fits = totals[((low <= psi) & (psi <= high)).all(1)]
    return (int(fits[0]), int(fits[-1])) if len(fits) else None


def _constant(total: int | np.ndarray) -> np.ndarray:
    """Return psi(N) - psi(N / 2) + psi(3), the part of Ross's estimate that the number of images alone gives."""
    return digamma(total) - digamma(np.asarray(total) / 2) + digamma(NEIGHBORS_K)


def chance_information(n: int = 1000, draws: int = 400, seed: int = 0) -> pd.DataFrame:
    """Compare Table 2 with chance: the same estimate between two samples of one distribution.

    Args:
        n: images per class.
        draws: pairs of samples.
        seed: random seed.

    Returns:
        One row per moment: printed information and neighbors; chance (95th percentile), p (share of draws at or above
        the printed value, with one added), neighbors_chance (mean number of neighbors by chance), sd (of the
        information by chance).
    """
    rng = np.random.default_rng(seed)
    pairs = [mutual_information(rng.standard_normal(n), rng.standard_normal(n), NEIGHBORS_K) for _ in range(draws)]
    values = np.array([pair.information for pair in pairs])
    table = pd.DataFrame({"moment": MOMENTS, "information": TABLE2_INFORMATION, "neighbors": TABLE2_NEIGHBORS})
    table["chance"] = float(np.quantile(values, 0.95))
    table["p"] = [(1 + int((values >= printed).sum())) / (1 + draws) for printed in TABLE2_INFORMATION]
    table["neighbors_chance"] = float(np.mean([pair.neighbors for pair in pairs]))
    return table.assign(sd=float(values.std(ddof=1)))


def totals_by_entry(largest: int = 20_000) -> pd.DataFrame:
    """Return the numbers of images that agree with each printed pair of information and neighbors, up to rounding.

    The printed m is the inverse digamma of psi(N) - psi(N/2) + psi(3) - I (see `implied_neighbors`); m is known to half
    a unit of its second decimal and I to half of its fifth.

    Returns:
        One row per moment: moment, low, high (even N up to `largest`); 0 where none agrees.
    """
    totals = np.arange(20, largest + 1, 2)
    rows = []
    for moment, information, neighbors in zip(MOMENTS, TABLE2_INFORMATION, TABLE2_NEIGHBORS, strict=True):
        psi = _constant(totals) - information
        fits = totals[(psi + 5e-6 >= digamma(neighbors - 0.005)) & (psi - 5e-6 <= digamma(neighbors + 0.005))]
        rows.append((moment, int(fits.min()), int(fits.max())) if len(fits) else (moment, 0, 0))
    return pd.DataFrame(rows, columns=["moment", "low", "high"])
