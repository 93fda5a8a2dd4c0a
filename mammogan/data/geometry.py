"""Bring an image of any size to the grid of the store: not stretched, not aliased, the breast at its edge."""

from typing import TypeVar

import numpy as np
from PIL import Image
from scipy import ndimage

from mammogan.data.averaging import LookUp, area_average
from mammogan.data.segmentation import BLACK, chest_side

Image_ = TypeVar("Image_", bound=np.ndarray | LookUp)
SQUARE = 0.01  # pixels whose sides differ by a larger share are made square
FRAME_END = 4  # rows within which the frame of a film ends
FAINT = 0.08  # the brightest gray value of lines and specks on a scanner's padding
BLUR = 0.05  # least difference of gray values between the rows of a frame's blurred edge


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


def fit(image: np.ndarray | LookUp, height: int, width: int, side: str = "", fill: float = 0) -> np.ndarray:
    """Fit gray values (h, w) into float32 (height, width) at their aspect ratio; the rest of the grid is `fill`, black.

    The breast stays at the edge of its chest wall, the `side` "L" or "R" of the picture, which is found by default:
    `fill` is added on the other side, or above and below alike.
    """
    h, w = image.shape
    scale = min(height / h, width / w)
    rows, columns = min(max(round(h * scale), 1), height), min(max(round(w * scale), 1), width)
    resized = resize(image, rows, columns)
    if (rows, columns) == (height, width):
        return resized
    top = (height - rows) // 2
    left = 0 if (side or chest_side(overview(resized))) == "L" else width - columns
    fitted = np.full((height, width), fill, np.float32)
    fitted[top : top + rows, left : left + columns] = resized
    return fitted


def overview(image: np.ndarray | LookUp, side: int = 128) -> np.ndarray:
    """Return every k-th pixel of an image, about `side` along its shorter side: enough for its outline."""
    step = max(min(image.shape) // side, 1)
    return image[::step, ::step]


def enlarged(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a coarse mask on a finer grid of `shape`, by nearest neighbors."""
    row = np.arange(shape[0]) * len(mask) // shape[0]
    column = np.arange(shape[1]) * mask.shape[1] // shape[1]
    return mask[row].take(column, axis=1)  # in the order of rows, unlike mask[row][:, column]


def crop_letterbox(image: np.ndarray, black: float = BLACK) -> np.ndarray:
    """Cut off the rows and columns at the border that are black (gray values up to `black`).

    Faint specks do not count, nor the lines that scanners leave from one end of their padding to the other.
    """
    lit = image > black
    thin = min(max(min(image.shape) // 100, 1), 9)
    solid = ndimage.grey_opening(lit.view(np.uint8), thin, mode="constant").view(bool)
    if not solid.any():
        return image
    parts, _ = ndimage.label(lit, np.ones((3, 3)))
    lit &= np.isin(parts, np.unique(parts[solid | (image > FAINT)]))
    for gray, shown in ((image, lit), (image.T, lit.T)):
        rows = np.flatnonzero((solid if gray is image else solid.T).any(axis=1))
        for padding in (slice(0, rows[0]), slice(rows[-1] + 1, None)):
            if len(gray[padding]) > thin:
                line = (shown[padding].mean(axis=0) >= 0.9) & (gray[padding].max(axis=0) <= FAINT)
                shown[padding, ndimage.binary_dilation(line)] = False
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def crop_white_border(image: np.ndarray, white: float = 0.75, at_most: float = 0.15) -> np.ndarray:
    """Cut off the bright frame that a film scanner leaves around the film.

    A row or column belongs to the frame while at least 90 % of it is brighter than `white`, and the frame ends
    abruptly: a saturated breast may fill its edge too, but it does not end there. At most a share `at_most` of each
    side is cut.
    """

    def frame(lines: np.ndarray) -> int:
        limit = int(len(lines) * at_most)
        bright = lines[: limit + FRAME_END] > white
        filled = np.flatnonzero(bright[:limit].mean(axis=1) >= 0.9)
        # A dark gap of some pixels may be outside the bright frame: its innermost line counts.
        end = int(filled[-1]) + 1 if filled.size else 0
        if not end or bright[end : end + FRAME_END].mean(axis=1).min() >= 0.75:
            return 0
        # The edge of the frame is blurred: its last lines are brighter than the next ones nearly throughout.
        blurred = min(end + FRAME_END, limit)
        while end < blurred and (lines[end] > lines[end + 1] + BLUR).mean() >= 0.6:
            end += 1
        return end

    top, bottom, left, right = (frame(side) for side in (image, image[::-1], image.T, image.T[::-1]))
    return image[top : image.shape[0] - bottom, left : image.shape[1] - right]
