"""Draw the anatomy of a phantom: outline, strands, vessels, ducts, ligaments, lesions, pectoral muscle. All in mm."""

from itertools import product
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator
from scipy import ndimage
from scipy.interpolate import CubicSpline

from mammogan.data.phantom.breast import Breast, row_share
from mammogan.data.phantom.grid import COARSE, FIELD, column_positions, enlarge, row_positions
from mammogan.types import Size

Path = tuple[np.ndarray, np.ndarray]  # y and x of points
T = TypeVar("T", float, np.ndarray)


class Outline(NamedTuple):
    """The skin of a breast in a view: depth (from the chest wall) by height (from the middle, downward)."""

    view: str
    skin: CubicSpline
    nipple: tuple[float, float]  # height and depth
    middle: float  # height of the breast's middle
    top: float
    bottom: float

    def locate(self, points: np.ndarray) -> Path:
        """Return y and x of points (n, 3) that are given as `breast.row_share` expects: u, x, v."""
        u, x, v = np.moveaxis(points, -1, 0)
        return self.middle + self.bottom * row_share(self.view, u, v), self.nipple[1] * x


class Lesion(NamedTuple):
    """A lesion and its diameter."""

    kind: str
    mm: float


def draw_outline(rng: Generator, breast: Breast, view: str) -> Outline:
    """Draw the skin: each view compresses the breast anew."""
    half, depth = breast.height * rng.normal(1, 0.05), breast.depth * rng.normal(1, 0.08)
    # An MLO hangs down.
    middle = rng.normal(0, 0.03) * half if view == "CC" else rng.normal(0.16, 0.06) * half
    nipple = middle + half * float(row_share(view, *breast.nipple))
    above, below = (2.1, 2.1) if view == "CC" else (2.0, 1.8)
    above, below = above * rng.normal(1, 0.06), below * rng.normal(1, 0.06)
    y = np.linspace(-FIELD[0], FIELD[0], 441)
    t = np.where(y < nipple, (nipple - y) / (half + nipple), (y - nipple) / (half - nipple))
    power = np.where(y < nipple, above, below)
    # The root makes the breast meet the chest wall at a right angle; toward the armpit it runs out flat instead.
    upper = 2.05 if view == "CC" else 1.45
    body = np.clip(1 - np.clip(t, 0, 1) ** power, 0, 1) ** (1 / np.where(y < nipple, upper, 2.1))
    # Toward the armpit the skin of an MLO runs on to the upper edge instead of back to the chest wall.
    axilla = rng.uniform(0.38, 0.62) * depth if view == "MLO" else 0.0
    carried = axilla / (1 + np.exp((y + 0.35 * half) / (0.22 * half)))
    x = carried + (depth - carried) * body
    waves = (rng.normal(0, 1.4) / k * np.sin(k * np.pi * y / half + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3))
    x = ndimage.gaussian_filter1d(x + sum(waves) * np.clip(x / depth, 0, 1), 3)
    bump = rng.uniform(1.5, 4.5) * np.exp(-(((y - nipple) / rng.uniform(3.5, 5.5)) ** 4))
    skin = CubicSpline(y, x + bump)
    top = -FIELD[0] / 2 if view == "MLO" else -half
    return Outline(view, skin, (nipple, float(skin(nipple))), middle, top, half)


def strands(rng: Generator, size: Size, nipple: tuple[float, float]) -> np.ndarray:
    """Draw threads that run toward the nipple, crests of noise in polar coordinates; mean near 0, (h, w)."""
    y, x = row_positions(COARSE) - nipple[0], column_positions(COARSE) - nipple[1] - 25
    radius, angle = np.hypot(y, x), np.arctan2(y, -x)
    total = np.zeros(COARSE, np.float32)
    for across, along, weight in ((4.5, 20.0, 0.6), (2.3, 11.0, 0.4)):
        # Arc length at 80 mm serves as the angular unit, so that threads are about as wide everywhere.
        v, u = angle * 80 / across, radius / along
        noise = ndimage.gaussian_filter(rng.standard_normal((160, 60)).astype(np.float32), 1.0, mode="wrap")
        noise /= noise.std()
        warp = ndimage.gaussian_filter(rng.standard_normal((60, 40)).astype(np.float32), 2.0, mode="wrap")
        warp /= warp.std()
        where = np.broadcast_arrays(y / 6 + 30, x / 6 + 20)
        bend = ndimage.map_coordinates(warp, where, order=1, mode="grid-wrap")
        values = ndimage.map_coordinates(noise, [v + 1.2 * bend + 80, u], order=3, mode="grid-wrap")
        total += weight * (1.2 - 2.2 * np.abs(values))
    return enlarge(total, size)


