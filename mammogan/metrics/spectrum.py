"""Power by spatial frequency: blur, noise and the grid of an up-sampling, which gray levels alone do not show."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import fft

from mammogan.metrics.validation import check_images
from mammogan.types import ImageStack


class _Rings(NamedTuple):
    """Frequencies of the half spectrum of an image, by distance from 0.

    Attributes:
        window: (h, w) taper of the image.
        ring: (h * (w // 2 + 1),) ring of each frequency; the last one is beyond the Nyquist frequency.
        weight: (h, w // 2 + 1) how often each frequency counts.
        counts: (bins,) number of frequencies per ring.
        norm: power of the window.
    """

    window: np.ndarray
    ring: np.ndarray
    weight: np.ndarray
    counts: np.ndarray
    norm: float


@lru_cache(maxsize=1)
def _rings(h: int, w: int) -> _Rings:
    window = np.hanning(h + 2)[1:-1, None] * np.hanning(w + 2)[None, 1:-1]
    radius = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None, :])
    bins = max(min(h, w) // 2, 2)
    index = np.minimum((radius * 2 * bins).astype(int), bins).ravel()
    # Inner columns of a half spectrum count twice.
    weight = np.full(radius.shape, 2.0)
    weight[:, 0] = 1
    if w % 2 == 0:
        weight[:, -1] = 1
    counts = np.bincount(index, weights=weight.ravel(), minlength=bins + 1)[:bins]
    return _Rings(window, index, weight, counts, (window**2).sum())


def image_spectra(images: ImageStack, block: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Compute the power of every image by spatial frequency.

    The mean is removed and a Hann window tapers the edges.

    Args:
        images: (n, h, w), gray values, with sides of 2 pixels or more, read `block` images at a time.

    Returns:
        frequency in cycles per pixel, (bins,), up to the Nyquist frequency of 0.5, and power, (n, bins), 0 for a
        constant image.
    """
    check_images(images, integers=False, side=2)
    rings = _rings(*images.shape[1:])
    bins, rows = len(rings.counts), []
    for start in range(0, images.shape[0], block):
        for image in np.asarray(images[start : start + block]):  # one at a time, which stays in the cache
            values = image.astype(np.float64)
            values -= values.mean()  # in place throughout: half of the time is that of the memory
            values *= rings.window
            power = np.abs(fft.rfft2(values, overwrite_x=True))
            power *= power
            power *= rings.weight
            power /= rings.norm
            rows.append(np.bincount(rings.ring, weights=power.ravel(), minlength=bins + 1)[:bins])
    return (np.arange(bins) + 0.5) / (2 * bins), np.stack(rows) / np.maximum(rings.counts, 1)


def radial_power_spectrum(images: ImageStack) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean power of the images by spatial frequency, each (bins,); see `image_spectra`.

    The up-sampling of a generator shows as a bump at the upper end.
    """
    frequency, power = image_spectra(images)
    return frequency, power.mean(0)


def spectral_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Return the root mean square difference of two mean spectra, decibels; 0 for equal ones.

    Args:
        real, synthetic: (n, bins) power of every image, from `image_spectra`. Bins where either mean is 0 are left
            out; NaN where none is left.
    """
    a, b = real.mean(0), synthetic.mean(0)
    keep = (a > 0) & (b > 0)
    return float(np.sqrt(np.mean((10 * np.log10(b[keep] / a[keep])) ** 2))) if keep.any() else float("nan")
