"""Anatomy of a phantom: outline, strands, vessels, ducts, ligaments, lesions, pectoral muscle."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.interpolate import CubicSpline

from mammogan.data.phantom.grid import COARSE, FIELD, column_positions, enlarge, row_positions
from mammogan.data.phantom.patient import Lesion, Patient


def draw_outline(rng: np.random.Generator, who: Patient, view: str) -> tuple[CubicSpline, float, tuple[float, float]]:
    """The skin: depth (mm from the chest wall) as a function of height (mm from the middle, downward).

    Returns:
        the function, the nipple's height, and (top, bottom) of the breast.
    """
    half, depth = who.height * rng.normal(1, 0.03), who.depth * rng.normal(1, 0.04)
    nipple = rng.normal(0, 0.06) * half if view == "CC" else rng.normal(0.18, 0.08) * half
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
    top = -FIELD[0] / 2 if view == "MLO" else -half
    return CubicSpline(y, x + bump), nipple, (top, half)


def strands(rng: np.random.Generator, shape: tuple[int, int], nipple: tuple[float, float]) -> np.ndarray:
    """Bright threads of connective tissue that run toward the nipple; mean near 0, (h, w).

    Crests of smooth noise in polar coordinates around a point before the nipple; two scales.
    """
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
    return enlarge(total, shape)


def threads(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A net of bright threads at three scales; mean near 0, (h, w): where smooth noise crosses zero."""
    total = np.zeros((640, 512), np.float32)
    for scale, weight in ((3.4, 0.38), (1.9, 0.36), (1.0, 0.26)):  # mm
        noise = ndimage.gaussian_filter(rng.standard_normal(total.shape, np.float32), scale * total.shape[0] / FIELD[0])
        noise /= noise.std()
        total += weight * (3.0 * np.exp(-((noise / 0.42) ** 2)) - 1.0)
    return enlarge(total, shape)


