"""Phantoms: deterministic, the same breast on any grid, mammogram-like texture."""

from __future__ import annotations

import numpy as np
import pytest

from mammogan.data.geometry import resize
from mammogan.data.phantom.patient import VIEWS
from mammogan.data.phantom.render import render
from mammogan.errors import ParameterError
from mammogan.metrics.spectrum import radial_power_spectrum


def test_another_seed_or_index_is_another_breast() -> None:
    first = render(0, 0, "CC", "L", height=80, width=64).shown
    assert not np.array_equal(first, render(1, 0, "CC", "L", height=80, width=64).shown)
    assert not np.array_equal(first, render(0, 1, "CC", "L", height=80, width=64).shown)


@pytest.mark.parametrize(("laterality", "view"), VIEWS)
def test_the_same_breast_at_two_sizes(laterality: str, view: str) -> None:
    small = render(3, 2, view, laterality, height=320, width=256).shown
    large = render(3, 2, view, laterality, height=640, width=512).shown
    assert np.corrcoef(resize(large, 160, 128).ravel(), resize(small, 160, 128).ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("laterality", "view"), VIEWS)
def test_chest_wall_and_background(laterality: str, view: str) -> None:
    shown = render(0, 5, view, laterality, height=160, width=128).shown
    chest, front = (0, -1) if laterality == "L" else (-1, 0)
    middle = slice(40, 120)
    assert shown[middle, chest].mean() > 0.05
    assert shown[middle, front].max() == 0
    assert shown.min() == 0
    assert shown.max() <= 1


@pytest.mark.slow
def test_both_views_of_a_breast_show_its_lesions() -> None:
    lists = [
        [render(0, number, view, "L", height=80, width=64).lesions for view in ("CC", "MLO")] for number in range(6)
    ]
    assert all(cc == mlo for cc, mlo in lists)
    assert any(cc for cc, _ in lists)


@pytest.mark.slow
def test_density_classes_brighten_in_order() -> None:
    shares: dict[str, list[float]] = {name: [] for name in "ABCD"}
    for number in range(60):
        phantom = render(11, number, "CC", "L", height=80, width=64)
        tissue = phantom.shown[phantom.shown > 0.02]
        # Tissue against the fat of the same image: the display's gain is the patient's own.
        shares[phantom.density].append(float(np.mean(tissue > 1.8 * np.quantile(tissue, 0.15))))
    means = [np.mean(shares[name]) for name in "ABCD" if shares[name]]
    assert len(means) >= 3
    assert means == sorted(means)


@pytest.mark.slow
def test_interior_follows_a_power_law_near_three() -> None:
    patches = []
    for number in range(6):
        shown = render(2, number, "CC", "L", height=640, width=512).shown
        patches.append(shown[256:384, 40:168])
    frequency, power = radial_power_spectrum(np.stack(patches))
    band = (frequency > 0.02) & (frequency < 0.15)
    exponent = -np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert 2.3 < exponent < 3.7


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ParameterError, match="5 : 4"):
        render(0, 0, "CC", "L", height=100, width=100)
    with pytest.raises(ParameterError, match="not a view"):
        render(0, 0, "ML", "L")
