"""Histograms of scores against brute force and SciPy."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mammogan.paper import histograms
from mammogan.paper.printed import Sums


def sums_of(scores: tuple[int, ...] | list[int]) -> Sums:
    return Sums(len(scores), sum(scores), sum(s * s for s in scores))


@pytest.mark.parametrize("readers", [1, 3, 5])
def test_histograms_equal_brute_force(readers: int) -> None:
    every: dict[Sums, list[list[int]]] = {}
    for scores in combinations_with_replacement(range(11), readers):
        every.setdefault(sums_of(scores), []).append(np.bincount(scores, minlength=11).tolist())
    assert sum(map(len, every.values())) == len(histograms.all_histograms(readers))
    for sums, rows in every.items():
        assert sorted(histograms.histograms_of(sums).tolist()) == sorted(rows)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=2, max_size=30), st.data())
def test_histograms_hold_the_one_they_came_from(scores: list[int], data: st.DataObject) -> None:
    histogram = np.bincount(scores, minlength=11)
    rows = histograms.histograms_of(sums_of(scores))
    assert (rows == histogram).all(1).any()
    least = int(histograms.tie_sum(rows).min())
    assert (histograms.tie_sum(histograms.histograms_of(sums_of(scores), ties=least)) <= least).all()
    size = data.draw(st.integers(1, len(scores) - 1))
    part = np.bincount(scores[:size], minlength=11)
    if len(set(scores)) > 1:
        expected = stats.kruskal(scores[:size], scores[size:])
        assert histograms.kruskal_h(part, histogram) == pytest.approx(expected.statistic, abs=1e-9)
    rate, deviation = histograms.rate_and_deviation(histogram)
    assert (rate, deviation) == pytest.approx((np.mean(scores) / 10, np.std(scores) / 10), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=11, max_size=11).filter(any), st.integers(0, 3))
def test_highest_chi_square_by_brute_force(histogram: list[int], others: int) -> None:
    start = np.array(histogram)
    brute = max(float(histograms.chi_square_p(start + added)) for added in histograms.all_histograms(others))
    assert histograms.highest_chi_square_p(start, others) == pytest.approx(brute)
