"""Power by spatial frequency: blur, noise and the grid of an up-sampling, which gray levels alone do not show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def _images(images: Any, block: int) -> Iterator[np.ndarray]:
    for start in range(0, images.shape[0], block):
        yield np.asarray(images[start : start + block]).astype(np.float64)


def image_spectra(images: Any, block: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Power of every image by spatial frequency.

    The mean is removed and a Hann window takes the edges out.

    Args:
        images: (n, h, w), gray values; a NumPy or Zarr array, read `block` images at a time.
        block: images in memory.

    Returns:
        frequency in cycles a pixel, (bins,), up to the Nyquist frequency of 0.5, and power, (n, bins); a constant image
        has power 0.

    Raises:
        ValueError: no images (n, h, w), or sides below 2 pixels.
    """
    if len(images.shape) != 3 or 0 in images.shape or min(images.shape[1:]) < 2:
        raise ValueError("A spectrum needs images (n, h, w), one or more, with sides of 2 pixels or more.")
    h, w = images.shape[1:]
    window = np.hanning(h + 2)[1:-1, None] * np.hanning(w + 2)[None, 1:-1]
    radius = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None, :])
    bins = max(min(h, w) // 2, 2)
    index = np.minimum((radius * 2 * bins).astype(int), bins).ravel()
    # Inner columns of a half spectrum stand for two.
    weight = np.full(radius.shape, 2.0)
    weight[:, 0] = 1
    if w % 2 == 0:
        weight[:, -1] = 1
    counts = np.bincount(index, weights=weight.ravel(), minlength=bins + 1)[:bins]
    rows = []
    for values in _images(images, block):
        values = (values - values.mean((1, 2), keepdims=True)) * window
        power = np.abs(np.fft.rfft2(values)) ** 2 * weight / (window**2).sum()
        rows += [np.bincount(index, weights=image.ravel(), minlength=bins + 1)[:bins] for image in power]
    return (np.arange(bins) + 0.5) / (2 * bins), np.stack(rows) / np.maximum(counts, 1)


def radial_power_spectrum(images: Any, block: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of the images by spatial frequency; a generator's up-sampling shows as a bump at the upper end.

    Args, errors as for `image_spectra`.

    Returns:
        frequency in cycles a pixel, and power, each (bins,).
    """
    frequency, power = image_spectra(images, block)
    return frequency, power.mean(0)


def spectral_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Root mean square difference of two mean spectra, in decibels; 0 for equal ones.

    Args:
        real, synthetic: power of every image, (n, bins), from `image_spectra`. Bins where either mean is 0 are left
            out; nan where none is left.
    """
    a, b = real.mean(0), synthetic.mean(0)
    keep = (a > 0) & (b > 0)
    return float(np.sqrt(np.mean((10 * np.log10(b[keep] / a[keep])) ** 2))) if keep.any() else float("nan")
