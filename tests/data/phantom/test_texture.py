"""The texture of phantoms follows its power law."""

from __future__ import annotations

import numpy as np
import pytest

from mammogan.data.phantom.texture import texture
from mammogan.metrics.spectrum import radial_power_spectrum
from mammogan.types import Size


def test_texture_has_the_exponent_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    field = np.stack([texture(rng, rng, Size(640, 512), 3.0)[:512] for _ in range(4)])
    frequency, power = radial_power_spectrum(field)
    band = (frequency > 0.02) & (frequency < 0.2)
    assert -np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0] == pytest.approx(3.0, abs=0.2)
    assert field.std() == pytest.approx(1.0, abs=0.35)
