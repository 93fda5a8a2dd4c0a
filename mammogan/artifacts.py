"""Where to look first for artifacts: synthetic images ranked by how far they lie from the real ones."""

from __future__ import annotations

import numpy as np
from scipy import stats

from mammogan.metrics.moments import check_tables


def outlyingness(real: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Robust distance of images from the real ones in the space of their moments; (n,).

    Moments are ranked against the real set and turned into normal scores, which tames their heavy tails; the distance
    is Mahalanobis' with the real set's covariance.

    Args:
        real: (n, 5) moments of real images.
        other: (n, 5) moments of the images to rank.
    """
    real, other = check_tables(real, other)
    n = len(real)

    def scores(table: np.ndarray) -> np.ndarray:
        ranks = np.column_stack(
            [
                (np.searchsorted(np.sort(r), column, "left") + np.searchsorted(np.sort(r), column, "right")) / 2
                for r, column in zip(real.T, table.T, strict=True)
            ]
        )
        return stats.norm.ppf((ranks + 0.5) / (n + 1))

    reference = scores(real)
    center, covariance = reference.mean(0), np.cov(reference.T) + 1e-6 * np.eye(real.shape[1])
    offset = scores(other) - center
    return np.sqrt(np.einsum("ij,ij->i", offset @ np.linalg.inv(covariance), offset))
