"""Mutual information against scikit-learn, brute force and analytic values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif
from sklearn.feature_selection._mutual_info import _compute_mi_cd

from mammogan.errors import ParameterError
from mammogan.metrics.information import (
    MAXIMUM,
    by_chance,
    inverse_digamma,
    mutual_information,
    permuted_labels,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shift", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_ross_equals_sklearn(shift: float, dimensions: int) -> None:
    a, b = RNG.normal(size=400), RNG.normal(shift, 1.3, 600)
    labels = np.r_[np.zeros(400), np.ones(600)]
    # What mutual_info_classif calls once it has scaled the data and added noise to break ties.
    theirs = _compute_mi_cd(np.r_[a, b], labels, 3)
    first, second = (a, b) if dimensions == 1 else (np.c_[a, a], np.c_[b, b])
    assert mutual_information(first, second).information == pytest.approx(theirs, abs=1e-10)
    public = mutual_info_classif(np.r_[a, b][:, None], labels, discrete_features=False, random_state=0)[0]
    assert mutual_information(a, b).information == pytest.approx(public, abs=1e-7)


def test_ross_in_the_plane_equals_brute_force() -> None:
    a, b = RNG.normal(size=(60, 2)), RNG.normal(0.4, 1, (50, 2))
    both = np.r_[a, b]
    all_of_them = []
    for x in (a, b):
        for point in x:
            distances = np.sort(np.abs(x - point).max(1))
            all_of_them.append((np.abs(both - point).max(1) <= distances[3]).sum() - 1)
    assert mutual_information(a, b).neighbors == np.mean(all_of_them)


def test_ross_with_ties() -> None:
    # Values of a few levels: the plug-in information is exact, and no jitter decides.
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    a, b = np.repeat([0.0, 1.0, 2.0], (p * 2000).astype(int)), np.repeat([0.0, 1.0, 2.0], (q * 2000).astype(int))
    middle = (p + q) / 2
    exact = ((p * np.log(p / middle)).sum() + (q * np.log(q / middle)).sum()) / 2
    assert mutual_information(a, b).information == pytest.approx(exact, abs=0.003)
    assert mutual_information(np.c_[a, a], np.c_[b, b]).information == pytest.approx(
        mutual_information(a, b).information
    )
    assert mutual_information(np.ones(50), np.ones(50)).information == pytest.approx(0, abs=0.02)
    assert mutual_information(np.ones(50), np.zeros(50)).information == pytest.approx(MAXIMUM, abs=0.02)
    with pytest.raises(ParameterError, match="has the value nan"):
        mutual_information(np.r_[a, np.nan], b)


def test_ross_on_a_line_equals_ross_in_space() -> None:
    a, b = RNG.normal(size=200), RNG.normal(0.5, 1, 150)
    line, space = mutual_information(a, b), mutual_information(np.c_[a, a], np.c_[b, b])
    assert line.neighbors == space.neighbors
    assert line.information == pytest.approx(space.information)


def test_ross_of_gaussians_is_the_analytic_information() -> None:
    shift = 1.0
    x = np.linspace(-10, 11, 200_001)
    p, q = stats.norm.pdf(x), stats.norm.pdf(x, shift)
    middle = (p + q) / 2
    exact = np.trapezoid((p * np.log(p / middle) + q * np.log(q / middle)) / 2, x)
    estimates = [mutual_information(RNG.normal(size=3000), RNG.normal(shift, 1, 3000)).information for _ in range(4)]
    assert np.mean(estimates) == pytest.approx(exact, abs=0.012)


def test_ross_limits() -> None:
    a = RNG.normal(size=500)
    # psi(1000) - psi(500) is a little above ln 2.
    assert MAXIMUM < mutual_information(a, a + 100).information < MAXIMUM + 0.001
    assert mutual_information(a, a + 100).neighbors == 3
    same = [mutual_information(RNG.normal(size=500), RNG.normal(size=500)) for _ in range(30)]
    assert np.mean([x.neighbors for x in same]) == pytest.approx(6, abs=0.1)
    assert np.mean([x.information for x in same]) == pytest.approx(0, abs=0.01)
    # Near copies of the real images drive the estimate below zero: an alarm that clipping would hide.
    assert mutual_information(a, a + 1e-9 * RNG.normal(size=500)).information < -0.1
    with pytest.raises(ParameterError, match="n_neighbors is 0"):
        mutual_information(a, a, 0)
    with pytest.raises(ParameterError, match="3 images; give 4 or more"):
        mutual_information(a[:3], a)


@pytest.mark.parametrize("kind", ["continuous", "ties", "tenths", "constant"])
def test_permuted_labels_are_scored_as_any_labels(kind: str) -> None:
    rng = np.random.default_rng(8)
    values = np.sort(np.exp(rng.normal(size=700)))
    if kind == "ties":
        values[100:500] = values[100]  # more within reach than a byte holds
    if kind == "tenths":
        values = np.sort(np.round(values, 1))
    if kind == "constant":
        values[:] = 2.0
    permutations = permuted_labels(250, 700, 30, seed=1)
    assert {int(first.sum()) for first in permutations} == {250}
    expected = [mutual_information(values[first], values[~first]).information for first in permutations]
    assert by_chance(values, permutations).tolist() == expected


def test_neighbor_counting_survives_rounding() -> None:
    a = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) * 3
    brute = [np.sum(np.abs(np.r_[a, a + 9] - x) <= np.sort(np.abs(a - x))[3] + 1e-12) - 1 for x in a]
    assert mutual_information(a, a + 9).neighbors == np.mean(brute)


def test_inverse_digamma() -> None:
    for value in (-1.0, 0.5, 1.7):
        assert digamma(inverse_digamma(value)) == pytest.approx(value)
