"""Sliced Wasserstein distance by scale: texture and sharpness, which the moments of gray levels do not show."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from mammogan.metrics.filters import filter_images
from mammogan.metrics.resampling import ResamplingDesign, scored
from mammogan.metrics.validation import check_at_least, check_images, check_same_size
from mammogan.types import ImageStack, Size

PATCH = 7  # pixels per side (Karras 2018, section 5)
PATCHES = 128  # per level of an image
PROJECTIONS = 512
COARSEST = 16  # pixels of the shorter side at the last level
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16  # Burt & Adelson 1983, IEEE Trans Commun 31:532, a = 3/8
NORMALIZATIONS = {
    "real": "mean and standard deviation of the real set's patches",
    "own": "each set's own mean and standard deviation, as in the original",
}


def blocks(images: ImageStack, bits: int, block: int) -> Iterator[np.ndarray]:
    """Yield unsigned integer images (n, h, w) as float32 in [0, 1], `block` at a time."""
    top = np.float32(2**bits - 1)
    for start in range(0, images.shape[0], block):
        yield np.asarray(images[start : start + block]).astype(np.float32) / top


def _smooth(images: np.ndarray, gain: float = 1.0) -> np.ndarray:
    edge = len(BINOMIAL) // 2
    return filter_images(np.pad(images, ((0, 0), (edge, edge), (edge, edge)), "reflect"), BINOMIAL * gain)


def laplacian_sizes(height: int, width: int) -> list[Size]:
    """Return the sizes of the levels of a Laplacian pyramid, fine to coarse, of images no smaller than a patch.

    A size is halved while the shorter side stays at `COARSEST` pixels or more.
    """
    check_at_least("The shorter side of the images, in pixels,", min(height, width), PATCH)
    sizes = [Size(height, width)]
    while min(-(-height // 2), -(-width // 2)) >= COARSEST:
        height, width = -(-height // 2), -(-width // 2)
        sizes.append(Size(height, width))
    return sizes


def laplacian_pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Return band-pass images, fine to coarse; the last one is the low-pass rest (Burt & Adelson 1983).

    Images (b, h, w), float, any rectangle, give arrays (b, h_l, w_l) with the sizes of `laplacian_sizes`, which,
    enlarged and added up, give the images back.
    """
    levels = []
    for _ in laplacian_sizes(*images.shape[1:])[1:]:
        coarse = _smooth(images)[:, ::2, ::2]
        levels.append(images - enlarge(coarse, images.shape[1:]))
        images = coarse
    return [*levels, images]


