"""The published tables re-derived: what the chapter keeps, against the printed numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mammogan.paper import printed, table3, table4
from mammogan.paper.histograms import histograms_of
from mammogan.report import published_study, reader_figures
from mammogan.report.results import Results


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path, "readers")


def values(results: Results) -> dict[str, float | str]:
    return {key: entry["value"] for key, entry in results.entries.items()}


def test_cells_of_table_3_are_the_printed_ones(results: Results) -> None:
    search = table3.search_table3()
    successes = table3.reconstruct(search)
    solutions = published_study.table3_solutions(results, search)
    assert successes.tolist() in solutions.iloc[:, :10].to_numpy().tolist()
    cells = published_study.table3_cells(results, successes)
    assert len(cells) == 45
    assert (cells["re-derived"] - cells["printed"]).abs().max() < 0.01  # "> .99" is all that is printed of 1
    assert (cells["Holm"] >= cells["re-derived"]).all()
    assert values(results)["rounding.3"] == "0.713 and 0.714"
    figure = reader_figures.table3_residuals(cells)
    assert len(figure.axes[0].texts) == 45
    assert max(abs(float(text.get_text())) for text in figure.axes[0].texts) < 1.6


def test_rates_of_table_4_and_what_its_first_row_should_be(results: Results) -> None:
    table = published_study.table4_rates(results, 652, 0.05)
    assert table["rate"].round(3).tolist()[1:] == [row.rate for row in printed.TABLE4[1:]]
    assert (table["low (clusters)"] < table["rate"]).all()
    published_study.first_row(results)
    kept = values(results)
    assert kept["first_attempts"] == "576" == str(652 - kept["repeats.right"])
    assert results.entries["table4.all"]["verdict"] == "slip in print"
    assert results.entries["table4.radiologists"]["verdict"] == "follows from print"
    assert kept["deviation.first"] < printed.TABLE4[0].deviation < kept["deviation.all"]


@pytest.mark.slow
def test_table_4_allows_the_p_value_of_radiologists_against_others(results: Results) -> None:
    """Kruskal-Wallis P over all histograms, some of them by SciPy on the scores; the printed one is among them."""
    found = table4.reconstruct()
    whole = found.radiologists.whole[0]
    published_study.radiologists_against_others(results, whole, found.nonradiologist_counts["nines"], 0.05)
    kept = values(results)
    assert results.entries["stratum"]["verdict"] == "not checkable"
    low, high = results.entries["stratum"]["interval"]
    assert kept["strata.lowest"] < low < printed.RADIOLOGISTS_P < kept["stratum"] < high < kept["strata.highest"]
    assert kept["strata.equal"] > 0 and kept["strata.nines"] == 1
    every = histograms_of(printed.group("Nonradiologists").sums)
    assert kept["strata.histograms"] == len(every)
    some = np.random.default_rng(0).choice(len(every), 300, replace=False)
    ours = np.repeat(np.arange(11), whole)
    p = [stats.kruskal(ours, np.repeat(np.arange(11), row)).pvalue for row in every[some]]
    assert np.median(p) == pytest.approx(kept["stratum"], abs=0.06)
    assert kept["strata.lowest"] <= min(p) and max(p) <= kept["strata.highest"]
    # "P = .999" of the scores in eleven bins is out of reach.
    assert results.entries["chi_square"]["verdict"] == "slip in print"
    assert kept["chi_square"] < printed.CHI_SQUARE_P


def test_specialists_may_be_worse_than_guessing_but_not_better(results: Results) -> None:
    published_study.specialists(results, 0.05)
    kept = values(results)
    assert kept["specialists.better"] == pytest.approx(stats.binom.cdf(169, 370, 0.55))
    assert kept["specialists.worse"] == pytest.approx(stats.binom.sf(168, 370, 0.45))
    assert kept["specialists.better"] < 0.05 < kept["specialists.worse"]


def test_every_tolerance_has_a_reason() -> None:
    table = published_study.tolerances()
    assert len(table) == len(printed.TOLERANCES)
    assert (table["reason"].str.len() > 10).all()


def test_a_chi_square_test_on_shares_says_that_all_is_well(results: Results) -> None:
    published_study.chi_square_by_guessing(results, 200, 0)
    kept = values(results)
    assert kept["chi_square.on_shares"] > 0.999
    assert kept["chi_square.as_good"] < 5


def test_correlated_images_cost_coverage(results: Results) -> None:
    published_study.shared_images(results, 0.05)
    kept = values(results)
    assert kept["image.few"] < kept["image.coverage"] < 95
    drawn = [len(set(np.random.default_rng(seed).integers(1000, size=1330))) for seed in range(50)]
    assert kept["shared"] == pytest.approx(100 * (1 - np.mean(drawn) / 1330), abs=1)