class Lines:
    """Collects thin structures as points of given width and strength, then draws all of a width at once."""

    def __init__(self, shape: tuple[int, int], per_mm: float) -> None:
        self.shape, self.per_mm = shape, per_mm
        self.points: dict[float, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        self.spots: list[tuple[float, float, float, float]] = []
        self.masses = np.zeros(shape, np.float32)

    def curve(self, y: np.ndarray, x: np.ndarray, width: float, strength: float | np.ndarray) -> None:
        """A curve through points (mm); `width` is its full width at half maximum, `strength` its peak."""
        sigma = round(max(width / 2.355, 0.15), 1)
        steps = np.hypot(np.diff(y), np.diff(x))
        length = np.concatenate([[0], np.cumsum(steps)])
        at = np.arange(0, length[-1], 0.12)
        if at.size == 0:
            return
        step = 0.12 * self.per_mm
        weight = np.interp(at, length, np.broadcast_to(strength, y.shape)) * np.sqrt(2 * np.pi) * sigma * self.per_mm
        entry = (np.interp(at, length, y), np.interp(at, length, x), weight * step)
        self.points.setdefault(sigma, []).append(entry)

    def spot(self, y: float, x: float, radius: float, strength: float) -> None:
        """A calcification (mm)."""
        self.spots.append((y, x, radius, strength))

    def drawn(self) -> np.ndarray:
        total = self.masses.copy()
        for sigma, entries in self.points.items():
            y, x, weight = (np.concatenate(parts) for parts in zip(*entries, strict=True))
            layer = np.zeros(self.shape, np.float32)
            rows = (y + FIELD[0] / 2) * self.per_mm - 0.5
            columns = x * self.per_mm - 0.5
            r, c = np.floor(rows).astype(int), np.floor(columns).astype(int)
            for dr in (0, 1):
                for dc in (0, 1):
                    share = np.abs(1 - dr - (rows - r)) * np.abs(1 - dc - (columns - c))
                    keep = (r + dr >= 0) & (r + dr < self.shape[0]) & (c + dc >= 0) & (c + dc < self.shape[1])
                    np.add.at(layer, (r[keep] + dr, c[keep] + dc), (weight * share)[keep])
            total += np.clip(ndimage.gaussian_filter(layer, sigma * self.per_mm, truncate=3), 0, 0.6)
        return total

    def calcifications(self) -> np.ndarray:
        total = np.zeros(self.shape, np.float32)
        for y, x, radius, strength in self.spots:
            row, column = (y + FIELD[0] / 2) * self.per_mm - 0.5, x * self.per_mm - 0.5
            reach = int(np.ceil(radius * self.per_mm)) + 2
            r0, c0 = max(int(row) - reach, 0), max(int(column) - reach, 0)
            r1, c1 = min(int(row) + reach + 2, self.shape[0]), min(int(column) + reach + 2, self.shape[1])
            if r0 >= r1 or c0 >= c1:
                continue
            distance = np.hypot(np.arange(r0, r1)[:, None] - row, np.arange(c0, c1)[None, :] - column)
            # A ball that is smaller than a pixel still covers its share of one.
            disc = np.clip(radius * self.per_mm - distance + 0.5, 0, 1)
            total[r0:r1, c0:c1] = np.maximum(total[r0:r1, c0:c1], strength * disc)
        return total


def _walk(
    rng: np.random.Generator, y: float, x: float, heading: float, length: float, bend: float
) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random path from (y, x), millimeter by millimeter."""
    turns = ndimage.gaussian_filter1d(rng.standard_normal(max(int(length), 4)), 6, mode="nearest") * bend
    angle = heading + np.cumsum(turns)
    return y + np.cumsum(np.sin(angle)), x + np.cumsum(np.cos(angle))


def draw_vessels(
    rng: np.random.Generator,
    lines: Lines,
    who: Patient,
    skin: CubicSpline,
    nipple: tuple[float, float],
    span: tuple[float, float],
) -> None:
    """Vessels that enter at the chest wall, run toward the nipple, branch and taper."""
    for _ in range(int(rng.integers(2, 6))):
        y0 = rng.uniform(span[0] * 0.75, span[1] * 0.75)
        heading = np.arctan2((nipple[0] - y0) * 0.7, nipple[1])
        length, strength = rng.uniform(0.5, 0.95) * nipple[1], rng.uniform(0.06, 0.15)
        y, x = _walk(rng, y0, rng.uniform(-2, 15), heading + rng.normal(0, 0.2), length, 0.09)
        taper = np.linspace(1, 0.35, len(y)) * (x < skin(y) - 3)
        lines.curve(y, x, rng.uniform(1.0, 2.4), strength * taper)
        if rng.random() < 0.6:
            at = int(rng.uniform(0.3, 0.6) * len(y))
            side = rng.choice([-1, 1]) * rng.uniform(0.35, 0.7)
            yb, xb = _walk(rng, y[at], x[at], heading + side, 0.5 * length, 0.09)
            lines.curve(
                yb, xb, rng.uniform(0.8, 1.4), 0.8 * strength * np.linspace(1, 0.2, len(yb)) * (xb < skin(yb) - 3)
            )
        if rng.random() < 0.07 * (who.age - 40) / 20:
            _vascular_calcification(rng, lines, y, x)


def _vascular_calcification(rng: np.random.Generator, lines: Lines, y: np.ndarray, x: np.ndarray) -> None:
    start = int(rng.uniform(0.05, 0.3) * len(y))
    stop = min(start + int(rng.uniform(15, 40)), len(y))
    for offset in (-0.8, 0.8):
        for at in range(start, stop):
            if rng.random() < 0.7:
                lines.spot(y[at] + offset + rng.normal(0, 0.1), x[at] + rng.normal(0, 0.3), 0.25, rng.uniform(0.1, 0.3))


def draw_ducts(rng: np.random.Generator, lines: Lines, nipple: tuple[float, float], who: Patient) -> None:
    """Ducts that fan out from the nipple into the gland."""
    for heading in np.linspace(-0.75, 0.75, int(rng.integers(6, 11))):
        length = rng.uniform(0.25, 0.5) * nipple[1]
        y, x = _walk(rng, nipple[0], nipple[1] - 2, np.pi + heading + rng.normal(0, 0.08), length, 0.05)
        lines.curve(y, x, rng.uniform(0.9, 1.6), rng.uniform(0.05, 0.14) * np.linspace(1, 0.3, len(y)))


def draw_ligaments(rng: np.random.Generator, lines: Lines, skin: CubicSpline, span: tuple[float, float]) -> None:
    """Cooper's ligaments: fine arcs between gland and skin."""
    for y0 in rng.uniform(span[0] * 0.9, span[1] * 0.9, int(rng.integers(14, 28))):
        edge = float(skin(y0))
        if edge < 20:
            continue
        inward = np.pi + np.arctan(float(skin(y0, 1))) * 0.8
        y, x = _walk(rng, y0, edge - 1.5, inward + rng.normal(0, 0.3), rng.uniform(12, 32), 0.10)
        lines.curve(y, x, rng.uniform(0.5, 1.0), rng.uniform(0.05, 0.13) * np.linspace(0.6, 1, len(y)))


def draw_lesions(
    breast: np.random.Generator,
    rng: np.random.Generator,
    lines: Lines,
    who: Patient,
    view: str,
    gy: float,
    gx: float,
    span_y: float,
    span_x: float,
) -> list[Lesion]:
    """Masses and calcifications of one breast, at the same depth in both of its views."""
    found: list[Lesion] = []

    def place() -> tuple[float, float]:
        radius, angle, tilt = 0.8 * np.sqrt(breast.random()), breast.uniform(0, 2 * np.pi), breast.uniform(-0.3, 0.3)
        vertical = np.sin(angle) + (tilt if view == "MLO" else 0)
        return gy + span_y * radius * vertical, gx + span_x * radius * np.cos(angle)

    if breast.random() < 0.16:
        (y, x), size = place(), float(np.exp(breast.normal(np.log(7), 0.35)))
        spiculated = bool(breast.random() < 0.5)
        rows, columns = row_positions(lines.shape) - y, column_positions(lines.shape) - x
        angle = np.arctan2(rows, columns)
        lobes = 1 + sum(breast.normal(0, 0.10) * np.cos(k * angle + breast.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5))
        soft = 1.6 if spiculated else 0.9
        lines.masses += 0.45 / (1 + np.exp((np.hypot(rows, columns) - size * lobes) / soft))
        if spiculated:
            for heading in breast.uniform(0, 2 * np.pi, int(breast.integers(12, 22))):
                ys, xs = _walk(rng, y + 0.7 * size * np.sin(heading), x + 0.7 * size * np.cos(heading), heading,
                               size * float(breast.uniform(0.8, 1.8)), 0.03)  # fmt: skip
                lines.curve(ys, xs, 0.7, 0.28 * np.linspace(1, 0.1, len(ys)))
        found.append({"kind": "spiculated mass" if spiculated else "mass", "y_mm": y, "x_mm": x, "mm": 2 * size})
    for _ in range(int(breast.poisson(0.7))):
        (y, x), radius = place(), float(breast.uniform(0.3, 1.1))
        lines.spot(y, x, radius, float(breast.uniform(0.25, 0.5)))
        found.append({"kind": "round calcification", "y_mm": y, "x_mm": x, "mm": 2 * radius})
    if breast.random() < 0.10:
        (y, x), spread = place(), float(breast.uniform(2, 6))
        for _ in range(int(breast.integers(8, 26))):
            dy, dx = breast.normal(0, spread, 2)
            lines.spot(y + dy, x + dx, float(breast.uniform(0.1, 0.28)), float(breast.uniform(0.2, 0.5)))
        found.append({"kind": "clustered microcalcifications", "y_mm": y, "x_mm": x, "mm": 4 * spread})
    return found


def draw_pectoral(
    rng: np.random.Generator,
    gray: np.ndarray,
    shape: tuple[int, int],
    who: Patient,
    tissue: np.ndarray,
    depth: float,
    skin_at_top: float,
) -> np.ndarray:
    """The pectoral muscle: a bright triangle at the upper chest wall with a gently curved edge."""
    at_top = min(np.clip(rng.normal(0.42, 0.10), 0.15, 0.75) * depth, 0.85 * skin_at_top)
    length = np.clip(rng.normal(0.95, 0.22), 0.4, 1.5) * who.height
    down = (row_positions(shape) + FIELD[0] / 2) / length
    edge = at_top * (1 - down) * (1 + rng.uniform(-0.15, 0.45) * down)
    inside = (edge - column_positions(shape)) / rng.uniform(1.0, 2.2)
    muscle = 1 / (1 + np.exp(-np.clip(inside, -30, 30)))
    level = rng.uniform(0.26, 0.50) * (1 - 0.15 * down) + 0.02 * tissue
    return gray * (1 - 0.75 * muscle) + muscle * level
