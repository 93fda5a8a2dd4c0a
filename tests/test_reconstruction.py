"""The published reader study re-derived: exhaustive searches against brute force, and what they find against SciPy."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mammogan.paper import printed, table3
from mammogan.paper import table4 as rc


@pytest.fixture(scope="module")
def made() -> rc.Reconstruction:
    return rc.reconstruct()


def spread_out(histogram: np.ndarray) -> np.ndarray:
    return np.repeat(rc.SCORES, histogram)


@pytest.mark.parametrize("readers", [1, 3, 5])
def test_histograms_equal_brute_force(readers: int) -> None:
    every: dict[tuple[int, int], list[list[int]]] = {}
    for scores in combinations_with_replacement(range(11), readers):
        key = sum(scores), sum(s * s for s in scores)
        every.setdefault(key, []).append(np.bincount(scores, minlength=11).tolist())
    assert sum(map(len, every.values())) == len(rc.compositions(readers))
    for (total, squared), rows in every.items():
        assert sorted(rc.histograms(readers, total, squared).tolist()) == sorted(rows)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=2, max_size=30), st.data())
def test_histograms_hold_the_one_they_came_from(scores: list[int], data: st.DataObject) -> None:
    histogram = np.bincount(scores, minlength=11)
    found = rc.histograms(len(scores), sum(scores), sum(s * s for s in scores))
    assert (found == histogram).all(1).any()
    least = int(rc.tie_sum(found).min())
    assert (rc.tie_sum(rc.histograms(len(scores), sum(scores), sum(s * s for s in scores), ties=least)) <= least).all()
    size = data.draw(st.integers(1, len(scores) - 1))
    part = np.bincount(scores[:size], minlength=11)
    if len(set(scores)) > 1:
        expected = stats.kruskal(scores[:size], scores[size:])
        assert rc.kruskal_h(part, histogram) == pytest.approx(expected.statistic, abs=1e-9)


def test_only_these_counts_agree_with_table_3() -> None:
    search = table3.search_table3()
    assert search.space == 134**10
    assert {int(row.sum()) % 10 for row in search.solutions} == {2, 8}  # neither 654 nor 655
    steps = {tuple(np.abs(row - row[0])) for row in search.solutions}
    assert steps == {(0, 10, 5, 15, 5, 8, 9, 11, 5, 4)}
    assert table3.table4_totals() == {652}
    # Rounding alone explains no solution, and the 117 first attempts explain none at all.
    assert len(table3.search_table3(tolerance=0.0005).solutions) == 0
    assert len(table3.search_table3(attempts=printed.READERS).solutions) == 0


def test_the_search_finds_planted_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = np.array([20, 25, 22, 30, 18, 21, 26, 24, 19, 28])
    table = {}
    for a, b in printed.TABLE3:
        p = float(table3.conover_p(abs(int(planted[a] - planted[b])), planted, 50))
        table[a, b] = round(p, 3)
    monkeypatch.setattr(table3, "TABLE3", table)
    found = table3.search_table3(tolerance=0.0005 + 1e-9, attempts=50).solutions.tolist()
    assert planted.tolist() in found
    assert (50 - planted).tolist() in found  # the mirror image has the same P values


def test_ties_allow_the_printed_values_together() -> None:
    for splits, part in ((rc.ALL_SPLITS, 0.05), (rc.FIRST_SPLITS, 0.05)):
        assert len(rc.tie_structures(splits))
        assert rc.chance_of_agreement(splits, 25, seed=0) < part
    # The printed "board-certified radiologists (n = 55)" would make 66 radiologists.
    wrong = tuple(rc.Split(s.name, s.part, 66, s.p) for s in rc.ALL_SPLITS)
    assert not len(rc.tie_structures(wrong))


def test_the_reconstruction_meets_the_printed_figures(made: rc.Reconstruction) -> None:
    strata = made.strata()
    for group in printed.TABLE4[1:]:
        scores = spread_out(strata[group.name][0])
        assert len(scores) == group.attempts
        assert abs(scores.mean() / 10 - group.rate) <= 0.0005 + 1e-9
        assert abs(scores.std() / 10 - group.deviation) <= 0.0005 + 1e-9
    for names, place, p in (
        (("Trainees", "Board qualified"), 0, 0.9783),
        (("Specializing in breast", "No breast specialists"), 0, 0.0773),
        (("Trainees", "Board qualified"), 1, 0.4091),
        (("Specializing in breast", "No breast specialists"), 1, 0.2840),
    ):
        groups = [spread_out(strata[name][place]) for name in names]
        assert round(float(stats.kruskal(*groups).pvalue), 4) == p
    for place, p in ((0, 0.1470), (1, 0.4986)):
        screening, whole = strata["Screening radiologist"][place], strata["Radiologists"][place]
        assert round(float(stats.kruskal(spread_out(screening), spread_out(whole - screening)).pvalue), 4) == p
    first = [spread_out(strata[name][1]) for name in ("Radiologists", "Nonradiologists")]
    assert [len(scores) for scores in first] == [55, 62]
    assert round(float(stats.kruskal(*first).pvalue), 3) == 0.502


def test_strata_are_nested(made: rc.Reconstruction) -> None:
    for every, first in made.strata().values():
        assert (every >= first).all()
        assert (first >= 0).all()
    strata = {name: every for name, (every, _) in made.strata().items()}
    whole = strata["Radiologists"]
    assert (strata["Board qualified"] + strata["Trainees"] == whole).all()
    assert (strata["Specializing in breast"] + strata["No breast specialists"] == whole).all()
    assert (strata["Screening radiologist"] <= strata["Specializing in breast"]).all()
    assert (whole + strata["Nonradiologists"] == strata["All participants"]).all()
    low, high = made.ranges()["Nonradiologists"]
    assert (low <= strata["Nonradiologists"]).all()
    assert (strata["Nonradiologists"] <= high).all()


def test_what_cannot_be_met_is_said(made: rc.Reconstruction) -> None:
    table = rc.residuals(made)
    missed = set(table[~table["met"]]["figure"])
    assert missed == {
        "Table 4, All participants: rate",
        "Table 4, All participants: deviation",
        "Kruskal-Wallis P, radiologists",
        "Chi-square P, eleven bins",
        "Text: attempts with nine right",
    }
    assert made.others.counts["both, text"] == 0
    assert made.others.counts["chi_square"] == 0


@pytest.fixture(scope="module")
def without() -> pd.DataFrame:
    return rc.left_out()


def test_each_p_value_left_out(made: rc.Reconstruction, without: pd.DataFrame) -> None:
    """The search with five P values finds the solution that all six have, and others that SciPy says have five."""
    assert len(without) == 6
    assert (without["as printed"] == 1).all()
    assert (without["lowest"] <= without["printed"] + 5e-5).all()
    assert (without["highest"] >= without["printed"] - 5e-5).all()
    found, counts = rc.radiologists(frozenset(["screening"]))
    row = without[(without["P left out"] == "screening") & (without["sample"] == "all attempts")].iloc[0]
    assert counts["solutions"] == len(found) == row["solutions"] > 1
    seen = set()
    for solution in found:
        strata = solution.strata()
        seen.add(str(strata))
        for part, rest, place, p in (
            ("Trainees", "Board qualified", 0, 0.9783),
            ("Specializing in breast", "No breast specialists", 0, 0.0773),
            ("Trainees", "Board qualified", 1, 0.4091),
            ("Specializing in breast", "No breast specialists", 1, 0.2840),
        ):
            scores = [spread_out(strata[name][place]) for name in (part, rest)]
            assert round(float(stats.kruskal(*scores).pvalue), 4) == p
        for name in ("Radiologists", "Board qualified", "Specializing in breast", "Screening radiologist"):
            group = next(group for group in printed.TABLE4 if group.name == name)
            scores = spread_out(strata[name][0])
            assert (len(scores), round(scores.mean() / 10, 3)) == (group.attempts, group.rate)
            assert round(scores.std() / 10, 3) == group.deviation
    assert len(seen) == len(found)
    assert str(made.known.strata()) in seen


def test_sets_that_conflict(made: rc.Reconstruction, without: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    table = rc.conflicts(made, without).set_index(["set", "figure"])["solutions without it"]
    assert table["rates of Table 4", "row of all participants"] == 1
    among = table["P of radiologists against others"]
    assert among["P of all attempts"] == len(made.others.every)
    # The histograms that meet P = .4928 and no score above 8, one by one with SciPy.
    known = spread_out(made.known.every)
    nonradiologists = rc.histograms(69, 340, rc.squares(printed.TABLE4[2], 340)[0])
    low = nonradiologists[(nonradiologists[:, 9:].sum(1) == 0)]
    near = low[np.abs(stats.chi2.sf(rc.kruskal_h(made.known.every, low + made.known.every), 1) - 0.4928) < 1e-3]
    agree = [round(float(stats.kruskal(known, spread_out(row)).pvalue), 4) == 0.4928 for row in near]
    assert among["P of first attempts"] == sum(agree) > 0
    assert (table > 0).groupby(level=0).sum().ge(2).all()
    # Were .490 printed for all participants, the rates would agree, and the set would be called no conflict.
    first, *others = printed.TABLE4
    agreeing = printed.Group(first.name, first.attempts, 0.490, first.deviation)
    monkeypatch.setattr(printed, "TABLE4", (agreeing, *others))
    with pytest.raises(ValueError, match="does not conflict"):
        rc.conflicts(made, without)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=11, max_size=11).filter(any), st.integers(0, 3))
def test_highest_chi_square_by_brute_force(known: list[int], others: int) -> None:
    start = np.array(known)
    brute = max(float(rc.chi_square_p(start + added)) for added in rc.compositions(others))
    assert rc.highest_chi_square_p(start, others) == pytest.approx(brute)
