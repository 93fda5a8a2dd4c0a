"""Sections on texture and features use at most a thousand images per side."""

from __future__ import annotations

import numpy as np
import pytest
from stacks import compare, stack

from mammogan.report import copies, fidelity


def test_of_many_images_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "MOST", 20)
    images = stack()
    comparison = compare(images[:60], images[60:])
    real, synthetic, design = fidelity.sampled(comparison, 3)
    assert (len(real), len(synthetic), design.size, design.draws) == (40, 20, 20, 3)
    assert len(np.unique(real.rows)) == 40 and design.groups.tolist() == (real.rows // 2).tolist()
    assert design.half >= 19
    np.testing.assert_array_equal(real.chosen(np.array([3, 1]))[:], images[real.rows[[3, 1]]])
    texture = next(copies.image_sections(comparison))
    assert texture.rows["n"].tolist() == [20] * len(texture.rows)
