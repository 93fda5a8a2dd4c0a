"""Artifacts planted in good images, one per class, to test the detectors on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from mammogan.artifacts.classes import KEYS
from mammogan.data.segmentation import breast_mask, oriented
from mammogan.errors import ParameterError

Damage = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def plant(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return a copy of an image with one artifact.

    Strengths are drawn anew for each image, from hardly to plainly visible; sizes are shares of the image's height.

    Args:
        image: (h, w) in [0, 1]; the copy has its chest wall at the left.
        kind: a key of `classes.CLASSES`.
        rng: source of random numbers.

    Raises:
        ParameterError: an unknown kind.
    """
    if kind not in DAMAGE:
        raise ParameterError(f"There is no artifact {kind!r}; the classes are {', '.join(KEYS)}.")
    image = np.array(oriented(image), np.float32)
    return np.clip(DAMAGE[kind](image, breast_mask(image), rng), 0, 1)


def _inside(mask: np.ndarray, rng: np.random.Generator, margin: float) -> tuple[int, int]:
    """Draw a position in the breast, at least `margin` of the height away from the skin where there is room."""
    h = len(mask)
    distance = ndimage.distance_transform_edt(np.pad(mask, ((0, 0), (1, 0)), mode="edge"))[:, 1:]
    room = distance >= min(margin * h, 0.9 * distance.max())
    rows, columns = np.nonzero(room if room.any() else np.ones_like(mask))
    pick = int(rng.integers(len(rows)))
    return int(rows[pick]), int(columns[pick])


def _distance(image: np.ndarray, y: float, x: float) -> np.ndarray:
    return np.hypot(np.arange(image.shape[0])[:, None] - y, np.arange(image.shape[1])[None, :] - x)


def _network_failure(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the phases of the image's spectrum at random: its texture without its anatomy."""
    spectrum = np.fft.rfft2(image)
    noise = np.fft.rfft2(rng.standard_normal(image.shape))
    scrambled = np.fft.irfft2(np.abs(spectrum) * np.exp(1j * np.angle(noise)), image.shape)
    share = rng.uniform(0.5, 1.0)
    return (1 - share) * image + share * np.clip(scrambled - scrambled.min(), 0, 1)


def _outline(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pull part of the skin line inward or outward."""
    h, w = image.shape
    rows = np.flatnonzero(mask.any(1))
    y = float(rng.choice(rows[len(rows) // 5 : -len(rows) // 5] if len(rows) > 10 else [h // 2]))
    shift = rng.choice([-1, 1]) * rng.uniform(0.08, 0.25) * h
    pull = shift * np.exp(-(((np.arange(h)[:, None] - y) / (rng.uniform(0.03, 0.1) * h)) ** 2))
    column = np.arange(w)[None, :] - pull * np.linspace(0, 1, w)[None, :] ** 0.5
    return ndimage.map_coordinates(image, np.broadcast_arrays(np.arange(h)[:, None], column), order=1, mode="nearest")


def _implant(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a smooth, bright ellipse with a rim."""
    y, x = _inside(mask, rng, 0.15)
    h = image.shape[0]
    a, b = rng.uniform(0.10, 0.2, 2) * h
    radius = np.hypot((np.arange(h)[:, None] - y) / a, (np.arange(image.shape[1])[None, :] - x) / b)
    body = 1 / (1 + np.exp(np.clip((radius - 1) * a / max(h / 160, 1), -30, 30))) * mask
    level = min(float(np.quantile(image[mask], 0.8)) + rng.uniform(0.1, 0.3), 0.98) if mask.any() else 0.8
    return image * (1 - body) + level * body


def _vessel(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a bright, bent line that starts in the middle of the breast."""
    h = image.shape[0]
    y, x = (float(c) for c in _inside(mask, rng, 0.1))
    heading, turn = rng.uniform(-1, 1), rng.normal(0, 1.5) / h
    drawn = np.zeros(image.shape, np.float32)
    for step in range(int(rng.uniform(0.15, 0.35) * h * 2)):
        y, x, heading = y + np.sin(heading) / 2, x + np.cos(heading) / 2, heading + turn
        if not (0 <= y < h - 1 and 0 <= x < image.shape[1] - 1):
            break
        drawn[round(y), round(x)] = step
    width = max(0.004 * h, 0.6)
    line = ndimage.gaussian_filter((drawn > 0).astype(np.float32), width)
    return image + rng.uniform(0.1, 0.3) * line / max(float(line.max()), 1e-6) * mask


def _calcification(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add three to ten specks without a sharp edge, close together."""
    y, x = _inside(mask, rng, 0.08)
    h = image.shape[0]
    for _ in range(int(rng.integers(3, 11))):
        dy, dx = rng.normal(0, 0.03 * h, 2)
        sigma = max(rng.uniform(0.003, 0.008) * h, 0.6)
        image = image + rng.uniform(0.15, 0.4) * np.exp(-0.5 * (_distance(image, y + dy, x + dx) / sigma) ** 2)
    return image


def _marker(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a white disc in the breast."""
    y, x = _inside(mask, rng, 0.03)
    radius = max(rng.uniform(0.008, 0.02) * image.shape[0], 1.0)
    disc = np.clip(radius - _distance(image, y, x) + 0.5, 0, 1)
    return image * (1 - disc) + rng.uniform(0.85, 1.0) * disc


def _grid(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Multiply by a pattern with a period of 2, 4 or 8 pixels."""
    period = int(rng.choice([2, 4, 8]))
    h, w = image.shape
    rows, columns = np.arange(h)[:, None], np.arange(w)[None, :]
    pattern = np.cos(2 * np.pi * rows / period) * np.cos(2 * np.pi * columns / period)
    return image * (1 + rng.uniform(0.03, 0.12) * pattern)


def _duplicate(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Copy a round piece of the breast to another position in it, with a soft rim."""
    h = image.shape[0]
    (y, x), (to_y, to_x) = _inside(mask, rng, 0.1), _inside(mask, rng, 0.1)
    radius = rng.uniform(0.07, 0.12) * h
    moved = ndimage.shift(image, (to_y - y, to_x - x), order=0, mode="nearest")
    share = np.clip((radius - _distance(image, to_y, to_x)) / (0.25 * radius) + 0.5, 0, 1)
    return image * (1 - share) + moved * share


def _border(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add letters next to the breast, or a bright frame; evenly often."""
    h, w = image.shape
    image = image.copy()
    level = rng.uniform(0.4, 1.0)
    if rng.random() < 0.5:
        thick = max(round(rng.uniform(0.005, 0.02) * h), 1)
        image[:thick] = image[-thick:] = level
        image[:, -thick:] = level
        return image
    size = max(h // 10, 8)
    word = Image.new("L", (3 * size, 2 * size))
    text = "".join(rng.choice(list("LRMCOXTY"), 3))
    ImageDraw.Draw(word).text((1, 1), text, fill=255, font=ImageFont.load_default(size))
    letters = np.asarray(word)
    letters = letters[letters.any(1)][:, letters.any(0)][: h - 2, : w - 2]
    top = 1 if rng.random() < 0.5 else h - letters.shape[0] - 1
    corner = image[top : top + letters.shape[0], w - letters.shape[1] - 1 : w - 1]
    np.maximum(corner, level * letters / 255, out=corner)
    return image


DAMAGE: dict[str, Damage] = {
    "network_failure": _network_failure,
    "outline": _outline,
    "implant": _implant,
    "vessel": _vessel,
    "calcification": _calcification,
    "marker": _marker,
    "grid": _grid,
    "duplicate": _duplicate,
    "border": _border,
}
