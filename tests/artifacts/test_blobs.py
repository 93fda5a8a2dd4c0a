"""Blobs: planted discs are counted, lines are not, and sets are compared by patient."""

from __future__ import annotations

import numpy as np
import pytest

from mammogan.artifacts.blobs import compare_blobs, count_blobs, find_blobs


def test_planted_blobs_are_counted_with_their_size_and_lines_are_not() -> None:
    rng = np.random.default_rng(0)
    h, w, mm = 320, 256, 0.5
    rows, columns = np.indices((h, w))
    breast = (np.hypot(rows - 160, columns) < 150).astype(np.float32)
    image = 0.3 * breast + 0.01 * rng.standard_normal((h, w)).astype(np.float32) * breast
    discs = [(100, 60, 1.0), (200, 40, 1.5), (160, 90, 2.0), (240, 30, 1.0)]
    for y, x, radius in discs:
        disc = np.clip(radius / mm - np.hypot(rows - y, columns - x) + 0.5, 0, 1)
        image = np.maximum(image, (0.3 + 0.4 * disc) * breast)
    image = np.maximum(
        image, breast * (0.3 + 0.4) * (np.abs(columns - 20 - 0.3 * rows) < 1.5) * (rows < 140)
    )  # a vessel
    blobs = find_blobs(np.clip(image, 0, 1), mm).sort_values("y_mm").reset_index(drop=True)
    assert len(blobs) == 4
    for (y, x, radius), row in zip(sorted(discs), blobs.itertuples(), strict=True):
        assert row.y_mm == pytest.approx((y + 0.5) * mm, abs=mm)
        assert row.x_mm == pytest.approx((x + 0.5) * mm, abs=mm)
        assert row.diameter_mm == pytest.approx(2 * radius, rel=0.45)
        assert row.contrast == pytest.approx(0.4, abs=0.1)
    assert find_blobs(0.3 * breast, mm).empty
    assert find_blobs(np.zeros((h, w)), mm).empty


def test_blobs_are_compared_by_patient() -> None:
    real = np.array([4, 4, 0, 0] * 20)
    table = compare_blobs(real, np.zeros(50, int), np.repeat(np.arange(40), 2))
    assert table.loc["real", "mean"] == 2
    assert table.loc["real", "mean_low"] < 2 < table.loc["real", "mean_high"]
    assert table.loc["ratio", "mean"] == 0
    assert table.loc["synthetic", "share_high"] == pytest.approx(1 - 0.025 ** (1 / 50))
    # Two images of a patient that agree count as one: the interval is wider than that of independent images.
    alone = compare_blobs(real, np.zeros(50, int))
    together = compare_blobs(real, np.zeros(50, int), np.repeat(np.arange(40), 2))
    assert together.loc["real", "mean_high"] > alone.loc["real", "mean_high"]
    assert np.isnan(compare_blobs(np.zeros(9, int), np.ones(9, int)).loc["ratio", "mean"])


def test_a_set_without_blobs_has_an_empty_table() -> None:
    table, counts = count_blobs(np.zeros((2, 40, 32), np.uint16), 12)
    assert table.empty and next(iter(table)) == "image"
    assert counts.tolist() == [0, 0]
