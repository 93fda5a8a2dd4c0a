"""The field of view of a phantom, in millimeters, and the pixel grids on it."""

import numpy as np

from mammogan.types import Size

FIELD = (220.0, 176.0)  # displayed millimeters: height, width
COARSE = Size(440, 352)  # half a millimeter per pixel: enough for outline, thickness and envelopes


def row_positions(size: Size) -> np.ndarray:
    """Return the height of each row, mm from the middle, downward; (h, 1), float32."""
    return (((np.arange(size.height, dtype=np.float32) + 0.5) / size.height - 0.5) * FIELD[0])[:, None]


def column_positions(size: Size) -> np.ndarray:
    """Return the distance of each column from the chest wall, mm; (1, w), float32."""
    return ((np.arange(size.width, dtype=np.float32) + 0.5) / size.width * FIELD[1])[None, :]


def enlarge(coarse: np.ndarray, size: Size) -> np.ndarray:
    """Interpolate a coarse map onto a grid that covers the same field; float32 (h, w)."""
    rows = (np.arange(size.height) + 0.5) * coarse.shape[0] / size.height - 0.5
    columns = (np.arange(size.width) + 0.5) * coarse.shape[1] / size.width - 0.5
    return _linear(_linear(coarse.astype(np.float32), rows).T, columns).T


def _linear(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    at = np.clip(at, 0, len(values) - 1)
    low = np.minimum(at.astype(int), len(values) - 2)
    weight = (at - low).astype(np.float32)[:, None]
    return values[low] * (1 - weight) + values[low + 1] * weight
