"""The first five moments of an image's grey levels: the paper's five numbers for a million pixels (Figure 3)."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

MOMENT_NAMES = ("M1", "M2", "M3", "M4", "M5")
PAIRS = tuple(combinations(range(5), 2))  # the ten pairs of Figure 3
BAND = 32  # rows whose background is cut off together


def moments_of_counts(counts: np.ndarray) -> np.ndarray:
    """Moments of grey levels from how often each occurs, in units of the full range.

    M1 mean; M2 variance (1/n); M3 skewness mu3 / mu2^1.5; M4 kurtosis mu4 / mu2^2, 3 for a Gaussian; M5 hyperskewness
    mu5 / mu2^2.5. Grey 0 ... 2^bits - 1 counts as 0 ... 1, so that M1 and M2 do not depend on the bit depth.

    Args:
        counts: (..., 2^bits), how many pixels have each level.

    Returns:
        (..., 5), float64. An image of one grey level has no shape: its M3, M4 and M5 are 0.
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


def grey_counts(image: np.ndarray, bits: int) -> np.ndarray:
    """How often each grey level occurs in an image; (2^bits,), exact.

    To count one level again and again is slow, and half a mammogram is background: what is 0 on the sides of a band of
    rows is not counted pixel by pixel. PyTorch counts the rest in less than half the time of NumPy, which would first
    make 64 bits of each pixel.

    Args:
        image: (h, w), unsigned integers.
        bits: of the grey grid.

    Raises:
        ValueError: a grey level beyond the grid.
    """
    import torch

    height, width = image.shape
    whole = height // BAND * BAND
    rest = image[whole:].max(0, keepdims=True, initial=0)
    most = np.concatenate([image[:whole].reshape(-1, BAND, width).max(1, initial=0), rest])
    if int(most.max()) >= 2**bits:
        raise ValueError(f"A grey level is {int(most.max())}, beyond {bits} bits; compare images of one bit depth.")
    filled = most > 0
    left = filled.argmax(1)
    right = np.where(filled.any(1), width - filled[:, ::-1].argmax(1), left)
    parts = [
        image[start : start + BAND, first:last]
        for start, first, last in zip(range(0, height + 1, BAND), left.tolist(), right.tolist(), strict=True)
    ]
    inside = np.empty(sum(part.size for part in parts), np.min_scalar_type(-(2**bits)))
    taken = 0
    for part in parts:
        inside[taken : taken + part.size].reshape(part.shape)[...] = part
        taken += part.size
    counts = torch.bincount(torch.from_numpy(inside), minlength=2**bits).numpy()
    counts[0] += image.size - taken
    return counts


def image_moments(images: Any, bits: int, block: int = 64) -> np.ndarray:
    """Moments of every image of a set.

    Args:
        images: (n, h, w), unsigned integers in 0 ... 2^bits - 1; a NumPy or Zarr array, read `block` images at a time.
        bits: of the grey grid, the same for both sets that are to be compared.
        block: images in memory.

    Returns:
        (n, 5), float64; see `moments_of_counts`.

    Raises:
        ValueError: no integer images, or a grey level beyond the grid.
    """
    if len(images.shape) != 3 or not np.issubdtype(images.dtype, np.unsignedinteger):
        raise ValueError("Moments are computed on unsigned integer images (n, h, w); quantize them to a grey grid.")
    if 0 in images.shape:
        raise ValueError("There is no image to compute moments of.")
    found = np.empty((images.shape[0], 5))
    for start in range(0, images.shape[0], block):
        pixels = np.asarray(images[start : start + block])
        counts = np.stack([grey_counts(image, bits) for image in pixels])
        found[start : start + len(pixels)] = moments_of_counts(counts)
    return found


def check_tables(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two moment tables as float64, or a sentence on what is wrong with them.

    Raises:
        ValueError: not two tables of the same columns, fewer than four rows, or a number that is not finite.
    """
    tables = [np.asarray(table, np.float64) for table in (real, synthetic)]
    for table, name in zip(tables, ("real", "synthetic"), strict=True):
        if table.ndim != 2 or table.shape[1] != tables[0].shape[1]:
            raise ValueError("Two tables of moments with the same columns are needed, one row an image.")
        if len(table) < 4:
            raise ValueError(f"The {name} set has {len(table)} images; at least 4 are needed to compare distributions.")
        if not np.isfinite(table).all():
            raise ValueError(f"The {name} set has a moment that is not a finite number; find the image and drop it.")
    return tables[0], tables[1]
