"""Find the breast in an image, and the side of its chest wall."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

BLACK = 0.02  # the brightest gray value of a black background or of a scanner's padding
SHARE = 0.05  # of the way from the background to the bright end
BLOCKS = 64  # along the shorter side, in whose means a film's background is sought, and bins of their gray values
DEPTH = 4  # of the border, blocks
NEAR = 0.08  # gray values of a film's background are so near to each other, for all its gradient
STRAY = 0.06  # that the background may be brighter than its median: dim fat is hardly brighter
SMOOTH = 0.0075  # largest median difference of neighboring blocks: films reach 0.007, tissue at the border 0.009


@dataclass(frozen=True)
class Background:
    """The gray of a film that nothing absorbed X-rays above."""

    level: float
    threshold: float  # what is brighter is not background


def film_background(image: np.ndarray) -> Background | None:
    """Return the background of an image (h, w) that is gray, as on film; None where it is black, or is not seen.

    It is what a good part of the picture's border shows: smooth but for its grain, while tissue is not. Padding of the
    scanner, which is black, may be left in the corners of a tilted film.
    """
    side = max(min(image.shape) // BLOCKS, 1)
    rows, columns = (length // side for length in image.shape)
    blocks = image[: rows * side, : columns * side].reshape(rows, side, columns, side).mean(axis=(1, 3))
    border = np.ones(blocks.shape, bool)
    border[DEPTH:-DEPTH, DEPTH:-DEPTH] = False
    lit = border & (blocks > BLACK)
    if lit.sum() < 0.7 * border.sum():
        return None
    counts, _ = np.histogram(blocks[lit], BLOCKS, (0, 1))
    mode = (int(np.argmax(ndimage.uniform_filter1d(counts, 3, mode="constant"))) + 0.5) / BLOCKS
    near = lit & (np.abs(blocks - mode) < NEAR)
    steps = np.abs(np.diff(blocks, axis=1))[near[:, 1:] & near[:, :-1]]
    if mode > 0.4 or near.sum() < 0.25 * border.sum() or not steps.size or np.median(steps) > SMOOTH:
        return None
    # Tissue may be among the brighter half of these blocks; how far the background strays, the darker half tells.
    lower, level = np.quantile(blocks[near], (0.1, 0.5))
    least = max(SHARE * (float(np.quantile(image, 0.99)) - level), min(2 * (level - lower) + SHARE / 4, STRAY))
    return Background(float(level), float(level + least))


def lit_threshold(image: np.ndarray) -> float:
    """Return the gray value that separates breast from background.

    It is a small share of the way from the background (black in a digital mammogram, dark gray on film) to the bright
    end of the image, since the skin line is dark gray too. The grain of a film lies below it.
    """
    background, bright = np.quantile(image, (0.02, 0.99))
    if background > BLACK and (film := film_background(image)):
        return film.threshold
    return float(background + SHARE * (bright - background))


def chest_side(image: np.ndarray) -> str:
    """Return the side ("L" or "R" of the picture) at which the breast meets the edge of an image (h, w)."""
    return side_of(breast_mask(image))


def side_of(mask: np.ndarray) -> str:
    """Return the side of the chest wall by the mask of a breast (h, w), see `chest_side`.

    The breast is tallest at the chest wall: in that third of the image its outline spans more rows. Brightness would
    mislead, since the tissue near the nipple is often the brightest and fat at the chest wall nearly black.
    """
    rows = np.arange(len(mask))[:, None]
    spans = np.where(mask, rows, -1).max(axis=0) - np.where(mask, rows, len(mask)).min(axis=0) + 1
    spans = np.maximum(spans, 0)
    third = max(mask.shape[1] // 3, 1)
    return "L" if spans[:third].sum() >= spans[-third:].sum() else "R"


def breast_mask(image: np.ndarray) -> np.ndarray:
    """Return True inside the breast: the largest connected region that is brighter than the background; (h, w)."""
    coarse = ndimage.uniform_filter(np.asarray(image, np.float32), max(min(image.shape) // 100, 1))
    labels, count = ndimage.label(coarse > lit_threshold(coarse))
    if count == 0:
        return np.zeros(image.shape, bool)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def oriented(image: np.ndarray) -> np.ndarray:
    """Return an image (h, w) with its chest wall at the left edge."""
    return image if chest_side(image) == "L" else image[:, ::-1]


def pectoral_edge(smooth: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the edge of the pectoral muscle, in the upper part of the picture's left half.

    It is the steepest fall of gray along a row within the breast, away from the skin, in rows where that is steep.

    Args:
        smooth: (h, w) smoothed gray values in [0, 1], chest wall at the left.
        mask: (h, w) True inside the breast.
    """
    h, w = smooth.shape
    height, width = max(2 * h // 5, 4), max(w // 2, 4)
    fall = -np.diff(smooth[:height, : width + 1], axis=1)
    safe = ndimage.binary_erosion(np.pad(mask, ((1, 0), (1, 0)), mode="edge"), iterations=max(h // 40, 1))[1:, 1:]
    fall = np.where(safe[:height, :width], fall, 0)
    column, strength = fall.argmax(1), fall.max(1)
    steep = strength > max(0.02, float(np.quantile(strength, 0.5)) * 0.5)
    return np.flatnonzero(steep), column[steep]
