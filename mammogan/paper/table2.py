"""Numbers of neighbors and of images that the printed Table 2 implies, and chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import digamma

from mammogan.metrics.information import inverse_digamma, mutual_information
from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.paper.printed import NEIGHBORS_K, TABLE2_INFORMATION, TABLE2_NEIGHBORS

TOTALS = np.arange(20, 20_001, 2)  # numbers of images, of both classes together, that are tried


def implied_neighbors(total: int, information: np.ndarray = TABLE2_INFORMATION) -> np.ndarray:
    """Return row 2 of Table 2 from row 1: m with psi(m) = psi(N) - psi(N / 2) + psi(3) - I, for N images; (5,)."""
    return np.array([inverse_digamma(value) for value in (_constant(total) - information).tolist()])


def compatible_totals() -> tuple[int, int]:
    """Return the lowest and highest N of `TOTALS` that agree with all five pairs of `totals_by_entry` at once."""
    fits = TOTALS[_agreement().all(1)]
    return int(fits[0]), int(fits[-1])


def totals_by_entry() -> pd.DataFrame:
    """Return the numbers of images that agree with each printed pair of information and neighbors, up to rounding.

    The printed m is known to half a unit of its second decimal and I to half of its fifth (see `implied_neighbors`).
    The largest of `TOTALS` means that many or more.

    Returns:
        One row per moment: moment, low, high (of `TOTALS`).
    """
    fits = [TOTALS[agrees] for agrees in _agreement().T]
    rows = [(moment, int(totals[0]), int(totals[-1])) for moment, totals in zip(MOMENT_NAMES, fits, strict=True)]
    return pd.DataFrame(rows, columns=["moment", "low", "high"])


def _constant(total: int | np.ndarray) -> np.ndarray:
    """Return psi(N) - psi(N / 2) + psi(3), the part of Ross's estimate that the number of images alone gives."""
    return digamma(total) - digamma(np.asarray(total) / 2) + digamma(NEIGHBORS_K)


def _agreement() -> np.ndarray:
    """Return which `TOTALS` give which printed m, up to the rounding of m and of the information; (N, 5)."""
    psi = _constant(TOTALS)[:, None] - TABLE2_INFORMATION
    low, high = (digamma(TABLE2_NEIGHBORS + half) for half in (-0.005, 0.005))
    return (low <= psi + 5e-6) & (psi - 5e-6 <= high)


def chance_information(n: int = 1000, draws: int = 5000, seed: int = 0) -> pd.DataFrame:
    """Compare Table 2 with chance: the same estimate between two samples of one distribution.

    Args:
        n: images per class.
        draws, seed: pairs of samples, and their random seed.

    Returns:
        One row per moment: moment, information and neighbors (printed), chance (95th percentile), p (share of draws at
        or above the printed value, with one added), neighbors_chance (mean by chance), sd (of information by chance).
    """
    rng = np.random.default_rng(seed)
    pairs = [mutual_information(rng.standard_normal(n), rng.standard_normal(n), NEIGHBORS_K) for _ in range(draws)]
    values = np.array([pair.information for pair in pairs])
    table = pd.DataFrame({"moment": MOMENT_NAMES, "information": TABLE2_INFORMATION, "neighbors": TABLE2_NEIGHBORS})
    table["chance"] = float(np.quantile(values, 0.95))
    table["p"] = [(1 + int((values >= printed).sum())) / (1 + draws) for printed in TABLE2_INFORMATION]
    table["neighbors_chance"] = float(np.mean([pair.neighbors for pair in pairs]))
    return table.assign(sd=float(values.std(ddof=1)))
