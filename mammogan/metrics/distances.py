"""Distances that look at pixels: sliced Wasserstein by scale, and structural similarity as a measure of diversity.

They see what moments cannot, the arrangement of gray levels: texture and sharpness by scale, and whether the images of
a set differ from one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import convolve1d

from mammogan.metrics.resampling import ResamplingDesign, scored
from mammogan.metrics.validation import check_images

PATCH = 7  # pixels a side (Karras 2018, section 5)
PATCHES = 128  # a level of an image
PROJECTIONS = 512
COARSEST = 16  # pixels of the shorter side at the last level
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16  # Burt & Adelson 1983, IEEE Trans Commun 31:532, a = 3/8
WINDOW, SIGMA = 11, 1.5  # of structural similarity (Wang 2004)
NORMALIZATIONS = {
    "real": "mean and standard deviation of the real set's patches",
    "own": "each set's own mean and standard deviation, as in the original",
}


def blocks(images: Any, bits: int, block: int) -> Iterator[np.ndarray]:
    """Images (b, h, w) as float32 in [0, 1], a block at a time; `images` is a NumPy or Zarr array of integers."""
    top = np.float32(2**bits - 1)
    for start in range(0, images.shape[0], block):
        yield np.asarray(images[start : start + block]).astype(np.float32) / top


def _smooth(images: np.ndarray, gain: float = 1.0) -> np.ndarray:
    for axis in (1, 2):
        images = convolve1d(images, BINOMIAL * gain, axis=axis, mode="mirror")
    return images


def laplacian_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes of the levels of a Laplacian pyramid, fine to coarse: halved while the shorter side stays at 16 or more.

    Raises:
        ValueError: a side is shorter than a patch.
    """
    if min(height, width) < PATCH:
        raise ValueError(f"Images of {height} x {width} are smaller than a patch of {PATCH} x {PATCH} pixels.")
    sizes = [(height, width)]
    while min(-(-height // 2), -(-width // 2)) >= COARSEST:
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return sizes


def laplacian_pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Band-pass images, fine to coarse, the last one the low-pass rest (Burt & Adelson 1983).

    Args:
        images: (b, h, w), float; any rectangle.

    Returns:
        arrays (b, h_l, w_l), with the sizes of `laplacian_sizes`. Enlarged and added up, they give the images back.
    """
    levels = []
    for _ in laplacian_sizes(*images.shape[1:])[1:]:
        coarse = _smooth(images)[:, ::2, ::2]
        levels.append(images - enlarge(coarse, images.shape[1:]))
        images = coarse
    return [*levels, images]


def enlarge(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Twice the size, (b, *shape): zeros between the pixels, then the same filter with a gain to make up for them."""
    fine = np.zeros((len(coarse), *shape), coarse.dtype)
    fine[:, ::2, ::2] = coarse
    return _smooth(fine, gain=2.0)


@dataclass(frozen=True)
class Patches:
    """Random patches of a set of images at the levels of a Laplacian pyramid.

    Attributes:
        sizes: (height, width) of the levels, fine to coarse.
        levels: one array (n, patches, 49) a level, float32.
        seed: of the places.
    """

    sizes: list[tuple[int, int]]
    levels: list[np.ndarray]
    seed: int

    def __len__(self) -> int:
        return len(self.levels[0])


def patches(images: Any, bits: int, *, count: int = PATCHES, seed: int = 0, block: int = 16) -> Patches:
    """Draw 7 x 7 patches at random places of each level of each image (Karras 2018, section 5).

    The places depend on the seed, the level and the position of the image in the set, not on `block`. Two sets drawn
    with one seed have their patches at the same places, which takes the places' chance out of a comparison. An image
    costs 25 kB a level in memory.

    Args:
        images: (n, h, w), unsigned integers in 0 ... 2^bits - 1; a NumPy or Zarr array, read `block` images at a time.
        bits: of the gray grid.
        count: patches a level of an image.
        seed: of the places.
        block: images in memory.

    Raises:
        ValueError: no integer images, none at all, or smaller than a patch.
    """
    check_images(images)
    sizes = laplacian_sizes(*images.shape[1:])
    draws = [np.random.default_rng([seed, level]) for level in range(len(sizes))]
    found = [np.empty((images.shape[0], count, PATCH**2), np.float32) for _ in sizes]
    start = 0
    for batch in blocks(images, bits, block):
        for level, (bands, rng) in enumerate(zip(laplacian_pyramid(batch), draws, strict=True)):
            b, h, w = bands.shape
            place = (rng.random((b, count, 2)) * (h - PATCH + 1, w - PATCH + 1)).astype(int)
            windows = np.lib.stride_tricks.sliding_window_view(bands, (PATCH, PATCH), axis=(1, 2))
            taken = windows[np.arange(b)[:, None], place[..., 0], place[..., 1]]
            found[level][start : start + b] = taken.reshape(b, count, -1)
        start += len(batch)
    return Patches(sizes, found, seed)


def sliced_wasserstein(
    real: np.ndarray, synthetic: np.ndarray, *, projections: int = PROJECTIONS, seed: int = 0
) -> dict[str, float]:
    """Sliced Wasserstein distance of two sets of patches of one level, times 1000 (Rabin 2011; Karras 2018, section 5).

    Patches are normalized, projected onto random directions, sorted, and compared in absolute value. The original
    normalizes each set by its own mean and standard deviation, which hides a difference of brightness at the coarsest
    level and of contrast at every level. By the real set's statistics both are seen.

    Args:
        real, synthetic: (n, patches, 49) of one level, see `Patches`. Of the larger set the first images are
            taken, as many as the smaller has: give them in random order.
        projections: random directions.
        seed: of the directions.

    Returns:
        a distance by each of `NORMALIZATIONS`; 0 for identical sets. Where all patches are one value, the unit of gray
        takes the place of their standard deviation.

    Raises:
        ValueError: no image.
    """
    n = min(len(real), len(synthetic))
    if n == 0:
        raise ValueError("A sliced Wasserstein distance needs one image or more in each set.")
    first, second = (np.asarray(x[:n], np.float32).reshape(-1, x.shape[-1]) for x in (real, synthetic))
    own = [(float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64)) or 1.0) for x in (first, second)]
    scales = {"real": (own[0], own[0]), "own": (own[0], own[1])}
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((first.shape[1], projections))
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    total = dict.fromkeys(NORMALIZATIONS, 0.0)
    for start in range(0, projections, 32):
        part = directions[:, start : start + 32]
        a, b = (np.sort(part.T @ x.T, axis=1) for x in (first, second))
        for name, pair in scales.items():
            # Normalizing after projection and sorting is the same, and touches fewer numbers.
            x, y = (
                (values - mean * part.sum(0)[:, None]) / np.float32(sd)
                for values, (mean, sd) in zip((a, b), pair, strict=True)
            )
            total[name] += float(np.abs(x - y).mean(dtype=np.float64)) * part.shape[1]
    return {name: 1000 * value / projections for name, value in total.items()}


