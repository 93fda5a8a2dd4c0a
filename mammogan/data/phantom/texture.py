"""Power-law texture of phantoms, the same at every image size."""

from functools import lru_cache

import numpy as np

from mammogan.data.phantom.grid import FIELD
from mammogan.types import Size

BETA = 3.0
MARGIN = 1.25  # a field is drawn on larger sides and cut, so that its edges do not match
BASE = Size(800, 640)  # grid of the coefficients that all sizes share, margin included


def texture(rng: np.random.Generator, fine: np.random.Generator, size: Size, beta: float) -> np.ndarray:
    """Return Gaussian noise whose power falls as frequency^-beta; mean 0, variance 1; float32 (h, w).

    Args:
        rng: source of the coefficients up to the band of `BASE`, the same for every size.
        fine: source of those beyond.
        size: of the image.
        beta: exponent.
    """
    h, w = (int(MARGIN * side) for side in size)
    shared = coefficients(rng, BASE)
    rows, columns = min(h, BASE.height) // 2, min(w, BASE.width) // 2
    larger = h > BASE.height or w > BASE.width
    spectrum = coefficients(fine, Size(h, w)) if larger else np.zeros((h, w // 2 + 1), np.complex64)
    spectrum[:rows, :columns] = shared[:rows, :columns]
    spectrum[-rows:, :columns] = shared[-rows:, :columns]
    values = np.fft.irfft2(spectrum * _amplitude(h, w, beta), s=(h, w))[: size.height, : size.width]
    return (values / _deviation(beta) * (h * w) / (BASE.height * BASE.width)).astype(np.float32)


def coefficients(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Return the half spectrum of white noise; complex64 (h, w // 2 + 1)."""
    parts = rng.standard_normal((size.height, size.width // 2 + 1, 2), np.float32)
    return parts.view(np.complex64)[..., 0]


@lru_cache(8)
def _amplitude(h: int, w: int, beta: float) -> np.ndarray:
    """Return the amplitude per frequency; the lowest are held back so that no gradient dominates the image."""
    fy, fx = np.fft.fftfreq(h, 1 / h)[:, None] / FIELD[0], np.fft.rfftfreq(w, 1 / w)[None, :] / FIELD[1]
    amplitude = (np.hypot(fy, fx) / MARGIN + 1 / 120) ** (-beta / 2)  # cycles per mm
    amplitude[0, 0] = 0
    return amplitude.astype(np.float32)


@lru_cache(64)
def _deviation(beta: float) -> float:
    """Return the standard deviation of the unscaled field, from its spectrum."""
    power = _amplitude(*BASE, beta).astype(np.float64) ** 2
    # Real and imaginary part have variance 1 each; inner columns of a half spectrum count twice.
    return float(np.sqrt(2 * (2 * power.sum() - power[:, 0].sum())) / (BASE.height * BASE.width))
