"""Multi-scale structural similarity, and the diversity of a set by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mammogan.errors import ParameterError
from mammogan.metrics.filters import filter_images
from mammogan.metrics.validation import check_array, check_images, check_lengths, check_same_size
from mammogan.types import Estimate, ImageStack

SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # Wang 2003, fine to coarse
WINDOW, SIGMA = 11, 1.5  # pixels (Wang 2004)


def _window(shorter: int) -> np.ndarray:
    """Return the Gaussian window of structural similarity; shorter where the image is smaller than 11 pixels."""
    size = min(WINDOW, shorter - (shorter + 1) % 2)
    x = np.arange(size) - size // 2
    weights = np.exp(-(x**2) / (2 * SIGMA**2))
    return weights / weights.sum()


def _halved(images: np.ndarray) -> np.ndarray:
    """Return means of 2 x 2 pixels; an odd side loses its last line."""
    h, w = (side // 2 * 2 for side in images.shape[1:])
    a, b, c, d = (images[:, row:h:2, column:w:2] for row in (0, 1) for column in (0, 1))
    return ((a + b) + (c + d)) / 4


def similarity_scales(height: int, width: int) -> int:
    """Return the number of scales, 1 to 5, that an image allows: the window fits into the last one."""
    scales = 1
    while scales < len(SCALE_WEIGHTS) and min(height, width) // 2**scales >= WINDOW:
        scales += 1
    return scales


def ms_ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the multi-scale structural similarity of pairs of images, (b,): 1 for equal ones (Wang 2003, eq. 7).

    K1 = .01, K2 = .03, Gaussian window of 11 pixels; contrast and structure are clipped at 0 before they are weighted.
    Small images have fewer scales (`similarity_scales`). Weights are scaled to sum to 1 (in print 1.0001).

    Args:
        first, second: (b, h, w), float in [0, 1], 3 pixels per side or more; odd sides lose one when halved.
    """
    x, y = check_array(first, "The first stack", (3,)), check_array(second, "The second stack", (3,))
    check_images(x, integers=False, side=3)
    check_same_size(x, y)
    check_lengths(first=x, second=y)
    scales = similarity_scales(*x.shape[1:])
    weights = SCALE_WEIGHTS[:scales] / SCALE_WEIGHTS[:scales].sum()
    window = _window(min(x.shape[1:]))
    c1, c2 = 0.01**2, 0.03**2

    def local(values: np.ndarray) -> np.ndarray:
        return filter_images(values, window)

    result = np.ones(len(x))
    for scale, weight in enumerate(weights):
        mx, my = local(x), local(y)
        vx, vy, structure = local(x * x), local(y * y), local(x * y)
        vx -= mx * mx
        vy -= my * my
        structure -= mx * my
        structure *= 2
        structure += c2
        vx += vy
        vx += c2
        structure /= vx  # in place throughout: half of the time is that of the memory
        if scale == scales - 1:
            structure *= (2 * mx * my + c1) / (mx * mx + my * my + c1)
        result *= np.clip(structure.mean((1, 2)), 0, None) ** weight
        x, y = _halved(x), _halved(y)
    return result


@dataclass(frozen=True)
class Diversity:
    """Mean MS-SSIM of random pairs of one set; higher is less diverse, 1 is one image over and over.

    Attributes:
        similarity: the mean; its interval is normal, and without width where there is one pair.
        pairs: number of disjoint pairs that were compared.
        scales: number of scales of the measure.
    """

    similarity: Estimate
    pairs: int
    scales: int


def diversity(
    images: ImageStack, bits: int, *, pairs: int = 1000, seed: int = 0, groups: np.ndarray | None = None
) -> Diversity:
    """Compute the mean MS-SSIM between random images of a set (Odena 2017; Karras 2018, section 5).

    No image is in two pairs, so that the pairs are independent and the interval is simply that of their mean. One set
    is judged by the other's value: mammograms share their outline and a black background, and so are alike by nature.

    Args:
        images, bits: (n, h, w), unsigned integers in 0 ... 2^bits - 1, of which one pair is in memory.
        pairs: largest number of pairs; there are no more than n / 2.
        seed: random seed of the pairs.
        groups: (n,) patients; pairs of one patient are left out.
    """
    check_images(images, least=2)
    n = images.shape[0]
    chosen = np.random.default_rng(seed).permutation(n)[: n // 2 * 2].reshape(-1, 2)
    if groups is not None:
        check_lengths(images=images, patients=groups)
        patients = np.asarray(groups)
        chosen = chosen[patients[chosen[:, 0]] != patients[chosen[:, 1]]]
        if not len(chosen):
            raise ParameterError("All images are of one patient; diversity needs pairs of two patients.")
    chosen = chosen[:pairs]
    top = 2**bits - 1
    values = np.array([float(ms_ssim(*(np.asarray(images[int(i)])[None] / top for i in pair))[0]) for pair in chosen])
    spread = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    mean = float(values.mean())
    similarity = Estimate(mean, mean - spread, mean + spread)
    return Diversity(similarity, len(values), similarity_scales(*images.shape[1:]))
