"""The counts that give Table 3: the search against planted counts, the closed forms against R."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mammogan.paper import printed, table3

R = json.loads((Path(__file__).parents[1] / "r_reference.json").read_text())


@pytest.fixture(scope="module")
def successes() -> np.ndarray:
    return table3.reconstruct()


def test_the_counts_that_give_table_3(successes: np.ndarray) -> None:
    assert successes.tolist() == R["successes"]
    assert successes.sum() == 312 + 340
    agreement = table3.agreement(successes)
    assert agreement.equal == 41
    assert agreement.largest <= 0.0015
    # Any other count at one question fits worse.
    for question, change in product(range(10), (-1, 1)):
        other = successes.copy()
        other[question] += change
        assert table3.agreement(other).squares > 10 * agreement.squares


def test_closed_forms_equal_r(successes: np.ndarray) -> None:
    difference = np.array([abs(int(successes[a]) - int(successes[b])) for a, b in printed.TABLE3])
    np.testing.assert_allclose(table3.conover_p(difference, successes), R["conover"], rtol=1e-9)
    assert table3.kruskal_p(successes) == pytest.approx(R["kruskal"], rel=1e-9)


def test_only_these_counts_agree_with_table_3() -> None:
    search = table3.search_table3()
    assert search.space == 134**10
    assert {int(row.sum()) % 10 for row in search.solutions} == {2, 8}  # neither 654 nor 655
    steps = {tuple(np.abs(row - row[0])) for row in search.solutions}
    assert steps == {(0, 10, 5, 15, 5, 8, 9, 11, 5, 4)}
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
    solutions = table3.search_table3(tolerance=0.0005 + 1e-9, attempts=50).solutions.tolist()
    assert planted.tolist() in solutions
    assert (50 - planted).tolist() in solutions  # the mirror image has the same P values
