"""Multi-scale structural similarity, and the diversity of a set by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import convolve1d

from mammogan.metrics.distances import SIGMA, WINDOW
from mammogan.metrics.validation import check_images

SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # Wang 2003, fine to coarse


def _window(shorter: int) -> np.ndarray:
    """The Gaussian window of structural similarity; shorter where the image is smaller than 11 pixels."""
    size = min(WINDOW, shorter - (shorter + 1) % 2)
    x = np.arange(size) - size // 2
    weights = np.exp(-(x**2) / (2 * SIGMA**2))
    return weights / weights.sum()


def similarity_scales(height: int, width: int) -> int:
    """How many scales of structural similarity an image allows: the window fits into the last one; 1 to 5."""
    scales = 1
    while scales < len(SCALE_WEIGHTS) and min(height, width) // 2**scales >= WINDOW:
        scales += 1
    return scales


def ms_ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Multi-scale structural similarity of pairs of images in [0, 1]: 1 for equal ones (Wang 2003, eq. 7).

    K1 = .01, K2 = .03, Gaussian window of 11 pixels; contrast and structure are clipped at 0 before they are weighted.
    Small images have fewer scales (`similarity_scales`). Weights are scaled to sum to 1 (in print 1.0001).

    Args:
        first, second: (b, h, w), float, any rectangle; odd sides lose their last row or column when halved.

    Returns:
        (b,).

    Raises:
        ValueError: different shapes, sides below 3 pixels, or values that are not finite.
    """
    x, y = (np.asarray(images, np.float64) for images in (first, second))
    if x.shape != y.shape or x.ndim != 3 or min(x.shape[1:]) < 3:
        raise ValueError("Structural similarity needs pairs of images (b, h, w) of one size, 3 pixels or more a side.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("An image has a gray value that is not a finite number; find it and drop it.")
    scales = similarity_scales(*x.shape[1:])
    weights = SCALE_WEIGHTS[:scales] / SCALE_WEIGHTS[:scales].sum()
    window = _window(min(x.shape[1:]))
    reach = len(window) // 2
    c1, c2 = 0.01**2, 0.03**2
    result = np.ones(len(x))
    for scale, weight in enumerate(weights):

        def local(values: np.ndarray) -> np.ndarray:
            for axis in (1, 2):
                values = convolve1d(values, window, axis=axis)
            return values[:, reach : values.shape[1] - reach, reach : values.shape[2] - reach]

        mx, my = local(x), local(y)
        vx, vy, vxy = local(x * x) - mx * mx, local(y * y) - my * my, local(x * y) - mx * my
        structure = (2 * vxy + c2) / (vx + vy + c2)
        if scale == scales - 1:
            structure = structure * (2 * mx * my + c1) / (mx * mx + my * my + c1)
        result *= np.clip(structure.mean((1, 2)), 0, None) ** weight
        h, w = (side // 2 * 2 for side in x.shape[1:])
        x, y = (v[:, :h, :w].reshape(len(v), h // 2, 2, w // 2, 2).mean((2, 4)) for v in (x, y))
    return result


@dataclass(frozen=True)
class Diversity:
    """How alike the images of one set are.

    Attributes:
        similarity: mean MS-SSIM of random pairs; higher is less diverse, 1 is one image over and over.
        low, high: 95 % interval, normal; equal to `similarity` where there is one pair.
        pairs: disjoint pairs that were compared.
        scales: of the measure.
        seed: of the pairs.
    """

    similarity: float
    low: float
    high: float
    pairs: int
    scales: int
    seed: int


def diversity(
    images: Any, bits: int, *, pairs: int = 1000, seed: int = 0, groups: np.ndarray | None = None, block: int = 16
) -> Diversity:
    """Mean MS-SSIM between random images of a set (Odena 2017; Karras 2018, section 5).

    No image is in two pairs, so that the pairs are independent and the interval is simply that of their mean. One set
    is judged by the other's value: mammograms share their outline and a black background, and so are alike by nature.

    Args:
        images: (n, h, w), unsigned integers; a NumPy or Zarr array, read `block` pairs at a time.
        bits: of the gray grid.
        pairs: at most; n / 2 is all that there are.
        seed: of the pairs.
        groups: (n,), patients; pairs of one patient are left out.
        block: pairs in memory.

    Raises:
        ValueError: fewer than two images, or no pair of two patients.
    """
    check_images(images)
    n = images.shape[0]
    if n < 2:
        raise ValueError("Diversity needs two images or more.")
    order = np.random.default_rng(seed).permutation(n)[: n // 2 * 2].reshape(-1, 2)
    if groups is not None:
        order = order[np.asarray(groups)[order[:, 0]] != np.asarray(groups)[order[:, 1]]]
        if not len(order):
            raise ValueError("All images are of one patient; diversity needs pairs of two patients.")
    order = order[:pairs]
    top = 2**bits - 1
    found = []
    for start in range(0, len(order), block):
        first, second = (
            np.stack([np.asarray(images[int(i)]) for i in side]) / top for side in order[start : start + block].T
        )
        found.append(ms_ssim(first, second))
    values = np.concatenate(found)
    spread = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    mean = float(values.mean())
    return Diversity(mean, mean - spread, mean + spread, len(values), similarity_scales(*images.shape[1:]), seed)
