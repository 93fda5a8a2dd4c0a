"""Bring an image of any size to the grid of the store: not stretched, not aliased, the breast at its edge."""

from typing import TypeVar

import numpy as np
from PIL import Image

from mammogan.data.averaging import LookUp, area_average
from mammogan.data.segmentation import chest_side

Image_ = TypeVar("Image_", bound=np.ndarray | LookUp)
SQUARE = 0.01  # pixels whose sides differ by a larger share are made square


def resize(image: np.ndarray | LookUp, height: int, width: int) -> np.ndarray:
    """Resize gray values (h, w) in [0, 1]; float32 (height, width) in [0, 1].

    Where the image shrinks, each new pixel is the mean over the area that it covers, so that nothing is aliased and
    the mean gray is kept. Where it grows, the values are interpolated (bicubic).
    """
    h, w = image.shape
    if height <= h and width <= w:
        return area_average(image, height, width)
    grown = Image.fromarray(np.asarray(image, np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(grown), 0, 1)


def squared(image: Image_, aspect: float) -> tuple[Image_ | np.ndarray, list[str]]:
    """Make pixels square that are `aspect` times as wide as high; return the image and ["aspect"] if it has changed."""
    if abs(aspect - 1) <= SQUARE:
        return image, []
    rows, columns = image.shape
    return resize(image, rows, max(round(columns * aspect), 1)), ["aspect"]


def fit(image: np.ndarray | LookUp, height: int, width: int, side: str = "") -> np.ndarray:
    """Fit gray values (h, w) into float32 (height, width) at their aspect ratio; the rest of the grid is black.

    The breast stays at the edge of its chest wall, the `side` "L" or "R" of the picture, which is found by default:
    black is added on the other side, or above and below alike.
    """
    h, w = image.shape
    scale = min(height / h, width / w)
    rows, columns = min(max(round(h * scale), 1), height), min(max(round(w * scale), 1), width)
    resized = resize(image, rows, columns)
    if (rows, columns) == (height, width):
        return resized
    top = (height - rows) // 2
    left = 0 if (side or chest_side(overview(resized))) == "L" else width - columns
    fitted = np.zeros((height, width), np.float32)
    fitted[top : top + rows, left : left + columns] = resized
    return fitted


def overview(image: np.ndarray | LookUp, side: int = 128) -> np.ndarray:
    """Return every k-th pixel of an image, about `side` along its shorter side: enough for its outline."""
    step = max(min(image.shape) // side, 1)
    return image[::step, ::step]


def crop_letterbox(image: np.ndarray, black: float = 0.02) -> np.ndarray:
    """Cut off the rows and columns at the border that are black throughout (gray values up to `black`)."""
    lit = image > black
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    if rows.size == 0:
        return image
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def crop_white_border(image: np.ndarray, white: float = 0.75, at_most: float = 0.15) -> np.ndarray:
    """Cut off the bright frame that a film scanner leaves around the film.

    A row or column belongs to the frame while at least 90 % of it is brighter than `white`; no breast fills its edge
    like that. At most a share `at_most` of each side is cut.
    """
    bright = image > white

    def frame(lines: np.ndarray) -> int:
        limit = int(len(lines) * at_most)
        filled = lines[:limit].mean(axis=1) >= 0.9
        # A dark gap of some pixels may be outside the bright frame: its innermost line counts.
        return int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else 0

    top, bottom, left, right = (frame(side) for side in (bright, bright[::-1], bright.T, bright.T[::-1]))
    return image[top : image.shape[0] - bottom, left : image.shape[1] - right]