def threads(rng: Generator, size: Size) -> np.ndarray:
    """Draw a net of threads at three scales, where smooth noise crosses zero; mean near 0, (h, w)."""
    total = np.zeros((640, 512), np.float32)
    for scale, weight in ((4.2, 0.45), (2.4, 0.35), (1.3, 0.20)):
        noise = ndimage.gaussian_filter(rng.standard_normal(total.shape, np.float32), scale * total.shape[0] / FIELD[0])
        noise /= noise.std()
        total += weight * (3.0 * np.exp(-((noise / 0.5) ** 2)) - 1.0)
    return enlarge(total, size)


class Lines:
    """Thin structures, collected as points of given width and strength; all of a width are drawn at once."""

    def __init__(self, size: Size) -> None:
        self.size, self.per_mm = size, size.height / FIELD[0]
        self.points: dict[float, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        self.spots: list[tuple[float, float, float, float]] = []  # calcifications: y, x, radius, strength
        self.masses = np.zeros(size, np.float32)

    def curve(self, path: Path, width: float, strength: float | np.ndarray) -> None:
        """Add a curve through points; `width` is its full width at half maximum, `strength` its peak."""
        y, x = path
        sigma = round(max(width / 2.355, 0.15), 1)
        length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(y), np.diff(x)))])
        at = np.arange(0, length[-1], 0.12)
        if at.size:
            peak = np.interp(at, length, np.broadcast_to(strength, y.shape))
            weight = peak * np.sqrt(2 * np.pi) * sigma * self.per_mm * (0.12 * self.per_mm)
            self.points.setdefault(sigma, []).append((np.interp(at, length, y), np.interp(at, length, x), weight))

    def drawn(self) -> np.ndarray:
        """Return the masses and all curves, (h, w)."""
        total = self.masses.copy()
        for sigma, entries in self.points.items():
            y, x, weight = (np.concatenate(parts) for parts in zip(*entries, strict=True))
            layer = np.zeros(self.size, np.float32)
            rows, columns = self._pixel(y, x)
            r, c = np.floor(rows).astype(int), np.floor(columns).astype(int)
            for dr, dc in product((0, 1), (0, 1)):
                share = np.abs(1 - dr - (rows - r)) * np.abs(1 - dc - (columns - c))
                keep = (r + dr >= 0) & (r + dr < self.size[0]) & (c + dc >= 0) & (c + dc < self.size[1])
                np.add.at(layer, (r[keep] + dr, c[keep] + dc), (weight * share)[keep])
            total += np.clip(ndimage.gaussian_filter(layer, sigma * self.per_mm, truncate=3), 0, 0.6)
        return total

    def calcifications(self) -> np.ndarray:
        """Return all spots, (h, w)."""
        total = np.zeros(self.size, np.float32)
        for y, x, radius, strength in self.spots:
            row, column = self._pixel(y, x)
            reach = int(np.ceil(radius * self.per_mm)) + 2
            r0, c0 = max(int(row) - reach, 0), max(int(column) - reach, 0)
            r1, c1 = min(int(row) + reach + 2, self.size[0]), min(int(column) + reach + 2, self.size[1])
            if r0 < r1 and c0 < c1:
                distance = np.hypot(np.arange(r0, r1)[:, None] - row, np.arange(c0, c1)[None, :] - column)
                # A ball that is smaller than a pixel still covers its share of one.
                disc = np.clip(radius * self.per_mm - distance + 0.5, 0, 1)
                total[r0:r1, c0:c1] = np.maximum(total[r0:r1, c0:c1], strength * disc)
        return total

    def _pixel(self, y: T, x: T) -> tuple[T, T]:
        return (y + FIELD[0] / 2) * self.per_mm - 0.5, x * self.per_mm - 0.5


