"""Power-law texture of phantoms, the same at every image size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mammogan.data.phantom.grid import FIELD

BETA = 3.0
TEXTURE_GRID = (640, 512)  # coefficients drawn first, whatever the grid of the image; finer ones come from their own


def texture(rng: np.random.Generator, fine: np.random.Generator, shape: tuple[int, int], beta: float) -> np.ndarray:
    """Gaussian noise whose power falls as frequency^-beta; mean 0, variance 1; (h, w).

    Args:
        rng: of the coefficients up to the band of TEXTURE_GRID, the same for every shape.
        fine: of those beyond.
        shape: of the image. The field is drawn on twice the area and cut, so that its edges do not match.
    """
    h, w = (int(1.25 * side) for side in shape)
    base = int(1.25 * TEXTURE_GRID[0]), int(1.25 * TEXTURE_GRID[1])
    known = coefficients(rng, base)
    rows, columns = min(h, base[0]) // 2, min(w, base[1]) // 2
    larger = h > base[0] or w > base[1]
    spectrum = coefficients(fine, (h, w)) if larger else np.zeros((h, w // 2 + 1), np.complex64)
    spectrum[:rows, :columns] = known[:rows, :columns]
    spectrum[-rows:, :columns] = known[-rows:, :columns]
    power = _power(h, w, beta)
    values = np.fft.irfft2(spectrum * power, s=(h, w))[: shape[0], : shape[1]]
    return (values / _deviation(beta) * (h * w) / (base[0] * base[1])).astype(np.float32)


def coefficients(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    parts = rng.standard_normal((shape[0], shape[1] // 2 + 1, 2), np.float32)
    return parts.view(np.complex64)[..., 0]


@lru_cache(8)
def _power(h: int, w: int, beta: float) -> np.ndarray:
    """Amplitude at each frequency, cycles per field; the lowest are held back so that no gradient rules the image."""
    fy, fx = np.fft.fftfreq(h, 1 / h)[:, None] / FIELD[0], np.fft.rfftfreq(w, 1 / w)[None, :] / FIELD[1]
    frequency = np.hypot(fy, fx) / 1.25
    amplitude = (frequency + 1 / 120) ** (-beta / 2)
    amplitude[0, 0] = 0
    return amplitude.astype(np.float32)


@lru_cache(64)
def _deviation(beta: float) -> float:
    """Standard deviation of the unscaled field, from its spectrum."""
    h, w = (int(1.25 * side) for side in TEXTURE_GRID)
    power = _power(h, w, beta).astype(np.float64) ** 2
    # Real and imaginary part have variance 1 each; inner columns of a half spectrum count twice.
    return float(np.sqrt(2 * (2 * power.sum() - power[:, 0].sum())) / (h * w))
