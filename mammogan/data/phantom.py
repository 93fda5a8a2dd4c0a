"""A procedural population of compressed breasts, so that everything can be tried and tested without a patient.

Each image is a map of fibroglandular tissue over a compressed thickness, turned into grey as "for presentation"
processing does: fat dark, glandular tissue bright, thickness evened out up to the skin. Texture is power-law noise with
the exponent that mammograms have (Burgess, Jacobson & Judy 2001, Med Phys 28:419: beta near 3). Sizes are in
millimetres, so that the same breast can be drawn on any grid. Shares and ranges are project choices, tuned by
`benchmarks/phantom_realism.py` until the moments of real mammograms and of phantoms overlap.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.interpolate import CubicSpline

from mammogan.data.export import Header, Window, write

FIELD = (220.0, 176.0)  # millimetres shown: height, width
VIEWS = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))  # of one patient, in order
DENSITIES = {"A": 0.10, "B": 0.40, "C": 0.40, "D": 0.10}  # share of each BI-RADS class
GLANDULAR = {"A": 0.10, "B": 0.24, "C": 0.42, "D": 0.62}  # share of the breast's interior, mean of the class
BETA = 3.0
TEXTURE_GRID = (640, 512)  # coefficients drawn first, whatever the grid of the image; finer ones come from their own
COARSE = (440, 352)  # half a millimetre: enough for outline, thickness and envelopes

Lesion = dict[str, float | str]


@dataclass(frozen=True)
class Vendor:
    """A fictional device: its name, windows and display."""

    manufacturer: str
    model: str
    function: str
    low: int  # stored value that is shown black by the default window
    high: int  # stored value that is shown white
    more: tuple[tuple[str, float], ...]  # other windows: explanation, factor on the width
    contrast: float


VENDORS = (
    Vendor("Phantom Imaging", "Alba", "LINEAR", 0, 4095, (), 1.0),
    Vendor("Phantom Imaging", "Alba II", "LINEAR", 300, 3700, (("HARDER", 0.8), ("SOFTER", 1.25)), 1.08),
    Vendor("Specimen Works", "Clara", "SIGMOID", 1400, 3000, (("HARDER", 0.8),), 0.94),
)


def are_phantoms(manifest: pd.DataFrame) -> bool:
    """Whether all images of a store were drawn here and may be shown: pictures of people stay where they are."""
    return bool(manifest["manufacturer"].isin({vendor.manufacturer for vendor in VENDORS}).all())


@dataclass(frozen=True)
class Patient:
    """What the four views of a patient share; lengths in millimetres."""

    age: int
    density: str
    glandular: float
    height: float  # half of the breast's height
    depth: float  # chest wall to nipple
    thickness: float
    beta: float
    strands: float  # how much of the gland lies in strands rather than clouds
    gamma: float
    gain: float


@dataclass
class Phantom:
    """One image and what is in it.

    Attributes:
        pixels: (height, width), uint16 in 0 ... 4095 as stored; what they look like is up to `header`.
        shown: (height, width), float in [0, 1], as the default window shows them.
        header: for `mammogan.data.export.write`.
        density: BI-RADS class, A to D.
        lesions: kind, place (mm from the chest wall and from the middle) and size of each.
    """

    pixels: np.ndarray = field(repr=False)
    shown: np.ndarray = field(repr=False)
    header: Header
    density: str
    lesions: list[Lesion]


def patient(seed: int, number: int) -> Patient:
    """Draw what a patient's views share."""
    rng = np.random.default_rng([seed, number, 0])
    age = int(np.clip(rng.normal(56, 9), 40, 84))  # the paper's 56 +- 9 years
    # Older breasts are less dense: the class comes from a score that falls with age.
    score = 0.5 + 0.5 * np.tanh(0.55 * (rng.normal() - 0.35 * (age - 56) / 9))
    density = "ABCD"[int(np.searchsorted(np.cumsum(list(DENSITIES.values()))[:3], score))]
    return Patient(
        age=age,
        density=density,
        glandular=float(np.clip(rng.normal(GLANDULAR[density], 0.05), 0.03, 0.8)),
        height=float(np.clip(rng.normal(106, 12), 74, 135)),
        depth=float(np.clip(rng.normal(118, 19), 70, 165)),
        thickness=float(np.clip(rng.normal(55, 12), 25, 90)),
        beta=float(np.clip(rng.normal(BETA, 0.12), 2.6, 3.4)),
        strands=float(rng.uniform(0.35, 0.8)),
        gamma=float(np.clip(rng.normal(1.0, 0.13), 0.7, 1.4)),
        gain=float(np.exp(rng.normal(0, 0.10))),
    )


