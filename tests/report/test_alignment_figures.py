"""Figures of the alignment chapter."""

from __future__ import annotations

from noise import pictures

from mammogan.paper.table1 import BOUND, simulate
from mammogan.report.alignment_figures import pairs_figure, simulation_figure


def test_pairs_figure() -> None:
    images = list(pictures(12, 40, 32))
    axes = pairs_figure(images, images, [str(i) for i in range(12)], 4095).axes
    assert len(axes) == 40
    assert axes[0].images[0].get_clim() == (0, 4095)


def test_simulation_figure() -> None:
    left, right = simulation_figure(simulate(n=60, scenarios=4)).axes
    assert [label.get_text() for label in left.get_yticklabels()] == list(BOUND)
    assert len(right.lines) == 2 * 3 * len(BOUND)  # a range and its ends, for three populations
