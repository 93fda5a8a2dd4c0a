"""Find the breast in an image, and the side of its chest wall."""

import numpy as np
from scipy import ndimage


def lit_threshold(image: np.ndarray) -> float:
    """Return the gray value that separates breast from background.

    It is a small share of the way from the background (black in a digital mammogram, dark gray on film) to the bright
    end of the image, since the skin line is dark gray too.
    """
    background, bright = np.quantile(image, (0.02, 0.99))
    return float(background + 0.05 * (bright - background))


def chest_side(image: np.ndarray) -> str:
    """Return the side ("L" or "R" of the picture) at which the breast meets the image's edge.

    The breast is tallest at the chest wall: in that third of the image its outline spans more rows. Brightness would
    mislead, since the tissue near the nipple is often the brightest and fat at the chest wall nearly black.
    """
    mask = breast_mask(image)
    rows = np.arange(len(mask))[:, None]
    spans = np.where(mask, rows, -1).max(axis=0) - np.where(mask, rows, len(mask)).min(axis=0) + 1
    spans = np.maximum(spans, 0)
    third = max(image.shape[1] // 3, 1)
    return "L" if spans[:third].sum() >= spans[-third:].sum() else "R"


def breast_mask(image: np.ndarray) -> np.ndarray:
    """Return True inside the breast: the largest connected region that is brighter than the background; (h, w)."""
    coarse = ndimage.uniform_filter(np.asarray(image, np.float32), max(min(image.shape) // 100, 1))
    labels, count = ndimage.label(coarse > lit_threshold(coarse))
    if count == 0:
        return np.zeros(image.shape, bool)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
