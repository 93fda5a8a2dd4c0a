"""From an image of any size to the grid of the store: nothing stretched, nothing aliased, the breast at its edge."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage, sparse


def area_weights(source: int, target: int) -> sparse.csr_array:
    """Matrix (target, source) that averages `source` samples over `target` equal cells; rows sum to 1."""
    edges = np.arange(target + 1) * (source / target)
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:] - 1e-9).astype(int)
    rows = np.repeat(np.arange(target), last - first)
    columns = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
    overlap = np.minimum(columns + 1, edges[rows + 1]) - np.maximum(columns, edges[rows])
    return sparse.csr_array((overlap * (target / source), (rows, columns)), shape=(target, source))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize grey values (h, w) in [0, 1]; float64 (height, width) in [0, 1].

    Where the image shrinks, each new pixel is the mean over the area that it covers, so that nothing is aliased and
    the mean grey is kept exactly. Where it grows, the values are interpolated (bicubic).
    """
    h, w = image.shape
    if height <= h and width <= w:
        return area_weights(h, height) @ np.asarray(image, np.float64) @ area_weights(w, width).T
    grown = Image.fromarray(np.asarray(image, np.float32), mode="F").resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(grown, np.float64), 0, 1)


def chest_side(image: np.ndarray) -> str:
    """The side ("L" or "R" of the picture) at which the breast meets the image's edge.

    The breast is tallest at the chest wall: that third of the image holds more of it. Brightness would mislead, since
    the tissue behind the nipple is often the brightest.
    """
    third = max(image.shape[1] // 3, 1)
    lit = image > 0.05 * np.quantile(image, 0.99)
    return "L" if lit[:, :third].sum() >= lit[:, -third:].sum() else "R"


def fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring an image to (height, width) with its aspect ratio kept; what is left over becomes black.

    The breast keeps its place at the chest wall's edge: black is added on the other side, or above and below alike.
    """
    h, w = image.shape
    scale = min(height / h, width / w)
    rows, columns = max(round(h * scale), 1), max(round(w * scale), 1)
    resized = resize(image, min(rows, height), min(columns, width))
    rows, columns = resized.shape
    top = (height - rows) // 2
    left = 0 if chest_side(image) == "L" else width - columns
    placed = np.zeros((height, width))
    placed[top : top + rows, left : left + columns] = resized
    return placed


def crop_letterbox(image: np.ndarray, black: float = 0.02) -> np.ndarray:
    """Cut off the rows and columns at the border that are black throughout (grey values up to `black`)."""
    lit = image > black
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    if rows.size == 0:
        return image
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def breast_mask(image: np.ndarray) -> np.ndarray:
    """True inside the breast: the largest connected region that is brighter than the background.

    The threshold is a small share of the bright end of the image, since the background of a displayed mammogram is
    black and its skin line dark grey.
    """
    coarse = ndimage.uniform_filter(np.asarray(image, np.float32), max(min(image.shape) // 100, 1))
    labels, count = ndimage.label(coarse > 0.05 * np.quantile(coarse, 0.99))
    if count == 0:
        return np.zeros(image.shape, bool)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
