"""Bright compact structures, calcifications and markers, counted in real and in synthetic images.

The paper says that the generator "strongly resisted producing these structures" and gives no number. Spots are found as
maxima of the scale-normalized Laplacian of Gaussian (Lindeberg 1998, Int J Comput Vision 30:79), which gives a size to
each; what is drawn out is a vessel or a strand and not counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage, stats

from mammogan.artifacts.facts import oriented
from mammogan.data.segmentation import breast_mask

FIELD_MM = 220.0  # height of the image where no pixel spacing is known: that of a large detector less its margin
DIAMETERS = (0.5, 5.0)  # millimeters
STEP = 2**0.5  # between two scales
CONTRAST = 0.06  # gray, of full range, above the surroundings
NOISE = 6.0  # times the robust spread of the filter's answers in the same breast
ROUND = 0.5  # smallest ratio of the two curvatures: 1 is round, 0 a line
COLUMNS = ["image", "y_mm", "x_mm", "diameter_mm", "contrast", "brightness"]


def scales(height: int, mm_per_pixel: float) -> np.ndarray:
    """Standard deviations (pixels) of the filters: of the diameters wanted, those that the grid resolves.

    A disc of diameter d answers best at sigma = d / (2 sqrt 2). Below .7 pixels a spot is a single pixel.
    """
    smallest, largest = (d / (2 * np.sqrt(2)) / mm_per_pixel for d in DIAMETERS)
    smallest, largest = max(smallest, 0.7), max(largest, 0.7 * STEP)
    count = max(round(np.log(largest / smallest) / np.log(STEP)) + 1, 2)
    return smallest * STEP ** np.arange(count)


def find_blobs(image: np.ndarray, mm_per_pixel: float) -> pd.DataFrame:
    """Bright compact structures in the breast of one image.

    Near the skin and the picture's edges nothing is counted (within one and a half diameters of the spot), since every
    edge looks like half a spot.

    Args:
        image: (h, w) in [0, 1].
        mm_per_pixel: at the detector.

    Returns:
        a row a spot: y_mm, x_mm (from the upper left corner, chest wall at the left), diameter_mm, contrast (gray above
        the ring around it) and brightness (gray of its middle).
    """
    image = oriented(np.asarray(image, np.float32))
    mask = breast_mask(image)
    sigmas = scales(image.shape[0], mm_per_pixel)
    # Beyond the edges the image is mirrored, so that an edge gives no answer of its own.
    answers = np.stack([-(s**2) * ndimage.gaussian_laplace(image, s, mode="reflect") for s in sigmas])
    # One more scale at each end is a neighbor: a spot must be largest among 26 places.
    peak = (answers == ndimage.maximum_filter(answers, 3, mode="nearest")) & (answers > 0)
    padded = np.pad(mask, 1, constant_values=False)
    distance = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    rows = []
    for level, sigma in enumerate(sigmas):
        valid = distance > 3 * np.sqrt(2) * sigma
        if valid.sum() < 16:
            continue
        answer = answers[level]
        spread = 1.4826 * float(np.median(np.abs(answer[valid] - np.median(answer[valid]))))
        radius = np.sqrt(2) * sigma
        found = peak[level] & valid & (answer > max(NOISE * spread, 0.3 * CONTRAST))
        if not found.any():
            continue
        found &= _roundness(image, sigma) >= ROUND
        for y, x in zip(*np.nonzero(found), strict=True):
            reach = int(np.ceil(2.2 * radius)) + 1
            box = (slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1))
            part = image[box]
            from_spot = np.hypot(
                np.arange(part.shape[0])[:, None] - (y - box[0].start),
                np.arange(part.shape[1])[None, :] - (x - box[1].start),
            )
            middle = float(part[from_spot <= max(0.6 * radius, 0.5)].mean())
            ring = part[(from_spot > 1.3 * radius + 0.5) & (from_spot <= 2.2 * radius + 0.5)]
            contrast = middle - float(np.median(ring))
            if contrast >= CONTRAST:
                rows.append((y, x, radius, contrast, middle))
    kept = _without_overlap(rows)
    return pd.DataFrame(
        [
            {
                "y_mm": (y + 0.5) * mm_per_pixel,
                "x_mm": (x + 0.5) * mm_per_pixel,
                "diameter_mm": 2 * radius * mm_per_pixel,
                "contrast": contrast,
                "brightness": middle,
            }
            for y, x, radius, contrast, middle in kept
        ],
        columns=COLUMNS[1:],
    )


def _roundness(image: np.ndarray, sigma: float) -> np.ndarray:
    """Smaller over larger curvature of the smoothed image, (h, w): 1 round, 0 a line, below 0 a saddle."""
    yy, xx, xy = (ndimage.gaussian_filter(image, sigma, order=order) for order in ((2, 0), (0, 2), (1, 1)))
    root = np.hypot((yy - xx) / 2, xy)
    strong, weak = (yy + xx) / 2 - root, (yy + xx) / 2 + root
    return np.where(strong < 0, weak / np.where(strong < 0, strong, 1), 0)


def _without_overlap(rows: list[tuple]) -> list[tuple]:
    """Of spots that overlap, the one with most contrast."""
    kept: list[tuple] = []
    for row in sorted(rows, key=lambda r: -r[3]):
        if all(np.hypot(row[0] - k[0], row[1] - k[1]) > max(row[2], k[2]) for k in kept):
            kept.append(row)
    return kept


def count_blobs(images: Any, bits: int, spacing_mm: np.ndarray | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """Spots of every image of a set.

    Args:
        images: (n, h, w), unsigned integers; a NumPy or Zarr array.
        bits: of the gray grid.
        spacing_mm: (n,) of one pixel of these images; where it is not known (NaN or None) the height counts as
            `FIELD_MM`, and sizes are relative.

    Returns:
        a row a spot with the column image, and the number of spots of each image, (n,).
    """
    n, h = images.shape[:2]
    spacing = np.full(n, np.nan) if spacing_mm is None else np.asarray(spacing_mm, float)
    spacing = np.where(np.isfinite(spacing), spacing, FIELD_MM / h)
    tables = []
    counts = np.zeros(n, int)
    for i in range(n):
        found = find_blobs(np.asarray(images[i]).astype(np.float32) / (2**bits - 1), float(spacing[i]))
        counts[i] = len(found)
        if len(found):
            tables.append(found.assign(image=i)[COLUMNS])
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS, dtype=float)
    return table, counts


def compare_blobs(
    real: np.ndarray,
    synthetic: np.ndarray,
    patients: np.ndarray | None = None,
    *,
    seed: int = 0,
    bootstraps: int = 1000,
) -> pd.DataFrame:
    """Spots an image, and images with a spot, in both sets, with 95 % intervals.

    Args:
        real, synthetic: (n,) spots of each image.
        patients: (n,) of the real images; they are drawn together, since two views show the same spots.
        seed: of the bootstrap.
        bootstraps: resamples.

    Returns:
        rows "real", "synthetic", "ratio" (synthetic over real; NaN where no real image has a spot); columns images,
        mean, mean_low, mean_high, share, share_low, share_high. Means by percentile bootstrap, over patients where they
        are known; shares exact, which takes images of one patient as independent.
    """
    rng = np.random.default_rng(seed)
    groups = np.arange(len(real)) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    size = np.bincount(groups)
    total = np.bincount(groups, weights=real)
    rows: dict[str, dict[str, float]] = {}
    draws = {}
    for name, sums, sizes in (("real", total, size), ("synthetic", synthetic, np.ones(len(synthetic)))):
        picks = rng.integers(len(sums), size=(bootstraps, len(sums)))
        draws[name] = np.asarray(sums)[picks].sum(1) / sizes[picks].sum(1)
        counts = real if name == "real" else synthetic
        having = int((counts > 0).sum())
        low, high = stats.binomtest(having, len(counts)).proportion_ci(method="exact")
        rows[name] = {
            "images": len(counts),
            "mean": float(counts.mean()),
            "mean_low": float(np.quantile(draws[name], 0.025)),
            "mean_high": float(np.quantile(draws[name], 0.975)),
            "share": having / len(counts),
            "share_low": float(low),
            "share_high": float(high),
        }
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = draws["synthetic"] / draws["real"]
    ratio = ratio[np.isfinite(ratio)]
    known = rows["real"]["mean"] > 0 and ratio.size
    rows["ratio"] = {
        "images": np.nan,
        "mean": rows["synthetic"]["mean"] / rows["real"]["mean"] if known else np.nan,
        "mean_low": float(np.quantile(ratio, 0.025)) if known else np.nan,
        "mean_high": float(np.quantile(ratio, 0.975)) if known else np.nan,
    }
    return pd.DataFrame(rows).T.rename_axis("set")
