"""Facts of an image that artifacts change: outline, pectoral muscle, saturation, texture, background, specks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import fft, ndimage, stats
from scipy.spatial import ConvexHull, QhullError

from mammogan.data.geometry import resize
from mammogan.data.segmentation import breast_mask, oriented, pectoral_edge
from mammogan.metrics.distances import blocks
from mammogan.metrics.moments import MOMENT_NAMES, image_moments
from mammogan.types import ImageStack, Progress, Size, no_progress

# The facts that each detector judges; "+" marks those that are suspicious only when they are large.
FACTS: dict[str, tuple[str, ...]] = {
    "outline": ("area", "solidity", "roughness", "contact", "+outside", "+holes"),
    "pectoral": ("corner", "+edge_residual", "edge_slope"),
    "grid": ("+peak", "+lattice"),
    "background": ("+background",),
    "saturation": ("+white", "+black", "+flat"),
    "texture": ("fine", "coarse"),
    "specks": ("+speck", "+specks"),
    "repetition": ("+echo",),
    "border": ("+frame", "+rim"),
}
# The smallest difference that counts, where most real images have exactly none: a background of one gray level in a
# thousand is not a frame, and one of a few in a thousand is not black.
RESOLUTION = {"frame": 1 / 32, "background": 1 / 512, "rim": 1 / 512}
RESOLUTION |= dict.fromkeys(("white", "black", "flat"), 0.01) | dict.fromkeys(("outside", "holes"), 0.005)
THUMBNAIL = Size(20, 16)  # what is left of an image when only its anatomy counts
THUMBNAIL_COLUMNS = [f"t{k}" for k in range(THUMBNAIL.height * THUMBNAIL.width)]
# Second difference along rows of the second difference along columns.
DIAGONAL = np.outer((1, -2, 1), (1, -2, 1)) / np.float32(4)
PATCHES = 4  # that are searched for elsewhere in the image


def image_facts(image: np.ndarray) -> dict[str, float]:
    """Measure the facts of an image (h, w) in [0, 1], 40 x 32 pixels or more, of any laterality.

    Returns every name of `FACTS`, without its sign; lengths are shares of the image's height.
    """
    image = oriented(np.asarray(image, np.float32))
    mask = breast_mask(image)
    facts = _outline(image, mask) | _pectoral(image, mask) | _saturation(image, mask) | _texture(image, mask)
    far = image[~ndimage.binary_dilation(mask, iterations=max(image.shape[0] // 16, 3))]  # from the breast
    facts["background"] = float(np.quantile(far, 0.9)) if far.size else 0.0
    facts["peak"], facts["echo"], facts["rim"] = grid_peak(image), echo(image, mask), rim(image, mask)
    return facts | {name: np.floor(facts[name] / step + 1e-9) * step for name, step in RESOLUTION.items()}


def _outline(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    h, w = image.shape
    area = int(mask.sum())
    if area < 0.01 * h * w:
        # Without a breast, every fact is at the end of its range.
        return {"area": 0.0, "solidity": 0.0, "roughness": 1.0, "contact": 0.0, "outside": 1.0, "holes": 1.0}
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.column_stack([rows + i, columns + j]) for i in (0, 1) for j in (0, 1)])
    try:
        solidity = area / ConvexHull(corners).volume
    except QhullError:
        solidity = 0.0
    filled = ndimage.binary_fill_holes(np.pad(mask, ((0, 0), (1, 0)), constant_values=True))[:, 1:]
    reach = np.where(mask.any(1), w - np.argmax(mask[:, ::-1], axis=1), 0).astype(float)
    lit = np.flatnonzero(mask.any(1))
    profile = reach[lit[0] : lit[-1] + 1]
    # Near its ends the outline runs along the rows, and a step of many pixels is ordinary there.
    inner = slice(len(profile) // 10, len(profile) - len(profile) // 10)
    rough = np.abs(profile - ndimage.gaussian_filter1d(profile, max(h / 32, 1)))[inner]
    bright = image > 0.5 * np.median(image[mask])
    return {
        "area": area / (h * w),
        "solidity": float(solidity),
        # The nipple is the one bump that is expected: the quantile leaves it out.
        "roughness": float(np.quantile(rough, 0.8)) / h if rough.size else 1.0,
        "contact": float(mask[:, : max(w // 32, 1)].any(1).mean()),
        "outside": float((bright & ~ndimage.binary_dilation(mask, iterations=2)).mean()),
        "holes": float((filled & ~mask).sum() / area),
    }


def _pectoral(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Measure the muscle of an MLO view: brightness of the upper corner, and straightness of its edge."""
    h, w = image.shape
    smooth = ndimage.gaussian_filter(image, max(h / 80, 0.5))
    inside = float(np.median(image[mask])) if mask.any() else 0.0
    corner = float(smooth[: max(h // 6, 1), : max(w // 8, 1)].mean())
    y, x = pectoral_edge(smooth, mask)
    if len(y) < 4:
        return {"corner": corner - inside, "edge_residual": 0.0, "edge_slope": 0.0}
    line = stats.theilslopes(x, y)
    residual = float(np.median(np.abs(x - line.intercept - line.slope * y))) / h
    return {"corner": corner - inside, "edge_residual": residual, "edge_slope": float(line.slope)}


def _saturation(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    h = image.shape[0]
    inside = ndimage.binary_erosion(mask, iterations=max(h // 40, 1))
    gray = image[inside] if inside.any() else image.ravel()
    spread = ndimage.maximum_filter(image, 3) - ndimage.minimum_filter(image, 3)
    edge = np.concatenate([image[0], image[-1], image[:, -1]])
    return {
        "white": float((gray >= 0.995).mean()),
        "black": float((gray <= 0.005).mean()),
        "flat": float((spread[inside] <= 1e-6).mean()) if inside.any() else 1.0,
        # A breast may reach the upper and lower edge near the chest wall; a frame is bright all along.
        "frame": float(np.quantile(edge, 0.5)),
    }


def rim(image: np.ndarray, mask: np.ndarray) -> float:
    """Return how much brighter the outermost row or column is than pixels further in, where no breast is near.

    The largest mean over the three sides that are not the chest wall's. Convolutions that see zeros beyond the edge
    leave such a line.
    """
    near = ndimage.binary_dilation(mask, iterations=max(image.shape[0] // 40, 2))
    lines = []
    for turned, covered in ((image, near), (image[::-1], near[::-1]), (image[:, ::-1].T, near[:, ::-1].T)):
        far = ~covered[:4].any(0)
        if far.sum() >= far.size // 8:
            lines.append(float((turned[0] - turned[2:4].mean(0))[far].mean()))
    return max(lines, default=0.0)


def _texture(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Measure contrast inside the breast in two bands, an octave each, log10 of gray; its share along the axes; specks.

    Layers that double the size row by row and column by column leave texture along rows and columns, and little that
    only changes from one diagonal neighbor to the next. The lattice is the fine band over what does, log10. Specks are
    bright and compact, and an opening removes them: their maximum, and the share of the breast with much.
    """
    h = image.shape[0]
    inside = ndimage.binary_erosion(mask, iterations=max(h // 40, 2))
    if inside.sum() < 16:
        return {"fine": -6.0, "coarse": -6.0, "lattice": 0.0, "speck": 0.0, "specks": 0.0}
    blurred = [image, ndimage.gaussian_filter(image, 1.0), ndimage.gaussian_filter(image, 2.0)]
    bands = [(a - b)[inside].std() for a, b in pairwise(blurred)]
    bands.append(ndimage.convolve(image, DIAGONAL)[inside].std())
    fine, coarse, diagonal = (float(np.log10(band + 1e-6)) for band in bands)
    size = 2 * max(h // 60, 1) + 1
    specks = (image - ndimage.grey_opening(image, (size, size)))[inside]
    levels = {"fine": fine, "coarse": coarse, "lattice": fine - diagonal}
    return levels | {"speck": float(specks.max()), "specks": float(np.mean(specks > 0.1))}


def grid_peak(image: np.ndarray) -> float:
    """Return the power at the frequencies that an up-sampling by 2 leaves, over the power around, log10.

    Doubling the size m times repeats a kernel's pattern every 2, 4 ... 2^m pixels: a peak at multiples of 1/2, 1/4 and
    1/8 cycles per pixel along rows or columns (Odena, Dumoulin & Olah 2016, Deconvolution and checkerboard artifacts).
    """
    h, w = (side // 8 * 8 for side in image.shape)
    window = np.hanning(h + 2)[1:-1, None] * np.hanning(w + 2)[None, 1:-1]
    values = image[:h, :w].astype(np.float64)
    power = np.abs(np.fft.fft2((values - values.mean()) * window)) ** 2 + 1e-9
    peaks = []
    for period in (2, 4, 8):
        y, x = h // period, w // period
        for row, column in ((y, 0), (0, x), (y, x)):
            # A Hann window spreads a line over three bins; the ring around it is the continuum.
            near = power.take(range(row - 4, row + 5), 0, mode="wrap")
            near = near.take(range(column - 4, column + 5), 1, mode="wrap").copy()
            line = near[3:6, 3:6].max()
            near[3:6, 3:6] = np.nan
            # A natural spectrum falls steeply: along the axes the ring's bright part is what the line must exceed.
            peaks.append(np.log10(line / np.nanquantile(near, 0.9)))
    return float(max(peaks))


def echo(image: np.ndarray, mask: np.ndarray) -> float:
    """Return the best match of the breast's most distinct patches elsewhere in it; 1 is an exact copy.

    Normalized cross-correlation of the fine structure of each patch with the whole image, its own position left out.
    """
    h, w = image.shape
    size = max(h // 10, 6)
    detail = np.where(mask, image - ndimage.gaussian_filter(image, size / 2), 0)
    inside = ndimage.binary_erosion(mask, iterations=max(size // 2, 1))
    power = ndimage.uniform_filter(detail**2, size)
    spread = np.sqrt(np.maximum(power - ndimage.uniform_filter(detail, size) ** 2, 1e-12))
    contrast = power * inside
    padded = fft.next_fast_len(h + size, True), fft.next_fast_len(w + size, True)
    spectrum = fft.rfft2(detail, padded)
    highest = 0.0
    for _ in range(PATCHES):
        at = np.unravel_index(np.argmax(contrast), contrast.shape)
        if contrast[at] <= 0:
            break
        top, left = int(at[0]) - size // 2, int(at[1]) - size // 2
        if top >= 0 and left >= 0 and top + size <= h and left + size <= w:
            patch = detail[top : top + size, left : left + size]
            product = fft.irfft2(spectrum * np.conj(fft.rfft2(patch - patch.mean(), padded)), padded)[:h, :w]
            # A patch that starts at (i, j) has the center of its uniform filter at + size // 2.
            matched = np.zeros_like(detail)
            matched[size // 2 :, size // 2 :] = product[: h - size // 2, : w - size // 2]
            score = matched / (size**2 * max(float(patch.std()), 1e-6) * spread)
            score = np.where(inside & (spread > 0.3 * patch.std()), score, 0)
            score[_around(at, size)] = 0
            highest = max(highest, float(score.max()))
        contrast[_around(at, size // 2)] = 0
    return min(highest, 1.0)


def _around(center: tuple[np.intp, ...], reach: int) -> tuple[slice, ...]:
    return tuple(slice(max(int(c) - reach, 0), int(c) + reach + 1) for c in center)


def facts_table(images: ImageStack, bits: int, progress: Progress = no_progress, task: str = "images") -> pd.DataFrame:
    """Return facts, moments and thumbnail of every image, one row each: all that the detectors need.

    Images (n, h, w) hold unsigned integers in 0 ... 2^bits - 1 and are read one at a time; `progress` counts a `task`.
    """
    rows, thumbnails = [], []
    for batch in blocks(images, bits, 1):
        for gray in batch:
            rows.append(image_facts(gray))
            thumbnails.append(resize(oriented(gray), *THUMBNAIL).ravel())
            progress(task, len(rows), len(images))
    table = pd.DataFrame(rows)
    table[list(MOMENT_NAMES)] = image_moments(images, bits)
    return pd.concat([table, pd.DataFrame(np.stack(thumbnails), columns=THUMBNAIL_COLUMNS)], axis=1)
