"""Figures of the alignment chapter."""

from __future__ import annotations

from noise import pictures

from mammogan.report.alignment_figures import pairs_figure


def test_pairs_figure() -> None:
    images = list(pictures(12, 40, 32) / 4095)
    assert len(pairs_figure(images, images, [str(i) for i in range(12)]).axes) == 40
