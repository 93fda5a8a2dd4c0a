"""Equivalence against R and brute force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.stats import equivalence

R = json.loads((Path(__file__).parents[1] / "r_reference.json").read_text())


def test_two_one_sided_tests_equal_r() -> None:
    for row in R["binomial"]:
        assert equivalence.equivalence_p(row["k"], row["n"], 0.05) == pytest.approx(row["equivalence"], rel=1e-7)


def test_power_by_brute_force() -> None:
    trials, rate = 30, 0.7
    outcomes = stats.binom.pmf(range(trials + 1), trials, rate)
    power = sum(p for k, p in enumerate(outcomes) if stats.binomtest(k, trials).pvalue <= 0.05)
    assert equivalence.power_of_difference(trials, rate) == pytest.approx(power)
    equal = sum(
        p for k, p in enumerate(stats.binom.pmf(range(301), 300, 0.5)) if equivalence.equivalence_p(k, 300, 0.1) <= 0.05
    )
    assert equivalence.power_of_equivalence(300, 0.1) == pytest.approx(equal)


def test_sizes_of_the_next_study() -> None:
    needed = equivalence.answers_for_equivalence(0.1, 0.9)
    assert equivalence.power_of_equivalence(needed, 0.1) >= 0.9 > equivalence.power_of_equivalence(needed - 20, 0.1)
    needed = equivalence.answers_for_difference(0.7, 0.9)
    assert equivalence.power_of_difference(needed, 0.7) >= 0.9 > equivalence.power_of_difference(needed - 20, 0.7)
    with pytest.raises(ParameterError, match="one half"):
        equivalence.answers_for_difference(0.5, 0.9)


def test_impossible_margins_and_counts_are_named() -> None:
    with pytest.raises(ParameterError, match=r"margin of equivalence 0\.6 around 0\.5 is impossible"):
        equivalence.equivalence_p(5, 10, 0.6)
    with pytest.raises(ParameterError, match="7 successes in 5 trials is impossible"):
        equivalence.group_table([("all", 7, 5)], 0.05)


def test_table_of_groups() -> None:
    table = equivalence.group_table([("all", 652, 1330), ("some", 40, 60)], 0.05).set_index("group")
    row = table.loc["some"]
    assert row["rate"] == pytest.approx(2 / 3)
    assert row["p"] == pytest.approx(stats.binomtest(40, 60).pvalue)
    assert row["p_holm"] == pytest.approx(min(2 * row["p"], 1))
    assert row["p_equivalence"] == equivalence.equivalence_p(40, 60, 0.05)
    assert list(equivalence.power_table(0.05).columns[:2]) == ["answers", "equivalence within 0.05"]
