"""Planted damage: one kind per class of artifacts."""

from __future__ import annotations

import numpy as np
import pytest
from planted_damage import DAMAGE, plant

from mammogan.artifacts.classes import CLASSES, KEYS
from mammogan.errors import ParameterError


def test_a_class_a_digit_and_a_damage() -> None:
    assert len(CLASSES) == 9
    assert set(DAMAGE) == set(KEYS)
    with pytest.raises(ParameterError, match="no artifact 'nose'"):
        plant(np.zeros((80, 64)), "nose", np.random.default_rng(0))
