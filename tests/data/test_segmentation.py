"""The breast is the largest bright region, and its chest wall is where it is tallest."""

from __future__ import annotations

import numpy as np
import pytest

from mammogan.data.phantom.patient import VIEWS
from mammogan.data.phantom.render import render
from mammogan.data.segmentation import breast_mask, chest_side, lit_threshold


@pytest.mark.parametrize(("laterality", "view"), VIEWS)
def test_a_phantom_is_segmented(laterality: str, view: str) -> None:
    gray = render(3, 2, view, laterality, height=320, width=256).shown
    assert chest_side(gray) == laterality
    mask, breast = breast_mask(gray), gray > 0.02
    assert (mask & breast).sum() / (mask | breast).sum() > 0.95


def test_only_the_largest_region_counts() -> None:
    image = np.full((200, 160), 0.1)
    image[40:160, :70], image[5:20, 120:150] = 0.8, 0.9
    mask = breast_mask(image)
    assert mask[100, 30]
    assert not mask[10, 135]
    assert 0.1 < lit_threshold(image) < 0.2
    assert breast_mask(np.zeros((80, 64))).sum() == 0
