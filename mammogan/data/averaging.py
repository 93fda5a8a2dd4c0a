"""Compiled passes over an image: area averages, with or without a look-up of gray values, and levels of a pyramid.

The sums are taken in the precision of the image and in a fixed order, so that the gray levels do not depend on the
instructions of the processor.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

VALUES = 2**16  # entries of a table: one for each pattern of 16 bits


@dataclass(frozen=True)
class LookUp:
    """An image of gray values (h, w) that are looked up where they are read; no image of floats is kept in memory."""

    stored: np.ndarray = field(repr=False)  # (h, w), uint16, contiguous
    table: np.ndarray = field(repr=False)  # (VALUES,), float32: gray value in [0, 1] of each stored value

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.stored.shape[0], self.stored.shape[1]

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        # "clip" spares a check of each index; none is out of range.
        return np.take(self.table, self.stored[key], mode="clip")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:, :].astype(dtype or np.float32, copy=False)


@lru_cache(maxsize=64)
def area_weights(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights that average `source` samples over `target` equal cells.

    Returns:
        The first sample of each cell, (target,), and the weights of the samples from there, float32 (taps, target). The
        weights of a cell sum to 1. Their number is even: a cell of fewer samples has weights of 0 at the end.
    """
    edges = np.arange(target + 1) * (source / target)
    first, last = np.floor(edges[:-1] + 1e-9).astype(int), np.ceil(edges[1:] - 1e-9).astype(int)
    samples = first + np.arange((last - first).max() + 1 & ~1)[:, None]
    overlap = np.minimum(samples + 1, edges[1:]) - np.maximum(samples, edges[:-1])
    return first, np.where(samples < last, overlap * (target / source), 0).astype(np.float32)


def area_average(image: np.ndarray | LookUp, height: int, width: int) -> np.ndarray:
    """Return the means of gray values (h, w) over equal cells, float32 (height, width), clipped to [0, 1].

    Args:
        image: gray values in [0, 1]; neither side is shorter than that of the result.
        height, width: size of the result, pixels.
    """
    source, table = (image.stored, image.table) if isinstance(image, LookUp) else (image, np.empty(0, np.float32))
    source = np.ascontiguousarray(source, np.uint16 if isinstance(image, LookUp) else np.float32)
    averaged = np.empty((height, width), np.float32)
    rows, columns = area_weights(image.shape[0], height), area_weights(image.shape[1], width)
    compiled_average(isinstance(image, LookUp))(source, table, *rows, *columns, averaged)
    return averaged


@lru_cache(maxsize=2)
def compiled_average(looks_up: bool) -> Callable[..., None]:
    """Compile the pass over an image of stored values or of gray values at the first use, which lasts a second."""
    import numba
    from numba import float32, int64, uint16

    def average(
        source: np.ndarray,
        table: np.ndarray,
        first_row: np.ndarray,
        row_weights: np.ndarray,
        first_column: np.ndarray,
        column_weights: np.ndarray,
        averaged: np.ndarray,
    ) -> None:
        width = source.shape[1]
        gray, total = np.empty(width, np.float32), np.zeros(width + len(column_weights), np.float32)
        read = -1  # row that `gray` holds: two cells share the row at their border
        for cell in range(len(averaged)):
            for tap in range(len(row_weights)):
                weight, row = row_weights[tap, cell], first_row[cell] + tap
                if weight == 0:
                    continue
                if row != read:
                    read, values = row, source[row]
                    for column in range(width):
                        gray[column] = table[values[column]] if looks_up else values[column]
                if tap == 0:
                    for column in range(width):
                        total[column] = weight * gray[column]
                else:
                    for column in range(width):
                        total[column] += weight * gray[column]
            means = averaged[cell]
            for column in range(len(means)):
                means[column] = 0
            for tap in range(0, len(column_weights), 2):  # two at a time, to store half as often
                for column in range(len(means)):
                    sample = first_column[column] + tap
                    partial = means[column] + column_weights[tap, column] * total[sample]
                    means[column] = partial + column_weights[tap + 1, column] * total[sample + 1]
            for column in range(len(means)):
                means[column] = min(max(means[column], float32(0)), float32(1))

    read_only = numba.types.Array(uint16 if looks_up else float32, 2, "C", readonly=True)
    weights = (int64[::1], float32[:, ::1])
    return numba.njit(numba.void(read_only, float32[::1], *weights, *weights, float32[:, ::1]), nogil=True)(average)


def quantize_and_halve(level: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gray values (h, w) in [0, 1] on the grid 0 ... 2^bits - 1, uint16, and the means of 2 x 2 of them.

    The means, (h // 2, w // 2), are those of the values before rounding, of the same floating-point type.
    """
    gray = np.empty(level.shape, np.uint16)
    means = np.empty((level.shape[0] // 2, level.shape[1] // 2), level.dtype)
    compiled_halving(level.dtype)(np.ascontiguousarray(level), level.dtype.type(2**bits - 1), gray, means)
    return gray, means


@lru_cache(maxsize=2)
def compiled_halving(dtype: np.dtype) -> Callable[..., None]:
    """Compile the pass over a level of float32 or float64 at the first use, which lasts half a second."""
    import numba
    from numba import uint16

    real = numba.from_dtype(dtype)

    def halve(level: np.ndarray, top: float, gray: np.ndarray, means: np.ndarray) -> None:
        for row in range(len(level)):
            for column in range(level.shape[1]):
                gray[row, column] = uint16(min(max(np.rint(level[row, column] * top), real(0)), top))
        for row in range(len(means)):
            upper, lower = level[2 * row], level[2 * row + 1]
            for column in range(means.shape[1]):
                left = upper[2 * column] + lower[2 * column]
                means[row, column] = (left + (upper[2 * column + 1] + lower[2 * column + 1])) * real(0.25)

    read_only = numba.types.Array(real, 2, "C", readonly=True)
    return numba.njit(numba.void(read_only, real, uint16[:, ::1], real[:, ::1]), nogil=True)(halve)
