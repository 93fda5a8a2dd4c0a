"""Bright compact structures, calcifications and markers, counted in real and in synthetic images.

The paper says that the generator "strongly resisted producing these structures" and gives no number. Blobs are maxima
of the scale-normalized Laplacian of Gaussian (Lindeberg 1998, Int J Comput Vision 30:79), which gives a size to each;
elongated structures, vessels and strands, are not counted. Columns and files of the tables call a blob a spot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage, stats

from mammogan.data.segmentation import breast_mask, oriented
from mammogan.metrics.resampling import numbered
from mammogan.metrics.view_agreement import quantiles
from mammogan.types import ImageStack

FIELD_MM = 220.0  # height of the image where no pixel spacing is known: that of a large detector less its margin
DIAMETERS = (0.5, 5.0)  # millimeters
STEP = 2**0.5  # between two scales
CONTRAST = 0.06  # gray, of full range, above the surroundings
NOISE = 6.0  # times the robust spread of the filter's answers in the same breast
ROUND = 0.5  # smallest ratio of the two curvatures: 1 is round, 0 a line
BOOTSTRAPS = 1000
COLUMNS = ["image", "y_mm", "x_mm", "diameter_mm", "contrast", "brightness"]


class Blob(NamedTuple):
    """Position and radius of a blob in pixels, its gray above the ring around it, and the gray of its middle."""

    y: int
    x: int
    radius: float
    contrast: float
    brightness: float


def scales(height: int, mm_per_pixel: float) -> np.ndarray:
    """Return the standard deviations of the filters, pixels: of `DIAMETERS`, those that the grid resolves.

    A disc of diameter d answers best at sigma = d / (2 sqrt 2). Below .7 pixels a blob is a single pixel.
    """
    smallest, largest = (d / (2 * np.sqrt(2)) / mm_per_pixel for d in DIAMETERS)
    smallest, largest = max(smallest, 0.7), max(largest, 0.7 * STEP)
    count = max(round(np.log(largest / smallest) / np.log(STEP)) + 1, 2)
    return smallest * STEP ** np.arange(count)


def find_blobs(image: np.ndarray, mm_per_pixel: float) -> pd.DataFrame:
    """Find bright compact structures in the breast of an image, (h, w) in [0, 1].

    Near the skin and the picture's edges nothing is counted (within one and a half diameters of the blob), since every
    edge looks like half a blob.

    Returns:
        one row per blob: y_mm, x_mm (from the upper left corner, chest wall at the left), diameter_mm, contrast (gray
        above the ring around it) and brightness (gray of its middle).
    """
    image = oriented(np.asarray(image, np.float32))
    mask = breast_mask(image)
    sigmas = scales(image.shape[0], mm_per_pixel)
    # Beyond the edges the image is mirrored, so that an edge gives no answer of its own.
    answers = np.stack([-(s**2) * ndimage.gaussian_laplace(image, s, mode="reflect") for s in sigmas])
    # The next scale at each end is a neighbor too: a blob must be the largest of 26 neighbors.
    peak = (answers == ndimage.maximum_filter(answers, 3, mode="nearest")) & (answers > 0)
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    blobs = []
    for level, sigma in enumerate(sigmas):
        valid = distance > 3 * np.sqrt(2) * sigma
        if valid.sum() < 16:
            continue
        answer = answers[level]
        spread = 1.4826 * float(np.median(np.abs(answer[valid] - np.median(answer[valid]))))
        candidates = peak[level] & valid & (answer > max(NOISE * spread, 0.3 * CONTRAST))
        if not candidates.any():  # the costly part can be spared
            continue
        candidates &= _roundness(image, sigma) >= ROUND
        blobs += [_measured(image, y, x, np.sqrt(2) * sigma) for y, x in zip(*np.nonzero(candidates), strict=True)]
    blobs = _without_overlap([blob for blob in blobs if blob.contrast >= CONTRAST])
    table = pd.DataFrame(blobs, columns=Blob._fields, dtype=float)
    millimeters = {"y_mm": table["y"] + 0.5, "x_mm": table["x"] + 0.5, "diameter_mm": 2 * table["radius"]}
    return table.assign(**{name: length * mm_per_pixel for name, length in millimeters.items()})[COLUMNS[1:]]


def _measured(image: np.ndarray, y: int, x: int, radius: float) -> Blob:
    reach, (h, w) = int(np.ceil(2.2 * radius)) + 1, image.shape
    box = (slice(max(y - reach, 0), min(y + reach + 1, h)), slice(max(x - reach, 0), min(x + reach + 1, w)))
    part, (rows, columns) = image[box], np.ogrid[box]
    from_center = np.hypot(rows - y, columns - x)
    middle = float(part[from_center <= max(0.6 * radius, 0.5)].mean())
    ring = part[(from_center > 1.3 * radius + 0.5) & (from_center <= 2.2 * radius + 0.5)]
    return Blob(y, x, radius, middle - float(np.median(ring)), middle)


def _roundness(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return smaller over larger curvature of the smoothed image, (h, w): 1 round, 0 a line, below 0 a saddle."""
    yy, xx, xy = (ndimage.gaussian_filter(image, sigma, order=order) for order in ((2, 0), (0, 2), (1, 1)))
    root = np.hypot((yy - xx) / 2, xy)
    strong, weak = (yy + xx) / 2 - root, (yy + xx) / 2 + root
    return np.where(strong < 0, weak / np.where(strong < 0, strong, 1), 0)


