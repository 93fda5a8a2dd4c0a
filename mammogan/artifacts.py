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


def radial_power_spectrum(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of the images by spatial frequency.

    A Hann window takes the edges out; a generator's up-sampling shows as a bump toward the highest frequencies.

    Args:
        images: (n, h, w), grey values.

    Returns:
        frequency in cycles a pixel, and power, each (bins,), up to the Nyquist frequency of 0.5.
    """
    h, w = images.shape[1:]
    window = np.hanning(h + 2)[1:-1, None] * np.hanning(w + 2)[None, 1:-1]
    values = images.astype(np.float64)
    values = (values - values.mean((1, 2), keepdims=True)) * window
    power = (np.abs(np.fft.fft2(values)) ** 2).mean(0) / (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None, :])
    bins = max(min(h, w) // 2, 2)
    index = np.minimum((radius * 2 * bins).astype(int), bins)
    counts = np.bincount(index.ravel(), minlength=bins + 1)[:bins]
    total = np.bincount(index.ravel(), weights=power.ravel(), minlength=bins + 1)[:bins]
    return (np.arange(bins) + 0.5) / (2 * bins), total / np.maximum(counts, 1)
