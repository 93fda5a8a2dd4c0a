"""Spectra of noise, waves and constant images."""

from __future__ import annotations

import numpy as np
import pytest

from mammogan.errors import ParameterError
from mammogan.metrics.spectrum import image_spectra, radial_power_spectrum, spectral_distance


def test_spectra_conserve_power_and_do_not_depend_on_the_block() -> None:
    images = np.random.default_rng(1).normal(size=(50, 48, 64))
    frequency, power = radial_power_spectrum(images)
    # White noise of variance 1 has power 1 at every frequency but the lowest, which the mean is taken from.
    np.testing.assert_allclose(power[1:], 1, atol=0.12)
    assert frequency[0] > 0 and frequency[-1] < 0.5
    np.testing.assert_allclose(image_spectra(images, 7)[1], image_spectra(images)[1])
    wave = np.sin(2 * np.pi * 0.25 * np.arange(64))[None, None, :] * np.ones((1, 48, 1))
    found = radial_power_spectrum(wave)
    assert found[0][np.argmax(found[1])] == pytest.approx(0.25, abs=0.03)


def test_spectral_distance() -> None:
    power = np.random.default_rng(2).gamma(2, 1, (5, 8))
    assert spectral_distance(power, power) == 0
    assert spectral_distance(power, power * 10) == pytest.approx(10)
    assert np.isnan(spectral_distance(power, np.zeros((5, 8))))
    assert image_spectra(np.full((1, 20, 16), 7, np.uint16))[1].max() == 0
    with pytest.raises(ParameterError, match="is 0; give 1 or more"):
        image_spectra(np.zeros((0, 20, 16)))
