"""Rank tests against R, and the chance of a larger value against scikit-learn, brute force and simulation."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import roc_auc_score

from mammogan.errors import ParameterError
from mammogan.stats import rank_tests

R = json.loads((Path(__file__).parents[1] / "r_reference.json").read_text())
ATTEMPTS = 133


def test_conover_and_kruskal_equal_r() -> None:
    groups = list(rank_tests.answers_from_counts(np.array(R["successes"]), ATTEMPTS).T)
    pairs = list(combinations(range(len(groups)), 2))
    for adjust, key in ((None, "conover"), ("holm", "conover_holm")):
        table = rank_tests.conover(groups, adjust)
        np.testing.assert_allclose([table[pair] for pair in pairs], R[key], rtol=1e-9)
    assert rank_tests.kruskal_wallis(groups) == pytest.approx(R["kruskal"], rel=1e-9)


def test_trend_cochran_and_holm_equal_r() -> None:
    assert rank_tests.linear_trend(np.array(R["successes"]), ATTEMPTS)[1] == pytest.approx(R["trend"], rel=1e-9)
    assert rank_tests.cochran_q(np.array(R["cochran_answers"])) == pytest.approx(R["cochran"], rel=1e-9)
    np.testing.assert_allclose(rank_tests.holm(np.array(R["holm_raw"])), R["holm"], rtol=1e-12)


def test_slope_of_a_trend() -> None:
    slope, p = rank_tests.linear_trend(np.array([10, 20, 30, 40]), 100)
    assert slope == pytest.approx(0.1)
    assert p < 1e-6
    assert rank_tests.linear_trend(np.array([5, 5, 5]), 5) == (0, 1)


def test_more_successes_than_attempts_are_named() -> None:
    with pytest.raises(ParameterError, match="9 successes in 8 trials is impossible"):
        rank_tests.answers_from_counts(np.array([9]), 8)


def test_constant_columns_and_attempts_have_defined_values() -> None:
    pilot = np.array([[1, 1], [0, 0], [1, 1]])  # no permutation within an attempt changes anything
    assert rank_tests.cochran_q(pilot) == 1
    assert rank_tests.kruskal_wallis([np.ones(4), np.ones(3)]) == 1
    assert (rank_tests.conover([np.ones(4), np.ones(3)]) == 1).all()
    with pytest.raises(ParameterError, match="one value only"):
        rank_tests.conover([np.ones(4), np.zeros(4)])


samples = arrays(np.int64, st.integers(2, 12), elements=st.integers(0, 4))


@given(samples, samples)
def test_a_chance_of_a_larger_value_is_an_area_under_the_roc_curve(values: np.ndarray, others: np.ndarray) -> None:
    chance = rank_tests.chance_of_larger(values, others, np.arange(len(others)))
    labels = np.repeat([1, 0], [len(values), len(others)])
    assert chance.value == pytest.approx(roc_auc_score(labels, np.concatenate([values, others])))
    assert 0 <= chance.low <= chance.value + 1e-12
    assert chance.value - 1e-12 <= chance.high <= 1
    mirrored = rank_tests.chance_of_larger(-values, -others, np.arange(len(others)))
    np.testing.assert_allclose(mirrored, [1 - chance.value, 1 - chance.high, 1 - chance.low], atol=1e-12)


def test_the_variance_of_a_chance_is_obuchowski_s() -> None:
    """Written out from her equations, with the loop over clusters; the interval is symmetric in log odds."""
    rng = np.random.default_rng(3)
    values, others, clusters = rng.normal(0.4, 1, 30), rng.normal(size=24), np.repeat(np.arange(8), 3)
    larger = (values[:, None] > others).astype(float)
    chance = larger.mean()
    sums = [sum(larger[:, k].mean() - chance for k in np.flatnonzero(clusters == c)) for c in range(8)]
    variance = larger.mean(1).var(ddof=1) / 30 + 8 / 7 * np.square(sums).sum() / 24**2
    found = rank_tests.chance_of_larger(values, others, clusters)
    odds = [np.log(bound / (1 - bound)) for bound in found]
    step = stats.t.ppf(0.975, 7) * np.sqrt(variance) / (chance * (1 - chance))
    np.testing.assert_allclose(odds, np.log(chance / (1 - chance)) + np.array([0, -step, step]), rtol=1e-9)


@pytest.mark.parametrize(("patients", "images"), [(125, 1), (30, 4), (8, 4)])
def test_the_interval_of_a_chance_covers_one_half_where_patients_have_several_images(
    patients: int, images: int
) -> None:
    rng, covered, clusters = np.random.default_rng(0), 0, np.repeat(np.arange(patients), images)
    for _ in range(500):
        others = rng.normal(size=patients)[clusters] + rng.normal(0, 0.5, len(clusters))
        chance = rank_tests.chance_of_larger(rng.normal(0, np.sqrt(1.25), 100), others, clusters)
        covered += chance.low <= 0.5 <= chance.high
    assert 0.93 <= covered / 500 <= 0.98


def test_a_chance_without_spread_has_an_exact_interval_and_needs_two_patients() -> None:
    chance = rank_tests.chance_of_larger(np.arange(10, 15), np.arange(8), np.arange(8))
    np.testing.assert_allclose(chance, [1, 0.025 ** (1 / 5), 1])
    alike = rank_tests.chance_of_larger(np.zeros(10), np.zeros(8), np.arange(8))
    np.testing.assert_allclose(alike, [0.5, *stats.binomtest(4, 8).proportion_ci()])  # not .5 to .5
    with pytest.raises(ParameterError, match="two clusters of the others or more"):
        rank_tests.chance_of_larger(np.arange(5), np.arange(4), np.zeros(4))
