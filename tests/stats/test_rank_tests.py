"""Rank tests against R."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

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
