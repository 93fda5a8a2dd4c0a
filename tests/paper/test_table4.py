"""The scores in Table 4: the reconstruction against the printed figures, and sets of figures that conflict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mammogan.paper import printed, table3, table4
from mammogan.paper.histograms import SCORES, histograms_of, kruskal_h
from mammogan.paper.readers import ALL, ALL_SPLITS, FIRST, search_radiologists


@pytest.fixture(scope="module")
def reconstruction() -> table4.Reconstruction:
    return table4.reconstruct()


@pytest.fixture(scope="module")
def without() -> pd.DataFrame:
    return table4.left_out()


def scores_of(histogram: np.ndarray) -> np.ndarray:
    return np.repeat(SCORES, histogram)


def test_the_reconstruction_meets_the_printed_figures(reconstruction: table4.Reconstruction) -> None:
    strata = reconstruction.strata()
    for group in printed.TABLE4[1:]:
        scores = scores_of(strata[group.name][ALL])
        assert len(scores) == group.attempts
        assert abs(scores.mean() / 10 - group.rate) <= 0.0005 + 1e-9
        assert abs(scores.std() / 10 - group.deviation) <= 0.0005 + 1e-9
    for names, sample, p in (
        (("Trainees", "Board qualified"), ALL, 0.9783),
        (("Specializing in breast", "No breast specialists"), ALL, 0.0773),
        (("Trainees", "Board qualified"), FIRST, 0.4091),
        (("Specializing in breast", "No breast specialists"), FIRST, 0.2840),
    ):
        groups = [scores_of(strata[name][sample]) for name in names]
        assert round(float(stats.kruskal(*groups).pvalue), 4) == p
    for sample, p in ((ALL, 0.1470), (FIRST, 0.4986)):
        screening, whole = strata["Screening radiologist"][sample], strata["Radiologists"][sample]
        assert round(float(stats.kruskal(scores_of(screening), scores_of(whole - screening)).pvalue), 4) == p
    first = [scores_of(strata[name][FIRST]) for name in ("Radiologists", "Nonradiologists")]
    assert [len(scores) for scores in first] == [55, 62]
    assert round(float(stats.kruskal(*first).pvalue), 3) == 0.502


def test_strata_are_nested(reconstruction: table4.Reconstruction) -> None:
    for every, first in reconstruction.strata().values():
        assert (every >= first).all()
        assert (first >= 0).all()
    strata = {name: every for name, (every, _) in reconstruction.strata().items()}
    whole = strata["Radiologists"]
    assert (strata["Board qualified"] + strata["Trainees"] == whole).all()
    assert (strata["Specializing in breast"] + strata["No breast specialists"] == whole).all()
    assert (strata["Screening radiologist"] <= strata["Specializing in breast"]).all()
    assert (whole + strata["Nonradiologists"] == strata["All participants"]).all()
    assert set(reconstruction.ranges()) == set(strata)
    for name in ("Nonradiologists", "All participants", "Repeated efforts", "Trainees"):
        low, high = reconstruction.ranges()[name]
        assert (low <= strata[name]).all()
        assert (strata[name] <= high).all()


def test_figures_that_are_not_met(reconstruction: table4.Reconstruction) -> None:
    table = table4.residuals(reconstruction)
    missed = set(table[~table["met"]]["figure"])
    assert missed == {
        "Table 4, All participants: rate",
        "Table 4, All participants: deviation",
        "Kruskal-Wallis P, radiologists",
        "Chi-square P, eleven bins",
        "Text: attempts with nine right",
    }
    assert reconstruction.nonradiologist_counts["both, text"] == 0
    assert reconstruction.nonradiologist_counts["chi_square"] == 0


@pytest.mark.slow
def test_each_p_value_left_out(reconstruction: table4.Reconstruction, without: pd.DataFrame) -> None:
    """The search with five P values finds the solution that all six have."""
    assert len(without) == 6
    assert (without["as printed"] == 1).all()
    assert (without["lowest"] <= without["printed"] + 5e-5).all()
    assert (without["highest"] >= without["printed"] - 5e-5).all()
    solutions, _ = search_radiologists(ALL_SPLITS.screening)
    row = without[(without["P left out"] == "screening") & (without["sample"] == "all attempts")].iloc[0]
    assert len(solutions) == row["solutions"]
    assert str(reconstruction.radiologists.strata()) in {str(solution.strata()) for solution in solutions}


@pytest.mark.slow
def test_sets_that_conflict(
    reconstruction: table4.Reconstruction, without: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table4.conflicts(reconstruction, without).set_index(["set", "figure"])["solutions without it"]
    assert table["rates of Table 4", "row of all participants"] == 1
    among = table["P of radiologists against others"]
    assert among["P of all attempts"] == len(reconstruction.nonradiologists)
    # The histograms that meet P = .4928 and no score above 8, one by one with SciPy.
    radiologists = reconstruction.radiologists.whole[ALL]
    nonradiologists = histograms_of(printed.group("Nonradiologists").sums)
    low = nonradiologists[(nonradiologists[:, 9:].sum(1) == 0)]
    near = low[np.abs(stats.chi2.sf(kruskal_h(radiologists, low + radiologists), 1) - 0.4928) < 1e-3]
    scores = scores_of(radiologists)
    agree = [round(float(stats.kruskal(scores, scores_of(row)).pvalue), 4) == 0.4928 for row in near]
    assert among["P of first attempts"] == sum(agree) > 0
    assert (table > 0).groupby(level=0).sum().ge(2).all()
    # Were .490 printed for all participants, the rates would agree, and the set would not be called a conflict.
    first, *others = printed.TABLE4
    agreeing = printed.Group(first.name, first.attempts, 0.490, first.deviation)
    monkeypatch.setattr(printed, "TABLE4", (agreeing, *others))
    with pytest.raises(ValueError, match="does not conflict"):
        table4.conflicts(reconstruction, without)


def test_answers_have_the_margins_of_the_reconstruction(reconstruction: table4.Reconstruction) -> None:
    successes = table3.reconstruct()
    table = table4.draw_answers(reconstruction, successes, seed=3)
    assert table.equals(table4.draw_answers(reconstruction, successes, seed=3))
    assert table.groupby("question")["correct"].sum().tolist() == successes.tolist()
    scores = table.groupby("session").agg(
        right=("correct", "sum"), reader=("reader", "first"), trainee=("trainee", "first")
    )
    strata = reconstruction.strata()
    assert np.bincount(scores["right"], minlength=11).tolist() == strata["All participants"][ALL].tolist()
    first = scores[~scores["reader"].duplicated()]
    assert np.bincount(first["right"], minlength=11).tolist() == strata["All participants"][FIRST].tolist()
    trainees = scores.loc[scores["trainee"] == "yes", "right"]
    assert np.bincount(trainees, minlength=11).tolist() == strata["Trainees"][ALL].tolist()
    with pytest.raises(ValueError, match="No 0/1 matrix"):
        table4.with_margins(np.array([2, 0]), np.array([2, 0]), np.random.default_rng(0))