def sliced_wasserstein_table(
    real: Any,
    synthetic: Any,
    bits: int,
    plan: ResamplingDesign | None = None,
    *,
    count: int = PATCHES,
    projections: int = PROJECTIONS,
) -> pd.DataFrame:
    """Sliced Wasserstein distance by level of the pyramid and by normalization, times 1000, beside real against real.

    Args:
        real, synthetic: (n, h, w), unsigned integer images of one size; NumPy or Zarr arrays.
        bits: of the gray grid.
        plan: which images are compared, and the draws; all images and eight draws each, where it is not given.
        count, projections: patches a level of an image, and directions; draws take a quarter of the directions.

    Returns:
        one row a level and normalization: size ("40 x 32"), normalization, and the columns of `resampling.scored`;
        lower is closer, and the ceiling is what two sets of real images have.

    Raises:
        ValueError: images that differ in size, or too few of them.
    """
    if tuple(real.shape[1:]) != tuple(synthetic.shape[1:]):
        raise ValueError(f"Images of {real.shape[1:]} and {synthetic.shape[1:]} pixels differ; compare one size.")
    plan = plan or ResamplingDesign(len(real), len(synthetic), draws=8, splits=8)
    a, b = (patches(images, bits, count=count, seed=plan.seed) for images in (real, synthetic))
    rows = []
    for (h, w), first, second in zip(a.sizes, a.levels, b.levels, strict=True):
        few, many = (
            partial(sliced_wasserstein, projections=number, seed=plan.seed)
            for number in (max(projections // 4, 1), projections)
        )
        limits = dict.fromkeys(NORMALIZATIONS, (0.0, np.inf))
        table = scored(first, second, few, plan, whole=many, bounds=limits)
        table = table.rename(columns={"measure": "normalization"})
        table.insert(0, "size", f"{h} x {w}")
        rows.append(table)
    return pd.concat(rows, ignore_index=True)
