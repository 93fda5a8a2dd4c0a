"""The three-dimensional anatomy of a breast, which both of its views project.

Coordinates are shares of the breast, so that they do not depend on how a view compresses it: u runs down and v to the
middle of the body, from -1 to 1, and x from the chest wall at 0 to the nipple at 1. A CC is the projection along u. An
MLO is the projection along the direction halfway between u and -v: its rows run from the outer upper quadrant to the
inner lower one. Compression moves tissue along u and v, and leaves it about as far from the chest wall.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from mammogan.data.phantom.patient import Patient

VOXELS = (64, 36, 64)  # along u, x and v: some 3.3 mm each
ALIKE = 0.6  # share of the variance of tissue that left and right breast have in common
EXPONENT = 3.6  # of the power of tissue against frequency, in three dimensions and in each projection


def row_share(view: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the position of points along the rows of a view, as a share of half the breast's height."""
    return v if view == "CC" else (u + v) / np.sqrt(2)


@dataclass(frozen=True)
class Breast:
    """What both views of a breast share.

    Attributes:
        height, depth: of the outline, mm; half of the height, and chest wall to nipple.
        nipple: u and v of the nipple.
        gland: center and half axes of the gland along u, x and v.
        tissue: share of glandular tissue in each voxel, `VOXELS`.
    """

    height: float
    depth: float
    nipple: np.ndarray
    gland: tuple[np.ndarray, np.ndarray]
    tissue: np.ndarray = field(repr=False)

    @property
    def nipple_point(self) -> np.ndarray:
        """Return u, x and v of the nipple."""
        return np.array([self.nipple[0], 1, self.nipple[1]])

    def projected(self, view: str) -> np.ndarray:
        """Return the mean share of glandular tissue along each ray: (rows from -1 to 1, depths from 0 to 1)."""
        inside = _positions()[1] < 1
        if view == "CC":
            amount, length = self.tissue.sum(0).T, inside.sum(0).T
        else:
            amount, length = _turned(self.tissue).sum(2), _turned(inside).sum(2)
        return amount / np.maximum(length, VOXELS[0] / 5)  # near the skin a ray is short


def draw_breast(who: Patient, woman: Generator, side: Generator) -> Breast:
    """Draw the anatomy of one breast.

    Args:
        who: the patient.
        woman: random numbers that both breasts of the patient share.
        side: those of this breast alone.
    """
    nipple = woman.normal(0, 0.05, 2) + side.normal(0, 0.02, 2)
    # Glandular tissue is deep to the nipple, more in the outer upper quadrant.
    center = np.array([nipple[0] - 0.10, woman.uniform(0.42, 0.78), nipple[1] - 0.08]) + side.normal(0, 0.03, 3)
    axes = np.array([woman.uniform(0.50, 0.80), woman.uniform(0.34, 0.60), woman.uniform(0.50, 0.80)])
    noise = np.sqrt(ALIKE) * _noise(woman) + np.sqrt(1 - ALIKE) * _noise(side)
    points, radius = _positions()
    envelope = 1 - np.sqrt(sum(((x - c) / a) ** 2 for x, c, a in zip(points, center, axes, strict=True)))
    lobes = 1.4 * np.minimum(envelope, (0.97 - radius) / 0.2) + who.clumps * noise
    # Tissue thins out over a centimeter or two rather than ending: its share decides where the middle of that is.
    threshold = np.quantile(lobes[radius < 1], 1 - who.glandular)
    tissue = np.where(radius < 1, 1 / (1 + np.exp(-(lobes - threshold) / 0.2)), 0)
    height, depth = who.height * side.normal(1, 0.02), who.depth * side.normal(1, 0.03)
    return Breast(height, depth, nipple, (center, axes), tissue.astype(np.float32))


@lru_cache(1)
def _positions() -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return u, x and v of the voxels, and the distance from the middle of the chest wall: 1 at the skin."""
    u, x, v = ((np.arange(n) + 0.5) / n for n in VOXELS)
    points = np.meshgrid(2 * u - 1, x, 2 * v - 1, indexing="ij")
    return tuple(points), np.sqrt(sum(axis**2 for axis in points))


@lru_cache(1)
def _diagonal() -> np.ndarray:
    """Return where the voxels of a volume turned by 45 degrees about x lie in the one that it was."""
    s, x, w = np.meshgrid(*((np.arange(n) - (n - 1) / 2) for n in VOXELS), indexing="ij")
    u, v = (s + w) / np.sqrt(2), (s - w) / np.sqrt(2)
    return np.stack([axis + (n - 1) / 2 for axis, n in zip((u, x, v), VOXELS, strict=True)])


def _turned(volume: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(volume.astype(np.float32), _diagonal(), order=1)


def _noise(rng: Generator) -> np.ndarray:
    """Return noise of a power law, mean 0 and variance 1."""
    u, x, v = (np.fft.fftfreq(n, side / n) for n, side in zip(VOXELS, (2, 1.1, 2), strict=True))
    frequency = np.sqrt(u[:, None, None] ** 2 + x[:, None] ** 2 + v[: VOXELS[2] // 2 + 1] ** 2)
    spectrum = np.fft.rfftn(rng.standard_normal(VOXELS, np.float32)) * (frequency + 0.8) ** (-EXPONENT / 2)
    noise = np.fft.irfftn(spectrum, VOXELS, axes=(0, 1, 2))
    return (noise - noise.mean()) / noise.std()
