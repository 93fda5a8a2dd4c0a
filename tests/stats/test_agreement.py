"""Agreement of readers against published examples and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.stats.agreement import agreement


def columns(rows: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return units and answers of one string per reader, "." where there is none."""
    pairs = [(unit, answer) for row in rows for unit, answer in enumerate(row.split()) if answer != "."]
    return np.array([unit for unit, _ in pairs]), np.array([answer for _, answer in pairs])


def test_krippendorffs_examples() -> None:
    # "Computing Krippendorff's Alpha-Reliability" (2011): two observers and binary data; four observers, missing data.
    both = agreement(*columns(["0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0"]))
    assert both.alpha.value == pytest.approx(0.095, abs=5e-4)
    four = agreement(
        *columns([
            "1 2 3 3 2 1 4 1 2 . . .",
            "1 2 3 3 2 2 4 1 2 5 . 3",
            ". 3 3 3 2 3 4 2 2 5 1 .",
            "1 2 3 3 2 4 4 1 2 5 1 .",
        ])
    )  # fmt: skip
    assert four.alpha.value == pytest.approx(0.743, abs=5e-4)
    assert (four.units, four.answers, four.kappa) == (11, 40, None)
    assert four.alpha.low < four.alpha.value < four.alpha.high <= 1


def test_fleiss_example() -> None:
    # Fleiss (1971), as reprinted: ten subjects, fourteen raters, five categories.
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    cells = [(unit, value) for unit, row in enumerate(counts) for value, count in enumerate(row) for _ in range(count)]
    found = agreement(*np.array(cells).T)
    assert found.kappa == pytest.approx(0.210, abs=5e-4)
    # Alpha corrects chance for the finite number of answers: (1 - alpha) / (1 - kappa) = (n - 1) / n.
    assert (1 - found.alpha.value) / (1 - found.kappa) == pytest.approx(139 / 140)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_alpha_is_one_less_the_ratio_of_disagreements_of_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    units, values = rng.integers(8, size=30), rng.integers(3, size=30)
    kept = np.isin(units, [u for u in range(8) if (units == u).sum() >= 2])
    assume(len(set(values[kept])) > 1)
    observed = sum(
        sum(a != b for a, b in itertools.permutations(values[units == u], 2)) / ((units == u).sum() - 1)
        for u in set(units[kept])
    )
    n = kept.sum()
    expected = sum(a != b for a, b in itertools.permutations(values[kept], 2)) / (n - 1)
    found = agreement(units, values, draws=20)
    assert found.alpha.value == pytest.approx(1 - observed / expected)
    assert found.answers == n


def test_nothing_to_agree_on_is_refused() -> None:
    for units, values in (([0, 1, 2], [0, 1, 0]), ([0, 0, 1, 1], [1, 1, 1, 1]), ([0, 0, 1], [0, 1, 1])):
        with pytest.raises(ParameterError, match="nothing to agree on"):
            agreement(np.array(units), np.array(values))


@pytest.mark.parametrize("units", [2, 10, 60])
def test_full_agreement_on_few_units_is_not_certain(units: int) -> None:
    found = agreement(np.repeat(np.arange(units), 3), np.repeat(np.arange(units) % 2, 3)).alpha
    unseen = stats.binomtest(0, units).proportion_ci().high  # share of units that may disagree
    n = 3 * units
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(1 - unseen / (0.5 * n / (n - 1)))
