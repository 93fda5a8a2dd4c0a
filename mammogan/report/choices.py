"""Effects of choices that the paper leaves open, measured on the images at hand: windows, bits, the grid's margin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mammogan.data.dicom import read_mammogram
from mammogan.errors import Refused
from mammogan.metrics.moments import MOMENT_NAMES, PAIRS, image_moments

MARGINS = (0.0, 3.0, 6.0, 12.0)  # bandwidths around the pooled range


def window_effect(paths: Iterable[Path]) -> np.ndarray:
    """Return mean gray by the second window of a file over that by its first, the default; (files with two windows,).

    Files that are not mammograms, or have one window only, do not count.
    """
    ratios = []
    for path in paths:
        content = path.read_bytes()
        try:
            first, second = (float(read_mammogram(content, window=k).pixels.mean()) for k in (0, 1))
        except (Refused, IndexError):
            continue
        if first > 0:
            ratios.append(second / first)
    return np.array(ratios)


def bit_depth_effect(images: np.ndarray, bits: int, fewer: int = 8) -> dict[str, float]:
    """Return the median relative change of each moment when images (n, h, w) of `bits` bits are cut to `fewer` bits."""
    full = image_moments(images, bits)
    cut = image_moments((images >> (bits - fewer)).astype(np.uint16), fewer)
    change = np.median(np.abs(cut - full) / np.maximum(np.abs(full), 1e-12), axis=0)
    return dict(zip(MOMENT_NAMES, change.tolist(), strict=True))


def margin_effect(real: np.ndarray, synthetic: np.ndarray, margins: Iterable[float] = MARGINS) -> dict[float, float]:
    """Return the median coverage of the ten pairs of moments by area (Figure 6), for each margin of the grid.

    Args:
        real, synthetic: moments (n, 5).
        margins: reach of the grid beyond the pooled range, in bandwidths of the wider kernel.
    """
    # Takes a second to load, which the chapter that asks for windows need not wait for.
    from mammogan.metrics.coverage import SUPPORT_GRID, SUPPORTS
    from mammogan.metrics.density import Grid, bandwidths, density

    effect = {}
    for margin in margins:
        shares = []
        for i, j in PAIRS:
            a, b = real[:, [i, j]], synthetic[:, [i, j]]
            reach, pooled = margin * np.maximum(bandwidths(a), bandwidths(b)), np.concatenate([a, b])
            grid = Grid(pooled.min(0) - reach, pooled.max(0) + reach, SUPPORT_GRID)
            shares.append(SUPPORTS["area"](density(a, grid), density(b, grid)))
        effect[margin] = float(np.median(shares))
    return effect