def _walk(rng: Generator, start: tuple[float, float], heading: float, length: float, bend: float) -> Path:
    """Return a smooth random path, millimeter by millimeter."""
    turns = ndimage.gaussian_filter1d(rng.standard_normal(max(int(length), 4)), 6, mode="nearest") * bend
    angle = heading + np.cumsum(turns)
    return start[0] + np.cumsum(np.sin(angle)), start[1] + np.cumsum(np.cos(angle))


def _wander(rng: Generator, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return a smooth random path between two points of the breast, (80, 3)."""
    steps = ndimage.gaussian_filter1d(rng.standard_normal((80, 3)), 6, axis=0, mode="nearest")
    return start + np.linspace(0, 1, 80)[:, None] * (end - start) + 0.012 * np.cumsum(steps, axis=0)


def draw_vessels(rng: Generator, lines: Lines, outline: Outline, breast: Breast, age: int) -> None:
    """Draw vessels that enter at the chest wall, run toward the nipple, branch and taper; some calcify with age."""

    def draw(path: np.ndarray, width: float, strength: np.ndarray) -> Path:
        y, x = outline.locate(path)
        lines.curve((y, x), width, strength * (x < outline.skin(y) - 3))
        return y, x

    for _ in range(int(rng.integers(2, 6))):
        start = np.array([rng.uniform(-0.6, 0.6), rng.uniform(0, 0.12), rng.uniform(-0.6, 0.6)])
        toward = breast.nipple_point - start
        path = _wander(rng, start, start + rng.uniform(0.5, 0.9) * toward + rng.normal(0, 0.12, 3))
        strength = rng.uniform(0.06, 0.15)
        y, x = draw(path, rng.uniform(1.0, 2.4), strength * np.linspace(1, 0.35, 80))
        if rng.random() < 0.6:
            fork = path[int(rng.uniform(0.3, 0.6) * 80)]
            branch = _wander(rng, fork, fork + 0.4 * toward + rng.normal(0, 0.2, 3))
            draw(branch, rng.uniform(0.8, 1.4), 0.8 * strength * np.linspace(1, 0.2, 80))
        if rng.random() < 0.07 * (age - 40) / 20:
            first = int(rng.uniform(0.05, 0.3) * 80)
            for offset, at in product((-0.8, 0.8), range(first, first + int(rng.uniform(15, 40)))):  # both walls
                if rng.random() < 0.7:
                    place = y[at] + offset + rng.normal(0, 0.1), x[at] + rng.normal(0, 0.3)
                    lines.spots.append((*place, 0.25, rng.uniform(0.1, 0.3)))


def draw_ducts(rng: Generator, lines: Lines, outline: Outline, breast: Breast) -> None:
    """Draw ducts that fan out from the nipple into the gland."""
    for _ in range(int(rng.integers(6, 11))):
        start = breast.nipple_point
        end = start + np.array([rng.normal(0, 0.2), -rng.uniform(0.25, 0.5), rng.normal(0, 0.2)])
        width, strength = rng.uniform(0.9, 1.6), rng.uniform(0.05, 0.14)
        lines.curve(outline.locate(_wander(rng, start, end)), width, strength * np.linspace(1, 0.3, 80))


def draw_ligaments(rng: Generator, lines: Lines, outline: Outline) -> None:
    """Draw Cooper's ligaments: fine arcs between gland and skin."""
    for y0 in rng.uniform(outline.top * 0.9, outline.bottom * 0.9, int(rng.integers(14, 28))):
        edge = float(outline.skin(y0))
        if edge >= 20:
            inward = np.pi + np.arctan(float(outline.skin(y0, 1))) * 0.8
            path = _walk(rng, (y0, edge - 1.5), inward + rng.normal(0, 0.3), rng.uniform(12, 32), 0.10)
            lines.curve(path, rng.uniform(0.5, 1.0), rng.uniform(0.05, 0.13) * np.linspace(0.6, 1, len(path[0])))


def draw_lesions(
    rng: Generator, fine: Generator, lines: Lines, outline: Outline, gland: tuple[np.ndarray, np.ndarray]
) -> list[Lesion]:
    """Draw masses and calcifications.

    Args:
        rng: random numbers that both views of a breast share.
        fine: those of this view.
        lines: image to draw into.
        outline: skin of the view.
        gland: see `Breast`.
    """
    lesions: list[Lesion] = []

    def place() -> tuple[float, float]:
        direction = rng.standard_normal(3)
        center, axes = gland
        point = center + 0.8 * axes * rng.random() ** (1 / 3) * direction / np.linalg.norm(direction)
        y, x = outline.locate(point)
        # A share of the breast's depth can be beyond the skin far from the nipple.
        return float(y), float(min(x, outline.skin(y) - 4))

    if rng.random() < 0.16:
        (y, x), size = place(), float(np.exp(rng.normal(np.log(7), 0.35)))
        spiculated = bool(rng.random() < 0.5)
        rows, columns = row_positions(lines.size) - y, column_positions(lines.size) - x
        angle = np.arctan2(rows, columns)
        lobes = 1 + sum(rng.normal(0, 0.10) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5))
        soft = 1.6 if spiculated else 0.9
        lines.masses += 0.45 / (1 + np.exp(np.clip((np.hypot(rows, columns) - size * lobes) / soft, -30, 30)))
        if spiculated:
            for heading in rng.uniform(0, 2 * np.pi, int(rng.integers(12, 22))):
                start = y + 0.7 * size * np.sin(heading), x + 0.7 * size * np.cos(heading)
                path = _walk(fine, start, heading, size * float(rng.uniform(0.8, 1.8)), 0.03)
                lines.curve(path, 0.7, 0.28 * np.linspace(1, 0.1, len(path[0])))
        lesions.append(Lesion("spiculated mass" if spiculated else "mass", 2 * size))
    for _ in range(int(rng.poisson(0.7))):
        (y, x), radius = place(), float(rng.uniform(0.3, 1.1))
        lines.spots.append((y, x, radius, float(rng.uniform(0.25, 0.5))))
        lesions.append(Lesion("round calcification", 2 * radius))
    if rng.random() < 0.10:
        (y, x), spread = place(), float(rng.uniform(2, 6))
        for _ in range(int(rng.integers(8, 26))):
            u, dx, v = rng.normal(0, spread, 3)
            dy = float(row_share(outline.view, u, v))
            lines.spots.append((y + dy, x + dx, float(rng.uniform(0.1, 0.28)), float(rng.uniform(0.2, 0.5))))
        lesions.append(Lesion("clustered microcalcifications", 4 * spread))
    return lesions


def draw_pectoral(rng: Generator, gray: np.ndarray, clutter: np.ndarray, outline: Outline, height: float) -> np.ndarray:
    """Draw the pectoral muscle into an image: a bright triangle at the upper chest wall with a gently curved edge."""
    rows, columns = row_positions(Size(*gray.shape)), column_positions(Size(*gray.shape))
    depth = np.clip(rng.normal(0.42, 0.10), 0.15, 0.75) * outline.nipple[1]
    depth = min(depth, 0.85 * float(outline.skin(outline.top)))
    down = (rows + FIELD[0] / 2) / (np.clip(rng.normal(0.95, 0.22), 0.4, 1.5) * height)
    edge = depth * (1 - down) * (1 + rng.uniform(-0.15, 0.45) * down)
    inside = (edge - columns) / rng.uniform(1.0, 2.2)
    muscle = 1 / (1 + np.exp(-np.clip(inside, -30, 30)))
    level = rng.uniform(0.20, 0.44) * (1 - 0.15 * down) + 0.02 * clutter
    return gray * (1 - 0.75 * muscle) + muscle * level
