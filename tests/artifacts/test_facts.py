"""Facts of drawn breasts."""

from __future__ import annotations

import numpy as np

from mammogan.artifacts.facts import grid_peak
from mammogan.data.images import Images


def test_grid_peak_knows_the_upsampling_periods(population: Images) -> None:
    image = population.pixels[0] / 4095
    clean = grid_peak(image)
    rows, columns = np.indices(image.shape)
    for period in (2, 4, 8):
        wave = np.cos(2 * np.pi * rows / period) * np.cos(2 * np.pi * columns / period)
        assert grid_peak(image * (1 + 0.15 * wave)) > clean + 0.25
    wave = np.cos(2 * np.pi * rows / 5) * np.cos(2 * np.pi * columns / 5)
    assert grid_peak(image * (1 + 0.15 * wave)) < clean + 0.25
