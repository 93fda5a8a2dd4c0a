"""Remove what the scan of a film shows besides the film: padding of the scanner, frames, labels and strips of tape."""

import numpy as np
from scipy import ndimage

from mammogan.data.geometry import crop_letterbox, crop_white_border, enlarged, overview, resize
from mammogan.data.segmentation import BLACK, SHARE, Background, chest_side, film_background

ROWS = 1024  # at most, of the image that labels are sought in: there, the edge of paper is one or two pixels wide
LEVELS = (0.35, 0.65)  # shares of the way from the film's gray to its bright end at which regions are separated
MARGIN = 6  # pixels around a region that are judged with it
HALO = 2  # pixels at the edge of a label that are brighter than the film
RECTANGLE = 0.84  # least share of the smallest rectangle around a label of paper or tape; an ellipse covers 0.79
SPECK, PAPER = 6e-5, 5e-4  # least shares of the image that letters and labels cover
LARGEST = 0.03  # share of the image that any label may cover
GAP = 0.02  # share of a column that may be bright between the chest wall and the edge
OPAQUE = 0.7  # share of the way to the bright end that lead and white tape reach


def clean_film(image: np.ndarray) -> tuple[np.ndarray, int, float]:
    """Cut off the borders of a film (h, w) in [0, 1] and paint over its labels; bring its breast to the edge.

    Returns:
        The film, which is smaller where it had a border, the number of its labels and strips, and its own gray.
    """
    film, removed = remove_labels(_cropped(image))
    background = film_background(film)
    if background is None:  # black: crop_letterbox brought the breast to the edge
        return film, removed, 0.0
    film = _breast_at_edge(_without_padding(film, background.level), background.threshold)
    return film, removed, background.level


def _cropped(image: np.ndarray) -> np.ndarray:
    """Cut off padding and frames, whichever is outside of the other."""
    while True:
        cropped = crop_white_border(crop_letterbox(image))
        if cropped.shape == image.shape:
            return cropped
        image = cropped


def remove_labels(image: np.ndarray) -> tuple[np.ndarray, int]:
    """Paint over the labels of a film (h, w) in [0, 1]; return a copy of it and the number of labels.

    A label is even, and ends abruptly at the film's own gray, while tissue fades out. It is a rectangle of paper or
    tape, or an opaque sign of any shape, such as a letter of lead, apart from the breast and its chest wall. Regions
    more than a fifth as large as the breast, and than 3 % of the image, are left alone.
    """
    scale = min(ROWS / image.shape[0], 1)
    gray = resize(image, *(max(round(side * scale), 1) for side in image.shape)) if scale < 1 else image
    dark, bright = np.quantile(gray, (0.02, 0.99))
    background = film_background(gray) or Background(float(dark), float(dark + SHARE * (bright - dark)))
    regions, count = ndimage.label(gray > background.threshold)
    if not count:
        return image, 0
    areas = np.bincount(regions.ravel())[1:]
    breast = regions == 1 + np.argmax(areas)
    wall = 0 if chest_side(breast) == "L" else gray.shape[1]
    shades = np.full(gray.shape, np.nan, np.float32)  # to paint with
    *levels, opaque = (background.level + share * (bright - background.level) for share in (*LEVELS, OPAQUE))
    for level in levels:
        parts, _ = ndimage.label(gray > level, np.ones((3, 3)))
        for number, box in enumerate(ndimage.find_objects(parts), 1):
            around = tuple(slice(max(s.start - MARGIN, 0), s.stop + MARGIN) for s in box)
            body = ndimage.binary_fill_holes(parts[around] == number)
            if not SPECK * gray.size <= body.sum() < max(0.2 * areas.max(), LARGEST * gray.size):
                continue
            apart = wall not in (box[1].start, box[1].stop) and not (breast[around] & body).any()
            at_border = any(s.start == 0 or s.stop == side for s, side in zip(box, gray.shape, strict=True))
            part = Part(gray[around], parts[around] == number, body, background.level)
            is_large, is_opaque = body.sum() >= PAPER * gray.size, part.level >= opaque
            is_paper = is_large and part.even >= 0.6 and part.abrupt >= 0.6 and extent(body) >= RECTANGLE
            is_sign = apart and is_opaque and part.abrupt >= 0.85 and part.even >= (0.9 if at_border else 0.6)
            if is_paper:
                body |= (regions[around] > 0) & ~breast[around]  # letters at its edge
            if is_paper or is_sign:
                painted = ndimage.binary_dilation(body, iterations=HALO)
                # Paper within a letter is surrounded by the letter; the film is darker.
                shades[around][painted] = np.fmin(shades[around][painted], part.shade)
    cover = ~np.isnan(shades)
    if not cover.any():
        return image, 0
    cleaned = image.copy()
    whole = enlarged(cover, image.shape)
    cleaned[whole] = enlarged(shades, image.shape)[whole]
    return cleaned, int(ndimage.label(cover)[1])


class Part:
    """A bright part of a film and what surrounds it.

    Attributes:
        level: median gray value.
        even: share of its pixels within 0.15 of the level.
        abrupt: share of its surroundings, a little away from it, that are nearly as dark as the film.
        shade: median of these.
    """

    def __init__(self, gray: np.ndarray, part: np.ndarray, body: np.ndarray, base: float) -> None:
        self.level = float(np.median(gray[part]))
        self.even = float((np.abs(gray[part] - self.level) < 0.15).mean())
        distance = ndimage.distance_transform_edt(~body)
        ring = gray[(distance > HALO) & (distance <= HALO + 2)]
        dark = ring[ring < base + 0.25 * (self.level - base)]
        self.abrupt = dark.size / max(ring.size, 1)
        self.shade = float(np.median(dark)) if dark.size else base


def extent(body: np.ndarray) -> float:
    """Return the share that a region (h, w) has of the smallest rectangle, of any direction, around it."""
    rows, columns = np.nonzero(body & ~ndimage.binary_erosion(body))
    angles = np.deg2rad(np.arange(0, 90, 2))[:, None]
    cosine, sine = np.cos(angles), np.sin(angles)
    # Of a pixel, its square counts and not its center.
    grown = np.abs(cosine) + np.abs(sine)
    sides = [np.ptp(axis, axis=1) for axis in (rows * cosine + columns * sine, columns * cosine - rows * sine)]
    return float(body.sum() / ((sides[0] + grown[:, 0]) * (sides[1] + grown[:, 0])).min())


def _without_padding(film: np.ndarray, base: float) -> np.ndarray:
    """Paint over padding that is left at the border of a film of the gray `base`: the corners of a tilted one."""
    regions, _ = ndimage.label(film <= BLACK)
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    padding = np.isin(regions, np.unique(border[border > 0]))
    return np.where(padding, np.float32(base), film) if padding.any() else film


def _breast_at_edge(film: np.ndarray, threshold: float) -> np.ndarray:
    """Cut off the columns between the chest wall of the breast, brighter than the `threshold`, and the edge."""
    lit = film > threshold
    columns = np.flatnonzero(lit.mean(axis=0) > GAP)
    if not columns.size:
        return film
    return film[:, columns[0] :] if chest_side(overview(film)) == "L" else film[:, : columns[-1] + 1]
