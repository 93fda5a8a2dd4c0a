"""The field of view of a phantom, in millimeters, and the pixel grids on it."""

from __future__ import annotations

import numpy as np

FIELD = (220.0, 176.0)  # millimeters shown: height, width


def row_positions(shape: tuple[int, int]) -> np.ndarray:
    """Height of each row, mm from the middle, downward."""
    return (((np.arange(shape[0], dtype=np.float32) + 0.5) / shape[0] - 0.5) * FIELD[0])[:, None]


def column_positions(shape: tuple[int, int]) -> np.ndarray:
    """Distance of each column from the chest wall, mm."""
    return ((np.arange(shape[1], dtype=np.float32) + 0.5) / shape[1] * FIELD[1])[None, :]


COARSE = (440, 352)  # half a millimeter: enough for outline, thickness and envelopes


def enlarge(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Interpolate a coarse map onto the grid, both covering the same field."""
    rows = (np.arange(shape[0]) + 0.5) * coarse.shape[0] / shape[0] - 0.5
    columns = (np.arange(shape[1]) + 0.5) * coarse.shape[1] / shape[1] - 0.5
    return _linear(_linear(coarse.astype(np.float32), rows).T, columns).T


def _linear(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    at = np.clip(at, 0, len(values) - 1)
    low = np.minimum(at.astype(int), len(values) - 2)
    weight = (at - low).astype(np.float32)[:, None]
    return values[low] * (1 - weight) + values[low + 1] * weight