def enlarge(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return images of twice the size, (b, *shape): zeros between the pixels, then the filter with a gain for them."""
    fine = np.zeros((len(coarse), *shape), coarse.dtype)
    fine[:, ::2, ::2] = coarse
    return _smooth(fine, gain=2.0)


def patches(images: ImageStack, bits: int, *, count: int = PATCHES, seed: int = 0, block: int = 4) -> list[np.ndarray]:
    """Draw 7 x 7 patches at random positions of each level of each image (Karras 2018, section 5).

    The positions depend on the seed, the level and the row of the image, not on `block`. Two sets drawn with one seed
    have their patches at the same positions, which removes the chance of the positions from a comparison.

    Args:
        images, bits: (n, h, w), unsigned integers in 0 ... 2^bits - 1, read `block` images at a time.
        count: patches per level of an image.
        seed: random seed of the positions.

    Returns:
        one array (n, count, 49) per level, fine to coarse, float32: 25 kB per image and level.
    """
    check_images(images, side=PATCH)
    sizes = laplacian_sizes(*images.shape[1:])
    draws = [np.random.default_rng([seed, level]) for level in range(len(sizes))]
    levels = [np.empty((images.shape[0], count, PATCH**2), np.float32) for _ in sizes]
    start = 0
    for batch in blocks(images, bits, block):
        for level, bands, rng in zip(levels, laplacian_pyramid(batch), draws, strict=True):
            b, h, w = bands.shape
            position = (rng.random((b, count, 2)) * (h - PATCH + 1, w - PATCH + 1)).astype(int)
            windows = np.lib.stride_tricks.sliding_window_view(bands, (PATCH, PATCH), axis=(1, 2))
            cut = windows[np.arange(b)[:, None], position[..., 0], position[..., 1]]
            level[start : start + b] = cut.reshape(b, count, -1)
        start += len(batch)
    return levels


def sliced_wasserstein(
    real: np.ndarray, synthetic: np.ndarray, *, projections: int = PROJECTIONS, seed: int = 0
) -> dict[str, float]:
    """Compute the sliced Wasserstein distance of two sets of patches, times 1000 (Rabin 2011; Karras 2018, section 5).

    Patches are normalized, projected onto random directions, sorted, and compared in absolute value. The original
    normalizes each set by its own mean and standard deviation, which hides a difference of brightness at the coarsest
    level and of contrast at every level. By the real set's statistics both are seen.

    Args:
        real, synthetic: (n, count, 49) of one level, see `patches`. Of the larger set the first images are used, as
            many as the smaller has: give them in random order.
        projections, seed: number of random directions, and their seed.

    Returns:
        one distance per name in `NORMALIZATIONS`; 0 for identical sets. Where all patches are one value, the unit of
        gray replaces their standard deviation.
    """
    n = min(len(real), len(synthetic))
    check_at_least("The number of images of a set", n, 1)
    first, second = (np.asarray(x[:n], np.float32).reshape(-1, x.shape[-1]) for x in (real, synthetic))
    own = [(float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64)) or 1.0) for x in (first, second)]
    scales = {"real": own[0], "own": own[1]}  # of the synthetic set

    def normalized(values: np.ndarray, scale: tuple[float, float], part: np.ndarray) -> np.ndarray:
        result = values - scale[0] * part.sum(0)[:, None]
        result /= np.float32(scale[1])
        return result

    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((first.shape[1], projections))
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    total = dict.fromkeys(NORMALIZATIONS, 0.0)
    for start in range(0, projections, 32):
        part = directions[:, start : start + 32]
        a, b = (part.T @ x.T for x in (first, second))
        for values in (a, b):
            values.sort(axis=1)
        # Normalizing after projection and sorting is the same, and touches fewer numbers.
        x = normalized(a, own[0], part)
        for name, scale in scales.items():
            apart = normalized(b, scale, part)
            np.abs(np.subtract(x, apart, out=apart), out=apart)
            total[name] += float(apart.mean(dtype=np.float64)) * part.shape[1]
    return {name: 1000 * value / projections for name, value in total.items()}


def blockwise_distance(real: list[np.ndarray], synthetic: list[np.ndarray]) -> np.ndarray:
    """Compute the distance of a large set from a small one: the mean over blocks as large as the small one.

    Args:
        real, synthetic: patches of each level, see `patches`; the synthetic set has as many images or more.

    Returns:
        one distance (x 1000) per level, normalized by the real set; see `sliced_wasserstein`.
    """
    n, count = len(real[0]), len(synthetic[0])
    check_at_least("The number of synthetic images", count, n)
    starts = range(0, count - n + 1, n)
    each = [[sliced_wasserstein(a, b[k : k + n])["real"] for k in starts] for a, b in zip(real, synthetic, strict=True)]
    return np.mean(each, axis=1)


def sliced_wasserstein_table(
    real: ImageStack,
    synthetic: ImageStack,
    bits: int,
    design: ResamplingDesign | None = None,
    *,
    count: int = PATCHES,
    projections: int = PROJECTIONS,
) -> pd.DataFrame:
    """Compute the sliced Wasserstein distance, times 1000, by level of the pyramid and by normalization.

    Args:
        real, synthetic, bits: (n, h, w), images of one size, unsigned integers in 0 ... 2^bits - 1.
        design: images that are compared, and the draws; None compares all images with eight draws and splits.
        count: patches per level of an image.
        projections: number of directions; draws use a quarter of them.

    Returns:
        one row per level and normalization: size ("40 x 32"), normalization, and the columns of `resampling.scored`;
        lower is closer, and the ceiling is the distance between two sets of real images.
    """
    check_same_size(real, synthetic)
    design = design or ResamplingDesign(len(real), len(synthetic), draws=8, splits=8)
    a, b = (patches(images, bits, count=count, seed=design.seed) for images in (real, synthetic))
    few = partial(sliced_wasserstein, projections=max(projections // 4, 1), seed=design.seed)
    many = partial(sliced_wasserstein, projections=projections, seed=design.seed)
    rows = []
    for size, first, second in zip(laplacian_sizes(*real.shape[1:]), a, b, strict=True):
        limits = dict.fromkeys(NORMALIZATIONS, (0.0, np.inf))
        table = scored(first, second, few, design, whole=many, bounds=limits)
        table = table.rename(columns={"measure": "normalization"})
        table.insert(0, "size", str(size))
        rows.append(table)
    return pd.concat(rows, ignore_index=True)