def texture(rng: np.random.Generator, fine: np.random.Generator, shape: tuple[int, int], beta: float) -> np.ndarray:
    """Gaussian noise whose power falls as frequency^-beta; mean 0, variance 1; (h, w).

    Args:
        rng: of the coefficients up to the band of TEXTURE_GRID, the same for every shape.
        fine: of those beyond.
        shape: of the image. The field is drawn on twice the area and cut, so that its edges do not match.
    """
    h, w = (int(1.25 * side) for side in shape)
    base = int(1.25 * TEXTURE_GRID[0]), int(1.25 * TEXTURE_GRID[1])
    known = _coefficients(rng, base)
    rows, columns = min(h, base[0]) // 2, min(w, base[1]) // 2
    larger = h > base[0] or w > base[1]
    spectrum = _coefficients(fine, (h, w)) if larger else np.zeros((h, w // 2 + 1), np.complex64)
    spectrum[:rows, :columns] = known[:rows, :columns]
    spectrum[-rows:, :columns] = known[-rows:, :columns]
    power = _power(h, w, beta)
    values = np.fft.irfft2(spectrum * power, s=(h, w))[: shape[0], : shape[1]]
    return (values / _deviation(beta) * (h * w) / (base[0] * base[1])).astype(np.float32)


def _coefficients(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    parts = rng.standard_normal((shape[0], shape[1] // 2 + 1, 2), np.float32)
    return parts.view(np.complex64)[..., 0]


@lru_cache(8)
def _power(h: int, w: int, beta: float) -> np.ndarray:
    """Amplitude at each frequency, cycles per field; the lowest are held back so that no gradient rules the image."""
    fy, fx = np.fft.fftfreq(h, 1 / h)[:, None] / FIELD[0], np.fft.rfftfreq(w, 1 / w)[None, :] / FIELD[1]
    frequency = np.hypot(fy, fx) / 1.25
    amplitude = (frequency + 1 / 120) ** (-beta / 2)
    amplitude[0, 0] = 0
    return amplitude.astype(np.float32)


@lru_cache(64)
def _deviation(beta: float) -> float:
    """Standard deviation of the unscaled field, from its spectrum."""
    h, w = (int(1.25 * side) for side in TEXTURE_GRID)
    power = _power(h, w, beta).astype(np.float64) ** 2
    # Real and imaginary part have variance 1 each; inner columns of a half spectrum count twice.
    return float(np.sqrt(2 * (2 * power.sum() - power[:, 0].sum())) / (h * w))


def _outline(rng: np.random.Generator, who: Patient, view: str) -> tuple[CubicSpline, float, tuple[float, float]]:
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


def render(seed: int, number: int, view: str, laterality: str, *, height: int = 1280, width: int = 1024) -> Phantom:
    """Draw one view of one patient.

    Args:
        seed: of the population.
        number: of the patient, 0-based.
        view, laterality: "CC" or "MLO"; "L" or "R".
        height, width: pixels, 5 : 4; the same breast whatever they are, with more or less detail.

    Raises:
        ValueError: an unknown view or laterality, a size that is not 5 : 4 or smaller than 80 x 64.
    """
    if (laterality, view) not in VIEWS:
        raise ValueError(f"{laterality} {view} is no view of the phantoms; take L or R, CC or MLO.")
    if height * 4 != width * 5 or height < 80:
        raise ValueError(f"A phantom is drawn 5 : 4 and 80 pixels high or more, not {height} x {width}.")
    who = patient(seed, number)
    which = VIEWS.index((laterality, view))
    rng = np.random.default_rng([seed, number, 1, which])
    fine = np.random.default_rng([seed, number, 2, which])
    breast = np.random.default_rng([seed, number, 3, "LR".index(laterality)])  # both views of a breast share lesions

    shape = (height, width)
    per_mm = height / FIELD[0]
    skin, nipple_y, (top, bottom) = _outline(rng, who, view)
    # Coarse maps are brought to the grid by interpolation: the same at every size.
    coarse_mm = FIELD[0] / COARSE[0]
    y, x = _rows(COARSE), _columns(COARSE)
    edge = skin(y[:, 0])
    depth = float(skin(nipple_y))
    inside = x < edge[:, None]
    # Distance to the skin; the chest wall and the image's upper edge are no skin.
    padded = np.pad(inside, ((1, 1), (0, 1)))
    if view == "MLO":
        padded[0] = padded[1]
    inward = ndimage.distance_transform_edt(padded)[1:-1, :-1] - 0.5
    outward = ndimage.distance_transform_edt(~padded)[1:-1, :-1] - 0.5
    # Smoothing takes the stairs of the coarse grid out of the skin line.
    coarse_distance = ndimage.gaussian_filter(np.where(inside, inward, -outward), 1.0 / coarse_mm) * coarse_mm
    distance = _enlarge(coarse_distance, shape)

    clouds = texture(rng, fine, shape, who.beta)
    coarse_clouds = ndimage.gaussian_filter(clouds, 3.0 * per_mm)
    weave = texture(rng, fine, shape, 2.6)
    # Strands: crests of band-limited noise, drawn out toward the nipple.
    nipple = (nipple_y, depth)
    strands = _strands(rng, shape, nipple)

    # Where glandular tissue lies: behind the nipple, more above than below, free of a rim of fat under the skin.
    gy, gx = nipple_y - 0.10 * who.height + rng.normal(0, 4), depth * rng.uniform(0.52, 0.62)
    span_y, span_x = who.height * rng.uniform(0.52, 0.72), depth * rng.uniform(0.44, 0.58)
    if view == "MLO":
        gy -= 0.06 * who.height
    envelope = 1 - np.hypot((y - gy) / span_y, (x - gx) / span_x)
    envelope = np.minimum(envelope, (coarse_distance - rng.uniform(4, 9)) / 12)
    # Tissue thins out over a centimetre or two rather than ending: the share decides where its middle lies.
    lobes = _enlarge(envelope, shape) * 1.4 + 0.85 * coarse_clouds
    threshold = np.quantile(lobes[::4, ::4][distance[::4, ::4] > 3], 1 - who.glandular)
    gland = 1 / (1 + np.exp(-(lobes - threshold) / 0.38))
    # Threads of connective tissue carry the gland; between them lies fat.
    threads = _threads(rng, shape) * 0.6 + strands * 0.5
    amount = gland * (0.42 + who.strands * 0.62 * threads + (0.10 + 0.10 * (1 - who.strands)) * clouds + 0.05 * weave)
    amount += 0.10 * np.clip(threads, 0, None) * _enlarge(np.clip(envelope + 1.0, 0, 1), shape)
    amount += 0.035 * weave + 0.03 * clouds
    amount = np.logaddexp(0, 18 * (amount + 0.06)) / 18 - 0.06  # nothing absorbs less than fat does

    lines = _Lines(shape, per_mm)
    _vessels(rng, lines, who, skin, nipple, (top, bottom))
    _ducts(rng, lines, nipple, who)
    _ligaments(rng, lines, skin, (top, bottom))
    lesions = _lesions(breast, rng, lines, who, view, gy, gx, span_y, span_x)
    amount += lines.drawn()

    # Compressed thickness: full inside, rounded off toward the skin; processing evens most of it out.
    rim = np.clip(distance, 0, None)
    full = 1 - np.exp(-rim / (0.16 * who.thickness))
    path = 0.30 + 0.70 * full
    grey = path * (0.165 + 0.74 * amount * (0.35 + 0.65 * full))
    grey += rng.uniform(0.08, 0.16) * np.exp(-(((rim - 1.0) / 0.7) ** 2))
    spot = ((_rows(shape) - nipple_y) / 5.5) ** 2 + ((_columns(shape) - depth + 1.5) / 4.5) ** 2
    grey += rng.uniform(0.08, 0.25) * np.exp(-(spot**2))
    if view == "MLO":
        grey = _pectoral(rng, grey, shape, who, clouds + 0.7 * weave, depth, float(skin(top)))
    elif rng.random() < 0.12:
        sliver = (_columns(shape) - rng.uniform(2, 6)) + ((_rows(shape) - rng.normal(0, 10)) / 40) ** 2 * 6
        grey += 0.22 / (1 + np.exp(np.clip(sliver / 1.2, -30, 30)))
    grey += lines.calcifications()
    grey = np.clip(grey, 0, None)

    # Detector: a little blur, then quantum noise that grows with the signal behind it.
    grey = ndimage.gaussian_filter(grey, 0.12 * per_mm)
    vendor = VENDORS[int(np.random.default_rng([seed, number, 4]).integers(len(VENDORS)))]
    grey = who.gain * vendor.contrast * grey
    noise = 0.012 * np.sqrt(np.clip(grey, 0.02, 1)) * min(per_mm / 4, 1.2)
    grey = grey + noise * fine.standard_normal(shape, np.float32)
    grey = np.clip(1.06 * np.clip(grey, 0, None) ** who.gamma, 0, None)
    # The top of the display rolls off instead of clipping, as a toe and shoulder curve does.
    grey = np.where(grey > 0.75, 0.75 + 0.25 * np.tanh((grey - 0.75) / 0.25), grey)
    inside_fine = np.clip(distance * per_mm + 0.5, 0, 1)
    shown = np.clip(grey * inside_fine, 0, 1)
    if laterality == "R":
        shown = shown[:, ::-1]
    return _finish(shown, seed, number, which, who, vendor, lesions)


def _finish(
    shown: np.ndarray, seed: int, number: int, which: int, who: Patient, vendor: Vendor, lesions: list[Lesion]
) -> Phantom:
    """Store the grey values so that the vendor's default window shows them, and write the header."""
    laterality, view = VIEWS[which]
    width = float(vendor.high - vendor.low)
    center = vendor.low + width / 2
    if vendor.function == "SIGMOID":
        clipped = np.clip(shown, 0.004, 0.996)
        stored = center + width / 4 * np.log(clipped / (1 - clipped))
    else:
        stored = vendor.low + shown * width
        # LINEAR maps center - 1/2 +- (width - 1) / 2 (PS3.3 C.11.2.1.2.1).
        center, width = center + 0.5, width + 1
    windows = [Window(center, width), *(Window(center, width * factor, name) for name, factor in vendor.more)]
    index = 4 * number + which
    choice = np.random.default_rng([seed, number, 5, which])
    header = Header(
        view=view,
        laterality=laterality,
        key=f"phantom-{seed}-{index}-{shown.shape[0]}x{shown.shape[1]}",
        study=f"phantom-{seed}-{number}",
        patient=f"PHANTOM^{number:06d}",
        age=who.age,
        spacing_mm=FIELD[0] / shown.shape[0],
        windows=tuple(windows),
        function=vendor.function,
        inverted=bool(choice.random() < 0.2),
        compressed=bool(choice.random() < 0.25),
        manufacturer=vendor.manufacturer,
        model=vendor.model,
        comment="Procedural phantom; shows no person.",
    )
    pixels = np.clip(np.rint(stored), 0, 4095).astype(np.uint16)
    return Phantom(pixels, shown, header, who.density, lesions)


def _enlarge(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Interpolate a coarse map onto the grid, both covering the same field."""
    rows = (np.arange(shape[0]) + 0.5) * coarse.shape[0] / shape[0] - 0.5
    columns = (np.arange(shape[1]) + 0.5) * coarse.shape[1] / shape[1] - 0.5
    return _linear(_linear(coarse.astype(np.float32), rows).T, columns).T


def _linear(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    at = np.clip(at, 0, len(values) - 1)
    low = np.minimum(at.astype(int), len(values) - 2)
    weight = (at - low).astype(np.float32)[:, None]
    return values[low] * (1 - weight) + values[low + 1] * weight


def _rows(shape: tuple[int, int]) -> np.ndarray:
    """Height of each row, mm from the middle, downward."""
    return (((np.arange(shape[0], dtype=np.float32) + 0.5) / shape[0] - 0.5) * FIELD[0])[:, None]


def _columns(shape: tuple[int, int]) -> np.ndarray:
    """Distance of each column from the chest wall, mm."""
    return ((np.arange(shape[1], dtype=np.float32) + 0.5) / shape[1] * FIELD[1])[None, :]


def _strands(rng: np.random.Generator, shape: tuple[int, int], nipple: tuple[float, float]) -> np.ndarray:
    """Bright threads of connective tissue that run toward the nipple; mean near 0, (h, w).

    Crests of smooth noise in polar coordinates around a point before the nipple; two scales.
    """
    y, x = _rows(COARSE) - nipple[0], _columns(COARSE) - nipple[1] - 25
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
    return _enlarge(total, shape)


def _threads(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A net of bright threads at three scales; mean near 0, (h, w): where smooth noise crosses zero."""
    total = np.zeros((640, 512), np.float32)
    for scale, weight in ((3.4, 0.38), (1.9, 0.36), (1.0, 0.26)):  # mm
        noise = ndimage.gaussian_filter(rng.standard_normal(total.shape, np.float32), scale * total.shape[0] / FIELD[0])
        noise /= noise.std()
        total += weight * (3.0 * np.exp(-((noise / 0.42) ** 2)) - 1.0)
    return _enlarge(total, shape)


class _Lines:
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
    """A smooth random path from (y, x), millimetre by millimetre."""
    turns = ndimage.gaussian_filter1d(rng.standard_normal(max(int(length), 4)), 6, mode="nearest") * bend
    angle = heading + np.cumsum(turns)
    return y + np.cumsum(np.sin(angle)), x + np.cumsum(np.cos(angle))


def _vessels(
    rng: np.random.Generator,
    lines: _Lines,
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


def _vascular_calcification(rng: np.random.Generator, lines: _Lines, y: np.ndarray, x: np.ndarray) -> None:
    start = int(rng.uniform(0.05, 0.3) * len(y))
    stop = min(start + int(rng.uniform(15, 40)), len(y))
    for offset in (-0.8, 0.8):
        for at in range(start, stop):
            if rng.random() < 0.7:
                lines.spot(y[at] + offset + rng.normal(0, 0.1), x[at] + rng.normal(0, 0.3), 0.25, rng.uniform(0.1, 0.3))


def _ducts(rng: np.random.Generator, lines: _Lines, nipple: tuple[float, float], who: Patient) -> None:
    """Ducts that fan out from the nipple into the gland."""
    for heading in np.linspace(-0.75, 0.75, int(rng.integers(6, 11))):
        length = rng.uniform(0.25, 0.5) * nipple[1]
        y, x = _walk(rng, nipple[0], nipple[1] - 2, np.pi + heading + rng.normal(0, 0.08), length, 0.05)
        lines.curve(y, x, rng.uniform(0.9, 1.6), rng.uniform(0.05, 0.14) * np.linspace(1, 0.3, len(y)))


def _ligaments(rng: np.random.Generator, lines: _Lines, skin: CubicSpline, span: tuple[float, float]) -> None:
    """Cooper's ligaments: fine arcs between gland and skin."""
    for y0 in rng.uniform(span[0] * 0.9, span[1] * 0.9, int(rng.integers(14, 28))):
        edge = float(skin(y0))
        if edge < 20:
            continue
        inward = np.pi + np.arctan(float(skin(y0, 1))) * 0.8
        y, x = _walk(rng, y0, edge - 1.5, inward + rng.normal(0, 0.3), rng.uniform(12, 32), 0.10)
        lines.curve(y, x, rng.uniform(0.5, 1.0), rng.uniform(0.05, 0.13) * np.linspace(0.6, 1, len(y)))


def _lesions(
    breast: np.random.Generator,
    rng: np.random.Generator,
    lines: _Lines,
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
        rows, columns = _rows(lines.shape) - y, _columns(lines.shape) - x
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


def _pectoral(
    rng: np.random.Generator,
    grey: np.ndarray,
    shape: tuple[int, int],
    who: Patient,
    tissue: np.ndarray,
    depth: float,
    skin_at_top: float,
) -> np.ndarray:
    """The pectoral muscle: a bright triangle at the upper chest wall with a gently curved edge."""
    at_top = min(np.clip(rng.normal(0.42, 0.10), 0.15, 0.75) * depth, 0.85 * skin_at_top)
    length = np.clip(rng.normal(0.95, 0.22), 0.4, 1.5) * who.height
    down = (_rows(shape) + FIELD[0] / 2) / length
    edge = at_top * (1 - down) * (1 + rng.uniform(-0.15, 0.45) * down)
    inside = (edge - _columns(shape)) / rng.uniform(1.0, 2.2)
    muscle = 1 / (1 + np.exp(-np.clip(inside, -30, 30)))
    level = rng.uniform(0.26, 0.50) * (1 - 0.15 * down) + 0.02 * tissue
    return grey * (1 - 0.75 * muscle) + muscle * level


def write_population(
    out: str | Path,
    count: int,
    seed: int,
    *,
    height: int = 1280,
    width: int = 1024,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `count` images as DICOM files, four a patient, and phantoms.csv, which says what is in them.

    Args:
        out: folder, made where it is missing; files in it are replaced.
        count: number of images.
        seed: of the population; image i depends on (seed, i) alone.
        height, width: pixels, 5 : 4.
        workers: processes.
        progress: called with (images done, count).

    Returns:
        the path of phantoms.csv.

    Raises:
        ValueError: a count below 1 or a size that `render` refuses.
    """
    if count < 1:
        raise ValueError(f"{count} phantoms cannot be drawn; choose a count of 1 or more.")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    draw = partial(_write_one, out, seed, height, width)
    table = out / "phantoms.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "patient", "view", "laterality", "age", "density", "lesions"])
        if workers == 1:
            drawn: Iterator[list[str | int]] = map(draw, range(count))
        else:
            pool = ProcessPoolExecutor(workers)
            drawn = pool.map(draw, range(count), chunksize=4)
        for done, row in enumerate(drawn, 1):
            rows.writerow(row)
            if progress:
                progress(done, count)
        if workers != 1:
            pool.shutdown()
    return table


def _write_one(out: Path, seed: int, height: int, width: int, index: int) -> list[str | int]:
    number, which = divmod(index, 4)
    laterality, view = VIEWS[which]
    made = render(seed, number, view, laterality, height=height, width=width)
    name = f"{index:07d}.dcm"
    aside = out / f".{name}.aside"
    write(aside, made.pixels, made.header)
    os.replace(aside, out / name)
    lesions = "; ".join(f"{lesion['kind']} {lesion['mm']:.1f} mm" for lesion in made.lesions)
    return [name, number, view, laterality, made.header.age or "", made.density, lesions]
