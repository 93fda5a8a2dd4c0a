"""The first five moments of an image's gray levels, to which the paper reduces each image (Figure 3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations

import numpy as np

from mammogan.errors import ParameterError
from mammogan.metrics.validation import check_images
from mammogan.types import ImageStack

MOMENT_NAMES = ("M1", "M2", "M3", "M4", "M5")
PAIRS = tuple(combinations(range(5), 2))  # the ten pairs of Figure 3
NEAR = 1000  # smallest number of pixels whose mean is near enough to that of the image


def moments_of_counts(counts: np.ndarray) -> np.ndarray:
    """Return the moments of gray levels from their counts, in units of the full range.

    M1 mean; M2 variance (1/n); M3 skewness mu3 / mu2^1.5; M4 kurtosis mu4 / mu2^2, 3 for a Gaussian; M5 hyperskewness
    mu5 / mu2^2.5. Gray 0 ... 2^bits - 1 counts as 0 ... 1, so that M1 and M2 do not depend on the bit depth.

    Args:
        counts: (..., 2^bits), number of pixels of each level.

    Returns:
        (..., 5), float64. An image of one gray level has no shape: its M3, M4 and M5 are 0.
    """
    counts = np.asarray(counts, np.float64)
    levels = np.linspace(0, 1, counts.shape[-1])
    n = counts.sum(-1, keepdims=True)
    mean = (counts * levels).sum(-1, keepdims=True) / n
    centered = levels - mean
    mu = {}
    power = counts * centered
    for order in (2, 3, 4, 5):
        power *= centered
        mu[order] = power.sum(-1) / n[..., 0]
    constant = (counts > 0).sum(-1) <= 1
    scale = np.where(constant, 1.0, mu[2])
    shape = [np.where(constant, 0.0, mu[order] / scale ** (order / 2)) for order in (3, 4, 5)]
    return np.stack([mean[..., 0], np.where(constant, 0.0, mu[2]), *shape], -1)


def moments_of_pixels(pixels: np.ndarray, top: int) -> tuple[float, float, float, float, float, int]:
    """Return M1 ... M5 of the gray levels of one image, see `moments_of_counts`, and the highest level.

    Written to be compiled (`compiled`): one loop, several pixels at a time. Powers are taken about a whole level near
    the mean, so that low powers sum up exactly, and moved to the mean by the binomial theorem.

    Args:
        pixels, top: (n,), unsigned integers, and the highest level of the grid.
    """
    n = pixels.size
    near = np.rint(pixels[:: max(n // NEAR, 1)].mean())
    highest = pixels[0]
    a = b = c = d = e = 0.0
    for i in range(n):
        x = np.float64(pixels[i]) - near
        square = x * x
        cube = square * x
        a += x
        b += square
        c += cube
        d += square * square
        e += square * cube
        highest = max(highest, pixels[i])
    a, b, c, d, e = a / n, b / n, c / n, d / n, e / n
    mu2 = b - a**2
    if mu2 <= 0:
        return (near + a) / top, 0.0, 0.0, 0.0, 0.0, int(highest)
    mu3 = c - 3 * a * b + 2 * a**3
    mu4 = d - 4 * a * c + 6 * a**2 * b - 3 * a**4
    mu5 = e - 5 * a * d + 10 * a**2 * c - 10 * a**3 * b + 4 * a**5
    return (near + a) / top, mu2 / top**2, mu3 / mu2**1.5, mu4 / mu2**2, mu5 / mu2**2.5, int(highest)


@lru_cache(maxsize=1)
def compiled() -> Callable[[np.ndarray, int], tuple[float, float, float, float, float, int]]:
    """Compile `moments_of_pixels` at the first use, which lasts a second."""
    import numba

    # Sums may be taken in any order. Nothing else about arithmetic is loosened.
    return numba.njit(moments_of_pixels, nogil=True, fastmath={"reassoc", "nsz", "contract"})


def image_moments(images: ImageStack, bits: int) -> np.ndarray:
    """Compute the moments of every image of a set.

    Args:
        images: (n, h, w), unsigned integers in 0 ... 2^bits - 1, read one at a time.
        bits: bits of the gray grid, the same for sets that are to be compared.

    Returns:
        (n, 5), float64; see `moments_of_counts`.
    """
    check_images(images)
    measure, top = compiled(), 2**bits - 1
    rows = []
    for row in range(images.shape[0]):
        pixels = np.ravel(images[row])
        # Compiled code knows the byte order of the machine alone.
        rows.append(measure(pixels.astype(pixels.dtype.newbyteorder("="), copy=False), top))
    moments = np.array(rows)
    if (highest := int(moments[:, 5].max())) > top:
        raise ParameterError(f"A gray level is {highest}, beyond {bits} bits; compare images of one bit depth.")
    return moments[:, :5]


def used_levels(images: ImageStack, bits: int) -> np.ndarray:
    """Count the gray levels that occur in each image, (n,).

    Images of fewer bits, stretched to more, have gaps between their levels, which moments hardly show.

    Args:
        images, bits: (n, h, w), unsigned integers in 0 ... 2^bits - 1, read one at a time.
    """
    check_images(images)
    counts = (np.bincount(np.ravel(images[row]), minlength=2**bits) for row in range(images.shape[0]))
    return np.array([np.count_nonzero(each) for each in counts])
