"""Check whether an image can be a mammogram: gray levels, depth, polarity, and the place of the chest wall.

Headers contradict their pixels in large archives. The checks compare the pixels with what all mammograms have in
common; their limits were chosen on 252 real ones (CDD-CESM) and on turned and inverted copies of them.
"""

import numpy as np
from scipy import ndimage

from mammogan.data.geometry import crop_letterbox

DEPTHS = (8, 10, 12, 14)  # bits per pixel of detectors and film scanners, stored in 16
FEWEST_LEVELS = 8  # a window that shows fewer is a threshold
DOUBTFUL, CERTAIN = 0.15, 0.3  # values of `turning`


def depth_of(top: float, bits: int) -> int:
    """Return the depth of gray values up to `top` in a format of so many bits.

    A mammogram of 16 bits has bright gray values; one of 12 bits in such a format would be displayed almost black.
    """
    return next((depth for depth in DEPTHS if top < 2**depth), bits) if bits == 16 else bits


def shows_tissue(gray: np.ndarray) -> bool:
    """Return False if an image (h, w) in [0, 1] is hardly more than black and white around its background.

    The background is the most frequent gray level that is not white.
    """
    bins = (gray * 64).astype(int)
    rest = gray[bins != np.argmax(np.bincount(bins.ravel(), minlength=64)[:62])]
    between = rest[(rest > 0.02) & (rest < 0.98)]
    return between.size > 0.1 * rest.size and len(np.unique(between)) >= FEWEST_LEVELS


def is_negative(gray: np.ndarray) -> bool:
    """Return True if the breast is darker than its background in a coarse image (h, w) in [0, 1].

    Only the background fills an edge of the image evenly, and most of another one. Where a large breast meets all
    edges, none is even, and the answer is False.
    """
    image = ndimage.uniform_filter(crop_letterbox(np.asarray(gray, np.float32), 0.1), 3)
    edges = (image[:2], image[-2:], image[:, :2], image[:, -2:])
    quartiles = [np.quantile(edge, (0.25, 0.5, 0.75)) for edge in edges]
    even = [median for low, median, high in quartiles if high - low < 0.05]
    if max(even, default=0.0) < 0.5:
        return False

    def share(level: float) -> float:
        return float((np.abs(image - level) < 0.05).mean())

    background = max(even, key=share)
    if background < 0.5 or sum(abs(median - background) < 0.05 for _, median, _ in quartiles) < 2:
        return False
    rest = image[np.abs(image - background) > 0.1]
    # A bright frame around a film is even too, and smaller than the dark background within it.
    larger = share(background) > share(np.quantile(image, 0.02))
    return bool(rest.size and np.median(rest) < background - 0.1 and larger)


def turning(mask: np.ndarray) -> float:
    """Return a number above `DOUBTFUL` if the chest wall is at the top or bottom of an image, by its breast (h, w).

    A breast is longer along the chest wall than away from it, and most of that line is the outline's edge: the number
    is the logarithm of width over height, plus the share of the upper or lower edge of the outline's box that the
    breast fills, minus that of the left or right one. In upright mammograms it was 0.01 or less.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0.0
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = box.shape
    margin = max(round(0.02 * min(height, width)), 1)
    level = max(edge.any(axis=0).mean() for edge in (box[:margin], box[-margin:]))
    upright = max(edge.any(axis=1).mean() for edge in (box[:, :margin], box[:, -margin:]))
    return float(np.log(width / height) + level - upright)


def is_smooth(values: np.ndarray, other: np.ndarray) -> bool:
    """Return True if rows of gray values (n, w) vary less from pixel to pixel than the `other` reading of them.

    A wrong reading of bits tears an image: its values jump where neighbors are nearly equal in the right one.
    """
    variation, torn = (np.abs(np.diff(rows.astype(np.float64), axis=1)).sum() for rows in (values, other))
    return bool(variation < torn)


def covers_tissue(padding: np.ndarray, gray: np.ndarray) -> bool:
    """Return True if padding is part of the breast, in rows (n, w) of an image in [0, 1] that shows it.

    Padding is black, or its value jumps at its border; tissue is lit and continues beyond it.
    """
    lit = padding & (gray > 0.1)
    if lit.any() and not (gray[~padding] > 0.1).any():
        return True  # nothing else is seen
    border = (lit[:, 1:] & ~padding[:, :-1]) | (lit[:, :-1] & ~padding[:, 1:])
    if border.sum() < 8:
        return False
    return bool(np.median(np.abs(np.diff(gray, axis=1))[border]) < 0.1)