def _without_overlap(blobs: list[Blob]) -> list[Blob]:
    """Keep, of blobs that overlap, the one with most contrast."""
    kept: list[Blob] = []
    for blob in sorted(blobs, key=lambda blob: -blob.contrast):
        if all(np.hypot(blob.y - k.y, blob.x - k.x) > max(blob.radius, k.radius) for k in kept):
            kept.append(blob)
    return kept


def count_blobs(images: ImageStack, bits: int, spacing_mm: np.ndarray | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """Find the blobs of every image of a set.

    Args:
        images, bits: (n, h, w), unsigned integers in 0 ... 2^bits - 1.
        spacing_mm: (n,) size of one pixel of these images; where it is not known (NaN or None) the height counts as
            `FIELD_MM`, and sizes are relative.

    Returns:
        one row per blob, as from `find_blobs`, with the column image; and the number of blobs of each image, (n,).
    """
    n, h = images.shape[:2]
    spacing = np.full(n, np.nan) if spacing_mm is None else np.asarray(spacing_mm, float)
    spacing = np.where(np.isfinite(spacing), spacing, FIELD_MM / h)
    gray = (np.asarray(images[i]).astype(np.float32) / (2**bits - 1) for i in range(n))
    tables = [
        find_blobs(image, float(mm)).assign(image=i) for i, (image, mm) in enumerate(zip(gray, spacing, strict=True))
    ]
    return pd.concat(tables, ignore_index=True)[COLUMNS], np.array([len(table) for table in tables])


def blob_depths(images: ImageStack, bits: int) -> np.ndarray:
    """Return the distances of the blobs of each image from the chest wall, shares of its height, as `quantiles`.

    Images are as for `count_blobs`, `FIELD_MM` high. (n, QUANTILES); NaN where an image has no blob.
    """
    table, counts = count_blobs(images, bits)
    groups = np.split(table["x_mm"].to_numpy(float) / FIELD_MM, np.cumsum(counts)[:-1])
    return np.stack([quantiles(depths) for depths in groups])


def compare_blobs(
    real: np.ndarray, synthetic: np.ndarray, patients: np.ndarray | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Compare blobs per image, and images with a blob, of both sets, with 95 % intervals.

    Args:
        real, synthetic: (n,) number of blobs of each image.
        patients: (n,) patients of the real images, drawn together by `seed`, since two views show the same blobs.

    Returns:
        rows "real", "synthetic", "ratio" (synthetic over real; NaN where no real image has a blob); columns images,
        mean, mean_low, mean_high, share, share_low, share_high. Means by percentile bootstrap, over patients where they
        are known; shares exact, with images of one patient as if they were independent.
    """
    rng = np.random.default_rng(seed)
    groups = np.arange(len(real)) if patients is None else numbered(patients)
    clusters = {
        "real": (real, np.bincount(groups, weights=real), np.bincount(groups)),
        "synthetic": (synthetic, synthetic, np.ones(len(synthetic))),
    }
    rows: dict[str, dict[str, float]] = {}
    draws = {}
    for name, (counts, sums, sizes) in clusters.items():
        picks = rng.integers(len(sums), size=(BOOTSTRAPS, len(sums)))
        draws[name] = np.asarray(sums)[picks].sum(1) / sizes[picks].sum(1)
        having = int((counts > 0).sum())
        low, high = stats.binomtest(having, len(counts)).proportion_ci(method="exact")
        rows[name] = {"images": len(counts), **_with_quantiles(float(counts.mean()), draws[name])}
        rows[name] |= {"share": having / len(counts), "share_low": float(low), "share_high": float(high)}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = draws["synthetic"] / draws["real"]
    ratio = ratio[np.isfinite(ratio)]
    mean = rows["synthetic"]["mean"] / rows["real"]["mean"] if rows["real"]["mean"] > 0 and ratio.size else np.nan
    rows["ratio"] = {"images": np.nan, **_with_quantiles(mean, ratio if np.isfinite(mean) else np.array([np.nan]))}
    return pd.DataFrame(rows).T.rename_axis("set")


def _with_quantiles(mean: float, draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"mean": mean, "mean_low": float(low), "mean_high": float(high)}
